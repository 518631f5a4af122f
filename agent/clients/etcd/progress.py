"""What etcd's answers say about itself: its newest revision, and whether it is still the etcd we knew."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

import structlog

from agent.clients.etcdpb import etcd_pb2

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
