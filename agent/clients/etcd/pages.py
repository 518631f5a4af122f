"""Reads ranges in pages at one revision, and keeps a bounded part of them: no writer can exhaust the memory."""

import heapq
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from agent.clients.etcd import calls
from agent.clients.etcd.channel import TooLarge
from agent.clients.etcdpb import etcd_pb2
from agent.errors import Invalid, Refused
from agent.model.records import LARGEST_VALUE, TooLong, is_packed, packed_in
from agent.model.store import KeyRange, KeyValue, Snapshot

MOST_KEYS = 20_000
"""Keys of one range. A cluster of 1000 hosts and 1000 services has 8000 at most."""
MOST_READ = 64 << 20
"""Bytes of all values together, as etcd has them."""
MOST_KEPT, LARGEST_KEPT = 104 << 20, 16 << 20
"""Bytes of the values below prefixes, and of one, by `memory_of`.

1000 hosts with 20,000 failing replicas have less, and a host with 1000 of them has 5 MB.
"""
MOST_EXPANDED = 256 << 20
"""Bytes to which all packed values are expanded in one round. It bounds the time: 2 s of the processor."""
_FIRST = 16 << 10
"""Bytes to which each of them is expanded in the first round: a status of 20 replicas has 12,000."""
_QUOTE = re.compile(rb'(?<!\\)"')
_PAGE = 200
_RANGES = 100
"""etcd refuses a transaction of more than 128 ranges (--max-txn-ops)."""
_REMEDY = "delete those that no agent and no operator wrote"


def memory_of(value: bytes) -> int:
    """Return about the bytes that JSON takes with what is decoded from it. A list of short texts takes ten times more.

    Most fields of a record have their default, which takes nothing: they are counted by the record, not one by one.
    """
    # Inside a text, a backslash precedes each quote: no text can pretend to be fields.
    fields, lists = (value.count(each) - value.count(b"\\" + each) for each in (b'":', b'":['))
    records = value.count(b"{")
    items = value.count(b",") + value.count(b"[") + records - fields - lists
    # One character beyond Latin-1 makes Python take up to four bytes for each of the same text.
    wide = [] if value.isascii() and b"\\u" not in value else _QUOTE.split(value)
    widened = sum(3 * len(each) for each in wide if not each.isascii() or b"\\u" in each)
    return 2 * len(value) + widened + 60 * items + 600 * records


class _Kept:
    """The values read so far. If those below prefixes would take too much memory, the largest are dropped.

    The order of the pages does not matter: what is larger than a dropped value would exceed the bound, too.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self.values: dict[str, KeyValue] = {}
        self._largest: list[tuple[int, int, str]] = []
        self._packed: list[str] = []
        self._read = self._memory = 0

    def add(self, get: etcd_pb2.RangeRequest, found: etcd_pb2.RangeResponse) -> bool:
        """Add a page. Return True, with the rest in `get`, if there is more. Raises Refused for too much."""
        if found.count > MOST_KEYS:
            begin = get.key.decode(errors="backslashreplace")
            what = f"{found.count} keys begin with {begin}"
            raise Refused(f"{what}, and at most {MOST_KEYS} are read: {_REMEDY}")
        for each in map(calls.key_value, found.kvs):
            self.values[each.key] = each
            self._read += len(each.value)
            if get.range_end and is_packed(each.value):
                self._packed.append(each.key)
            elif get.range_end:
                self._count(each.key, each.value)
        if self._read > MOST_READ:
            raise Refused(f"the values of the keys have more than {MOST_READ} bytes: {_REMEDY}")
        get.key = found.kvs[-1].key + b"\0" if found.more else get.key
        return found.more

    def expand(self) -> None:
        """Count what is packed in the values, which may be a thousand times more, the smallest first.

        In each round all values are expanded to the same size. What has more than the last one is dropped.
        """
        left, share = self._packed, _FIRST
        while left := [key for key in left if not self._is_counted(key, share)]:
            more = min(2 * share, LARGEST_VALUE)
            if more == share or more * len(left) > MOST_EXPANDED:
                break
            share = more
        for key in left:
            self._drop(key, share)

    def _is_counted(self, key: str, share: int) -> bool:
        """Count a value whose packed part has at most `share` bytes; False for another one. Raises Refused."""
        value = self.values[key].value
        try:
            self._count(key, value + packed_in(value, share))
        except TooLong:
            return False
        except Invalid:  # damaged: nothing of it is kept
            self._count(key, value)
        return True

    def _count(self, key: str, whole: bytes) -> None:
        if (memory := memory_of(whole)) > LARGEST_KEPT:
            self._drop(key, len(whole))
            return
        self._memory += memory
        heapq.heappush(self._largest, (-memory, -len(whole), key))
        if self._most is not None and self._memory > self._most:
            what = "the keys hold more than an agent has memory for beside its work"
            raise Refused(f"{what}: use the command `swarmkeeper`, or {_REMEDY}")
        while self._memory > MOST_KEPT:
            memory, size, key = heapq.heappop(self._largest)
            self._memory += memory
            self._drop(key, -size)

    def _drop(self, key: str, size: int) -> None:
        self.values[key] = replace(self.values[key], value=b"", dropped=size)


def read_pages(
    transact: Callable[[etcd_pb2.TxnRequest], etcd_pb2.TxnResponse],
    ranges: Sequence[KeyRange],
    most: int | None = None,
) -> Snapshot:
    """Return all ranges at one revision. Raises Refused for too many keys or bytes, and as `transact`.

    With `most`, values below prefixes that take more memory, by `memory_of`, are refused, not dropped.
    """
    operations = list(calls.read_request(ranges).success)
    todo = [operations[start : start + _RANGES] for start in range(0, max(1, len(operations)), _RANGES)]
    page, revision, kept = _PAGE, 0, _Kept(most)
    while todo:
        batch = todo.pop()
        for each in batch:
            each.request_range.limit, each.request_range.revision = page, revision
        try:
            response = transact(etcd_pb2.TxnRequest(success=batch))
        except TooLarge:
            if page == len(batch) == 1:
                raise
            half = len(batch) // 2
            page = page if half else page // 2
            todo += [batch[half:], batch[:half]] if half else [batch]
            continue
        page, revision = min(_PAGE, 2 * page), revision or response.header.revision
        pairs = zip(batch, response.responses, strict=True)
        if more := [each for each, found in pairs if kept.add(each.request_range, found.response_range)]:
            todo.append(more)
    kept.expand()
    return Snapshot(revision=revision, values=kept.values)
