"""Differences of docker_gwbridge from its declaration, and the gateways of containers on it.

Its subnet, gateway and options are the same on every host. If docker finds no bridge at init or join, it creates one
with its own subnet and refuses to change it later, so the agent creates the bridge first. On a host in a swarm it is
replaced in several steps (docs/gwbridge.md); the parking network shows that such a change has begun.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network

from agent.model.host_state import Attached, Difference, HostState, NetworkState
from agent.model.intent import GWBRIDGE, PARKING, BridgeIntent, Intent
from agent.model.network_options import BRIDGE, normalized
from agent.model.phrases import cut, differs, short_id
from agent.model.spec import Pairs
from agent.model.status import HostStatus

ENGINE_DEFAULTS = {f"{BRIDGE}enable_icc": "true", f"{BRIDGE}enable_ip_masquerade": "true"}
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
    want, have = (ENGINE_DEFAULTS | dict(normalized(each)) for each in (wanted.options, found.options))
    options = (
        (name.removeprefix(BRIDGE), want.get(name, "nothing"), have.get(name, "nothing"))
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


# ---- A form that docker refused: the old form is made again, with labels that say which one was refused, and why

REFUSED, REFUSAL = "io.swarmkeeper.refused", "io.swarmkeeper.refusal"
_BEFORE = "io.swarmkeeper.before"
"""The label of the parking network with the form that docker_gwbridge had."""


TRY_AGAIN_S = 600.0
"""Seconds until a form that docker refused for a cause outside of it is tried again: an attempt interrupts gateways."""
_LASTING = ("failed to parse", "invalid", "out of range", "differed and was removed")
"""Parts of docker's errors about the form itself, which one engine always gives."""


def mark_of(wanted: BridgeIntent, host: HostState) -> str:
    """Return the mark of a form that docker refused; an engine of another version may take it."""
    return sha256(f"{host.engine_version} {_as_text(wanted)}".encode()).hexdigest()[:16]


def refusal(mark: str, error: str) -> Pairs:
    """Return the labels of a docker_gwbridge that was made again because docker refused the form with that `mark`."""
    return ((REFUSED, mark), (REFUSAL, cut(error, _MOST_REFUSAL)))


def refused_form(wanted: BridgeIntent, host: HostState) -> tuple[BridgeIntent, str, bool] | None:
    """Return (the form that stays, docker's error, True if that lasts) while `wanted` is not tried here."""
    kept = form_of(host)
    labels = dict(host.bridges[0].labels) if kept else {}
    if kept is None or labels.get(REFUSED) != mark_of(wanted, host):
        return None
    error = labels.get(REFUSAL, "")
    lasts = any(each in error.lower() for each in _LASTING)
    if not lasts and host.bridge_seen_s >= TRY_AGAIN_S:
        return None
    return replace(kept, method=wanted.method), error, lasts


def form_of(host: HostState) -> BridgeIntent | None:
    """Return the form of the only docker_gwbridge; None: there is none, or several."""
    if len(host.bridges) != 1:
        return None
    found = host.bridges[0]
    if found.subnet is None or found.gateway is None:
        return None
    return BridgeIntent(subnet=found.subnet, gateway=IPv4Address(found.gateway), options=found.options)


def form_before(host: HostState) -> BridgeIntent | None:
    """Return the form of docker_gwbridge, or while it is missing, the one that the parking network has a note of."""
    parking = host.network(PARKING)
    label = dict(parking.labels).get(_BEFORE) if parking and not host.bridges else None
    if label is None:
        return form_of(host)
    try:
        content = json.loads(label)
        options = tuple((str(name), str(value)) for name, value in content["options"])
        return BridgeIntent(
            subnet=IPv4Network(content["subnet"]), gateway=IPv4Address(content["gateway"]), options=options
        )
    except (ValueError, KeyError, TypeError):
        return None


def note_of(form: BridgeIntent | None) -> Pairs:
    """Return the label with which the parking network keeps a form of docker_gwbridge."""
    return ((_BEFORE, _as_text(form)),) if form else ()


def _as_text(form: BridgeIntent) -> str:
    content = {"subnet": str(form.subnet), "gateway": str(form.gateway), "options": sorted(form.options)}
    return json.dumps(content, separators=(",", ":"))


_MOST_REFUSAL = 300
"""Characters of docker's error in a label."""
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
    others = (each for each in host.attached if each.running and each.id not in owners | host.settling)
    return tuple(each for each in others if _overlays_only(each, host))


def resting(host: HostState) -> tuple[str, ...]:
    """Owners of bridge endpoints that no running container has: an ended, a starting or an unknown container."""
    runs = {each.id: each.running for each in host.attached}
    owners = [owner for bridge in host.bridges for owner, _ in bridge.endpoints if owner != INGRESS]
    return tuple(owner for owner in owners if not runs.get(owner, len(owner) == _LONG_ID))


def to_move(host: HostState) -> tuple[Attached, ...]:
    """Running containers whose gateway is on a bridge that will be replaced, or missing."""
    endpoints = (each for bridge in host.bridges for each in bridge.endpoints)
    owners = {owner for owner, name in endpoints if name.startswith(_GATEWAY)}
    without = {each.id for each in without_gateway(host)}
    if not host.bridges:
        without = {each.id for each in host.attached if _overlays_only(each, host)}
    return tuple(each for each in host.attached if each.running and each.id in owners | without)


def _overlays_only(found: Attached, host: HostState) -> bool:
    """Return True if all networks are known, external overlays: else the gateway may be elsewhere or not needed."""
    on = [host.network_of(found, name) for name in found.networks]
    return bool(on) and all(each and each.driver == "overlay" and not each.internal for each in on)


def attached_by_hand(host: HostState) -> list[str]:
    """Names of the endpoints on docker_gwbridge that docker did not create by itself."""
    endpoints = {each for bridge in host.bridges for each in bridge.endpoints}
    by_hand = (name for owner, name in endpoints if not owner.startswith("ep-"))
    return sorted({name for name in by_hand if not name.startswith(_GATEWAY)})


def has_mesh(host: HostState) -> bool:
    """Return True if the ingress sandbox has its gateway or needs none. Restarting dockerd restores it after a swap."""
    networks = [(each.name, each.scope) for each in host.networks]
    meshed = host.swarm.local == "active" and ("ingress", "swarm") in networks
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
