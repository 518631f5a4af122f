"""The status key: written when something worth telling changed, and now and then to show that it is fresh."""

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from agent.clients.etcd import Store
from agent.errors import Invalid, SwarmkeeperError
from agent.model.records import decode, encode
from agent.model.status import HostStatus
from agent.model.store import KeyRange, Put

# ----
# Jobs of which only the newest counts, done on a thread of their own: a slow etcd must not delay the loop.

log = structlog.get_logger()

CLOSE_S = 3.0


class NewestWins:
    """Does the job it was given last, at most one per `pause_s` seconds; those in between are left out.

    A job that raises is told in the log, and the next one is done all the same.
    """

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._next: Callable[[], None] | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="newest", daemon=True)
        self._thread.start()

    def __call__(self, job: Callable[[], None]) -> None:
        """Do `job` soon, unless another one comes before its turn. Never waits."""
        with self._changed:
            self._next = job
            self._changed.notify_all()

    def close(self) -> None:
        """Do what is still to be done, within a few seconds, and end."""
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
                # Without this thread nothing would ever be told again, and nobody would say so.
                log.exception("report failed", part="later")
            with self._changed:
                self._changed.wait_for(lambda: self._closing, self._pause_s)


REFRESH_S = 300.0


class StatusKey:
    """One host's status in etcd. `clock` gives monotonic seconds."""

    def __init__(self, store: Store, key: str, clock: Callable[[], float]) -> None:
        self._store, self._key, self._clock = store, key, clock
        self._written: HostStatus | None = None
        self._written_at = 0.0
        self._losses = self._losses_seen = 0

    def forget(self) -> None:
        """Write it again soon, whatever it says: etcd has lost it. May be called from any thread."""
        self._losses += 1

    def recall(self) -> HostStatus | None:
        """What an earlier run wrote, or None. Raises Unreachable, Refused."""
        found = self._store.read([KeyRange(key=self._key)]).get(self._key)
        try:
            return decode(HostStatus, found.value) if found else None
        except Invalid as error:
            log.warning("the status of an earlier run is not used", error=str(error))
            return None

    def write(self, status: HostStatus, *, anyway: bool = False) -> None:
        """Write `status` if it says something new or the last writing is old. One try; a failure is logged."""
        # Noted before it is written: what is lost meanwhile must not be forgotten.
        losses = self._losses
        fresh = self._clock() - self._written_at < REFRESH_S and losses == self._losses_seen
        if self._written is not None and fresh and not anyway and _same(status, self._written):
            return
        try:
            self._store.txn([], [Put(key=self._key, value=encode(status))])
        except SwarmkeeperError as error:
            log.warning("status not written", error=str(error))
            self._written = None
        else:
            self._written, self._written_at, self._losses_seen = status, self._clock(), losses


def _same(one: HostStatus, other: HostStatus) -> bool:
    return replace(one, at=other.at) == other
