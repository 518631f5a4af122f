"""Effects of the steps on one engine: docker_gwbridge, the parking network, and the containers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Interface
from typing import assert_never

from agent.diff.bridge import with_endpoints, with_gateway
from agent.diff.container import by_slot, differing, fill, in_place
from agent.diff.replicas import fill_context
from agent.diff.reported import alike
from agent.errors import Invalid
from agent.model import records, steps
from agent.model.host_state import ContainerState, Difference, HostState, LinkState, NetworkState
from agent.model.intent import GWBRIDGE, BridgeIntent, NetworkIntent
from agent.model.observed import ClusterState
from agent.model.spec import ContainerSpec, Key
from agent.planner.leader.address_conflicts import PREDICTED

Names = tuple[str, ...]
EngineStep = (
    steps.UnlockHost | steps.BridgeStep | steps.CreateNetwork | steps.RemoveLeftover | steps.CreateVolume
    | steps.PullImage
)  # fmt: skip
"""The steps with an effect on one engine only, but for those on a container."""


def on_engine(host: HostState, step: EngineStep) -> HostState:  # noqa: C901 - one case per step
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
            host = _on_networks(host, step.container, lambda on: tuple(sorted({*on, step.network})))
            return with_endpoints(
                host, lambda found: tuple(each for each in found.endpoints if each[0] != step.container)
            )
        case steps.SwapBridge():
            return _with_bridge(without_networks(host, *step.old), step.bridge)
        case steps.Unpark():
            left = _on_networks(host, step.container, lambda on: tuple(n for n in on if n != step.network))
            return with_gateway(left, step.container)
        case steps.RemoveParking():
            return replace(host, networks=tuple(each for each in host.networks if each.name != step.network))
        case steps.RemoveLeftover():
            return without_networks(host, step.id)
        case steps.CreateVolume():
            return replace(host, volumes=host.volumes | {step.volume.name})
        case steps.PullImage():
            return replace(host, images=host.images | {step.image}, pulled={**host.pulled, step.image: 0.0})
    assert_never(step)


def without_networks(host: HostState, *ids: str) -> HostState:
    return replace(host, networks=tuple(each for each in host.networks if each.id not in ids))


def _with_bridge(host: HostState, wanted: BridgeIntent) -> HostState:
    """Return the host with docker_gwbridge as declared, in docker and in the kernel."""
    made = NetworkState(
        id=f"({GWBRIDGE})",
        name=GWBRIDGE,
        driver="bridge",
        scope="local",
        subnet=wanted.subnet,
        gateway=str(wanted.gateway),
        options=wanted.options,
    )
    link = LinkState(address=IPv4Interface(f"{wanted.gateway}/{wanted.subnet.prefixlen}"), up=True)
    return replace(host, networks=(*host.networks, made), bridge_link=link)


def network_of(wanted: NetworkIntent) -> NetworkState:
    """The network that docker creates from its declaration."""
    return alike(
        NetworkState,
        wanted,
        id=f"({wanted.name})",
        scope="swarm" if wanted.driver == "overlay" else "local",
        gateway=str(wanted.gateway) if wanted.gateway else None,
        ours=True,
    )


def _on_networks(host: HostState, container: str, change: Callable[[Names], Names]) -> HostState:
    attached = (
        replace(each, networks=change(each.networks)) if each.id == container else each
        for each in host.attached
    )
    return replace(host, attached=tuple(attached))


# ---- Containers compared with a new assignment: some need not be recreated


def with_assignment(host: HostState, me: str, cluster: ClusterState) -> HostState:
    """Return the host, its containers compared with its assignment, as `regarded` (compare.py) does on a live host."""
    assignment, specs, intent = cluster.assignments.get(me), cluster.specs, cluster.accepted
    wanted = by_slot(assignment.replicas) if assignment else {}

    def regarded(found: ContainerState) -> ContainerState:
        replica = wanted.get(found.replica.key)
        if replica is None or (replica.made_as == found.replica and not replica.addresses):
            return found
        return _become(found, replica)

    def _become(found: ContainerState, replica: records.Replica) -> ContainerState:
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

Asked = Mapping[Key, Mapping[str, str]]
"""Replica -> network -> its fixed or reserved address."""


def on_container(
    host: HostState, step: steps.ContainerStep, specs: Mapping[str, ContainerSpec], asked: Asked
) -> HostState:
    """Return the host after `step`; `specs` is by hash. A container that has ended publishes no port.

    A disconnect from a declared network leaves the difference that the network is missing.
    """
    containers, attached = list(host.containers), list(host.attached)
    match step:
        case steps.CreateContainer():
            containers.append(_created(step))
        case steps.RemoveContainer():
            containers = [each for each in containers if each.id != step.id]
            attached = [each for each in attached if each.id != step.id]
        case steps.StartContainer():
            containers = [
                _started(each, asked.get(each.replica.key, {})) if each.name == step.name else each
                for each in containers
            ]
        case _:
            containers = [
                _changed(each, step, specs) if step.id in (each.id, each.name) else each
                for each in containers
            ]
    if isinstance(step, steps.StopContainer):
        attached = [replace(each, running=False) if each.id == step.id else each for each in attached]
    return replace(host, containers=tuple(containers), attached=tuple(attached))


def _created(step: steps.CreateContainer) -> ContainerState:
    return ContainerState(
        id=f"({step.becomes})",
        name=step.becomes,
        replica=step.replica,
        status="created",
        addresses=tuple((each.network, "") for each in step.spec.networks),
    )


def _started(found: ContainerState, asks: Mapping[str, str]) -> ContainerState:
    addresses = tuple((name, has or asks.get(name, PREDICTED)) for name, has in found.addresses)
    found = replace(found, exit_code=0, error="", interrupted=False, up_s=_LONG_S)
    return replace(found, status="running", started_at=NOW, addresses=addresses)


def _changed(
    found: ContainerState,
    step: steps.UnpauseContainer
    | steps.StopContainer
    | steps.RenameContainer
    | steps.UpdateContainer
    | steps.ConnectNetwork
    | steps.DisconnectNetwork,
    specs: Mapping[str, ContainerSpec],
) -> ContainerState:
    match step:
        case steps.UnpauseContainer():
            return replace(found, status="running")
        case steps.StopContainer():
            released = tuple((network, "") for network, _ in found.addresses)
            return replace(found, status="exited", interrupted=True, addresses=released)
        case steps.RenameContainer():
            return replace(found, name=step.becomes)
        case steps.UpdateContainer():
            left = tuple(each for each in found.differences if each.repair != "update")
            return replace(found, differences=left)
        case steps.ConnectNetwork():
            return _connected(found, step)
        case steps.DisconnectNetwork():
            return _disconnected(found, step.network, specs.get(found.replica.spec))
    assert_never(step)


def _connected(found: ContainerState, step: steps.ConnectNetwork) -> ContainerState:
    given = step.attachment.address or PREDICTED
    address = (step.attachment.network, given if found.status == "running" else "")
    return replace(_without_difference(found, step.attachment.network), addresses=(*found.addresses, address))


def _disconnected(found: ContainerState, network: str, spec: ContainerSpec | None) -> ContainerState:
    left = replace(
        _without_difference(found, network),
        addresses=tuple(each for each in found.addresses if each[0] != network),
        network_ids=tuple(each for each in found.network_ids if each[0] != network),
    )
    if spec is None or all(each.network != network for each in spec.networks):
        return left
    missing = Difference(
        field=f"networks.{network}", wanted="attached", found="nothing", repair="reconnect", subject=network
    )
    return replace(left, differences=(*left.differences, missing))


def _without_difference(found: ContainerState, network: str) -> ContainerState:
    left = tuple(each for each in found.differences if each.repair != "reconnect" or each.subject != network)
    return replace(found, differences=left)
