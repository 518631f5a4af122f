"""The last words of a container that ended, fit to be shown to everybody who may read a status."""

import re
from collections.abc import Iterator, Mapping

from agent.model.spec import Pairs

LONGEST_LINE = 400
LONGEST = 2000
"""Characters of all lines together: a status is written to etcd."""

_HIDDEN = "***"
_SHORTEST = 8
"""Of a value that may be a secret. What is shorter is a port, a level or a yes, and in too many words."""
_SHORTEST_SECRET = 4
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|cred|auth|dsn", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{\{\s*\.[A-Za-z.]+\s*\}\}")
_IN_URL = re.compile(r"://[^/\s]+@")
"""Up to the last @ before the path: a password may hold one."""
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|.)")


def last_words(raw: bytes, lines: int, environment: Pairs) -> tuple[str, ...]:
    """The last `lines` lines of `raw`, in the end 2000 characters at most, without control characters.

    Each line of a value of its `environment` from 8 characters on, from 4 where the name speaks of a secret, is
    replaced by ***NAME***: any value may be a secret, and by the name one can still tell what is spoken of. So is what
    a URL has before its @, by ***. What else a program writes is its own doing, and shown.
    """
    names = _names(environment)
    shown: list[str] = []
    room = LONGEST
    for line in reversed(raw.decode(errors="replace").splitlines()[-lines:] if lines else []):
        cleaned = _hidden(_clean(line), names)[: min(LONGEST_LINE, room)]
        room -= len(cleaned)
        shown.append(cleaned)
        if not room:
            break
    return tuple(reversed(shown))


def _names(environment: Pairs) -> dict[str, str]:
    """What is to be hidden -> the variable whose value it is, or is a part of; the longest first."""
    names: dict[str, str] = {}
    for name, value in environment:
        shortest = _SHORTEST_SECRET if _SECRET_NAME.search(name) else _SHORTEST
        for piece in _pieces(value):
            if len(piece) >= shortest:
                names.setdefault(piece, name)
    return dict(sorted(names.items(), key=lambda each: len(each[0]), reverse=True))


def _hidden(line: str, names: Mapping[str, str]) -> str:
    # Whole values first: of one that is a URL there may be a secret in the path, too.
    if there := "|".join(re.escape(piece) for piece in names if piece in line):
        line = re.sub(there, lambda found: f"{_HIDDEN}{names[found[0]]}{_HIDDEN}", line)
    return _IN_URL.sub(f"://{_HIDDEN}@", line)


def _pieces(value: str) -> Iterator[str]:
    """What of `value` can stand in a line of output: of what has a placeholder, filled in by now, what is around it."""
    for line in value.splitlines():
        for piece in (line, *_PLACEHOLDER.split(line)):
            yield _clean(piece).strip()


def _clean(line: str) -> str:
    line = _ESCAPE.sub("", line).replace("\t", " ").rstrip()
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)
