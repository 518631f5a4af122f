"""The last words of a container that ended, fit to be shown to everybody who may read a status."""

import re
from collections.abc import Iterator

from agent.model.spec import Pairs

LONGEST_LINE = 400
LONGEST = 2000
"""Characters of all lines together: a status is written to etcd."""

_HIDDEN = "***"
_SHORTEST_SECRET = 4
_SECRET_NAME = re.compile(r"pass|secret|token|key|cred|auth|dsn", re.IGNORECASE)
_IN_URL = re.compile(r"://[^/\s@]+@")
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|.)")


def last_words(raw: bytes, lines: int, environment: Pairs) -> tuple[str, ...]:
    """The last `lines` lines of `raw`, in the end 2000 characters at most, without control characters.

    What its `environment` has under a name that speaks of a secret is replaced by ***, and so is what a URL has before
    its @. What else a program writes is its own doing, and shown.
    """
    secrets = sorted(_secrets(environment), key=len, reverse=True)
    shown: list[str] = []
    room = LONGEST
    for line in reversed(raw.decode(errors="replace").splitlines()[-lines:] if lines else []):
        cleaned = _clean(line, secrets)[: min(LONGEST_LINE, room)]
        room -= len(cleaned)
        shown.append(cleaned)
        if not room:
            break
    return tuple(reversed(shown))


def _secrets(environment: Pairs) -> Iterator[str]:
    for name, value in environment:
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            yield value


def _clean(line: str, secrets: list[str]) -> str:
    line = _IN_URL.sub(f"://{_HIDDEN}@", line)
    for each in secrets:
        line = line.replace(each, _HIDDEN)
    line = _ESCAPE.sub("", line).replace("\t", " ").rstrip()
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)
