"""An etcd server in memory: as much of it as the `Store` contract shows, on a clock that the test turns.

Agents reach it through `tests.fakes.store.FakeStore`.
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Protocol

from agent.errors import Compacted, Missing, Refused
from agent.model.store import Compare, Delete, KeyRange, KeyValue, Lease, Put, Snapshot, TxnResult

MOST_OPERATIONS = 128
MOST_BYTES = 1536 * 1024
SHORTEST_TTL_S = 2.0


Past = dict[str, list[tuple[int, KeyValue | None]]]


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Listener(Protocol):
    """A watch, as the server knows it."""

    def changed(self, keys: Sequence[str]) -> None: ...

    def wake(self, reason: str) -> None: ...


@dataclass(slots=True)
class _GrantedLease:
    ttl_s: float
    expires_at: float


class FakeEtcd:
    """The server: keys, revisions, leases. One lock around everything, so that threads see what etcd shows."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.clock = clock or FakeClock()
        self.lock = threading.RLock()
        self.revision = 1
        self.out_of_space = False
        self._values: dict[str, KeyValue] = {}
        self._past: Past = {}
        """What each key became, and at which revision; None: it was deleted."""
        self._compacted = 0
        self._leases: dict[int, _GrantedLease] = {}
        self._last_lease_id = 1000
        self._watches: list[Listener] = []

    # ---- what a test does to it

    def wipe(self) -> None:
        """Lose everything, as an etcd restored from nothing does: revisions start again from 1."""
        with self.lock:
            self._values, self._leases, self.revision = {}, {}, 1
            self._past, self._compacted = {}, 0
            for watch in self._watches:
                watch.wake("watch: revision went back")

    def backup(self) -> tuple[int, dict[str, KeyValue], Past]:
        """What `etcdctl snapshot save` keeps; of leases nothing, as they would have run out by the time it is used."""
        with self.lock:
            kept = {key: kv for key, kv in self._values.items() if not kv.lease}
            return self.revision, kept, {key: list(past) for key, past in self._past.items()}

    def restore(self, backup: tuple[int, dict[str, KeyValue], Past]) -> None:
        """Go back to it, as `etcdctl snapshot restore` does: revisions count on from there."""
        with self.lock:
            self.wipe()
            self.revision, self._values = backup[0], dict(backup[1])
            self._past = {key: list(past) for key, past in backup[2].items()}

    def compact(self) -> None:
        """Forget the past, as `etcdctl compact` at the newest revision does."""
        with self.lock:
            self._past = {key: past[-1:] for key, past in self._past.items() if past[-1][1]}
            self._compacted = self.revision

    def was_put(self, key: str, revision: int, value: bytes) -> None:
        """Make it so that somebody put this at that revision, whatever happened then."""
        found = KeyValue(key=key, value=value, create_revision=revision, mod_revision=revision)
        with self.lock:
            past = [each for each in self._past.get(key, ()) if each[0] != revision]
            self._past[key] = past = sorted([*past, (revision, found)], key=itemgetter(0))
            if past[-1][1] is found:
                self._values[key] = found

    def expire(self) -> None:
        """Drop the leases whose time has come, as every call does by itself."""
        with self.lock:
            now = self.clock()
            for lease_id in [key for key, lease in self._leases.items() if lease.expires_at <= now]:
                self.revoke(lease_id)

    # ---- what clients ask of it

    def snapshot(self, ranges: Sequence[KeyRange]) -> Snapshot:
        with self.lock:
            self.expire()
            whole = [each for each in ranges if not each.keys_only]
            found = {
                key: kv if in_any(key, whole) else replace(kv, value=b"")
                for key, kv in sorted(self._values.items())
                if in_any(key, ranges)
            }
            return Snapshot(revision=self.revision, values=found)

    def past(self, key: str, revision: int) -> KeyValue | None:
        """What the key was at that revision."""
        with self.lock:
            self.expire()
            if not 0 < revision <= self.revision:
                return None
            if revision < self._compacted:
                raise Compacted("etcdserver: mvcc: required revision has been compacted")
            past = [found for at, found in self._past.get(key, ()) if at <= revision]
            return past[-1] if past else None

    def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        with self.lock:
            self.expire()
            self._check(compares, operations)
            succeeded = all(self._holds(compare) for compare in compares)
            if succeeded:
                self._carry_out(operations)
            return TxnResult(succeeded=succeeded, revision=self.revision)

    def grant(self, ttl_s: float) -> Lease:
        with self.lock:
            if self.out_of_space:
                raise Refused("etcdserver: mvcc: database space exceeded")
            ttl_s = max(float(math.ceil(ttl_s)), SHORTEST_TTL_S)
            self._last_lease_id += 1
            self._leases[self._last_lease_id] = _GrantedLease(ttl_s, self.clock() + ttl_s)
            return Lease(id=self._last_lease_id, ttl_s=ttl_s)

    def keepalive(self, lease_id: int) -> float:
        with self.lock:
            self.expire()
            lease = self._leases.get(lease_id)
            if lease is None:
                return 0.0
            lease.expires_at = self.clock() + lease.ttl_s
            return lease.ttl_s

    def granted_s(self, lease_id: int) -> float:
        with self.lock:
            self.expire()
            return self._leases[lease_id].ttl_s if lease_id in self._leases else 0.0

    def revoke(self, lease_id: int) -> None:
        with self.lock:
            self._leases.pop(lease_id, None)
            gone = [Delete(key=kv.key) for kv in self._values.values() if kv.lease == lease_id]
            self._carry_out(gone)

    def add_watch(self, watch: Listener) -> None:
        with self.lock:
            self._watches.append(watch)

    def remove_watch(self, watch: Listener) -> None:
        with self.lock:
            if watch in self._watches:
                self._watches.remove(watch)

    def _holds(self, compare: Compare) -> bool:
        kv = self._values.get(compare.key)
        if compare.create_revision is not None:
            return compare.create_revision == (kv.create_revision if kv else 0)
        return compare.mod_revision == (kv.mod_revision if kv else 0)

    def _check(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> None:
        if max(len(compares), len(operations)) > MOST_OPERATIONS:
            raise Refused("etcdserver: too many operations in txn request")
        puts = [each for each in operations if isinstance(each, Put)]
        deletes = [
            KeyRange(key=each.key, prefix=each.prefix) for each in operations if isinstance(each, Delete)
        ]
        keys = [put.key for put in puts]
        if len(set(keys)) < len(keys) or any(in_any(key, deletes) for key in keys):
            raise Refused("etcdserver: duplicate key given in txn request")
        if any(not each.key for each in operations if isinstance(each, Put)):
            raise Refused("etcdserver: key is not provided")
        if sum(len(put.key) + len(put.value) for put in puts) > MOST_BYTES:
            raise Refused("etcdserver: request is too large")
        if puts and self.out_of_space:
            raise Refused("etcdserver: mvcc: database space exceeded")

    def _carry_out(self, operations: Sequence[Put | Delete]) -> None:
        """Do all of it at one revision, which counts up only if something changes."""
        for lease in [each.lease for each in operations if isinstance(each, Put) and each.lease]:
            if lease not in self._leases:
                raise Missing("etcdserver: requested lease not found")
        changed: list[str] = []
        for operation in operations:
            changed += self._put(operation) if isinstance(operation, Put) else self._delete(operation)
        if changed:
            self.revision += 1
            for watch in tuple(self._watches):
                watch.changed(changed)

    def _put(self, put: Put) -> list[str]:
        old, revision = self._values.get(put.key), self.revision + 1
        self._values[put.key] = KeyValue(
            key=put.key,
            value=put.value,
            create_revision=old.create_revision if old else revision,
            mod_revision=revision,
            lease=put.lease,
        )
        self._past.setdefault(put.key, []).append((revision, self._values[put.key]))
        return [put.key]

    def _delete(self, delete: Delete) -> list[str]:
        ranges = [KeyRange(key=delete.key, prefix=delete.prefix)]
        gone = [key for key in self._values if in_any(key, ranges)]
        for key in gone:
            del self._values[key]
            self._past[key].append((self.revision + 1, None))
        return gone


def in_any(key: str, ranges: Sequence[KeyRange]) -> bool:
    """Whether the key lies in one of the ranges."""
    return any(key.startswith(each.key) if each.prefix else key == each.key for each in ranges)
