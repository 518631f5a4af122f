"""One agent's way to an etcd in memory, which a test can cut, heal, or make lose the answer to the next write.

It passes tests/contract/test_store.py, as the real client does; that is why it is believed.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from agent.clients.etcd import EtcdStore
from agent.clients.etcd.watch import EtcdWatch
from agent.errors import Compacted, Conflict, Denied, LeadershipLost, Unreachable
from agent.model.keys import EtcdRole, after
from agent.model.store import (
    OLD_REVISIONS,
    Compare,
    Delete,
    Fence,
    KeyRange,
    KeyValue,
    Lease,
    Put,
    Snapshot,
    TxnResult,
    Upkeep,
)
from tests.fakes.etcd import FakeClock, FakeEtcd, in_any

__all__ = ["FakeClock", "FakeEtcd", "FakeStore"]


class FakeWatch(EtcdWatch):
    def __init__(
        self, store: "FakeStore", ranges: Sequence[KeyRange], on_wake: Callable[[str], None]
    ) -> None:
        self._store = store
        self._ranges = tuple(ranges)
        self._on_wake = on_wake
        self._closed = threading.Event()
        self.fault = None

    @property
    def healthy(self) -> bool:
        return not self.closed and self._store.reachable

    def rearm(self, ranges: Sequence[KeyRange]) -> None:
        self._ranges = tuple(ranges)
        self.wake("watch: open")

    def close(self) -> None:
        self._closed.set()
        self._store.etcd.remove_watch(self)

    def changed(self, keys: Sequence[str]) -> None:
        if any(in_any(key, self._ranges) for key in keys):
            self.wake("watch: change")

    def wake(self, reason: str) -> None:
        if self.healthy:
            self._on_wake(reason)

    def cut(self) -> None:
        if not self.closed:
            self._on_wake("watch: unavailable")


def _is_within(last: str, end: str, prefix: bool) -> bool:
    return last <= end if prefix else last < end


class FakeStore(EtcdStore):
    """One agent's client of a `FakeEtcd`."""

    def __init__(self, etcd: FakeEtcd | None = None) -> None:
        self.etcd = etcd or FakeEtcd()
        self.reachable = True
        self.closed = False
        self.denied = False
        """Whether the role of this client's user is revoked: leases are granted and renewed, and no more."""
        self.role: EtcdRole | None = None
        """The role of this client's user; None: it may do everything."""
        self.slow = False
        """Whether no reading ends in time, while all that is small passes."""
        self.before_fenced: Callable[[], None] = lambda: None
        """Called when a leader's write is about to be sent: what it does happens while the caller stands still."""
        self.on_write: Callable[[Sequence[Compare], Sequence[Put | Delete]], None] = lambda *_: None
        """Told of every write that was accepted, before its caller is."""
        self._answers_to_lose = 0
        self._watching: list[FakeWatch] = []

    # ---- what a test does to it

    def cut(self) -> None:
        """Make etcd unreachable for this client."""
        self.reachable = False
        for watch in self._watching:
            watch.cut()

    def heal(self) -> None:
        self.reachable = True
        for watch in self._watching:
            watch.wake("watch: open")

    def lose_next_answer(self) -> None:
        """Let the next write be carried out, and its caller not know."""
        self._answers_to_lose += 1

    # ---- the Store

    def read(self, ranges: Sequence[KeyRange]) -> Snapshot:
        self._reach()
        self._check_role(read=[(each.key, each.prefix) for each in ranges])
        if self.slow:
            raise Unreachable("no answer within 6 s")
        return self.etcd.snapshot(ranges)

    def bounded(self, most: int) -> "FakeStore":
        return self

    def first_key(self, start: str, end: str) -> str | None:
        everything = self.read([KeyRange(key="", prefix=True)]).values
        return min((key for key in everything if start <= key < end), default=None)

    def read_at(self, key: str, revision: int) -> KeyValue | None:
        self._reach()
        self._check_role(read=[(key, False)])
        return self.etcd.past(key, revision)

    def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        self._reach()
        writes = [(each.key, isinstance(each, Delete) and each.prefix) for each in operations]
        self._check_role(read=[(each.key, False) for each in compares], write=writes)
        result = self.etcd.txn(compares, operations)
        if result.succeeded:
            self.on_write(compares, operations)
        if self._answers_to_lose:
            self._answers_to_lose -= 1
            raise Unreachable("the answer was lost")
        return result

    def write_fenced(
        self, fence: Fence, operations: Sequence[Put | Delete], compares: Sequence[Compare] = ()
    ) -> None:
        self.before_fenced()
        lock = Compare(key=fence.key, create_revision=fence.create_revision)
        with self.etcd.lock:
            succeeded = self.txn([lock, *compares], operations).succeeded
            held = self.etcd.snapshot([KeyRange(key=fence.key)]).get(fence.key)
        if succeeded:
            return
        if held is None or held.create_revision != fence.create_revision:
            raise LeadershipLost(f"the lock {fence.key} acquired at revision {fence.create_revision} is lost")
        raise Conflict("a key has changed since it was read")

    def grant(self, ttl_s: float) -> Lease:
        self._reach()
        return self.etcd.grant(ttl_s)

    def keepalive(self, lease_id: int) -> float:
        self._reach()
        return self.etcd.keepalive(lease_id)

    def granted_s(self, lease_id: int) -> float:
        self._reach()
        return self.etcd.granted_s(lease_id)

    def revoke(self, lease_id: int) -> None:
        self._reach()
        attached = self.etcd.snapshot([KeyRange(key="", prefix=True)]).values.values()
        self._check_role(write=[(each.key, False) for each in attached if each.lease == lease_id])
        self.etcd.revoke(lease_id)

    def watch(self, ranges: Sequence[KeyRange], on_wake: Callable[[str], None]) -> FakeWatch:
        watch = FakeWatch(self, ranges, on_wake)
        self._watching.append(watch)
        self.etcd.add_watch(watch)
        watch.wake("watch: open")
        return watch

    def upkeep(self, key: str = "") -> Upkeep:
        self._reach()
        alarm = "NOSPACE" if self.etcd.out_of_space else ""
        if not key:
            return Upkeep(alarm=alarm)
        self._check_role(read=[(key, False)])
        revision, keeps = self.etcd.revision - OLD_REVISIONS, False
        with suppress(Compacted):
            self.etcd.past(key, revision)
            keeps = revision > 0
        return Upkeep(alarm=alarm, keeps_history=keeps)

    @property
    def last_contact_s(self) -> float | None:
        return self.etcd.clock()

    def close(self) -> None:
        self.closed = True
        for watch in self._watching:
            watch.close()

    def _check_role(
        self, *, read: Sequence[tuple[str, bool]] = (), write: Sequence[tuple[str, bool]] = ()
    ) -> None:
        """Refuse keys, and prefixes where the second part is true, that the role does not include."""
        asked = [*((each, "read") for each in read), *((each, "write") for each in write)]
        if self.denied or not all(self._may(*key, right) for key, right in asked):
            raise Denied("etcdserver: permission denied")

    def _may(self, key: str, prefix: bool, right: str) -> bool:
        last = after(key) if prefix and key else key
        return self.role is None or any(
            right in each.right
            and (
                key == each.key and not prefix
                if not each.end
                else each.key <= key and _is_within(last, each.end, prefix)
            )
            for each in self.role.permissions
        )

    def _reach(self) -> None:
        if self.closed:
            raise Unreachable("the etcd client is closed")
        if not self.reachable:
            raise Unreachable("etcd is unreachable")
