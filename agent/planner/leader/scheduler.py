"""On which hosts the replicas run whose hosts the leader chooses.

And what happens to replicas on a host that is drained.

A replica keeps its slot and its host for as long as the document and the host allow it. It leaves in one of two ways:

- its host is gone, or the replica must not stay for a moment: then it gets another host at once;
- its host is drained, or may not run it any more: then another host prefetches the image, while
  the replica goes on running where it is (`prefetching`). Only then it moves, one replica of a service at a time, and
  the next one when that one is well.

No replica is on two hosts at a time: it keeps its name, and with it whatever address is its own. Where it comes to, it
is held until the host it comes from says that nothing is left of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from agent.diff.nodes import etcd_of, led_by
from agent.model.intent import Intent, ServiceIntent
from agent.model.observed import Observed
from agent.model.plan import Blocked
from agent.model.records import Assignment, Replica
from agent.model.spec import Key
from agent.planner.leader.rescheduler import HostPicker, ReplicaScheduler
from agent.planner.leader.scheduler_state import SchedulerState, Slots, current_of, replicas_of, slots_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Who runs what."""

    slots: Mapping[str, Slots]
    """Service -> host -> slots of the replicas that are to run there. No slot is on two hosts."""
    prefetching: Mapping[Key, str] = field(default_factory=dict)
    """The host that prefetches the image of a replica."""
    held: Mapping[Key, str] = field(default_factory=dict)
    """Why a replica must not be started yet, in words."""
    blocked: tuple[Blocked, ...] = ()
    again_s: float = 0.0
    """In how many seconds something may be different although nothing tells; 0: not by time alone."""


def schedule(
    intent: Intent, current: Mapping[str, Assignment], observed: Observed | None = None
) -> Placement:
    """Where the replicas of every service are to run, from where they are assigned now. Deterministic.

    Without `observed` all hosts are taken for there and well.
    """
    state = SchedulerState(intent, current, observed)
    picker = HostPicker(intent, state)
    schedulers = {
        each.name: ReplicaScheduler(each, state, picker)
        for each in intent.services
        if each.replicas is not None
    }
    for each in schedulers.values():
        each.keep()
    for each in schedulers.values():
        each.complete()
    slots: dict[str, Slots] = {}
    blocked: list[Blocked] = []
    for service in intent.services:
        if service.name in schedulers:
            slots[service.name] = schedulers[service.name].slots
            blocked += schedulers[service.name].blocked
        else:
            counts = _counts(service, state, schedulers)
            slots[service.name] = slots_of(service, current, counts)
            blocked += _refused(service, counts, state)
    blocked += _draining(state)
    times = [in_s for each in schedulers.values() for in_s in each.again]
    return Placement(
        slots=slots,
        prefetching={
            (name, slot): host for name, each in schedulers.items() for slot, host in each.prefetching.items()
        },
        held={key: why for each in schedulers.values() for key, why in each.held()},
        blocked=tuple(blocked),
        again_s=min(times, default=0.0),
    )


def placement_of(intent: Intent, observed: Observed) -> Placement:
    """As `place`, for who leads."""
    return schedule(intent, current_of(intent, etcd_of(observed)), observed)


def schedules_again_in_s(observed: Observed) -> float:
    """In how many seconds a replica may be moved although nothing tells; 0: none is."""
    intent = led_by(observed)
    return placement_of(intent, observed).again_s if intent else 0.0


def settled(intent: Intent, current: Mapping[str, Assignment], placement: Placement) -> dict[str, Assignment]:
    """`current` with each replica that the leader places on the host where it is to run, and there alone."""
    to = {
        (service.name, slot): host
        for service in intent.services
        if service.replicas is not None
        for host, slots in placement.slots[service.name].items()
        for slot in slots
    }
    chosen = {each.name for each in intent.services if each.replicas is not None}
    mine = {
        host: [each for each in own.replicas if each.service not in chosen] for host, own in current.items()
    }
    found: dict[Key, tuple[str, Replica]] = {}
    for host, own in sorted(current.items()):
        for replica in own.replicas:
            key = replica.key
            if key in to and (
                key not in found or host == to[key] or (found[key][1].held and not replica.held)
            ):
                found[key] = found[key] if key in found and found[key][0] == to[key] else (host, replica)
    for key, (_, replica) in found.items():
        mine.setdefault(to[key], []).append(replica)
    none = Assignment(revision=intent.revision, project=intent.project)
    return {
        host: replace(current.get(host, none), replicas=tuple(sorted(replicas)))
        for host, replicas in mine.items()
    }


def _counts(
    service: ServiceIntent, state: SchedulerState, schedulers: Mapping[str, ReplicaScheduler]
) -> dict[str, int]:
    """How many replicas of a service whose hosts the document says are to be on each of them."""
    has = replicas_of(service.name, state.current)
    counts = {}
    for name, count in service.placement:
        host, kept = state.intent.host(name), min(count, len(has.get(name, {})))
        availability = host.availability if host else "active"
        if availability == "drain":
            # First goes what can run elsewhere: it may need the others for so long.
            leaving = state.is_there(name) and any(name in each.origins for each in schedulers.values())
            counts[name] = kept if leaving else 0
        else:
            counts[name] = count if availability == "active" else kept
    return counts


def _refused(service: ServiceIntent, counts: Mapping[str, int], state: SchedulerState) -> Iterator[Blocked]:
    """Replicas that the document wants on a host, and that the host takes no more."""
    if service.everywhere:
        return
    for name, count in service.placement:
        host = state.intent.host(name)
        if host and host.availability == "pause" and counts[name] < count:
            reason = f"{name} is paused and takes no new replicas: {counts[name]} of {count} are there"
            yield Blocked(resource=f"placement/{service.name}", reason=reason, kind="placement")


def _draining(state: SchedulerState) -> Iterator[Blocked]:
    for host in state.intent.hosts:
        if host.availability == "drain" and (left := state.left_on(host.name)):
            silent = "" if state.is_there(host.name) else " by its last report, and it does not report now"
            reason = f"{host.name} is not empty yet: {', '.join(left)}{silent}"
            yield Blocked(resource=f"drain/{host.name}", reason=reason, kind="waiting")
