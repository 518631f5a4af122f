"""The containers of an engine in memory, kept as `inspect` shows them, so that they are compared as real ones are."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

from agent.errors import Conflict, Missing, Refused, Unreachable
from tests.fakes.container_inspect import attached, inspect_of

Raw = dict[str, Any]
Subnets = Callable[[str], IPv4Network | None]
"""The subnet of a network by name; None when it is not to be had on this host."""

ADDRESS_IS_TAKEN = (
    "attaching to network failed, make sure your network options are correct and check manager logs: "
    "context deadline exceeded"
)
"""What dockerd says after 20 s when somebody has the address that a container asks for."""
DUPLICATE_ADDRESS = "Address already in use"
"""What it says at once when the swarm gives a container an address that its host has given away already."""
RUNNING = ("running", "paused", "restarting")


class FakeContainers:
    """What is done to containers, by the agent or by hand. Names and ids are both understood."""

    def __init__(
        self,
        has_network: Callable[[str], bool],
        address: Callable[[str], str],
        network_id: Callable[[str, str], str] = lambda name, _: name,
        plugged: Callable[[Raw], None] = lambda _: None,
        taken: Callable[[str], set[str]] = lambda _: set(),
    ) -> None:
        """`plugged` is told of every container that has joined or left a network, or has ended; `taken` tells which
        addresses of a network somebody has."""
        self.raws: dict[str, Raw] = {}
        self.kept_ports: set[tuple[str, str]] = set()
        """(protocol, port) of mappings that dockerd has restored after a crash, for nobody."""
        self.refused: dict[str, str] = {}
        """Image -> what docker says when a container of it is started for the first time."""
        self.misgives = False
        """Whether the swarm gives the next container that joins an overlay such an address."""
        self._duplicate: set[str] = set()
        """Ids of those that it gave one: it gives them the same one for ever."""
        self._has_network = has_network
        self._address = address
        self._network_id = network_id
        self._plugged = plugged
        self._taken = taken
        self._numbers = itertools.count(1)

    def create(self, body: Mapping[str, Any], image: Mapping[str, Any], name: str) -> Raw:
        if holder := self._named(name):
            raise Conflict(f'The container name "/{name}" is already in use by container "{holder["Id"]}".')
        container_id = hashlib.sha256(str(next(self._numbers)).encode()).hexdigest()
        raw = inspect_of(body, image, container_id=container_id, name=name)
        self.raws[container_id] = raw
        return raw

    def get(self, name: str) -> Raw:
        raw = self.raws.get(name) or self._named(name)
        if raw is None:
            raise Missing(f"No such container: {name}")
        return raw

    def start(self, name: str) -> Raw:
        raw = self.get(name)
        if is_up(raw):
            return raw
        before = raw["State"]["Status"]
        try:
            if before == "created" and (why := self.refused.get(raw["Config"]["Image"])):
                raise Refused(why)
            self._check_networks(raw)
            self._check_ports(raw)
            raw["State"]["Status"] = "running"
            self._plugged(raw)
        except (Refused, Unreachable) as error:
            raw["State"] |= {"Status": before, "Error": str(error)}
            raise
        for network, each in raw["NetworkSettings"]["Networks"].items():
            fixed = (each.get("IPAMConfig") or {}).get("IPv4Address")
            each["IPAddress"] = fixed or self._address(network)
            each["NetworkID"] = self._network_id(network, each.get("NetworkID") or "")
        raw["State"] |= {"Status": "running", "Error": "", "StartedAt": self._now(), "ExitCode": 0}
        return raw

    def end(self, name: str, exit_code: int = 0) -> None:
        """The process ends: by itself, by a stop, by a kill."""
        raw = self.get(name)
        if is_up(raw):
            raw["State"] |= {"Status": "exited", "ExitCode": exit_code, "FinishedAt": self._now()}
            for each in raw["NetworkSettings"]["Networks"].values():
                each["IPAddress"] = ""
            self._plugged(raw)

    def pause(self, name: str) -> None:
        self.get(name)["State"]["Status"] = "paused"

    def unpause(self, name: str) -> None:
        raw = self.get(name)
        if raw["State"]["Status"] == "paused":
            raw["State"]["Status"] = "running"

    def remove(self, name: str, *, force: bool = False) -> None:
        raw = self.get(name)
        if is_up(raw) and not force:
            raise Conflict(f"You cannot remove a running container {raw['Id']}.")
        self.end(name)
        del self.raws[raw["Id"]]

    def rename(self, name: str, to: str) -> None:
        raw, holder = self.get(name), self._named(to)
        if holder is not None and holder is not raw:
            raise Conflict(f'The container name "/{to}" is already in use by container "{holder["Id"]}".')
        raw["Name"] = f"/{to}"

    def update(self, name: str, changes: Mapping[str, Any]) -> None:
        """`docker update`: `changes` are of HostConfig."""
        self.get(name)["HostConfig"].update(changes)

    def connect(self, name: str, network: str, endpoint: Mapping[str, Any]) -> None:
        raw = self.get(name)
        networks = raw["NetworkSettings"]["Networks"]
        running = is_up(raw)
        if running and network in networks:
            raise Conflict(f"endpoint with name {raw['Name'][1:]} already exists in network {network}")
        if running and not self._has_network(network):
            raise Unreachable(f"network {network} not found")
        made = attached(endpoint, [raw["Id"][:12]])
        fixed = (made["IPAMConfig"] or {}).get("IPv4Address")
        if running:
            self._check_address(network, made)
        made["NetworkID"] = self._network_id(network, "")
        networks[network] = made | {"IPAddress": (fixed or self._address(network)) if running else ""}
        self._plugged(raw)

    def disconnect(self, name: str, network: str) -> None:
        """Leave a network, given by its name or its id."""
        raw = self.get(name)
        on = raw["NetworkSettings"]["Networks"]
        network = next((each for each, found in on.items() if found.get("NetworkID") == network), network)
        if on.pop(network, None) is not None:
            self._plugged(raw)

    def cut_off(self, networks: Iterable[str]) -> None:
        """The host leaves the swarm: what runs on its overlays loses them for good, what is stopped keeps them."""
        for raw in self.raws.values():
            for network in networks if is_up(raw) else ():
                self.disconnect(raw["Id"], network)

    def on(self, network: str, network_id: str) -> list[str]:
        """Names of the running containers on a network."""
        ends = (
            (raw["Name"][1:], raw["NetworkSettings"]["Networks"].get(network))
            for raw in self.raws.values()
            if is_up(raw)
        )
        # One that is just being plugged in has no id yet.
        return [
            name for name, end in ends if end is not None and end.get("NetworkID") in ("", None, network_id)
        ]

    def ids_on(self, network: str, network_id: str) -> list[str]:
        """Ids of the running containers on a network."""
        return [self.get(name)["Id"] for name in self.on(network, network_id)]

    def addresses(self, network: str) -> set[str]:
        networks = (raw["NetworkSettings"]["Networks"] for raw in self.raws.values())
        return {each[network].get("IPAddress", "") for each in networks if network in each}

    def addresses_by_id(self, network: str, network_id: str) -> dict[str, str]:
        """Of the running containers on a network."""
        found = {
            each: self.get(each)["NetworkSettings"]["Networks"][network]
            for each in self.ids_on(network, network_id)
        }
        return {each: raw["IPAddress"] for each, raw in found.items() if raw.get("IPAddress")}

    def _named(self, name: str) -> Raw | None:
        return next((raw for raw in self.raws.values() if raw["Name"] == f"/{name}"), None)

    def _check_networks(self, raw: Raw) -> None:
        for network, each in raw["NetworkSettings"]["Networks"].items():
            if not self._has_network(network):
                raise Unreachable(f"network {network} not found")
            # One that was removed and recreated is another one to a container that was on it.
            if (known := each.get("NetworkID")) and known != self._network_id(network, known):
                raise Unreachable(f"Could not attach to network {known}: network {known} not found")
            self._check_address(network, each)
            self._check_given(raw["Id"], network, each)

    def _check_given(self, container_id: str, network: str, endpoint: Mapping[str, Any]) -> None:
        if network == "bridge" or (endpoint.get("IPAMConfig") or {}).get("IPv4Address"):
            return
        if self.misgives:
            self.misgives = False
            self._duplicate.add(container_id)
        if container_id in self._duplicate:
            raise Refused(DUPLICATE_ADDRESS)

    def _check_address(self, network: str, endpoint: Mapping[str, Any]) -> None:
        fixed = (endpoint.get("IPAMConfig") or {}).get("IPv4Address")
        if fixed and fixed in self._taken(network):
            raise Unreachable(ADDRESS_IS_TAKEN)

    def _check_ports(self, raw: Raw) -> None:
        others = (each for each in self.raws.values() if is_up(each))
        taken = {port for each in others for port in published(each)} | self.kept_ports
        for port in published(raw):
            if port in taken:
                raise Refused(f"Bind for 0.0.0.0:{port[1]} failed: port is already allocated")

    def _now(self) -> str:
        return f"2024-01-01T00:00:{next(self._numbers):09.6f}Z"


def is_up(raw: Raw) -> bool:
    return raw["State"]["Status"] in RUNNING


def published(raw: Raw) -> Iterable[tuple[str, str]]:
    """(protocol, port of the host) of what it publishes on a port that somebody else chose."""
    for target, bindings in (raw["HostConfig"].get("PortBindings") or {}).items():
        for each in bindings or ():
            if each["HostPort"].isdigit():
                yield target.rpartition("/")[2], each["HostPort"]
