"""One host with a real dockerd and a whole agent, which may be killed after any step; an operator at its keyboard."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from agent.model.plan import Plan, Step
from agent.model.records import Verdict, decode
from agent.model.status import HostStatus
from agent.model.store import KeyRange, Put
from tests.contract.field_host import HOST, Machine
from tests.fakes.store import FakeClock, FakeEtcd, FakeStore
from tests.support.docker_daemon import DockerDaemon
from tests.support.simulated_cluster import KEYS, Crash, SimulatedAgent, SimulatedHost

PROJECT = "prod"
WITHIN = 80


class OneHost:
    """The host. Its disk and its dockerd outlive its agents."""

    def __init__(self, daemon: DockerDaemon, directory: Path) -> None:
        self._daemon, self._clock, self._runs = daemon, FakeClock(), 0
        self._etcd = FakeEtcd(self._clock)
        self._operator = FakeStore(self._etcd)
        self._machine = Machine(daemon, directory)
        self.hands = daemon.client()
        self.steps: list[Step] = []
        """Every step that was carried out."""
        self.kills = 0
        self.agent = self.restarted()

    def close(self) -> None:
        self._machine.engine.close()
        self.hands.close()

    def put(self, services: Mapping[str, Any], hosts: Mapping[str, Any] | None = None, **top: Any) -> None:
        """Put a document with these services, which run on this host if they do not say otherwise."""
        named = {HOST: {"address": self._daemon.address, "role": "manager"}, **(hosts or {})}
        policy = {"allow_network_recreate": True}
        bridge = {"subnet": "172.21.0.0/20"}
        document = {
            "name": PROJECT,
            "x-cluster": {"version": 1, "hosts": named, "gwbridge": bridge, "policy": policy},
            "services": {name: {"x-hosts": [HOST], **each} for name, each in services.items()},
            **top,
        }
        self._operator.txn([], [Put(key=KEYS.intent, value=yaml.dump(document).encode())])

    def turn(self) -> None:
        """One pass. A kill in it is followed by another agent on the same disk."""
        try:
            self.agent.turn()
        except Crash:
            self.kills += 1
            self.agent = self.restarted()
        self._clock.advance(1.0)

    def settle(self, *, kill_after: int | None = None) -> None:
        """Go on until there is nothing to do. With `kill_after`, kill the agent after so many steps on containers."""
        left = kill_after

        def after(step: Step) -> None:
            nonlocal left
            self.steps.append(step)
            if left is not None and step.kind == "container":
                left -= 1
                if left == 0:
                    raise Crash

        for _ in range(WITHIN):
            self.agent.after = after
            self.turn()
            agent = self.agent
            busy = agent.plan.steps or agent.plan.waiting or agent.dispatcher.in_flight
            if not busy and agent.leads:
                return
        raise AssertionError(f"not at rest within {WITHIN} passes:\n{self.agent.plan}\n{self.agent.failed()}")

    @property
    def plan(self) -> Plan:
        return self.agent.plan

    def status(self) -> HostStatus:
        found = self._etcd.snapshot([KeyRange(key=KEYS.status(HOST))]).get(KEYS.status(HOST))
        assert found is not None
        return decode(HostStatus, found.value)

    def verdict_revision(self) -> int:
        """Revision of the document that was judged last."""
        found = self._etcd.snapshot([KeyRange(key=KEYS.verdict)]).get(KEYS.verdict)
        assert found is not None
        return decode(Verdict, found.value).revision

    # ---- by hand

    def docker(self, *command: str) -> str:
        whole = ["docker", "--host", self._daemon.url, *command]
        done = subprocess.run(whole, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def inside(self, container: str, script: str) -> str:
        return self.docker("exec", container, "/bin/sh", "-c", script)

    def inspected(self, container: str) -> dict[str, Any]:
        return cast(dict[str, Any], self.hands.inspect_container(container))

    def containers(self) -> list[str]:
        return sorted(each["Names"][0][1:] for each in self.hands.containers(all=True))

    def restarted(self) -> SimulatedAgent:
        """Another agent on the same disk."""
        self._runs += 1
        host = cast(SimulatedHost, self._machine)
        return SimulatedAgent(host, self._etcd, self._clock, f"run-{self._runs}")
