"""The operations of etcd that the agent uses."""

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from agent.clients.etcd import calls
from agent.clients.etcd.pages import read_pages
from agent.clients.etcd.watch import EtcdWatch
from agent.clients.etcdpb import etcd_pb2
from agent.errors import Compacted, Conflict, LeadershipLost, Missing
from agent.model import store

REVOKE_BUDGET_S = 1.0
REVOKE_TRY_S = 0.4
"""Leaves time for a second endpoint when one hangs: the next leader waits for this call or the end of the lease."""


class EtcdStore:
    """A client of etcd. The constructor sends nothing; it raises Invalid for unusable settings.

    Every read is linearizable. Any thread may call a method.

    `observe_call(operation, seconds, error)` is called after every attempt, on the calling thread; the error is one of
    a small set, or None.
    """

    def __init__(
        self, settings: store.StoreSettings, *, observe_call: calls.Observer = lambda *_: None
    ) -> None:
        self._calls = calls.Calls(settings, observe_call)
        self._watches: list[EtcdWatch] = []
        self._most: int | None = None

    def read(self, ranges: Sequence[store.KeyRange]) -> store.Snapshot:
        """Return all ranges at one revision. Raises Unreachable, Refused."""
        return read_pages(self._read, ranges, self._most)

    def bounded(self, most: int) -> "EtcdStore":
        """Return this store, with reads that raise Refused for values below prefixes that take more bytes of memory."""
        store = copy.copy(self)
        store._most = most  # noqa: SLF001 - made here
        return store

    def first_key(self, start: str, end: str) -> str | None:
        """Return the first key from `start` up to and excluding `end`, without its value; None if there is none.

        Raises Unreachable, Refused.
        """
        get = etcd_pb2.RangeRequest(key=start.encode(), range_end=end.encode(), keys_only=True, limit=1)
        request = etcd_pb2.TxnRequest(success=[etcd_pb2.RequestOp(request_range=get)])
        return next(iter(calls.snapshot_of(self._read(request)).values), None)

    def read_at(self, key: str, revision: int) -> store.KeyValue | None:
        """Return the value that `key` had at `revision`; None if it had none, or etcd has had no such revision.

        Raises Compacted if etcd has deleted that revision; Unreachable, Refused.
        """
        # etcd takes a revision of 0 or less for the newest one, and refuses one that it has not reached.
        ranges = [store.KeyRange(key=key)]
        if not 0 < revision <= self.read(ranges).revision:
            return None
        return calls.snapshot_of(self._read(calls.read_request(ranges, revision=revision))).get(key)

    def txn(
        self, compares: Sequence[store.Compare], operations: Sequence[store.Put | store.Delete]
    ) -> store.TxnResult:
        """Carry out all operations if every compare holds, else none of them.

        Raises Unreachable when the result is unknown; Refused when nothing was carried out (permission, size, no space
        left in etcd); Missing when a lease of an operation does not exist.
        """
        request = calls.write_request(compares, operations)
        response = self._calls.once("txn", self._transaction(request))
        return store.TxnResult(succeeded=response.succeeded, revision=response.header.revision)

    def write_fenced(
        self,
        fence: store.Fence,
        operations: Sequence[store.Put | store.Delete],
        compares: Sequence[store.Compare] = (),
    ) -> None:
        """Carry out all operations if the lock is still that of `fence` and every compare holds.

        Raises LeadershipLost when another agent has the lock, Conflict when a compare failed, and as txn().
        """
        request = calls.write_request(compares, operations, fence)
        response = self._calls.once("txn", self._transaction(request))
        if response.succeeded:
            return
        if not calls.holds_fence(response, fence):
            raise LeadershipLost(f"the lock {fence.key} acquired at revision {fence.create_revision} is lost")
        keys = ", ".join(compare.key for compare in compares)
        raise Conflict(f"a key has changed since it was read: {keys}")

    def grant(self, ttl_s: float) -> store.Lease:
        """Return a new lease of at least `ttl_s`. Raises Unreachable, Refused (no space left in etcd)."""

        def call(client: Any) -> store.Lease:
            granted = client.lease(math.ceil(ttl_s))
            return store.Lease(id=granted.id, ttl_s=float(granted.ttl))

        return self._calls.repeated("grant", call)

    def keepalive(self, lease_id: int) -> float:
        """Renew a lease; return its seconds to live, 0 or less when it is gone. Raises Unreachable, Refused."""

        def call(client: Any) -> float:
            # Not etcd3's call: for its stream gRPC starts two threads. One request and its answer are the same.
            request, answer = etcd_pb2.LeaseKeepAliveRequest, etcd_pb2.LeaseKeepAliveResponse.FromString
            path = "/etcdserverpb.Lease/LeaseKeepAlive"
            renew = client.channel.unary_unary(path, request.SerializeToString, answer)
            return float(renew(request(ID=lease_id), timeout=client.timeout, metadata=client.metadata).TTL)

        return self._calls.repeated("keepalive", call)

    def granted_s(self, lease_id: int) -> float:
        """Return the seconds for which a lease was granted, 0 if it is gone. Raises Unreachable, Refused."""

        def call(client: Any) -> float:
            # Not etcd3's call: it asks for the keys of the lease, which only those may see who read them all.
            stub, request = client.leasestub, etcd_pb2.LeaseTimeToLiveRequest(ID=lease_id)
            answer = stub.LeaseTimeToLive(request, timeout=client.timeout, metadata=client.metadata)
            return float(answer.grantedTTL)

        return self._calls.repeated("lease", call)

    def revoke(self, lease_id: int) -> None:
        """End the lease, if it exists, and delete its keys. Raises Unreachable, Refused."""

        def call(client: Any) -> None:
            client.revoke_lease(lease_id)

        with suppress(Missing):
            self._calls.repeated("revoke", call, budget_s=REVOKE_BUDGET_S, timeout_s=REVOKE_TRY_S)

    def watch(self, ranges: Sequence[store.KeyRange], on_wake: Callable[[str], None]) -> EtcdWatch:
        """Call `on_wake(reason)` whenever a key in the ranges may have changed, until the watch is closed.

        The watch's own thread calls it; it must return quickly. There may be a call without a change, or one for many
        changes; at least one call follows the last change.
        """
        watch = EtcdWatch(self._calls, ranges, on_wake)
        self._watches = [*(each for each in self._watches if not each.closed), watch]
        return watch

    def upkeep(self, key: str = "") -> store.Upkeep:
        """Return etcd's alarm and sizes; with a `key` that the user may read, also whether it keeps old revisions.

        Raises Unreachable, Refused.
        """
        status: etcd_pb2.StatusResponse = self._calls.repeated(
            "status",
            lambda client: client.maintenancestub.Status(
                etcd_pb2.StatusRequest(), timeout=client.timeout, metadata=client.metadata
            ),
        )
        # Every member reports the alarms of all, in texts such as `memberID:1 alarm:NOSPACE`.
        errors = " ".join(status.errors)
        return store.Upkeep(
            alarm=next((each for each in ("CORRUPT", "NOSPACE") if each in errors), ""),
            size=status.dbSize or None,
            in_use=status.dbSizeInUse or None,
            quota=status.dbSizeQuota or None,
            keeps_history=self._has(key, status.header.revision - store.OLD_REVISIONS) if key else None,
        )

    def _has(self, key: str, revision: int) -> bool:
        ranges = [store.KeyRange(key=key, keys_only=True)]
        with suppress(Compacted):
            return revision > 0 and bool(self._read(calls.read_request(ranges, revision=revision)))
        return False

    @property
    def last_contact_s(self) -> float | None:
        """Time of etcd's last answer on the monotonic clock; None: before the first one."""
        return self._calls.progress.last_contact_s

    def close(self) -> None:
        """End all watches and calls. Every later call raises Unreachable."""
        self._calls.close()
        for watch in self._watches:
            watch.close()
        self._calls.pool.close()

    def _read(self, request: etcd_pb2.TxnRequest) -> etcd_pb2.TxnResponse:
        return self._calls.repeated("read", self._transaction(request))

    def _transaction(self, request: etcd_pb2.TxnRequest) -> Callable[[Any], etcd_pb2.TxnResponse]:
        return lambda client: self._calls.transact(client, request)


Store = EtcdStore
"""The type of every client of etcd: the tests have one in memory, which overrides all methods."""
