"""Pages of a range, from an etcd that answers as a real one does: at one revision, and never more than is taken."""

import base64
import tracemalloc
import zlib
from collections.abc import Callable, Mapping

import pytest

from agent.clients.etcd import pages
from agent.clients.etcd.channel import TooLarge
from agent.clients.etcd.pages import LARGEST_KEPT, MOST_KEPT, MOST_KEYS, MOST_READ, memory_of, read_pages
from agent.clients.etcdpb import etcd_pb2
from agent.errors import Refused
from agent.model import records
from agent.model.host_state import Attached
from agent.model.records import decode, encode, expanded
from agent.model.status import HostStatus
from agent.model.store import KeyRange
from agent.report.status_key import encode_status
from tests.support.large_cluster import forged_status

HOSTS = KeyRange(key="/c/hosts/", prefix=True)
INTENT = KeyRange(key="/c/intent")
KB, MB = 1 << 10, 1 << 20
STATUS = HostStatus(instance="a", at="now", agent_version="1", images=("app:1",))


class Server:
    """Answers ranges. Every request finds etcd one revision further."""

    def __init__(self, sizes: Mapping[str, int | bytes], taken: int = 16 * MB) -> None:
        """`sizes` has the size of each value, or the value."""
        self.sizes, self.taken = {key.encode(): size for key, size in sorted(sizes.items())}, taken
        self.revision = 10
        self.asked: list[tuple[int, int]] = []
        """(revision, number of ranges) of each request."""

    def __call__(self, request: etcd_pb2.TxnRequest) -> etcd_pb2.TxnResponse:
        gets = [each.request_range for each in request.success]
        self.asked += [(gets[0].revision, len(gets))] if gets else []
        answers = [self._range(each) for each in gets]
        if sum(len(kv.value) for each in answers for kv in each.kvs) > self.taken:
            raise TooLarge("Received message larger than max")
        self.revision += 1
        return etcd_pb2.TxnResponse(
            header=etcd_pb2.ResponseHeader(revision=self.revision),
            responses=[etcd_pb2.ResponseOp(response_range=each) for each in answers],
        )

    def _range(self, get: etcd_pb2.RangeRequest) -> etcd_pb2.RangeResponse:
        keys = [key for key in self.sizes if get.key <= key < (get.range_end or get.key + b"\0")]
        kvs = [
            etcd_pb2.KeyValue(key=key, mod_revision=5, value=b"" if get.keys_only else bytes(self.sizes[key]))
            for key in keys[: get.limit]
        ]
        return etcd_pb2.RangeResponse(kvs=kvs, count=len(keys), more=len(keys) > len(kvs))


def hosts(count: int, size: Callable[[int], int] = lambda _: KB) -> dict[str, int]:
    return {f"/c/hosts/{number:05}": size(number) for number in range(count)}


def test_a_large_range_is_read_in_pages_at_the_revision_of_the_first() -> None:
    server = Server({**hosts(700), "/c/intent": MB})
    found = read_pages(server, [INTENT, HOSTS])
    assert {key: len(each.value) for key, each in found.values.items()} == {**hosts(700), "/c/intent": MB}
    assert found.revision == 11
    assert server.asked == [(0, 2), (11, 1), (11, 1), (11, 1)]


def test_more_ranges_than_one_transaction_takes_are_read_in_several() -> None:
    sizes = hosts(250)
    server = Server(sizes)
    found = read_pages(server, [KeyRange(key=each) for each in sizes])
    assert found.values.keys() == sizes.keys()
    assert max(ranges for _, ranges in server.asked) <= 128


def test_nothing_asked_for_is_an_empty_snapshot() -> None:
    assert read_pages(Server({}), []).values == {}


def test_pages_become_smaller_where_an_answer_would_be_too_large() -> None:
    sizes = {**hosts(12, lambda _: MB), "/c/intent": MB}
    found = read_pages(Server(sizes, taken=3 * MB), [INTENT, HOSTS])
    assert {key: len(each.value) for key, each in found.values.items()} == sizes


def test_a_single_value_that_is_too_large_is_an_error() -> None:
    with pytest.raises(TooLarge):
        read_pages(Server(hosts(3, lambda _: 2 * MB), taken=MB), [HOSTS])


def test_of_too_many_bytes_the_largest_values_below_prefixes_are_dropped() -> None:
    forged = 55
    sizes = hosts(800, lambda number: MB + number if number < forged else 2 * KB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "MOST_KEPT", most := 40 * MB)
        found = read_pages(Server({**sizes, "/c/intent": 2 * MB}), [INTENT, HOSTS])
    kept = {key: len(each.value) for key, each in found.values.items() if not each.dropped}
    assert kept["/c/intent"] == 2 * MB
    assert most - 2 * MB < 2 * (sum(kept.values()) - 2 * MB) <= most  # each with what is decoded from it
    dropped = {key: each for key, each in found.values.items() if each.dropped}
    assert dropped
    assert all(each.value == b"" and each.dropped == sizes[key] > MB for key, each in dropped.items())


def test_beyond_the_memory_of_the_reader_all_values_are_refused() -> None:
    server = Server({**hosts(30, lambda _: MB), "/c/intent": 2 * MB})
    assert len(read_pages(server, [INTENT, HOSTS], 61 * MB).values) == 31
    with pytest.raises(Refused, match="more than an agent has memory for"):
        read_pages(server, [INTENT, HOSTS], 59 * MB)


def test_what_is_packed_in_a_value_counts_as_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    status = decode(HostStatus, forged_status(1, MB))
    stored, whole = encode(status, terse=True, packed=True), encode(status, terse=True)
    assert len(stored) < len(whole) / 10
    monkeypatch.setattr(pages, "MOST_KEPT", 4 * memory_of(whole))
    found = read_pages(Server({f"/c/hosts/{number}/status": stored for number in range(9)}), [HOSTS])
    assert [each.value for each in found.values.values() if not each.dropped] == [stored] * 3


def packed(content: bytes) -> bytes:
    return f'{{"packed":"{base64.b64encode(zlib.compress(content, 9)).decode()}"}}'.encode()


def dense(records: int) -> bytes:
    """Return a forged status of a few bytes whose records take 600 bytes of memory each."""
    attached = (Attached(id="a", name="b"),) * records
    status = HostStatus(instance="x", at="now", agent_version="1", attached=attached)
    return encode(status, terse=True, packed=True)


@pytest.mark.parametrize(
    "forged", [dense(60_000), packed(b" " * (2 * MB)), packed(b" " * MB)], ids=["dense", "too long", "long"]
)
def test_no_number_of_forged_values_hides_the_others(forged: bytes) -> None:
    large = encode_status(decode(HostStatus, forged_status(1, 600 * KB)))
    own = {f"/c/hosts/{number:03}/status": encode_status(STATUS) for number in range(50)}
    values = {**own, "/c/hosts/large/status": large}
    values |= {f"/c/hosts/a{number}/status": forged for number in range(200)}
    found = read_pages(Server(values), [HOSTS]).values
    assert {key: found[key].value for key in own} == own
    assert len(decode(HostStatus, found["/c/hosts/large/status"].value).replicas) > 1000
    dropped = {key: each.dropped for key, each in found.items() if each.dropped}
    assert all("/a" in key and size > 500 * KB for key, size in dropped.items())
    assert len(dropped) > 140


def test_one_value_alone_may_not_take_the_memory_of_many() -> None:
    found = read_pages(
        Server({"/c/hosts/a/status": dense(60_000), "/c/hosts/b/status": dense(20_000)}), [HOSTS]
    )
    assert [key for key, each in found.values.items() if each.dropped] == ["/c/hosts/a/status"]
    assert LARGEST_KEPT < memory_of(encode(decode(HostStatus, dense(60_000)), terse=True)) < MOST_KEPT


def test_what_is_left_out_is_the_largest_and_does_not_depend_on_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pages, "MOST_EXPANDED", most := 4 * MB)
    spent = 0

    def counted(compressed: bytes, most: int) -> bytes:
        nonlocal spent
        spent += min(most, len(raw := zlib.decompress(compressed)))
        return expanded(compressed, most) if raw else raw

    monkeypatch.setattr(records, "expanded", counted)
    sizes = [10 * KB, 100 * KB, 200 * KB, 250 * KB, *[MB] * 8]
    for order in (sizes, sizes[::-1]):
        spent = 0
        values = {f"/c/hosts/{n:02}/status": packed(b" " * size) for n, size in enumerate(order)}
        found = read_pages(Server(values), [HOSTS]).values
        left_out = [order[n] for n, key in enumerate(sorted(found)) if found[key].dropped]
        assert left_out == [MB] * 8
        assert spent < 2.5 * most


def test_a_damaged_part_counts_as_the_bytes_that_etcd_has(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = f'{{"packed":"{base64.b64encode(zlib.compress(b"{}" * KB)[:-1]).decode()}"}}'.encode()
    monkeypatch.setattr(pages, "MOST_KEPT", 3 * memory_of(damaged))
    found = read_pages(Server({f"/c/hosts/{number}": damaged for number in range(4)}), [HOSTS])
    assert [each.value for each in found.values.values()] == [b"", *[damaged] * 3]


@pytest.mark.parametrize(
    "status",
    [
        HostStatus(instance="a", at="", agent_version="", images=tuple(f"{n:03x}" for n in range(4000))),
        HostStatus(instance="a", at="", agent_version="", routes=tuple((f"{n:x}", "") for n in range(4000))),
        decode(HostStatus, forged_status(1, 100_000)),
        HostStatus(instance="a", at="", agent_version="", engine_error="\N{CRAB}" + "x" * 100_000),
        HostStatus(instance="a", at="", agent_version="", engine_error='\N{CRAB}\\"":[{},' + "x" * 100_000),
    ],
    ids=["texts", "pairs", "replicas", "a wide text", "a wide text that looks like fields"],
)
@pytest.mark.parametrize("terse", [True, False])
def test_no_value_takes_much_more_than_is_counted(status: HostStatus, terse: bool) -> None:
    raw = encode(status, terse=terse)
    tracemalloc.start()
    decoded = decode(HostStatus, raw)
    took = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert decoded == status
    assert took < 1.5 * (memory_of(raw) - len(raw))
    assert memory_of(raw) - len(raw) < 3 * took


def test_keys_alone_are_read_without_their_values() -> None:
    found = read_pages(
        Server(hosts(60, lambda _: MB)), [KeyRange(key="/c/hosts/", prefix=True, keys_only=True)]
    )
    assert {(each.value, each.mod_revision, each.dropped) for each in found.values.values()} == {(b"", 5, 0)}
    assert len(found.values) == 60


def test_too_many_keys_are_refused_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_KEYS", 20)
    assert len(read_pages(Server(hosts(20)), [HOSTS]).values) == 20
    with pytest.raises(Refused, match=r"^21 keys begin with /c/hosts/, and at most 20 are read: delete"):
        read_pages(Server(hosts(21)), [HOSTS])
    assert MOST_KEYS > 8000


def test_too_many_bytes_are_refused_as_a_whole() -> None:
    with pytest.raises(Refused, match=f"more than {MOST_READ} bytes: delete"):
        read_pages(Server(hosts(70, lambda _: MB)), [HOSTS])
