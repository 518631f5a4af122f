"""etcd in memory: as much of it as the `Store` contract shows, on a clock that the test turns.

`FakeEtcd` is the server; each `FakeStore` is one agent's way to it, which a test can cut, heal, or make lose the
answer to the next write. It passes tests/contract/test_store.py, as the real one does; that is why it is believed.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.errors import Conflict, LeadershipLost, Missing, Refused, Unreachable
from agent.model.store import (
    Compare,
    Delete,
    Fence,
    KeyRange,
    KeyValue,
    Lease,
    Put,
    Snapshot,
    StoreHealth,
    TxnResult,
)

MOST_OPERATIONS = 128
MOST_BYTES = 1536 * 1024
SHORTEST_TTL_S = 2.0


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


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
        self._leases: dict[int, _GrantedLease] = {}
        self._last_lease_id = 1000
        self._watches: list[FakeWatch] = []

    # ---- what a test does to it

    def wipe(self) -> None:
        """Lose everything, as an etcd restored from nothing does: revisions start again from 1."""
        with self.lock:
            self._values, self._leases, self.revision = {}, {}, 1
            for watch in self._watches:
                watch.wake("watch: revision went back")

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
            found = {key: kv for key, kv in sorted(self._values.items()) if _in_any(key, ranges)}
            return Snapshot(revision=self.revision, values=found)

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
            ttl_s = max(float(int(ttl_s)), SHORTEST_TTL_S)
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

    def revoke(self, lease_id: int) -> None:
        with self.lock:
            self._leases.pop(lease_id, None)
            gone = [Delete(key=kv.key) for kv in self._values.values() if kv.lease == lease_id]
            self._carry_out(gone)

    def add_watch(self, watch: "FakeWatch") -> None:
        with self.lock:
            self._watches.append(watch)

    def remove_watch(self, watch: "FakeWatch") -> None:
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
        if len(set(keys)) < len(keys) or any(_in_any(key, deletes) for key in keys):
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
        return [put.key]

    def _delete(self, delete: Delete) -> list[str]:
        ranges = [KeyRange(key=delete.key, prefix=delete.prefix)]
        gone = [key for key in self._values if _in_any(key, ranges)]
        for key in gone:
            del self._values[key]
        return gone


class FakeWatch:
    def __init__(
        self, store: "FakeStore", ranges: Sequence[KeyRange], on_wake: Callable[[str], None]
    ) -> None:
        self._store = store
        self._ranges = tuple(ranges)
        self._on_wake = on_wake
        self.closed = False

    @property
    def healthy(self) -> bool:
        return not self.closed and self._store.reachable

    @property
    def fault(self) -> str | None:
        return None if self.healthy else "etcd is unreachable"

    def rearm(self, ranges: Sequence[KeyRange]) -> None:
        self._ranges = tuple(ranges)
        self.wake("watch: open")

    def close(self) -> None:
        self.closed = True
        self._store.etcd.remove_watch(self)

    def changed(self, keys: Sequence[str]) -> None:
        if any(_in_any(key, self._ranges) for key in keys):
            self.wake("watch: change")

    def wake(self, reason: str) -> None:
        if self.healthy:
            self._on_wake(reason)

    def cut(self) -> None:
        if not self.closed:
            self._on_wake("watch: unavailable")


class FakeStore:
    """One agent's client of a `FakeEtcd`."""

    def __init__(self, etcd: FakeEtcd | None = None) -> None:
        self.etcd = etcd or FakeEtcd()
        self.reachable = True
        self.closed = False
        self._answers_to_lose = 0
        self._watches: list[FakeWatch] = []

    # ---- what a test does to it

    def cut(self) -> None:
        """Make etcd unreachable for this client."""
        self.reachable = False
        for watch in self._watches:
            watch.cut()

    def heal(self) -> None:
        self.reachable = True
        for watch in self._watches:
            watch.wake("watch: open")

    def lose_next_answer(self) -> None:
        """Let the next write be carried out, and its caller not know."""
        self._answers_to_lose += 1

    # ---- the Store

    def read(self, ranges: Sequence[KeyRange]) -> Snapshot:
        self._reach()
        return self.etcd.snapshot(ranges)

    def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        self._reach()
        result = self.etcd.txn(compares, operations)
        if self._answers_to_lose:
            self._answers_to_lose -= 1
            raise Unreachable("the answer was lost")
        return result

    def write_fenced(
        self, fence: Fence, operations: Sequence[Put | Delete], compares: Sequence[Compare] = ()
    ) -> None:
        lock = Compare(key=fence.key, create_revision=fence.create_revision)
        with self.etcd.lock:
            succeeded = self.txn([lock, *compares], operations).succeeded
            held = self.etcd.snapshot([KeyRange(key=fence.key)]).get(fence.key)
        if succeeded:
            return
        if held is None or held.create_revision != fence.create_revision:
            raise LeadershipLost(
                f"{fence.key} is no longer the lock taken at revision {fence.create_revision}"
            )
        raise Conflict("a key that was to be written has changed since it was read")

    def grant(self, ttl_s: float) -> Lease:
        self._reach()
        return self.etcd.grant(ttl_s)

    def keepalive(self, lease_id: int) -> float:
        self._reach()
        return self.etcd.keepalive(lease_id)

    def revoke(self, lease_id: int) -> None:
        self._reach()
        self.etcd.revoke(lease_id)

    def watch(self, ranges: Sequence[KeyRange], on_wake: Callable[[str], None]) -> FakeWatch:
        watch = FakeWatch(self, ranges, on_wake)
        self._watches.append(watch)
        self.etcd.add_watch(watch)
        watch.wake("watch: open")
        return watch

    def health(self) -> StoreHealth:
        return StoreHealth(
            connected=self.reachable and not self.closed,
            endpoint="fake://etcd",
            last_contact_s=self.etcd.clock(),
            revision=self.etcd.revision,
            reconnects={},
        )

    def close(self) -> None:
        self.closed = True
        for watch in self._watches:
            watch.close()

    def _reach(self) -> None:
        if self.closed:
            raise Unreachable("the etcd client is closed")
        if not self.reachable:
            raise Unreachable("etcd is unreachable")


def _in_any(key: str, ranges: Sequence[KeyRange]) -> bool:
    return any(key.startswith(each.key) if each.prefix else key == each.key for each in ranges)
