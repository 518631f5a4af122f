"""Which host runs which replicas, and telling the hosts so."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from agent.model import leader_steps, records
from agent.model.host_state import HostState
from agent.model.intent import Intent, ServiceIntent
from agent.model.observed import ClusterState
from agent.model.phrases import and_more, first_of, short_id
from agent.model.plan import Blocked, Plan, blocked_plan
from agent.model.spec import Key, spec_hash
from agent.model.status import ReplicaReport
from agent.planner.leader.address_conflicts import with_recreations
from agent.planner.leader.ipam import pin_addresses
from agent.planner.leader.rollout import RolloutDecision
from agent.planner.leader.scheduler import Placement, schedule, settled
from agent.planner.leader.scheduler_state import current_of, silent_hosts

# ---- `depends_on`: in which order the replicas of a cluster start for the first time
#
# A host knows only its own replicas, the leader what all hosts say. So the leader writes into the assignment
# what a replica still waits for, and takes it out again for good: a replica that was let start once is never held
# up for a dependency again, whatever becomes of that, of its host or of its container, nor does it wait on
# another host.


Assignments = Mapping[str, records.Assignment]
_Where = tuple[str, records.Replica]
"""A replica, behind the name of its host."""


def hold_first_starts(
    intent: Intent, wanted: Assignments, current: Assignments, cluster: ClusterState
) -> dict[str, records.Assignment]:
    """`wanted`, in which every replica that has to wait for another service says for what."""
    free = _let_start(current, cluster)
    waits = {each.name: _unmet(each.depends_on, wanted, cluster) for each in intent.services}

    def held(replica: records.Replica) -> records.Replica:
        return replica if replica.key in free else replace(replica, waits=waits[replica.service])

    return {
        name: replace(each, replicas=tuple(held(replica) for replica in each.replicas))
        for name, each in wanted.items()
    }


def _let_start(current: Assignments, cluster: ClusterState) -> set[Key]:
    """Those that were let start before, or have been started anyhow."""
    found = {each.key for status in cluster.statuses.values() for each in status.replicas}
    return found | {
        replica.key for each in current.values() for replica in each.replicas if not replica.waits
    }


def _unmet(needs: tuple[tuple[str, str], ...], wanted: Assignments, cluster: ClusterState) -> str:
    """What of a service's dependencies is not as far, in words; empty when all is."""
    return "; ".join(why for name, how in needs if (why := _lack(name, how, wanted, cluster)))


def _lack(service: str, how: str, wanted: Assignments, cluster: ClusterState) -> str:
    """The first replica of `service` that is not as far. One on a host that says nothing counts only if all are."""
    replicas = [(host, replica) for host, each in sorted(wanted.items()) for replica in each.replicas]
    replicas = [each for each in replicas if each[1].service == service]
    there = [each for each in replicas if (status := cluster.status_of(each[0])) and status.engine_up]
    to, asked = _CONDITIONS[how]
    left = [(each, why) for each in there or replicas if (why := _faults(each, asked, cluster)) is not None]
    if not left:
        return ""
    (host, replica), why = left[0]
    return f"depends on {service}: {service}-{replica.slot} on {host} has to {to} first{and_more(len(left))}{why}"


def _faults(where: _Where, asked: Callable[[ReplicaReport], str | None], cluster: ClusterState) -> str | None:
    """None: it is as far; else what keeps it, in words, where that is known."""
    host, replica = where
    status = cluster.status_of(host)
    if status is None or not status.engine_up:
        return f", and {host} is away"
    reports = [each for each in status.replicas if each.key == replica.key]
    found = [asked(each) for each in reports if each.spec == replica.spec or asked is not _completed]
    return None if None in found else next((why for why in found if why), "")


def _started(report: ReplicaReport) -> str | None:
    return None if report.started_at else ""


def _healthy(report: ReplicaReport) -> str | None:
    if report.status != "running":
        return ""
    if not report.health:
        return ", and it has no health check"
    return None if report.health == "healthy" else ""


def _completed(report: ReplicaReport) -> str | None:
    if report.status != "exited" or not report.started_at:
        return ""
    return f", and it exited with {report.exit_code}" if report.exit_code else None


_CONDITIONS: Mapping[str, tuple[str, Callable[[ReplicaReport], str | None]]] = {
    "service_started": ("be started", _started),
    "service_healthy": ("be healthy", _healthy),
    "service_completed_successfully": ("complete", _completed),
}
_MOST_TOLD = 8
"""Addresses that are named in the reason of one step."""
Decisions = Mapping[str, RolloutDecision]
GivenUp = Mapping[tuple[Key, str], str]
NONE: Decisions = MappingProxyType({})
"""Every replica has what the intent says at once."""


def assign(
    intent: Intent,
    current: Mapping[str, records.Assignment],
    epoch: int = 0,
    decisions: Decisions = NONE,
    placement: Placement | None = None,
) -> dict[str, records.Assignment]:
    """The replicas of every declared host, and none for a host that has some now and is not declared any more.

    A replica keeps its slot and its host for as long as the document allows both; a new replica takes the lowest slot
    that no host uses for that service. Deterministic: the same intent and the same current assignments give the same.
    `placement` says who runs which; None: as all hosts are there and well.
    """
    placement = placement or schedule(intent, current)
    replicas: dict[str, list[records.Replica]] = {each.name: [] for each in intent.hosts}
    replicas |= {name: [] for name in sorted(current) if name not in replicas}
    for service in intent.services:
        decision = decisions.get(service.name) or RolloutDecision(target=spec_hash(service.spec))
        for host, slots in placement.slots[service.name].items():
            specs = {slot: decision.stays.get((host, slot), decision.target) for slot in slots}
            replicas[host] += [
                records.Replica(
                    service=service.name, slot=n, spec=spec, held=placement.held.get((service.name, n), "")
                )
                for n, spec in specs.items()
            ]
    return {
        host: records.Assignment(
            revision=intent.revision,
            project=intent.project,
            replicas=tuple(sorted(mine)),
            epoch=epoch,
            pending=_pending(intent, mine),
        )
        for host, mine in replicas.items()
    }


def plan_assignments(
    intent: Intent,
    cluster: ClusterState,
    decisions: Decisions = NONE,
    seen: HostState | None = None,
    placement: Placement | None = None,
) -> Plan:
    """Publish every assignment that is not as it shall be, and collect the specs nobody names any more.

    `seen` is the leader's own host, which sees what the swarm has on its overlays; None: its dockerd does not answer.
    `placement` as for `assign`.
    """
    if silent := silent_hosts(intent, cluster):
        reason = f"{', '.join(silent)} did not report yet which replicas run there, and etcd has lost it"
        return blocked_plan("assignments", "waiting", reason)
    current = current_of(intent, cluster)
    placement = placement or schedule(intent, current)
    wanted = assign(intent, current, cluster.epoch, decisions, placement)
    settled_now = settled(intent, current, placement)
    wanted, given_up = pin_addresses(intent, wanted, settled_now, cluster, seen)
    wanted = with_recreations(hold_first_starts(intent, wanted, settled_now, cluster), cluster)
    wanted = _made_ready(wanted, placement)
    specs = {**cluster.specs, **{spec_hash(service.spec): service.spec for service in intent.services}}
    steps = []
    for host, assignment in sorted(wanted.items()):
        lost = {replica.spec for replica in assignment.replicas} - cluster.stored_specs
        needed = sorted(lost & specs.keys())
        if cluster.assignments.get(host) == assignment and not needed:
            continue
        change = _change(intent, cluster.assignments.get(host), assignment, given_up) + _moves(
            host, decisions
        )
        missing = tuple(specs[digest] for digest in needed)
        steps.append(
            leader_steps.PublishAssignment(host=host, assignment=assignment, specs=missing, reason=change)
        )
    plan = _note(intent, cluster, decisions) + Plan(blocked=placement.blocked)
    return plan + (Plan(tuple(steps)) if steps else _collect(intent, wanted, cluster, decisions))


def _made_ready(
    wanted: Mapping[str, records.Assignment], placement: Placement
) -> dict[str, records.Assignment]:
    """`wanted` with each replica that is about to move also where it goes: its image is pulled there."""
    ready = dict(wanted)
    where = {replica.key: (name, replica) for name, each in wanted.items() for replica in each.replicas}
    for key, host in placement.prefetching.items():
        origin, replica = where[key]
        held = f"it moves here from {origin} when its image is here"
        replicas = (*ready[host].replicas, replace(replica, addresses=(), held=held))
        ready[host] = replace(ready[host], replicas=tuple(sorted(replicas)))
    return ready


def _pending(intent: Intent, replicas: list[records.Replica]) -> tuple[str, ...]:
    asked = {service.name: spec_hash(service.spec) for service in intent.services}
    return tuple(sorted({replica.service for replica in replicas if replica.spec != asked[replica.service]}))


def _note(intent: Intent, cluster: ClusterState, decisions: Decisions) -> Plan:
    """Keep the records of the rollouts, and say what they wait for."""
    steps: list[leader_steps.PublishRollout | leader_steps.WithdrawRollout] = []
    blocked = []
    for name, decision in decisions.items():
        before, service = cluster.rollouts.get(name), intent.service(name)
        assert service is not None
        if decision.record and decision.record != before:
            reason = _record_only(service, decision, cluster)
            steps.append(leader_steps.PublishRollout(service=name, rollout=decision.record, reason=reason))
        elif before and not decision.record:
            steps.append(
                leader_steps.WithdrawRollout(
                    service=name, reason=f"all replicas have {_called(service, decision.target, cluster)}"
                )
            )
        elif decision.record and decision.waits and not decision.moves:
            blocked.append(_waiting(service, decision, cluster))
    gone = sorted(cluster.rollouts.keys() - decisions.keys()) if decisions is not NONE else ()
    steps += [
        leader_steps.WithdrawRollout(service=name, reason="the intent does not name the service")
        for name in gone
    ]
    return Plan(tuple(steps), tuple(blocked))


def _record_only(service: ServiceIntent, decision: RolloutDecision, cluster: ClusterState) -> str:
    record = decision.record
    assert record is not None
    before, to = _called(service, record.before, cluster), _called(service, record.to, cluster)
    what = {
        "moving": f"{before} -> {to}",
        "paused": f"{before} -> {to} is paused",
        "rolling-back": f"{to} -> {before}, back again",
        "rollback-paused": f"{to} -> {before}, back again, is paused",
        "rolled-back": f"back at {before}",
    }[record.state]
    return f"{what}: {record.why}" if record.why else what


def _waiting(service: ServiceIntent, decision: RolloutDecision, cluster: ClusterState) -> Blocked:
    record = decision.record
    assert record is not None
    target = _called(service, decision.target, cluster)
    reason = f"{decision.moved} of {decision.total} replicas moved to {target}; {decision.waits}"
    under_way = record.state in ("moving", "rolling-back")
    return Blocked(
        resource=f"rollout/{service.name}", reason=reason, kind="waiting" if under_way else "rollout"
    )


def _called(service: ServiceIntent, digest: str, cluster: ClusterState) -> str:
    """The image of a spec, with its hash where that alone does not tell it from the one of the intent."""
    if digest == spec_hash(service.spec):
        return service.spec.image
    spec = cluster.specs.get(digest)
    if spec is None:
        return f"spec {short_id(digest)}"
    return spec.image if spec.image != service.spec.image else f"{spec.image} as before ({short_id(digest)})"


def _moves(host: str, decisions: Decisions) -> str:
    told = [f"{name}-{slot}" for name, each in decisions.items() for at, slot in each.moves if at == host]
    return f" ({', '.join(told)} is moved)" if told else ""


def _collect(
    intent: Intent, wanted: Mapping[str, records.Assignment], cluster: ClusterState, decisions: Decisions
) -> Plan:
    assigned = {**cluster.assignments, **wanted}.values()
    named = {replica.spec for assignment in assigned for replica in assignment.replicas}
    # The way back of a rollout goes to the spec before, also when no replica has it any more.
    ways = (*cluster.rollouts.values(), *(each.record for each in decisions.values() if each.record))
    named |= {digest for each in ways for digest in (each.before, each.to)}
    # A host that still runs an old spec compares with it, until the replacement is done. Then all go at once.
    # One that was removed has nothing to compare with, and its last report may stay for good.
    declared = [cluster.statuses[each.name] for each in intent.hosts if each.name in cluster.statuses]
    running = {replica.spec for status in declared for replica in status.replicas}
    unused = () if running - named else tuple(sorted(cluster.stored_specs - named))
    return (
        Plan((leader_steps.CollectSpecs(digests=unused, reason="no replica has them any more"),))
        if unused
        else Plan()
    )


def _addresses(old: records.Assignment | None, new: records.Assignment, given_up: GivenUp) -> list[str]:
    """Which addresses change, and who does not wait for one any more."""
    before = {replica.key: replica for replica in old.replicas} if old else {}
    told = []
    for replica in new.replicas:
        was = before.get(replica.key)
        name, had = f"{replica.service}-{replica.slot}", dict(was.addresses) if was else {}
        for network, address in replica.addresses:
            if had.get(network) != address:
                was_at = given_up.get((replica.key, network))
                instead = f" instead of {was_at}" if was_at else ""
                told.append(f"{name} is at {address} on {network}{instead}")
        told += [
            f"{name} keeps no address on {each}"
            for each in sorted(had.keys() - dict(replica.addresses).keys())
        ]
        waits, waited = replica.held or replica.waits, (was.held or was.waits) if was else ""
        if waited and not waits:
            told.append(f"{name} waits no more")
        elif waits != waited:
            told.append(f"{name} waits: {waits}")
        told += [
            f"{name} is recreated: {why}"
            for _, why in replica.recreate
            if not was or replica.recreate != was.recreate
        ]
    return first_of(told, _MOST_TOLD, "{} more addresses")


def _change(
    intent: Intent, old: records.Assignment | None, new: records.Assignment, given_up: GivenUp
) -> str:
    before = {replica.key: replica.spec for replica in old.replicas} if old else {}
    after = {replica.key: replica.spec for replica in new.replicas}
    changed = sum(1 for key in before.keys() & after.keys() if before[key] != after[key])
    counts = (
        (len(after.keys() - before.keys()), "new"),
        (changed, "changed"),
        (len(before.keys() - after.keys()), "dropped"),
    )
    told = [f"{count} {word}" for count, word in counts if count]
    told += _addresses(old, new, given_up)
    unchanged = "no replica changed yet" if new.pending else "no replica changed"
    what = ", ".join(told) if told else unchanged if old != new else "its specs were lost"
    return f"revision {intent.revision}: {what}"
