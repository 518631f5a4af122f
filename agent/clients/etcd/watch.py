"""A watch that outlives every stream: ask etcd for its revision, watch from there, start over whenever that ends.

Level triggered: no event is ever handed on. Whoever is woken reads, so changes between two reads may melt into one
and what happened while no stream was open costs nothing but the wake that follows its re-opening. That is why
neither a compaction nor a restart nor a wiped etcd can make it miss the last change.
"""

import random
import threading
from collections.abc import Callable, Sequence

import structlog

from agent.clients.etcd.calls import Calls
from agent.clients.etcd.channel import Pool
from agent.clients.etcd.messages import read_request
from agent.clients.etcd.stream import Progress, StreamEnded, WatchStream
from agent.errors import Refused, Unreachable
from agent.model.store import KeyRange

log = structlog.get_logger("store")

FIRST_RESTART_S = 0.1
LAST_RESTART_S = 2.0
# A range that we may not read stays so until somebody changes a role: no need to ask every second.
LAST_RESTART_REFUSED_S = 10.0
CLOSE_S = 1.0
REARMED = "rearmed"


class EtcdWatch:
    """Runs on a thread of its own from construction to close()."""

    def __init__(
        self,
        calls: Calls,
        pool: Pool,
        progress: Progress,
        ranges: Sequence[KeyRange],
        on_wake: Callable[[str], None],
    ) -> None:
        self._calls = calls
        self._pool = pool
        self._progress = progress
        self._ranges = tuple(ranges)
        self._on_wake = on_wake
        self._lock = threading.Lock()
        self._stream: WatchStream | None = None
        self._closed = threading.Event()
        self._healthy = False
        self._fault: str | None = None
        self._failures = 0
        progress.subscribe(self._other_etcd)
        self._thread = threading.Thread(target=self._run, name="etcd watch", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @property
    def healthy(self) -> bool:
        return self._healthy

    @property
    def fault(self) -> str | None:
        return self._fault

    def rearm(self, ranges: Sequence[KeyRange]) -> None:
        with self._lock:
            self._ranges = tuple(ranges)
        self._end_stream(REARMED, "other ranges are to be watched")

    def close(self) -> None:
        self._closed.set()
        self._progress.unsubscribe(self._other_etcd)
        self._end_stream("closed", "the watch was closed")
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._watch_once()
            except StreamEnded as ended:
                self._progress.lost(ended.reason)
                self._broken(ended.reason, ended.details)
            except Unreachable as error:
                self._broken("unreachable", str(error))
            except Refused as error:
                self._progress.lost("refused")
                self._broken("refused", str(error))
            except Exception as error:
                # A dead thread would be a watch that is never woken again: worse than any fault it can have.
                log.exception("watch: unexpected fault")
                self._broken("fault", str(error))

    def _watch_once(self) -> None:
        ranges = self._ranges
        request = read_request(ranges, count_only=True)
        answer = self._calls.once("watch", lambda client: self._calls.transact(client, request))
        with self._pool.borrowed() as connection:
            metadata = self._calls.metadata(connection)
            stream = WatchStream(connection, ranges, metadata, self._progress)
            with self._lock:
                if self._closed.is_set() or ranges != self._ranges:
                    return
                self._stream = stream
            try:
                stream.listen(
                    after_revision=answer.header.revision, on_open=self._opened, on_change=self._changed
                )
            finally:
                self._stream = None

    def _opened(self) -> None:
        self._failures = 0
        self._healthy, self._fault = True, None
        self._on_wake("watch: open")

    def _changed(self) -> None:
        self._on_wake("watch: change")

    def _other_etcd(self, reason: str) -> None:
        self._end_stream(reason, "etcd is not the one it was")
        self._on_wake(f"watch: {reason}")

    def _broken(self, reason: str, details: str) -> None:
        """Tell, once for each time it had been open, and wait before the next try."""
        was_healthy, first_fault = self._healthy, self._fault is None
        self._healthy, self._fault = False, details
        if self._closed.is_set() or reason == REARMED:
            return
        if was_healthy or first_fault:
            log.warning("watch: ended", reason=reason, details=details)
            self._on_wake(f"watch: {reason}")
        self._closed.wait(self._restart_s(reason))

    def _restart_s(self, reason: str) -> float:
        most_s = LAST_RESTART_REFUSED_S if reason == "refused" else LAST_RESTART_S
        ceiling_s = min(FIRST_RESTART_S * 2.0 ** min(self._failures, 10), most_s)
        self._failures += 1
        return random.uniform(0, ceiling_s)  # noqa: S311

    def _end_stream(self, reason: str, details: str) -> None:
        with self._lock:
            stream = self._stream
        if stream is not None:
            stream.end(reason, details)
