"""Reading and changing the networks and volumes of an engine."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv4Network
from typing import Any
from uuid import uuid4

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from agent.clients.docker import errors, reading, transport
from agent.diff.container import CLUSTER, CREATION
from agent.errors import Conflict, Missing, Refused
from agent.model import host_state, intent
from agent.model.phrases import instead, short_id
from agent.model.spec import Pairs

# ---- Peers and users of an overlay in dockerd's answers. Pure: JSON in, names out

Listed = Iterable[Mapping[str, Any]]
_OVER = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")
"""States in which a task uses no network or address any more."""


def overlay_peers(raw: Mapping[str, Any]) -> reading.OverlayPeers:
    """Return the peers, this host's own endpoint and the duplicate addresses in the answer of GET /networks/{id}."""
    own = (raw.get("Containers") or {}).get(f"lb-{raw.get('Name')}") or {}
    peers = {each["IP"] for each in raw.get("Peers") or () if each.get("IP")}
    tasks = (task for each in (raw.get("Services") or {}).values() for task in each.get("Tasks") or ())
    count = Counter(address for _, address in {(each["EndpointID"], each["EndpointIP"]) for each in tasks})
    duplicates = sorted(address for address, endpoints in count.items() if address and endpoints > 1)
    return reading.OverlayPeers(tuple(sorted(peers)), _bare(own.get("IPv4Address") or ""), tuple(duplicates))


def overlay_users(network_id: str, tasks: Listed, services: Listed) -> Pairs:
    """Return (user, node id) of all users that keep a swarm from removing a network: container ids, service names.

    `tasks` of GET /tasks include those of attached containers; `services` of GET /services have no node.
    """
    found = [_user(each) for each in tasks if _stays_on(each, network_id)]
    found += [(f"service {_name(each)}", "") for each in services if network_id in _targets(each)]
    return tuple(sorted(set(found)))


def overlay_addresses(network_id: str, tasks: Listed, services: Listed) -> host_state.GivenOut:
    """Return (address, user, node id) of all addresses that the swarm has allocated on a network.

    The users are those of `overlay_users`. An address is free when its task has ended. No manager reports the address
    of a host on the overlay.
    """
    found = {
        (_bare(address), *_user(task))
        for task in tasks
        if not _is_over(task)
        for each in task.get("NetworksAttachments") or ()
        if (each.get("Network") or {}).get("ID") == network_id
        for address in each.get("Addresses") or ()
    }
    for each in services:
        addresses = (each.get("Endpoint") or {}).get("VirtualIPs") or ()
        found |= {
            (_bare(one.get("Addr") or ""), f"service {_name(each)}", "")
            for one in addresses
            if one.get("NetworkID") == network_id
        }
    return tuple(sorted(found))


def _bare(address: str) -> str:
    return address.partition("/")[0]


def _is_over(task: Mapping[str, Any]) -> bool:
    return (task.get("Status") or {}).get("State") in _OVER


def _stays_on(task: Mapping[str, Any], network_id: str) -> bool:
    attached = {(each.get("Network") or {}).get("ID") for each in task.get("NetworksAttachments") or ()}
    return network_id in attached and not _is_over(task) and task.get("DesiredState") not in _OVER


def _user(task: Mapping[str, Any]) -> tuple[str, str]:
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
"""The engine first searches a driver that is a plugin."""
_ALLOCATED_S = 2.0
"""A healthy swarm allocates a network within milliseconds; one that it cannot allocate never gets a driver."""

_EVERY_TASK = json.dumps({"runtime": ["attachment", "container"]})
"""Without this filter GET /tasks omits containers that are attached by hand."""

_PARKING_SLOW_S = 30.0
"""A connect takes 0.1 s, longer while a container starts or stops."""
_DONE = ("already", "marked for removal")
_GONE = ("is not connected to", "no such container", "not found")


class Networks(transport.Part):
    def networks(self) -> tuple[host_state.NetworkState, ...]:
        """Return all networks, without their endpoints."""
        return reading.network_states(self._ask("networks", "GET", "/networks"), self._cluster)

    def bridge_endpoints(self, network: str) -> Pairs:
        """Return (owner, name) of each endpoint on a network of this host (its name or id); none if it is missing.

        The owner is the id of a container, or `ingress-sbox`.
        """
        return reading.endpoints(self._found("network_inspect", _path(network)) or {})

    def overlay_peers(self, network_id: str, *, verbose: bool = False) -> reading.OverlayPeers:
        """Return an overlay as this host sees it; with `verbose` also the duplicate addresses, from all endpoints."""
        params = {"verbose": str(verbose).lower()}
        return overlay_peers(self._found("network_inspect", _path(network_id), params=params) or {})

    def overlay_users(self, network_id: str) -> Pairs:
        """Return what blocks the removal of an overlay. Refused on a worker, Unreachable without a quorum."""
        return overlay_users(network_id, *self._tasks_and_services())

    def overlay_addresses(self, network_id: str) -> host_state.GivenOut:
        """Return the addresses that the swarm has allocated on an overlay; managers only."""
        return overlay_addresses(network_id, *self._tasks_and_services())

    def _tasks_and_services(self) -> tuple[Any, Any]:
        tasks = self._ask("tasks", "GET", "/tasks", params={"filters": _EVERY_TASK})
        return tasks, self._ask("services", "GET", "/services")

    def volumes(self) -> tuple[host_state.VolumeState, ...]:
        """Return all volumes, sorted by name."""
        found = sorted(self._ask("volumes", "GET", "/volumes")["Volumes"] or (), key=lambda raw: raw["Name"])
        return tuple(reading.volume_state(raw, self._cluster) for raw in found)

    def create_bridge(self, bridge: intent.BridgeIntent, labels: Pairs = ()) -> None:
        """Create docker_gwbridge; Refused when the created bridge differs from the request."""
        self.create_network(
            intent.NetworkIntent(
                key=intent.GWBRIDGE,
                name=intent.GWBRIDGE,
                driver="bridge",
                attachable=False,
                subnet=bridge.subnet,
                gateway=bridge.gateway,
                options=bridge.options,
                labels=labels,
            )
        )

    def create_network(self, network: intent.NetworkIntent) -> None:
        """Create a managed network. Refused when the swarm cannot allocate an overlay, which is then removed again."""
        try:
            made = self._create(network)
        except Conflict:
            # Another program created the network meanwhile; it is used if it is as declared. A bridge has to be ours.
            wanted = network.name, network.driver == "overlay"
            theirs = network.driver == "overlay" or network.name == intent.GWBRIDGE
            present = (each for each in self.networks() if not each.left_behind)
            named = [each for each in present if (each.name, each.scope == "swarm") == wanted]
            if len(named) == 1 and (theirs or named[0].ours) and not _faults(named[0], network):
                return
            raise
        if faults := _faults(made, network):
            self.remove_network(made.id)
            raise Refused(f"network {network.name} differed and was removed again: {'; '.join(faults)}")

    def remove_network(self, network_id: str) -> None:
        """Remove a network. Refused or Conflict while it has users; those of an overlay may be on any node."""
        with suppress(Missing):
            self._ask("network_remove", "DELETE", _path(network_id))

    def create_volume(self, volume: intent.VolumeIntent) -> None:
        # The engine answers a second create of the same name with the existing volume.
        body = {
            "Name": volume.name,
            "Driver": volume.driver,
            "DriverOpts": dict(volume.options),
            "Labels": {**dict(volume.labels), CLUSTER: self._cluster},
        }
        self._make("volume_create", "/volumes/create", body)

    # ---- Parking: the steps that a change of docker_gwbridge under running containers needs (docs/gwbridge.md)
    #
    # libnetwork moves the gateway of a container whenever the container joins or leaves a network. On a bridge
    # network the gateway is on that bridge; on overlays alone it is on the network named docker_gwbridge.

    def park(self, container: str, network: str) -> None:
        """Attach a container to a bridge network; the gateway of a running container moves from docker_gwbridge to it.

        Succeeds if the container does not exist.
        """
        # A missing container has ended, and has no gateway to move.
        with suppress(Missing), errors.unless(*_DONE, of=Conflict):
            self._attach(container, network, {}, _PARKING_SLOW_S)

    def unpark(self, container: str, network: str) -> None:
        """Detach a container, given by id, from `network`; its gateway returns to docker_gwbridge, which must exist.

        Conflict when the gateway did not return.
        """
        self._remove_endpoint(container, network, force=False)
        # dockerd answers with success even if the gateway is missing; the agent would repeat the step endlessly.
        if self._is_up(container) and container not in dict(self.bridge_endpoints(intent.GWBRIDGE)):
            raise Conflict(f"the gateway of {short_id(container)} did not return to {intent.GWBRIDGE}")

    def release_endpoint(self, network: str, endpoint: str) -> None:
        """Remove an endpoint without a container, such as the ingress sandbox, from a network, given by name or id."""
        # Without force dockerd searches a container of that name and finds none.
        self._remove_endpoint(endpoint, network, force=True)

    def remove_leftover(self, network_id: str, name: str, creation: str) -> None:
        """Remove an overlay that only this engine still has, given by its id, name and label `creation`.

        Succeeds if it is missing. Conflict while a container of this host is on it.
        """
        own = (f"lb-{name}", f"{name}-endpoint")
        found = self.bridge_endpoints(network_id)
        if users := [endpoint for owner, endpoint in found if owner != own[0]]:
            # Without its own endpoint, dockerd counts the network with one container as empty.
            raise Conflict(f"network {short_id(network_id)} is in use by {', '.join(users)}")
        self.release_endpoint(network_id, own[1])
        # DELETE /networks/{id} asks the swarm, which does not have it. A prune removes it from the engine.
        params = {"filters": json.dumps({"label": [f"{CREATION}={creation}"]})}
        self._ask("network_prune", "POST", "/networks/prune", params=params, timeout_s=_SLOW_S)
        if self._found("network_inspect", _path(network_id)):
            raise Refused(f"dockerd keeps network {short_id(network_id)}: run `systemctl restart docker`")

    def _is_up(self, container: str) -> bool:
        """Return True if the container runs and has a network. By the list: an inspect waits for its lock."""
        params = {"filters": json.dumps({"id": [container]})}
        found = map(reading.attached, self._ask("containers", "GET", "/containers/json", params=params))
        return any(each.id == container and each.running and each.networks for each in found)

    def _remove_endpoint(self, owner: str, network: str, *, force: bool) -> None:
        with suppress(Missing), errors.unless(*_GONE):
            self._detach(owner, network, _PARKING_SLOW_S, force=force)

    def _create(self, network: intent.NetworkIntent) -> host_state.NetworkState:
        body: dict[str, Any] = {
            "Name": network.name,
            # Without this flag engine 20.10 creates a second local network of the same name. With it, it refuses an
            # overlay for a local network of this host; the swarm itself keeps the names of overlays unique.
            "CheckDuplicate": network.driver != "overlay",
            "Driver": network.driver,
            "Internal": network.internal,
            "Options": dict(network.options),
            "Labels": dict(network.labels),
        }
        if network.name != intent.GWBRIDGE:
            body["Labels"][CLUSTER] = self._cluster
        if network.driver == "overlay":
            body["Attachable"] = network.attachable
            body["Labels"][CREATION] = uuid4().hex
        if network.subnet is not None:
            gateway = {"Gateway": str(network.gateway)} if network.gateway is not None else {}
            body["IPAM"] = {"Driver": "default", "Config": [{"Subnet": str(network.subnet), **gateway}]}
        made = self._make("network_create", "/networks/create", body)
        # A swarm allocates a network after the answer 201.
        settled = Retrying(
            stop=stop_after_delay(_ALLOCATED_S),
            wait=wait_fixed(_ALLOCATED_S / 20),
            retry=retry_if_result(lambda state: not state.driver),
            retry_error_callback=lambda last: last.outcome.result() if last.outcome else None,
        )
        path = _path(made["Id"])
        state: host_state.NetworkState = settled(
            lambda: reading.network_state(self._ask("network_inspect", "GET", path), self._cluster)
        )
        return state

    def _make(self, call: str, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask(call, "POST", path, body=body, timeout_s=_SLOW_S, as_error=errors.creation_failure)


def _path(network: str) -> str:
    return f"/networks/{transport.quoted(network)}"


def _faults(made: host_state.NetworkState, wanted: intent.NetworkIntent) -> list[str]:
    """Return the differences from the request: 201 only means that the engine accepted it."""
    if made.driver != wanted.driver:
        found = made.driver or "none: the swarm could not allocate it; usually its subnet is in use"
        return [f"driver {instead(wanted.driver, found)}"]
    faults = []
    if wanted.subnet is not None:
        faults += _fault("subnet", wanted.subnet, made.subnet)
    elif made.subnet is None:
        faults.append("no subnet assigned")
    if wanted.gateway is not None:
        faults += _fault("gateway", str(wanted.gateway), made.gateway)
    for key, value in wanted.options:
        faults += _fault(f"option {key}", value, dict(made.options).get(key))
    return faults


def _fault(field: str, wanted: str | IPv4Network, found: str | IPv4Network | None) -> list[str]:
    return [] if wanted == found else [f"{field} {instead(wanted, found or 'none')}"]
