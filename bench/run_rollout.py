"""bench/rollout: four replicas get a new version under traffic, by Swarmkeeper and by docker service update."""

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import docker.errors
import typer
from docker import APIClient

from bench.environment import ROOT, install
from bench.run_agent import PYTHON, agent, network_of, unit_environment
from bench.run_bootstrap import load
from bench.statistics import Series, ratio, table
from bench.traffic import Count, count, traffic
from tests.support.docker_daemon import BARE, DockerDaemon, load_images
from tests.support.docker_daemon import running as running_docker
from tests.support.etcd_server import EtcdServer, eventually
from tests.support.etcd_server import running as running_etcd

Order = Literal["stop-first", "start-first"]
ORDERS: tuple[Order, ...] = ("stop-first", "start-first")
REPLICAS = 4
TAIL_S = 2.0
"""Seconds after a rollout that count, too."""
WITHIN_S = 120.0
LABEL = "bench.rollout"
SERVER = "trap exit TERM; env >/srv/index.html; sleep {}; busybox httpd -f -p 8080 -h /srv & wait"
"""Listens some seconds after its start, and ends at once on SIGTERM."""
CHECK = "busybox wget -q -O /dev/null http://127.0.0.1:8080/"
INTENT = "/swarmkeeper/bench/intent"

HEAD = """\
name: bench
x-cluster:
  version: 1
  hosts: {{h1: {{address: {address}, role: manager}}}}
  gwbridge: {{subnet: 172.21.0.0/20}}
networks:
  net: {{name: net, attachable: true, ipam: {{config: [{{subnet: 10.10.0.0/16}}]}}}}
services:
"""
SERVICE = """\
  web:
    image: '{image}'
    command: [sh, -c, '{server}']
    environment: {{VERSION: '{version}'}}
    labels: {{{label}: ours}}
    networks: [net]
    healthcheck: {{test: [CMD-SHELL, '{check}'], interval: 1s, timeout: 1s, retries: 3, start_period: 10s}}
    x-hosts: {{h1: {replicas}}}
    deploy: {{update_config: {{order: {order}, parallelism: 1, monitor: 1s}}}}
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The one host: its engine with a client of it, its etcd, and the network of a container that asks."""

    docker: DockerDaemon
    client: APIClient
    etcd: EtcdServer
    network: Path
    server: str
    """What a replica runs."""


class Contender(ABC):
    """Who rolls out. `name` is what the clients ask for, `label` the value of LABEL on its containers."""

    title: str
    name: str
    label: str

    def __init__(self, host: Host, order: Order) -> None:
        self.host, self.order = host, order

    @property
    def key(self) -> str:
        return f"{self.title}, {self.order}"

    @abstractmethod
    def create(self) -> None:
        """Ask for the replicas, of version 1."""

    @abstractmethod
    def update(self) -> None:
        """Ask for version 2."""

    @abstractmethod
    def remove(self) -> None:
        """Ask for none."""

    def runs(self, version: int) -> bool:
        """Return True if the replicas are there, in good health, and nothing of another version."""
        found = self.containers()
        return len(found) == REPLICAS and all(
            f"VERSION={version}" in each["Config"]["Env"]
            and each["State"].get("Health", {}).get("Status") == "healthy"
            for each in found
        )

    def containers(self) -> list[dict[str, Any]]:
        client, found = self.host.client, []
        for each in client.containers(filters={"label": f"{LABEL}={self.label}"}):
            with contextlib.suppress(docker.errors.NotFound):
                found.append(client.inspect_container(each["Id"]))
        return found


class Swarmkeeper(Contender):
    """A document in etcd. The name of the service stands for the addresses of its replicas."""

    title, name, label = "Swarmkeeper", "web", "ours"

    def create(self) -> None:
        self._put(1)

    def update(self) -> None:
        self._put(2)

    def remove(self) -> None:
        self.host.etcd.ctl("put", INTENT, HEAD.format(address=self.host.docker.address) + "  {}\n")

    def _put(self, version: int) -> None:
        service = SERVICE.format(
            image=BARE,
            server=self.host.server,
            version=version,
            label=LABEL,
            check=CHECK,
            replicas=REPLICAS,
            order=self.order,
        )
        self.host.etcd.ctl("put", INTENT, HEAD.format(address=self.host.docker.address) + service)


class Service(Contender):
    """`docker service update`, of a service without a virtual address."""

    title, name, label = "docker service update, dnsrr", "theirs", "theirs"
    endpoint = "dnsrr"

    def create(self) -> None:
        self._docker(
            *("service", "create", "--detach", "--no-resolve-image", "--quiet", "--name", self.name),
            *("--network", "net", "--endpoint-mode", self.endpoint, "--replicas", str(REPLICAS)),
            *("--container-label", f"{LABEL}={self.label}", "--env", "VERSION=1"),
            *("--health-cmd", CHECK, "--health-interval", "1s", "--health-timeout", "1s"),
            *("--health-retries", "3", "--health-start-period", "10s"),
            *("--update-order", self.order, "--update-parallelism", "1", "--update-monitor", "1s"),
            *(BARE, "sh", "-c", self.host.server),
        )

    def update(self) -> None:
        self._docker(
            "service", "update", "--detach", "--no-resolve-image", "--env-add", "VERSION=2", self.name
        )

    def remove(self) -> None:
        self._docker("service", "rm", self.name)

    def _docker(self, *arguments: str) -> None:
        command = ["docker", "--host", self.host.docker.url, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=WITHIN_S)


class VirtualAddress(Service):
    """The same with a virtual address, as Swarm's services have one by default."""

    title, endpoint = "docker service update, vip", "vip"


@contextlib.contextmanager
def one_host(starts_s: float) -> Iterator[Host]:
    """Run an engine, an etcd and an agent, and a container on the overlay."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-rollout-", dir="/var/tmp") as name,
        contextlib.ExitStack() as stack,
    ):
        directory = Path(name)
        engine = stack.enter_context(running_docker(DockerDaemon(directory / "docker")))
        load_images(engine)
        client = stack.enter_context(contextlib.closing(engine.client()))
        stack.enter_context(network_of(engine.pid))
        etcd = stack.enter_context(running_etcd(EtcdServer(directory / "etcd")))
        etcd.ctl("put", INTENT, HEAD.format(address=engine.address) + "  {}\n")
        stack.enter_context(agent(directory, etcd, engine, unit_environment()))
        try:
            eventually(lambda: client.networks(names=["net"]), WITHIN_S, "the overlay is there")
            asking = client.create_container(
                BARE, ["sleep", "100000"], host_config=client.create_host_config(network_mode="net")
            )
            client.start(asking)
            key = client.inspect_container(asking)["NetworkSettings"]["SandboxKey"]
            network = Path(f"/proc/{engine.pid}/root{key}")
            server = SERVER.format(f"{starts_s:g}")
            yield Host(docker=engine, client=client, etcd=etcd, network=network, server=server)
        except BaseException as error:
            error.add_note((directory / "log").read_text()[-3000:])
            raise


def one_rollout(contender: Contender, number: int) -> tuple[float, Count]:
    """Create the replicas, replace them under traffic, and remove them. Return the seconds, and the requests."""
    contender.create()
    eventually(lambda: contender.runs(1), WITHIN_S, f"{contender.key}: version 1 runs")
    try:
        with traffic(contender.host.network, contender.name) as seen:
            eventually(lambda: len(seen.requests) > 100, WITHIN_S, "clients ask")
            began_s = time.monotonic()
            contender.update()
            eventually(lambda: contender.runs(2), WITHIN_S, f"{contender.key}: version 2 runs")
            took_s = time.monotonic() - began_s
            time.sleep(TAIL_S)  # requests that fail a little later are of the rollout, too
    finally:
        contender.remove()
        eventually(lambda: not contender.containers(), WITHIN_S, f"{contender.key}: nothing runs")
    before = count(seen.requests, 0.0, began_s)
    if before.failed:
        raise AssertionError(
            f"{contender.key}: {before.failed} of {before.requests} failed before the update"
        )
    found = count(seen.requests, began_s, began_s + took_s + TAIL_S)
    print(f"round {number}  {contender.key:42} {took_s:6.2f} s, {found} (load {load()})", flush=True)
    for why, times in Counter(each.why for each in seen.requests if each.why).most_common(4):
        print(f"          {times:4} x {why}", flush=True)
    return took_s, found


def report(taken: dict[str, list[tuple[float, Count]]]) -> str:
    """Return the tables."""
    series = {
        key: Series(name=key, values_s=tuple(each for each, _ in found)) for key, found in taken.items()
    }
    lines = [f"from the change until {REPLICAS} new replicas are healthy\n{table(list(series.values()))}"]
    lines.append(f"\n{'requests':42} {'all':>6} {'first address':>14} {'all addresses':>14} {'slowest':>9}")
    for key, found in taken.items():
        counts = [each for _, each in found]
        all_of_them = sum(each.requests for each in counts)
        failed, lost = sum(each.failed for each in counts), sum(each.lost for each in counts)
        slowest_s = max(each.slowest_s for each in counts)
        shares = " ".join(f"{each:5} {100 * each / all_of_them:6.2f} %" for each in (failed, lost))
        lines.append(f"{key:42} {all_of_them:6} {shares} {slowest_s:7.2f} s")
    for order in ORDERS:
        ours = series[f"{Swarmkeeper.title}, {order}"]
        peers = (series.get(f"{each.title}, {order}") for each in (Service, VirtualAddress))
        lines.extend(f"{ours.name} / {each.name} = {ratio(ours, each):.2f}" for each in peers if each)
    return "\n".join(lines)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each contender rolls out.")] = 3,
    starts: Annotated[float, typer.Option(min=0, help="Seconds until a started replica listens.")] = 1.0,
) -> None:
    """Measure how long a rollout of four replicas takes, and how many requests fail meanwhile."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as an exception, so that everything is ended
    install(PYTHON, ROOT / "requirements.lock")
    taken: dict[str, list[tuple[float, Count]]] = defaultdict(list)
    with one_host(starts) as host:
        kinds: list[type[Contender]] = [Swarmkeeper, Service]
        if Path(f"/proc/{host.docker.pid}/net/ip_vs").exists():
            kinds.append(VirtualAddress)
        else:
            print(f"{VirtualAddress.title} is not measured: this kernel has no IPVS", flush=True)
        for number in range(1, rounds + 1):
            for order in ORDERS:
                for kind in kinds:
                    contender = kind(host, order)
                    taken[contender.key].append(one_rollout(contender, number))
    print(f"\n{report(taken)}")


if __name__ == "__main__":
    app()
