"""Readers for what Compose writes everywhere: text with `$`, mappings that may be lists, names, paths."""

import re

from agent.model.intent import HOST_NAME
from agent.model.spec import Pairs
from agent.yamldoc.readers import Cursor, Reader, after, derived, matching, sequence_of, string

project_name = matching(
    r"[a-z0-9][a-z0-9_-]{0,62}", "a project name: a-z, 0-9, _ and -, 63 characters at most"
)
name = matching(
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "a name: letters, digits, _ . and -, 63 characters at most"
)
host_name = matching(HOST_NAME, "a host name: letters, digits, . and -, 63 characters at most")

OURS = "io.swarmkeeper."
"""Labels that begin so are how the agent knows its own things."""

_KEY = re.compile(r"[!-<>-~]{1,255}", re.ASCII)
_VARIABLE = re.compile(r"\$(?!\$)")


@after(string)
def anything(cursor: Cursor, value: str) -> str | None:
    """Text, also an empty one, with Compose's `$$` turned into `$`; variables are refused."""
    if _VARIABLE.search(value.replace("$$", "")):
        cursor.fault(
            "uses $ for a variable, and the agent's environment is not looked into",
            "write the value itself; a $ that is meant is written $$",
        )
        return None
    return value.replace("$$", "$")


@after(anything)
def text(cursor: Cursor, value: str) -> str | None:
    """Text that is not empty, with Compose's `$$` turned into `$`."""
    if not value:
        cursor.fault("is empty", "give it a value, or take the key out")
        return None
    return value


texts = sequence_of(text)
distinct_texts = derived(sequence_of(text, distinct=True), lambda found: tuple(sorted(found)))
"""Reads a list of texts whose order means nothing: sorted, none twice."""


def pairs(*, without_value: tuple[str, str] | None = None, secret: bool = False) -> Reader[Pairs]:
    """Make a reader of a mapping of text, which may also be a list of `key=value`; sorted by key.

    A key without a value means empty text, unless `without_value` has the problem and the remedy. Under
    `secret` no value is repeated in a fault.
    """

    def read(cursor: Cursor) -> Pairs | None:
        place = cursor.hidden() if secret else cursor
        found: dict[str, str] = {}
        for key, value_place, value in _from_list(place) if place.is_sequence else _from_mapping(place):
            if not _KEY.fullmatch(key):
                value_place.hidden().fault("has a key that is not a word of printable ASCII without =")
            elif key in found:
                value_place.hidden().fault(f"the key '{key}' is there twice", "keep one of them")
            elif key.startswith(OURS):
                problem = f"the keys that begin with {OURS} are the agent's own"
                value_place.hidden().fault(problem, "choose another key")
            elif value is None and without_value is not None:
                value_place.fault(*without_value)
            else:
                found[key] = value or ""
        return tuple(sorted(found.items()))

    return read


def _from_mapping(cursor: Cursor) -> list[tuple[str, Cursor, str | None]]:
    found = []
    for key, place in cursor.entries():
        value = None if place.is_null else anything(place)
        if value is not None or place.is_null:
            found.append((string(key) or "", place, value))
    return found


def _from_list(cursor: Cursor) -> list[tuple[str, Cursor, str | None]]:
    found = []
    for place in cursor.items():
        item = anything(place)
        if item is not None:
            key, equals, value = item.partition("=")
            found.append((key, place, value if equals else None))
    return found


def absolute_path(cursor: Cursor, value: str) -> str | None:
    """Return the path `value` without superfluous slashes; None, with a fault, when it is not absolute."""
    steps = [each for each in value.split("/") if each not in ("", ".")]
    if not value.startswith("/"):
        cursor.fault(f"'{value[:60]}' is not an absolute path", "begin it with /")
    elif ".." in steps:
        cursor.fault("goes up by '..'", "write the path itself")
    else:
        return "/" + "/".join(steps)
    return None


absolute = after(text)(absolute_path)
"""Reads a path of the container or the host: absolute, and without `..`."""
