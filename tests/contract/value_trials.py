"""Tries one value of one key of a document on a real engine, and tells what became of it."""

import contextlib
import itertools
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from typing import Any, Literal

from agent.clients.docker import DockerEngine
from agent.diff.bridge import docker_differences
from agent.diff.container import FillContext, create_request, fill
from agent.diff.container.process import PREFIX
from agent.diff.networks import local_differences
from agent.errors import SwarmkeeperError
from agent.intent import parse_intent
from agent.model.faults import InvalidDocument
from agent.model.host_state import Difference
from agent.model.intent import GWBRIDGE, Intent, NetworkIntent
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, spec_hash
from tests.contract.engines import CLUSTER
from tests.contract.value_cases import document
from tests.contract.value_lists import OF_HOST
from tests.support.docker_daemon import DockerDaemon

Outcome = Literal["refused", "held", "as without", "reported", "this host", "taken", "never", "lost", "drift"]
GOOD: tuple[Outcome, ...] = ("refused", "held", "as without", "reported", "this host", "taken")
"""refused: at validate. held: the engine shows it. as without: it changes nothing. reported: the engine or the kernel
drops it, and the host reports that as `unsupported`. this host: the engine refuses it, and the key names something of
the host or the image (`OF_HOST`). taken: no part of it goes to the engine. Not good: the engine refuses it at create
(never) or at start (lost), or the container differs from its spec for good (drift)."""

_PLUGINS = ("volumes.*.driver", "services.*.logging", "services.*.logging.driver")
"""Keys whose values may name a plugin. The engine searches 15 s for one, so it is asked for one value of each."""
_CONTAINER = ("Config", "HostConfig")

_numbers = itertools.count(1)


class Trials:
    """An engine on which values are tried, with the networks and images that the documents name."""

    def __init__(self, daemon: DockerDaemon) -> None:
        self._hands = daemon.client()
        self._engine = DockerEngine(daemon.url, 30.0, CLUSTER)
        self._engine.create_network(
            NetworkIntent(key="net", name="values_net", driver="bridge", subnet=IPv4Network("10.20.0.0/24"))
        )
        self._plain: dict[str, Any] = {}
        self._searched = set[str]()
        """Keys that name a plugin, of which one was not found."""

    def close(self) -> None:
        with contextlib.suppress(SwarmkeeperError):
            self._engine.remove_network("values_net")
        self._engine.close()
        self._hands.close()

    def of(self, key: str, written: str) -> tuple[Outcome, str]:
        """Return what became of the value, and the text of a refusal or the difference."""
        try:
            intent = parse_intent(document(key, written).encode(), revision=1)
        except InvalidDocument as refused:
            return "refused", str(refused)
        if key in _PLUGINS and key in self._searched:
            return "this host", "a plugin that this engine lacks"
        tried = self._action(key)
        try:
            return ("taken", "") if tried is None else tried(key, intent)
        except SwarmkeeperError as error:
            if "plugin" in str(error):
                self._searched.add(key)
            told = f"{OF_HOST[key]}: {error}" if key in OF_HOST else str(error)
            wrong: Outcome = "lost" if "start" in error.__notes__ else "never"
            return ("this host" if key in OF_HOST else wrong), told

    def _action(self, key: str) -> Callable[[str, Intent], tuple[Outcome, str]] | None:
        for prefix, action in (
            ("services.*.", self._service),
            ("networks.*.", self._network),
            ("volumes.*.", self._volume),
            ("x-cluster.gwbridge.", self._bridge),
        ):
            if key.startswith(prefix):
                return action
        return None

    def _service(self, key: str, intent: Intent) -> tuple[Outcome, str]:
        spec = _spec(intent)
        if key not in self._plain:
            self._plain[key] = self._without(key)
        inspected, found = self._run(spec)
        told = "; ".join(map(str, found))
        if any(each.repair != "none" for each in found):
            return "drift", told
        if found:
            return "reported", told
        return ("as without" if inspected == self._plain[key] else "held"), ""

    def _without(self, key: str) -> Any:
        """Return the container of a document without the key; None if there is none."""
        try:
            spec = _spec(parse_intent(document(key, None).encode(), revision=1))
            return self._run(spec)[0]
        except (InvalidDocument, SwarmkeeperError):
            return None

    def _run(self, spec: ContainerSpec) -> tuple[Any, tuple[Difference, ...]]:
        """Start a replica; return what the engine shows of it, and how it differs from its spec.

        A difference that needs no repair is one that the engine or the kernel cannot hold: `status` reports it.
        """
        replica = Replica(service="web", slot=next(_numbers), spec=spec_hash(spec))
        name = f"values-web-{replica.slot}"
        filled = fill(spec, _context(replica))
        request = create_request(filled, replica, project="values", cluster=CLUSTER, name=name)
        try:
            made = self._engine.create_container(request)
        except SwarmkeeperError as error:
            error.add_note("create")
            raise
        try:
            self._engine.start(made)
            (found,) = self._engine.containers({replica.spec: spec}, _context).ours
            return _shown(self._hands.inspect_container(made)), found.differences
        except SwarmkeeperError as error:
            error.add_note("start")
            raise
        finally:
            self._hands.remove_container(made, force=True, v=True)

    def _network(self, _key: str, intent: Intent) -> tuple[Outcome, str]:
        (wanted,) = intent.networks
        if wanted.external or wanted.driver != "bridge":
            return "taken", ""
        self._engine.remove_network("values_net")
        try:
            self._engine.create_network(wanted)
            (found,) = [each for each in self._engine.networks() if each.name == wanted.name]
            told = local_differences(wanted, found)
            self._engine.remove_network(wanted.name)
        except SwarmkeeperError as error:
            error.add_note("create")
            raise
        finally:
            self._engine.create_network(
                NetworkIntent(
                    key="net", name="values_net", driver="bridge", subnet=IPv4Network("10.20.0.0/24")
                )
            )
        return ("drift" if told else "held"), "; ".join(map(str, told))

    def _volume(self, _key: str, intent: Intent) -> tuple[Outcome, str]:
        (wanted,) = intent.volumes
        if wanted.external:
            return "taken", ""
        try:
            self._engine.create_volume(wanted)
        except SwarmkeeperError as error:
            error.add_note("create")
            raise
        self._hands.remove_volume(wanted.name)
        return "held", ""

    def _bridge(self, _key: str, intent: Intent) -> tuple[Outcome, str]:
        try:
            self._engine.create_bridge(intent.gwbridge)
            (found,) = [each for each in self._engine.networks() if each.name == GWBRIDGE]
        except SwarmkeeperError as error:
            error.add_note("create")
            raise
        told = docker_differences(intent.gwbridge, found)
        self._engine.remove_network(GWBRIDGE)
        return ("drift" if told else "held"), "; ".join(map(str, told))


def _spec(intent: Intent) -> ContainerSpec:
    service = intent.service("web")
    assert service is not None
    return service.spec


def _context(replica: Replica) -> FillContext:
    return FillContext(host="h", service=replica.service, slot=replica.slot, node_id="n", address="10.99.0.1")


def _shown(raw: Mapping[str, Any]) -> Any:
    """Return what the engine shows of a container, without what differs between two containers of one spec."""
    found = {part: dict(raw[part]) for part in _CONTAINER}
    config = found["Config"]
    config["Hostname"] = config["Hostname"].removeprefix(raw["Id"][:12])
    config["Labels"] = {key: each for key, each in config["Labels"].items() if not key.startswith(PREFIX)}
    networks = raw["NetworkSettings"].get("Networks") or {}
    names = {key: sorted({*(each["Aliases"] or ())} - {raw["Id"][:12]}) for key, each in networks.items()}
    return found, names
