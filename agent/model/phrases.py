"""Phrases that are common to messages for operators. Each has its wording here alone.

People and dashboards search for "X wanted, Y found". The leader, the hosts, the clients and the report use it for
networks, nodes, containers and files, so that one search finds all of them.
"""

import re
from collections.abc import Sequence

_SHORT_ID = 12
"""Characters of an id as docker shows it."""
_LONGEST = 80


MISUSED = "an agent's rights in etcd were misused: change the agents' credentials"
MISUSED_IF_NEW = f"if all agents have one version, {MISUSED}"
"""Cause and remedy of a value in etcd that no agent of this version writes."""


def differs(what: str, wanted: object, found: object) -> str:
    """Return the phrase for a value that differs: `subnet: 10.0.0.0/24 wanted, none found`."""
    return f"{what}: {instead(wanted, found)}"


def instead(wanted: object, found: object, why: str = "") -> str:
    """Return the two values, for a message that names the field already. `why` is the origin of the wanted one."""
    return f"{wanted} wanted{why}, {found} found"


def short_id(text: str) -> str:
    """Return an id or a hash as short as docker lists it."""
    return text.removeprefix("sha256:")[:_SHORT_ID]


def and_more(count: int) -> str:
    """Return the suffix of the first of `count` texts if no other is shown: ` (and 2 more)`; empty for one."""
    return f" (and {count - 1} more)" if count > 1 else ""


def first_of(texts: Sequence[str], most: int, rest: str) -> list[str]:
    """Return the first `most` texts, then `rest` with the number of the others at its `{}`, if there are others."""
    left = len(texts) - most
    return [*texts[:most], rest.format(left)] if left > 0 else [*texts]


MOST_TEXT = 1000
"""Characters that are kept of a text of an engine, a registry, a container or etcd, which may have megabytes."""

_CUT = re.compile(r"(?:…|\.\.\.) ([0-9][0-9,]{0,20}) more characters\Z")


def cut(text: str, most: int = MOST_TEXT, *, unread: int = 0) -> str:
    """Return the first `most` characters of a text of others and the number of those left out; always valid UTF-8.

    The number counts those that an earlier cut left out, and `unread` bytes that were not even read.
    """
    if earlier := _CUT.search(text[-_LONGEST:]):
        text, unread = text[: -len(earlier[0])], unread + int(earlier[1].replace(",", ""))
    left = max(len(text) - most, 0) + unread
    kept = text[:most].encode(errors="replace").decode()  # JSON can have half a character: \ud83d
    # An ellipsis is no Latin-1: Python would need two bytes for each character of the text.
    return f"{kept}... {left:,} more characters" if left else kept


def shorten(text: str, most: int = _LONGEST) -> str:
    """Return a text on one line, with at most `most` characters."""
    line = text.replace("\n", "\\n")
    return line if len(line) <= most else f"{line[: most - 3]}..."


def counted(count: int, one: str) -> str:
    """Return a count with its noun: `1 step`, `2 steps`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"
