"""One reading of docker on all hosts: `docker info`, `node ls`, the containers and docker_gwbridge, by the API."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from integration.lab import docker_socket
from integration.lab.errors import LabError
from integration.lab.host import Host

PING_S, ANSWER_S = 3.0, 30.0
"""A dockerd that is well answers a ping at once. A manager that the others do not reach asks for a raft leader for up
to 20 s before it shows its networks or itself."""
BRIDGE = "docker_gwbridge"
LABEL = "io.swarmkeeper."


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container as `docker inspect` shows it."""

    name: str
    image: str
    running: bool
    exit_code: int
    health: str
    """healthy, unhealthy or starting; empty: there is no check."""
    environment: frozenset[str]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One dockerd."""

    swarm: str
    """LocalNodeState: active, inactive, pending, error or locked."""
    is_manager: bool
    node: str
    subnets: tuple[str, ...]
    """Of docker_gwbridge; empty: there is none."""
    containers: Mapping[str, Container]
    nodes: Mapping[str, tuple[str, str, str]] | None
    """As this manager lists them by id: role, state and reachability; None: it cannot list them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All hosts, each between `began` and `ended` on the monotonic clock. A host's value is None: no answer."""

    began: float
    ended: float
    engines: Mapping[str, Engine | None]


def read(hosts: list[Host]) -> Reading:
    """Ask every dockerd, all at the same time."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(hosts)) as pool:
        engines = dict(zip((host.name for host in hosts), pool.map(_read, hosts), strict=True))
    return Reading(began=began, ended=time.monotonic(), engines=engines)


def _read(host: Host) -> Engine | None:
    try:
        docker_socket.get(host.socket, "/_ping", timeout=PING_S)
        info = _get(host, "/info")
        listed = _get(host, "/containers/json?all=1")
        containers = [_get(host, f"/containers/{each['Id']}/json") for each in listed]
        networks = [each for each in _get(host, "/networks") if each["Name"] == BRIDGE]
    except (OSError, LabError, ValueError, LookupError):
        return None
    swarm = info["Swarm"]
    return Engine(
        swarm=swarm["LocalNodeState"],
        is_manager=bool(swarm.get("ControlAvailable")),
        node=swarm.get("NodeID", ""),
        subnets=tuple(each["Subnet"] for network in networks for each in network["IPAM"]["Config"] or ()),
        containers={each.name: each for each in map(_container, containers)},
        nodes=_nodes(host) if swarm.get("ControlAvailable") else None,
    )


def _get(host: Host, path: str) -> Any:
    status, body = docker_socket.get(host.socket, path, timeout=ANSWER_S)
    if status != 200:
        raise LookupError(f"{path}: {status}")
    return json.loads(body)


def _container(raw: Mapping[str, Any]) -> Container:
    state, config = raw["State"], raw["Config"]
    return Container(
        name=raw["Name"].lstrip("/"),
        image=config["Image"],
        running=bool(state["Running"]) and not state["Restarting"] and not state["Paused"],
        exit_code=int(state["ExitCode"]),
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        environment=frozenset(config["Env"] or ()),
        labels=dict(config["Labels"] or {}),
    )


def _nodes(host: Host) -> Mapping[str, tuple[str, str, str]] | None:
    try:
        return {
            each["ID"]: (
                each["Spec"]["Role"],
                each["Status"]["State"],
                (each.get("ManagerStatus") or {}).get("Reachability", ""),
            )
            for each in _get(host, "/nodes")
        }
    except (OSError, LabError, ValueError, LookupError):
        return None
