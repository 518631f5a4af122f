"""Runs the checks of `doctor` side by side: first what the others build on, then the rest."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from agent.clients.docker import DockerEngine, EngineInfo
from agent.clients.docker.output import Output
from agent.clients.etcd import EtcdStore
from agent.clients.kernel import LinuxKernel
from agent.clients.registry_config import RegistryConfig
from agent.config import Config, load_config
from agent.doctor import checks, collect
from agent.doctor.checks import FAIL, OK, SKIP, Clock, Finding, NotSeen, PortFact
from agent.errors import Invalid, SwarmkeeperError
from agent.model.intent import BridgeIntent, HostIntent, Intent
from agent.model.keys import Keys
from agent.model.observed import ClusterState

_WORKERS = 32
_PORTS = {"worker": (7946,), "manager": (7946, 2377)}
"""Ports on which a host of that role serves the swarm over TCP."""
_ENGINE_S = 10.0
_LOOPBACK = ("127.", "localhost", "[::1]")
_HERE = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104 - addresses to listen on, not to call


def examine(path: Path, image: str = "") -> list[Finding]:
    """Return the findings about this host, and about others as far as it reaches them.

    `image` is run on the overlays to reach replicas of other hosts; empty: that check is skipped. Raises Invalid for
    an agent.yaml that this user cannot read.
    """
    if path.exists() and not os.access(path, os.R_OK):
        raise Invalid(f"{path}: you have no permission to read it: use sudo")
    try:
        config = load_config(path)
    except SwarmkeeperError as error:
        remedy = "correct the file; `swarmkeeper config check` checks it alone"
        fault = Finding(FAIL, str(error), remedy, "agent.yaml")
        return [fault, Finding(SKIP, "without agent.yaml nothing else can be checked", check="etcd")]
    with closing(_Examination(config)) as examination:
        return [Finding(OK, f"{path}: no fault", check="agent.yaml"), *examination.findings(path, image)]


class _Examination:
    """The clients, and what several checks need."""

    def __init__(self, config: Config) -> None:
        self._config, self._keys = config, Keys(config.cluster)
        self._store, self._kernel = EtcdStore(config.store), LinuxKernel()
        docker, self._credentials = config.docker, RegistryConfig(config.docker.registry_config)
        credentials, timeout_s = self._credentials.header, min(docker.timeout_s, _ENGINE_S)
        self._engine = DockerEngine(docker.url, timeout_s, config.cluster, credentials=credentials)
        self._pool = ThreadPoolExecutor(_WORKERS)
        self._info: Future[EngineInfo] = self._pool.submit(self._engine.info)
        self._cluster = self._pool.submit(collect.cluster, self._store, self._keys, config.host)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._store.close()
        self._engine.close()

    def findings(self, path: Path, image: str) -> list[Finding]:
        config, submit, intent, root = self._config, self._pool.submit, None, ""
        with suppress(NotSeen):
            intent = self._intent()
        with suppress(NotSeen):
            root = self._engine_info().root
        others = [each for each in intent.hosts if each.name != config.host] if intent else []
        leads = config.host in {each.name for each in intent.managers} if intent else None
        single = (replace(config.store, endpoints=(each,)) for each in config.store.endpoints)
        members = [submit(collect.ask_member, each, self._keys) for each in single]
        ports = [submit(self._port, each, port) for each in others for port in _PORTS[each.role]]
        clocks = [submit(self._clock, each) for each in others]
        every: dict[str, Callable[[], list[Finding]]] = {
            "files": lambda: checks.check_access(*collect.access(config, path)),
            "engine": self._of_engine,
            "kernel": lambda: checks.check_modules(*collect.modules(started=bool(root))),
            "disk": lambda: checks.check_disks(collect.disks(root, config.state_directory)),
            "firewall": lambda: checks.check_firewall(collect.firewall(), self._bridge()),
            "registries": self._registries,
            "mtu": lambda: checks.check_mtu(*collect.lan(self._kernel, self._intent(), config)),
            "addresses": lambda: checks.check_addresses(
                collect.subnets(self._intent(), self._state()),
                self._kernel.routes(),
                self._kernel.addresses(),
            ),
            "etcd": lambda: checks.check_members([each.result()[0] for each in members]),
            "role": lambda: checks.check_rights(collect.rights(self._store, config, may_lead=leads)),
            "ports": lambda: self._ports(ports),
            "clocks": lambda: self._clocks(
                [each.result()[1] for each in members], [each.result() for each in clocks]
            ),
            "overlays": lambda: self._overlays(others, image),
        }
        running = {name: submit(check) for name, check in every.items()}
        return [each._replace(check=name) for name, check in running.items() for each in _result(check)]

    # ---- What several checks need

    def _state(self) -> ClusterState:
        try:
            return self._cluster.result()
        except SwarmkeeperError as error:
            raise NotSeen("the cluster cannot be read from etcd", "see the check etcd") from error

    def _intent(self) -> Intent:
        """Return the accepted document, or else the newest one. Raises NotSeen."""
        if found := collect.document(self._state()):
            return found
        raise NotSeen("etcd has no valid document yet", "apply one, then run doctor again")

    def _engine_info(self) -> EngineInfo:
        try:
            return self._info.result()
        except SwarmkeeperError as error:
            raise NotSeen("dockerd does not answer", "see the check engine") from error

    # ---- Checks that need a decision about what to look at

    def _of_engine(self) -> list[Finding]:
        try:
            info = self._info.result()
        except SwarmkeeperError as error:
            wire = Path(self._config.docker.url.removeprefix("unix://"))
            if wire.exists() and not os.access(wire, os.W_OK):
                raise NotSeen(f"only root and the group docker can use {wire}", collect.SUDO) from error
            return [Finding(FAIL, str(error), "start it: systemctl start docker; see journalctl -u docker")]
        return checks.check_engine(info.version, info.live_restore, info.no_swarm, info.storage, info.cgroup)

    def _bridge(self) -> BridgeIntent | None:
        return self._intent().gwbridge if self._engine_info().swarm.local == "active" else None

    def _registries(self) -> list[Finding]:
        self._engine_info()  # raises NotSeen: the engine asks the registries
        return checks.check_registries(collect.registries(self._engine, self._credentials, self._intent()))

    def _ports(self, asked: Sequence[Future[PortFact]]) -> list[Finding]:
        self._intent()  # raises NotSeen: without a document no other host is known
        return checks.check_ports([each.result() for each in asked])

    def _port(self, host: HostIntent, port: int) -> PortFact:
        answer, status = collect.tcp_answer(str(host.address), port), self._state().statuses.get(host.name)
        in_swarm = status is not None and status.state == "active"
        return PortFact(host.name, f"{host.address}:{port}", answer, in_swarm)

    def _clocks(self, members: Sequence[Clock], others: Sequence[Clock]) -> list[Finding]:
        """Compare the clocks of etcd's members, of this host's agent, of other hosts, and of reports."""
        address, _, port = self._config.http.listen.rpartition(":")
        address, early = _HERE.get(address, address.strip("[]")), list[Clock]()
        own, _ = collect.page_clock(f"the agent of {self._config.host}", address, int(port))
        with suppress(NotSeen):
            early = collect.future(self._state())
        known = [each for each in (*members, own) if each.ahead_s is not None]
        return checks.check_clocks([*known, *others, *early])

    def _clock(self, host: HostIntent) -> Clock:
        """Ask the agent of another host, on the port that the one here offers to others, or else its kernel."""
        listen, address = self._config.http.listen, str(host.address)
        if not listen.startswith(_LOOPBACK):
            found, _ = collect.page_clock(
                f"the agent of {host.name}", address, int(listen.rpartition(":")[2])
            )
            if found.ahead_s is not None:
                return found
        return collect.kernel_clock(host.name, address)

    def _overlays(self, others: Sequence[HostIntent], image: str) -> list[Finding]:
        if not image:
            remedy = "name an image that has sh and ping: doctor --probe IMAGE"
            raise NotSeen("packets between the overlays of the hosts were not tried", remedy)
        found, untried, names = list[Finding](), list[str](), [each.name for each in others]
        url, timeout_s = self._config.docker.url, self._config.docker.timeout_s
        for network in self._intent().networks:
            if network.driver == "overlay" and network.attachable:
                hosts = collect.targets(self._state(), network.name, names)
                untried += [f"{network.name}: {each}" for each in names if each not in hosts]
                if hosts:
                    with closing(Output(url, self._config.cluster, timeout_s)) as engine:
                        found += checks.check_reach(collect.reach(engine, image, network, hosts))
        if untried:
            text = f"no replica runs there that could answer: {', '.join(untried)}"
            found.append(Finding(SKIP, text, "run doctor there, towards the replicas of this host"))
        return found or [Finding(SKIP, "the document declares no overlay, or no other host is chosen")]


def _result(check: Future[list[Finding]]) -> list[Finding]:
    try:
        return check.result()
    except (SwarmkeeperError, OSError) as error:
        return [Finding(SKIP, str(error), error.remedy if isinstance(error, NotSeen) else "")]
