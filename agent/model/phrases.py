"""Phrases that messages for operators have in common, each worded in one place.

"X wanted, Y found" is what people and dashboards search for. The leader, the hosts, the clients and the report say it
of networks, nodes, containers and files alike, so that one search finds all of them.
"""

from collections.abc import Sequence

_SHORT_ID = 12
"""As docker shows the ids of containers, images and nodes."""
_LONGEST = 80


def differs(what: str, wanted: object, found: object) -> str:
    """A value that is not as declared: `subnet: 10.0.0.0/24 wanted, none found`."""
    return f"{what}: {instead(wanted, found)}"


def instead(wanted: object, found: object, why: str = "") -> str:
    """The two values alone, for where the message names the thing itself; `why` says what asks for the first one."""
    return f"{wanted} wanted{why}, {found} found"


def short_id(text: str) -> str:
    """An id or a hash as an operator reads it, and finds it in what docker lists."""
    return text.removeprefix("sha256:")[:_SHORT_ID]


def and_more(count: int) -> str:
    """What follows the first of `count` texts when only that one is shown: ` (and 2 more)`; empty for one."""
    return f" (and {count - 1} more)" if count > 1 else ""


def first_of(texts: Sequence[str], most: int, rest: str) -> list[str]:
    """The first `most` of the texts, then `rest` with the number of the others at its `{}`, if there are others."""
    left = len(texts) - most
    return [*texts[:most], rest.format(left)] if left > 0 else [*texts]


def shorten(text: str) -> str:
    """A value for a line of a log: on one line, with at most `_LONGEST` characters."""
    line = text.replace("\n", "\\n")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
