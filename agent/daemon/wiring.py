"""The parts of an agent that agent.yaml has a say in, each made as it says."""

from functools import partial

from agent.clients.docker import DockerEngine
from agent.clients.etcd import EtcdStore
from agent.clients.kernel import LinuxKernel
from agent.clients.registry_config import RegistryConfig
from agent.clients.seal import Seal
from agent.config import Config
from agent.daemon.triggers import WakeUps
from agent.lease import Session, boot_id, left_here, machine_id, presence
from agent.model.keys import Keys
from agent.model.store import for_session
from agent.observe import ClusterReader, CrashSettings, HostReader, Identity, KeyOpener, TokenOpener
from agent.planner.host.bridge import phase_of
from agent.planner.leader.eligibility import unfit
from agent.report import Decisions, Metrics

DECISIONS = Decisions(bridge_phase=phase_of, why_not_leader=unfit)
"""What the report asks the planner."""


def engine_of(config: Config, metrics: Metrics) -> DockerEngine:
    """The engine, with the credentials of the registries. Raises Invalid when those cannot be read."""
    registries = RegistryConfig(config.docker.registry_config)
    registries.check()
    return DockerEngine(
        config.docker.url,
        config.docker.timeout_s,
        config.cluster,
        metrics.observe_engine_call,
        registries.header,
    )


def session_of(config: Config, keys: Keys, instance: str, metrics: Metrics, wake: WakeUps) -> Session:
    """The session, on an etcd client of its own."""
    return Session(
        EtcdStore(for_session(config.store, config.session), observe_call=metrics.observe_store_call),
        presence_key=keys.presence(config.host),
        presence=partial(presence, instance),
        settings=config.session,
        on_change=wake.wake,
        left_here=left_here,
    )


def identity_of(config: Config, instance: str) -> Identity:
    """Who the agent is, in this run of it."""
    return Identity(
        host=config.host,
        instance=instance,
        boot_id=boot_id(),
        machine_id=machine_id(),
        advertise=config.swarm.advertise_address,
    )


def host_reader_of(config: Config, engine: DockerEngine, kernel: LinuxKernel) -> HostReader:
    """Who looks at the host."""
    crashes = CrashSettings(
        first_s=config.reconcile.backoff_min_s,
        most_s=config.reconcile.backoff_max_s,
        lines=config.docker.output_lines,
    )
    return HostReader(engine, kernel, config.host, crashes=crashes)


def cluster_reader_of(config: Config, keys: Keys, seal: Seal) -> ClusterReader:
    """Who reads what etcd holds, and opens with `seal` what lies there sealed."""
    seals = config.tokens.key_file is not None
    return ClusterReader(
        keys,
        config.host,
        TokenOpener(open=seal.open, seals=seals),
        KeyOpener(open=seal.open_keys, is_current=seal.is_current, seals=seals),
    )
