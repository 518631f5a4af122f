"""The differences between the simulated world and the accepted document, from the engines and not from reports."""

from collections.abc import Iterator
from ipaddress import IPv4Interface
from typing import NamedTuple

from agent.diff.container import identity
from agent.diff.replicas import container_name
from agent.model.host_state import LinkState
from agent.model.intent import GWBRIDGE, HostIntent, Intent, ServiceIntent
from tests.fakes.containers import Raw
from tests.properties.simulation.world import World
from tests.support.simulated_cluster import KEYS, SimulatedHost


class Difference(NamedTuple):
    """A resource that is not as the accepted document declares."""

    resource: str
    """Name of the host or the service, or `quorum`: a problem has to contain it."""
    what: str
    or_else: str = ""
    """Another resource that a problem may contain instead."""


def differences(world: World, intent: Intent) -> Iterator[Difference]:
    """Yield every difference between the document and what the engines have now."""
    for declared in intent.hosts:
        # A drained host may be off; without presence nobody can tell that from an agent without etcd.
        if declared.availability == "drain" and world.read(KEYS.presence(declared.name)) is None:
            continue
        if declared.name in world.agents:
            yield from _of_host(world, declared, intent)
        else:
            yield Difference(declared.name, "no agent runs there")
    for name, host in world.hosts.items():
        yield from _of_containers(name, host, intent)


def at_work(world: World, service: str) -> int:
    """Return the number of running containers of a service, on every host, whatever their spec."""
    every = (raw for host in world.hosts.values() for raw in host.replicas().values())
    return sum(_service_of(raw) == service and raw["State"]["Status"] == "running" for raw in every)


def _of_host(world: World, declared: HostIntent, intent: Intent) -> Iterator[Difference]:
    name, host, record = declared.name, world.hosts[declared.name], world.record()
    if not host.engine.answers:
        yield Difference(name, "its dockerd does not answer")
        return
    membership = host.engine.nets.membership
    if membership is None or record is None or membership[0].id != record.swarm_id:
        yield Difference(name, "it is not in the recorded swarm")
        return
    swarm, member = membership
    if not swarm.has_quorum:
        yield Difference("quorum", "fewer than a majority of the managers reach each other")
    elif member not in swarm.members:
        # Only a manager in the quorum lists the nodes: if none can report, the lack of that may be named instead.
        yield Difference(name, "the swarm has removed its node", "quorum/")
    elif member not in swarm.reached():
        yield Difference(name, "the managers do not reach it", "quorum/")
    elif member.availability != declared.availability:
        yield Difference(name, f"its node is {member.availability}, {declared.availability} is declared")
    if member.in_raft != (declared.role == "manager"):
        # Its engine takes itself for the manager that it was, and without a quorum nobody lists the nodes.
        unseen = member.cut_out and not swarm.has_quorum
        yield Difference(name, f"it is not a {declared.role}", "quorum/" if unseen else "")
    yield from _of_bridge(name, host, intent)


def _of_bridge(name: str, host: SimulatedHost, intent: Intent) -> Iterator[Difference]:
    bridge = host.engine.nets.local.get(GWBRIDGE)
    if bridge is None or bridge.subnet is None or bridge.subnet != intent.gwbridge.subnet:
        yield Difference(name, f"its docker_gwbridge is {bridge.subnet if bridge else 'missing'}")
        return
    as_made = LinkState(address=IPv4Interface(f"{bridge.gateway}/{bridge.subnet.prefixlen}"), up=True)
    if host.kernel.link(GWBRIDGE) != as_made:
        yield Difference(name, "the device of docker_gwbridge is not as Docker made it")


def _of_containers(name: str, host: SimulatedHost, intent: Intent) -> Iterator[Difference]:
    """Yield the replicas that are missing, not at work or too many on a host."""
    ours = [raw for raw in host.replicas().values() if _service_of(raw)]
    for service in intent.services:
        found = [raw for raw in ours if _service_of(raw) == service.name]
        wanted, good = _wanted(name, service, intent), sum(_is_good(raw, service, intent) for raw in found)
        if good < wanted:
            states = ", ".join(f"{raw['Name'][1:]} {raw['State']['Status']}" for raw in found)
            yield Difference(service.name, f"{good} of {wanted} work on {name} ({states})")
        elif len(found) > wanted:
            yield Difference(service.name, f"{len(found)} containers on {name}, {wanted} are declared", name)
    left = {_service_of(raw) for raw in ours} - {each.name for each in intent.services}
    yield from (Difference(each, f"{name} has a container of this undeclared service", name) for each in left)


def _wanted(host: str, service: ServiceIntent, intent: Intent) -> int:
    declared = intent.host(host)
    drained = declared is None or declared.availability == "drain"
    return 0 if drained else dict(service.placement).get(host, 0)


def _service_of(raw: Raw) -> str:
    found = identity(raw["Config"]["Labels"] or {})
    return found.service if found else ""


def _is_good(raw: Raw, service: ServiceIntent, intent: Intent) -> bool:
    """Return True if a container runs as the document declares its service."""
    replica = identity(raw["Config"]["Labels"] or {})
    networks = {each.network for each in service.spec.networks}
    return (
        replica is not None
        and raw["Name"] == f"/{container_name(intent.project, replica)}"
        and raw["State"]["Status"] == "running"
        and raw["Config"]["Image"] == service.spec.image
        and not raw["HostConfig"].get("Memory")
        and networks <= raw["NetworkSettings"]["Networks"].keys()
    )
