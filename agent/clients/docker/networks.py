"""Networks and volumes."""

import json
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from agent.clients.docker.door import Door
from agent.clients.docker.errors import creation_failure
from agent.clients.docker.overlays import overlay_addresses, overlay_users, peers
from agent.clients.docker.reading import endpoints, network_state
from agent.clients.docker.transport import quoted
from agent.diff.container import CLUSTER
from agent.errors import Conflict, Missing, Refused
from agent.model.intent import GWBRIDGE, BridgeIntent, NetworkIntent, VolumeIntent
from agent.model.observed import GivenOut, NetworkState
from agent.model.spec import Pairs

_SLOW_S = 30.0
"""A driver that is a plugin is looked for, and may take its time."""
_ALLOCATED_S = 2.0
"""A healthy swarm allocates a network within milliseconds; one it cannot allocate stays without a driver for ever."""

_EVERY_TASK = json.dumps({"runtime": ["attachment", "container"]})
"""Without it GET /tasks keeps quiet about containers that are attached by hand."""


class Networks(Door):
    """The networks and volumes of an engine."""

    def networks(self) -> tuple[NetworkState, ...]:
        return tuple(self._network_state(each) for each in self._ask("networks", "GET", "/networks"))

    def bridge_endpoints(self, network: str) -> Pairs:
        try:
            return endpoints(self._network(network))
        except Missing:
            return ()

    def overlay_peers(self, network_id: str) -> tuple[str, ...]:
        try:
            return peers(self._network(network_id))
        except Missing:
            return ()

    def overlay_users(self, network_id: str) -> Pairs:
        tasks = self._ask("tasks", "GET", "/tasks", params={"filters": _EVERY_TASK})
        services = self._ask("services", "GET", "/services")
        return overlay_users(network_id, tasks, services)

    def overlay_addresses(self, network_id: str) -> GivenOut:
        tasks = self._ask("tasks", "GET", "/tasks", params={"filters": _EVERY_TASK})
        services = self._ask("services", "GET", "/services")
        return overlay_addresses(network_id, tasks, services)

    def volumes(self) -> frozenset[str]:
        return frozenset(each["Name"] for each in self._ask("volumes", "GET", "/volumes")["Volumes"] or ())

    def create_bridge(self, bridge: BridgeIntent) -> None:
        self.create_network(
            NetworkIntent(
                key=GWBRIDGE,
                name=GWBRIDGE,
                driver="bridge",
                attachable=False,
                subnet=bridge.subnet,
                gateway=bridge.gateway,
                options=bridge.options,
            )
        )

    def create_network(self, network: NetworkIntent) -> None:
        try:
            made = self._create(network)
        except Conflict:
            # Somebody else made it in the meantime: as good as ours, if it is as it should be.
            named = [each for each in self.networks() if each.name == network.name]
            if len(named) == 1 and not _faults(named[0], network):
                return
            raise
        if faults := _faults(made, network):
            self.remove_network(made.id)
            raise Refused(f"network {network.name} came out wrong and was removed again: {'; '.join(faults)}")

    def remove_network(self, network_id: str) -> None:
        try:
            self._ask("network_remove", "DELETE", f"/networks/{quoted(network_id)}")
        except Missing:
            return

    def create_volume(self, volume: VolumeIntent) -> None:
        # The engine answers a second create of the same name with the volume that is there.
        body = {
            "Name": volume.name,
            "Driver": volume.driver,
            "DriverOpts": dict(volume.options),
            "Labels": dict(volume.labels),
        }
        self._make("volume_create", "/volumes/create", body)

    def _create(self, network: NetworkIntent) -> NetworkState:
        body: dict[str, Any] = {
            "Name": network.name,
            # Without it engine 20.10 makes a second network of the same name.
            "CheckDuplicate": True,
            "Driver": network.driver,
            "Internal": network.internal,
            "Options": dict(network.options),
            "Labels": dict(network.labels),
        }
        if network.name != GWBRIDGE:
            body["Labels"][CLUSTER] = self._cluster
        if network.driver == "overlay":
            body["Attachable"] = network.attachable
        if network.subnet is not None:
            gateway = {"Gateway": str(network.gateway)} if network.gateway is not None else {}
            body["IPAM"] = {"Driver": "default", "Config": [{"Subnet": str(network.subnet), **gateway}]}
        made = self._make("network_create", "/networks/create", body)
        # A swarm allocates a network after it has said 201.
        settled = Retrying(
            stop=stop_after_delay(_ALLOCATED_S),
            wait=wait_fixed(_ALLOCATED_S / 20),
            retry=retry_if_result(lambda state: not state.driver),
            retry_error_callback=lambda last: last.outcome.result() if last.outcome else None,
        )
        state: NetworkState = settled(lambda: self._network_state(self._network(made["Id"])))
        return state

    def _network_state(self, raw: Mapping[str, Any]) -> NetworkState:
        return network_state(raw, self._cluster)

    def _make(self, call: str, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask(call, "POST", path, body=body, timeout_s=_SLOW_S, as_error=creation_failure)

    def _network(self, network_id: str) -> Any:
        return self._ask("network_inspect", "GET", f"/networks/{quoted(network_id)}")


def _faults(made: NetworkState, wanted: NetworkIntent) -> list[str]:
    """In what a network is not as asked for: 201 only says that the request was understood."""
    if made.driver != wanted.driver:
        found = made.driver or "none: the swarm could not allocate it, most often because its subnet is taken"
        return [f"driver {wanted.driver} wanted, {found} found"]
    faults = []
    if wanted.subnet is not None:
        faults += _fault("subnet", wanted.subnet, made.subnet)
    elif made.subnet is None:
        faults.append("it got no subnet")
    if wanted.gateway is not None:
        faults += _fault("gateway", str(wanted.gateway), made.gateway)
    for key, value in wanted.options:
        faults += _fault(f"option {key}", value, dict(made.options).get(key))
    return faults


def _fault(what: str, wanted: str | IPv4Network, found: str | IPv4Network | None) -> list[str]:
    return [] if wanted == found else [f"{what} {wanted} wanted, {found or 'none'} found"]
