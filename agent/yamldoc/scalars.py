"""Readers for single values, and for lists of them. Each notes what is wrong and then returns None."""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from math import inf
from typing import TypeVar

from agent.yamldoc.compose import Scalar
from agent.yamldoc.cursor import Cursor, Reader

T = TypeVar("T")
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

    def read(cursor: Cursor) -> int | None:
        if text(cursor) is None:
            return None
        assert isinstance(cursor.node, Scalar)
        value = cursor.node.integer
        if value is None:
            cursor.fault(f"{cursor.shown} is not a whole number")
            return None
        return _bounded(cursor, value, low, high, str)

    return read


def number(low: float, high: float) -> Reader[float]:
    """Make a reader of decimal numbers from `low` to `high`."""

    def read(cursor: Cursor) -> float | None:
        value = text(cursor)
        if value is None:
            return None
        if not _NUMBER.fullmatch(value):
            cursor.fault(f"{cursor.shown} is not a number")
            return None
        return _bounded(cursor, float(value), low, high, "{:g}".format)

    return read


def duration(low_s: float = 0.0, high_s: float = inf) -> Reader[float]:
    """Make a reader of times like `1m30s`, in seconds; the units are h, m, s, ms and us, as in Compose."""

    def read(cursor: Cursor) -> float | None:
        value = text(cursor)
        if value is None:
            return None
        if not _DURATION.fullmatch(value):
            cursor.fault(f"{cursor.shown} is not a time with a unit", "write for example 90s, 1m30s or 500ms")
            return None
        parts = _DURATION_PART.findall(value)
        seconds = sum(float(amount) * _MICROSECONDS[unit] for amount, unit in parts) / 1e6
        return _bounded(cursor, seconds, low_s, high_s, "{:g}s".format)

    return read


def size(low: int = 0, high: int = 1 << 60) -> Reader[int]:
    """Make a reader of sizes like `50m` or `1.5g`, in bytes; units count in 1024, as in Docker."""

    def read(cursor: Cursor) -> int | None:
        value = text(cursor)
        if value is None:
            return None
        found = _SIZE.fullmatch(value)
        if found is None:
            cursor.fault(f"{cursor.shown} is not a size", "write for example 64m, 1.5g or a number of bytes")
            return None
        return _bounded(cursor, int(float(found[1]) * _BYTES[found[2].lower()]), low, high, "{} bytes".format)

    return read


def address(cursor: Cursor) -> IPv4Address | None:
    """One IPv4 address."""
    value = text(cursor)
    if value is None:
        return None
    try:
        return IPv4Address(value)
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
    except (AddressValueError, NetmaskValueError, ValueError):
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


def _bounded(cursor: Cursor, value: T, low: T, high: T, spell: Callable[[T], str]) -> T | None:
    if value < low:  # type: ignore[operator]
        cursor.fault(f"{cursor.shown} is too small", f"{spell(low)} is the least")
        return None
    if value > high:  # type: ignore[operator]
        cursor.fault(f"{cursor.shown} is too large", f"{spell(high)} is the most")
        return None
    return value
