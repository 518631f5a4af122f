"""The strict parser of the intent: the keys of Compose plus `x-cluster` and `x-hosts`. It reports every fault.

It reads each section by its table, resolves names across sections, and then checks across sections. The later steps
wait until what is declared beside the services has no fault, so that one error is reported once.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any, get_args

from agent.diff.container import TABLE
from agent.intent import forms
from agent.intent.checks import check_sections, with_pool
from agent.intent.cluster import CLUSTER, Cluster, read_cluster
from agent.intent.deploy import Hosts, settle_hosts
from agent.intent.extent import check_extent
from agent.intent.forms import Field, Section
from agent.intent.guard import document_hash
from agent.intent.mounts import CONFIG, FILE, Kind, read_file
from agent.intent.networks import NETWORK, VOLUME, read_network, read_volume
from agent.intent.process import check_lines
from agent.intent.refused import TOP_REFUSED, warnings
from agent.intent.resolve import resolve
from agent.intent.service import FIELDS, SERVICE, read_service
from agent.intent.values import name, project_name
from agent.intent.vocabulary import Notes, normalised
from agent.model.intent import Intent, ServiceIntent
from agent.yamldoc import Cursor, Fields, open_document

__all__ = ["json_schema", "parse_intent", "read_intent", "warnings"]

MOST_NAMED = 1000
"""Services, and as many networks and volumes. It bounds the checks across sections."""

TOP = Section(
    {
        "name": Field(project_name, {"type": ["string", "number"], "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"}),
        "x-cluster": Field(read_cluster, CLUSTER.form),
        "networks": Field(None, forms.named(forms.either(NETWORK.form, forms.NOTHING))),
        "volumes": Field(None, forms.named(forms.either(VOLUME.form, forms.NOTHING))),
        "secrets": Field(None, forms.named(FILE.form)),
        "configs": Field(None, forms.named(CONFIG.form)),
        "services": Field(None, {**forms.named(SERVICE.form), "type": "object"}),
        "version": Field.respelled(forms.SCALAR, "has no meaning any more"),
    },
    {
        "name": "name the project: container names begin with it",
        "x-cluster": "list the hosts",
        "services": "write services: {} if the cluster runs none",
    },
    TOP_REFUSED,
)


def parse_intent(raw: bytes, revision: int) -> Intent:
    """Return the intent of the document `raw`, which etcd has at mod_revision `revision`.

    Raises InvalidDocument with every fault, ordered by line and column. Bounds: agent.yamldoc.
    """
    return read_intent(open_document(raw), revision)


def read_intent(root: Cursor, revision: int) -> Intent:
    """Return the intent of a document that is open. Raises InvalidDocument."""
    notes = Notes()
    root = normalised(root, notes)
    fields, found = TOP.read(root)
    project = found.get("name", "unnamed")
    networks = tuple(read_network(key, place, project) for key, place in _named(fields, "networks"))
    volumes = tuple(read_volume(key, place, project) for key, place in _named(fields, "volumes"))
    files = {
        kind: {key: read_file(place, kind) for key, place in _named(fields, kind)} for kind in get_args(Kind)
    }
    if len(root.faults):
        for key, place in _named(fields, "services"):
            read_service(key, place, ())
        root.faults.stop()
    cluster: Cluster = found["x-cluster"]
    of_networks, of_volumes = {each.key: each for each in networks}, {each.key: each for each in volumes}
    change = partial(resolve, networks=of_networks, volumes=of_volumes, files=files)
    services = _services(root, fields, change, cluster.hosts)
    swarm = with_pool(cluster, networks)
    check_sections(root, cluster, swarm, networks, volumes, services)
    root.faults.raise_if_any()
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
        notes=tuple(notes.sentences()),
    )


def _services(
    root: Cursor, fields: Fields, resolved: Callable[[ServiceIntent, Cursor], ServiceIntent], hosts: Hosts
) -> tuple[ServiceIntent, ...]:
    if not check_lines(root.at("services")):
        return ()
    names = tuple(each.name for each in hosts)
    places = dict(_named(fields, "services"))
    services: list[ServiceIntent] = []
    for key, place in places.items():
        before, service = len(root.faults), read_service(key, place, names)
        is_good = len(root.faults) == before
        services.append(resolved(service, place) if is_good else service)
    if (fitting := check_extent(root, services, hosts)) is None:
        return ()
    settled = ((each, fitting[each.where.constraints]) for each in services)
    return tuple(settle_hosts(each, places[each.name], hosts, fit) for each, fit in settled)


def _named(fields: Fields, section: str) -> list[tuple[str, Cursor]]:
    """Return the members of a section that have valid names; an empty section may have no value."""
    place = fields.at(section)
    if place is None or (place.is_null and section != "services"):
        return []
    named = [(key, value) for key_place, value in place.entries() if (key := name(key_place)) is not None]
    if len(named) > MOST_NAMED:
        place.fault(f"has more than {MOST_NAMED} members", "split the cluster", kind="size")
    return named[:MOST_NAMED]


# ---- The JSON Schema of the document, for editors and linters

_REPAIRS = {
    "update": "Changed on the running container.",
    "reconnect": "Changed on the running container, by leaving and joining networks.",
    "replace": "A change requires a new container.",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of the document, made from the tables of the readers.

    It checks less than the readers, which check keys against each other. They refuse everything that it refuses.
    """
    about = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Swarmkeeper intent"}
    schema: dict[str, Any] = {**about, **deepcopy(TOP.form)}
    service = schema["properties"]["services"]["additionalProperties"]
    for key, field in FIELDS.items():
        service["properties"][key] = {**field.form, "description": _description(key, field)}
    return schema


def _description(key: str, field: Field) -> str:
    if field.attribute is None:
        return _REPAIRS["replace"]
    row = next(row for row in TABLE if row.field == (field.attribute or key))
    return f"In the engine: {row.at}. {_REPAIRS[row.repair]}"
