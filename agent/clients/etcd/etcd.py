"""The store on a real etcd."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from agent.clients.etcd import calls, channel
from agent.clients.etcd.watch import EtcdWatch
from agent.clients.etcdpb import etcd_pb2
from agent.errors import Conflict, LeadershipLost, Missing
from agent.model import store

# ---- What the program asks of etcd, and nothing more: real and fake store pass one contract suite


class Watch(Protocol):
    """A standing request to be woken. It carries no data: whoever is woken reads."""

    @property
    def healthy(self) -> bool:
        """Whether etcd has confirmed every range of it and nothing has gone wrong since."""

    @property
    def fault(self) -> str | None:
        """Why it is not healthy, in words; None when it is, or when it has not been tried yet."""

    def rearm(self, ranges: Sequence[store.KeyRange]) -> None:
        """Watch these ranges instead. Wakes once it does."""

    def close(self) -> None: ...


class Store(Protocol):
    """etcd, as this program uses it. Every read is linearizable. Safe to call from several threads."""

    def read(self, ranges: Sequence[store.KeyRange]) -> store.Snapshot:
        """Return all the ranges as of one revision. Raises Unreachable, Refused."""

    def txn(
        self, compares: Sequence[store.Compare], operations: Sequence[store.Put | store.Delete]
    ) -> store.TxnResult:
        """Carry out all operations if every compare holds, else none of them.

        Raises Unreachable, and then it may have been carried out or not; Refused when it was not and will not be
        (permission, size, no space left in etcd); Missing when a lease named in it is gone.
        """

    def write_fenced(
        self,
        fence: store.Fence,
        operations: Sequence[store.Put | store.Delete],
        compares: Sequence[store.Compare] = (),
    ) -> None:
        """Carry out all operations if the lock is still held as `fence` says and every compare holds.

        Raises LeadershipLost when the lock has passed on, Conflict when another compare failed, and as txn().
        """

    def grant(self, ttl_s: float) -> store.Lease:
        """Return a new lease of at least `ttl_s`. Raises Unreachable, Refused (no space left in etcd)."""

    def keepalive(self, lease_id: int) -> float:
        """Return the renewed lease's seconds to live, 0 or less when it is gone. Raises Unreachable, Refused."""

    def revoke(self, lease_id: int) -> None:
        """End the lease and delete its keys; one that is gone already is no error. Raises Unreachable, Refused."""

    def watch(self, ranges: Sequence[store.KeyRange], on_wake: Callable[[str], None]) -> Watch:
        """Call `on_wake(reason)` whenever a key in the ranges may have changed, until the watch is closed.

        It is called on the watch's own thread and must return at once. It may be called for no change, and once
        for many; after the last change it is called at least once more.
        """

    def health(self) -> store.StoreHealth: ...

    def close(self) -> None:
        """End watches and calls under way. Every later call raises Unreachable."""


REVOKE_BUDGET_S = 1.0
REVOKE_TRY_S = 0.4
"""Time for a second endpoint when the first one hangs: the next leader waits for this call, or for the lease to end."""


class EtcdStore:
    """A `Store` over one or several endpoints. Nothing is sent before the first call.

    `observe_call(operation, seconds, error)` is called after every try, on the thread that made it; the error is a
    word out of a small set, or None. Raises Invalid when the settings cannot be used.
    """

    def __init__(
        self, settings: store.StoreSettings, *, observe_call: calls.Observer = lambda *_: None
    ) -> None:
        self._pool = channel.Pool(settings)
        self._progress = calls.Progress()
        self._calls = calls.Calls(settings, self._pool, self._progress, observe_call)
        self._watches: list[EtcdWatch] = []

    def read(self, ranges: Sequence[store.KeyRange]) -> store.Snapshot:
        request = calls.read_request(ranges)
        return calls.snapshot_of(self._calls.repeated("read", self._transaction(request)))

    def txn(
        self, compares: Sequence[store.Compare], operations: Sequence[store.Put | store.Delete]
    ) -> store.TxnResult:
        request = calls.write_request(compares, operations)
        response = self._calls.once("txn", self._transaction(request))
        return store.TxnResult(succeeded=response.succeeded, revision=response.header.revision)

    def write_fenced(
        self,
        fence: store.Fence,
        operations: Sequence[store.Put | store.Delete],
        compares: Sequence[store.Compare] = (),
    ) -> None:
        request = calls.write_request(compares, operations, fence)
        response = self._calls.once("txn", self._transaction(request))
        if response.succeeded:
            return
        if not calls.holds_fence(response, fence):
            raise LeadershipLost(
                f"{fence.key} is no longer the lock taken at revision {fence.create_revision}"
            )
        keys = ", ".join(compare.key for compare in compares)
        raise Conflict(f"a key that was to be written has changed since it was read: {keys}")

    def grant(self, ttl_s: float) -> store.Lease:
        def call(client: Any) -> store.Lease:
            granted = client.lease(math.ceil(ttl_s))
            return store.Lease(id=granted.id, ttl_s=float(granted.ttl))

        return self._calls.repeated("grant", call)

    def keepalive(self, lease_id: int) -> float:
        def call(client: Any) -> float:
            # One short stream for each renewal: it has a deadline, which a long one has not.
            answers = list(client.refresh_lease(lease_id))
            return float(answers[0].TTL) if answers else 0.0

        return self._calls.repeated("keepalive", call)

    def revoke(self, lease_id: int) -> None:
        def call(client: Any) -> None:
            client.revoke_lease(lease_id)

        with suppress(Missing):
            self._calls.repeated("revoke", call, budget_s=REVOKE_BUDGET_S, timeout_s=REVOKE_TRY_S)

    def watch(self, ranges: Sequence[store.KeyRange], on_wake: Callable[[str], None]) -> EtcdWatch:
        watch = EtcdWatch(self._calls, self._pool, self._progress, ranges, on_wake)
        self._watches = [*(each for each in self._watches if not each.closed), watch]
        return watch

    def health(self) -> store.StoreHealth:
        return store.StoreHealth(
            connected=self._progress.connected,
            endpoint=self._pool.endpoint,
            last_contact_s=self._progress.last_contact_s,
            revision=self._progress.revision,
            reconnects=self._progress.reconnects,
        )

    def close(self) -> None:
        self._calls.close()
        for watch in self._watches:
            watch.close()
        self._pool.close()

    def _transaction(self, request: etcd_pb2.TxnRequest) -> Callable[[Any], etcd_pb2.TxnResponse]:
        return lambda client: self._calls.transact(client, request)
