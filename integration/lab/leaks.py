"""What of a lab is on this machine, counted from the outside: after `down` every number is zero."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from integration.lab import route
from integration.lab.cgroups import Cgroups
from integration.lab.disk import loops
from integration.lab.network import label


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaks:
    """Counts of what one lab holds. `routes` is the machine's blackhole route when no lab runs that needs it."""

    cgroups: int
    processes: int
    namespaces: int
    links: int
    mounts: int
    disks: int
    loops: int
    routes: int

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def __str__(self) -> str:
        return " ".join(f"{name}={count}" for name, count in asdict(self).items())


def count(groups: Cgroups, state: Path) -> Leaks:
    links = [_labelled(entry, label(groups.lab, "")) for entry in _network_namespaces()]
    running = groups.processes()
    needed = bool(running) or groups.other_labs_run()
    return Leaks(
        cgroups=groups.count(),
        processes=len(running),
        namespaces=sum(1 for found in links if found),
        links=sum(links),
        mounts=sum(f" {state}/" in line for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        disks=len(list(state.iterdir())) if state.is_dir() else 0,
        loops=len(loops(state)),
        routes=0 if needed else route.count(),
    )


def _network_namespaces() -> Iterator[Path]:
    """One way into each network namespace that some thread of the machine is in."""
    seen = set()
    for task in Path("/proc").glob("[0-9]*/task/[0-9]*/ns/net"):
        with suppress(OSError):  # the thread ended, or is a zombie: then it holds nothing
            inode = os.stat(task).st_ino  # noqa: PTH116  Path.stat would do the same more slowly
            if inode not in seen:
                seen.add(inode)
                yield task


def _labelled(namespace: Path, prefix: str) -> int:
    """How many links in a network namespace carry the lab's label."""
    answer = subprocess.run(
        ["nsenter", f"--net={namespace}", "ip", "-json", "link", "show"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(answer.stdout or "[]")
    return sum(str(link.get("ifalias", "")).startswith(prefix) for link in found)
