"""Rollouts: a service gets from one spec to another, a few replicas at a time, and back after failures.

    parallelism     updating + started + idle <= parallelism, or started = 0     (`startable`; 0: all replicas)
    failure ratio   failed > max_failure_ratio * total triggers failure_action   (`exceeds_ratio`)

Updating replicas have the new spec and are inside their monitor window. Idle replicas do not run; the leader updates
them immediately. Started replicas run; the leader updates them now. To move a replica is to give it the target spec.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from agent.admission import Gate, decode
from agent.diff.nodes import LeaderView, why_absent
from agent.diff.replicas import does_not_follow
from agent.model.intent import Intent, ServiceIntent, Update
from agent.model.plan import soonest
from agent.model.records import Replica, Rollout
from agent.model.status import UP
from agent.planner.leader.scheduler import Placement, placement_of
from agent.planner.leader.scheduler_state import DOWN_S, Condition, Has, Slots, condition, spec_of

Place = tuple[str, int]
"""(host, slot)"""
Conditions = Mapping[Place, Condition]


def startable(parallelism: int, total: int, updating: int, idle: int) -> int:
    """Return how many running replicas the leader may update now; parallelism 0: no limit but `total`."""
    return max(0, (parallelism or total) - updating - idle)


def exceeds_ratio(failed: int, total: int, max_failure_ratio: float) -> bool:
    return failed > max_failure_ratio * total


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDecision:
    target: str
    """Hash of the spec that all replicas will have."""
    stays: Mapping[Place, str] = field(default_factory=dict)
    """Replicas that keep their spec for now, with its hash."""
    record: Rollout | None = None
    """The record that etcd must have; None: no rollout."""
    moves: tuple[Place, ...] = ()
    """Replicas that get the target spec now."""
    total: int = 0
    moved: int = 0
    """Number of replicas that have the target spec, or get it now."""
    waits: str = ""
    """The reason why the rollout waits; empty: it does not wait."""
    waits_on: str = ""
    """Condition key of the cause of that wait; empty: the rollout itself."""
    again_s: float = 0.0
    """Seconds until a wait of the rollout ends; 0: it waits for no time to pass."""

    @property
    def is_over(self) -> bool:
        """Return True if all replicas have the target spec already."""
        return self.moved == self.total and not self.stays and not self.moves


UNREACHABLE_S = 60.0
"""Seconds for which the rollout waits for an updated replica on an unreachable host before it updates others."""
_STOPPED = {"paused": "paused", "rollback-paused": "the rollback is paused"}


class ServiceRollout:
    """The rollout of one service, with everything on which the decision depends."""

    def __init__(self, service: ServiceIntent, observed: LeaderView, has: Has, slots: Slots) -> None:
        self.service, self.observed, self.cluster = service, observed, observed.cluster
        self.to = service.spec_hash
        self.record = self.cluster.rollouts.get(service.name)
        self.total = sum(map(len, slots.values()))
        self._has, self._slots = has, slots

    @cached_property
    def had(self) -> Mapping[Place, Replica]:
        """Return the replicas that stay on their host."""
        kept = {(host, n) for host, ns in self._slots.items() for n in ns}
        return {
            (host, slot): replica
            for host, replicas in self._has.items()
            for slot, replica in replicas.items()
            if (host, slot) in kept
        }

    def held(self) -> RolloutDecision:
        """Return the decision for an unreadable record: every replica keeps its spec."""
        return RolloutDecision(target=self.to, stays=self._stays(()), record=self.record)

    def decision(self) -> RolloutDecision:
        """Return the decision. It publishes a changed record first, and moves replicas once etcd has that record."""
        if self.record is None or self.record.to != self.to:
            return self._begun()
        rollout = self._with_failures(self.record)
        if rollout != self.record:
            return self._resting(rollout)
        pending = [place for place, each in self.had.items() if each.spec != _target(rollout)]
        pending = [place for place in pending if not (rollout.back and self._keeps(place))]
        if rollout.state in ("paused", "rollback-paused"):
            return self._resting(rollout, f"{_STOPPED[rollout.state]}: {rollout.why}")
        if rollout.state == "rolled-back" and not pending:
            return self._resting(rollout, f"rolled back: {rollout.why}")
        return self._moving(rollout, pending)

    def _begun(self) -> RolloutDecision:
        """Return the decision that begins a rollout, or one without a record if every replica has the spec already."""
        if all(each.spec == self.to for replicas in self._has.values() for each in replicas.values()) or all(
            each.spec == self.to for each in self.had.values()
        ):
            return RolloutDecision(target=self.to, total=self.total, moved=self.total)
        # After an unfinished rollout, its previous spec is the last one that was rolled out completely.
        counts = Counter(replica.spec for replica in self.had.values() if replica.spec != self.to)
        common = min(counts, key=lambda digest: (-counts[digest], digest))
        before = self.record.before if self.record else common
        return self._resting(Rollout(before=before, to=self.to, already=self._with(self.to)))

    def _with_failures(self, rollout: Rollout) -> Rollout:
        """Return the record with the new failures, and with the state that they cause."""
        config = self._config(back=rollout.back)
        found = {slot: self._condition((host, slot)) for host, slot in self._moved(rollout)}
        failures = {slot: each.why for slot, each in found.items() if each.is_ == "failed"}
        failed = tuple(sorted({*rollout.failed, *failures}))
        first = min(failures.keys() - set(rollout.failed), default=None)
        why = rollout.why if first is None else f"{self.service.name}-{first}: {failures[first]}"
        rollout = replace(rollout, failed=failed, why=why)
        if rollout.state == "rolled-back":
            return self.record or rollout
        exceeds = exceeds_ratio(len(failed), self.total, config.max_failure_ratio)
        if not exceeds or config.failure_action == "continue":
            return replace(rollout, state="rolling-back" if rollout.back else "moving")
        if rollout.back:
            return replace(rollout, state="rollback-paused")
        before = rollout.before
        is_kept = before in self.cluster.stored_specs or before in self.cluster.specs
        if config.failure_action == "rollback" and before != rollout.to and is_kept:
            return replace(rollout, state="rolling-back", failed=(), already=self._with(before))
        return replace(rollout, state="paused")

    def _moving(self, rollout: Rollout, pending: list[Place]) -> RolloutDecision:
        config, target = self._config(back=rollout.back), _target(rollout)
        watch_s = max(config.monitor_s, config.delay_s) if pending else config.monitor_s
        known = {place: self._condition(place) for place in self.had}
        # The updated replicas for which the rollout still waits; a failed one is not among them.
        open_ = {
            place: known[place]
            for place in self._moved(rollout)
            if place[1] not in rollout.failed and not _is_settled(known[place], watch_s)
            if not (rollout.back and self._keeps(place))
        }
        refused = {place: each for place, each in open_.items() if self._is_refused(place, each)}
        moves = self._next(config, pending, known, len(open_) - len(refused))
        stays = self._stays(moves)
        left = [place for place in pending if place in stays]
        if not moves and not open_ and not left:
            over = replace(rollout, state="rolled-back", failed=()) if rollout.back else None
            return RolloutDecision(target=target, record=over, total=self.total, moved=self.total)
        times = {"healthy": watch_s, "unreachable": UNREACHABLE_S, "settling": DOWN_S}
        waiting = [times[each.is_] - each.for_s for each in open_.values() if each.is_ in times]
        away = {place: known[place] for place in left if known[place].is_ == "unreachable"}
        first = {place: each for place, each in open_.items() if place not in refused}
        waits, waits_on = self._waits({**first, **refused}, away, watch_s)
        return RolloutDecision(
            target=target,
            stays=stays,
            record=rollout,
            moves=moves,
            total=self.total,
            moved=len(self.had) - len(left),
            waits=waits,
            waits_on=waits_on,
            again_s=soonest(*(each for each in waiting if each > 0)),
        )

    def _keeps(self, place: Place) -> bool:
        """Return True if its host lets no rollback take the replica from a newer spec, with which it works."""
        status, replica = self.cluster.statuses.get(place[0]), self.had[place]
        mine = status.by_key.get(replica.key, ()) if status and self.service.replicas is None else ()
        up = {each.spec for each in mine if each.status in UP}
        if status is None or not up or why_absent(place[0], self.cluster):
            return False
        if replica.spec != self.to:  # its host judges by its own engine, whatever document the spec is of
            return replica.spec not in up and does_not_follow(status, self.cluster.accepted, replica.key)
        policy = decode(status.admission)
        own = policy is not None and policy.rollback == "own_failures"
        return self.to in up and own and self._condition(place).is_ != "failed"

    def _is_refused(self, place: Place, found: Condition) -> bool:
        """Return True if its host does not admit the replica by its policy: others are updated meanwhile."""
        status, intent = self.cluster.statuses.get(place[0]), self.cluster.accepted
        spec = spec_of(self.had[place], self.service, self.cluster)
        policy = decode(status.admission) if status and found.is_ == "settling" else None
        if policy is None or spec is None:
            return False
        return any(True for _ in Gate(policy=policy).container(spec, intent.made_volumes if intent else ()))

    def _next(
        self, config: Update, pending: list[Place], known: Conditions, updating: int
    ) -> tuple[Place, ...]:
        """Return the replicas to update now: all idle ones, and running ones up to the limit."""
        idle = [place for place in pending if not known[place].up]
        able = sorted(
            (place for place in pending if known[place].up and known[place].is_ != "unreachable"),
            # Failed replicas come first, then others that are not healthy: they are disrupted already.
            key=lambda place: (
                known[place].is_ == "healthy",
                known[place].is_ != "failed",
                place[1],
                place[0],
            ),
        )
        return (*sorted(idle), *able[: startable(config.parallelism, self.total, updating, len(idle))])

    def _waits(self, open_: Conditions, away: Conditions, watch_s: float) -> tuple[str, str]:
        for (host, slot), each in open_.items():
            name = f"{self.service.name}-{slot}"
            on = f"host/{host}" if each.is_ == "unreachable" else f"replica/{name}"
            if each.is_ == "healthy":
                return f"{name} on {host} must stay healthy for {watch_s:g} s", on
            return f"{name} on {host}: {each.why or 'its host has not reported yet'}", on
        for (host, slot), each in away.items():
            return f"{self.service.name}-{slot} waits until {host} is back: {each.why}", f"host/{host}"
        return "", ""

    def _resting(self, rollout: Rollout, waits: str = "") -> RolloutDecision:
        """Return a decision that moves no replica; before any moves, the record must be in etcd."""
        target = _target(rollout)
        moved = len(self._with(target))
        return RolloutDecision(
            target=target, stays=self._stays(()), record=rollout, total=self.total, moved=moved, waits=waits
        )

    def _config(self, *, back: bool) -> Update:
        return (self.service.rollback or self.service.update) if back else self.service.update

    def _moved(self, rollout: Rollout) -> list[Place]:
        """Return the replicas that got the target spec since this rollout or rollback began."""
        target, already = _target(rollout), frozenset(rollout.already)
        return [
            place for place, replica in self.had.items() if replica.spec == target and place[1] not in already
        ]

    def _condition(self, place: Place) -> Condition:
        return condition(self.had[place], place[0], self.observed, self.service)

    def _with(self, digest: str) -> tuple[int, ...]:
        return tuple(sorted(slot for (_, slot), replica in self.had.items() if replica.spec == digest))

    def _stays(self, moves: tuple[Place, ...]) -> dict[Place, str]:
        moved = frozenset(moves)
        return {place: replica.spec for place, replica in self.had.items() if place not in moved}


def _target(rollout: Rollout) -> str:
    return rollout.before if rollout.back else rollout.to


def _is_settled(found: Condition, watch_s: float) -> bool:
    """Return True if the rollout waits no longer: the window ended, or the host is unknown or long unreachable."""
    return (
        found.is_ == "unseen"
        or (found.is_ == "healthy" and found.for_s >= watch_s)
        or (found.is_ == "unreachable" and found.for_s >= UNREACHABLE_S)
    )


# ---- All services. The leader writes the record to etcd before it moves the first replica; the record outlives the
# leader. A new leader derives the rest from assignments and reports, and only restarts the monitor windows.


def plan_rollouts(
    intent: Intent, observed: LeaderView, placement: Placement | None = None
) -> dict[str, RolloutDecision]:
    """Return the decision on every service by name; `placement` None: compute it."""
    cluster = observed.cluster
    damaged = {key.rpartition("/rollouts/")[2] for key, _ in cluster.unreadable if "/rollouts/" in key}
    placement = placement or placement_of(intent, observed)
    decisions = {}
    for service in intent.services:
        name = service.name
        rollout = ServiceRollout(service, observed, placement.has.get(name, {}), placement.slots[name])
        decisions[service.name] = rollout.held() if service.name in damaged else rollout.decision()
    return decisions
