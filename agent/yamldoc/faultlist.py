"""Faults as they are gathered, so that a reader can go on after one."""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import NoReturn

from agent.model.faults import Fault, InvalidDocument

LONGEST_PATH = 200
MOST_KEPT = 1000
"""A document with more is not read by people; the rest is not noted."""


class Faults:
    """The faults found so far in one document."""

    def __init__(self) -> None:
        self._found: list[Fault] = []

    def __len__(self) -> int:
        return len(self._found)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is noted: then there is no point in looking further."""
        return len(self._found) >= MOST_KEPT

    def add(
        self,
        *,
        problem: str,
        remedy: str = "",
        path: str = "",
        value: str = "",
        line: int = 1,
        column: int = 1,
    ) -> None:
        """Note a fault at `line`, `column` (from 1); what of the document is in its words is made printable."""
        problem, remedy = printable(problem), printable(remedy)
        if len(path) > LONGEST_PATH:
            path = path[: LONGEST_PATH - 3] + "..."
        if not self.is_full:
            self._found.append(
                Fault(path=path, value=value, problem=problem, remedy=remedy, line=line, column=column)
            )

    def raise_if_any(self) -> None:
        """Raise InvalidDocument with everything noted; do nothing when there is none."""
        if self._found:
            self.stop()

    def stop(self) -> NoReturn:
        """Raise InvalidDocument with everything noted: there is no reading on."""
        raise InvalidDocument(self._found)


# ---- How values and places of a document are put into words: short, on one line, with nothing invisible left in

MOST_CHARACTERS = 60
MOST_LISTED = 10
LONGEST_GUESSED = 40
MOST_CANDIDATES = 100
"""Guessing (difflib is slow) beyond these two costs more than it helps."""

_BARE_STEP = re.compile(r"[A-Za-z0-9_-]{1,80}")


def quoted(text: str) -> str:
    """Return `text` in quotes, shortened, control and other invisible characters escaped."""
    return repr(text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "...")


def printable(text: str) -> str:
    """Return `text` with control and other invisible characters escaped: it may be shown on a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown_key(key: str) -> str:
    """Return `key` in quotes, without what follows a `=`: it may be a secret that stands in the wrong form."""
    name, equals, _ = key.partition("=")
    return quoted(f"{name}=..." if equals else name)


def step(path: str, key: str) -> str:
    """Return the path of `key` in the mapping at `path`: `services.order`, `labels['com.example']`."""
    if not _BARE_STEP.fullmatch(key):
        return f"{path}[{shown_key(key)}]"
    return f"{path}.{key}" if path else key


def listed(options: Iterable[str]) -> str:
    """Return `a, b or c`, or the first few of many."""
    *most, last = options
    if len(most) >= MOST_LISTED:
        return f"{', '.join(most[:MOST_LISTED])}, ..."
    return f"{', '.join(most)} or {last}" if most else last


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the known word that `word` was probably meant to be; None when none is near."""
    if len(word) > LONGEST_GUESSED or len(known) > MOST_CANDIDATES:
        return None
    near = get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)
    return near[0] if near else None
