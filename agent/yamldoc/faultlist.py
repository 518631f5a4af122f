"""Collects faults, so that a reader can continue after one, and quotes parts of a document in them."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from difflib import get_close_matches
from typing import NoReturn

from agent.model.faults import Fault, InvalidDocument

LONGEST_PATH = 200
MOST_KEPT = 1000
"""Faults of one document. People do not read more, and the rest is dropped."""


class Faults:
    """The faults found so far in one document, or in one `file` of those that make a document."""

    def __init__(self, file: str = "") -> None:
        self.file = file
        self._found: list[Fault] = []

    def __len__(self) -> int:
        return len(self._found)

    @property
    def is_full(self) -> bool:
        """True if further faults are dropped."""
        return len(self._found) >= MOST_KEPT

    def add(self, fault: Fault) -> None:
        """Note a fault. Its path is shortened; problem and remedy are made printable."""
        if self.is_full:
            return
        path = fault.path if len(fault.path) <= LONGEST_PATH else fault.path[: LONGEST_PATH - 3] + "..."
        problem, remedy = printable(fault.problem), printable(fault.remedy)
        file = fault.file or self.file
        self._found.append(replace(fault, path=path, problem=problem, remedy=remedy, file=file))

    def take(self, others: "Faults") -> None:
        """Note those of another file."""
        for each in others._found:  # noqa: SLF001  of the same class
            self.add(each)

    def raise_if_any(self) -> None:
        if self._found:
            self.stop()

    def stop(self) -> NoReturn:
        """Raise InvalidDocument with all faults."""
        raise InvalidDocument(self._found)


# ---- Values and paths of a document as text of a fault: short, on one line, without invisible characters

MOST_CHARACTERS = 60
MOST_LISTED = 10
LONGEST_GUESSED = 40
MOST_CANDIDATES = 100
"""Guesses beyond these two limits would take too long, because difflib is slow."""

_BARE_STEP = re.compile(r"[A-Za-z0-9_-]{1,80}")


def quoted(text: str) -> str:
    """Return `text` in quotes, shortened, with control and other invisible characters escaped."""
    return repr(text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "...")


def printable(text: str) -> str:
    """Return `text` with control and other invisible characters escaped, safe for a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown_key(key: str) -> str:
    """Return `key` in quotes, without the text after a `=`, which may be a secret in the wrong form."""
    name, equals, _ = key.partition("=")
    return quoted(f"{name}=..." if equals else name)


def step(path: str, key: str) -> str:
    """Return the path of `key` in the mapping at `path`: `services.order`, `labels['com.example']`."""
    if not _BARE_STEP.fullmatch(key):
        return f"{path}[{shown_key(key)}]"
    return f"{path}.{key}" if path else key


def listed(options: Iterable[str]) -> str:
    """Return `a, b or c`, or the first ten of many."""
    *most, last = options
    if len(most) >= MOST_LISTED:
        return f"{', '.join(most[:MOST_LISTED])}, ..."
    return f"{', '.join(most)} or {last}" if most else last


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the known word most similar to `word`, whatever the case of both; None if none is similar."""
    if len(word) > LONGEST_GUESSED or len(known) > MOST_CANDIDATES:
        return None
    spelled = {each.lower(): each for each in known}
    near = get_close_matches(word.lower(), sorted(spelled), n=1, cutoff=0.6)
    return spelled[near[0]] if near else None
