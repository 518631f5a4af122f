"""Effects of an assignment and of steps on the containers of a host."""

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from agent.diff.container import by_slot, differing, fill, in_place
from agent.diff.replicas import fill_context
from agent.errors import Invalid
from agent.model import records, steps
from agent.model.host_state import Attached, ContainerState, Difference, HostState
from agent.model.intent import Intent
from agent.model.spec import ContainerSpec
from agent.planner.leader.address_conflicts import PREDICTED

# ---- Containers compared with a new assignment: some need not be recreated


def with_assignment(
    host: HostState,
    me: str,
    assignment: records.Assignment | None,
    specs: Mapping[str, ContainerSpec],
    intent: Intent | None,
) -> HostState:
    """Return the host, its containers compared with `assignment`, as `regarded` (compare.py) does on a live host."""
    wanted = by_slot(assignment.replicas) if assignment else {}

    def regarded(found: ContainerState) -> ContainerState:
        replica = wanted.get((found.replica.service, found.replica.slot))
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

Containers = tuple[ContainerState, ...]
Asked = Mapping[tuple[str, int], Mapping[str, str]]
"""Service and slot -> network -> fixed or reserved address of the replica."""


def on_container(
    containers: Containers, step: steps.ContainerStep, specs: Mapping[str, ContainerSpec], asked: Asked
) -> Containers:
    """Return the containers after `step`; `specs` is by hash.

    A disconnect from a declared network leaves the difference that the network is missing.
    """
    match step:
        case steps.CreateContainer():
            return (*containers, _created(step))
        case steps.RemoveContainer():
            return tuple(each for each in containers if each.id != step.id)
        case steps.StartContainer():
            return tuple(
                _started(each, asked.get(each.replica.key, {})) if each.name == step.name else each
                for each in containers
            )
        case _:
            return tuple(
                _changed(each, step, specs) if step.id in (each.id, each.name) else each
                for each in containers
            )


def on_attached(attached: tuple[Attached, ...], step: steps.ContainerStep) -> tuple[Attached, ...]:
    """Return the containers of the host after `step`: one that has ended publishes no port."""
    match step:
        case steps.StopContainer():
            return tuple(replace(each, running=False) if each.id == step.id else each for each in attached)
        case steps.RemoveContainer():
            return tuple(each for each in attached if each.id != step.id)
        case _:
            return attached


def _created(step: steps.CreateContainer) -> ContainerState:
    return ContainerState(
        id=f"({step.becomes})",
        name=step.becomes,
        replica=step.replica,
        status="created",
        addresses=tuple((each.network, "") for each in step.spec.networks),
    )


def _started(found: ContainerState, asks: Mapping[str, str]) -> ContainerState:
    addresses = tuple(
        (network, address or asks.get(network, PREDICTED)) for network, address in found.addresses
    )
    return replace(
        found, status="running", exit_code=0, error="", started_at=NOW, addresses=addresses, up_s=_LONG_S
    )


def _stopped(found: ContainerState) -> ContainerState:
    return replace(found, status="exited", addresses=tuple((network, "") for network, _ in found.addresses))


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
            return _stopped(found)
        case steps.RenameContainer():
            return replace(found, name=step.becomes)
        case steps.UpdateContainer():
            left = tuple(each for each in found.differences if each.repair != "update")
            return replace(found, differences=left)
        case steps.ConnectNetwork():
            return _connected(found, step)
        case steps.DisconnectNetwork():
            off = _disconnected(found, step.network, specs.get(found.replica.spec))
            return replace(
                off, network_ids=tuple(each for each in off.network_ids if each[0] != step.network)
            )
    assert_never(step)


def _connected(found: ContainerState, step: steps.ConnectNetwork) -> ContainerState:
    given = step.attachment.address or PREDICTED
    address = (step.attachment.network, given if found.status == "running" else "")
    return replace(_without_difference(found, step.attachment.network), addresses=(*found.addresses, address))


def _disconnected(found: ContainerState, network: str, spec: ContainerSpec | None) -> ContainerState:
    left = replace(found, addresses=tuple(each for each in found.addresses if each[0] != network))
    left = _without_difference(left, network)
    if spec is None or all(each.network != network for each in spec.networks):
        return left
    missing = Difference(
        field=f"networks.{network}", wanted="attached", found="nothing", repair="reconnect", subject=network
    )
    return replace(left, differences=(*left.differences, missing))


def _without_difference(found: ContainerState, network: str) -> ContainerState:
    left = tuple(each for each in found.differences if each.repair != "reconnect" or each.subject != network)
    return replace(found, differences=left)
