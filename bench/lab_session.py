"""The lab of a benchmark: its own hosts, taken down at the end however that comes."""

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from integration.lab.lab import HOSTS, Lab

NAME = "bench"


@contextmanager
def benchmark_lab(name: str = NAME, hosts: Iterable[str] = HOSTS) -> Iterator[Lab]:
    """Hosts with docker and etcd; removed on success, on a fault, on Ctrl-C and on SIGTERM."""
    lab = Lab(name, hosts)
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        lab.up()
        yield lab
    finally:
        signal.signal(signal.SIGTERM, before)
        lab.down()


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that the lab is taken down
