"""The way of one service: what its record says, and which replicas move now."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.diff.nodes import etcd_of
from agent.model.intent import Intent, ServiceIntent, Update
from agent.model.observed import ClusterState, Observed
from agent.model.records import Assignment, Replica, Rollout
from agent.model.spec import ContainerSpec, spec_hash
from agent.planner.leader.digests import resolved
from agent.planner.leader.scheduler import Placement, placement_of, settled
from agent.planner.leader.scheduler_state import DOWN_S, Condition, Slots, condition, current_of

# ---- What is decided of one service whose replicas are to have one spec


Place = tuple[str, int]
"""(host, slot)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDecision:
    """What is decided of one service."""

    target: str
    """Hash of the spec that its replicas are to have."""
    stays: Mapping[Place, str] = field(default_factory=dict)
    """Those that keep the spec they have for now, with its hash."""
    record: Rollout | None = None
    """What etcd is to hold of it."""
    moves: tuple[Place, ...] = ()
    """Those that are moved now."""
    total: int = 0
    moved: int = 0
    """Replicas that have the target's spec, or get it now."""
    waits: str = ""
    """What it waits for, in words; empty when it waits for nothing."""
    again_s: float = 0.0
    """In how many seconds something may be different although nothing tells; 0: not by time alone."""


AWAY_S = 60.0
"""So long a replica that was being moved holds its place although its host is away.

Then the others go on without it.
"""
_STOPPED = {"paused": "paused", "rollback-paused": "the rollback is paused"}


class ServiceRollout:
    """The way of one service to its spec, with all that is needed to decide upon it."""

    def __init__(
        self,
        service: ServiceIntent,
        observed: Observed,
        cluster: ClusterState,
        current: Mapping[str, Assignment],
        slots: Slots,
    ) -> None:
        self.service, self.observed, self.cluster = service, observed, cluster
        self.to = spec_hash(service.spec)
        self.record = cluster.rollouts.get(service.name)
        kept = {(host, n) for host, ns in slots.items() for n in ns}
        self.total = len(kept)
        self.had: dict[Place, Replica] = {
            (host, replica.slot): replica
            for host, assignment in sorted(current.items())
            for replica in assignment.replicas
            if replica.service == service.name and (host, replica.slot) in kept
        }

    def held(self) -> RolloutDecision:
        """Nothing moves: how far it was cannot be read."""
        return RolloutDecision(target=self.to, stays=self._stays(()), record=self.record)

    def decision(self) -> RolloutDecision:
        """What is decided now: the record first, then what moves by it."""
        if self.record is None or self.record.to != self.to:
            return self._begun()
        rollout = self.record
        rollout = self._with_failures(rollout)
        if rollout != self.record:
            return self._record_only(rollout)
        target = rollout.before if rollout.back else rollout.to
        pending = [place for place, replica in self.had.items() if replica.spec != target]
        if rollout.state in ("paused", "rollback-paused"):
            return self._resting(rollout, target, f"{_STOPPED[rollout.state]}: {rollout.why}")
        if rollout.state == "rolled-back" and not pending:
            return self._resting(rollout, target, f"rolled back: {rollout.why}")
        return self._moving(rollout, target, pending)

    def _begun(self) -> RolloutDecision:
        """The record of a rollout that begins; none where every replica has the spec already."""
        if all(replica.spec == self.to for replica in self.had.values()):
            return RolloutDecision(target=self.to, total=self.total, moved=self.total)
        # Of a rollout that never came to its end, the spec before it is the last one that did.
        before = self.record.before if self.record else self._most_common()
        return self._record_only(Rollout(before=before, to=self.to, already=self._with(self.to)))

    def _with_failures(self, rollout: Rollout) -> Rollout:
        """The record with the failures since, and what is done about them."""
        target = rollout.before if rollout.back else rollout.to
        config = self._config(back=rollout.back)
        told = {slot: why for (_, slot), why in self._failures(rollout, target).items()}
        failed = tuple(sorted({*rollout.failed, *told}))
        why = rollout.why
        if told.keys() - set(rollout.failed):
            first = min(told.keys() - set(rollout.failed))
            why = f"{self.service.name}-{first}: {told[first]}"
        rollout = replace(rollout, failed=failed, why=why)
        if rollout.state == "rolled-back":
            return self.record or rollout
        exceeded = len(failed) > config.max_failure_ratio * self.total
        if not exceeded or config.failure_action == "continue":
            return replace(rollout, state="rolling-back" if rollout.back else "moving")
        if rollout.back:
            return replace(rollout, state="rollback-paused")
        if (
            config.failure_action == "rollback"
            and rollout.before != rollout.to
            and self._is_kept(rollout.before)
        ):
            return replace(rollout, state="rolling-back", failed=(), already=self._with(rollout.before))
        return replace(rollout, state="paused")

    def _record_only(self, rollout: Rollout) -> RolloutDecision:
        """First the record, and nothing moves before it is there."""
        target = rollout.before if rollout.back else rollout.to
        return RolloutDecision(target=target, stays=self._stays(()), record=rollout, total=self.total)

    def _moving(self, rollout: Rollout, target: str, pending: list[Place]) -> RolloutDecision:
        config = self._config(back=rollout.back)
        watch_s = max(config.monitor_s, config.delay_s) if pending else config.monitor_s
        known = {place: self._condition(place) for place in self.had}
        open_ = self._open(rollout, target, known, watch_s)
        moves = self._next(config, pending, known, len(open_))
        left = [place for place in pending if place not in moves]
        if not moves and not open_ and not left:
            over = replace(rollout, state="rolled-back", failed=()) if rollout.back else None
            return RolloutDecision(target=target, record=over, total=self.total, moved=self.total)
        times = {"well": watch_s, "away": AWAY_S, "coming": DOWN_S}
        waiting = [times[each.is_] - each.for_s for each in open_.values() if each.is_ in times]
        return RolloutDecision(
            target=target,
            stays=self._stays(moves),
            record=rollout,
            moves=moves,
            total=self.total,
            moved=len(self.had) - len(left),
            waits=self._waits(open_, left, known, watch_s),
            again_s=min((each for each in waiting if each > 0), default=0.0),
        )

    def _open(
        self, rollout: Rollout, target: str, known: Mapping[Place, Condition], watch_s: float
    ) -> dict[Place, Condition]:
        """Those that were moved and are not yet known to have come out well, nor badly."""
        return {
            place: known[place]
            for place in self._moved(rollout, target)
            if place[1] not in rollout.failed and not _is_settled(known[place], watch_s)
        }

    def _next(
        self, config: Update, pending: list[Place], known: Mapping[Place, Condition], busy: int
    ) -> tuple[Place, ...]:
        """Whom to move now: of those that do no work all, as that costs nothing; of the others as many as may be."""
        idle = [place for place in pending if not known[place].up]
        able = sorted(
            (place for place in pending if known[place].up and known[place].is_ != "away"),
            # On the way back, those the way forward has begun with come first: they are disturbed already.
            key=lambda place: (known[place].is_ == "well", known[place].is_ != "failed", place[1], place[0]),
        )
        free = max(0, (config.parallelism or self.total) - busy)
        return (*sorted(idle), *able[: max(0, free - len(idle))])

    def _waits(
        self,
        open_: Mapping[Place, Condition],
        left: list[Place],
        known: Mapping[Place, Condition],
        watch_s: float,
    ) -> str:
        for (host, slot), each in open_.items():
            name = f"{self.service.name}-{slot} on {host}"
            if each.is_ == "well":
                return f"{name} has to be well for {watch_s:g} s"
            return f"{name}: {each.why or 'its host has not reported yet'}"
        for place in left:
            if known[place].is_ == "away":
                host, slot = place
                return f"{self.service.name}-{slot} follows when {host} is back: {known[place].why}"
        return ""

    def _resting(self, rollout: Rollout, target: str, waits: str) -> RolloutDecision:
        moved = sum(replica.spec == target for replica in self.had.values())
        return RolloutDecision(
            target=target, stays=self._stays(()), record=rollout, total=self.total, moved=moved, waits=waits
        )

    def _config(self, *, back: bool) -> Update:
        return (self.service.rollback or self.service.update) if back else self.service.update

    def _moved(self, rollout: Rollout, target: str) -> list[Place]:
        """Those that have the spec, and had it not when this way began."""
        return [
            place
            for place, replica in self.had.items()
            if replica.spec == target and place[1] not in rollout.already
        ]

    def _failures(self, rollout: Rollout, target: str) -> dict[Place, str]:
        found = {place: self._condition(place) for place in self._moved(rollout, target)}
        return {place: each.why for place, each in found.items() if each.is_ == "failed"}

    def _condition(self, place: Place) -> Condition:
        replica = self.had[place]
        return condition(replica, place[0], self.observed, self._spec(replica.spec))

    def _spec(self, digest: str) -> ContainerSpec | None:
        return self.service.spec if digest == self.to else self.cluster.specs.get(digest)

    def _is_kept(self, digest: str) -> bool:
        return digest in self.cluster.stored_specs or digest in self.cluster.specs

    def _with(self, digest: str) -> tuple[int, ...]:
        return tuple(sorted(slot for (_, slot), replica in self.had.items() if replica.spec == digest))

    def _stays(self, moves: tuple[Place, ...]) -> dict[Place, str]:
        return {place: replica.spec for place, replica in self.had.items() if place not in moves}

    def _most_common(self) -> str:
        counts = Counter(replica.spec for replica in self.had.values() if replica.spec != self.to)
        return min(counts, key=lambda digest: (-counts[digest], digest))


def _is_settled(found: Condition, watch_s: float) -> bool:
    """Whether nothing more is waited for: it is well long enough, or nobody knows when it could be."""
    return (
        found.is_ == "unseen"
        or (found.is_ == "well" and found.for_s >= watch_s)
        or (found.is_ == "away" and found.for_s >= AWAY_S)
    )


# ---- How a service gets from one spec to another: a few replicas at a time, each well before the next, or back again.
#
# What must outlive the leader is in a record in etcd, and is written before the first replica is moved by it.
# All else is read off the assignments and what the hosts say; a new leader only watches again how long replicas
# are well.


def plan_rollouts(
    intent: Intent, observed: Observed, placement: Placement | None = None
) -> dict[str, RolloutDecision]:
    """What is decided of every service, by its name, with its replicas on the hosts where `placement` has them."""
    cluster = etcd_of(observed)
    damaged = {key.rpartition("/rollouts/")[2] for key, _ in cluster.unreadable if "/rollouts/" in key}
    placement = placement or placement_of(intent, observed)
    current, decisions = settled(intent, current_of(intent, cluster), placement), {}
    for service in intent.services:
        rollout = ServiceRollout(service, observed, cluster, current, placement.slots[service.name])
        decisions[service.name] = rollout.held() if service.name in damaged else rollout.decision()
    return decisions


def looks_again_in_s(observed: Observed) -> float:
    """In how many seconds a rollout may go on although nothing tells; 0: none does."""
    cluster = observed.cluster
    if cluster is None or not observed.fence or observed.stale or (intent := resolved(observed)) is None:
        return 0.0
    times = [each.again_s for each in plan_rollouts(intent, observed).values() if each.again_s]
    return min(times, default=0.0)
