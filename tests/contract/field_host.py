"""One host whose dockerd is real, with a whole agent on it, driven pass by pass; an operator at its keyboard."""

import subprocess
import time
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, cast

from agent.admission.policy import level_policy
from agent.clients.docker import DockerEngine
from agent.clients.kernel import LinuxKernel
from agent.diff.container import create_request, fill
from agent.diff.container.table import SHAPE, SPEC
from agent.diff.replicas import container_name, fill_context
from agent.model.host_state import ContainerState, LinkState, SwarmState
from agent.model.records import Replica
from agent.model.store import Put
from tests.contract.field_cases import BASE, PROJECT, Case
from tests.fakes.store import FakeClock, FakeEtcd, FakeStore
from tests.support.docker_daemon import DockerDaemon
from tests.support.simulated_cluster import KEYS, PlainSeal, SimulatedAgent, SimulatedHost, parsed

HOST = "h"
DEVICE = next((str(each) for each in sorted(Path("/dev").iterdir()) if each.is_block_device()), "/dev/vda")
_WITHIN = 60
_NO_CHANGE = ("exec_", "health_status", "top")
"""What dockerd tells of its own healthchecks."""


class _Kernel(LinuxKernel):
    """Of a host on which nothing but docker has an address."""

    def __init__(self, engine: DockerEngine, address: str) -> None:
        super().__init__()
        self._engine, self._address = engine, address

    def link(self, name: str) -> LinkState | None:
        made = any(each.name == name for each in self._engine.networks())
        return LinkState(address=IPv4Interface("172.21.0.1/20"), up=True) if made else None

    def addresses(self) -> tuple[tuple[IPv4Interface, str], ...]:
        return ((IPv4Interface(f"{self._address}/24"), "lan"),)

    def routes(self) -> tuple[tuple[IPv4Network, str], ...]:
        return ()

    def lacks_sysctl(self, name: str) -> bool:
        return False

    def listening(self) -> tuple[str, ...]:
        return ()

    def real_path(self, path: str) -> str | None:
        return path


class Machine:
    """What SimulatedAgent asks of a host."""

    name, machine_id, boot_id = HOST, "machine", "boot"
    admission = level_policy("unrestricted")

    def __init__(self, daemon: DockerDaemon, directory: Path) -> None:
        self.directory = directory
        self.engine = DockerEngine(daemon.url, 20.0, "prod")
        self.kernel = _Kernel(self.engine, daemon.address)
        self.new_seal = PlainSeal


class FieldHost:
    """A host with a service for each case."""

    def __init__(self, daemon: DockerDaemon, directory: Path, cases: Iterable[Case]) -> None:
        self.cases = tuple(cases)
        self._directory, self._daemon = directory, daemon
        for name in ("token", "app"):
            (directory / name).write_text("s3cret")
        self._clock = FakeClock()
        etcd = FakeEtcd(self._clock)
        self._operator = FakeStore(etcd)
        self._machine = Machine(daemon, directory)
        host = cast(SimulatedHost, self._machine)
        self.agent = SimulatedAgent(host, etcd, self._clock, "run-1")
        self.hands = daemon.client()
        self._document = ""

    def close(self) -> None:
        self._machine.engine.close()
        self.hands.close()

    # ---- what is done

    def put(self, value: str) -> None:
        """Put the document in which each case has its value of that name: first, same or second."""
        self._document = self._written(value)
        self._operator.txn([], [Put(key=KEYS.intent, value=self._document.encode())])

    def turn(self) -> None:
        self.agent.turn()
        self._clock.advance(1.0)

    def settle(self) -> None:
        """Go on until there is nothing to do and nothing under way."""
        for _ in range(_WITHIN):
            self.turn()
            if not self.agent.plan.steps and not self.agent.dispatcher.in_flight and self.agent.leads:
                return
        raise AssertionError(
            f"not at rest within {_WITHIN} passes:\n{self.agent.plan}\n{self.agent.failed()}"
        )

    def by_hand(self) -> None:
        """Do to each container what somebody might."""
        for case in self.cases:
            if case.by_hand:
                self._docker(case.by_hand.replace("NAME", case.container))
        for service in dict.fromkeys(each.service for each in self.cases if not each.by_hand):
            self._make_otherwise(service)

    def _docker(self, words: str) -> None:
        command = ["docker", "--host", self._daemon.url, *words.split()]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{words}: {done.stderr}"

    # ---- what is there

    def inspected(self) -> dict[str, dict[str, Any]]:
        """Every container of ours by name."""
        found = [self.hands.inspect_container(each["Id"]) for each in self.hands.containers(all=True)]
        return {each["Name"][1:]: each for each in found}

    def ids(self) -> dict[str, str]:
        return {name: each["Id"] for name, each in self.inspected().items()}

    def seen(self) -> dict[str, ContainerState]:
        """What a pass sees of each case's container, by service."""
        host = self.agent.observer.observe().host
        assert host is not None
        return {each.replica.service: each for each in host.containers if each.replica.slot == 1}

    def told(self) -> dict[str, list[str]]:
        """What is said of each service's container, in the words of plan and status."""
        return {
            service: [*map(str, found.differences), *_beside(found)] for service, found in self.seen().items()
        }

    def events(self, since: float) -> list[str]:
        """What has happened to containers and networks since then, in seconds since the epoch."""
        # Its types know whole seconds only; dockerd takes fractions.
        raw = cast(Any, self.hands).events(since=f"{since:.9f}", until=f"{time.time():.9f}", decode=True)
        told = [f"{each['Type']} {each['Action']} {each['Actor']['Attributes'].get('name')}" for each in raw]
        return [each for each in told if not each.split()[1].startswith(_NO_CHANGE)]

    # ----

    def _make_otherwise(self, service_name: str) -> None:
        name = f"{PROJECT}-{service_name}-1"
        labels = self.hands.inspect_container(name)["Config"]["Labels"]
        intent = parsed(self._written("second"))
        service = intent.service(service_name)
        assert service is not None
        replica = Replica(service=service_name, slot=1, spec=labels[SPEC])
        spec = fill(service.spec, fill_context(intent, HOST, SwarmState(local="inactive"), replica))
        request = create_request(spec, replica, project=PROJECT, cluster="prod", name=name)
        request.body["Labels"][SHAPE] = labels[SHAPE]
        self.hands.remove_container(name, force=True, v=True)
        self._machine.engine.create_container(request)

    def _written(self, value: str) -> str:
        return document(self.cases, value, self._daemon.address, self._directory)


def document(cases: Sequence[Case], value: str, address: str, files: Path) -> str:
    """An intent in which each case has its value of that name: first, same or second."""
    head = (
        f"name: {PROJECT}\n"
        f"x-cluster:\n  version: 1\n  hosts: {{{HOST}: {{address: {address}, role: manager}}}}\n"
        "  gwbridge: {subnet: 172.21.0.0/20}\n"
        "networks:\n"
        "  net: {driver: bridge, ipam: {config: [{subnet: 10.20.0.0/24}]}}\n"
        "  other: {driver: bridge, ipam: {config: [{subnet: 10.21.0.0/24}]}}\n"
        "volumes: {data: }\n"
        f"secrets: {{token: {{file: {files}/token}}}}\n"
        f"configs: {{app: {{file: {files}/app}}}}\n"
        "services:\n"
    )
    names = dict.fromkeys(each.service for each in cases)
    services = "".join(_service(name, _lines(cases, name, value)) for name in names)
    return (head + services).replace("DEVICE", DEVICE)


def _lines(cases: Sequence[Case], service: str, value: str) -> list[str]:
    """`key: value` of all cases of a service."""
    said = [f"{each.beside}\n{getattr(each, value)}" for each in cases if each.service == service]
    return [line for each in said for line in each.split("\n") if line and not line.endswith(": ")]


def _beside(found: ContainerState) -> list[str]:
    """What no field says: that it does not run, or has another name."""
    name = container_name(PROJECT, found.replica)
    return [found.status, *([f"name: {name} wanted, {found.name} found"] if name != found.name else [])]


def _service(name: str, lines: list[str]) -> str:
    said = {**BASE, "x-hosts": f"[{HOST}]", **dict(each.split(": ", 1) for each in lines)}
    if "networks" in said:
        del said["network_mode"]
    return f"  {name}:\n" + "".join(f"    {key}: {each}\n" for key, each in said.items())
