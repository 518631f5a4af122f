"""Prefixes, as etcd writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.etcd.calls import MOST_KEYS, bounds, key_value, range_end, read_request, refuse_rest
from agent.clients.etcdpb import etcd_pb2
from agent.errors import Refused
from agent.model.store import KeyRange


@given(st.binary(min_size=1, max_size=6), st.binary(max_size=6))
def test_a_range_holds_exactly_what_starts_with_the_prefix(prefix: bytes, key: bytes) -> None:
    end = range_end(prefix)
    inside = prefix <= key and (end == b"\0" or key < end)
    assert inside == key.startswith(prefix)


@pytest.mark.parametrize(
    ("prefix", "end"), [(b"/c/", b"/c0"), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"", b"\0")]
)
def test_a_range_ends_before_the_next_key_that_does_not(prefix: bytes, end: bytes) -> None:
    assert range_end(prefix) == end


def test_a_single_key_has_no_end_and_no_prefix_is_everything() -> None:
    assert bounds("/c/intent", prefix=False) == (b"/c/intent", b"")
    assert bounds("", prefix=True) == (b"\0", b"\0")


def test_a_key_that_is_no_text_does_not_keep_the_others_from_being_read() -> None:
    assert key_value(etcd_pb2.KeyValue(key=b"/c/\xfe")).key == "/c/\\xfe"


def test_more_keys_than_are_read_are_refused_as_a_whole() -> None:
    ranges = [KeyRange(key="/c/intent"), KeyRange(key="/c/", prefix=True)]
    asked = [each.request_range.limit for each in read_request(ranges).success]
    assert asked == [MOST_KEYS, MOST_KEYS]

    def answer(more: bool) -> etcd_pb2.TxnResponse:
        found = etcd_pb2.RangeResponse(more=more, count=MOST_KEYS + 1)
        one = etcd_pb2.ResponseOp(response_range=etcd_pb2.RangeResponse())
        return etcd_pb2.TxnResponse(responses=[one, etcd_pb2.ResponseOp(response_range=found)])

    refuse_rest(answer(more=False), ranges)
    with pytest.raises(Refused, match=r"^20001 keys begin with /c/, and at most 20000 are read: delete"):
        refuse_rest(answer(more=True), ranges)
