"""What one process uses, read from /proc: memory, processor time and wake-ups, by thread."""

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """In MB of 1,000,000 bytes. `anonymous` is what no other process can share."""

    rss: float
    pss: float
    anonymous: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """What the threads of one name have used so far. A thread wakes up each time it has waited."""

    count: int
    cpu_s: float
    wake_ups: int


Threads = dict[str, Thread]
"""By name; those that have ended since are missing."""


def memory(pid: int | str = "self") -> Memory:
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        found[name] = int(value) * 1024 / 1e6
    return Memory(rss=found["Rss:"], pss=found["Pss:"], anonymous=found["Anonymous:"])


def threads(pid: int) -> dict[tuple[int, str], Thread]:
    """By number and name. Processor time is the scheduler's, in nanoseconds; ticks of 10 ms are too coarse here."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended
            name = (task / "comm").read_text().strip()
            used_ns = int((task / "schedstat").read_text().split()[0])
            switches = next(
                line
                for line in (task / "status").read_text().splitlines()
                if line.startswith("voluntary_ctxt")
            )
            found[int(task.name), name] = Thread(
                count=1, cpu_s=used_ns / 1e9, wake_ups=int(switches.split()[1])
            )
    return found


def used_between(before: dict[tuple[int, str], Thread], after: dict[tuple[int, str], Thread]) -> Threads:
    """By name. A thread that began and ended in between is missing: it is in the whole process's time alone."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0])
    for (number, name), thread in after.items():
        old = before.get((number, name))
        sums[name][0] += 1
        sums[name][1] += thread.cpu_s - (old.cpu_s if old else 0)
        sums[name][2] += thread.wake_ups - (old.wake_ups if old else 0)
    return {
        name: Thread(count=int(count), cpu_s=cpu_s, wake_ups=int(wake_ups))
        for name, (count, cpu_s, wake_ups) in sorted(sums.items(), key=lambda each: -each[1][2])
    }
