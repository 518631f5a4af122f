"""Repair in place: the steps that bring the container of a replica to its spec without recreating it."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from agent.diff.container import aliases
from agent.diff.replicas import finished
from agent.model import steps
from agent.model.host_state import ContainerState
from agent.model.phrases import differs
from agent.model.plan import Blocked, Plan, Step
from agent.planner.host.wanted import Wanted

_UP = ("running", "paused")


def plan_repair(wanted: Wanted, found: ContainerState, overlays: Collection[str] = ()) -> Plan:
    """Plan to rename, update, reconnect and start `found` as needed; an empty plan if it has no difference.

    The wanted name must be free (see `Names`). `overlays` are names of overlays.
    """
    repairs = (*_rename(wanted, found, overlays), *_update(wanted, found), *_reconnect(wanted, found))
    return Plan((*repairs, *_run(wanted, found)), tuple(_faults(wanted, found)))


def _faults(wanted: Wanted, found: ContainerState) -> Iterable[Blocked]:
    if dropped := [str(each) for each in found.differences if each.repair == "none"]:
        reason = f"{'; '.join(dropped)}: the engine or the kernel of this host does not support it"
        yield Blocked(resource=wanted.resource, reason=reason, kind="unsupported")
    if _is_down(wanted, found) and found.restart_backoff_s:
        crashes = f"exited with {found.exit_code}, {found.crashes} times in a row soon after its start"
        reason = f"{crashes}: it is restarted after a backoff"
        yield Blocked(resource=wanted.resource, reason=reason, kind="crash")
    if found.status == "running" and found.health == "unhealthy":
        output = f": {found.health_output}" if found.health_output else ""
        reason = f"its health check fails{output}"
        yield Blocked(resource=wanted.resource, reason=reason, kind="unhealthy")


def _is_down(wanted: Wanted, found: ContainerState) -> bool:
    return found.status == "exited" and not finished(wanted.spec, found)


def _rename(wanted: Wanted, found: ContainerState, overlays: Collection[str]) -> Iterable[Step]:
    """Rename the container. A running one leaves its overlays for the rename and gets the same addresses back.

    The engine does not rename a running container on an overlay (docs/engine-quirks.md).
    """
    if found.name == wanted.name:
        return
    common = {"name": wanted.name, "id": found.id, "reason": differs("name", wanted.name, found.name)}
    on = [each for each in found.addresses if each[0] in overlays and found.status in _UP]
    for network, _ in on:
        yield steps.DisconnectNetwork(network=network, **common)
    yield steps.RenameContainer(**common)
    declared = {each.network: each for each in wanted.filled.networks} if on else {}
    for network, address in on:
        if attachment := declared.get(network):
            back = replace(attachment, ipv4_address=attachment.address or address or None)
            names = aliases(attachment, wanted.replica.service)
            yield steps.ConnectNetwork(attachment=back, aliases=names, **common)


def _update(wanted: Wanted, found: ContainerState) -> Iterable[Step]:
    if updates := [str(each) for each in found.differences if each.repair == "update"]:
        yield steps.UpdateContainer(
            name=wanted.name, id=found.id, spec=wanted.filled, reason="; ".join(updates)
        )


def _reconnect(wanted: Wanted, found: ContainerState) -> Iterable[Step]:
    wrong = [each for each in found.differences if each.repair == "reconnect"]
    declared = {each.network: each for each in wanted.filled.networks} if wrong else {}
    attached = {network for network, _ in found.addresses}
    for each in wrong:
        common = {"name": wanted.name, "id": found.id, "reason": str(each)}
        if each.subject in attached:
            yield steps.DisconnectNetwork(network=each.subject, **common)
        if attachment := declared.get(each.subject):
            names = aliases(attachment, wanted.replica.service)
            yield steps.ConnectNetwork(attachment=attachment, aliases=names, **common)


def _run(wanted: Wanted, found: ContainerState) -> Iterable[Step]:
    if found.status == "paused":
        yield steps.UnpauseContainer(name=wanted.name, id=found.id, reason="it is paused", spec=wanted.spec)
    elif found.status == "created":
        reason = found.error or "created, but never started"
        yield steps.StartContainer(name=wanted.name, reason=reason, spec=wanted.spec)
    elif _is_down(wanted, found) and not found.restart_backoff_s:
        reason = found.error or f"exited with {found.exit_code}"
        yield steps.StartContainer(name=wanted.name, reason=reason, spec=wanted.spec)
