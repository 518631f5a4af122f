"""How values and places of a document are put into words: short, on one line, with nothing invisible left in."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

MOST_CHARACTERS = 60
LONGEST_GUESSED = 40
"""Guessing what a longer key was meant to be costs more than it helps."""

_BARE_STEP = re.compile(r"[A-Za-z0-9_-]{1,80}")


def quoted(text: str) -> str:
    """Return `text` in quotes, shortened, control and other invisible characters escaped."""
    return repr(text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "...")


def step(path: str, key: str) -> str:
    """Return the path of `key` in the mapping at `path`: `services.order`, `labels['com.example']`."""
    if not _BARE_STEP.fullmatch(key):
        return f"{path}[{quoted(key)}]"
    return f"{path}.{key}" if path else key


def listed(options: Iterable[str]) -> str:
    """Return `a, b or c`."""
    *most, last = options
    return f"{', '.join(most)} or {last}" if most else last


def guess(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'image'?" for the known word nearest to `word`; empty when none is near."""
    if len(word) > LONGEST_GUESSED:
        return ""
    near = get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.7)
    return f"did you mean {quoted(near[0])}?" if near else ""
