"""Values of fields in words an operator reads: sizes, durations, lists; never too long for a line of a log."""

from collections.abc import Mapping
from typing import Any

NOTHING = "nothing"
LONGEST = 80

_SIZES = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def words(value: Any) -> str:
    """Any normalised value, short enough for one line."""
    match value:
        case None | "" | () | frozenset():
            return shorten(", ".join(sorted(value))) if value else NOTHING
        case bool():
            return "yes" if value else "no"
        case tuple():
            return shorten(" ".join(value))
        case Mapping():
            return (
                shorten(", ".join(f"{key}={words(each)}" for key, each in sorted(value.items()))) or NOTHING
            )
    return shorten(str(value))


def size(value: int | None) -> str:
    """Bytes in the largest binary unit that says it exactly: 67108864 -> 64 MiB; None and 0 are no limit."""
    if not value:
        return "no limit"
    for unit, factor in _SIZES:
        if value % factor == 0:
            return f"{value // factor} {unit}"
    return f"{value} bytes"


def cpus(value: int | None) -> str:
    """Billionths of a CPU as CPUs; None and 0 are no limit."""
    return f"{value / 1e9:g} CPUs" if value else "no limit"


def seconds(nanoseconds: int | None) -> str:
    """Nanoseconds as seconds; None and 0 are the engine's choice."""
    return f"{nanoseconds / 1e9:g} s" if nanoseconds else "the engine's choice"


def shorten(text: str) -> str:
    """At most `LONGEST` characters, on one line."""
    line = text.replace("\n", "\\n")
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
