"""Reads bad.txt: documents with one thing wrong in them, and what is to be said about it."""

from dataclasses import dataclass
from pathlib import Path

_RECORDS = Path(__file__).with_name("bad.txt").read_text().split("=== ")[1:]


@dataclass(frozen=True)
class Bad:
    what: str
    document: str
    says: list[str]


def _changed(good: str, hunk: list[str]) -> str:
    old = "".join(f"{line[1:]}\n" for line in hunk if line[0] in " -")
    new = "".join(f"{line[1:]}\n" for line in hunk if line[0] in " +")
    if not old:
        return new
    assert f"\n{good}".count(f"\n{old}") == 1, f"must be in the document exactly once:\n{old}"
    return f"\n{good}".replace(f"\n{old}", f"\n{new}")[1:]


def _read(record: str) -> Bad:
    what, *lines = record.rstrip("\n").split("\n")
    hunks: list[list[str]] = [[]]
    for line in (line for line in lines if not line.startswith("> ")):
        if line == "...":
            hunks.append([])
        else:
            hunks[-1].append(line)
    document = GOOD
    for hunk in reversed(hunks):  # so that no change makes a line that a later one looks for
        document = _changed(document, hunk)
    return Bad(what, document, [line[2:] for line in lines if line.startswith("> ")])


GOOD = ""
GOOD = _read(_RECORDS[0]).document
BAD = [_read(record) for record in _RECORDS[1:]]
