"""The assignments of all hosts: compute them from the placement and the rollouts, and publish them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from operator import attrgetter
from types import MappingProxyType

from agent.diff.nodes import why_absent
from agent.intent.extent import LONGEST_REASON
from agent.model import leader_steps, records
from agent.model.host_state import HostState
from agent.model.intent import Intent, ServiceIntent
from agent.model.observed import ClusterState
from agent.model.phrases import and_more, cut, first_of, short_id
from agent.model.plan import Plan, blocked_plan, waiting_plan
from agent.model.spec import Key, Pairs
from agent.model.status import ReplicaReport
from agent.planner.leader.address_conflicts import with_recreations, with_replicas
from agent.planner.leader.ipam import reserve_addresses
from agent.planner.leader.rollout import RolloutDecision
from agent.planner.leader.scheduler import Placement, schedule
from agent.planner.leader.scheduler_state import by_service, current_of, silent_hosts

# ---- `depends_on`: the order of the first start of the replicas
#
# A host knows only its own replicas; the leader reads the reports of all hosts. The leader therefore writes into the
# assignment which dependency a replica waits for, and removes the entry once. After that the replica never waits for
# a dependency again, even if the dependency, its host or its container fails or if the replica is rescheduled.


Assignments = Mapping[str, records.Assignment]
_Where = tuple[str, records.Replica]
"""(host, replica)"""


def with_dependencies(
    intent: Intent, wanted: Assignments, current: Assignments, cluster: ClusterState
) -> dict[str, records.Assignment]:
    """Return `wanted` with the unmet dependencies (`waits`) of each replica that was never allowed to start."""
    has = by_service(wanted) if any(each.depends_on for each in intent.services) else {}

    @cache
    def lack(name: str, how: str) -> str:
        where = [(host, each) for host, several in has.get(name, {}).items() for each in several.values()]
        return _lack(name, how, where, cluster)

    unmet = {each.name: why for each in intent.services if (why := _unmet(each.depends_on, lack))}
    if not unmet:
        return dict(wanted)
    free = {replica.key for each in current.values() for replica in each.replicas if not replica.waits}
    free |= {key for status in cluster.statuses.values() for key in status.by_key}

    def held(_: str, replica: records.Replica) -> records.Replica:
        if replica.key in free or replica.service not in unmet:
            return replica
        waits, on = unmet[replica.service]
        return replace(replica, waits=waits, waits_on=on)

    return with_replicas(wanted, held)


def _unmet(needs: Pairs, lack: Callable[[str, str], str]) -> tuple[str, str] | None:
    """Return why the dependencies of a service are not met, and the key of the first; None if they are."""
    unmet = {name: why for name, how in needs if (why := lack(name, how))}
    why = cut("; ".join(unmet.values()), LONGEST_REASON)
    return (why, f"service/{next(iter(unmet))}") if unmet else None


def _lack(service: str, how: str, replicas: list[_Where], cluster: ClusterState) -> str:
    """Return why `service` does not meet `how`; empty if it does. Unreachable hosts count only if all are."""
    reachable = [each for each in replicas if not why_absent(each[0], cluster)]
    to, asked = _CONDITIONS[how]
    left = [
        (each, why) for each in reachable or replicas if (why := _faults(each, asked, cluster)) is not None
    ]
    if not left:
        return ""
    (host, replica), why = left[0]
    return f"depends on {service}: {service}-{replica.slot} on {host} has to {to} first{and_more(len(left))}{why}"


def _faults(where: _Where, asked: Callable[[ReplicaReport], str | None], cluster: ClusterState) -> str | None:
    """Return None if the replica meets the condition, else the cause, which may be empty."""
    host, replica = where
    if absent := why_absent(host, cluster):
        return f", and {host} does not report it: {absent}"
    reports = cluster.statuses[host].by_key.get(replica.key, ())
    found = [asked(each) for each in reports if each.spec == replica.spec or asked is not _completed]
    return None if None in found else next((why for why in found if why), "")


def _started(report: ReplicaReport) -> str | None:
    if report.started_at:
        return None
    return f", and its start fails: {report.error}" if report.error else ""


def _healthy(report: ReplicaReport) -> str | None:
    if report.status == "running" and report.health == "healthy":
        return None
    if report.status == "restarting" or report.crashes > 1:
        return f", and it keeps exiting with {report.exit_code}"
    if report.status in ("exited", "dead"):
        return f", and it exited with {report.exit_code}"
    if report.status == "running" and not report.health:
        return ", and the service has no health check"
    return ", and its health check fails" if report.health == "unhealthy" else ""


def _completed(report: ReplicaReport) -> str | None:
    if report.status != "exited" or report.interrupted or not report.started_at:
        return ""
    return f", and it exited with {report.exit_code}" if report.exit_code else None


_CONDITIONS: Mapping[str, tuple[str, Callable[[ReplicaReport], str | None]]] = {
    "service_started": ("be started", _started),
    "service_healthy": ("be healthy", _healthy),
    "service_completed_successfully": ("complete", _completed),
}
_MOST_NAMED = 8
"""Largest number of details that the reason of one step lists."""
Decisions = Mapping[str, RolloutDecision]
GivenUp = Mapping[tuple[Key, str], str]
_KEY = attrgetter("service", "slot")
"""The order of the replicas of one assignment, which has each key once."""
_NONE: Decisions = MappingProxyType({})
"""No decisions: every replica gets the spec of the intent immediately."""


def assign(
    intent: Intent,
    current: Assignments,
    epoch: int = 0,
    decisions: Decisions = _NONE,
    placement: Placement | None = None,
) -> dict[str, records.Assignment]:
    """Return the assignment of every declared host, and an empty one for each removed host that has one now.

    A replica keeps its slot and its host for as long as the document allows both; a new replica takes the lowest slot
    that no host uses for that service. Deterministic. `placement` None: assume that all hosts are reachable and
    healthy.
    """
    placement = placement or schedule(intent, current)
    held, none = placement.held, records.StartObstacle()
    # Their replicas are assigned with no more than their specs.
    plain = frozenset(host for host, each in placement.current.items() if each.is_plain)
    held_services = {name for name, _ in held}
    # Hosts all of whose services are as they should be: most of a large cluster.
    quiet = {name for name in placement.same - held_services if name in decisions and decisions[name].is_over}
    every = (*placement.has.items(), *placement.slots.items())
    kept = plain.difference(*(hosts for name, hosts in every if name not in quiet))
    replicas = {
        each: [*placement.current[each].replicas] if each in kept else []
        for each in (*(each.name for each in intent.hosts), *sorted(current))
    }
    for service in intent.services:
        name, decision = service.name, decisions.get(service.name)
        decision = decision or RolloutDecision(target=service.spec_hash)
        has = {} if decision.stays or name in held_services else placement.has.get(name, {})
        for host, slots in placement.slots[name].items():
            if host in kept:
                continue
            had = has.get(host, {}) if host in plain else {}
            if [*had] == slots and all(each.spec == decision.target for each in had.values()):
                replicas[host] += had.values()  # as they are: most of a large cluster
                continue
            for slot in slots:
                spec = decision.stays.get((host, slot), decision.target)
                why, on, fault = held.get((name, slot), none)
                replicas[host].append(
                    records.Replica(
                        service=name, slot=slot, spec=spec, held=why, waits_on=on, held_by_fault=fault
                    )
                )
    return {
        host: _assignment(host, intent, mine, epoch, placement.rebalanced, current.get(host))
        for host, mine in replicas.items()
    }


def _assignment(
    host: str,
    intent: Intent,
    replicas: list[records.Replica],
    epoch: int,
    rebalanced: Mapping[str, str],
    before: records.Assignment | None,
) -> records.Assignment:
    """Return the assignment of a host: the very one `before` if nothing changes."""
    services = {each.service for each in replicas}
    declared, known = intent.host(host), before.drained if before else 0
    new = records.Assignment(
        revision=intent.revision,
        project=intent.project,
        replicas=tuple(sorted(replicas, key=_KEY)),
        epoch=epoch,
        pending=intent.pending((each.service, each.spec) for each in replicas),
        asks=intent.asks_of(host, services),
        rebalanced=tuple(sorted((name, at) for name, at in rebalanced.items() if name in services)),
        drained=(known or intent.revision) if declared and declared.availability == "drain" else 0,
    )
    return before if before == new else new


def plan_assignments(
    intent: Intent,
    cluster: ClusterState,
    decisions: Decisions = _NONE,
    seen: HostState | None = None,
    placement: Placement | None = None,
    previous: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """Publish every assignment that differs from the computed one; delete specs that nothing refers to any more.

    `seen` is the leader's own host, whose engine lists the endpoints on the overlays; None: its dockerd does not
    answer. `placement` as for `assign`, `previous` as for `reserve_addresses`.
    """
    if silent := silent_hosts(intent, cluster):
        reason = f"{', '.join(silent)} did not report its replicas yet, and etcd has lost its assignment"
        return waiting_plan("assignments", reason, f"host/{silent[0]}")
    placement = placement or schedule(intent, current_of(intent, cluster))
    current = placement.current
    wanted = assign(intent, current, cluster.epoch, decisions, placement)
    wanted, given_up = reserve_addresses(intent, wanted, current, cluster, seen, previous)
    wanted = with_recreations(with_dependencies(intent, wanted, current, cluster), cluster)
    wanted = _with_prefetching(intent, wanted, placement)
    specs = {**cluster.specs, **{service.spec_hash: service.spec for service in intent.services}}
    steps = []
    for host, assignment in sorted(wanted.items()):
        lost = {spec for _, spec in assignment.specs} - cluster.stored_specs
        needed = sorted(lost & specs.keys())
        if cluster.assignments.get(host) == assignment and not needed:
            continue
        change = _change(cluster.assignments.get(host), assignment, given_up)
        missing = tuple(specs[digest] for digest in needed)
        moves = ((n, s) for n, each in decisions.items() for at, s in each.moves if at == host)
        moved = ", ".join(f"{name}-{slot}" for name, slot in moves)
        reason = f"{change} ({moved} is moved)" if moved else change
        steps.append(
            leader_steps.PublishAssignment(host=host, assignment=assignment, specs=missing, reason=reason)
        )
    plan = _note(intent, cluster, decisions) + Plan((), placement.blocked, placement.waiting)
    return plan + (Plan(tuple(steps)) if steps else _collect(intent, wanted, cluster, decisions))


def _with_prefetching(
    intent: Intent, wanted: Assignments, placement: Placement
) -> dict[str, records.Assignment]:
    """Return `wanted` with each replica that is to move also on its prefetch target, which pulls the image."""
    ready = dict(wanted)
    if not placement.prefetching:
        return ready
    where = {replica.key: (name, replica) for name, each in wanted.items() for replica in each.replicas}
    for key, host in placement.prefetching.items():
        origin, replica = where[key]
        held = f"moves here from {origin} after the image is pulled"
        moved = replace(replica, addresses=(), held=held, waits_on=f"host/{origin}", held_by_fault=False)
        replicas = (*ready[host].replicas, moved)
        asks = intent.asks_of(host, {each.service for each in replicas})
        ready[host] = replace(ready[host], replicas=tuple(sorted(replicas)), asks=asks)
    return ready


def _note(intent: Intent, cluster: ClusterState, decisions: Decisions) -> Plan:
    """Publish and withdraw rollout records, and report each rollout that waits or is paused."""
    plan = Plan()
    for name, decision in decisions.items():
        before, record, service = cluster.rollouts.get(name), decision.record, intent.service(name)
        assert service is not None
        if record and record != before:
            reason = _describe_record(service, record, cluster)
            plan += Plan((leader_steps.PublishRollout(service=name, rollout=record, reason=reason),))
        elif before and not record:
            reason = f"all replicas have {_called(service, decision.target, cluster)}"
            plan += Plan((leader_steps.WithdrawRollout(service=name, reason=reason),))
        elif record and decision.waits and not decision.moves:
            target = _called(service, decision.target, cluster)
            reason = f"{decision.moved} of {decision.total} replicas moved to {target}; {decision.waits}"
            if record.state in ("moving", "rolling-back"):
                plan += waiting_plan(f"rollout/{name}", reason, decision.waits_on)
            else:
                plan += blocked_plan(f"rollout/{name}", "rollout", reason)
    for name in sorted(cluster.rollouts.keys() - decisions.keys()):
        plan += Plan((leader_steps.WithdrawRollout(service=name, reason="removed from the document"),))
    return plan


def _describe_record(service: ServiceIntent, record: records.Rollout, cluster: ClusterState) -> str:
    before, to = _called(service, record.before, cluster), _called(service, record.to, cluster)
    what = {
        "moving": f"{before} -> {to}",
        "paused": f"{before} -> {to} is paused",
        "rolling-back": f"{to} -> {before}, rollback",
        "rollback-paused": f"{to} -> {before}, rollback, is paused",
        "rolled-back": f"back at {before}",
    }[record.state]
    return f"{what}: {record.why}" if record.why else what


def _called(service: ServiceIntent, digest: str, cluster: ClusterState) -> str:
    """Return the image of a spec, followed by the hash if the intent's spec has the same image."""
    if digest == service.spec_hash:
        return service.spec.image
    spec = cluster.specs.get(digest)
    if spec is None:
        return f"spec {short_id(digest)}"
    return spec.image if spec.image != service.spec.image else f"{spec.image} as before ({short_id(digest)})"


def _collect(intent: Intent, wanted: Assignments, cluster: ClusterState, decisions: Decisions) -> Plan:
    assigned = {**cluster.assignments, **wanted}.values()
    named = {spec for assignment in assigned for _, spec in assignment.specs}
    # A rollback needs the spec before the rollout, also when no replica has it any more.
    rollouts = (*cluster.rollouts.values(), *(each.record for each in decisions.values() if each.record))
    named |= {digest for each in rollouts for digest in (each.before, each.to)}
    # A host that runs an old spec compares with it until the replacement is done; then all unused specs are deleted.
    # A removed host compares nothing, and its last report may stay in etcd permanently.
    declared = [cluster.statuses[each.name] for each in intent.hosts if each.name in cluster.statuses]
    running = frozenset[str]().union(*(status.specs for status in declared))
    unused = () if running - named else tuple(sorted(cluster.stored_specs - named))
    collect = leader_steps.CollectSpecs(digests=unused, reason="no replica uses them")
    return Plan((collect,) if unused else ())


def _addresses(
    before: Mapping[Key, records.Replica], new: records.Assignment, given_up: GivenUp
) -> list[str]:
    """Return the changes of reserved addresses, of waits and of ordered recreations, for the reason of a step."""
    changes = []
    for replica in new.replicas:
        was = before.get(replica.key, replica.made_as)
        name, had = f"{replica.service}-{replica.slot}", dict(was.addresses)
        for network, address in replica.addresses:
            if had.get(network) != address:
                was_at = given_up.get((replica.key, network))
                instead = f" instead of {was_at}" if was_at else ""
                changes.append(f"{name} is at {address} on {network}{instead}")
        changes += [
            f"{name} keeps no address on {each}"
            for each in sorted(had.keys() - dict(replica.addresses).keys())
        ]
        waits, waited = replica.held or replica.waits, was.held or was.waits
        if waited and not waits:
            changes.append(f"{name} no longer waits")
        elif waits != waited:
            changes.append(f"{name} waits: {waits}")
        if replica.recreate != was.recreate:
            changes += [f"{name} is recreated: {why}" for _, why in replica.recreate]
    return first_of(changes, _MOST_NAMED, "{} more addresses")


def _change(old: records.Assignment | None, new: records.Assignment, given_up: GivenUp) -> str:
    before = {replica.key: replica for replica in old.replicas} if old else {}
    after = {replica.key: replica.spec for replica in new.replicas}
    changed = sum(before[key].spec != after[key] for key in before.keys() & after.keys())
    counts = (
        (len(after.keys() - before.keys()), "new"),
        (changed, "changed"),
        (len(before.keys() - after.keys()), "dropped"),
    )
    changes = [f"{count} {word}" for count, word in counts if count]
    changes += _addresses(before, new, given_up)
    unchanged = "no replica changed yet" if new.pending else "no replica changed"
    what = ", ".join(changes) if changes else unchanged if old != new else "re-publish specs missing in etcd"
    return f"revision {new.revision}: {what}"
