"""The status key of a host in etcd, and the thread that writes it without delaying the loop."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import structlog

from agent.clients.etcd import Store
from agent.errors import Invalid, SwarmkeeperError
from agent.model.intent import GWBRIDGE, PARKING
from agent.model.phrases import cut
from agent.model.records import decode, encode
from agent.model.status import HostStatus, NetworkReport, ReplicaReport
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


# ---- The status key: written when its content changes. The presence of the agent shows that it is current

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
    ) -> None:
        """`on_failure` is called after each failed write."""
        self._store, self._key, self._clock, self._on_failure = store, key, clock, on_failure
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
        """Make the next `write` unconditional, because etcd has lost the key. Any thread may call this."""
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
        something else of this host, or of a later one.
        """
        # Read before the write: a loss during the write then causes another one.
        losses, known = self._losses, self._written
        same = known and losses == self._losses_seen and _says_nothing_new(status, known, assigned_at)
        if same and not anyway and self._is_there():
            self._failing = None
            return
        try:
            done = self._store.txn([], [Put(key=self._key, value=encode_status(status))])
        except SwarmkeeperError as error:
            log.warning(NOT_WRITTEN, error=str(error))
            self.fault = str(error)
            self._written = None
            self.failed(status.at)
            self._on_failure()
        else:
            self._written, self._mod_revision, self._losses_seen = status, done.revision, losses
            self._checked_at = self._clock()
            if self.fault:
                log.info("status written again", recovers=NOT_WRITTEN)
            self.fault, self._failing = "", None

    def _is_there(self) -> bool:
        """Return False if etcd does not have the status as written; looks every CHECK_S."""
        if self._clock() - self._checked_at < CHECK_S:
            return True
        self._checked_at = self._clock()
        with suppress(SwarmkeeperError):
            found = self._store.read([KeyRange(key=self._key, keys_only=True)]).get(self._key)
            return found is not None and found.mod_revision == self._mod_revision
        return True


def _says_nothing_new(status: HostStatus, known: HostStatus, assigned_at: int) -> bool:
    if 0 < assigned_at <= known.revision <= status.revision:
        status = replace(status, revision=known.revision)
    if 0 < assigned_at <= known.bridge.revision <= status.bridge.revision:
        status = replace(status, bridge=replace(status.bridge, revision=known.bridge.revision))
    return replace(status, at=known.at) == known


# ---- A status within what etcd takes in one request, so that a status is always written
#
# What no decision needs goes first: outputs and texts, then differences, images, volumes and foreign networks. The
# state of a replica goes last, and only where even the bare states are too large. `HostStatus.cut` says what was left
# out.

MOST_BYTES = 1_500_000
"""etcd refuses a request of more than 1.5 MiB (--max-request-bytes), key included."""

MOST_TEXT, USUAL = 300, 20
"""Characters of all texts for each replica on average, and replicas of a host: a leader has memory for 20,000."""
_SHORT = 100
"""Characters of a text in a status that is too large."""
_WORD = 20
"""Characters of an error of a bare replica: an error at all decides."""
_TEXTS = "texts after {} characters"
_FEW = 50
"""Entries of a list in a status that is too large."""


def encode_status(status: HostStatus, most: int = MOST_BYTES) -> bytes:
    """Return the status as a record of at most `most` bytes, with as little left out as that needs."""
    status = _with_even_texts(status)
    encoded = encode(status, terse=True)
    for leave_out, what in _STAGES:
        if len(encoded) <= most:
            return encoded
        left = leave_out(status)
        if left != status:
            status = replace(left, cut=(*status.cut, what))
            encoded = encode(status, terse=True)
    return encoded if len(encoded) <= most else encode(_minimal(status), terse=True)


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


def _with_few_names(status: HostStatus) -> HostStatus:
    return replace(
        status,
        volumes=status.volumes[:_FEW],
        left_volumes=status.left_volumes[:_FEW],
        foreign_names=status.foreign_names[:_FEW],
        networks=tuple(each for each in status.networks if _may_matter(each)),
    )


def _may_matter(network: NetworkReport) -> bool:
    """Return False for a network of this engine alone that no agent made: it concerns no decision of the leader."""
    foreign = not network.ours and network.name not in (GWBRIDGE, PARKING)
    return not (foreign and (network.driver, network.scope) == ("bridge", "local"))


def _with_few_steps(status: HostStatus) -> HostStatus:
    """Keep the first steps, and the resources of what is blocked and waits, which the conditions need."""
    return replace(
        status,
        steps=status.steps[:_FEW],
        blocked=tuple(replace(each, reason="") for each in status.blocked),
        waiting=tuple(replace(each, reason="") for each in status.waiting),
    )


def _with_bare_replicas(status: HostStatus) -> HostStatus:
    """Keep of each replica what decides: which it is, its spec, its state and its addresses."""
    bare = _with_replicas(
        status,
        lambda each: replace(
            each, started_at="", error=each.error[:_WORD], image="", image_now="", differences=()
        ),
    )
    return replace(
        bare,
        blocked=status.blocked[:_FEW],
        waiting=status.waiting[:_FEW],
        attached=tuple(replace(each, ports=()) for each in status.attached),
    )


def _with_replicas(status: HostStatus, change: Callable[[ReplicaReport], ReplicaReport]) -> HostStatus:
    return replace(status, replicas=tuple(change(each) for each in status.replicas))


def _minimal(status: HostStatus) -> HostStatus:
    """Return the facts about host, engine and swarm alone, as of an engine that could not be read.

    A report without replicas that called the engine read would tell the leader that none runs.
    """
    count = len(status.replicas)
    return replace(
        HostStatus(instance=status.instance, at=status.at, agent_version=status.agent_version),
        host=status.host,
        engine_version=status.engine_version,
        machine=status.machine,
        engine_error=f"the report is too large for etcd: it has {count:,} replicas",
        state=status.state,
        swarm_error=cut(status.swarm_error, _SHORT),
        node_id=status.node_id,
        swarm_id=status.swarm_id,
        is_manager=status.is_manager,
        swarm_address=status.swarm_address,
        leading=status.leading,
        epoch=status.epoch,
        stopped=status.stopped,
        cut=(*status.cut, "replicas"),
    )


_STAGES: tuple[tuple[Callable[[HostStatus], HostStatus], str], ...] = (
    (partial(_with_replicas, change=lambda each: replace(each, output=())), "output of replicas"),
    (partial(_with_short_texts, most=_SHORT), _TEXTS.format(_SHORT)),
    (
        partial(_with_replicas, change=lambda each: replace(each, differences=each.differences[:1])),
        "all but the first difference of each replica",
    ),
    (_with_few_names, f"volumes and foreign names after {_FEW}, foreign networks"),
    (_with_few_steps, f"steps after {_FEW}, reasons"),
    (_with_bare_replicas, f"starts, errors and images of replicas, blocked resources after {_FEW}"),
)
"""The cuts in their order, each with its name in `HostStatus.cut`."""
