"""Lines come in the order of their times, within a bound of memory; a stream that broke off misses and doubles none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.log_merge import MOST_WAITING, Merge, Place
from agent.clients.docker.output import NS, Line

A, B = ("a", "1"), ("b", "2")


def line(at: float, content: str = "x") -> Line:
    return Line(round(at * NS), content.encode())


def shown(merge: Merge[tuple[str, str]], now_s: float) -> list[tuple[str, float]]:
    return [(source[0], each.at_ns / NS) for source, each in merge.take(now_s)]


# ---- The place after a break

_TIMES = st.lists(st.integers(0, 6), max_size=40).map(
    lambda steps: [sum(steps[:at]) // 3 for at in range(len(steps))]
)
"""Seconds of lines in their order: several have the same time."""


@given(
    _TIMES, st.lists(st.integers(0, 40), max_size=4), st.lists(st.floats(0, 0.4), min_size=40, max_size=40)
)
def test_no_line_is_missing_or_doubled_whenever_a_stream_breaks_off(
    times: list[int], breaks: list[int], late: list[float]
) -> None:
    """`late`: lines of stdout and stderr are stored out of order, by less than half a second."""
    stored = [line(1000 + at - late[number], f"{number}") for number, at in enumerate(times)]
    place, read = Place(0), list[Line]()
    for at in [*sorted(breaks), len(stored)]:
        since_ns = place.again()
        read += place.new(each for each in stored[:at] if each.at_ns >= since_ns)
    assert read == stored


def test_lines_of_one_time_are_told_apart_by_their_number() -> None:
    place, same = Place(0), [line(5, "a"), line(5, "b"), line(5, "c")]
    assert place.again() == 0
    assert place.new(same[:2]) == same[:2]
    assert place.again() == 0
    assert place.new(same) == same[2:]
    place.again()
    assert place.new([*same, line(5, "d")]) == [line(5, "d")]


def test_of_a_stream_that_begins_with_its_last_lines_nothing_earlier_is_read_later() -> None:
    place = Place(0, cut=True)
    assert place.new([line(5), line(6)]) == [line(5), line(6)]
    assert place.again() == 5 * NS
    assert place.new([line(5), line(6), line(7)]) == [line(7)]


def test_what_is_read_again_is_bounded_by_time_however_long_the_stream_is() -> None:
    place = Place(0)
    place.new(line(at / 10) for at in range(1000))
    assert 97 * NS <= place.again() <= 99 * NS


def test_a_log_whose_read_part_was_deleted_goes_on_after_the_last_time() -> None:
    place = Place(0)
    place.new([line(1), line(2), line(3)])
    place.again()
    assert place.new([line(3), line(4), line(3.5)]) == [line(4), line(3.5)]


def test_a_stream_without_a_line_is_read_from_where_it_was_to_begin() -> None:
    place = Place(7 * NS)
    assert place.again() == place.again() == 7 * NS


# ---- The merge


@given(st.lists(st.lists(st.integers(0, 50), max_size=20).map(sorted), min_size=1, max_size=5))
def test_streams_that_end_are_merged_by_time(streams: list[list[int]]) -> None:
    merge: Merge[tuple[str, str]] = Merge(float("inf"))
    for number, times in enumerate(streams):
        merge.open((f"{number}", ""), 0)
        merge.add((f"{number}", ""), [line(at) for at in times], 0)
    for number in range(len(streams)):
        merge.close((f"{number}", ""))
    found = shown(merge, 0)
    assert [at for _, at in found] == sorted(at for each in streams for at in each)
    assert merge.is_done


def two(silent_s: float) -> Merge[tuple[str, str]]:
    merge: Merge[tuple[str, str]] = Merge(silent_s)
    merge.open(A, 0)
    merge.open(B, 0)
    return merge


def test_lines_wait_for_a_stream_that_may_have_an_earlier_one() -> None:
    merge = two(float("inf"))
    merge.add(A, [line(3), line(5)], 0)
    assert shown(merge, 100) == []
    merge.add(B, [line(4)], 100)
    assert shown(merge, 100) == [("a", 3), ("b", 4)]
    merge.close(B)
    assert shown(merge, 100) == [("a", 5)]


def test_a_silent_stream_holds_up_the_others_for_a_moment_only() -> None:
    merge = two(0.5)
    merge.add(A, [line(3)], 0.4)
    assert shown(merge, 0.4) == []
    assert shown(merge, 0.5) == [("a", 3)]
    merge.add(B, [line(2)], 0.6)
    assert shown(merge, 0.6) == []
    assert shown(merge, 0.9) == [("b", 2)], "late, and not lost"


def test_a_stream_goes_on_after_a_break() -> None:
    merge = two(0.5)
    merge.add(A, [line(1)], 0)
    merge.close(A)
    merge.close(B)
    assert shown(merge, 0) == [("a", 1)]
    assert shown(merge, 0) == []
    merge.open(A, 9)
    merge.add(A, [line(2)], 9)
    assert shown(merge, 9) == [("a", 2)]


@pytest.mark.parametrize("size", [1, 1000, MOST_WAITING])
def test_a_reader_waits_when_its_lines_do(size: int) -> None:
    merge, added = two(float("inf")), 0
    while merge.may_add(A):
        merge.add(A, [line(added, "x" * size)], 0)
        added += size
    assert MOST_WAITING <= added < 2 * MOST_WAITING
    merge.close(B)
    assert len(shown(merge, 0)) == added // size
    assert merge.may_add(A)
