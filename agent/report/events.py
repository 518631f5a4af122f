"""The key `events`: the leader appends what it sees change and what it orders, at most once in GATHER_S."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import structlog

from agent.clients.etcd import Store
from agent.conditions import conditions_of
from agent.conditions.transitions import transitions
from agent.errors import Invalid, NewerFormat, SwarmkeeperError
from agent.model import leader_steps
from agent.model.events import Event, EventLog, bounded, read_log, with_events
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Step
from agent.model.records import encode, timestamp
from agent.model.store import Compare, Fence, KeyRange, Put

log = structlog.get_logger()

GATHER_S = 5.0
"""Seconds from a change to the look at the conditions. What appears and goes meanwhile is no event."""
_MOST_ORDERS = 200
_NOT_WRITTEN = "events not written"
_ORDERS = (
    leader_steps.IssueMembershipOrder | leader_steps.RevokeMembershipOrder | leader_steps.ForgetHost
    | leader_steps.GrantDisruption | leader_steps.NodeStep
)  # fmt: skip


class EventKey:
    """Writes the events while this host is the leader; without a change, a pass costs a comparison.

    `passed` runs on the loop's thread, `write` on the one that may wait for etcd, `ordered` on any.
    """

    def __init__(self, store: Store, key: str, clock: Callable[[], float], now: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds, `now` seconds since the epoch."""
        self._store, self._key, self._clock, self._now = store, key, clock, now
        self._seen: tuple[object, ...] | None = None
        """Seen by the last look: lock, nodes, and etcd without its revision, which other keys raise too."""
        self._due: float | None = None
        self._next: Observed | None = None
        self._orders = deque[Event](maxlen=_MOST_ORDERS)
        self._of: Fence | None = None
        self._failed = False
        self._last: dict[str, Event] = {}
        """The last event of each subject, as the leader of `_of` knows it: the log may have dropped it."""

    @property
    def look_again_s(self) -> float:
        """Seconds until a pass is needed for the next look; 0: none is. A pass that fails takes no look."""
        return 0.0 if self._due is None else max(self._due - self._clock(), 1.0)

    def ordered(self, step: Step) -> None:
        """Take a step that was carried out."""
        if isinstance(step, _ORDERS) and getattr(step, "availability", True):  # not for labels alone
            state, at = f"{step.verb} {step.resource.partition('/')[0]}", timestamp(self._now())
            resource = f"host/{step.host}"
            self._orders.append(Event(at=at, kind="order", resource=resource, state=state, text=step.reason))

    def passed(self, observed: Observed, reported: Observed) -> None:
        """Take a pass. `reported` has the report of this host, too."""
        fence, cluster, now = observed.fence, observed.cluster, self._clock()
        if fence is None or cluster is None or observed.stale:
            self._due = self._next = None
            return
        # The report with the nodes may be written later than they are seen.
        seen = fence, observed.host and observed.host.swarm.nodes, replace(cluster, revision=0)
        if self._due is None and (seen != self._seen or self._orders):
            self._due = now + GATHER_S
        elif self._due is not None and now >= self._due:
            self._due, self._seen, self._next = None, seen, reported

    def write(self) -> None:
        """Write what the next look finds, if one is due. A failure is logged, and a later pass tries again."""
        observed, self._next = self._next, None
        if observed is None or observed.fence is None or observed.cluster is None:
            return
        orders = tuple(self._orders)
        try:
            self._append(observed, observed.fence, observed.cluster, orders)
        except SwarmkeeperError as error:
            self._seen, self._of, self._failed = None, None, True
            log.warning(_NOT_WRITTEN, error=str(error))
            return
        if self._failed:
            log.info("events written again", recovers=_NOT_WRITTEN)
        self._failed = False
        for _ in orders:
            self._orders.popleft()

    def _append(
        self, observed: Observed, fence: Fence, cluster: ClusterState, orders: tuple[Event, ...]
    ) -> None:
        now = self._now()
        at, began = timestamp(now), timestamp(now - observed.led_s)
        if self._of != fence:  # what another leader wrote meanwhile
            self._last = {each.subject: each for each in self._read(at)[0].events}
        lock, me = fence.create_revision, f"leader/{observed.me}"
        known = self._last.get("election")
        asked = cluster.accepted.policy.handover if cluster.accepted else None
        handed = asked is not None and asked.to == observed.me and known is not None and known.at < asked.at
        text = f"handed over, as policy.handover of {asked.at} asks" if asked and handed else ""
        won = Event(at=began, kind="election", resource=me, state="elected", lock=lock, text=text)
        elected = () if known and (known.what, known.lock) == (won.what, lock) else (won,)
        alarm = observed.upkeep.alarm or observed.store_error
        found = conditions_of(cluster, now_s=now, store_error=alarm)
        changes = tuple(transitions(self._last, found, cluster, at))
        new = (*elected, *orders, *bounded(changes))
        if new:
            before, revision = self._read(at)
            value = encode(with_events(before, sorted(new, key=lambda each: each.at)), terse=True)
            unchanged = Compare(key=self._key, mod_revision=revision)
            self._store.write_fenced(fence, [Put(key=self._key, value=value)], [unchanged])
        there = {each.key for each in found.every()}
        # All of them: the next look would tell what this one only counted.
        last = self._last | {each.subject: each for each in (*new, *changes)}
        # What is gone counts as Ready again: others choose the names of what they let appear and go.
        self._last = {key: each for key, each in last.items() if each.kind != "condition" or key in there}
        self._of = fence

    def _read(self, now: str) -> tuple[EventLog, int]:
        """Return the log, empty for a damaged one, and its mod_revision. Raises NewerFormat, Unreachable, Refused."""
        found = self._store.read([KeyRange(key=self._key)]).get(self._key)
        try:
            return (read_log(found.value), found.mod_revision) if found else (EventLog(), 0)
        except NewerFormat:
            raise
        except Invalid:  # nothing acts on the events, and a new log is better than none
            return EventLog(dropped_at=now), found.mod_revision if found else 0
