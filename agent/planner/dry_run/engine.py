"""Effects of the steps on one engine: docker_gwbridge, the parking network, and the containers."""

from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from ipaddress import IPv4Interface
from typing import assert_never

from agent.diff.bridge import with_endpoints, with_gateway
from agent.diff.container import by_slot, differing, fill, in_place
from agent.diff.replicas import fill_context
from agent.diff.reported import alike
from agent.errors import Invalid
from agent.model import host_state, steps
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import GWBRIDGE, BridgeIntent, NetworkIntent
from agent.model.observed import ClusterState
from agent.model.spec import ContainerSpec, Key
from agent.planner.leader.address_conflicts import PREDICTED

EngineStep = (
    steps.UnlockHost | steps.BridgeStep | steps.CreateNetwork | steps.RemoveLeftover | steps.CreateVolume
    | steps.PullImage | steps.ContainerStep
)  # fmt: skip
"""The steps with an effect on one engine only."""


def on_engine(host: HostState, step: EngineStep, me: str, cluster: ClusterState) -> HostState:  # noqa: C901, PLR0912 - one case per step
    """Return the host `me` after `step`. A container that has ended publishes no port."""
    match step:
        case steps.UnlockHost():
            return replace(host, swarm=replace(host.swarm, local="pending", error=""))
        case steps.CreateBridge():
            return _with_bridge(host, step.bridge)
        case steps.RemoveBridge():
            host = without_networks(host, step.id)
            return host if host.bridges else replace(host, bridge_link=None)
        case steps.CreateParking() | steps.CreateNetwork():
            return replace(host, networks=(*host.networks, network_of(step.network)))
        case steps.Park():
            host = _with_attached(
                host, step.container, lambda found: _on(found, {*found.networks, step.network})
            )
            return with_endpoints(
                host, lambda found: tuple(each for each in found.endpoints if each[0] != step.container)
            )
        case steps.SwapBridge():
            return _with_bridge(without_networks(host, *step.old), step.bridge)
        case steps.Unpark():
            host = _with_attached(
                host, step.container, lambda found: _on(found, {*found.networks} - {step.network})
            )
            return with_gateway(host, step.container)
        case steps.RemoveParking():
            return replace(host, networks=tuple(each for each in host.networks if each.name != step.network))
        case steps.RemoveLeftover():
            return without_networks(host, step.id)
        case steps.CreateVolume():
            return replace(host, volumes=host.volumes | {step.volume.name})
        case steps.PullImage():
            return replace(host, images=host.images | {step.image}, pulled={**host.pulled, step.image: 0.0})
        case steps.CreateContainer():
            return replace(host, containers=(*host.containers, _created(step)))
        case steps.StartContainer():
            return _changed(host, step.name, lambda found: _started(found, me, cluster))
        case steps.UnpauseContainer():
            return _changed(host, step.id, lambda found: replace(found, status="running"))
        case steps.StopContainer():
            host = _with_attached(host, step.id, lambda found: replace(found, running=False))
            return _changed(host, step.id, _stopped)
        case steps.RemoveContainer():
            containers = tuple(each for each in host.containers if each.id != step.id)
            attached = tuple(each for each in host.attached if each.id != step.id)
            return replace(host, containers=containers, attached=attached)
        case steps.RenameContainer():
            return _changed(host, step.id, lambda found: replace(found, name=step.becomes))
        case steps.UpdateContainer():
            return _changed(host, step.id, lambda found: _without(found, "update"))
        case steps.ConnectNetwork():
            return _changed(host, step.id, lambda found: _connected(found, step))
        case steps.DisconnectNetwork():
            return _changed(host, step.id, lambda found: _disconnected(found, step.network, cluster.specs))
    assert_never(step)


def without_networks(host: HostState, *ids: str) -> HostState:
    return replace(host, networks=tuple(each for each in host.networks if each.id not in ids))


def _with_bridge(host: HostState, wanted: BridgeIntent) -> HostState:
    """Return the host with docker_gwbridge as declared, in docker and in the kernel."""
    made = host_state.NetworkState(
        id=f"({GWBRIDGE})",
        name=GWBRIDGE,
        driver="bridge",
        scope="local",
        subnet=wanted.subnet,
        gateway=str(wanted.gateway),
        options=wanted.options,
    )
    link = host_state.LinkState(address=IPv4Interface(f"{wanted.gateway}/{wanted.subnet.prefixlen}"), up=True)
    return replace(host, networks=(*host.networks, made), bridge_link=link)


def network_of(wanted: NetworkIntent) -> host_state.NetworkState:
    """The network that docker creates from its declaration."""
    return alike(
        host_state.NetworkState,
        wanted,
        id=f"({wanted.name})",
        scope="swarm" if wanted.driver == "overlay" else "local",
        gateway=str(wanted.gateway) if wanted.gateway else None,
        ours=True,
    )


def _with_attached(
    host: HostState, container: str, change: Callable[[host_state.Attached], host_state.Attached]
) -> HostState:
    attached = (change(each) if each.id == container else each for each in host.attached)
    return replace(host, attached=tuple(attached))


def _on(found: host_state.Attached, networks: Set[str]) -> host_state.Attached:
    return replace(found, networks=tuple(sorted(networks)))


# ---- Containers compared with a new assignment: some need not be recreated


def with_assignment(host: HostState, me: str, cluster: ClusterState) -> HostState:
    """Return the host, its containers compared with its assignment, as `regarded` (compare.py) does on a live host."""
    assignment, specs, intent = cluster.assignments.get(me), cluster.specs, cluster.accepted
    wanted = by_slot(assignment.replicas) if assignment else {}

    def regarded(found: ContainerState) -> ContainerState:
        replica = wanted.get(found.replica.key)
        if replica is None or (replica.made_as == found.replica and not replica.addresses):
            return found
        old, new = specs.get(found.replica.spec), specs.get(replica.spec)
        if old is None or new is None:
            return found
        has = tuple(
            (network, dict(found.addresses).get(network) or address) for network, address in replica.addresses
        )
        try:
            before = fill(old, fill_context(intent, me, host.swarm, replace(replica, addresses=has)))
            after = fill(new, fill_context(intent, me, host.swarm, replica))
        except Invalid:
            return found
        same = replica.spec == found.replica.spec
        changes = differing(before, after, replica) if same else in_place(before, after, replica)
        if changes is None:
            return found
        changed = {each.field for each in changes}
        kept = tuple(each for each in found.differences if each.field not in changed)
        return replace(found, replica=replica.made_as, differences=(*kept, *changes))

    return replace(host, containers=tuple(map(regarded, host.containers)))


NOW = "(now)"
"""Start time of a container that the dry run has started."""
_LONG_S = 1e9
"""Seconds. Longer than every wait on a running container."""


def _changed(
    host: HostState, container: str, change: Callable[[ContainerState], ContainerState]
) -> HostState:
    """Return the host with that container, given by id or name, changed."""
    containers = (change(each) if container in (each.id, each.name) else each for each in host.containers)
    return replace(host, containers=tuple(containers))


def _created(step: steps.CreateContainer) -> ContainerState:
    return ContainerState(
        id=f"({step.becomes})",
        name=step.becomes,
        replica=step.replica,
        status="created",
        addresses=tuple((each.network, "") for each in step.spec.networks),
    )


def _started(found: ContainerState, me: str, cluster: ClusterState) -> ContainerState:
    asks = _asked(found.replica.key, me, cluster)
    addresses = tuple((name, has or asks.get(name, PREDICTED)) for name, has in found.addresses)
    found = replace(found, exit_code=0, error="", interrupted=False, up_s=_LONG_S)
    return replace(found, status="running", started_at=NOW, addresses=addresses)


def _asked(key: Key, me: str, cluster: ClusterState) -> Mapping[str, str]:
    """Return network -> fixed or reserved address of a replica that is assigned to `me`."""
    assignment = cluster.assignments.get(me)
    replica = by_slot(assignment.replicas).get(key) if assignment else None
    if replica is None:
        return {}
    spec = cluster.specs.get(replica.spec)
    networks = spec.networks if spec else ()
    fixed = {each.network: each.ipv4_address for each in networks if each.ipv4_address}
    return {**dict(replica.addresses), **fixed}


def _stopped(found: ContainerState) -> ContainerState:
    released = tuple((network, "") for network, _ in found.addresses)
    return replace(found, status="exited", interrupted=True, addresses=released)


def _connected(found: ContainerState, step: steps.ConnectNetwork) -> ContainerState:
    network, given = step.attachment.network, step.attachment.address or PREDICTED
    address = (network, given if found.status == "running" else "")
    return replace(_without(found, "reconnect", network), addresses=(*found.addresses, address))


def _disconnected(found: ContainerState, network: str, specs: Mapping[str, ContainerSpec]) -> ContainerState:
    """Return the container without the network. If its spec declares that, the difference stays that it is missing."""
    left = replace(
        _without(found, "reconnect", network),
        addresses=tuple(each for each in found.addresses if each[0] != network),
        network_ids=tuple(each for each in found.network_ids if each[0] != network),
    )
    spec = specs.get(found.replica.spec)
    if spec is None or all(each.network != network for each in spec.networks):
        return left
    missing = host_state.Difference(
        field=f"networks.{network}", wanted="attached", found="nothing", repair="reconnect", subject=network
    )
    return replace(left, differences=(*left.differences, missing))


def _without(found: ContainerState, repair: host_state.Repair, subject: str = "") -> ContainerState:
    """Return the container without the differences that such a repair ends; empty `subject`: of all subjects."""
    left = (each for each in found.differences if each.repair != repair or subject not in ("", each.subject))
    return replace(found, differences=tuple(left))
