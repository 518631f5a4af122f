"""Requests to etcd built from our types, and its answers read into them."""

from collections.abc import Iterable, Sequence
from typing import Any

from agent.clients.etcd.channel import etcd3
from agent.clients.etcdpb import etcd_pb2
from agent.model.store import Compare, Delete, Fence, KeyRange, KeyValue, Put, Snapshot

create_revision_of = etcd3.transactions.Create
mod_revision_of = etcd3.transactions.Mod


def range_end(key: bytes) -> bytes:
    """Return the first key after all that start with `key`, which is how etcd writes a prefix."""
    stem = key.rstrip(b"\xff")
    if not stem:
        return b"\0"  # etcd's word for "to the very end"
    return stem[:-1] + bytes([stem[-1] + 1])


def bounds(key: str, *, prefix: bool) -> tuple[bytes, bytes]:
    """Return the `key` and the `range_end` of a request, which is empty for a single key. No prefix: every key."""
    raw = key.encode()
    return (raw or b"\0", range_end(raw)) if prefix else (raw, b"")


def read_request(ranges: Sequence[KeyRange], *, count_only: bool = False) -> etcd_pb2.TxnRequest:
    """Return one transaction of all the reads: the answer is a snapshot, and linearizable as every transaction is."""
    gets = []
    for each in ranges:
        key, end = bounds(each.key, prefix=each.prefix)
        gets.append(etcd_pb2.RangeRequest(key=key, range_end=end, count_only=count_only))
    return etcd_pb2.TxnRequest(success=[etcd_pb2.RequestOp(request_range=get) for get in gets])


def write_request(
    compares: Iterable[Compare], operations: Iterable[Put | Delete], fence: Fence | None = None
) -> etcd_pb2.TxnRequest:
    """Return the transaction; a fenced one reads the lock when it fails, to tell whose compare it was."""
    guarded = list(compares)
    otherwise = []
    if fence is not None:
        guarded.insert(0, Compare(key=fence.key, create_revision=fence.create_revision))
        get = etcd_pb2.RangeRequest(key=fence.key.encode(), keys_only=True)
        otherwise.append(etcd_pb2.RequestOp(request_range=get))
    return etcd_pb2.TxnRequest(
        compare=[_compare(each) for each in guarded],
        success=[_operation(each) for each in operations],
        failure=otherwise,
    )


def _compare(compare: Compare) -> Any:
    if compare.create_revision is not None:
        built = create_revision_of(compare.key) == compare.create_revision
    else:
        built = mod_revision_of(compare.key) == compare.mod_revision
    return built.build_message()


def _operation(operation: Put | Delete) -> etcd_pb2.RequestOp:
    if isinstance(operation, Put):
        put = etcd_pb2.PutRequest(key=operation.key.encode(), value=operation.value, lease=operation.lease)
        return etcd_pb2.RequestOp(request_put=put)
    key, end = bounds(operation.key, prefix=operation.prefix)
    return etcd_pb2.RequestOp(request_delete_range=etcd_pb2.DeleteRangeRequest(key=key, range_end=end))


def snapshot_of(response: etcd_pb2.TxnResponse) -> Snapshot:
    found = (key_value(kv) for each in response.responses for kv in each.response_range.kvs)
    return Snapshot(revision=response.header.revision, values={each.key: each for each in found})


def key_value(kv: etcd_pb2.KeyValue) -> KeyValue:
    # A key that is no UTF-8 is not ours, and must not keep us from reading those that are.
    return KeyValue(
        key=kv.key.decode(errors="backslashreplace"),
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        lease=kv.lease,
    )


def holds_fence(response: etcd_pb2.TxnResponse, fence: Fence) -> bool:
    """Whether the lock, as read in the failure branch of a fenced write, is still the one of `fence`."""
    found = [kv.create_revision for each in response.responses for kv in each.response_range.kvs]
    return found == [fence.create_revision]
