"""The strict parser of the intent: the keys of Compose plus `x-cluster` and `x-hosts`. It reports every fault.

It reads each section by its table, resolves names across sections, and then checks across sections. The later steps
skip a section with faults, so that one error is reported once.
"""

from agent.intent.checks import check_sections, with_pool
from agent.intent.cluster import Cluster, read_cluster
from agent.intent.deploy import settle_hosts
from agent.intent.extent import check_extent
from agent.intent.guard import document_hash
from agent.intent.mounts import read_file
from agent.intent.networks import read_network, read_volume
from agent.intent.process import check_lines
from agent.intent.refused import TOP_REFUSED, warnings
from agent.intent.resolve import Declared, resolve
from agent.intent.service import read_service
from agent.intent.values import name, project_name
from agent.model.intent import HostIntent, Intent, NetworkIntent, ServiceIntent, VolumeIntent
from agent.yamldoc import Cursor, Fields, open_document
from agent.yamldoc.readers import string

__all__ = ["parse_intent", "warnings"]

MOST_NAMED = 1000
"""Services, and as many networks and volumes. It bounds the checks across sections."""

TOP_KEYS = ("name", "x-cluster", "networks", "volumes", "secrets", "configs", "services")


def parse_intent(raw: bytes, revision: int) -> Intent:
    """Return the intent of the document `raw`, which etcd has at mod_revision `revision`.

    Raises InvalidDocument with every fault, ordered by line and column. Bounds: agent.yamldoc.
    """
    root = open_document(raw)
    fields = root.fields(TOP_KEYS, TOP_REFUSED, extensions=True)
    remedy = "name the project: container names begin with it"
    project = fields.require("name", project_name, remedy) or "unnamed"
    cluster = fields.require("x-cluster", read_cluster, "list the hosts") or Cluster()
    networks = tuple(read_network(key, place, project) for key, place in _named(fields, "networks"))
    volumes = tuple(read_volume(key, place, project) for key, place in _named(fields, "volumes"))
    services = _services(root, fields, networks, volumes, cluster.hosts)
    swarm = with_pool(cluster, networks)
    check_sections(root, cluster, swarm, networks, volumes, services)
    root.faults.raise_if_any()
    assert cluster.gwbridge is not None
    return Intent(
        project=project,
        revision=revision,
        hosts=cluster.hosts,
        gwbridge=cluster.gwbridge,
        swarm=swarm,
        policy=cluster.policy,
        networks=networks,
        volumes=volumes,
        services=services,
        digest=document_hash(root.node),
    )


def _services(
    root: Cursor,
    fields: Fields,
    networks: tuple[NetworkIntent, ...],
    volumes: tuple[VolumeIntent, ...],
    hosts: tuple[HostIntent, ...],
) -> tuple[ServiceIntent, ...]:
    if "services" not in fields:
        fields.missing("services", "write services: {} if the cluster runs none")
    elif not check_lines(root.at("services")):
        return ()
    declared = root.at("x-cluster", "hosts")
    names = tuple(string(key) or "" for key, _ in declared.entries()) if declared.is_mapping else ()
    known = Declared(
        networks={each.key: each for each in networks},
        volumes={each.key: each for each in volumes},
        secrets={key: read_file(place) for key, place in _named(fields, "secrets")},
        configs={key: read_file(place) for key, place in _named(fields, "configs")},
    )
    places = dict(_named(fields, "services"))
    services = [resolve(read_service(key, place, names), place, known) for key, place in places.items()]
    if (fitting := check_extent(root, services, hosts)) is None:
        return ()
    return tuple(
        settle_hosts(each, places[each.name], hosts, fitting[each.where.constraints]) for each in services
    )


def _named(fields: Fields, section: str) -> list[tuple[str, Cursor]]:
    """Return the members of a section that have valid names; an empty section may have no value."""
    place = fields.at(section)
    if place is None or (place.is_null and section != "services"):
        return []
    named = [(key, value) for key_place, value in place.entries() if (key := name(key_place)) is not None]
    if len(named) > MOST_NAMED:
        place.fault(f"has more than {MOST_NAMED} members", "split the cluster", kind="size")
    return named[:MOST_NAMED]
