"""Single values: what a reader takes, what it makes of it, and what it says otherwise."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.intent.networks import usable_network as network
from agent.model.faults import InvalidDocument
from agent.yamldoc import Cursor, Reader, open_document
from agent.yamldoc.readers import (
    LONGEST_TEXT,
    address,
    boolean,
    choice,
    duration,
    integer,
    matching,
    number,
    one_or_more,
    sequence_of,
    size,
    string,
    text,
)


def place(written: str) -> Cursor:
    return open_document(f"a: {written}".encode()).at("a")


def read(reader: Reader[Any], written: str) -> Any:
    cursor = place(written)
    value = reader(cursor)
    cursor.faults.raise_if_any()
    return value


def refusal(reader: Reader[Any], written: str) -> str:
    with pytest.raises(InvalidDocument) as refused:
        read(reader, written)
    (fault,) = refused.value.faults
    return f"{fault.problem}; {fault.remedy}" if fault.remedy else fault.problem


TAKEN: list[tuple[Reader[Any], str, Any]] = [
    (string, "1.10", "1.10"),
    (string, "0x10", "0x10"),
    (string, "true", "true"),
    (string, '""', ""),
    (string, "'~'", "~"),
    (text, "a b", "a b"),
    (integer(0, 99), "10", 10),
    (integer(0, 99), "010", 10),
    (integer(0, 99), "0o10", 8),
    (integer(0, 99), "0x10", 16),
    (integer(-5, 99), "-5", -5),
    (integer(0, 99), "+7", 7),
    (integer(0, 99), "'10'", 10),
    (boolean, "true", True),
    (boolean, "False", False),
    (boolean, "'true'", True),
    (number(0, 10), "1.5", 1.5),
    (number(0, 10), "2", 2.0),
    (duration(), "1m30s", 90.0),
    (duration(), "1h", 3600.0),
    (duration(), "1.5s", 1.5),
    (duration(), "50ms", 0.05),
    (duration(), "10us", 1e-05),
    (duration(), "0s", 0.0),
    (size(), "50m", 50 << 20),
    (size(), "1.5g", 3 << 29),
    (size(), "64MiB", 64 << 20),
    (size(), "2 kb", 2048),
    (size(), "1024", 1024),
    (size(), "10b", 10),
    (address, "10.0.0.1", IPv4Address("10.0.0.1")),
    (network, "10.0.0.0/8", IPv4Network("10.0.0.0/8")),
    (choice(("a", "b")), "b", "b"),
    (matching("[a-z]+", "a word", "abc"), "abc", "abc"),
    (sequence_of(integer(0, 9)), "[1, 2, 1]", (1, 2, 1)),
    (sequence_of(text), "[]", ()),
    (one_or_more(text), "a", ("a",)),
    (one_or_more(text), "[a, b]", ("a", "b")),
]

REFUSED: list[tuple[Reader[Any], str, str]] = [
    (string, "", 'has no value; write one, or remove the key; empty text is ""'),
    (string, "~", 'has no value; write one, or remove the key; empty text is ""'),
    (string, "[a]", "must be text, not a list; write one value, without brackets, braces and dashes"),
    (string, "{a: b}", "must be text, not a mapping; write one value, without brackets, braces and dashes"),
    (string, '"a\\0b"', "contains a NUL character; remove it: Linux and Docker accept none"),
    (string, "x" * (LONGEST_TEXT + 1), f"has {LONGEST_TEXT + 1} characters; the maximum is {LONGEST_TEXT}"),
    (text, "''", "is empty; write a value, or remove the key"),
    (integer(0, 99), "1_0", "'1_0' is not a whole number; write one from 0 to 99"),
    (integer(0, 99), "1.0", "'1.0' is not a whole number; write one from 0 to 99"),
    (integer(0, 99), "٣", "'٣' is not a whole number; write one from 0 to 99"),
    (integer(0, 99), "9" * 5000, f"'{'9' * 57}...' is not a whole number; write one from 0 to 99"),
    (integer(1, 99), "0", "'0' is too small; the minimum is 1"),
    (integer(1, 99), "100", "'100' is too large; the maximum is 99"),
    (boolean, "yes", "'yes' is neither true nor false; write true or false"),
    (boolean, "1", "'1' is neither true nor false; write true or false"),
    (number(0, 10), "e3", "'e3' is not a number; write one from 0 to 10"),
    (number(0, 10), ".inf", "'.inf' is not a number; write one from 0 to 10"),
    (duration(), "10", "'10' is not a time with a unit; write for example 90s, 1m30s or 500ms"),
    (duration(), "1d", "'1d' is not a time with a unit; write for example 90s, 1m30s or 500ms"),
    (duration(), "-1s", "'-1s' is not a time with a unit; write for example 90s, 1m30s or 500ms"),
    (duration(1.0), "500ms", "'500ms' is too small; the minimum is 1s"),
    (size(), "1x", "'1x' is not a size; write for example 64m, 1.5g or a number of bytes"),
    (size(), "-1m", "'-1m' is not a size; write for example 64m, 1.5g or a number of bytes"),
    (size(1024), "1", "'1' is too small; the minimum is 1024 bytes"),
    (address, "10.0.0", "'10.0.0' is not an IPv4 address; write for example 10.0.0.1"),
    (address, "010.0.0.1", "'010.0.0.1' is not an IPv4 address; write for example 10.0.0.1"),
    (address, "'::1'", "'::1' is not an IPv4 address; write for example 10.0.0.1"),
    (network, "10.0.0.1/8", "'10.0.0.1/8' is not an IPv4 network; did you mean 10.0.0.0/8?"),
    (network, "10.0.0.0", "'10.0.0.0' is not an IPv4 network; did you mean 10.0.0.0/32?"),
    (network, "10.0.0.0/255.0.0.0", "'10.0.0.0/255.0.0.0' is not an IPv4 network; did you mean 10.0.0.0/8?"),
    (network, "10.0.0.0/33", "'10.0.0.0/33' is not an IPv4 network; write for example 10.10.0.0/16"),
    (choice(("alpha", "beta")), "alhpa", "'alhpa' is not one of: alpha, beta; did you mean 'alpha'?"),
    (
        matching("[a-z]+", "a word", "abc"),
        "ab\u0441",
        "'ab\u0441' is not a word; write for example abc ('\u0441' is U+0441)",
    ),
    (matching("[a-z]+", "a word", "abc"), '"ab\\n"', "'ab\\n' is not a word; write for example abc"),
    (sequence_of(text), "a", "must be a list, not 'a'; write for example [first, second]"),
    (sequence_of(text), "", "has no value; write a list, or remove the key"),
    (sequence_of(text, not_empty=True), "[]", "is an empty list; add a member, or remove the key"),
    (sequence_of(text, distinct=True), "[a, a]", "'a' occurs twice; keep one of them"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reader", "written", "value"), TAKEN, ids=[f"{each[1]} is {each[2]}" for each in TAKEN]
)
def test_a_value_is_taken(reader: Reader[Any], written: str, value: Any) -> None:
    assert read(reader, written) == value


@pytest.mark.parametrize(("reader", "written", "said"), REFUSED, ids=[each[2][:50] for each in REFUSED])
def test_a_value_is_refused(reader: Reader[Any], written: str, said: str) -> None:
    assert refusal(reader, written) == said


@pytest.mark.parametrize(
    "reader", [integer(0, 1), duration(), size(), boolean, network, address, choice(("a", "b"))]
)
def test_a_hidden_value_is_not_repeated(reader: Reader[Any]) -> None:
    cursor = place("hunter2").hidden()
    assert reader(cursor) is None
    with pytest.raises(InvalidDocument) as refused:
        cursor.faults.raise_if_any()
    assert "hunter2" not in f"{refused.value} {refused.value.faults!r}"


def test_a_long_or_unprintable_value_is_shown_short_and_escaped() -> None:
    assert refusal(boolean, "x" * 200) == f"'{'x' * 57}...' is neither true nor false; write true or false"
    assert (
        refusal(boolean, '"a\\nb\\e\\u202e"')
        == "'a\\nb\\x1b\\u202e' is neither true nor false; write true or false"
    )


@given(st.integers(min_value=0, max_value=10**12))
def test_whole_numbers_are_read_as_written(value: int) -> None:
    assert read(integer(0, 10**12), str(value)) == value


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_times_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert read(duration(), f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds
