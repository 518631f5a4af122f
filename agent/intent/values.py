"""Readers of the common values of Compose: text with `$`, mappings that may be lists, names, paths."""

import re
from collections.abc import Iterator

from agent.diff.container.process import PREFIX
from agent.model.intent import HOST_NAME
from agent.model.spec import Pairs
from agent.yamldoc.readers import Cursor, Reader, after, derived, matching, sequence_of, string

project_name = matching(
    r"[a-z0-9][a-z0-9_-]{0,62}", "a project name: a-z, 0-9, _ and -, 63 characters at most", "shop"
)
name = matching(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "a name: letters, digits, _ . and -, 63 characters at most", "web-1"
)
host_name = matching(HOST_NAME, "a host name: letters, digits, . and -, 63 characters at most", "node-1")
_DAY, _TIME = r"20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", r"([01]\d|2[0-3])(:[0-5]\d){2}Z"
moment = matching(f"{_DAY}T{_TIME}", "a time in UTC", "2026-11-30T16:00:00Z")

_KEY = re.compile(r"[!-<>-~]{1,255}", re.ASCII)
_VARIABLE = re.compile(r"\$(?!\$)")


@after(string)
def anything(cursor: Cursor, value: str) -> str | None:
    """Read text, which may be empty, with Compose's `$$` for `$`. It refuses variables."""
    if _VARIABLE.search(value.replace("$$", "")):
        problem = "uses $ for a variable, and the agent's environment is not read"
        return cursor.fault(problem, "write the value itself; write $$ for a literal $")
    return value.replace("$$", "$")


@after(anything)
def text(cursor: Cursor, value: str) -> str | None:
    """Read text that is not empty, with Compose's `$$` for `$`."""
    if not value:
        return cursor.fault("is empty", "write a value, or remove the key")
    return value


texts = sequence_of(text)
distinct_texts = derived(sequence_of(text, distinct=True), lambda found: tuple(sorted(found)))
"""Reads a list of distinct texts whose order has no meaning; sorted."""


def pairs(*, without_value: tuple[str, str] | None = None, secret: bool = False) -> Reader[Pairs]:
    """Return a reader of a mapping of text, which may also be a list of `key=value`; sorted by key.

    A key without a value has empty text, unless `without_value` gives the problem and remedy of a fault. With
    `secret`, faults omit the values.
    """

    def read(cursor: Cursor) -> Pairs | None:
        place, before = cursor.hidden() if secret else cursor, len(cursor.faults)
        found: dict[str, str] = {}
        for key, value_place, value in _from_list(place) if place.is_sequence else _from_mapping(place):
            if not _KEY.fullmatch(key):
                problem = "has a key that is not printable ASCII without spaces and ="
                value_place.hidden().fault(problem, "write for example NAME: value")
            elif key in found:
                value_place.hidden().conflict(f"the key '{key}' occurs twice", "keep one of them")
            elif key.startswith(PREFIX):
                problem = f"keys that begin with {PREFIX} are reserved for the agent"
                value_place.hidden().fault(problem, "choose another key")
            elif value is None and without_value is not None:
                value_place.fault(*without_value)
            else:
                found[key] = value or ""
        return tuple(sorted(found.items())) if len(cursor.faults) == before else None

    return read


def _from_mapping(cursor: Cursor) -> Iterator[tuple[str, Cursor, str | None]]:
    for key, place in cursor.entries():
        value = None if place.is_null else anything(place)
        if value is not None or place.is_null:
            yield string(key) or "", place, value


def _from_list(cursor: Cursor) -> Iterator[tuple[str, Cursor, str | None]]:
    for place in cursor.items():
        if (item := anything(place)) is not None:
            key, equals, value = item.partition("=")
            yield key, place, value if equals else None


def absolute_path(cursor: Cursor, value: str) -> str | None:
    """Return the path `value` without superfluous slashes; None, with a fault, if it is not absolute."""
    steps = [each for each in value.split("/") if each not in ("", ".")]
    if not value.startswith("/"):
        return cursor.fault(f"'{value[:60]}' is not an absolute path", "begin it with /")
    if ".." in steps:
        return cursor.fault("contains '..'", "write the path without it")
    return "/" + "/".join(steps)


absolute = after(text)(absolute_path)
"""Reads an absolute path without `..`."""
