"""The process's own figures, in the names every Prometheus client uses.

prometheus_client's own collector wants /proc/stat, which the unit hides (ProcSubset=pid), and then says nothing at all.
"""

import os
import resource
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

_SELF = Path("/proc/self")


class Process(Collector):
    """CPU, memory, descriptors and start time of this process, read when asked."""

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        # proc(5), stat: the name in parentheses may hold spaces; fields 20 to 24 follow it as 17 to 21.
        fields = (_SELF / "stat").read_text().rpartition(")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        yield _gauge("start_time_seconds", "Start of the process since the epoch.", boot + started_s)
        yield _gauge("virtual_memory_bytes", "Virtual memory.", float(fields[20]))
        yield _gauge("resident_memory_bytes", "Resident memory.", int(fields[21]) * resource.getpagesize())
        yield _gauge("open_fds", "Open file descriptors.", sum(1 for _ in (_SELF / "fd").iterdir()))
        yield _gauge("max_fds", "Most file descriptors.", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        yield CounterMetricFamily(
            "process_cpu_seconds", "User and system CPU time.", value=time.process_time()
        )


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"process_{name}", meaning, value=value)
