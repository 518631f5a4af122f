"""Whole agents on hosts in memory, driven by what wakes them: watches, steps that end, events of engines, time.

The clock is simulated. A pass keeps its agent busy for the processor seconds that it took. An agent whose passes take
longer than what wakes it therefore makes them back to back, as a real one does.
"""

import gc
import heapq
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import tests.support.simulated_cluster as simulated
from agent.daemon import wiring
from agent.daemon.triggers import Triggers, WakeUps
from agent.intent import parse_intent
from agent.model import spec
from agent.model.intent import Intent
from agent.model.records import Accepted, Assignment, Replica, Verdict, decode, encode
from agent.model.store import KeyRange, KeyValue, Put
from bench.scale_document import REPLICAS, address_of, document, managers_of, name_of
from bench.scale_fakes import OUTSIDE, CountedStore, LargeEtcd, LargeLan, Timed, install
from tests.fakes.etcd import FakeClock
from tests.fakes.store import FakeStore
from tests.support.simulated_cluster import KEYS, SimulatedAgent, SimulatedHost

STEP_S = 0.5
"""Seconds that the steps of one pass take together."""
NODE_DOWN_S = 15.0
"""Seconds after which the managers call a node down: three of its heartbeats are missing then."""
_BATCH = 50


class Look(NamedTuple):
    """What one pass took."""

    name: str
    at: float
    seconds: float
    """Processor time of the agent itself, without the engine and the etcd in memory."""
    read_bytes: int
    leads: bool
    reasons: frozenset[str]


class ToldWakeUps(WakeUps):
    """Tells the simulation when the loop is to look."""

    told: Callable[[float], None] = staticmethod(lambda _: None)

    def wake(self, reason: str, delay_s: float = 0.0) -> None:
        super().wake(reason, delay_s)
        self.told(delay_s)


class _Inert:
    """A thread that is there and does nothing: the simulation does its work."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def start(self) -> None: ...

    def is_alive(self) -> bool:
        return True


class ScaleAgent(SimulatedAgent):
    """An agent with its triggers on etcd, and what its passes took."""

    store: CountedStore

    def begin(self) -> None:
        self.triggers.start(self.observer.watched())

    def until_next(self) -> float:
        """Seconds to the next pass without a wake-up."""
        return float(self.loop._until_next())

    def pass_for(self, reasons: frozenset[str]) -> Look:
        """Make one pass; what it starts waits in the pool."""
        read, outside, began = self.store.read_bytes, OUTSIDE.seconds, time.process_time()
        self.plan = self.loop.run_pass(reasons)
        taken = time.process_time() - began - (OUTSIDE.seconds - outside)
        return Look(self.name, self.clock(), taken, self.store.read_bytes - read, self.leads, reasons)


class ScaleCluster:
    """`hosts` hosts. Nothing runs before `start`; `run` lets time pass."""

    def __init__(self, directory: Path, hosts: int) -> None:
        random.seed(1)  # the jitter of the resync
        self.clock = FakeClock()
        install(self.clock)
        _install_here()
        self.etcd = LargeEtcd(self.clock)
        self.lan = LargeLan(registry=set())
        self.names = tuple(name_of(number) for number in range(hosts))
        self.managers = self.names[: managers_of(hosts)]
        self.hosts: dict[str, SimulatedHost] = {}
        for number, name in enumerate(self.names):
            host = SimulatedHost(name, address_of(number), self.lan, directory / name)
            self.lan.adopt(host.engine)
            host.engine, host.kernel = Timed(host.engine), Timed(host.kernel)  # type: ignore[assignment]
            self.hosts[name] = host
        self.agents: dict[str, ScaleAgent] = {}
        self.looks: list[Look] = []
        self._operator = FakeStore(self.etcd)
        self._queue: list[tuple[float, int, str, str]] = []
        self._numbers = itertools.count(1)
        self._busy: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._members = 0

    # ---- documents

    def document(self, services: bool = True, tag: str = "1.0.0", comment: str = "") -> str:
        """As `document` of bench.scale_document; the registry has its images from now on."""
        text = document(len(self.names), services=services, tag=tag, comment=comment)
        self.lan.registry |= simulated.images(text)
        return text

    def put_document(self, text: str) -> int:
        return self._operator.txn([], [Put(key=KEYS.intent, value=text.encode())]).revision

    def assign(self, text: str) -> None:
        """Leave in etcd what a leader leaves there that has accepted the document and placed its replicas evenly."""
        revision = self.put_document(text)
        intent = parse_intent(text.encode(), revision)
        verdict = Verdict(revision=revision, accepted=True, accepted_revision=revision)
        puts = [
            Put(key=KEYS.accepted, value=encode(Accepted(revision=revision, document=text))),
            Put(key=KEYS.verdict, value=encode(verdict)),
        ]
        puts += [Put(key=KEYS.spec(each.spec_hash), value=spec.encode(each.spec)) for each in intent.services]
        found = self.etcd.snapshot([KeyRange(key=KEYS.assignments, prefix=True)])
        for name, replicas in self._spread_evenly(intent).items():
            key = KEYS.assignment(name)
            had = found.get(key)
            assert had is not None, f"{name} has no assignment yet"
            old = decode(Assignment, had.value)
            changed: dict[str, Any] = {"replicas": tuple(sorted(replicas))}
            if hasattr(old, "revision"):
                changed["revision"] = revision
            puts.append(Put(key=key, value=encode(replace(old, **changed))))
        for start in range(0, len(puts), _BATCH):
            self._operator.txn([], puts[start : start + _BATCH])

    def _spread_evenly(self, intent: Intent) -> dict[str, list[Replica]]:
        """REPLICAS on each host: those with a place of their own, and then of each service as many."""
        found: dict[str, list[Replica]] = {name: [] for name in self.names}
        for service in intent.services:
            for slot, (name, _) in enumerate(service.placement, 1):
                found[name].append(Replica(service=service.name, slot=slot, spec=service.spec_hash))
        places = (name for _ in range(REPLICAS) for name in self.names if len(found[name]) < REPLICAS)
        for service in intent.services:
            for slot in range(1, (service.replicas or 0) + 1):
                replica = Replica(service=service.name, slot=slot, spec=service.spec_hash)
                found[next(places)].append(replica)
        return found

    # ---- agents

    def start(self, names: Sequence[str]) -> None:
        for name in names:
            instance = f"run-{next(self._numbers)}"
            agent = ScaleAgent(self.hosts[name], self.etcd, self.clock, instance)
            agent.store.role = agent.lease_store.role = None
            assert isinstance(agent.wake, ToldWakeUps)
            agent.wake.told = self._told(name)
            self.agents[name] = agent
            agent.begin()
            self._push(self.clock(), "lease", name)
            agent.wake.wake("start")

    def _told(self, name: str) -> Callable[[float], None]:
        def told(delay_s: float) -> None:
            at = self.clock() + delay_s + 0.02
            if at < self._next.get(name, float("inf")):
                self._next[name] = at
                self._push(at, "look", name)

        return told

    @property
    def leader(self) -> ScaleAgent | None:
        return next((each for each in self.agents.values() if each.leads), None)

    def plain(self) -> ScaleAgent:
        """A worker that has none of the few."""
        return self.agents[self.names[len(self.managers)] if len(self.names) > 3 else self._follower()]

    def _follower(self) -> str:
        return next(name for name, agent in self.agents.items() if not agent.leads)

    def wake_managers(self, hint: str = "node update") -> None:
        """What dockerd tells every manager when a node changes."""
        for name in self.managers:
            if name in self.agents:
                self.agents[name].wake.wake(hint)

    # ---- time

    def run(self, seconds: float, until: Callable[[], bool] | None = None, most_s: float = 1e9) -> float:
        """Let `seconds` pass, or fewer until it is so, or until it has taken `most_s` of processor.

        Returns the seconds that passed. `until` is asked once a second.
        """
        began, used, asked = self.clock(), time.process_time(), self.clock()
        while self._queue and self._queue[0][0] <= began + seconds:
            at, _, what, name = heapq.heappop(self._queue)
            self.clock.now = max(self.clock.now, at)
            if name in self.agents:
                getattr(self, f"_{what}")(name)
            if self.clock() >= asked + 1.0:
                asked = self.clock()
                if (until and until()) or time.process_time() - used > most_s:
                    return self.clock() - began
        self.clock.now = began + seconds
        return seconds

    def at_rest(self) -> bool:
        return self.leader is not None and all(each.at_rest for each in self.agents.values())

    def swarm_is_there(self) -> bool:
        """Whether the managers are in it, and etcd has its record."""
        return len(self.lan.members) >= len(self.managers) and self.at_rest()

    def running(self) -> int:
        """Replicas that run, of all hosts."""
        return sum(len(host.running()) for host in self.hosts.values())

    def carried_out(self) -> bool:
        """Whether every replica of the document runs, and all are at rest."""
        return self.at_rest() and self.running() >= len(self.names) * REPLICAS

    def read(self, key: str) -> KeyValue | None:
        return self.etcd.snapshot([KeyRange(key=key)]).get(key)

    def read_bytes(self) -> int:
        """What all agents have read from etcd."""
        return sum(each.store.read_bytes for each in self.agents.values())

    # ---- what happens to a host

    def cut(self, name: str) -> None:
        """Nothing reaches the host any more, until `heal` in more than NODE_DOWN_S."""
        self.agents[name].cut_etcd()
        self._push(self.clock() + NODE_DOWN_S, "down", name)

    def heal(self, name: str) -> None:
        del self.lan.sides[self.hosts[name].engine.address]
        self.agents[name].heal_etcd()
        self.wake_managers()

    def _down(self, name: str) -> None:
        self.lan.sides[self.hosts[name].engine.address] = 1
        self.wake_managers()

    def _push(self, at: float, what: str, name: str) -> None:
        heapq.heappush(self._queue, (at, next(self._numbers), what, name))

    def _lease(self, name: str) -> None:
        wait_s = self.agents[name].session.run_once()
        self._push(self.clock() + wait_s, "lease", name)

    def _work(self, name: str) -> None:
        agent = self.agents[name]
        agent.pool.run()
        if len(self.lan.members) != self._members:
            self._members = len(self.lan.members)
            self.wake_managers()

    def _look(self, name: str) -> None:
        now, agent = self.clock(), self.agents[name]
        if now < self._next.get(name, float("inf")) - 1e-6:
            return  # another event of it comes later
        if now < self._busy.get(name, 0.0):
            self._next[name] = self._busy[name]
            self._push(self._busy[name], "look", name)
            return
        self._next[name] = float("inf")
        reasons = agent.wake.wait(0.0, 0.0) or frozenset({"resync"})
        look = agent.pass_for(reasons)
        self.looks.append(look)
        self._busy[name] = now + look.seconds
        if agent.pool._jobs:
            self._push(max(now + STEP_S, self._busy[name]), "work", name)
        at = max(now + (agent.until_next() or 30.0), self._busy[name])
        if at < self._next[name]:
            self._next[name] = at
            self._push(at, "look", name)

    def skip(self, seconds: float) -> None:
        """Let time pass in which the agents renew their leases and do nothing else."""
        end = self.clock() + seconds
        while self.clock() < end:
            self.clock.now = min(end, self.clock() + 5.0)
            for each in self.agents.values():
                each.session.run_once()

    def spread(self, over_s: float) -> None:
        """Let the agents look one after the other in that time, and not before: so do agents that run for long."""
        began = self.clock()
        self._queue.clear()
        for number, name in enumerate(self.agents):
            self.clock.now = began + over_s * number / len(self.agents)
            if not number % max(1, len(self.agents) // 100):
                for each in self.agents.values():
                    each.session.run_once()
            agent = self.agents[name]
            agent.wake.wait(0.0, 0.0)
            agent.pass_for(frozenset({"resync"}))
            self._next[name] = self.clock() + agent.until_next()
        self.clock.now = began + over_s
        self._busy.clear()
        for name, agent in self.agents.items():
            agent.wake.wait(0.0, 0.0)
            agent.session.run_once()
            self._push(self.clock() + 5.0 * random.random(), "lease", name)
            self._next[name] = self.clock() + 30.0 * random.random()
            self._push(self._next[name], "look", name)


def _install_here() -> None:
    """Make agents with a store that counts, wake-ups that tell, and triggers without threads."""
    vars(simulated)["FakeStore"] = CountedStore
    vars(wiring)["WakeUps"] = ToldWakeUps
    threads = {**vars(threading), "Thread": _Inert}
    vars(sys.modules[Triggers.__module__])["threading"] = SimpleNamespace(**threads)


def settled(directory: Path, hosts: int) -> ScaleCluster:
    """A cluster at rest: a swarm of all hosts, and the replicas assigned as by `ScaleCluster.assign`."""
    cluster = ScaleCluster(directory, hosts)
    cluster.put_document(cluster.document(services=False))
    cluster.start(cluster.managers)
    cluster.run(120, cluster.swarm_is_there)
    cluster.start([name for name in cluster.names if name not in cluster.managers])
    cluster.run(600, lambda: len(cluster.lan.members) == hosts and cluster.at_rest())
    cluster.assign(cluster.document())
    cluster.run(600, cluster.carried_out)
    cluster.run(90)
    assert cluster.carried_out(), "the cluster is not at rest"
    gc.collect()
    gc.freeze()  # a real leader does not have the other agents in its memory
    return cluster
