"""The status key of a host in etcd, and the thread that writes it without delaying the loop."""

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from agent.clients.etcd import Store
from agent.errors import Invalid, SwarmkeeperError
from agent.model.records import decode
from agent.model.status import HostStatus
from agent.model.store import KeyRange, Put
from agent.report.cap import encode_status

log = structlog.get_logger()


def run_inline(job: Callable[[], None]) -> None:
    """Run a job in the thread of the caller."""
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


# ---- The status key: written when its content changes, and every REFRESH_S to show that the agent runs

REFRESH_S = 300.0
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
        self._written_at = 0.0
        self._losses = self._losses_seen = 0
        self.fault = ""
        """Error of the last write; empty: it succeeded, or there was none."""

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

    def write(self, status: HostStatus, *, anyway: bool = False) -> None:
        """Write `status` if it has changed, a write is due or `anyway` is true. One attempt; a failure is logged."""
        # Read before the write: a loss during the write then causes another one.
        losses = self._losses
        fresh = self._clock() - self._written_at < REFRESH_S and losses == self._losses_seen
        if self._written is not None and fresh and not anyway and _same(status, self._written):
            return
        try:
            self._store.txn([], [Put(key=self._key, value=encode_status(status))])
        except SwarmkeeperError as error:
            log.warning(NOT_WRITTEN, error=str(error))
            self.fault = str(error)
            self._written = None
            self._on_failure()
        else:
            self._written, self._written_at, self._losses_seen = status, self._clock(), losses
            if self.fault:
                log.info("status written again", recovers=NOT_WRITTEN)
            self.fault = ""


def _same(one: HostStatus, other: HostStatus) -> bool:
    return replace(one, at=other.at) == other
