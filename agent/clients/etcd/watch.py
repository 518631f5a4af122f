"""A watch that survives the end of a stream: it reads etcd's revision, watches from there, and repeats after the end.

The watch is level triggered: it delivers no events, but wakes its subscriber, which then reads. Several changes may
cause one wake. Each reopened stream causes a wake, so no compaction, restart or wipe of etcd hides the last change.
"""

import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import structlog

from agent.clients.etcd.calls import Calls, Progress, bounds, read_request
from agent.clients.etcd.channel import FAILURES, Connection, Metadata, failure_of
from agent.clients.etcdpb import etcd_pb2
from agent.errors import Refused, Unreachable
from agent.model.phrases import cut
from agent.model.store import KeyRange

# ---- One gRPC Watch stream for all ranges of a watch, probed while it is silent
#
# Measured on etcd 3.4.23: etcd confirms and cancels a range without read permission in one message, with watch_id -1,
# and sends nothing afterwards. After a compaction it cancels with `compact_revision`. A frozen member sends nothing.

# The channel's pings detect a frozen or vanished etcd within 10 s. A probe detects an etcd that answers pings but
# no longer serves this stream. Probes can be rare: one message in 30 s on an idle cluster.
PROBE_AFTER_S = 30.0
PROBE_ANSWER_S = 5.0
GIVEN_UP = "given up"
Notify = Callable[[], None]


class StreamEnded(Exception):
    """The stream has ended. `reason` is one of a small set, `details` a text for the operator."""

    def __init__(self, reason: str, details: str) -> None:
        super().__init__(f"{reason}: {details}")
        self.reason = reason
        self.details = details


class WatchStream:
    """One stream. The thread that calls listen() reads it; a thread of gRPC sends its requests and probes."""

    def __init__(
        self, connection: Connection, ranges: Sequence[KeyRange], metadata: Metadata, progress: Progress
    ) -> None:
        self._connection, self._ranges = connection, tuple(ranges)
        self._metadata, self._progress = metadata, progress
        self._requests: queue.SimpleQueue[etcd_pb2.WatchRequest | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._call: Any = None
        self._end: StreamEnded | None = None
        self._confirmed = 0
        self._last_message_s = time.monotonic()
        self._asked_s = 0.0

    def listen(self, *, after_revision: int, on_open: Notify, on_change: Notify) -> NoReturn:
        """Watch all changes after `after_revision` until the stream ends; always raises StreamEnded.

        Calls `on_open` when every range is confirmed, `on_change` for every message with changes.
        """
        for each in self._ranges:
            key, end = bounds(each.key, prefix=each.prefix)
            create = etcd_pb2.WatchCreateRequest(
                key=key, range_end=end, start_revision=after_revision + 1, fragment=True
            )
            self._requests.put(etcd_pb2.WatchRequest(create_request=create))
        self._connection.on_retire(self._retired)
        try:
            self._open()
            for response in self._call:
                self._take(response, on_open, on_change)
            raise self._end or StreamEnded("eof", "etcd closed the stream")
        except FAILURES as error:
            failure = failure_of(error, self._connection.endpoint)
            raise self._end or StreamEnded(failure.kind, str(failure)) from None
        finally:
            self._connection.forget(self._retired)
            self._requests.put(None)
            if self._call is not None:  # None: the channel was closed before the stream could be opened
                self._call.cancel()

    def end(self, reason: str, details: str) -> None:
        """End the stream. Any thread may call this; listen() raises the reason of the first call."""
        with self._lock:
            self._end = self._end or StreamEnded(reason, details)
            call = self._call
        if call is not None:
            call.cancel()

    def _open(self) -> None:
        with self._lock:
            self._call = self._connection.watch_stub.Watch(self._outgoing(), metadata=self._metadata)
            ended = self._end is not None
        if ended:
            self._call.cancel()

    @property
    def _is_open(self) -> bool:
        return self._confirmed == len(self._ranges)

    def _retired(self) -> None:
        self.end(GIVEN_UP, f"a call to {self._connection.endpoint} failed")

    def _take(self, response: etcd_pb2.WatchResponse, on_open: Notify, on_change: Notify) -> None:
        self._last_message_s = time.monotonic()
        self._progress.contact()
        if response.compact_revision:
            raise StreamEnded("compacted", f"revisions up to {response.compact_revision} were compacted")
        if response.canceled:
            reason = cut(response.cancel_reason) or "etcd cancelled the watch and gave no reason"
            raise StreamEnded("refused", reason)
        if response.created:
            self._confirmed += 1
            if self._is_open:
                on_open()
        if response.events:
            on_change()

    def _outgoing(self) -> Iterator[etcd_pb2.WatchRequest]:
        while True:
            try:
                request = self._requests.get(timeout=max(self._time_left_s(), 0))
            except queue.Empty:
                if self._time_left_s() > 0:
                    continue  # a message arrived and postponed the probe
                request = self._probe_or_end()
            if request is None:
                return
            yield request

    def _time_left_s(self) -> float:
        """Return the seconds until the next probe is due, or until an answer is overdue."""
        if self._asked_s > self._last_message_s:
            return self._asked_s + PROBE_ANSWER_S - time.monotonic()
        silence_s = PROBE_AFTER_S if self._is_open else PROBE_ANSWER_S
        return self._last_message_s + silence_s - time.monotonic()

    def _probe_or_end(self) -> etcd_pb2.WatchRequest | None:
        if self._is_open and self._asked_s <= self._last_message_s:
            self._asked_s = time.monotonic()
            # Any answer suffices. Its revision is not used: it can be ahead of the events (etcd issue 15220).
            return etcd_pb2.WatchRequest(progress_request=etcd_pb2.WatchProgressRequest())
        task = "answer a progress request" if self._is_open else "confirm the watch"
        self.end("silent", f"{self._connection.endpoint} did not {task} within {PROBE_ANSWER_S:g} s")
        return None


log = structlog.get_logger("store")

FIRST_RESTART_S = 0.1
LAST_RESTART_S = 2.0
# A range without read permission stays refused until the operator changes a role, so retries are rare.
LAST_RESTART_REFUSED_S = 10.0
CLOSE_S = 1.0
REARMED = "rearmed"


class EtcdWatch:
    """A subscription with its own thread, from construction to close(). `on_wake` gets the reason of each wake."""

    def __init__(self, calls: Calls, ranges: Sequence[KeyRange], on_wake: Callable[[str], None]) -> None:
        self._calls, self._ranges, self._on_wake = calls, tuple(ranges), on_wake
        self._lock = threading.Lock()
        self._stream: WatchStream | None = None
        self._closed = threading.Event()
        self._healthy = False
        self.fault: str | None = None
        """Text of the failure; None while the watch is healthy or not yet tried."""
        self._failures = 0
        calls.progress.subscribe(self._other_etcd)
        self._thread = threading.Thread(target=self._run, name="etcd watch", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """True if etcd has confirmed every range and the watch has not failed since."""
        return self._healthy

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def rearm(self, ranges: Sequence[KeyRange]) -> None:
        """Replace the ranges. Wakes the subscriber when etcd has confirmed them."""
        with self._lock:
            self._ranges = tuple(ranges)
        self._end_stream(REARMED, "the ranges were replaced")

    def close(self) -> None:
        self._closed.set()
        self._calls.progress.unsubscribe(self._other_etcd)
        self._end_stream("closed", "the watch was closed")
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._watch_once()
            except StreamEnded as ended:
                self._broken(ended.reason, ended.details)
            except (Unreachable, Refused) as error:
                self._broken("refused" if isinstance(error, Refused) else "unreachable", str(error))
            except Exception as error:
                # A watch whose thread ended would never wake its subscriber again.
                log.exception("watch: unexpected fault")
                self._broken("fault", str(error))

    def _watch_once(self) -> None:
        ranges = self._ranges
        request = read_request(ranges, count_only=True)
        answer = self._calls.once("watch", lambda client: self._calls.transact(client, request))
        with self._calls.pool.borrowed() as connection:
            metadata = self._calls.metadata(connection)
            stream = WatchStream(connection, ranges, metadata, self._calls.progress)
            with self._lock:
                if self._closed.is_set() or ranges != self._ranges:
                    return
                self._stream = stream
            try:
                after = answer.header.revision
                stream.listen(after_revision=after, on_open=self._opened, on_change=self._changed)
            finally:
                self._stream = None

    def _opened(self) -> None:
        self._failures = 0
        self._healthy, self.fault = True, None
        self._on_wake("watch: open")

    def _changed(self) -> None:
        self._on_wake("watch: change")

    def _other_etcd(self, reason: str) -> None:
        self._end_stream(reason, "etcd was replaced or restored from a backup")
        self._on_wake(f"watch: {reason}")

    def _broken(self, reason: str, details: str) -> None:
        """Report the first failure after a healthy period, and wait. Do neither after close() or rearm()."""
        was_healthy, first_fault = self._healthy, self.fault is None
        self._healthy, self.fault = False, details
        if self._closed.is_set() or reason == REARMED:
            return
        if was_healthy or first_fault:
            # The caller of the call that failed logs its error.
            write = log.debug if reason == GIVEN_UP else log.warning
            write("watch: ended", reason=reason, details=details)
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
