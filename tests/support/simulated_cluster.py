"""Hosts in memory with whole agents on them: all parts real but the doors, driven pass by pass on a clock.

The hosts share one LAN, and with it one swarm; the agents share one etcd. A host's engine, kernel and disk outlive its
agent, which may crash after any step and start again.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from agent.admission.policy import Policy
from agent.clients.seal import Seal, WithoutKey
from agent.config import Config, ReconcileSettings
from agent.daemon.wiring import Agent, Environment
from agent.errors import Invalid
from agent.intent import parse_intent
from agent.model.intent import GWBRIDGE, Intent
from agent.model.keys import Keys, host_role
from agent.model.plan import Outcome, Plan, Step
from agent.model.records import (
    Accepted,
    Assignment,
    Presence,
    SwarmRecord,
    UnlockKeys,
    Verdict,
    decode,
    encode,
)
from agent.model.store import Delete, KeyRange, KeyValue, Put, SessionSettings, StoreSettings
from agent.observe import ClusterReader, Identity
from agent.report.registry import Metrics
from tests.fakes.containers import Raw
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import FakeKernel
from tests.fakes.store import FakeClock, FakeEtcd, FakeStore
from tests.fakes.swarm import FakeLan
from tests.support.document import EXAMPLE

P = ParamSpec("P")
T = TypeVar("T")

CLUSTER = "prod"
SINCE = "2026-01-01T00:00:00Z"
KEYS = Keys(CLUSTER)
NAMES = ("node-231", "node-232", "node-233")
TTL_S = SessionSettings().ttl_s
SETTLED_WITHIN = 60
"""Rounds in which a cluster that is left alone comes to rest; a first boot takes about ten."""


class Crash(BaseException):
    """The agent's process ends here: nothing of it may catch this."""


class HeldPool(ThreadPoolExecutor):
    """Keeps what is submitted until the test runs it, on the test's own thread."""

    def __init__(self) -> None:
        super().__init__(1)
        self._jobs: list[Callable[[], object]] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self._jobs.append(partial(fn, *args, **kwargs))
        return Future()

    def run(self, most: int | None = None) -> None:
        """Run what is held; no more than `most` jobs."""
        for _ in range(len(self._jobs) if most is None else min(most, len(self._jobs))):
            self._jobs.pop(0)()


class PlainSeal(WithoutKey):
    """Leaves the secrets as they are, so that a test can read them."""

    seals = True

    def close_keys(self, keys: UnlockKeys) -> UnlockKeys:
        return keys

    def open_keys(self, keys: UnlockKeys) -> UnlockKeys:
        return keys


class SimulatedHost:
    """What a machine is without its agent."""

    def __init__(self, name: str, address: str, lan: FakeLan, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.name, self.directory = name, directory
        self.machine_id, self.boot_id = f"machine of {name}", f"boot of {directory}"
        self.engine = FakeEngine(name, address, lan, cluster=CLUSTER)
        self.kernel = FakeKernel(self.engine)
        self.admission = Policy()
        """What an agent that starts on it reads in agent.yaml."""
        self.new_seal: Callable[[], Seal] = PlainSeal
        """Makes the seal of an agent that starts on it."""

    def replicas(self) -> dict[str, Raw]:
        """Our containers by name, as `inspect` shows them."""
        found = self.engine.by_hand.raws.values()
        return {raw["Name"][1:]: raw for raw in found if "Image" in raw and raw["Image"] != "sha256:foreign"}

    def running(self) -> dict[str, str]:
        """Image of every replica of ours that runs, by container name."""
        return {
            name: raw["Config"]["Image"]
            for name, raw in self.replicas().items()
            if raw["State"]["Status"] == "running"
        }

    @property
    def swarm_id(self) -> str | None:
        membership = self.engine.nets.membership
        return membership[0].id if membership else None


class SimulatedAgent(Agent):
    """One run of an agent on a host. `turn` is what its threads do in a while."""

    def __init__(
        self, host: SimulatedHost, etcd: FakeEtcd, clock: FakeClock, instance: str, *, stepped: bool = True
    ) -> None:
        self.host, self.name, self.clock = host, host.name, clock
        self.store, self.lease_store = FakeStore(etcd), FakeStore(etcd)
        self.store.role = self.lease_store.role = host_role(KEYS, host.name, may_lead=True)
        self.pool = HeldPool()
        """Of all lanes."""
        self.outcomes: list[Outcome] = []
        self.plan = Plan()
        self.before: Callable[[Step], None] = lambda _: None
        self.after: Callable[[Step], None] = lambda _: None
        """Told of every step that is carried out; what they raise is the step's failure."""
        self.looks: Callable[[], None] = lambda: None
        """Told of every pass before it looks."""
        self._steps_left: int | None = None
        presence = Presence(
            instance=instance,
            boot_id=host.boot_id,
            version="test",
            since=SINCE,
            machine_id=host.machine_id,
        )
        config = Config(
            cluster=CLUSTER,
            host=host.name,
            store=StoreSettings(endpoints=()),
            reconcile=ReconcileSettings(resync_s=30.0, settle_s=0.05, workers=4, pulls=2),
            admission=host.admission,
            state_directory=str(host.directory),
        )
        environment = Environment(
            identity=Identity(
                host=host.name, instance=instance, boot_id=host.boot_id, machine_id=host.machine_id
            ),
            store=self.store,
            lease_store=self.lease_store,
            engine=host.engine,
            kernel=host.kernel,
            reader=ClusterReader(KEYS, host.name, host.new_seal(), clock if stepped else time.monotonic),
            presence=lambda unreported: encode(replace(presence, unreported_since=unreported)),
            left_here=lambda value: decode(Presence, value).boot_id == presence.boot_id,
            metrics=Metrics(version="test"),
            version="test",
            notify=lambda *_: True,
            monotonic=clock if stepped else time.monotonic,
            boottime=clock,
            wall=clock,
            jitter=lambda: 1.0,
            new_pool=(lambda *_: self.pool) if stepped else ThreadPoolExecutor,
        )
        super().__init__(config, environment)
        self._context = replace(self._context, now=lambda: SINCE)
        self.observer.recall()

    # ---- what happens to it

    def turn(self) -> Plan:
        """Renew the lease, make one pass, carry out what it started."""
        self.session.run_once()
        self.look()
        self.pool.run()
        return self.plan

    def look(self) -> Plan:
        """One pass; what it starts waits in the pool."""
        self.looks()
        self.plan = self.loop.run_pass(frozenset({"test"}))
        return self.plan

    def crash_after(self, steps: int) -> None:
        """Raise Crash when so many more steps have had their effect."""
        self._steps_left = steps

    def cut_etcd(self) -> None:
        self.store.cut()
        self.lease_store.cut()

    def heal_etcd(self) -> None:
        self.store.heal()
        self.lease_store.heal()

    # ---- what it says

    @property
    def leads(self) -> bool:
        return self.loop.fence is not None

    @property
    def at_rest(self) -> bool:
        """Whether the last pass found nothing to do, nothing blocked, nothing under way and nothing in doubt."""
        return self.plan == Plan() and not self.dispatcher.in_flight and not self.loop.look_again_s

    def failed(self) -> list[str]:
        """The errors of all steps so far."""
        return [each.error for each in self.outcomes if each.error]

    # ----

    def _apply(self, step: Step) -> None:
        self.before(step)
        super()._apply(step)
        self.after(step)
        if self._steps_left is not None:
            self._steps_left -= 1
            if self._steps_left <= 0:
                raise Crash

    def _done(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        super()._done(outcome)


class SimulatedCluster:
    """Hosts (three, if not said otherwise), their agents, one etcd, one LAN with every image of the document."""

    def __init__(self, directory: Path, document: str = EXAMPLE, names: Sequence[str] = NAMES) -> None:
        self.clock = FakeClock()
        self.etcd = FakeEtcd(self.clock)
        self.lan = FakeLan(registry=images(document))
        self.hosts = {
            name: SimulatedHost(name, f"10.159.62.{name[-3:]}", self.lan, directory / name) for name in names
        }
        self.agents: dict[str, SimulatedAgent] = {}
        self._operator = FakeStore(self.etcd)
        self._runs = 0

    # ---- what the operator does

    def put_intent(self, document: str = EXAMPLE) -> None:
        self.put(KEYS.intent, document.encode())

    def put(self, key: str, value: bytes) -> None:
        """`etcdctl put`."""
        self._operator.txn([], [Put(key=key, value=value)])

    def start(self, *names: str, stepped: bool = True) -> None:
        """Start the agents of these hosts; of all when none is named."""
        for name in names or tuple(self.hosts):
            self._runs += 1
            instance = f"run-{self._runs}"
            self.agents[name] = SimulatedAgent(
                self.hosts[name], self.etcd, self.clock, instance, stepped=stepped
            )

    def lose_agent(self, name: str) -> None:
        """Its process is gone at once: the lease is left to expire."""
        del self.agents[name]

    # ---- time

    def round(self, *names: str, seconds: float = 1.0) -> None:
        """Let the agents (of `names`, or all) take their turn, one after the other; then time passes."""
        for name in names or tuple(self.agents):
            if (agent := self.agents.get(name)) is not None:
                agent.turn()
        self.clock.advance(seconds)

    def rounds(self, count: int, seconds: float = 1.0) -> None:
        for _ in range(count):
            self.round(seconds=seconds)

    def settle(self, within: int = SETTLED_WITHIN, seconds: float = 1.0) -> int:
        """Go on until one agent leads and all are at rest; return the rounds it took, fail after `within`."""
        for count in range(1, within + 1):
            self.round(seconds=seconds)
            agents = self.agents.values()
            if any(agent.leads for agent in agents) and all(agent.at_rest for agent in agents):
                return count
        raise AssertionError(f"not at rest within {within} rounds:\n{self.told()}")

    def delete(self, key: str) -> None:
        """`etcdctl del`."""
        self._operator.txn([], [Delete(key=key)])

    # ---- what is there

    def read(self, key: str) -> KeyValue | None:
        return self.etcd.snapshot([KeyRange(key=key)]).get(key)

    def record(self) -> SwarmRecord | None:
        found = self.read(KEYS.swarm)
        return decode(SwarmRecord, found.value) if found else None

    def verdict(self) -> Verdict | None:
        found = self.read(KEYS.verdict)
        return decode(Verdict, found.value) if found else None

    def accepted(self) -> Accepted | None:
        """The accepted document; None also when it cannot be read."""
        found = self.read(KEYS.accepted)
        with suppress(Invalid):
            return decode(Accepted, found.value) if found else None
        return None

    def assignment(self, name: str) -> Assignment | None:
        found = self.read(KEYS.assignment(name))
        return decode(Assignment, found.value) if found else None

    def running(self) -> dict[str, dict[str, str]]:
        """Of each host, the replicas of ours that run."""
        return {name: host.running() for name, host in self.hosts.items()}

    def ids(self) -> set[tuple[str, str]]:
        """(host, id) of all replicas of ours."""
        return {(name, raw["Id"]) for name, host in self.hosts.items() for raw in host.replicas().values()}

    def written(self) -> dict[str, int]:
        """When each key that hangs on no lease was written last."""
        found = self.etcd.snapshot([KeyRange(key=KEYS.root, prefix=True)])
        return {key: each.mod_revision for key, each in found.values.items() if not each.lease}

    def leader(self) -> SimulatedAgent:
        """The one agent that leads."""
        (found,) = (agent for agent in self.agents.values() if agent.leads)
        return found

    def follower(self) -> SimulatedAgent:
        return next(agent for agent in self.agents.values() if not agent.leads)

    def told(self) -> str:
        """The last plans, for people."""
        return "\n".join(f"{name}:\n{agent.plan}" for name, agent in self.agents.items())


def at_rest(directory: Path) -> SimulatedCluster:
    """Three managers that have carried the example out."""
    cluster = SimulatedCluster(directory)
    cluster.put_intent()
    cluster.start()
    cluster.settle()
    return cluster


def images(document: str) -> set[str]:
    """The images that a document names."""
    return {each.spec.image for each in parsed(document).services}


def parsed(document: str) -> Intent:
    return parse_intent(document.encode(), 1)


def bridges(hosts: Sequence[SimulatedHost]) -> set[str]:
    """Subnet and gateway of docker_gwbridge, as found on the hosts: one when it is the same everywhere."""
    found = [host.engine.nets.local[GWBRIDGE] for host in hosts]
    return {f"{each.subnet} {each.gateway}" for each in found}
