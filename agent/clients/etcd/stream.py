"""One gRPC Watch stream over all ranges of a watch: opened, listened to, probed when silent, ended.

What was measured of etcd 3.4.23 and is answered here: a range that may not be watched is confirmed and cancelled in
one message, with watch_id -1, and then stays silent for ever; a compaction cancels with `compact_revision`; a frozen
member says nothing at all.
"""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

import structlog

from agent.clients.etcd.channel import Connection, Metadata
from agent.clients.etcd.errors import FAILURES, failure_of
from agent.clients.etcd.messages import bounds
from agent.clients.etcdpb import etcd_pb2
from agent.model.store import KeyRange

# ---- What etcd's answers say about itself: its newest revision, and whether it is still the etcd we knew


log = structlog.get_logger("store")


class Progress:
    """The newest revision, the cluster's id, the last contact, and why connections were given up. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revision = 0
        self._cluster_id = 0
        self._last_contact_s: float | None = None
        self._connected = False
        self._reconnects: Counter[str] = Counter()
        self._on_other_etcd: set[Callable[[str], None]] = set()

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def last_contact_s(self) -> float | None:
        return self._last_contact_s

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def reconnects(self) -> Mapping[str, int]:
        with self._lock:
            return MappingProxyType(dict(self._reconnects))

    def contact(self) -> None:
        """Note that etcd has answered something."""
        self._last_contact_s = time.monotonic()
        self._connected = True

    def lost(self, reason: str) -> None:
        """Note that a connection or a stream was given up. `reason` is a metric's label: out of a small set."""
        with self._lock:
            self._reconnects[reason] += 1

    def disconnected(self) -> None:
        self._connected = False

    def subscribe(self, other_etcd: Callable[[str], None]) -> None:
        """Call `other_etcd(reason)` when the revision went back or the cluster's id changed."""
        with self._lock:
            self._on_other_etcd.add(other_etcd)

    def unsubscribe(self, other_etcd: Callable[[str], None]) -> None:
        with self._lock:
            self._on_other_etcd.discard(other_etcd)

    def linearized(self, header: etcd_pb2.ResponseHeader, *, seen_before: int) -> None:
        """Take the header of a linearizable answer. `seen_before` is the revision known when the call was made.

        Such an answer can never be older than what was known before the question, unless etcd was wiped or restored
        from a backup. A wiped etcd may well keep its cluster id, and a watch from our old revision would then wait
        in silence for a revision that is years away.
        """
        self.contact()
        with self._lock:
            reason = self._mismatch(header, seen_before)
            self._revision = header.revision if reason else max(self._revision, header.revision)
            self._cluster_id = header.cluster_id
            listeners = tuple(self._on_other_etcd) if reason else ()
        if reason:
            self.lost(reason)
            log.error("etcd is not the one it was", reason=reason, before=seen_before, now=header.revision)
        for listener in listeners:
            listener(reason)

    def _mismatch(self, header: etcd_pb2.ResponseHeader, seen_before: int) -> str:
        if self._cluster_id not in {0, header.cluster_id}:
            return "other cluster"
        if header.revision < seen_before:
            return "revision went back"
        return ""


# A frozen or vanished peer is found by the channel's pings within 10 s, whatever happens here. The probe is for an
# etcd that answers pings but no longer serves this stream, so it may be rare: one message in 30 s on a quiet cluster.
PROBE_AFTER_S = 30.0
PROBE_ANSWER_S = 5.0


class StreamEnded(Exception):
    """Why the stream is over: a word for metrics, and etcd's own text."""

    def __init__(self, reason: str, details: str) -> None:
        super().__init__(f"{reason}: {details}")
        self.reason = reason
        self.details = details


class WatchStream:
    """Read in the caller's thread; the requests, and the probes, are sent from gRPC's own sending thread."""

    def __init__(
        self, connection: Connection, ranges: Sequence[KeyRange], metadata: Metadata, progress: Progress
    ) -> None:
        self._connection = connection
        self._ranges = tuple(ranges)
        self._metadata = metadata
        self._progress = progress
        self._requests: queue.SimpleQueue[etcd_pb2.WatchRequest | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._call: Any = None
        self._end: StreamEnded | None = None
        self._confirmed = 0
        self._last_heard_s = time.monotonic()
        self._asked_s = 0.0

    def listen(
        self, *, after_revision: int, on_open: Callable[[], None], on_change: Callable[[], None]
    ) -> NoReturn:
        """Watch everything after the revision until the stream ends, which is always by raising StreamEnded.

        Calls `on_open` when every range is confirmed, `on_change` for every message with changes in it.
        """
        for each in self._ranges:
            key, end = bounds(each.key, prefix=each.prefix)
            create = etcd_pb2.WatchCreateRequest(key=key, range_end=end, start_revision=after_revision + 1)
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
        """End it from any thread; the first reason given is the one that listen() raises."""
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
        self.end("given up", f"a call to {self._connection.endpoint} failed")

    def _take(
        self, response: etcd_pb2.WatchResponse, on_open: Callable[[], None], on_change: Callable[[], None]
    ) -> None:
        self._last_heard_s = time.monotonic()
        self._progress.contact()
        if response.compact_revision:
            raise StreamEnded("compacted", f"history up to revision {response.compact_revision} is gone")
        if response.canceled:
            raise StreamEnded(
                "refused", response.cancel_reason or "etcd cancelled the watch and gave no reason"
            )
        if response.created:
            self._confirmed += 1
            if self._is_open:
                on_open()
        if response.events:
            on_change()

    def _outgoing(self) -> Iterator[etcd_pb2.WatchRequest]:
        while True:
            try:
                request = self._requests.get(timeout=max(self._patience_left_s(), 0))
            except queue.Empty:
                if self._patience_left_s() > 0:
                    continue  # something was heard meanwhile
                request = self._probe_or_end()
            if request is None:
                return
            yield request

    def _patience_left_s(self) -> float:
        if self._asked_s > self._last_heard_s:
            return self._asked_s + PROBE_ANSWER_S - time.monotonic()
        silence_s = PROBE_AFTER_S if self._is_open else PROBE_ANSWER_S
        return self._last_heard_s + silence_s - time.monotonic()

    def _probe_or_end(self) -> etcd_pb2.WatchRequest | None:
        if self._is_open and self._asked_s <= self._last_heard_s:
            self._asked_s = time.monotonic()
            # Only that it is answered counts: the revision in it is not in step with the events (etcd issue 15220).
            return etcd_pb2.WatchRequest(progress_request=etcd_pb2.WatchProgressRequest())
        what = "answer a progress request" if self._is_open else "confirm the watch"
        self.end("silent", f"{self._connection.endpoint} did not {what} within {PROBE_ANSWER_S:g} s")
        return None
