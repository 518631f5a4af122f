"""What must hold at every moment, looked at each second on every host whose dockerd answers."""

import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from integration.cluster import NAME
from integration.lab import docker_socket
from integration.lab.errors import LabError
from integration.lab.host import Host
from integration.lab.lab import Lab

EVERY_S = 1.0
ANSWER_S = 3.0
DUPLICATE_ADDRESS_S = 60.0
"""So long two containers may have one address. It is the engine's doing, to be told and then cured by hand."""
OUTSIDE_S = 20.0
"""dockerd says while it ends and begins that it is in no swarm; for longer than this it would be true."""
PARKING = "swarmkeeper_parking"
FOREIGN = "foreign"
"""How the container, the network and the volume are called that are not ours; on every host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container as docker shows it."""

    id: str
    started_at: str
    running: bool
    addresses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.id[:12]} {'runs since' if self.running else 'does not run, was started'} {self.started_at}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one dockerd said."""

    node: str
    """Id of its node; empty: it is in no swarm."""
    swarm: str
    """Empty: it is in none, or has no leader to ask."""
    managers: int | None
    """How many the swarm has; None: it has no leader, or this node cannot tell."""
    containers: Mapping[str, Container]
    networks: Mapping[str, str]
    """Id by name."""
    volumes: frozenset[str]

    @property
    def foreign(self) -> tuple[str, str, bool]:
        """What of the foreign things is there."""
        container = self.containers.get(FOREIGN)
        return (
            container.id if container else "gone",
            self.networks.get(FOREIGN, "gone"),
            FOREIGN in self.volumes,
        )


def look(host: Host) -> Look | None:
    """Ask a dockerd; None when it does not answer."""
    try:
        info, containers = _get(host, "/info"), _get(host, "/containers/json?all=1")
        inspected = (_get(host, f"/containers/{each['Id']}/json") for each in containers)
        return Look(
            node=info["Swarm"]["NodeID"],
            swarm=(info["Swarm"].get("Cluster") or {}).get("ID", ""),
            managers=_managers(host) if info["Swarm"]["ControlAvailable"] else None,
            containers=dict(_container(each) for each in inspected),
            networks={each["Name"]: each["Id"] for each in _get(host, "/networks")},
            volumes=frozenset(each["Name"] for each in _get(host, "/volumes")["Volumes"] or ()),
        )
    except (OSError, LabError, ValueError, KeyError, LookupError):
        return None


def _get(host: Host, path: str) -> Any:
    status, body = docker_socket.get(host.socket, path, timeout=ANSWER_S)
    if status != 200:
        raise LookupError(f"{path}: {status}")
    return json.loads(body)


def _managers(host: Host) -> int | None:
    try:
        return [each["Spec"]["Role"] for each in _get(host, "/nodes")].count("manager")
    except LookupError:
        return None


def _container(raw: Mapping[str, Any]) -> tuple[str, Container]:
    networks = raw["NetworkSettings"]["Networks"] or {}
    state = raw["State"]
    found = Container(
        id=raw["Id"],
        started_at=state["StartedAt"],
        running=bool(state["Running"]),
        addresses=tuple(sorted(each["IPAddress"] for name, each in networks.items() if "overlay" in name)),
    )
    return raw["Name"].lstrip("/"), found


def service_of(container: str) -> str:
    return container.removeprefix(f"{NAME}-").rpartition("-")[0]


def replicas(seen: Look) -> dict[str, Container]:
    """Those of ours that have the name of a replica."""
    return {name: each for name, each in seen.containers.items() if name.startswith(f"{NAME}-")}


@dataclass(slots=True)
class Excuses:
    """Where replicas may be stopped at the moment, and why: hosts that were hit, services that were edited."""

    hosts: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)

    def clear(self) -> None:
        self.hosts.clear()
        self.services.clear()


class Watch:
    """Looks each second; `violations` has each thing found once. Begin and `rebase` it when all is well."""

    def __init__(self, lab: Lab, told: Callable[[str], None]) -> None:
        """`told` is called with each violation, on the thread of the watch."""
        self._hosts, self._told = lab.hosts, told
        self.excuses = Excuses()
        self.violations: list[str] = []
        self.looks = 0
        self._lock = threading.Lock()
        self._base: dict[str, Look] = {}
        self._outside_since: dict[str, float] = {}
        self._double_since: dict[str, float] = {}
        self._suspected: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        assert self.rebase(), "all is well before anything happens"
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def rebase(self) -> bool:
        """Take what is there now for right and excuse nobody any more; False, and no change, unless all replicas run.

        Call it when the agents say that all has converged: by then dockerd may know better.
        """
        with self._lock:
            now = {name: seen for name, seen in self._look().items() if seen is not None}
            if len(now) < len(self._hosts) or not all(self._is_whole(*each) for each in now.items()):
                return False
            self._base = now
            self.excuses.clear()
            return True

    def _is_whole(self, name: str, seen: Look) -> bool:
        running = {replica for replica, each in replicas(seen).items() if each.running}
        return bool(seen.swarm) and running == (set(replicas(self._base[name])) if self._base else running)

    def _look(self) -> dict[str, Look | None]:
        with ThreadPoolExecutor(len(self._hosts)) as pool:
            return dict(zip((each.name for each in self._hosts), pool.map(look, self._hosts), strict=True))

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stop.wait(EVERY_S):
                with self._lock:
                    self._check({name: seen for name, seen in self._look().items() if seen is not None})
                    self.looks += 1
        except Exception:
            self._violated(f"the watch has ended, nobody looks any more: {traceback.format_exc()}")

    def _check(self, seen: Mapping[str, Look]) -> None:
        for text in (
            *self._of_swarm(seen),
            *self._of_foreign(seen),
            *self._of_replicas(seen),
            *self._of_addresses(seen),
        ):
            self._violated(text)
        # Hosts are not seen at the very same moment: what two of them have at once is true when it is seen twice.
        twice = {*_doubles(seen), *_disturbed(seen)}
        for text in twice & self._suspected:
            self._violated(text)
        self._suspected = twice

    def _violated(self, text: str) -> None:
        if text not in self.violations:
            self.violations.append(text)
            self._told(text)

    def _of_swarm(self, seen: Mapping[str, Look]) -> Iterable[str]:
        now = time.monotonic()
        for name, each in seen.items():
            if each.node:
                self._outside_since.pop(name, None)
            since = self._outside_since.setdefault(name, now) if not each.node else now
            if now - since > OUTSIDE_S:
                yield f"{name} is in no swarm any more"
            if each.node and each.node != self._base[name].node:
                yield f"{name} is node {each.node}, not {self._base[name].node}"
            if each.swarm and each.swarm != self._base[name].swarm:
                yield f"{name} is in swarm {each.swarm}, not in {self._base[name].swarm}"
            if each.managers is not None and each.managers != self._base[name].managers:
                yield f"the swarm has {each.managers} managers, not {self._base[name].managers}"

    def _of_addresses(self, seen: Mapping[str, Look]) -> Iterable[str]:
        now = time.monotonic()
        self._double_since = {each: self._double_since.get(each, now) for each in _duplicate_addresses(seen)}
        return [each for each, since in self._double_since.items() if now - since > DUPLICATE_ADDRESS_S]

    def _of_foreign(self, seen: Mapping[str, Look]) -> Iterable[str]:
        for name, each in seen.items():
            if each.foreign != self._base[name].foreign:
                yield f"what is foreign on {name} was {self._base[name].foreign} and is {each.foreign}"

    def _of_replicas(self, seen: Mapping[str, Look]) -> Iterable[str]:
        for host, each in seen.items():
            if host in self.excuses.hosts:
                continue
            for name, before in replicas(self._base[host]).items():
                now = each.containers.get(name)
                if service_of(name) in self.excuses.services or now == before:
                    continue
                if now is None or (now.id, now.started_at, now.running) != (
                    before.id,
                    before.started_at,
                    True,
                ):
                    yield f"{name} on {host} was stopped without a reason: {before}; now {now or 'it is gone'}"


def _doubles(seen: Mapping[str, Look]) -> set[str]:
    running = [
        (name, each) for host in seen.values() for name, each in replicas(host).items() if each.running
    ]
    names = Counter(name for name, _ in running)
    return {f"{name} runs on {n} hosts" for name, n in names.items() if n > 1}


def _duplicate_addresses(seen: Mapping[str, Look]) -> set[str]:
    running = [each for host in seen.values() for each in replicas(host).values() if each.running]
    addresses = Counter(address for each in running for address in each.addresses if address)
    return {f"{n} containers have the address {address}" for address, n in addresses.items() if n > 1}


def _disturbed(seen: Mapping[str, Look]) -> set[str]:
    parking = sorted(name for name, each in seen.items() if PARKING in each.networks)
    return {f"docker_gwbridge is changed on {' and '.join(parking)} at once"} if len(parking) > 1 else set()
