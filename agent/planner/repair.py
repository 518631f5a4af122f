"""A copy with the right spec that is not as it should be: put right in place, with the same container."""

from collections.abc import Iterable

from agent.model.observed import ContainerState
from agent.model.records import CopyReport
from agent.model.spec import ContainerSpec
from agent.model.steps import (
    Blocked,
    ConnectNetwork,
    DisconnectNetwork,
    Plan,
    RenameContainer,
    StartContainer,
    Step,
    UnpauseContainer,
    UpdateContainer,
)
from agent.planner.wanted import Wanted


def plan_repair(wanted: Wanted, found: ContainerState) -> Plan:
    """Rename, update, reconnect and start `found` as needed; nothing when it is as it should be.

    The name it shall have must be free (names.py sees to that).
    """
    steps = (*_rename(wanted, found), *_update(wanted, found), *_reconnect(wanted, found))
    return Plan((*steps, *_run(wanted, found)), tuple(_dropped(wanted, found)))


def finished(spec: ContainerSpec, found: ContainerState | CopyReport) -> bool:
    """Whether an exited copy has done its work and stays so.

    Compose: `no` never starts again, `on-failure` only after a failure. A service that says nothing is kept running.
    """
    if spec.restart is None or spec.restart.name in ("always", "unless-stopped"):
        return False
    if spec.restart.name == "no":
        return bool(found.started_at) and not found.error
    tried = spec.restart.max_retries and found.restarts >= spec.restart.max_retries
    return found.exit_code == 0 or bool(tried)


def _dropped(wanted: Wanted, found: ContainerState) -> Iterable[Blocked]:
    if dropped := [str(each) for each in found.differences if each.repair == "none"]:
        reason = f"{'; '.join(dropped)}: the engine or the kernel of this host cannot do it"
        yield Blocked(resource=f"container/{wanted.name}", reason=reason, kind="unsupported")


def _rename(wanted: Wanted, found: ContainerState) -> Iterable[Step]:
    if found.name != wanted.name:
        reason = f"name: {wanted.name} wanted, {found.name} found"
        yield RenameContainer(name=wanted.name, id=found.id, reason=reason)


def _update(wanted: Wanted, found: ContainerState) -> Iterable[Step]:
    if updates := [str(each) for each in found.differences if each.repair == "update"]:
        yield UpdateContainer(name=wanted.name, id=found.id, spec=wanted.filled, reason="; ".join(updates))


def _reconnect(wanted: Wanted, found: ContainerState) -> Iterable[Step]:
    wrong = [each for each in found.differences if each.repair == "reconnect"]
    declared = {each.network: each for each in wanted.filled.networks} if wrong else {}
    attached = {network for network, _ in found.addresses}
    for each in wrong:
        common = {"name": wanted.name, "id": found.id, "reason": str(each)}
        if each.subject in attached:
            yield DisconnectNetwork(network=each.subject, **common)
        if attachment := declared.get(each.subject):
            aliases = (wanted.copy.service, *attachment.aliases)
            yield ConnectNetwork(attachment=attachment, aliases=aliases, **common)


def _run(wanted: Wanted, found: ContainerState) -> Iterable[Step]:
    if found.status == "paused":
        yield UnpauseContainer(name=wanted.name, id=found.id, reason="it is paused")
    elif found.status == "created":
        yield StartContainer(name=wanted.name, reason=found.error or "created, but never started")
    elif found.status == "exited" and not finished(wanted.spec, found):
        yield StartContainer(name=wanted.name, reason=found.error or f"exited with {found.exit_code}")
