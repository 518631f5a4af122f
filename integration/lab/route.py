"""The machine's own routing: nothing for a lab address may leave it, not even by mistake.

Lab addresses exist only inside the labs' network namespaces. A process that forgot to enter one would send to the
machine's default gateway; the blackhole route laid here before anything else gives it an error instead.
"""

import fcntl
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.lab.errors import LabError
from integration.lab.network import RANGE

OURS = "159"  # the route's "protocol": how ours is told from one the machine's owner laid (rtnetlink(7))
RUN = Path("/run/swarmkeeper-lab")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold one of the lab's locks; the kernel lets go of it when the holder dies."""
    RUN.mkdir(exist_ok=True)
    with (RUN / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def close_range() -> None:
    """Lay the blackhole route. Raises LabError, changing nothing, if the machine itself lives in the range."""
    theirs = [r for r in _routes() if str(r.get("protocol")) != OURS]
    if theirs:
        found = ", ".join(f"{r.get('dst')} dev {r.get('dev', '-')}" for r in theirs)
        raise LabError(
            f"this machine uses addresses of the lab's range {RANGE} itself ({found}): "
            "the lab could not be told from your network, so it does not start here"
        )
    if not _routes():
        _ip("route", "add", "blackhole", str(RANGE), "proto", OURS)


def open_range() -> None:
    """Take our blackhole route away again."""
    for _ in range(count()):
        _ip("route", "del", "blackhole", str(RANGE), "proto", OURS)


def count() -> int:
    """How many routes of ours the machine has."""
    return sum(1 for r in _routes() if str(r.get("protocol")) == OURS)


def _routes() -> list[dict[str, str]]:
    """Every route into the range, in any table: the `local` table holds the machine's own addresses."""
    answer = _ip("-json", "-N", "route", "show", "table", "all", "root", str(RANGE))
    routes: list[dict[str, str]] = json.loads(answer or "[]")
    return routes


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
