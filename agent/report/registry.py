"""The registry: counters and histograms grow at each event, gauges show the last pass."""

import os
import platform
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import prometheus_client as prometheus
from prometheus_client import Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from agent.report.definitions import DEFINITIONS, PREFIX
from agent.report.gauges import NOTHING_YET, gauges

# ---- Metrics of the process, under the names that every Prometheus client uses
#
# prometheus_client's own collector reads /proc/stat, which the unit hides (ProcSubset=pid), and then exposes
# nothing at all.

_SELF = Path("/proc/self")


class Process(Collector):
    """CPU, memory, descriptors and start time of this process, read at each scrape."""

    def collect(self) -> Iterator[Metric]:
        # proc(5), stat: the name in parentheses may contain spaces; fields 20 to 24 follow it as 17 to 21.
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


Labels = tuple[str, ...]
Gauges = Mapping[str, Mapping[Labels, float]]
"""Values by name (without prefix) and label values. A series that is missing is not exposed."""

BUCKETS_S = (0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 20.0)
"""Few, because each is a series per operation and host. The timeouts of etcd and dockerd lie between the last two."""

# `_created` is one more series for each counter and histogram, and nothing here uses it.
prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """All metrics of one agent. Any thread may call any method, and no method waits."""

    def __init__(self, *, version: str, host: str = "", cluster: str = "") -> None:
        """Create the metrics. Every series of ours has the labels `cluster` and `host`, if they are given."""
        self._registry = CollectorRegistry(auto_describe=False)
        constant = {name: value for name, value in (("cluster", cluster), ("host", host)) if value}
        self._exposed = CollectorRegistry(auto_describe=False)
        self._exposed.register(_Labelled(self._registry, constant))
        self._counters = {
            each.name: prometheus.Counter(PREFIX + each.name, each.help, each.labels, registry=self._registry)
            for each in DEFINITIONS
            if each.kind == "counter"
        }
        self._histograms = {
            each.name: prometheus.Histogram(
                PREFIX + each.name, each.help, each.labels, buckets=BUCKETS_S, registry=self._registry
            )
            for each in DEFINITIONS
            if each.kind == "histogram"
        }
        self._kept: dict[str, frozenset[Labels]] = {}
        self._last_contact = 0.0
        self._live: dict[str, Callable[[], float]] = {
            "store_last_contact_timestamp_seconds": lambda: self._last_contact,
            "lease_ttl_seconds": lambda: 0.0,
        }
        self._version = version
        self._fixed: Gauges = {}
        self.show_engine("")
        self._shown: Gauges = gauges(NOTHING_YET, {})
        self._of_cluster: Callable[[], Gauges] = dict
        for each in DEFINITIONS:
            for labels in each.series:
                (self._histograms if each.kind == "histogram" else self._counters)[each.name].labels(*labels)
        for collector in (_Snapshot(self.gauges), Process()):
            self._registry.register(collector)
        GCCollector(self._registry)

    def show_engine(self, version: str) -> None:
        """Set the version of dockerd; empty while dockerd has not answered."""
        build = (self._version, platform.python_version(), version)
        self._fixed = {"build_info": {build: 1.0}}

    def observe_store_call(self, op: str, seconds: float, error: str | None) -> None:
        """Count one attempt of a call to etcd; `error` is None if it succeeded."""
        self._histograms["store_request_duration_seconds"].labels(op).observe(seconds)
        if error:
            self._counters["store_errors_total"].labels(op).inc()
        else:
            self._last_contact = time.time()

    def observe_engine_call(self, call: str, seconds: float, error: str | None) -> None:  # noqa: ARG002
        """Count one request to dockerd. actions_total and docker_up show its failure."""
        self._histograms["docker_request_duration_seconds"].labels(call).observe(seconds)

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        counter = self._counters[name]
        (counter.labels(*labels) if labels else counter).inc(by)

    def time(self, name: str, seconds: float, *labels: str) -> None:
        self._histograms[name].labels(*labels).observe(seconds)

    def retain(self, name: str, wanted: Iterable[Labels]) -> None:
        """Keep exactly these series of a counter: new ones begin at zero, others are removed."""
        before, now = self._kept.get(name, frozenset()), frozenset(wanted)
        for labels in before - now:
            self._counters[name].remove(*labels)
        for labels in now - before:
            self._counters[name].labels(*labels)
        self._kept[name] = now

    def show(self, gauges: Gauges) -> None:
        """Replace all gauges in one step. A series that is not in `gauges` is no longer exposed."""
        self._shown = gauges

    def show_cluster(self, gauges: Callable[[], Gauges]) -> None:
        """Call `gauges` for those of the cluster at each scrape."""
        self._of_cluster = gauges

    def follow(self, name: str, value: Callable[[], float]) -> None:
        """Call `value` for this gauge at each scrape."""
        self._live[name] = value

    def gauges(self) -> Gauges:
        live: Gauges = {name: {(): value()} for name, value in self._live.items()}
        return {**self._fixed, **self._shown, **self._of_cluster(), **live}

    def exposition(self) -> bytes:
        return prometheus.generate_latest(self._exposed)


class _Labelled(Collector):
    """Adds constant labels to every series of ours. Those of the process have none, as everywhere."""

    def __init__(self, inner: CollectorRegistry, constant: Mapping[str, str]) -> None:
        self._inner, self._constant = inner, constant

    def collect(self) -> Iterator[Metric]:
        for family in self._inner.collect():
            if family.name.startswith(PREFIX):
                family.samples = [
                    each._replace(labels={**self._constant, **each.labels}) for each in family.samples
                ]
            yield family


class _Snapshot(Collector):
    """Exposes the current gauges at each scrape."""

    def __init__(self, gauges: Callable[[], Gauges]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[prometheus.Metric]:
        values = self._gauges()
        for metric in DEFINITIONS:
            if metric.kind == "gauge" and metric.name in values:
                family = GaugeMetricFamily(PREFIX + metric.name, metric.help, labels=metric.labels)
                for labels, value in values[metric.name].items():
                    family.add_metric(labels, value)
                yield family
