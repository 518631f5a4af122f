"""bench/containers: a hundred replicas on one host: their first start, an unchanged pass, an edit of ten of them."""

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from bench import hundred
from bench.engine_events import all_running, listening
from bench.hundred import COUNT, NEW, OLD, SERVICES, Compose
from bench.lab_session import NAME, benchmark_lab
from bench.playbook import WORK
from bench.run_bootstrap import keep_journals, load
from bench.statistics import Series, Target, table, verdicts
from bench.upkeep import Upkeep, between_passes, measure, wait_quiet
from integration.cluster import Cluster, running_on
from integration.lab.host import Host

FLOOR, COMPOSE, OURS = "docker run", "docker-compose", "Swarmkeeper"
START = (Target(of=OURS, against=FLOOR, at_most=1.2),)
UNCHANGED = (Target(of=OURS, against=COMPOSE, at_most=0.1),)
NO_OPS = 3
WATCHED_S = 90.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Bench:
    """One host with an agent, and what was measured on it."""

    def __init__(self, host: Host, cluster: Cluster, watched_s: float) -> None:
        self.host, self.cluster, self._watched_s = host, cluster, watched_s
        self.started: dict[str, list[float]] = {FLOOR: [], COMPOSE: [], OURS: []}
        self.unchanged: dict[str, list[float]] = {COMPOSE: [], OURS: []}
        self.touched: list[int] = []

    def round(self, number: int) -> None:
        """Each of them once, from a host without containers to one again."""
        self._start(number, FLOOR, frozenset(f"bench-{each}" for each in range(1, COUNT + 1)),
                    partial(hundred.floor, self.host))  # fmt: skip
        hundred.clear(self.host)
        self._compose(number)
        self._ours(number)

    def _compose(self, number: int) -> None:
        compose = Compose(self.host)
        began = time.monotonic()
        compose.run("up", "--detach")
        self.started[COMPOSE].append(time.monotonic() - began)
        for _ in range(NO_OPS):
            daemon = hundred.daemon_used_s(self.host)
            used = compose.run("up", "--detach")
            daemon = hundred.daemon_used_s(self.host) - daemon
            self.unchanged[COMPOSE].append(used)
            self._tell(
                number, COMPOSE, f"up of what is up: {used:.2f} s of processor, dockerd {daemon:.2f} s"
            )
        compose.run("down", "--timeout", "1")

    def _ours(self, number: int) -> None:
        revisions: list[int] = []
        put = partial(self.cluster.put, hundred.document())
        self._start(number, OURS, hundred.names(), lambda: revisions.append(put()))
        self.cluster.wait_converged(revisions[0], hundred.WITHIN_S)
        wait_quiet(self.cluster)
        daemon = hundred.daemon_used_s(self.host)
        (watched,) = measure(self.cluster, self._watched_s)
        daemon = hundred.daemon_used_s(self.host) - daemon
        self._tell_upkeep(number, watched, daemon, between_passes(self.cluster, self.host))
        before = self._identity()
        self.cluster.wait_converged(self.cluster.put(hundred.document(NEW)), hundred.WITHIN_S)
        self.touched.append(len(self._identity() - before))
        self._tell(number, OURS, f"an edit of {COUNT // SERVICES} replicas touched {self.touched[-1]}")
        self.cluster.wait_converged(self.cluster.put(hundred.NOTHING), hundred.WITHIN_S)

    def _start(self, number: int, name: str, wanted: frozenset[str], go: Callable[[], object]) -> None:
        with listening([self.host]) as listener:
            began_ns = time.time_ns()
            go()
            found = partial(all_running, wanted={self.host.name: wanted})
            ended_ns = listener.wait_for(found, hundred.WITHIN_S, f"{name}: every container runs")
        self.started[name].append((ended_ns - began_ns) / 1e9)
        self._tell(number, name, f"{COUNT} containers run after {self.started[name][-1]:.2f} s")

    def _tell_upkeep(self, number: int, watched: Upkeep, daemon_s: float, between: float) -> None:
        """`between` is what the agent uses in a second without a pass: compose has no lease to renew."""
        passes = sum(watched.passes.values())
        self.unchanged[OURS].append(max(0.0, watched.cpu_s - between * watched.seconds) / passes)
        calls = sum(watched.docker.values())
        said = (
            f"{passes:.0f} unchanged passes in {watched.seconds:.0f} s: {watched.cpu_s:.2f} s of processor, "
            f"of which {between * watched.seconds:.2f} s without a pass, too"
        )
        self._tell(
            number, OURS, f"{said}, dockerd {daemon_s:.2f} s, {calls:.0f} calls, {watched.rss_mb:.0f} MB"
        )

    def _identity(self) -> set[tuple[str, str]]:
        return {(each.id, each.started_at) for each in running_on(self.host, everything=True)}

    def _tell(self, number: int, name: str, said: str) -> None:
        print(f"round {number}  {name:14} {said}   (load of the machine: {load()})", flush=True)

    def report(self) -> None:
        for title, found, targets in (
            ("from nothing to every container running", self.started, START),
            ("processor of the client alone, for what is as it should be", self.unchanged, UNCHANGED),
        ):
            series = [Series(name=name, values_s=tuple(values)) for name, values in found.items()]
            print(f"\n{title}\n{table(series)}\n{verdicts(series, targets)}")
        wanted = COUNT // SERVICES
        reached = "reached" if set(self.touched) == {wanted} else "MISSED"
        print(f"\nan edit of {wanted} replicas touched {self.touched} (exactly {wanted}: {reached})")


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each contender starts from nothing.")] = 3,
    idle: Annotated[float, typer.Option(min=30, help="Seconds to watch the unchanged replicas.")] = WATCHED_S,
    lab: Annotated[str, typer.Option(help="Name of the lab to make and to remove.")] = NAME,
    log_level: Annotated[str, typer.Option(help="Of the agent; journals go to build/bench/.")] = "info",
) -> None:
    """Measure what a hundred replicas on one host cost, and compare."""
    with benchmark_lab(lab, hosts=["node-231"]) as hosts:
        host, cluster = hosts.hosts[0], Cluster(hosts, log_level)
        cluster.install_and_start()
        cluster.wait_converged(cluster.put(hundred.NOTHING), 120)
        for tag in (OLD, NEW):
            host.exec("docker", "pull", f"{hundred.IMAGE}:{tag}")
        bench = Bench(host, cluster, idle)
        try:
            for number in range(1, rounds + 1):
                bench.round(number)
        finally:
            keep_journals(hosts, WORK / "containers")
        bench.report()


if __name__ == "__main__":
    app()
