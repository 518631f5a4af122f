"""Cursors on a document, and readers of values. A reader notes a fault and returns None; it never raises."""

import re
from collections.abc import Callable, Collection, Iterator
from collections.abc import Mapping as Lookup
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address
from typing import Any, TypeVar

from agent.model import Frozen
from agent.model.faults import Fault, FaultKind
from agent.yamldoc.compose import Mapping, Node, Scalar, Sequence, whole_number
from agent.yamldoc.edit import child, text_of
from agent.yamldoc.faultlist import MOST_LISTED, Faults, listed, nearest, quoted, shown_key, step

S = TypeVar("S")
T = TypeVar("T")
N = TypeVar("N", int, float)
W = TypeVar("W", bound=str)

_NOTHING: Lookup[str, str] = {}

MOST_GUESSED = 100
"""Faults of one document with a guess. The rest has none, because difflib is slow."""


class Cursor(Frozen):
    """A node, its path, and the list of faults. With `secret`, faults omit the value."""

    node: Node
    path: str
    faults: Faults
    secret: bool = False

    @property
    def is_null(self) -> bool:
        """True if the document has no value here."""
        return isinstance(self.node, Scalar) and self.node.is_null

    @property
    def written(self) -> str | None:
        """The source text of a scalar; None for a mapping or a list."""
        return self.node.text if isinstance(self.node, Scalar) else None

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, Mapping)

    @property
    def is_sequence(self) -> bool:
        return isinstance(self.node, Sequence)

    @property
    def shown(self) -> str:
        """The value as text of a fault: quoted, or its kind."""
        if isinstance(self.node, Scalar):
            return "nothing" if self.is_null else "this value" if self.secret else quoted(self.node.text)
        return "a mapping" if isinstance(self.node, Mapping) else "a list"

    def hidden(self) -> "Cursor":
        """Return the same place, with its value omitted from faults."""
        return replace(self, secret=True)

    def fault(self, problem: str, remedy: str, *, kind: FaultKind = "schema") -> T | None:
        """Note a fault of this value, by itself wrong. Return None, the result of a reader after a fault.

        `remedy` is an edit that makes it right, or a right value: `write for example 90s`.
        """
        value = "" if self.secret or self.written is None else quoted(self.written)
        node = self.node
        place: dict[str, Any] = {"line": node.line, "column": node.column, "file": node.file}
        self.faults.add(
            Fault(kind=kind, path=self.path, value=value, problem=problem, remedy=remedy, **place)
        )
        return None

    def conflict(self, problem: str, remedy: str) -> T | None:
        """Note that this value contradicts another one of the document, or names one that it lacks. Return None."""
        return self.fault(problem, remedy, kind="semantic")

    def items(self) -> list["Cursor"]:
        """Return the members of a list; for anything else note a fault and return none."""
        if not isinstance(self.node, Sequence):
            self.mistyped("a list")
            return []
        return [self._below(node, f"{self.path}[{number}]") for number, node in enumerate(self.node.items)]

    def entries(self) -> Iterator[tuple["Cursor", "Cursor"]]:
        """Yield (key, value) of a mapping with any keys; for anything else note a fault and yield none."""
        if not isinstance(self.node, Mapping):
            self.mistyped("a mapping")
            return
        for name, (key, value) in self.node.entries.items():
            path = step(self.path, name)
            yield replace(self, node=key, path=path, secret=False), self._below(value, path)

    def fields(
        self, known: Collection[str], refused: Lookup[str, str] = _NOTHING, *, extensions: bool = False
    ) -> "Fields":
        """Return the fields of a mapping with `known` keys, and note a fault for each other key.

        `refused` has the problem and the remedy by key. With `extensions`, keys that begin with `x-` are ignored.
        """
        found: dict[str, Cursor] = {}
        meant: set[str] = set()
        for key, value in self.entries():
            if self.faults.is_full:
                break
            assert isinstance(key.node, Scalar)
            name = key.node.text
            if name in known:
                found[name] = value
            elif name in refused:
                problem, _, remedy = refused[name].rpartition("; ")
                key.hidden().fault(f"{quoted(name)} {problem}", remedy)
                meant.update(known)  # its remedy may name one of them
            elif not (extensions and name.startswith("x-")):
                near = key.nearest(name, known)
                remove = f"remove it, or use {listed(known)}" if len(known) <= MOST_LISTED else "remove it"
                key.hidden().fault(f"unknown key {shown_key(name)}", _meant(name, near) or remove)
                meant |= {near} if near else set()
        return Fields(self, found, frozenset(meant))

    def guess(self, word: str, known: Collection[str], otherwise: str) -> str:
        """Return "did you mean 'image'?" for the known word most similar to `word`; `otherwise` if none is similar."""
        return _meant(word, self.nearest(word, known)) or otherwise

    def nearest(self, word: str, known: Collection[str]) -> str | None:
        """Return the known word most similar to `word`; None if none is similar, or after too many faults."""
        return nearest(word, known) if len(self.faults) < MOST_GUESSED else None

    def at(self, *steps: str | int) -> "Cursor":
        """Follow keys, positions, and names that members of lists begin with, as far as the document has them."""
        here = self
        for each in steps:
            below = here._child(each)
            if below is None:
                return here
            here = below
        return here

    def _child(self, name: str | int) -> "Cursor | None":
        if isinstance(self.node, Mapping) and isinstance(name, str) and name in self.node.entries:
            return self._below(self.node.entries[name][1], step(self.path, name))
        if isinstance(self.node, Sequence):
            # The name of a member is what stands before `:` or `=`, or its source.
            texts = (text_of(child(each, "source") or each) for each in self.node.items)
            names = (re.split("[:=]", each, maxsplit=1)[0] for each in texts)
            found = [number for number, each in enumerate(names) if name in (number, each)]
            return self._below(self.node.items[found[0]], f"{self.path}[{found[0]}]") if found else None
        return None

    def _below(self, node: Node, path: str) -> "Cursor":
        return Cursor(node=node, path=path, faults=self.faults, secret=self.secret)

    def mistyped(self, wanted: str) -> T | None:
        """Note that the value has another form than `wanted`. Return None."""
        if self.is_null:
            return self.fault("has no value", f"write {wanted}, or remove the key")
        return self.fault(f"must be {wanted}, not {self.shown}", _EXAMPLES[wanted])


_EXAMPLES = {
    "text": "write one value, without brackets, braces and dashes",
    "a list": "write for example [first, second]",
    "a mapping": "write for example {name: value}",
}


def _meant(word: str, near: str | None) -> str:
    """Return "did you mean 'image'?", with the code of a character that only looks like a Latin letter."""
    return f"did you mean {quoted(near)}?{_strange(word)}" if near else ""


def _strange(word: str) -> str:
    """Return the code of the first character that may only look like a Latin letter; empty if there is none."""
    return next((f" ('{each}' is U+{ord(each):04X})" for each in word if not each.isascii()), "")


Reader = Callable[[Cursor], T | None]
"""Reads one value; returns None after a fault."""


class Fields(dict[str, Cursor]):
    """The fields of a mapping with known keys."""

    def __init__(self, cursor: Cursor, found: dict[str, Cursor], meant: frozenset[str]) -> None:
        super().__init__(found)
        self.cursor, self._meant = cursor, meant

    def at(self, key: str) -> Cursor | None:
        return self.get(key)

    def read(self, key: str, reader: Reader[T]) -> T | None:
        """Return the value of `key`; None if it is absent or has a fault."""
        return reader(self[key]) if key in self else None

    def require(self, key: str, reader: Reader[T], remedy: str) -> T | None:
        """Return the value of `key`; None, with a fault, if it is absent or invalid."""
        if key not in self:
            self.missing(key, remedy)
        return self.read(key, reader)

    def missing(self, key: str, remedy: str, *instead: str) -> None:
        """Note that `key` is absent, unless a fault of another key may be the cause, or there is no mapping.

        `instead`: the keys that may stand in its place.
        """
        if self.cursor.is_mapping and self._meant.isdisjoint((key, *instead)):
            self.cursor.hidden().fault(f"{quoted(key)} is missing", remedy)


# ---- Readers of single values, and of lists of them

LONGEST_TEXT = 131_071
"""Bytes. Linux starts no process with a longer argument or variable: execve(2), MAX_ARG_STRLEN."""

_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:h|ms|us|m|s)){1,5}", re.ASCII)
_DURATION_PART = re.compile(r"([\d.]+)(h|ms|us|m|s)", re.ASCII)
_MICROSECONDS = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1}

_LONGEST_S = 3_155_760_000.0
"""A hundred years. The engine counts nanoseconds in 64 bits."""

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([kmgtp]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}

_NUMBER = re.compile(r"[-+]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(?:[eE][-+]?\d{1,2})?", re.ASCII)
"""A finite number of YAML 1.2, such as .5 or 5e-1: https://yaml.org/spec/1.2.2/#1032-tag-resolution."""


def string(cursor: Cursor) -> str | None:
    """Read any text as it is written: a plain `1.10` is "1.10". Only quoted text may be empty."""
    node = cursor.node
    if not isinstance(node, Scalar):
        return cursor.mistyped("text")
    if node.is_null:
        return cursor.fault("has no value", 'write one, or remove the key; empty text is ""')
    if len(node.text) > LONGEST_TEXT:
        return cursor.fault(f"has {len(node.text)} characters", f"the maximum is {LONGEST_TEXT}", kind="size")
    if "\0" in node.text:
        return cursor.fault("contains a NUL character", "remove it: Linux and Docker accept none")
    return node.text


def after(reader: Reader[S]) -> Callable[[Callable[[Cursor, S], T | None]], Reader[T]]:
    """Make a reader of a function that gets the value of `reader`; after a fault the function is not called."""

    def decorate(further: Callable[[Cursor, S], T | None]) -> Reader[T]:
        def read(cursor: Cursor) -> T | None:
            value = reader(cursor)
            return None if value is None else further(cursor, value)

        return read

    return decorate


def derived(reader: Reader[S], make: Callable[[S], T]) -> Reader[T]:
    """Return a reader of what `make` returns for the value of `reader`."""
    return after(reader)(lambda _, value: make(value))


def text(cursor: Cursor) -> str | None:
    """Read text that is not empty."""
    value = string(cursor)
    if value == "":
        return cursor.fault("is empty", "write a value, or remove the key")
    return value


def matching(pattern: str, wanted: str, example: str) -> Reader[str]:
    """Return a reader of text that matches all of `pattern`, which `wanted` and `example` describe in a fault."""
    compiled = re.compile(pattern, re.ASCII)

    @after(text)
    def read(cursor: Cursor, value: str) -> str | None:
        if compiled.fullmatch(value):
            return value
        strange = "" if cursor.secret else _strange(value)
        return cursor.fault(f"{cursor.shown} is not {wanted}", f"write for example {example}{strange}")

    return read


def choice(options: tuple[W, ...]) -> Reader[W]:
    by_text = {str(each): each for each in options}

    @after(text)
    def read(cursor: Cursor, value: str) -> W | None:
        if value in by_text:
            return by_text[value]
        remedy = cursor.guess(value, options, "write one of them")
        return cursor.fault(f"{cursor.shown} is not one of: {', '.join(options)}", remedy)

    return read


@after(text)
def boolean(cursor: Cursor, _: str) -> bool | None:
    """Read `true` or `false`. The other booleans of YAML 1.1 are text in 1.2."""
    assert isinstance(cursor.node, Scalar)
    if cursor.node.boolean is None:
        return cursor.fault(f"{cursor.shown} is neither true nor false", "write true or false")
    return cursor.node.boolean


def integer(low: int, high: int) -> Reader[int]:
    return _measured(whole_number, "a whole number", f"write one from {low} to {high}", (low, high), str)


def number(low: float, high: float) -> Reader[float]:
    def decimal(written: str) -> float | None:
        return float(written) if _NUMBER.fullmatch(written) else None

    return _measured(decimal, "a number", f"write one from {low:g} to {high:g}", (low, high), "{:g}".format)


def duration(low_s: float = 0.0, high_s: float = _LONGEST_S) -> Reader[float]:
    """Return a reader of times such as `1m30s`, in seconds; the units are h, m, s, ms and us, as in Compose."""
    remedy = f"write for example {'90s, 1m30s or 500ms' if high_s > 90 else '100ms'}"  # noqa: PLR2004
    return _measured(_seconds, "a time with a unit", remedy, (low_s, high_s), "{:g}s".format)


def size(low: int = 0, high: int = 1 << 60) -> Reader[int]:
    """Return a reader of sizes such as `50m` or `1.5g`, in bytes; units are powers of 1024, as in Docker."""
    remedy = "write for example 64m, 1.5g or a number of bytes"
    return _measured(_bytes, "a size", remedy, (low, high), "{} bytes".format)


def _measured(
    parse: Callable[[str], N | None], wanted: str, remedy: str, bounds: tuple[N, N], spell: Callable[[N], str]
) -> Reader[N]:
    """Return a reader of what `parse` returns for a text, within `bounds`; `wanted` describes it in a fault."""
    low, high = bounds

    @after(text)
    def read(cursor: Cursor, written: str) -> N | None:
        value = parse(written)
        if value is None:
            return cursor.fault(f"{cursor.shown} is not {wanted}", remedy)
        if value < low:
            return cursor.fault(f"{cursor.shown} is too small", f"the minimum is {spell(low)}")
        if value > high:
            return cursor.fault(f"{cursor.shown} is too large", f"the maximum is {spell(high)}")
        return value

    return read


def _seconds(written: str) -> float | None:
    if not _DURATION.fullmatch(written):
        return None
    return sum(float(amount) * _MICROSECONDS[unit] for amount, unit in _DURATION_PART.findall(written)) / 1e6


def _bytes(written: str) -> int | None:
    found = _SIZE.fullmatch(written)
    return int(float(found[1]) * _BYTES[found[2].lower()]) if found else None


@after(text)
def address(cursor: Cursor, value: str) -> IPv4Address | None:
    try:
        return IPv4Address(value)
    except AddressValueError:
        return cursor.fault(f"{cursor.shown} is not an IPv4 address", "write for example 10.0.0.1")


def sequence_of(
    reader: Reader[T], *, not_empty: bool = False, distinct: bool = False
) -> Reader[tuple[T, ...]]:
    def read(cursor: Cursor) -> tuple[T, ...] | None:
        places = cursor.items()
        if cursor.is_sequence and not_empty and not places:
            cursor.fault("is an empty list", "add a member, or remove the key")
        found: list[T] = []
        seen: set[T] = set()
        for each in places:
            value = reader(each)
            if distinct and value in seen:
                each.conflict(f"{each.shown} occurs twice", "keep one of them")
            elif value is not None:
                found.append(value)
                if distinct:
                    seen.add(value)
        return tuple(found)

    return read


def one_or_more(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """Return a reader of lists, which reads a single value as a list of one."""
    many, one = sequence_of(reader), derived(reader, lambda value: (value,))
    return lambda cursor: many(cursor) if cursor.is_sequence else one(cursor)
