"""The two engines the contract is checked on, each with a way to do by hand what an operator would."""

import contextlib
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import docker

from agent.clients.docker import DockerEngine, Engine
from tests.fakes.engine import FakeEngine
from tests.fakes.swarm import FakeLan
from tests.support.docker_daemon import ADDRESS, BARE, RICH, RICH_SAYS, DockerDaemon
from tests.support.etcd_server import eventually

CLUSTER = "test"
KINDS = ["in memory", "dockerd"] if os.geteuid() == 0 else ["in memory"]
RICH_CONFIG: Mapping[str, Any] = {
    "Env": ["GREETING=hello", "NAME=image"],
    "Labels": {"maker": "image"},
    "User": "1000",
    "WorkingDir": "/srv",
    "Entrypoint": ["/bin/sh", "-c"],
    "Cmd": ["sleep 1000"],
    "ExposedPorts": {"8080/tcp": {}},
    "Volumes": {"/data": {}},
    "Healthcheck": {"Test": ["CMD-SHELL", "/bin/true"], "Interval": 7_000_000_000, "Retries": 5},
}
"""What RICH_SAYS comes to."""
assert len(RICH_SAYS) == len(RICH_CONFIG)


CHECKS_NAMES_SINCE = 25
"""The engine from which on no network is created beside another one of its name, whatever the request says."""


def checks_names(engine: Engine) -> bool:
    """True for an engine that refuses an overlay for another network of this host with its name."""
    major = engine.info().version.partition(".")[0]
    return major.isdecimal() and int(major) >= CHECKS_NAMES_SINCE


class Scene(Protocol):
    """An engine, and an operator at its keyboard."""

    @property
    def engine(self) -> Engine: ...

    @property
    def address(self) -> str: ...

    def run_foreign(self, name: str, port: int | None = None, network: str | None = None) -> str: ...

    def update(self, container: str, **host_config: Any) -> None: ...

    def pause(self, container: str) -> None: ...

    def end(self, container: str) -> None: ...

    def remove(self, container: str) -> None: ...

    def prune(self) -> None: ...

    def started(self) -> dict[str, str]: ...

    def rename(self, container: str, name: str) -> None: ...

    def connect(self, container: str, network: str) -> None: ...

    def disconnect(self, container: str, network: str) -> None: ...

    def die(self) -> None: ...


class FakeScene:
    """The engine in memory."""

    address = ADDRESS

    def __init__(self) -> None:
        self.engine: FakeEngine = FakeEngine("host-1", ADDRESS, FakeLan(registry_answers=False), CLUSTER)
        self.engine.load_image(BARE)
        self.engine.load_image(RICH, **RICH_CONFIG)
        self.pause = self.engine.by_hand.pause
        self.disconnect = self.engine.by_hand.disconnect
        self.die = self.engine.go_down

    def end(self, container: str) -> None:
        self.engine.by_hand.end(container, exit_code=137)

    def remove(self, container: str) -> None:
        self.engine.by_hand.remove(container, force=True)

    def prune(self) -> None:
        self.engine.nets.prune()

    def started(self) -> dict[str, str]:
        """When each container was started."""
        return {name: raw["State"]["StartedAt"] for name, raw in self.engine.by_hand.raws.items()}

    def rename(self, container: str, name: str) -> None:
        self.engine.by_hand.rename(container, name)

    def run_foreign(self, name: str, port: int | None = None, network: str | None = None) -> str:
        bindings = {"80/tcp": [{"HostIp": "", "HostPort": str(port)}]} if port else {}
        return self.engine.run_foreign(name, PortBindings=bindings, NetworkMode=network or "default")

    def update(self, container: str, **host_config: Any) -> None:
        self.engine.by_hand.update(container, host_config)

    def connect(self, container: str, network: str) -> None:
        self.engine.by_hand.connect(container, network, {})


class DockerScene:
    """A real dockerd, as empty as it was when it began."""

    address = ADDRESS

    def __init__(self, daemon: DockerDaemon) -> None:
        self._daemon = daemon
        self._hands = daemon.client()
        self.engine = DockerEngine(daemon.url, 10.0, CLUSTER)
        self.pause = self._hands.pause
        self.rename = self._hands.rename
        self.connect = self._hands.connect_container_to_network
        self.disconnect = self._hands.disconnect_container_from_network
        self.die = daemon.kill

    def run_foreign(self, name: str, port: int | None = None, network: str | None = None) -> str:
        ports: dict[int | str, Any] = {80: port} if port else {}
        config = self._hands.create_host_config(port_bindings=ports, network_mode=network)
        made = self._hands.create_container(
            BARE, ["sleep", "1000"], name=name, ports=[80] if port else [], host_config=config
        )
        self._hands.start(made["Id"])
        return str(made["Id"])

    def end(self, container: str) -> None:
        self._hands.kill(container)
        self._hands.wait(container)

    def remove(self, container: str) -> None:
        self._hands.remove_container(container, force=True)

    def prune(self) -> None:
        self._hands.prune_networks()  # type: ignore[no-untyped-call]

    def started(self) -> dict[str, str]:
        """When each container was started."""
        ids = [each["Id"] for each in self._hands.containers(all=True)]
        return {each: self._hands.inspect_container(each)["State"]["StartedAt"] for each in ids}

    def update(self, container: str, **host_config: Any) -> None:
        answer = self._hands.post(
            f"{self._hands.base_url}/v1.41/containers/{container}/update", json=host_config
        )
        answer.raise_for_status()

    def clean(self) -> None:
        """Take everything away that a test made."""
        for each in self._hands.containers(all=True):
            self._hands.remove_container(each["Id"], force=True, v=True)
        with contextlib.suppress(docker.errors.APIError):
            self._hands.leave_swarm(force=True)
        # The swarm's own networks go with the swarm, some only a moment after it was left.
        for each in self._hands.networks(filters={"type": "custom", "scope": "local"}):
            eventually(partial(self._is_removed, each["Id"]), 20.0)
        for each in self._hands.volumes()["Volumes"] or ():
            self._hands.remove_volume(each["Name"], force=True)

    def _is_removed(self, network: str) -> bool:
        """Remove it. The sandbox of the ingress stays on docker_gwbridge if the swarm is left right after its init."""
        with contextlib.suppress(docker.errors.APIError):
            for each in (self._hands.inspect_network(network)["Containers"] or {}).values():
                self._hands.disconnect_container_from_network(each["Name"], network, force=True)
            self._hands.remove_network(network)
            return True
        return False

    def close(self) -> None:
        self.engine.close()
        self._hands.close()
