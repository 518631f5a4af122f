"""What an agent costs while nothing is to be done: processor, memory, calls."""

import time
from dataclasses import dataclass

from integration.cluster import UNIT, Cluster
from integration.lab.host import Host

WATCHED_S = 60.0
TICKS_PER_S = 100  # USER_HZ, what proc(5) counts processor time in
DOCKER_CALLS = "swarmkeeper_docker_request_duration_seconds_count"
ETCD_CALLS = "swarmkeeper_store_request_duration_seconds_count"
PASSES = "swarmkeeper_reconcile_total"
QUIET_S, QUIET_TRIES = 3.0, 20  # shorter than a resync, so that one is seen as quiet
BETWEEN_S, BETWEEN_TRIES = 15.0, 8  # two resyncs are at least 27 s apart
CPU_PERCENT, RSS_MB = 0.5, 80.0

Counts = dict[str, float]
"""By the value of the series' one label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """One agent over `seconds`. Memory in MB of 1,000,000 bytes at the end; calls by name."""

    host: str
    seconds: float
    cpu_s: float
    rss_mb: float
    pss_mb: float
    passes: Counts
    docker: Counts
    etcd: Counts

    @property
    def cpu_percent(self) -> float:
        return 100 * self.cpu_s / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an agent's counters say at a monotonic moment, in seconds."""

    at: float
    cpu_s: float
    rss_mb: float
    pss_mb: float
    metrics: Counts


def wait_quiet(cluster: Cluster) -> None:
    """Return when no agent had a reason to look for some seconds. Raises AssertionError if that does not come."""
    seen: list[Counts] = []
    for _ in range(QUIET_TRIES):
        before, seen = seen, cluster.on_every_host(lambda host: grown(PASSES, {}, cluster.metrics(host)))
        if seen == before:
            return
        time.sleep(QUIET_S)
    raise AssertionError(f"the agents go on looking: passes {seen}")


def measure(cluster: Cluster, seconds: float) -> list[Upkeep]:
    """Watch the agents of a converged cluster for so long."""
    before = cluster.on_every_host(lambda host: read(cluster, host))
    time.sleep(seconds)  # that time passes is what is measured here
    after = cluster.on_every_host(lambda host: read(cluster, host))
    return [_between(*each) for each in zip(cluster.lab.hosts, before, after, strict=True)]


def between_passes(cluster: Cluster, host: Host) -> float:
    """Processor seconds per second of an agent that makes no pass: it renews its lease, and looks at its bridge.

    Raises AssertionError if it makes a pass all the time.
    """
    for _ in range(BETWEEN_TRIES):
        before = read(cluster, host)
        time.sleep(BETWEEN_S)  # that time passes is what is measured here
        after = read(cluster, host)
        if not grown(PASSES, before.metrics, after.metrics):
            return (after.cpu_s - before.cpu_s) / (after.at - before.at)
    raise AssertionError(f"{host.name} makes a pass in each {BETWEEN_S:.0f} s")


def read(cluster: Cluster, host: Host) -> Reading:
    # A scrape costs some milliseconds: the first one is over before the processor time is read, the last begins after.
    metrics = cluster.metrics(host)
    pid = host.systemctl("show", "--property=MainPID", "--value", UNIT)
    fields = host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return Reading(
        at=time.monotonic(),
        cpu_s=(int(fields[11]) + int(fields[12])) / TICKS_PER_S,  # utime and stime, of all threads
        rss_mb=_mb(host.read(f"/proc/{pid}/status"), "VmRSS"),
        pss_mb=_mb(host.read(f"/proc/{pid}/smaps_rollup"), "Pss"),
        metrics=metrics,
    )


def _mb(text: str, name: str) -> float:
    kib = next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:"))
    return kib * 1024 / 1e6


def _between(host: Host, before: Reading, after: Reading) -> Upkeep:
    return Upkeep(
        host=host.name,
        seconds=after.at - before.at,
        cpu_s=after.cpu_s - before.cpu_s,
        rss_mb=after.rss_mb,
        pss_mb=after.pss_mb,
        passes=grown(PASSES, before.metrics, after.metrics),
        docker=grown(DOCKER_CALLS, before.metrics, after.metrics),
        etcd=grown(ETCD_CALLS, before.metrics, after.metrics),
    )


def grown(metric: str, before: Counts, after: Counts) -> Counts:
    deltas = {
        series.removeprefix(metric).split('"')[1]: value - before.get(series, 0)
        for series, value in after.items()
        if series.startswith(f"{metric}{{")
    }
    return {label: by for label, by in sorted(deltas.items()) if by}


def report(upkeeps: list[Upkeep]) -> str:
    """A line per agent, then what it called, then the targets."""
    lines = ["agent      CPU s  CPU %  RSS MB  PSS MB  passes  docker calls  etcd calls"]
    lines += [_line(each) for each in upkeeps]
    lines += [f"{each.host} docker: {_calls(each.docker)}; etcd: {_calls(each.etcd)}" for each in upkeeps]
    cpu, rss = max(each.cpu_percent for each in upkeeps), max(each.rss_mb for each in upkeeps)
    lines.append(f"at most {cpu:.2f} % of a core (under {CPU_PERCENT:g}: {_outcome(cpu < CPU_PERCENT)})")
    lines.append(f"at most {rss:.1f} MB resident (under {RSS_MB:g}: {_outcome(rss < RSS_MB)})")
    return "\n".join(lines)


def _line(upkeep: Upkeep) -> str:
    passes, docker, etcd = (sum(each.values()) for each in (upkeep.passes, upkeep.docker, upkeep.etcd))
    return (
        f"{upkeep.host:9} {upkeep.cpu_s:6.2f} {upkeep.cpu_percent:6.2f} {upkeep.rss_mb:7.1f} {upkeep.pss_mb:7.1f}"
        f" {passes:7.0f} {docker:13.0f} {etcd:11.0f}"
    )


def _calls(calls: Counts) -> str:
    return ", ".join(f"{name} {count:.0f}" for name, count in calls.items()) or "none"


def _outcome(reached: bool) -> str:
    return "reached" if reached else "MISSED"
