"""What booted hosts take of this machine, compared with what is left of it before they boot.

What the kernel counts per user (inotify) is not read but tried: it counts processes that are not to be seen in /proc,
too, those of another container for instance. The numbers of one host were measured on labs of three with agents and
containers (docs/lab.md), and rounded up.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from integration.lab.cgroups import Cgroups
from integration.lab.errors import LabError

INSTANCES, WATCHES, TASKS, INODES = 10, 64, 200, 1000
SPACE_MB, MEMORY_MB = 300, 250
MB = 1 << 20
INSTANCES_KNOB, WATCHES_KNOB = "fs/inotify/max_user_instances", "fs/inotify/max_user_watches"
WATCHED = Path("/usr/bin")  # on every machine, with more entries than a lab has watches
IN_DELETE_SELF, IN_DONT_FOLLOW = 0x400, 0x2000000  # inotify(7)

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Limit:
    """One thing of which the machine has only so much; `each` is what a host takes of it."""

    name: str
    free: int
    each: int
    remedy: str
    unit: str = ""

    def shortage(self, hosts: int) -> str:
        """The limit, what is free, what is needed and the remedy; empty while there is enough."""
        needed = hosts * self.each
        if self.free >= needed:
            return ""
        return f"{self.name}: {self.free}{self.unit} free, {needed}{self.unit} needed ({self.remedy})"


def check_limits(hosts: int, state: Path, groups: Cgroups) -> None:
    """Raise LabError naming every limit that keeps this machine from carrying so many hosts more."""
    found = shortages(hosts, state, groups)
    if found:
        raise LabError(f"this machine cannot carry {hosts} hosts more: " + "; ".join(found))


def shortages(hosts: int, state: Path, groups: Cgroups) -> list[str]:
    """Each limit that so many hosts more would meet, in words."""
    return [said for limit in _limits(hosts, state, groups) if (said := limit.shortage(hosts))]


def _limits(hosts: int, state: Path, groups: Cgroups) -> Iterator[Limit]:
    instances, watches = free_inotify(hosts * INSTANCES, hosts * WATCHES)
    yield _inotify(INSTANCES_KNOB, "inotify instances", instances, INSTANCES, hosts)
    if instances:
        yield _inotify(WATCHES_KNOB, "inotify watches", watches, WATCHES, hosts)
    yield from _threads()
    yield from _cgroup_limits(groups)
    yield from _disk(state)
    yield Limit("memory", _memory_available() // MB, MEMORY_MB, "end other labs or programs", " MB")


# -- inotify


def free_inotify(instances: int, watches: int) -> tuple[int, int]:
    """How many instances and watches this process's user can still have, up to what is asked for."""
    with ExitStack() as closing:
        made = []
        for _ in range(instances):
            one = _libc.inotify_init1(os.O_CLOEXEC)
            if one < 0:
                break
            closing.callback(os.close, one)
            made.append(one)
        return len(made), _free_watches(made[0], watches) if made else 0


def _free_watches(instance: int, wanted: int) -> int:
    seen: set[int] = set()
    with os.scandir(WATCHED) as entries:
        for entry in entries:
            watch = _libc.inotify_add_watch(
                instance, os.fsencode(entry.path), IN_DELETE_SELF | IN_DONT_FOLLOW
            )
            if watch < 0 and ctypes.get_errno() == errno.ENOSPC:
                return len(seen)
            seen.add(watch)
            if len(seen) >= wanted:
                break
    return wanted  # where there are fewer files than that, the limit was not met


def _inotify(knob: str, what: str, free: int, each: int, hosts: int) -> Limit:
    most = int(Path("/proc/sys", knob).read_text())
    enough = 1 << (most - free + hosts * each - 1).bit_length()
    name = knob.replace("/", ".")
    return Limit(f"{what} of this user ({name}={most})", free, each, f"sysctl {name}={enough}")


# -- tasks and memory


def _threads() -> Iterator[Limit]:
    used = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    for knob in ("kernel/threads-max", "kernel/pid_max"):
        most, name = int(Path("/proc/sys", knob).read_text()), knob.replace("/", ".")
        yield Limit(f"tasks of the machine ({name}={most})", most - used, TASKS, f"sysctl {name}={most * 2}")


def _cgroup_limits(groups: Cgroups) -> Iterator[Limit]:
    """What the groups above the lab's still admit, in every hierarchy."""
    for hierarchy in groups.hierarchies:
        ours = groups.path(hierarchy)
        for group in (ours, *(p for p in ours.parents if p.is_relative_to(hierarchy.mount))):
            yield from _pids_of(group)
            yield from _memory_of(group)


def _pids_of(group: Path) -> Iterator[Limit]:
    most, used = _number(group / "pids.max"), _number(group / "pids.current")
    if most is not None and used is not None:
        yield Limit(f"tasks of a cgroup ({group}/pids.max={most})", most - used, TASKS, "raise it")


def _memory_of(group: Path) -> Iterator[Limit]:
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        most, used = _number(group / limit), _number(group / usage)
        if most is not None and used is not None:
            free = (most - used + _reclaimable(group)) // MB
            yield Limit(f"memory of a cgroup ({group}/{limit})", free, MEMORY_MB, "raise it", " MB")


def _reclaimable(group: Path) -> int:
    """Bytes of files the group has read, which the kernel drops when it needs the memory."""
    fields = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))


def _number(file: Path) -> int | None:
    """What a file of a cgroup says; None for no limit, and for no such file."""
    with suppress(OSError, ValueError):
        return int(file.read_text())
    return None


def _memory_available() -> int:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


# -- the disk


def _disk(state: Path) -> Iterator[Limit]:
    folder = next(p for p in (state, *state.parents) if p.exists())
    known = os.statvfs(folder)
    remedy = "remove what is not needed, or set SWARMKEEPER_LAB_STATE to a folder elsewhere"
    yield Limit(f"disk space at {folder}", known.f_bavail * known.f_frsize // MB, SPACE_MB, remedy, " MB")
    if known.f_files:  # some file systems have as many as they have space
        yield Limit(f"inodes at {folder}", known.f_favail, INODES, remedy)
