"""The status key of a host in etcd, and the thread that writes it without delaying the loop."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, TypeVar

import structlog

from agent.clients.etcd import Store
from agent.errors import Invalid, SwarmkeeperError
from agent.model.host_state import NodeState
from agent.model.intent import GWBRIDGE, PARKING
from agent.model.phrases import cut
from agent.model.records import decode, encode
from agent.model.status import HostStatus
from agent.model.store import KeyRange, Put

log = structlog.get_logger()

T = TypeVar("T")


def run_inline(job: Callable[[], None]) -> None:
    job()


# ---- A thread that runs only the newest job, so that a slow etcd does not delay the loop

CLOSE_S = 3.0


class LatestOnly:
    """Runs the latest job on its own thread and skips older ones. It waits `pause_s` seconds after each job.

    An error of a job is logged, and the next job still runs.
    """

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._next: Callable[[], None] | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="newest", daemon=True)
        self._thread.start()

    def __call__(self, job: Callable[[], None]) -> None:
        """Run `job` soon, unless a newer job replaces it. Never waits."""
        with self._changed:
            self._next = job
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread after the pending job. Waits for that at most CLOSE_S."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._closing)
                job, self._next = self._next, None
            if job is None:
                return
            try:
                job()
            except Exception:
                # If this thread ended, no later status would be written, and no log line would show that.
                log.exception("report failed", part="later")
            with self._changed:
                self._changed.wait_for(lambda: self._closing, self._pause_s)


# ---- The status key: written when its content changes, work in progress later. The presence shows that it is current

WAITS_S = 5.0
"""Most seconds for which a report waits whose only news is the work under way: its result is written in its place."""
CHECK_S = 300.0
"""Seconds between looks whether etcd still has the status as written: another client may delete or change it."""
UNWRITTEN_S = 60.0
"""Seconds without a report after which the presence says so."""
NOT_WRITTEN = "status not written"


class StatusKey:
    """One host's status in etcd. `clock` gives monotonic seconds."""

    def __init__(
        self,
        store: Store,
        key: str,
        clock: Callable[[], float],
        on_failure: Callable[[], None] = lambda: None,
        again: Callable[[float], None] = lambda _: None,
    ) -> None:
        """`on_failure` is called after each failed write; `again` with the seconds after which `write` is to be."""
        self._store, self._key, self._clock, self._on_failure = store, key, clock, on_failure
        self._again = again
        self._waits_since: float | None = None
        self._written: HostStatus | None = None
        self._mod_revision, self._checked_at = 0, 0.0
        self._losses = self._losses_seen = 0
        self._failing: tuple[float, str] | None = None
        """Since when the status in etcd is not current: by the clock, and as RFC 3339."""
        self.fault = ""
        """Error of the last write; empty: it succeeded, or there was none."""

    @property
    def unreported_since(self) -> str:
        """Time since which the status in etcd is not current; empty: it is, or for less than UNWRITTEN_S."""
        since = self._failing
        return since[1] if since and self._clock() - since[0] >= UNWRITTEN_S else ""

    def failed(self, now: str) -> None:
        """Take note that the status in etcd cannot be of `now`."""
        self._failing = self._failing or (self._clock(), now)

    def forget(self) -> None:
        """Make the next `write` look whether etcd has the key: it may have lost it. Any thread may call this."""
        self._losses += 1

    def recall(self) -> HostStatus | None:
        """Return the status of an earlier run, or None. Raises Unreachable, Refused."""
        found = self._store.read([KeyRange(key=self._key)]).get(self._key)
        try:
            return decode(HostStatus, found.value) if found else None
        except Invalid as error:
            log.warning("status of an earlier run ignored: unreadable", error=str(error))
            return None

    def write(self, status: HostStatus, *, assigned_at: int = 0, anyway: bool = False) -> None:
        """Write `status` if it has changed, etcd lost it or `anyway` is true. One attempt; a failure is logged.

        Its revision alone is no change if the status in etcd is of `assigned_at`, the last document that asked
        something else of this host, or of a later one. Work in progress alone is written after WAITS_S.
        """
        # Read before the write: a loss during the write then causes another one.
        losses, known = self._losses, self._written
        if known and not anyway and self._is_there(losses) and self._stays(status, known, assigned_at):
            self._succeeded()
            return
        self._waits_since = None
        try:
            done = self._store.txn([], [Put(key=self._key, value=encode_status(status))])
        except SwarmkeeperError as error:
            log.warning(NOT_WRITTEN, error=str(error))
            self.fault = str(error)
            self._checked_at = -inf  # it may be there all the same, or as before
            self.failed(status.at)
            self._on_failure()
        else:
            self._written, self._mod_revision, self._losses_seen = status, done.revision, losses
            self._checked_at = self._clock()
            self._succeeded()

    def _succeeded(self) -> None:
        if self.fault:
            log.info("status written again", recovers=NOT_WRITTEN)
        self.fault, self._failing = "", None

    def _stays(self, status: HostStatus, known: HostStatus, assigned_at: int) -> bool:
        """Return True if nothing is new to `known`, or only work in progress, for less than WAITS_S."""
        status = _counted(status, known, assigned_at)
        if status == known:
            self._waits_since = None
            return True
        since = self._waits_since = self._clock() if self._waits_since is None else self._waits_since
        left_s = since + WAITS_S - self._clock() if _may_wait(status, known) else 0.0
        if left_s > 0:
            self._again(left_s)
        return left_s > 0

    def _is_there(self, losses: int) -> bool:
        """Return False if etcd does not have the status as written.

        Looks every CHECK_S, and after a failed write or a loss: an outage of etcd ends with neither, as a rule.
        """
        lost = losses != self._losses_seen
        if not lost and self._clock() - self._checked_at < CHECK_S:
            return True
        with suppress(SwarmkeeperError):
            found = self._store.read([KeyRange(key=self._key, keys_only=True)]).get(self._key)
            self._checked_at, self._losses_seen = self._clock(), losses
            return found is not None and found.mod_revision == self._mod_revision
        return not (lost or self.fault)


def _may_wait(status: HostStatus, known: HostStatus) -> bool:
    """Return True if `status` differs only in work that goes on, of which no host decides anything.

    Membership is excepted, and so are the ends of this host's steps and of all work: they tell that a goal is reached.
    A leader waits, too, with nodes and hosts that are there again: both change when a host comes back.
    """
    listed = replace(known, nodes=status.nodes, unreachable=status.unreachable)
    others = listed != known
    if _lasting(status.nodes) != _lasting(known.nodes) or _away(status) - _away(known):
        return False
    behind = known.revision <= status.revision < status.bridge.revision
    ends = any(not each.leads for each in known.steps) > any(not each.leads for each in status.steps)
    if ends or status.state != "active" or not (behind or status.steps or status.waiting or others):
        return False
    of_leader = ("rollout/", "placement/") if others else ("rollout/",)
    waits = [e for e in {*known.waiting} ^ {*status.waiting} if not e.resource.startswith(of_leader)]
    later = replace(listed, steps=status.steps, images=status.images, waiting=status.waiting)
    bridge = replace(known.bridge, revision=status.bridge.revision)
    same = replace(later, revision=status.revision, bridge=bridge) == status
    return same and not waits and (behind or status.revision == known.revision)


def _lasting(nodes: tuple[NodeState, ...] | None) -> tuple[NodeState, ...] | None:
    """Return the nodes without their states: None tells that the manager sees no raft leader."""
    return nodes and tuple(replace(each, state="") for each in nodes)


def _away(status: HostStatus) -> set[object]:
    return {*status.unreachable, *(each.id for each in status.nodes or () if each.state != "ready")}


def _counted(status: HostStatus, known: HostStatus, assigned_at: int) -> HostStatus:
    """Return the status with the time of `known`, and with its revisions where those count for the same."""
    if 0 < assigned_at <= known.revision <= status.revision:
        status = replace(status, revision=known.revision)
    if 0 < assigned_at <= known.bridge.revision <= status.bridge.revision:
        status = replace(status, bridge=replace(status.bridge, revision=known.bridge.revision))
    return replace(status, at=known.at)


# ---- A status within what etcd takes in one request, so that a status is always written
#
# What no decision needs goes first: texts, then steps, volumes and reasons. The state of a replica goes last, and only
# where even the bare states are too large. `HostStatus.cut` says what was left out.

MOST_BYTES = 1_500_000
"""etcd refuses a request of more than 1.5 MiB (--max-request-bytes), key included."""

MOST_TEXT, USUAL = 300, 20
"""Characters of all texts for each replica on average, and replicas of a host: a leader has memory for 20,000."""
_SHORT = 100
"""Characters of a text in a status that is too large."""
_WORD = 20
"""Characters of an error of a bare replica: an error at all decides."""
_TEXTS = "texts after {} characters"
_BRIDGES = (GWBRIDGE, PARKING)
_FEW = 50
"""Entries of a list in a status that is too large."""


def encode_status(status: HostStatus, most: int = MOST_BYTES) -> bytes:
    """Return the status as a record of at most `most` bytes, with as little left out as that needs."""
    status = _with_even_texts(status)
    encoded = encode(status, terse=True)  # readers limit the content, too, not only what is stored
    for leave_out, what in _STAGES:
        if len(encoded) <= most:
            break
        left = leave_out(status)
        if left != status:
            status = replace(left, cut=(*status.cut, what))
            encoded = encode(status, terse=True)
    return encode(status if len(encoded) <= most else _minimal(status), terse=True, packed=True)


def _with_even_texts(status: HostStatus) -> HostStatus:
    """Cut the texts to one length if all together are too long for that many replicas: most of them fail."""
    texts = [each.text for each in status.steps] + [each.reason for each in status.left]
    texts += [text for each in status.replicas for text in (each.error, "".join(each.output))]
    most = MOST_TEXT * max(USUAL, len(status.replicas))
    if sum(map(len, texts)) <= most:
        return status
    share = max(_SHORT, most // sum(map(bool, texts)))
    return replace(_with_short_texts(status, share), cut=(*status.cut, _TEXTS.format(share)))


def _with_short_texts(status: HostStatus, most: int) -> HostStatus:
    return replace(
        status,
        engine_error=cut(status.engine_error, most),
        swarm_error=cut(status.swarm_error, most),
        steps=_shortened(status.steps, most, "text"),
        blocked=_shortened(status.blocked, most, "reason"),
        waiting=_shortened(status.waiting, most, "reason"),
        replicas=tuple(
            replace(
                each,
                error=cut(each.error, most),
                output=tuple(cut(line, most) for line in each.output[-1:]),
                differences=_shortened(each.differences, most, "wanted", "found"),
            )
            for each in status.replicas
        ),
    )


def _shortened(reports: Sequence[T], most: int, *names: str) -> tuple[T, ...]:
    given: Sequence[Any] = reports
    return tuple(replace(each, **{name: cut(getattr(each, name), most) for name in names}) for each in given)


def _with_few_steps(status: HostStatus) -> HostStatus:
    """Keep the first steps, and the resources of what is blocked and waits, which the conditions need."""
    return replace(
        status,
        volumes=status.volumes[:_FEW],
        # A bridge of this engine alone that no agent made concerns no decision of the leader.
        networks=tuple(e for e in status.networks if e.driver != "bridge" or e.ours or e.name in _BRIDGES),
        steps=status.steps[:_FEW],
        blocked=tuple(replace(each, reason="") for each in status.blocked),
        waiting=tuple(replace(each, reason="") for each in status.waiting),
    )


def _with_bare_replicas(status: HostStatus) -> HostStatus:
    """Keep of each replica what decides: which it is, its spec, its state and its addresses."""
    return replace(
        status,
        replicas=tuple(
            replace(
                e, started_at="", error=e.error[:_WORD], image="", image_now="", output=(), differences=()
            )
            for e in status.replicas
        ),
        blocked=status.blocked[:_FEW],
        waiting=status.waiting[:_FEW],
        attached=tuple(replace(each, ports=()) for each in status.attached),
    )


def _minimal(status: HostStatus) -> HostStatus:
    """Return the facts about host, engine and swarm alone, as of an engine that could not be read.

    A report without replicas that called the engine read would tell the leader that none runs.
    """
    return HostStatus(
        **{name: getattr(status, name) for name in _MINIMAL},
        engine_error=f"the report is too large for etcd: it has {len(status.replicas):,} replicas",
        swarm_error=cut(status.swarm_error, _SHORT),
        cut=(*status.cut, "replicas"),
    )


_MINIMAL = (
    "instance", "at", "agent_version", "host", "engine_version", "machine", "state", "node_id", "swarm_id",
    "is_manager", "swarm_address", "leading", "epoch", "stopped",
)  # fmt: skip
_STAGES: tuple[tuple[Callable[[HostStatus], HostStatus], str], ...] = (
    (partial(_with_short_texts, most=_SHORT), _TEXTS.format(_SHORT)),
    (_with_few_steps, f"volumes and steps after {_FEW}, foreign networks, reasons"),
    (_with_bare_replicas, f"all but the states of replicas, blocked resources after {_FEW}"),
)
"""The cuts in their order, each with its name in `HostStatus.cut`."""
