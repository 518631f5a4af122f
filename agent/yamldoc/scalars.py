"""Readers for single values, and for lists of them. Each notes what is wrong and then returns None."""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from math import inf
from typing import TypeVar

from agent.yamldoc.compose import Scalar, whole_number
from agent.yamldoc.cursor import Cursor, Reader

S = TypeVar("S")
T = TypeVar("T")
N = TypeVar("N", int, float)
W = TypeVar("W", bound=str)

LONGEST_TEXT = 131_071
"""Linux starts no process with a longer argument or variable: execve(2), MAX_ARG_STRLEN."""

_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:h|ms|us|m|s)){1,5}", re.ASCII)
_DURATION_PART = re.compile(r"([\d.]+)(h|ms|us|m|s)", re.ASCII)
_MICROSECONDS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1}

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([kmgtp]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}

_NUMBER = re.compile(r"[-+]?\d{1,15}(?:\.\d{1,15})?", re.ASCII)


def string(cursor: Cursor) -> str | None:
    """Any text as it was written, so that a plain `1.10` is "1.10"; it may be empty when it is quoted."""
    node = cursor.node
    if not isinstance(node, Scalar):
        cursor.fault(f"wants text, not {cursor.shown}")
        return None
    if node.is_null:
        cursor.fault("has no value", 'give it one, or take the key out; empty text is ""')
        return None
    if len(node.text) > LONGEST_TEXT:
        cursor.fault(f"has {len(node.text)} characters", f"{LONGEST_TEXT} are the most")
        return None
    if "\0" in node.text:
        cursor.fault("holds a NUL character", "no value of Linux or Docker may")
        return None
    return node.text


def text(cursor: Cursor) -> str | None:
    """Text that is not empty."""
    value = string(cursor)
    if value == "":
        cursor.fault("is empty")
        return None
    return value


def matching(pattern: str, wanted: str) -> Reader[str]:
    """Make a reader of text that matches `pattern` from end to end; `wanted` says in words what does."""
    compiled = re.compile(pattern, re.ASCII)

    def read(cursor: Cursor) -> str | None:
        value = text(cursor)
        if value is None or compiled.fullmatch(value):
            return value
        cursor.fault(f"{cursor.shown} is not {wanted}")
        return None

    return read


def choice(options: tuple[W, ...]) -> Reader[W]:
    """Make a reader of one of a few words."""
    by_word = {str(each): each for each in options}

    def read(cursor: Cursor) -> W | None:
        value = text(cursor)
        if value is None or value in by_word:
            return None if value is None else by_word[value]
        cursor.fault(f"{cursor.shown} is not one of: {', '.join(options)}", cursor.guess(value, options))
        return None

    return read


def derived(reader: Reader[S], make: Callable[[S], T]) -> Reader[T]:
    """Make a reader of what `make` returns for what `reader` reads."""

    def read(cursor: Cursor) -> T | None:
        value = reader(cursor)
        return None if value is None else make(value)

    return read


def boolean(cursor: Cursor) -> bool | None:
    """`true` or `false`; the other words of YAML 1.1 are text in 1.2."""
    if text(cursor) is None:
        return None
    assert isinstance(cursor.node, Scalar)
    if cursor.node.boolean is None:
        cursor.fault(f"{cursor.shown} is neither true nor false")
        return None
    return cursor.node.boolean


def integer(low: int, high: int) -> Reader[int]:
    """Make a reader of whole numbers from `low` to `high`."""
    return _measured(whole_number, "a whole number", "", (low, high), str)


def number(low: float, high: float) -> Reader[float]:
    """Make a reader of decimal numbers from `low` to `high`."""
    return _measured(_decimal, "a number", "", (low, high), "{:g}".format)


def duration(low_s: float = 0.0, high_s: float = inf) -> Reader[float]:
    """Make a reader of times like `1m30s`, in seconds; the units are h, m, s, ms and us, as in Compose."""
    remedy = "write for example 90s, 1m30s or 500ms"
    return _measured(_seconds, "a time with a unit", remedy, (low_s, high_s), "{:g}s".format)


def size(low: int = 0, high: int = 1 << 60) -> Reader[int]:
    """Make a reader of sizes like `50m` or `1.5g`, in bytes; units count in 1024, as in Docker."""
    remedy = "write for example 64m, 1.5g or a number of bytes"
    return _measured(_bytes, "a size", remedy, (low, high), "{} bytes".format)


def _measured(
    parse: Callable[[str], N | None], wanted: str, remedy: str, bounds: tuple[N, N], spell: Callable[[N], str]
) -> Reader[N]:
    """Make a reader of what `parse` returns for a text, within `bounds`; `wanted` names what it takes."""
    low, high = bounds

    def read(cursor: Cursor) -> N | None:
        written = text(cursor)
        if written is None:
            return None
        value = parse(written)
        if value is None:
            cursor.fault(f"{cursor.shown} is not {wanted}", remedy)
        elif value < low:
            cursor.fault(f"{cursor.shown} is too small", f"{spell(low)} is the least")
        elif value > high:
            cursor.fault(f"{cursor.shown} is too large", f"{spell(high)} is the most")
        else:
            return value
        return None

    return read


def _decimal(written: str) -> float | None:
    return float(written) if _NUMBER.fullmatch(written) else None


def _seconds(written: str) -> float | None:
    if not _DURATION.fullmatch(written):
        return None
    return sum(float(amount) * _MICROSECONDS[unit] for amount, unit in _DURATION_PART.findall(written)) / 1e6


def _bytes(written: str) -> int | None:
    found = _SIZE.fullmatch(written)
    return None if found is None else int(float(found[1]) * _BYTES[found[2].lower()])


def address(cursor: Cursor) -> IPv4Address | None:
    """One IPv4 address."""
    value = text(cursor)
    try:
        return None if value is None else IPv4Address(value)
    except AddressValueError:
        cursor.fault(f"{cursor.shown} is not an IPv4 address", "write for example 10.0.0.1")
        return None


def network(cursor: Cursor) -> IPv4Network | None:
    """One IPv4 network with its prefix, and no host bits in it."""
    value = text(cursor)
    if value is None:
        return None
    try:
        found = IPv4Network(value, strict=False)
    except ValueError:
        cursor.fault(f"{cursor.shown} is not an IPv4 network", "write for example 10.10.0.0/16")
        return None
    if value != str(found):
        cursor.fault(f"{cursor.shown} is not written as a network", f"did you mean {found}?")
        return None
    return found


def sequence_of(reader: Reader[T], *, at_least: int = 0, distinct: bool = False) -> Reader[tuple[T, ...]]:
    """Make a reader of lists of what `reader` reads."""

    def read(cursor: Cursor) -> tuple[T, ...] | None:
        places = cursor.items()
        if cursor.is_sequence and len(places) < at_least:
            cursor.fault("is an empty list" if not places else f"wants at least {at_least} members")
        found: list[T] = []
        seen: set[T] = set()
        for each in places:
            value = reader(each)
            if distinct and value in seen:
                each.fault(f"{each.shown} is there twice", "keep one of them")
            elif value is not None:
                found.append(value)
                seen.add(value)
        return tuple(found)

    return read


def one_or_more(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """Make a reader of lists that also takes a single value for a list of one."""
    many = sequence_of(reader)

    def read(cursor: Cursor) -> tuple[T, ...] | None:
        if cursor.is_sequence:
            return many(cursor)
        value = reader(cursor)
        return None if value is None else (value,)

    return read
