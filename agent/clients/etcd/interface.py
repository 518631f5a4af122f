"""What the program asks of etcd, and nothing more: real and fake store pass one contract suite."""

from collections.abc import Callable, Sequence
from typing import Protocol

from agent.model.store import Compare, Delete, Fence, KeyRange, Lease, Put, Snapshot, StoreHealth, TxnResult


class Watch(Protocol):
    """A standing request to be woken. It carries no data: whoever is woken reads."""

    @property
    def healthy(self) -> bool:
        """Whether etcd has confirmed every range of it and nothing has gone wrong since."""
        ...

    @property
    def fault(self) -> str | None:
        """Why it is not healthy, in words; None when it is, or when it has not been tried yet."""
        ...

    def rearm(self, ranges: Sequence[KeyRange]) -> None:
        """Watch these ranges instead. Wakes once it does."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """etcd, as this program uses it. Every read is linearizable. Safe to call from several threads."""

    def read(self, ranges: Sequence[KeyRange]) -> Snapshot:
        """Return all the ranges as of one revision. Raises Unreachable, Refused."""
        ...

    def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        """Carry out all operations if every compare holds, else none of them.

        Raises Unreachable, and then it may have been carried out or not; Refused when it was not and will not be
        (permission, size, no space left in etcd); Missing when a lease named in it is gone.
        """
        ...

    def write_fenced(
        self, fence: Fence, operations: Sequence[Put | Delete], compares: Sequence[Compare] = ()
    ) -> None:
        """Carry out all operations if the lock is still held as `fence` says and every compare holds.

        Raises LeadershipLost when the lock has passed on, Conflict when another compare failed, and as txn().
        """
        ...

    def grant(self, ttl_s: float) -> Lease:
        """Return a new lease of at least `ttl_s`. Raises Unreachable, Refused (no space left in etcd)."""
        ...

    def keepalive(self, lease_id: int) -> float:
        """Return the renewed lease's seconds to live, 0 or less when it is gone. Raises Unreachable, Refused."""
        ...

    def revoke(self, lease_id: int) -> None:
        """End the lease and delete its keys; one that is gone already is no error. Raises Unreachable, Refused."""
        ...

    def watch(self, ranges: Sequence[KeyRange], on_wake: Callable[[str], None]) -> Watch:
        """Call `on_wake(reason)` whenever a key in the ranges may have changed, until the watch is closed.

        It is called on the watch's own thread and must return at once. It may be called for no change, and once
        for many; after the last change it is called at least once more.
        """
        ...

    def health(self) -> StoreHealth: ...

    def close(self) -> None:
        """End watches and calls under way. Every later call raises Unreachable."""
        ...
