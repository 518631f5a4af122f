"""Differences of docker_gwbridge from its declaration, and the gateways of containers on it.

Its subnet, gateway and options are the same on every host. If docker finds no bridge at init or join, it creates one
with its own subnet and refuses to change it later, so the agent creates the bridge first. On a host in a swarm it is
replaced in several steps (docs/gwbridge.md); the parking network shows that such a change has begun.
"""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network

from agent.model.host_state import Attached, Difference, HostState, NetworkState
from agent.model.intent import GWBRIDGE, PARKING, BridgeIntent, Intent
from agent.model.phrases import differs, short_id
from agent.model.spec import Pairs
from agent.model.status import HostStatus

_PREFIX = "com.docker.network.bridge."
ENGINE_DEFAULTS = {f"{_PREFIX}enable_icc": "true", f"{_PREFIX}enable_ip_masquerade": "true"}
"""The engine's value of an option that is left out."""


def bridge_differences(wanted: BridgeIntent, host: HostState) -> tuple[Difference, ...]:
    """Differences of docker_gwbridge from its declaration, in docker and in the kernel."""
    if not host.bridges:
        return (_differs("missing", GWBRIDGE, "none", f"there is no {GWBRIDGE}"),)
    if (count := len(host.bridges)) > 1:
        return (_differs("duplicate", "1", str(count), f"there are {count} networks named {GWBRIDGE}"),)
    return docker_differences(wanted, host.bridges[0]) or _kernel_differences(wanted, host)


def _differs(field: str, wanted: object, found: object, text: str = "") -> Difference:
    return Difference.of(field, wanted, found, "replace", text)


def overlap(subnet: IPv4Network, host: HostState) -> str:
    """Describe the first network, route, address or swarm pool that overlaps `subnet`; empty: none does.

    If a new bridge overlaps a route or an address of the host, docker answers 201 and leaves two equal routes behind,
    so the overlap is checked before. The pool of the swarm counts because no container can start on an overlay whose
    subnet overlaps a bridge of its host.
    """
    for network in host.networks:
        if network.name != GWBRIDGE and network.subnet and network.subnet.overlaps(subnet):
            return f"network {network.name} ({network.subnet})"
    for route, device in host.routes:
        if device != GWBRIDGE and route.overlaps(subnet):
            return f"the route {route} dev {device}"
    for address, device in host.addresses:
        # A device that is down has an address but no route.
        if device != GWBRIDGE and address.network.overlaps(subnet):
            return f"the address {address} dev {device}"
    pool = next((each for each in host.swarm.pool if each.overlaps(subnet)), None)
    return f"the swarm's address pool {pool}" if pool else ""


def docker_differences(wanted: BridgeIntent, found: NetworkState) -> tuple[Difference, ...]:
    """Differences of one docker_gwbridge from its declaration, as docker lists it; left-out options have defaults."""
    fields = (
        ("driver", "bridge", found.driver),
        ("subnet", wanted.subnet, found.subnet),
        ("gateway", str(wanted.gateway), found.gateway),
    )
    want, have = ENGINE_DEFAULTS | dict(wanted.options), ENGINE_DEFAULTS | dict(found.options)
    options = (
        (name.removeprefix(_PREFIX), want.get(name, "nothing"), have.get(name, "nothing"))
        for name in sorted(want.keys() | have.keys())
    )
    return tuple(_differs(*each) for each in (*fields, *options) if each[1] != each[2])


def _kernel_differences(wanted: BridgeIntent, host: HostState) -> tuple[Difference, ...]:
    link = host.bridge_link
    if link is None:
        return (_differs("device", GWBRIDGE, "none", f"the kernel has no device {GWBRIDGE}"),)
    address, found = f"{wanted.gateway}/{wanted.subnet.prefixlen}", str(link.address or "none")
    if found != address:
        return (_differs("address", address, found, differs("kernel address", address, found)),)
    # A bridge without ports has no carrier; "up" is the administrative state, which an operator can change.
    return () if link.up else (_differs("up", "up", "down", f"the device {GWBRIDGE} is down"),)


OURS = (("io.swarmkeeper.parking", "true"),)
_GATEWAY = "gateway_"
"""Prefix that libnetwork gives the endpoint of a container's gateway; an endpoint attached by hand has another name."""
INGRESS = "ingress-sbox"
"""Sandbox of the routing mesh, through which the published ports of Swarm's own services come in."""
_LONG_ID = 64
"""Length of a container id in characters; other sandboxes have shorter names: ingress-sbox, ep-..."""


def is_begun(host: HostState | HostStatus) -> bool:
    """Return True if a change of the bridge has begun on the host: it has our parking network."""
    return any(each.name == PARKING and set(OURS) <= set(each.labels) for each in host.networks)


def bridge_is_right(intent: Intent, host: HostState) -> bool:
    """Return True if the bridge is as declared, every container has its gateway on it, and no parking is left."""
    return not bridge_differences(intent.gwbridge, host) and not is_begun(host) and not without_gateway(host)


def without_gateway(host: HostState) -> tuple[Attached, ...]:
    """Running containers on overlays alone without a gateway: they have no egress and no published port."""
    if len(host.bridges) != 1 or host.swarm.local != "active":
        return ()
    owners = {owner for owner, _ in host.bridges[0].endpoints}
    return tuple(
        each
        for each in host.attached
        if each.running and each.id not in owners | host.settling and _overlays_only(each, host)
    )


def resting(host: HostState) -> tuple[str, ...]:
    """Owners of bridge endpoints that no running container has: an ended, a starting or an unknown container."""
    runs = {each.id: each.running for each in host.attached}
    owners = [owner for bridge in host.bridges for owner, _ in bridge.endpoints if owner != INGRESS]
    return tuple(owner for owner in owners if not runs.get(owner, len(owner) == _LONG_ID))


def to_move(host: HostState) -> tuple[Attached, ...]:
    """Running containers whose gateway is on a bridge that will be replaced, or missing."""
    owners = {
        owner for bridge in host.bridges for owner, name in bridge.endpoints if name.startswith(_GATEWAY)
    }
    without = {each.id for each in without_gateway(host)}
    if not host.bridges:
        without = {each.id for each in host.attached if _overlays_only(each, host)}
    return tuple(each for each in host.attached if each.running and each.id in owners | without)


def _overlays_only(found: Attached, host: HostState) -> bool:
    """Return True if all networks are known, external overlays: else the gateway may be elsewhere or not needed."""
    by_name = {each.name: each for each in host.networks}
    on = [by_name[name] for name in found.networks if name in by_name]
    return bool(on) and len(on) == len(found.networks) and all(_is_open_overlay(each) for each in on)


def _is_open_overlay(found: NetworkState) -> bool:
    return found.driver == "overlay" and not found.internal


def attached_by_hand(host: HostState) -> list[str]:
    """Names of the endpoints on docker_gwbridge that docker did not create by itself."""
    return sorted(
        {
            name
            for bridge in host.bridges
            for owner, name in bridge.endpoints
            if not name.startswith(_GATEWAY) and not owner.startswith("ep-")
        }
    )


def has_mesh(host: HostState) -> bool:
    """Return True if the ingress sandbox has its gateway or needs none. Restarting dockerd restores it after a swap."""
    meshed = host.swarm.local == "active" and host.network("ingress") is not None
    owners = {owner for bridge in host.bridges for owner, _ in bridge.endpoints}
    return not meshed or INGRESS in owners


def with_gateway(host: HostState, container: str) -> HostState:
    """Return the host with the container's gateway on docker_gwbridge."""
    endpoint = (container, f"{_GATEWAY}{short_id(container)}")
    return with_endpoints(host, lambda found: tuple(sorted({*found.endpoints, endpoint})))


def with_endpoints(host: HostState, endpoints: Callable[[NetworkState], Pairs]) -> HostState:
    networks = tuple(
        replace(each, endpoints=endpoints(each)) if each.name == GWBRIDGE else each for each in host.networks
    )
    return replace(host, networks=networks)
