"""The scheduler: the hosts of replicas with `deploy.replicas`, and the replicas of drained hosts.

A replica keeps its slot and its host for as long as the document and the host allow it. It leaves in one of two ways:

- its host is gone or removed, or its port is in use there: it gets another host immediately;
- its host is drained, must not run it any more, or has too many while its service is rebalanced: another host
  prefetches the image while the replica continues to run. Then it moves: one replica of a service at a time, and the
  next one when the moved one is healthy.

A replica never runs on two hosts, as it keeps its name and its addresses. The new host starts it only after the old
host has reported that its container is removed.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter

from agent.diff.capacity import NOT_REPORTED
from agent.diff.nodes import LeaderView
from agent.model.intent import Intent, ServiceIntent
from agent.model.plan import Blocked, Plan, blocked_plan, soonest, waiting_plan
from agent.model.records import Assignment, Replica, StartObstacle
from agent.model.spec import Key
from agent.model.status import Waiting
from agent.planner.leader.host_picker import HostPicker
from agent.planner.leader.rescheduler import ReplicaScheduler
from agent.planner.leader.scheduler_state import Has, SchedulerState, Slots, by_service, current_of, slots_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    slots: Mapping[str, Slots]
    """Service -> host -> slots of its replicas there. No slot is on two hosts."""
    prefetching: Mapping[Key, str] = field(default_factory=dict)
    """Service and slot -> prefetch target."""
    held: Mapping[Key, StartObstacle] = field(default_factory=dict)
    """Service and slot -> why the replica must not start yet."""
    current: Mapping[str, Assignment] = field(default_factory=dict)
    """The current assignments, with each scheduled replica on its placed host only."""
    has: Mapping[str, Has] = field(default_factory=dict)
    """The replicas of `current` by service."""
    rebalanced: Mapping[str, str] = field(default_factory=dict)
    """Service -> the last order to rebalance that is carried out."""
    same: frozenset[str] = frozenset()
    """Services whose `slots` are those of `has`; others may be so too."""
    blocked: tuple[Blocked, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    again_s: float = 0.0
    """Seconds until time alone may change the placement; 0: never."""


def schedule(
    intent: Intent, current: Mapping[str, Assignment], observed: LeaderView | None = None
) -> Placement:
    """Return the placement of every service. Deterministic. Without `observed` all hosts are assumed to be healthy."""
    state = SchedulerState(intent, current, observed)
    picker = HostPicker(intent, state)
    schedulers = {
        each.name: ReplicaScheduler(each, state, picker)
        for each in intent.services
        if each.replicas is not None
    }
    for each in schedulers.values():
        each.keep()
    withheld, left = _withhold(intent, state, picker)
    for each in schedulers.values():
        each.complete()
    slots: dict[str, Slots] = {}
    for service in intent.services:
        if service.name in schedulers:
            slots[service.name] = schedulers[service.name].slots
            left += schedulers[service.name].left
        else:
            counts = _counts(service, state, schedulers, withheld)
            kept_on = partial(state.kept_on, service=service.name)
            slots[service.name] = slots_of(state.has.get(service.name, {}), counts, kept_on)
            left += _refused(service, counts, state)
    left += _draining(state)
    times = [in_s for each in schedulers.values() for in_s in each.again]
    stays = all(each.is_as_assigned for each in schedulers.values())
    has = {name: state.has.get(name, {}) for name in slots.keys() - schedulers.keys()}
    other = {name for name, on in has.items() if {host: [*each] for host, each in on.items()} != slots[name]}
    current = current if stays else _settled(intent, current, slots)
    return Placement(
        slots=slots,
        current=current,
        has=state.has if stays else by_service(current),
        rebalanced={
            name: each.rebalanced
            for name, each in schedulers.items()
            if each.rebalanced and each.service.rebalanced_at
        },
        same=frozenset(slots.keys() - other) if stays else frozenset(),
        prefetching={
            (name, slot): host for name, each in schedulers.items() for slot, host in each.prefetching.items()
        },
        held={key: why for each in schedulers.values() for key, why in each.held()},
        blocked=left.blocked,
        waiting=left.waiting,
        again_s=soonest(*times),
    )


def placement_of(intent: Intent, observed: LeaderView) -> Placement:
    """Return the placement that the leader computes from its observed state."""
    return schedule(intent, current_of(intent, observed.cluster), observed)


def _settled(
    intent: Intent, current: Mapping[str, Assignment], placed: Mapping[str, Slots]
) -> Mapping[str, Assignment]:
    scheduled = {each.name for each in intent.services if each.replicas is not None}
    to = {(name, slot): host for name in scheduled for host, slots in placed[name].items() for slot in slots}
    mine: dict[str, list[Replica]] = {host: [] for host in current}
    found: defaultdict[Key, list[tuple[bool, bool, Replica]]] = defaultdict(list)
    for host, own in sorted(current.items()):
        for replica in own.replicas:
            if replica.service not in scheduled:
                mine[host].append(replica)
            elif replica.key in to:
                found[replica.key].append((host != to[replica.key], bool(replica.held), replica))
    for key, assigned in found.items():
        # The assignment of its placed host counts, else the first one with which it may start.
        *_, replica = min(assigned, key=itemgetter(0, 1))
        mine.setdefault(to[key], []).append(replica)
    none = Assignment(revision=intent.revision, project=intent.project)
    return {
        host: replace(current.get(host, none), replicas=tuple(sorted(replicas)))
        for host, replicas in mine.items()
    }


_Withheld = set[tuple[str, str]]
"""(service, host) of replicas of mode global."""


def _withhold(intent: Intent, state: SchedulerState, picker: HostPicker) -> tuple[_Withheld, Plan]:
    """Return the global replicas that their host does not get, and reserve for the others. What runs there stays."""
    withheld, left = _Withheld(), Plan()
    for service in intent.services:
        for name, _ in service.placement if service.everywhere else ():
            host, lacking = intent.host(name), picker.why_lacking(service, name)
            here, resource = name in state.has.get(service.name, {}), f"placement/{service.name}"
            if picker.why_unmet(service, name):
                withheld.add((service.name, name))
            elif not lacking and not here:
                picker.reserve(service, name, 1)
            elif not here and host and host.availability == "active":
                withheld.add((service.name, name))
                waits, reason = lacking == NOT_REPORTED, f"{name}: {lacking}"
                left += (
                    waiting_plan(resource, reason, f"host/{name}")
                    if waits
                    else blocked_plan(resource, "placement", reason)
                )
    return withheld, left


def _counts(
    service: ServiceIntent,
    state: SchedulerState,
    schedulers: Mapping[str, ReplicaScheduler],
    withheld: _Withheld,
) -> dict[str, int]:
    """Return host -> number of replicas for a service with fixed replicas."""
    has = state.has.get(service.name, {})
    counts = {}
    for name, count in service.placement:
        if (service.name, name) in withheld:
            counts[name] = 0
            continue
        host, kept = state.intent.host(name), min(count, len(has.get(name, {})))
        availability = host.availability if host else "active"
        if availability == "drain":
            # Replicas that can move leave first: they may depend on the fixed ones until then.
            leaving = state.is_reachable(name) and any(name in each.origins for each in schedulers.values())
            counts[name] = kept if leaving else 0
        else:
            counts[name] = count if availability == "active" else kept
    return counts


def _refused(service: ServiceIntent, counts: Mapping[str, int], state: SchedulerState) -> Plan:
    """Block for fixed replicas that the document puts on a paused host."""
    plan = Plan()
    for name, count in () if service.everywhere else service.placement:
        host = state.intent.host(name)
        if host and host.availability == "pause" and counts[name] < count:
            reason = f"{name} is paused and takes no new replicas: {counts[name]} of {count} exist"
            plan += blocked_plan(f"placement/{service.name}", "placement", reason)
    return plan


def _draining(state: SchedulerState) -> Plan:
    plan = Plan()
    for host in state.intent.hosts:
        status = state.status(host.name)  # the last one: the host may be unreachable
        if host.availability == "drain" and status and status.replicas:
            left = sorted(each.name for each in status.replicas)
            reports = state.is_reachable(host.name)
            silent = "" if reports else f" by its last report; now {state.describe_absence(host.name)}"
            reason = f"{host.name} is not empty yet: {', '.join(left)}{silent}"
            plan += waiting_plan(f"drain/{host.name}", reason, "" if reports else f"host/{host.name}")
    return plan
