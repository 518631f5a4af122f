"""A cluster of many hosts in a real etcd, as its agents leave it there, and a leader of it that measures itself.

Run as `python -m tests.support.large_cluster ENDPOINT DIRECTORY PASSES`, it leads and prints what that takes.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from agent.clients.etcd import EtcdStore
from agent.config import Config, DockerSettings
from agent.daemon.wiring import Agent, environment_of
from agent.intent import parse_intent
from agent.lease import campaign
from agent.model import spec
from agent.model.keys import Keys
from agent.model.records import (
    Accepted,
    Assignment,
    LeaderRecord,
    Presence,
    Replica,
    SwarmRecord,
    Verdict,
    encode,
)
from agent.model.status import BlockedReport, HostStatus, ReplicaReport
from agent.model.store import Put, SessionSettings, StoreSettings
from agent.report.status_key import encode_status

P = ParamSpec("P")
T = TypeVar("T")

CLUSTER = "large"
KEYS = Keys(CLUSTER)
REPLICAS = 20
"""Replicas of each host. There are as many services as hosts."""
HASH = "0123456789abcdef" * 4
UNIT = Path(__file__).parents[2] / "deploy/systemd/swarmkeeper.service"
_BATCH = 50


class Measured(NamedTuple):
    """What a leader took."""

    megabytes: float
    """The most memory at any time."""
    seconds: float
    """Processor time of the longest pass."""
    unreadable: int
    """Keys that it could not read in the last pass."""
    leads: bool


def settings(endpoint: str) -> StoreSettings:
    return StoreSettings(endpoints=(endpoint,), timeout_s=20.0, budget_s=60.0)


# ---- what the agents leave in etcd


def written(endpoint: str, hosts: int, error: str = "") -> None:
    """Write a settled cluster: its document accepted, and every replica assigned, running and reported.

    `error` is what each replica reports besides.
    """
    store = EtcdStore(settings(endpoint))
    text = _document(hosts)
    revision = store.txn([], [Put(key=KEYS.intent, value=text.encode())]).revision
    puts = list(_puts(text, revision, hosts, error))
    for start in range(0, len(puts), _BATCH):
        store.txn([], puts[start : start + _BATCH])
    store.close()


def _document(hosts: int) -> str:
    named = [
        f"    {_name(n)}: {{address: 10.{n // 250}.{n % 250}.9, role: {_role(n)}}}" for n in range(hosts)
    ]
    rest = f"networks: [net], deploy: {{replicas: {REPLICAS}}}"
    services = [f"  s{n}: {{image: 'registry.example/app:1.{n}', {rest}}}" for n in range(hosts)]
    return "\n".join(
        (
            "name: prod",
            "x-cluster:",
            "  version: 1",
            "  gwbridge: {subnet: 172.21.0.0/20, gateway: 172.21.0.1}",
            "  hosts:",
            *named,
            "networks:",
            "  net: {driver: overlay, attachable: true, ipam: {config: [{subnet: 10.64.0.0/16}]}}",
            "services:",
            *services,
            "",
        )
    )


def _name(number: int) -> str:
    return f"node-{number:04}"


def _role(number: int) -> str:
    return "manager" if number < len(("this", "and", "two")) else "worker"


def _puts(text: str, revision: int, hosts: int, error: str) -> Iterator[Put]:
    intent = parse_intent(text.encode(), revision)
    verdict = Verdict(revision=revision, accepted=True, accepted_revision=revision)
    yield Put(key=KEYS.accepted, value=encode(Accepted(revision=revision, document=text)))
    yield Put(key=KEYS.verdict, value=encode(verdict))
    yield Put(key=KEYS.swarm, value=encode(SwarmRecord(claimed_by=_name(0), swarm_id="swarm-1")))
    for service in intent.services:
        yield Put(key=KEYS.spec(service.spec_hash), value=spec.encode(service.spec))
    places: dict[int, list[Replica]] = {}
    for number, service in enumerate(intent.services):
        for slot in range(1, REPLICAS + 1):
            made = Replica(service=service.name, slot=slot, spec=service.spec_hash)
            places.setdefault((number + slot) % hosts, []).append(made)
    for number, replicas in places.items():
        name, own = _name(number), tuple(sorted(replicas))
        presence = Presence(instance=f"run-{number}", boot_id=f"boot-{number}", version="1", since="now")
        status = HostStatus(
            instance=presence.instance,
            at="2026-01-01T00:00:00Z",
            agent_version="1",
            engine_up=True,
            state="active",
            node_id=f"n{number}",
            swarm_id="swarm-1",
            is_manager=_role(number) == "manager",
            revision=revision,
            replicas=tuple(_report(each, error) for each in own),
            blocked=tuple(_blocked(each, error) for each in own if error),
        )
        assignment = Assignment(revision=revision, project="prod", replicas=own)
        yield Put(key=KEYS.assignment(name), value=encode(assignment))
        if number:  # the leader writes its own
            yield Put(key=KEYS.presence(name), value=encode(presence))
        yield Put(key=KEYS.status(name), value=encode_status(status))


def _report(replica: Replica, error: str = "") -> ReplicaReport:
    number = int(replica.service[1:]) * REPLICAS + replica.slot
    return ReplicaReport(
        service=replica.service,
        slot=replica.slot,
        spec=replica.spec,
        id=f"{number:064x}",
        name=f"prod-{replica.service}-{replica.slot}",
        status="running",
        health="healthy",
        started_at="2026-01-01T00:00:00.123456789Z",
        addresses=(("net", f"10.64.{number // 250}.{number % 250}"),),
        network_ids=(("net", f"{number:025x}"),),
        image=f"sha256:{HASH}",
        steady=True,
        error=error,
    )


def _blocked(replica: Replica, error: str) -> BlockedReport:
    resource = f"container/prod-{replica.service}-{replica.slot}"
    return BlockedReport(resource=resource, reason=error, kind="error", attempts=3)


def forged_status(number: int, size: int) -> bytes:
    """Return a status of about `size` bytes that can be decoded."""
    one = _report(Replica(service=f"s{number}", slot=1, spec=HASH))
    count = size // len(encode(HostStatus(instance="", at="", agent_version="", replicas=(one,)), terse=True))
    reports = tuple(replace(one, slot=slot) for slot in range(1, count + 1))
    return encode(HostStatus(instance="x", at="now", agent_version="1", replicas=reports), terse=True)


# ---- a leader of it


def measured(endpoint: str, directory: Path, passes: int = 3) -> Measured:
    """Return what a leader takes, as a process of its own with the environment of the systemd unit."""
    line = next(each for each in UNIT.read_text().splitlines() if each.startswith("Environment=MALLOC"))
    variables = dict(each.split("=", 1) for each in line.removeprefix("Environment=").split())
    command = [sys.executable, "-m", "tests.support.large_cluster", endpoint, str(directory), str(passes)]
    done = subprocess.run(
        command, env={**os.environ, **variables}, check=True, capture_output=True, text=True
    )
    return Measured(*json.loads(done.stdout.splitlines()[-1]))


class _NoPool(Executor):
    """Carries nothing out: the measured leader changes nothing."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return Future()


def main(endpoint: str, directory: str, passes: str) -> None:
    config = Config(
        cluster=CLUSTER,
        host=_name(0),
        store=settings(endpoint),
        docker=DockerSettings(url=f"unix://{directory}/no-docker.sock"),
        session=SessionSettings(ttl_s=600.0),
        state_directory=directory,
    )
    environment = environment_of(config)
    agent = Agent(config, replace(environment, new_pool=lambda *_: _NoPool()))
    agent.session.run_once()
    assert agent.session.lease_id is not None
    lock = encode(LeaderRecord(host=config.host, since="now"))
    campaign(environment.store, KEYS.leader, lock, agent.session.lease_id)
    longest = 0.0
    for _ in range(int(passes)):
        began = time.process_time()
        agent.loop.run_pass(frozenset({"measured"}))
        longest = max(longest, time.process_time() - began)
        agent.session.run_once()
    cluster = agent.observer.observe().cluster
    # Not ru_maxrss, which a process takes over from the one that started it.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    unreadable = len(cluster.unreadable) if cluster else -1
    agent.session.close()
    sys.stdout.write(f"{json.dumps([int(peak) / 1024, longest, unreadable, agent.loop.fence is not None])}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
