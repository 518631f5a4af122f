"""Prefixes, as etcd writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.etcd.calls import bounds, key_value, range_end
from agent.clients.etcdpb import etcd_pb2


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
