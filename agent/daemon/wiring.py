"""The composition of an agent: its parts, configured by agent.yaml, in a given environment.

The daemon passes the real environment and threads. Tests pass one in memory and run it pass by pass.
"""

import random
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent import __version__, lease
from agent.admission import Gate
from agent.apply import ApplyContext, apply
from agent.clients import systemd
from agent.clients.disk import REPLICAS, ConfigFiles, StateDirectory
from agent.clients.docker import DockerEngine, Engine
from agent.clients.etcd import EtcdStore, Store
from agent.clients.kernel import Kernel, LinuxKernel
from agent.clients.registry_config import RegistryConfig
from agent.clients.seal import load_seal
from agent.config import Config
from agent.daemon.dispatcher import Backoff, Dispatcher
from agent.daemon.loop import Reconciler
from agent.daemon.triggers import Triggers, WakeUps
from agent.model import leader_steps, records, steps
from agent.model.keys import Keys
from agent.model.plan import Outcome, Step
from agent.model.store import for_session
from agent.observe import ClusterReader, CrashSettings, HostReader, Identity, Observer
from agent.observe.replica_memory import ReplicaMemory
from agent.planner.host.bridge import phase_of
from agent.planner.leader.eligibility import why_ineligible
from agent.report import Decisions, EventKey, Metrics, Reporter, StatusKey, run_inline

DECISIONS = Decisions(bridge_phase=phase_of, why_ineligible=why_ineligible)
"""Decisions of the planner that the report needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The environment of an agent: clients, identity, clocks, randomness and threads."""

    identity: Identity
    store: Store
    lease_store: Store
    """The session's own client: no other call delays a renewal."""
    engine: Engine
    kernel: Kernel
    reader: ClusterReader
    """Reads etcd. Its seal opens and seals the values."""
    presence: Callable[[str], bytes]
    """Returns the value of the presence key. Its argument is the time since which the agent cannot report."""
    left_here: Callable[[bytes], bool]
    """Returns True for a presence of an earlier agent of this boot."""
    metrics: Metrics
    version: str = __version__
    notify: Callable[..., bool] = systemd.notify
    monotonic: Callable[[], float] = time.monotonic
    boottime: Callable[[], float] = lease.boottime_s
    """Monotonic seconds that also count suspension, because a lease expires meanwhile."""
    wall: Callable[[], float] = time.time
    """Returns seconds since the epoch."""
    jitter: Callable[[], float] = random.random
    new_pool: Callable[[int, str], Executor] = ThreadPoolExecutor


class Agent:
    """Every part of an agent. Its only threads are its workers; the caller starts the loop and the triggers."""

    def __init__(
        self,
        config: Config,
        environment: Environment,
        later: Callable[[Callable[[], None]], None] = run_inline,
    ) -> None:
        """Create the parts. `later` runs the jobs of the reporter."""
        env, keys, schedule = environment, Keys(config.cluster), config.reconcile
        self.metrics, self.wake = env.metrics, WakeUps()
        self._env = env
        self.session = lease.Session(
            env.lease_store,
            presence_key=keys.presence(config.host),
            presence=lambda: env.presence(self.reporter.unreported_since),
            settings=config.session,
            on_change=self.wake.wake,
            left_here=env.left_here,
            clock=env.boottime,
        )
        crashes = CrashSettings(
            first_s=schedule.backoff_min_s, most_s=schedule.backoff_max_s, lines=config.docker.output_lines
        )
        directory = Path(config.state_directory)
        gate = Gate(
            policy=config.admission, real_path=env.kernel.real_path, data_root=lambda: self._host.data_root
        )
        self._host = HostReader(
            env.engine,
            env.kernel,
            config.host,
            env.monotonic,
            crashes=crashes,
            wall=env.wall,
            memory=ReplicaMemory(StateDirectory(directory, REPLICAS)),
            gate=gate,
        )
        self._host.files = files = ConfigFiles(directory)
        self.observer = Observer(
            env.reader,
            self._host,
            env.store,
            StateDirectory(directory),
            env.identity,
            lambda: self.session.lease_id,
            env.wall,
            clock=env.monotonic,
            renewed_s=lambda: self.session.renewed_s,
        )
        self.reporter = Reporter(
            StatusKey(
                env.store,
                keys.status(config.host),
                env.monotonic,
                partial(env.metrics.count, "status_write_failures_total"),
                partial(self.wake.wake, "report waits"),
            ),
            env.metrics,
            DECISIONS,
            version=env.version,
            clock=env.monotonic,
            now=env.wall,
            notify=env.notify,
            later=later,
            events=EventKey(env.store, keys.events, env.monotonic, env.wall),
        )
        self._context = ApplyContext(
            engine=env.engine,
            store=env.store,
            session=self.session,
            keys=keys,
            me=config.host,
            cluster=config.cluster,
            gate=gate,
            fence=lambda: self.loop.fence,
            now=lambda: records.timestamp(env.wall()),
            on_progress=self._pull_goes_on,
            seal=env.reader.seal.close,
            seal_keys=env.reader.seal.close_keys,
            placed=files.placed,
        )
        self.dispatcher = Dispatcher(
            self._apply,
            self._done,
            Backoff(schedule.backoff_min_s, schedule.backoff_max_s, env.jitter),
            env.monotonic,
            workers=schedule.workers,
            pulls=schedule.pulls,
            new_pool=env.new_pool,
        )
        self.triggers = Triggers(
            env.store, env.engine, env.kernel, self.wake, lambda: env.reader.spread_s() * env.jitter()
        )
        self.loop = Reconciler(
            self.observer, self.dispatcher, self.reporter, self.triggers, self.wake, schedule, env.monotonic
        )
        self.metrics.follow("lease_ttl_seconds", lambda: max(0.0, self.session.valid_until - env.boottime()))
        self.metrics.follow("store_last_contact_timestamp_seconds", self._store_last_contact)

    def _apply(self, step: Step) -> None:
        """Carry out a step on a worker's thread."""
        self.reporter.step_started(step)
        if isinstance(step, steps.StopContainer):
            self._host.memory.note_stop(step.id, step.grace_s)
        apply(self._context, step)
        if isinstance(step, steps.PullImage):
            self._host.note_pull(step.image)

    def _pull_goes_on(self, resource: str, progress: str) -> None:
        if self.reporter.pull_progress(resource, progress):
            self.wake.wake("pull goes on")

    def _done(self, outcome: Outcome) -> None:
        if outcome.step.kind == "swarm":
            self._host.forget()
        if isinstance(outcome.step, leader_steps.Resign):
            self.observer.forget_lock()
        self.reporter.step_done(outcome)
        self.wake.wake("step ended")

    def _store_last_contact(self) -> float:
        last = self._env.store.last_contact_s
        return 0.0 if last is None else self._env.wall() - (self._env.monotonic() - last)


def environment_of(config: Config) -> Environment:
    """Return the real environment. Raises Invalid when registry credentials or a sealing key cannot be read."""
    metrics = Metrics(version=__version__, host=config.host, cluster=config.cluster)
    new_store = partial(EtcdStore, observe_call=metrics.observe_store_call)
    instance = uuid.uuid4().hex
    registries = RegistryConfig(config.docker.registry_config)
    registries.check()
    seal = load_seal(config.cluster, config.tokens.key_file, accept_unsealed=config.tokens.accept_unsealed)
    return Environment(
        identity=Identity(
            host=config.host,
            instance=instance,
            boot_id=lease.boot_id(),
            machine_id=lease.machine_id(),
            advertise=config.swarm.advertise_address,
            ttl_s=config.session.ttl_s,
        ),
        store=new_store(config.store),
        lease_store=new_store(for_session(config.store, config.session)),
        engine=DockerEngine(
            config.docker.url,
            config.docker.timeout_s,
            config.cluster,
            metrics.observe_engine_call,
            registries.header,
        ),
        kernel=LinuxKernel(),
        reader=ClusterReader(Keys(config.cluster), config.host, seal),
        presence=partial(lease.presence, config.host, instance, records.timestamp(time.time())),
        left_here=lease.left_here,
        metrics=metrics,
    )
