"""Networks and volumes."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv4Network
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from agent.clients.docker import errors, transport
from agent.clients.docker.reading import attached, endpoints, network_state
from agent.diff.container import CLUSTER
from agent.errors import Conflict, Missing, Refused
from agent.model import host_state, intent
from agent.model.phrases import instead, short_id
from agent.model.spec import Pairs

# ---- Who is on an overlay, by dockerd's answers. Pure: JSON in, names out

_OVER = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")
"""States of a task that holds nothing any more."""


def peers(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """`Peers` of GET /networks/{id}: addresses of the hosts that are on the overlay, as this host has heard."""
    return tuple(sorted({each["IP"] for each in raw.get("Peers") or () if each.get("IP")}))


def overlay_users(
    network_id: str, tasks: Iterable[Mapping[str, Any]], services: Iterable[Mapping[str, Any]]
) -> Pairs:
    """(what, node id) of all that keeps a swarm from removing a network: containers by id, services by name.

    `tasks` of GET /tasks, those of attached containers among them; `services` of GET /services have no node.
    """
    held = [_holder(each) for each in tasks if _is_on(each, network_id) and not _is_ending(each)]
    held += [(f"service {_name(each)}", "") for each in services if network_id in _targets(each)]
    return tuple(sorted(set(held)))


def overlay_addresses(
    network_id: str, tasks: Iterable[Mapping[str, Any]], services: Iterable[Mapping[str, Any]]
) -> host_state.GivenOut:
    """(address, what, node id) of all addresses on a network that the swarm has given out; `what` as `overlay_users`.

    One is free again when its task is over. What each host has on the overlay for itself no manager tells.
    """
    held = {
        (_bare(address), *_holder(task))
        for task in tasks
        if not _is_over(task)
        for each in task.get("NetworksAttachments") or ()
        if (each.get("Network") or {}).get("ID") == network_id
        for address in each.get("Addresses") or ()
    }
    for each in services:
        addresses = (each.get("Endpoint") or {}).get("VirtualIPs") or ()
        held |= {
            (_bare(one.get("Addr") or ""), f"service {_name(each)}", "")
            for one in addresses
            if one.get("NetworkID") == network_id
        }
    return tuple(sorted(held))


def _bare(address: str) -> str:
    return address.partition("/")[0]


def _is_over(task: Mapping[str, Any]) -> bool:
    return (task.get("Status") or {}).get("State") in _OVER


def _is_ending(task: Mapping[str, Any]) -> bool:
    return _is_over(task) or task.get("DesiredState") in _OVER


def _is_on(task: Mapping[str, Any], network_id: str) -> bool:
    attached = task.get("NetworksAttachments") or ()
    return network_id in {(each.get("Network") or {}).get("ID") for each in attached}


def _holder(task: Mapping[str, Any]) -> tuple[str, str]:
    attachment = (task.get("Spec") or {}).get("NetworkAttachmentSpec") or {}
    ran = (task.get("Status") or {}).get("ContainerStatus") or {}
    return attachment.get("ContainerID") or ran.get("ContainerID") or task["ID"], task.get("NodeID") or ""


def _name(service: Mapping[str, Any]) -> str:
    return str((service.get("Spec") or {}).get("Name") or service["ID"])


def _targets(service: Mapping[str, Any]) -> set[str]:
    spec = service.get("Spec") or {}
    listed = [*((spec.get("TaskTemplate") or {}).get("Networks") or ()), *(spec.get("Networks") or ())]
    return {each.get("Target", "") for each in listed}


_SLOW_S = 30.0
"""A driver that is a plugin is looked for, and may take its time."""
_ALLOCATED_S = 2.0
"""A healthy swarm allocates a network within milliseconds; one it cannot allocate stays without a driver for ever."""

_EVERY_TASK = json.dumps({"runtime": ["attachment", "container"]})
"""Without it GET /tasks keeps quiet about containers that are attached by hand."""


class Networks(transport.Door):
    """The networks and volumes of an engine."""

    def networks(self) -> tuple[host_state.NetworkState, ...]:
        return tuple(self._network_state(each) for each in self._ask("networks", "GET", "/networks"))

    def bridge_endpoints(self, network: str) -> Pairs:
        return endpoints(self._network_if_there(network))

    def overlay_peers(self, network_id: str) -> tuple[str, ...]:
        return peers(self._network_if_there(network_id))

    def overlay_users(self, network_id: str) -> Pairs:
        tasks = self._ask("tasks", "GET", "/tasks", params={"filters": _EVERY_TASK})
        services = self._ask("services", "GET", "/services")
        return overlay_users(network_id, tasks, services)

    def overlay_addresses(self, network_id: str) -> host_state.GivenOut:
        tasks = self._ask("tasks", "GET", "/tasks", params={"filters": _EVERY_TASK})
        services = self._ask("services", "GET", "/services")
        return overlay_addresses(network_id, tasks, services)

    def volumes(self) -> frozenset[str]:
        return frozenset(each["Name"] for each in self._ask("volumes", "GET", "/volumes")["Volumes"] or ())

    def create_bridge(self, bridge: intent.BridgeIntent) -> None:
        self.create_network(
            intent.NetworkIntent(
                key=intent.GWBRIDGE,
                name=intent.GWBRIDGE,
                driver="bridge",
                attachable=False,
                subnet=bridge.subnet,
                gateway=bridge.gateway,
                options=bridge.options,
            )
        )

    def create_network(self, network: intent.NetworkIntent) -> None:
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
        with suppress(Missing):
            self._ask("network_remove", "DELETE", f"/networks/{transport.quoted(network_id)}")

    def create_volume(self, volume: intent.VolumeIntent) -> None:
        # The engine answers a second create of the same name with the volume that is there.
        body = {
            "Name": volume.name,
            "Driver": volume.driver,
            "DriverOpts": dict(volume.options),
            "Labels": dict(volume.labels),
        }
        self._make("volume_create", "/volumes/create", body)

    def _create(self, network: intent.NetworkIntent) -> host_state.NetworkState:
        body: dict[str, Any] = {
            "Name": network.name,
            # Without it engine 20.10 makes a second network of the same name.
            "CheckDuplicate": True,
            "Driver": network.driver,
            "Internal": network.internal,
            "Options": dict(network.options),
            "Labels": dict(network.labels),
        }
        if network.name != intent.GWBRIDGE:
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
        state: host_state.NetworkState = settled(lambda: self._network_state(self._network(made["Id"])))
        return state

    def _network_state(self, raw: Mapping[str, Any]) -> host_state.NetworkState:
        return network_state(raw, self._cluster)

    def _make(self, call: str, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask(call, "POST", path, body=body, timeout_s=_SLOW_S, as_error=errors.creation_failure)

    def _network_if_there(self, network: str) -> Mapping[str, Any]:
        try:
            raw: Mapping[str, Any] = self._network(network)
        except Missing:
            return {}
        return raw

    def _network(self, network_id: str) -> Any:
        return self._ask("network_inspect", "GET", f"/networks/{transport.quoted(network_id)}")


def _faults(made: host_state.NetworkState, wanted: intent.NetworkIntent) -> list[str]:
    """In what a network is not as asked for: 201 only says that the request was understood."""
    if made.driver != wanted.driver:
        found = made.driver or "none: the swarm could not allocate it, most often because its subnet is taken"
        return [f"driver {instead(wanted.driver, found)}"]
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
    return [] if wanted == found else [f"{what} {instead(wanted, found or 'none')}"]


# ---- What a change of docker_gwbridge under running containers needs (docs/gwbridge.md)
#
# libnetwork looks again at where the gateway of a container is whenever it joins or leaves a network: on a
# bridge network it has its gateway there, on overlays alone it gets one on whatever network is named
# docker_gwbridge.

_PARKING_SLOW_S = 30.0
"""A connect takes 0.1 s, and more behind a container that is being started or stopped."""
_DONE = ("already", "marked for removal")
_GONE = ("is not connected to", "no such container", "not found")


class Parking(Networks):
    """Attaching containers to a temporary bridge, and taking off what is nobody's."""

    def park(self, container: str, network: str) -> None:
        # One that is missing has ended, and with it went what was to be moved.
        with suppress(Missing), errors.unless(*_DONE, of=Conflict):
            self._attach(container, network, {}, _PARKING_SLOW_S)

    def unpark(self, container: str, network: str) -> None:
        self._take_off(container, network, force=False)
        # dockerd says that all went well; and whoever comes after us would try again and again if it did not.
        if self._is_up(container) and container not in dict(self.bridge_endpoints(intent.GWBRIDGE)):
            raise Conflict(f"the gateway of {short_id(container)} did not come back onto {intent.GWBRIDGE}")

    def release_endpoint(self, network: str, endpoint: str) -> None:
        # Without force dockerd looks for a container of that name and finds none.
        self._take_off(endpoint, network, force=True)

    def _is_up(self, container: str) -> bool:
        """Whether it runs, and is on a network. Of the list: an inspect waits for whatever is done to it."""
        params = {"filters": json.dumps({"id": [container]})}
        found = [attached(each) for each in self._ask("containers", "GET", "/containers/json", params=params)]
        return any(each.id == container and each.running and each.networks for each in found)

    def _take_off(self, whose: str, network: str, *, force: bool) -> None:
        with suppress(Missing), errors.unless(*_GONE):
            self._detach(whose, network, _PARKING_SLOW_S, force=force)
