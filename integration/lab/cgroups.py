"""The lab's cgroups, which are also its only registry: what is in them runs, what is not does not.

A lab owns `swarmkeeper-lab/<lab>/` in every hierarchy of the machine and, below it, `lan/` (the process that
holds the LAN's network namespace), `clients/` (programs started on the LAN) and for each host
`<host>/supervisor` and `<host>/payload`. No pid files, so a lab tool killed at any moment leaves nothing unknown.

Two kinds of machine: v1 controllers with or without a cgroup2 tree beside them ("hybrid"), and pure cgroup v2.
On pure v2 below a systemd the subtree is a delegated scope, as that tree has a single writer
(https://systemd.io/CGROUP_DELEGATION); elsewhere it is a child of the hierarchy's root.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from integration.lab.errors import LabError
from integration.lab.eventually import eventually

FAMILY = "swarmkeeper-lab"
LAN, CLIENTS, SUPERVISOR, PAYLOAD = "lan", "clients", "supervisor", "payload"
FORCE_V2 = "SWARMKEEPER_LAB_CGROUP2"  # set: use only the cgroup2 tree, even where v1 controllers are mounted


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted cgroup tree; `options` are the v1 controllers it carries, empty for cgroup2."""

    mount: Path
    options: str

    @property
    def is_v2(self) -> bool:
        return not self.options


def find_hierarchies() -> tuple[Hierarchy, ...]:
    """Every cgroup tree mounted here, each once. Raises LabError if there is none."""
    found: dict[str, Hierarchy] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        fstype, _, options = right.split(" ", 2)
        if fstype == "cgroup2":
            found.setdefault("", Hierarchy(Path(left.split()[4]), ""))
        elif fstype == "cgroup" and not os.environ.get(FORCE_V2):
            wanted = ",".join(o for o in options.split(",") if o in _controllers() or o.startswith("name="))
            found.setdefault(wanted, Hierarchy(Path(left.split()[4]), wanted))
    if not found:
        raise LabError("no cgroup hierarchy is mounted here")
    return tuple(found.values())


def _controllers() -> frozenset[str]:
    lines = Path("/proc/cgroups").read_text().splitlines()
    return frozenset(line.split()[0] for line in lines if not line.startswith("#"))


class Cgroups:
    """The subtree of one lab in all hierarchies. Groups are named by their path below it: `node-231/payload`."""

    def __init__(self, lab: str) -> None:
        self.lab = lab

    @cached_property
    def hierarchies(self) -> tuple[Hierarchy, ...]:
        return find_hierarchies()

    @cached_property
    def registry(self) -> Hierarchy:
        """The one hierarchy that is asked who runs: cgroup2 where there is one, as it can also kill."""
        plain = [h for h in self.hierarchies if "cpuset" not in h.options]
        return next((h for h in plain if h.is_v2), plain[0])

    @property
    def needs_scope(self) -> bool:
        """Whether the subtree has to be asked of the machine's systemd (pure cgroup v2 only)."""
        forced = bool(os.environ.get(FORCE_V2))
        return len(self.hierarchies) == 1 and not forced and Path("/run/systemd/system").is_dir()

    @property
    def scope(self) -> str:
        return f"{FAMILY}-{self.lab}.scope"

    def path(self, hierarchy: Hierarchy, group: str = "") -> Path:
        if self.needs_scope:
            return hierarchy.mount / "system.slice" / self.scope / group
        return hierarchy.mount / FAMILY / self.lab / group

    def _ours(self, hierarchy: Hierarchy) -> Path:
        """The topmost group this lab may write to."""
        return self.path(hierarchy) if self.needs_scope else hierarchy.mount

    def groups(self) -> tuple[str, ...]:
        """The names directly below the lab: its hosts, and `lan` and `clients`."""
        root = self.path(self.registry)
        return tuple(sorted(p.name for p in root.iterdir() if p.is_dir())) if root.is_dir() else ()

    def other_labs_run(self) -> bool:
        """Whether any lab but this one has a process on this machine."""
        if self.needs_scope:
            roots = self.registry.mount.glob(f"system.slice/{FAMILY}-*.scope")
        else:
            roots = self.registry.mount.glob(f"{FAMILY}/*/")
        return any(next(_processes(root), 0) for root in roots if root != self.path(self.registry))

    def join(self, group: str) -> None:
        """Make `group` in every hierarchy and move the calling process into it."""
        for hierarchy in self.hierarchies:
            target = self.path(hierarchy, group)
            _make(hierarchy, target)
            (target / "cgroup.procs").write_text("0")
            if (
                hierarchy.is_v2
            ):  # after the move: a group that holds processes itself cannot pass controllers on
                _pass_on_controllers(self._ours(hierarchy), target)

    def processes(self, group: str = "") -> tuple[int, ...]:
        """Ids of all processes in the group and below it."""
        return tuple(_processes(self.path(self.registry, group)))

    def signal(self, group: str, number: signal.Signals) -> None:
        for pid in self.processes(group):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self, group: str) -> None:
        """SIGKILL everything in the group; the frozen is thawed only when its death is already certain."""
        if not self.processes(group):
            return
        at_once = self.path(self.registry, group) / "cgroup.kill"
        if at_once.exists():
            at_once.write_text("1")
        else:
            self.signal(group, signal.SIGKILL)
        self.thaw(group)

    def freeze(self, group: str) -> None:
        self._set_frozen(group, frozen=True)

    def thaw(self, group: str) -> None:
        self._set_frozen(group, frozen=False)

    def _set_frozen(self, group: str, *, frozen: bool) -> None:
        v1 = next((h for h in self.hierarchies if "freezer" in h.options.split(",")), None)
        if v1:
            switch, word, report = "freezer.state", "FROZEN" if frozen else "THAWED", "freezer.state"
            sign = word
        else:
            switch, word, report = "cgroup.freeze", str(int(frozen)), "cgroup.events"
            sign = f"frozen {word}"
        target = self.path(v1 or self.registry, group)
        if not target.is_dir():
            return
        (target / switch).write_text(word)
        # A process that waits for its disk stops when that has answered.
        eventually(lambda: sign in (target / report).read_text(), 30, f"{group} {sign}")

    def remove(self, group: str = "") -> None:
        """Remove the group and all below it from every hierarchy. Raises AssertionError if something stays in it."""
        eventually(lambda: self._try_remove(group), 10, f"the cgroups {self.lab}/{group} are gone")
        if not group and not self.needs_scope:
            for hierarchy in self.hierarchies:
                with suppress(OSError):  # another lab is in it
                    self.path(hierarchy).parent.rmdir()

    def _try_remove(self, group: str) -> bool:
        for hierarchy in self.hierarchies:
            for directory, _, _ in os.walk(self.path(hierarchy, group), topdown=False):
                with suppress(FileNotFoundError):
                    Path(directory).rmdir()
        return True

    def count(self) -> int:
        """How many cgroup directories of this lab exist, over all hierarchies."""
        return sum(1 for h in self.hierarchies for _ in os.walk(self.path(h)))


def _processes(root: Path) -> Iterator[int]:
    for directory, _, _ in os.walk(root):
        with suppress(OSError):  # the group went away meanwhile
            yield from map(int, Path(directory, "cgroup.procs").read_text().split())


def _make(hierarchy: Hierarchy, target: Path) -> None:
    """Create a group and those above it, so that each can hold processes and limits."""
    if target.is_dir() or target == hierarchy.mount:
        return
    _make(hierarchy, target.parent)
    target.mkdir(exist_ok=True)
    if "cpuset" in hierarchy.options.split(","):
        for file in ("cpuset.cpus", "cpuset.mems"):  # a new v1 cpuset is empty and would admit nobody
            (target / file).write_text((target.parent / file).read_text())


def _pass_on_controllers(top: Path, leaf: Path) -> None:
    """Let every cgroup2 controller reach `leaf`, through all groups from `top` down."""
    for parent in reversed([p for p in leaf.parents if p.is_relative_to(top)]):
        for controller in (parent / "cgroup.controllers").read_text().split():
            with suppress(OSError):  # one that cannot be delegated (no realtime budget, threaded): go without
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")
