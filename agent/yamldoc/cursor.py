"""A place in a document, from which values are read. Reading notes faults and never raises."""

from collections.abc import Callable, Collection, Iterator
from collections.abc import Mapping as Lookup
from dataclasses import dataclass, replace
from typing import TypeVar, overload

from agent.yamldoc.compose import Mapping, Node, Scalar, Sequence
from agent.yamldoc.faultlist import Faults, nearest, quoted, shown_key, step

T = TypeVar("T")
D = TypeVar("D")

_NOTHING: Lookup[str, str] = {}

MOST_GUESSED = 100
"""Guesses are slow (difflib): a document with more faults than this gets the rest without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A node, its path, and where faults go. Under `secret` no value is ever repeated in a fault."""

    node: Node
    path: str
    faults: Faults
    secret: bool = False

    @property
    def is_null(self) -> bool:
        """Whether the document gives no value here."""
        return isinstance(self.node, Scalar) and self.node.is_null

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, Mapping)

    @property
    def is_sequence(self) -> bool:
        return isinstance(self.node, Sequence)

    @property
    def shown(self) -> str:
        """The value in words that fit into a fault."""
        if isinstance(self.node, Scalar):
            return "nothing" if self.is_null else "this value" if self.secret else quoted(self.node.text)
        return "a mapping" if isinstance(self.node, Mapping) else "a list"

    def hidden(self) -> "Cursor":
        """Return the same place, with its value kept out of faults."""
        return replace(self, secret=True)

    def fault(self, problem: str, remedy: str = "") -> None:
        """Note that this value is wrong."""
        value = "" if self.secret or not isinstance(self.node, Scalar) else quoted(self.node.text)
        at, line, column = self.path, self.node.line, self.node.column
        self.faults.add(path=at, value=value, problem=problem, remedy=remedy, line=line, column=column)

    def items(self) -> list["Cursor"]:
        """Return the members of a list; a fault and none for anything else."""
        if not isinstance(self.node, Sequence):
            self._mistyped("a list")
            return []
        return [self._below(node, f"{self.path}[{number}]") for number, node in enumerate(self.node.items)]

    def entries(self) -> Iterator[tuple["Cursor", "Cursor"]]:
        """Yield (key, value) of a mapping whose keys are the document's own; a fault and none for anything else."""
        if not isinstance(self.node, Mapping):
            self._mistyped("a mapping")
            return
        for name, (key, value) in self.node.entries.items():
            path = step(self.path, name)
            yield replace(self, node=key, path=path, secret=False), self._below(value, path)

    def fields(
        self, known: Collection[str], refused: Lookup[str, str] = _NOTHING, *, extensions: bool = False
    ) -> "Fields":
        """Return the fields of a mapping with `known` keys, and note each other key as a fault.

        A key in `refused` gets those words; with `extensions`, keys that start with `x-` are left alone.
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
                key.hidden().fault(f"{quoted(name)} {refused[name]}")
            elif not (extensions and name.startswith("x-")):
                near = key.nearest(name, known)
                key.hidden().fault(
                    f"unknown key {shown_key(name)}", f"did you mean {quoted(near)}?" if near else ""
                )
                meant |= {near} if near else set()
        return Fields(self, found, frozenset(meant))

    def guess(self, word: str, known: Collection[str]) -> str:
        """Return "did you mean 'image'?" for the known word nearest to `word`; empty when none is near."""
        near = self.nearest(word, known)
        return f"did you mean {quoted(near)}?" if near else ""

    def nearest(self, word: str, known: Collection[str]) -> str | None:
        """Return the known word nearest to `word`; None when none is near, or too many faults are found already."""
        return nearest(word, known) if len(self.faults) < MOST_GUESSED else None

    def at(self, *steps: str | int) -> "Cursor":
        """Go down by keys and positions, as far as the document goes."""
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
        if isinstance(self.node, Sequence) and isinstance(name, int) and name < len(self.node.items):
            return self._below(self.node.items[name], f"{self.path}[{name}]")
        return None

    def _below(self, node: Node, path: str) -> "Cursor":
        return Cursor(node=node, path=path, faults=self.faults, secret=self.secret)

    def _mistyped(self, wanted: str) -> None:
        if self.is_null:
            self.fault("has no value", f"give it {wanted}, or take the key out")
        else:
            self.fault(f"wants {wanted}, not {self.shown}")


Reader = Callable[[Cursor], T | None]
"""Reads one value; None means that a fault was noted."""


class Fields:
    """The fields of a mapping with known keys."""

    def __init__(self, cursor: Cursor, found: dict[str, Cursor], meant: frozenset[str]) -> None:
        self.cursor = cursor
        self._found, self._meant = found, meant

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def at(self, key: str) -> Cursor | None:
        """Return the place of `key`'s value; None when the key is absent."""
        return self._found.get(key)

    @overload
    def read(self, key: str, reader: Reader[T]) -> T | None: ...

    @overload
    def read(self, key: str, reader: Reader[T], default: D) -> T | D: ...

    def read(self, key: str, reader: Reader[T], default: D | None = None) -> T | D | None:
        """Return what `reader` makes of `key`; `default` when the key is absent or faulty."""
        place = self._found.get(key)
        value = None if place is None else reader(place)
        return default if value is None else value

    def require(self, key: str, reader: Reader[T], remedy: str) -> T | None:
        """Return what `reader` makes of `key`; None, with a fault, when it is absent or faulty."""
        place = self._found.get(key)
        if place is not None:
            return reader(place)
        self.missing(key, remedy)
        return None

    def missing(self, key: str, remedy: str) -> None:
        """Note that `key` is absent; not when an unknown key seems to be it, or there is no mapping: that is said."""
        if self.cursor.is_mapping and key not in self._meant:
            self.cursor.hidden().fault(f"{quoted(key)} is missing", remedy)
