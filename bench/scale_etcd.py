"""What whole agents, each a process of its own, cost one real etcd, as lines of JSON: one size in a process.

Each process has a copy of the same LAN in memory, on which all hosts are in one swarm that the agents adopt. No engine
sees what another one does.
"""

import ctypes
import os
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

from agent import lease
from agent.config import Config, HttpSettings, LogSettings
from agent.daemon import main as daemon
from agent.daemon import wiring
from agent.diff.nodes import HOST_LABEL
from agent.intent import parse_intent
from agent.model.records import decode
from agent.model.status import HostStatus
from agent.model.store import StoreSettings
from bench.scale_document import REPLICAS, address_of, document, managers_of, name_of
from bench.scale_fakes import LargeLan
from bench.scale_table import said
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import FakeKernel
from tests.support.etcd_server import EtcdServer, free_ports
from tests.support.simulated_cluster import CLUSTER, KEYS

ADDRESSES = 256
"""What each host can give to its containers on an overlay."""
QUIET_S = 6.0
"""Without a write for so long, something is carried out."""
IDLE_S = 60.0
WITHIN_S = 900.0
TICK_S = 0.25
PR_SET_PDEATHSIG = 1


class Used(NamedTuple):
    """What was used so far."""

    sent: float
    """Bytes that etcd has sent to its clients."""
    puts: float
    etcd_s: float
    """Processor seconds."""
    agents_s: float

    def since(self, before: "Used") -> "Used":
        return Used(*(now - then for now, then in zip(self, before, strict=True)))


# ---- the agents


def lan_of(hosts: int, text: str) -> tuple[LargeLan, list[FakeEngine]]:
    """Hosts in one swarm with the overlays of the document."""
    intent = parse_intent(text.encode(), 1)
    lan = LargeLan(registry={each.spec.image for each in intent.services})
    engines = [FakeEngine(name_of(each), address_of(each), lan, cluster=CLUSTER) for each in range(hosts)]
    for engine in engines:
        lan.adopt(engine)
    engines[0].init_swarm(advertise=engines[0].address, pool=(), mask_length=24, data_path_port=None)
    (swarm,) = lan.swarms
    for number, engine in enumerate(engines[1:], 1):
        token = swarm.tokens.manager if number < managers_of(hosts) else swarm.tokens.worker
        engine.join_swarm(advertise=engine.address, remotes=[f"{engines[0].address}:2377"], token=token)
    for member in swarm.members:
        member.labels[HOST_LABEL] = member.host.name
    for network in intent.networks:
        swarm.add_network(network)
    return lan, engines


def fork(engine: FakeEngine, lan: LargeLan, endpoint: str, port: int, directory: Path) -> int:
    """Start an agent as a process that ends with this one; returns its pid."""
    if pid := os.fork():
        return pid
    lan.alone = True
    lan.first_address = list(lan.members).index(engine.address) * ADDRESSES
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        _run(engine, endpoint, port, directory)
    finally:
        os._exit(1)


def _run(engine: FakeEngine, endpoint: str, port: int, directory: Path) -> NoReturn:
    directory.mkdir()
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    wiring.DockerEngine = lambda *_: engine  # type: ignore[assignment, attr-defined]
    wiring.LinuxKernel = lambda: FakeKernel(engine)  # type: ignore[assignment, attr-defined, misc]
    lease.boot_id = lambda: f"boot of {engine.name}"
    lease.machine_id = lambda: f"machine of {engine.name}"
    config = Config(
        cluster=CLUSTER,
        host=engine.name,
        store=StoreSettings(endpoints=(endpoint,)),
        http=HttpSettings(listen=f"127.0.0.1:{port}"),
        log=LogSettings(level="warning"),
        state_directory=str(directory),
    )
    daemon.run(config)


# ---- what they use


class Cluster:
    """An etcd and the agents on it."""

    def __init__(self, etcd: EtcdServer, pids: dict[str, int]) -> None:
        self.etcd, self.pids = etcd, pids
        self._ended_s = 0.0

    def used(self) -> Used:
        metrics = self._metrics()
        agents_s = sum(map(processor_s, self.pids.values())) + self._ended_s
        return Used(
            metrics["etcd_network_client_grpc_sent_bytes_total"],
            metrics["etcd_debugging_mvcc_put_total"],
            processor_s(self.etcd.pid),
            agents_s,
        )

    def until_quiet(self, least: float) -> None:
        """Wait until there are `least` puts in all and then none for `QUIET_S`. Raises AssertionError."""
        puts = self.puts()
        end, since = time.monotonic() + WITHIN_S, time.monotonic()
        while time.monotonic() - since < QUIET_S or puts < least:
            time.sleep(TICK_S)
            self.check()
            now = self.puts()
            if now != puts:
                puts, since = now, time.monotonic()
            assert time.monotonic() < end, f"not quiet within {WITHIN_S:.0f} s"

    def leader(self) -> str:
        """The host whose lock etcd has; empty: none."""
        found = self.etcd.ctl("get", "--print-value-only", KEYS.leader)
        return next((name for name in self.pids if f'"{name}"' in found), "")

    def end(self, name: str) -> None:
        """Stop an agent as systemd does."""
        self._ended_s += processor_s(self.pids[name])
        pid = self.pids.pop(name)
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)

    def check(self) -> None:
        """Raise AssertionError when an agent has ended."""
        for name, pid in self.pids.items():
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self.pids[name]
                raise AssertionError(f"the agent of {name} has ended with {status}")

    def running(self) -> int:
        """Replicas that hosts report as running."""
        texts = (self.etcd.ctl("get", "--print-value-only", KEYS.status(each)) for each in self.pids)
        reports = (decode(HostStatus, each.strip().encode()) for each in texts if each.strip())
        return sum(found.status == "running" for each in reports for found in each.replicas)

    def puts(self) -> float:
        """Puts since etcd started, those before a measure too."""
        return self._metrics()["etcd_debugging_mvcc_put_total"]

    def _metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"{self.etcd.endpoint}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.split() for line in lines if not line.startswith("#") and "{" not in line)
        return {name: float(value) for name, value in pairs}


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def started(directory: Path, hosts: int, text: str) -> Iterator[Cluster]:
    """An etcd and one agent per host, all of which end."""
    lan, engines = lan_of(hosts, text)
    etcd, ports = EtcdServer(directory / "etcd"), free_ports(hosts)
    cluster = Cluster(etcd, {})
    try:
        etcd.start()
        for engine, port in zip(engines, ports, strict=True):
            cluster.pids[engine.name] = fork(engine, lan, etcd.endpoint, port, directory / engine.name)
        yield cluster
    finally:
        for pid in cluster.pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        etcd.kill()


# ---- what is measured


def main(_part: str, size: str, _most_s: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    hosts = int(size)
    text = document(hosts)
    with (
        tempfile.TemporaryDirectory() as directory,
        started(Path(directory), hosts, text) as cluster,
    ):
        nothing = Used(0, 0, 0, 0)
        cluster.until_quiet(hosts)  # some agents have written already
        report("start", hosts, nothing, cluster.used())
        report("first boot", hosts, *of(cluster, hosts, lambda: put(cluster, text)))
        said("first boot: replicas that run, percent", cluster.running() / (hosts * REPLICAS) * 100)
        before = cluster.used()
        time.sleep(IDLE_S)
        report("idle for 60 s", hosts, before, cluster.used())
        report("a comment is edited", hosts, *of(cluster, 1, lambda: put(cluster, f"{text}# edited\n")))
        leader = cluster.leader()
        report("the leader ends", hosts, *of(cluster, 1, lambda: cluster.end(leader)))
        said("the leader ends: there is another one", float(cluster.leader() not in ("", leader)))


def put(cluster: Cluster, text: str) -> None:
    cluster.etcd.ctl("put", KEYS.intent, text)


def of(cluster: Cluster, least: int, act: Callable[[], None]) -> tuple[Used, Used]:
    """What was used before `act`, and when its consequences are carried out."""
    before = cluster.used()
    return before, phase(cluster, least, act)


def phase(cluster: Cluster, least: int, act: Callable[[], None]) -> Used:
    before = cluster.puts()  # an agent may write before `act` returns
    act()
    cluster.until_quiet(before + least)
    return cluster.used()


def report(what: str, hosts: int, before: Used, after: Used) -> None:
    used = after.since(before)
    said(f"{what}: MB read", used.sent / 1e6)
    said(f"{what}: puts", used.puts)
    said(f"{what}: etcd, seconds of processor", used.etcd_s)
    said(f"{what}: each agent, seconds of processor", used.agents_s / hosts)


if __name__ == "__main__":
    main(*sys.argv[1:])
