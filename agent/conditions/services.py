"""The conditions of services and rollouts, from those of their replicas."""

from collections.abc import Sequence
from dataclasses import replace

from agent.conditions.condition import Condition, ReplicaCondition, ServiceCondition
from agent.conditions.finding import APPLY, READY, SEVERITY, Blocked, Degraded, Finding, Progressing, Ready
from agent.conditions.replicas import desired_replicas
from agent.conditions.reports import Reports
from agent.model.intent import ServiceIntent
from agent.model.phrases import and_more, first_of, short_id
from agent.model.records import Rollout

_MOST_NAMED = 8
"""Largest number of replicas that a text names."""
_FIRST_START = ("NotAssigned", "Starting", "WaitsForDependency")


# ---- Rollouts


def rollout_condition(
    service: ServiceIntent, rollout: Rollout, replicas: Sequence[ReplicaCondition], reports: Reports
) -> Condition:
    """Return the condition of a rollout. It counts the replicas that really run the target by current reports."""
    total = len(replicas)
    updated = sum(each.updated for each in replicas)
    if rollout.back:
        updated = sum(each.running and not each.updated for each in replicas)
    count = f"{updated} of {total} replicas {'rolled back' if rollout.back else 'updated'}"
    image = reports.target(service.name)[1].image
    spec = reports.cluster.specs.get(rollout.before)
    before = f"the previous spec ({short_id(rollout.before)})"
    found = _of_state(rollout, count, image, spec.image if spec and spec.image != image else before)
    staying = [f"{each.condition.name} on {each.host}" for each in replicas if each.updated and each.running]
    if staying and found.reason == "RolledBack" and service.replicas is None:
        names = ", ".join(first_of(staying, _MOST_NAMED, "{} more"))
        why = f"{names} (`rollback: own_failures` under `admission` in agent.yaml)"
        found = found._replace(text=f"{found.text}. Left with the newer spec, which works there: {why}")
    if found.state == "Progressing":
        resource = f"rollout/{service.name}"
        on = next((each.on for each in reports.leader_waiting() if each.resource == resource), "")
        updated_ones = (each.condition for each in replicas if each.updated)
        if slow := next((each for each in updated_ones if each.state != "Ready"), None):
            cause = slow.key if slow.cause not in ("", resource) else ""
            found = found._replace(text=f"{found.text}; {slow.name}: {slow.text}", cause=cause)
        else:
            # A replica that only waits until others are updated has this rollout as its cause.
            late = (each.condition for each in replicas if each.condition.cause != resource)
            on = on or next((each.key for each in late if each.state != "Ready"), "")
            found = found._replace(cause=on)
    return Condition.of("rollout", service.name, found, revision=reports.accepted_revision)


def _of_state(rollout: Rollout, count: str, image: str, before: str) -> Finding:
    match rollout.state:
        case "moving":
            return Progressing("Rollout", f"{count} to {image}")
        case "rolling-back":
            return Progressing("RollingBack", f"{count} to {before}, because {rollout.why}")
        case "rolled-back":
            text = f"rolled back to {before}, because {rollout.why}: apply a corrected document"
            return Degraded("RolledBack", text, APPLY)
        case "paused" | "rollback-paused":
            what = "paused" if rollout.state == "paused" else "the rollback is paused"
            text = f"{what}, {count}, because {rollout.why}: roll back, or apply a corrected document"
            return Blocked("RolloutPaused", text, "swarmkeeper rollback")


# ---- Services


def service_condition(
    service: ServiceIntent, replicas: Sequence[ReplicaCondition], rollout: Condition | None, reports: Reports
) -> ServiceCondition:
    """Return the condition of a service: that of its worst replica, or of its rollout."""
    desired = desired_replicas(service, reports)
    known = [each for each in replicas if each.condition.state != "Unknown"]
    found = _of_service(desired, replicas, rollout, reports)
    revision = min((each.condition.revision for each in replicas), default=reports.accepted_revision)
    row = ServiceCondition(
        condition=Condition.of("service", service.name, found, revision=revision),
        desired=desired,
        running=sum(each.running for each in known),
        ready=sum(each.ready for each in known),
        updated=sum(each.updated for each in known),
        unknown=len(replicas) - len(known),
        image=reports.target(service.name)[1].image,
    )
    return replace(row, condition=replace(row.condition, critical=_is_down(row, replicas)))


def _of_service(
    desired: int, replicas: Sequence[ReplicaCondition], rollout: Condition | None, reports: Reports
) -> Finding:
    conditions = [each.condition for each in replicas]
    faulty = [each for each in conditions if each.is_fault]
    if rollout and rollout.is_fault:
        return Finding(
            rollout.state, rollout.reason, f"its rollout: {rollout.text}", rollout.command, cause=rollout.key
        )
    # A known fault says more than an unknown replica.
    own = [each for each in faulty if not each.cause]
    known = [each for each in own or faulty if each.state != "Unknown"] or faulty
    if known:
        return _from_replicas(max(known, key=lambda each: SEVERITY[each.state]), faulty, replicas)
    if rollout and rollout.state == "Progressing":
        return Finding(rollout.state, rollout.reason, rollout.text, cause=rollout.key)
    if left := [each for each in conditions if each.state == "Progressing"]:
        first = left[0]
        text = f"{first.name}: {first.text}{and_more(len(left))}"
        return Progressing(first.reason, text, cause=first.cause)
    if len(replicas) > desired:
        text = f"{len(replicas)} replicas are assigned, {desired} are declared"
        return Progressing("Moving", text, cause=reports.assigner)
    if desired and all(each.reason == "Completed" for each in conditions):
        return Ready("Completed", "every replica has completed with exit code 0")
    return READY


def _from_replicas(
    worst: Condition, faulty: Sequence[Condition], replicas: Sequence[ReplicaCondition]
) -> Finding:
    """Return the finding of the worst replica; the cause is elsewhere only if no replica has a fault of its own."""
    host = next(each.host for each in replicas if each.condition == worst)
    where = f"{worst.name} on {host}" if host else worst.name
    return Finding(
        worst.state,
        worst.reason,
        f"{where}: {worst.text}{and_more(len(faulty))}",
        worst.command,
        cause=worst.cause if all(each.cause for each in faulty) else "",
        since=worst.since,
        attempts=worst.attempts,
    )


def _is_down(row: ServiceCondition, replicas: Sequence[ReplicaCondition]) -> bool:
    """Return True if no replica of the service is at work, except at its first start and in a monitor window."""
    if row.desired == 0 or row.ready > 0:
        return False
    if row.condition.state != "Progressing":
        return row.condition.is_fault
    first_start = all(each.condition.reason in _FIRST_START for each in replicas)
    return not first_start and row.running == 0


def with_service_as_cause(replica: ReplicaCondition, service: ServiceCondition) -> ReplicaCondition:
    """Return the replica with its service as cause, if the fault is its own: several such are one problem."""
    condition = replica.condition
    if condition.cause or condition.state == "Ready":
        return replica
    cause = service.condition.cause or service.condition.key
    return replace(replica, condition=replace(condition, cause=cause))
