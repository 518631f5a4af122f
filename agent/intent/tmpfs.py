"""Reads `tmpfs` of a service: file systems in memory, with the mount options that the engine takes."""

import re

from agent.intent.mounts import target_of
from agent.intent.values import text
from agent.model.spec import Pairs
from agent.yamldoc.readers import Cursor

_FLAGS = (
    "rw", "ro", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "mand", "nomand",
    "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
    "unbindable", "runbindable", "private", "rprivate", "shared", "rshared", "slave", "rslave", "defaults",
)  # fmt: skip
"""Flags that moby takes (pkg/mount), without `remount`, `bind` and `rbind`, with which no tmpfs can be mounted."""
_NUMBER_OF = (r"[0-9]{1,15}[kKmMgG]?", "a number, such as 64k")
_ID = (r"[0-9]{1,10}", "a number")
_VALUES = {
    "size": (r"[0-9]{1,15}[kKmMgGtTpP]?|[0-9]{1,3}%", "a size, such as 64m or 10%"),
    "mode": (r"0?[0-7]{1,4}", "a mode in octal, such as 1777"),
    "uid": _ID,
    "gid": _ID,
    "nr_inodes": _NUMBER_OF,
    "nr_blocks": _NUMBER_OF,
    "mpol": (r"default|local|interleave|prefer", "default, local, interleave or prefer"),
}
_HIGHEST_ID = 4_294_967_294
_EXAMPLE = "write for example /run:size=64m"


def tmpfs(cursor: Cursor) -> Pairs | None:
    """Read one or several `path[:options]`, sorted by path."""
    found: dict[str, str] = {}
    for place, written in _written(cursor):
        path, _, options = written.partition(":")
        target = target_of(place, path)
        if ":" in written and not _are_options(place, options):
            continue
        if target in found:
            place.conflict(f"mounts '{target}' a second time", "keep one of them")
        elif target is not None:
            found[target] = options
    return tuple(sorted(found.items()))


def _written(cursor: Cursor) -> list[tuple[Cursor, str]]:
    places = cursor.items() if cursor.is_sequence else [cursor]
    return [(place, written) for place in places if (written := text(place)) is not None]


def _are_options(place: Cursor, options: str) -> bool:
    """Return True for options that the engine takes; note a fault for the first other one."""
    seen: set[str] = set()
    for each in options.split(","):
        name, equals, value = each.partition("=")
        form, described = _VALUES.get(name, ("", ""))
        if name in seen:
            place.fault(f"gives '{name}' twice", "keep one of them")
        elif form and not re.fullmatch(form, value, re.ASCII):
            example = {"size": "64m", "mode": "1777", "mpol": "local"}.get(name, "1000")
            problem = f"'{each[:60]}': {name} is not {described}"
            place.fault(problem, f"write for example {name}={example}")
        elif name in ("uid", "gid") and int(value) > _HIGHEST_ID:
            place.fault(f"'{each[:60]}' is too large", f"the maximum is {_HIGHEST_ID}")
        elif not form and (equals or each not in _FLAGS):
            problem = f"{place.shown} has options that tmpfs does not know"
            place.fault(problem, place.guess(name, [*_VALUES, *_FLAGS]) or _EXAMPLE)
        else:
            seen.add(name)
            continue
        return False
    return True
