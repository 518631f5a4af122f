"""How docker_gwbridge differs from what was agreed, and which containers have a gateway on it.

Its subnet, gateway and options are the same on every host. Docker makes a bridge of its own choice when it finds
none at init or join, and refuses to change it later; so ours is made before either. On a host that is in a swarm
it is changed in parts (docs/gwbridge.md); a temporary network of ours says that a change was begun.
"""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network

from agent.model.host_state import Attached, HostState, NetworkState
from agent.model.intent import GWBRIDGE, PARKING, BridgeIntent, Intent
from agent.model.phrases import differs, short_id
from agent.model.spec import Pairs
from agent.model.status import HostStatus

_PREFIX = "com.docker.network.bridge."
ENGINE_DEFAULTS = {f"{_PREFIX}enable_icc": "true", f"{_PREFIX}enable_ip_masquerade": "true"}
"""What an option left out means to the engine; written out or not, it is the same bridge."""


def bridge_faults(wanted: BridgeIntent, host: HostState) -> tuple[str, ...]:
    """How docker_gwbridge differs from what was agreed, in docker and in the kernel; empty when it does not."""
    if not host.bridges:
        return ("there is no docker_gwbridge",)
    if len(host.bridges) > 1:
        return (f"there are {len(host.bridges)} networks named {GWBRIDGE}",)
    faults = engine_faults(wanted, host.bridges[0])
    return faults or _kernel_faults(wanted, host)


def overlap(subnet: IPv4Network, host: HostState) -> str:
    """What of the host shares addresses with `subnet`, in words; empty when nothing does.

    Docker answers 201 when a new bridge overlaps a route or an address of the host and leaves two equal routes
    behind, so this has to be asked before. The pool of the swarm counts as well: on an overlay that gets a subnet out
    of what is a bridge of the host no container can be started there.
    """
    for network in host.networks:
        if network.name != GWBRIDGE and network.subnet and network.subnet.overlaps(subnet):
            return f"network {network.name} ({network.subnet})"
    for route, device in host.routes:
        if device != GWBRIDGE and route.overlaps(subnet):
            return f"the route {route} dev {device}"
    for address, device in host.addresses:
        # A device that is down has no route until it is up again.
        if device != GWBRIDGE and address.network.overlaps(subnet):
            return f"the address {address} dev {device}"
    pool = next((each for each in host.swarm.pool if each.overlaps(subnet)), None)
    return f"the swarm's address pool {pool}" if pool else ""


def engine_faults(wanted: BridgeIntent, found: NetworkState) -> tuple[str, ...]:
    """How one docker_gwbridge differs from what was agreed, as docker tells it; options left out mean their default."""
    faults = []
    if found.driver != "bridge":
        faults.append(differs("driver", "bridge", found.driver))
    if found.subnet != wanted.subnet:
        faults.append(differs("subnet", wanted.subnet, found.subnet))
    if found.gateway != str(wanted.gateway):
        faults.append(differs("gateway", wanted.gateway, found.gateway))
    want, have = ENGINE_DEFAULTS | dict(wanted.options), ENGINE_DEFAULTS | dict(found.options)
    faults += [
        differs(name.removeprefix(_PREFIX), want.get(name, "nothing"), have.get(name, "nothing"))
        for name in sorted(want.keys() | have.keys())
        if want.get(name) != have.get(name)
    ]
    return tuple(faults)


def _kernel_faults(wanted: BridgeIntent, host: HostState) -> tuple[str, ...]:
    link = host.bridge_link
    if link is None:
        return ("the kernel has no device docker_gwbridge",)
    address = f"{wanted.gateway}/{wanted.subnet.prefixlen}"
    if str(link.address) != address:
        return (differs("kernel address", address, link.address or "none"),)
    # A bridge without ports has no carrier; "up" is the administrative state, which is what an operator can lose.
    return () if link.up else ("the device docker_gwbridge is down",)


OURS = (("io.swarmkeeper.parking", "true"),)
_GATEWAY = "gateway_"
"""How libnetwork begins the name of an endpoint that is somebody's gateway; what is attached by hand has its own."""
INGRESS = "ingress-sbox"
"""Whose endpoint it is through which a swarm's own published ports come in."""
_LONG_ID = 64
"""Length of the id of a container; other sandboxes are called otherwise: ingress-sbox, ep-..."""


def is_begun(host: HostState | HostStatus) -> bool:
    """Whether a change of the bridge was begun there: the temporary network is there, and it is ours."""
    return any(each.name == PARKING and set(OURS) <= set(each.labels) for each in host.networks)


def bridge_is_right(intent: Intent, host: HostState) -> bool:
    """Whether the bridge is as agreed, every container has its gateway on it, and nothing temporary is left."""
    return not bridge_faults(intent.gwbridge, host) and not is_begun(host) and not without_gateway(host)


def without_gateway(host: HostState) -> tuple[Attached, ...]:
    """Running containers on overlays alone that have their gateway nowhere: no egress, no published port."""
    if len(host.bridges) != 1 or host.swarm.local != "active":
        return ()
    there = {whose for whose, _ in host.bridges[0].endpoints}
    return tuple(
        each
        for each in host.attached
        if each.running and each.id not in there | host.settling and _overlays_only(each, host)
    )


def resting(host: HostState) -> tuple[str, ...]:
    """Whose endpoint on a bridge it is that no running container has: one that ended, or starts, or nobody."""
    runs = {each.id: each.running for each in host.attached}
    ends = [whose for bridge in host.bridges for whose, _ in bridge.endpoints if whose != INGRESS]
    return tuple(whose for whose in ends if not runs.get(whose, len(whose) == _LONG_ID))


def to_move(host: HostState) -> tuple[Attached, ...]:
    """Running containers with their gateway on a bridge that is to go, or nowhere."""
    there = {
        whose for bridge in host.bridges for whose, name in bridge.endpoints if name.startswith(_GATEWAY)
    }
    lost = {each.id for each in without_gateway(host)}
    if not host.bridges:
        lost = {each.id for each in host.attached if _overlays_only(each, host)}
    return tuple(each for each in host.attached if each.running and each.id in there | lost)


def _overlays_only(found: Attached, host: HostState) -> bool:
    """On another network, also one that cannot be told, the gateway may be there; on an internal one it wants none."""
    by_name = {each.name: each for each in host.networks}
    on = [by_name[name] for name in found.networks if name in by_name]
    return bool(on) and len(on) == len(found.networks) and all(_is_open_overlay(each) for each in on)


def _is_open_overlay(found: NetworkState) -> bool:
    return found.driver == "overlay" and not found.internal


def attached_by_hand(host: HostState) -> list[str]:
    """Names of the endpoints on docker_gwbridge that docker did not make there by itself."""
    return sorted(
        {
            name
            for bridge in host.bridges
            for whose, name in bridge.endpoints
            if not name.startswith(_GATEWAY) and not whose.startswith("ep-")
        }
    )


def has_mesh(host: HostState) -> bool:
    """Whether the ingress sandbox has its gateway. One that a swap took off gets it back when dockerd starts again."""
    meshed = host.swarm.local == "active" and host.network("ingress") is not None
    there = {whose for bridge in host.bridges for whose, _ in bridge.endpoints}
    return not meshed or INGRESS in there


def with_gateway(host: HostState, container: str) -> HostState:
    """The host with the gateway of a container on docker_gwbridge."""
    endpoint = (container, f"{_GATEWAY}{short_id(container)}")
    return with_endpoints(host, lambda found: tuple(sorted({*found.endpoints, endpoint})))


def with_endpoints(host: HostState, endpoints: Callable[[NetworkState], Pairs]) -> HostState:
    networks = tuple(
        replace(each, endpoints=endpoints(each)) if each.name == GWBRIDGE else each for each in host.networks
    )
    return replace(host, networks=networks)
