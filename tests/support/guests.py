"""Containers on the networks of a host, ours and others', and docker_gwbridge with whoever has a gateway on it."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from agent.diff.bridge import OURS
from agent.model.host_state import Attached, HostState, NetworkState
from agent.model.intent import PARKING
from agent.model.records import Disruption
from agent.model.status import BridgeReport, HostStatus
from tests.support.builders import REVISION, bridge_network, host, overlay_network, status

INGRESS = ("ingress-sbox", "gateway_ingress-sbox")
WRONG = bridge_network(id="wrong-id", subnet=IPv4Network("172.18.0.0/16"), gateway="172.18.0.1")
"""As docker makes it by itself."""
WHY_WRONG = "subnet: 172.21.0.0/20 wanted, 172.18.0.0/16 found; gateway: 172.21.0.1 wanted, 172.18.0.1 found"
PLACE = NetworkState(
    id="place-id",
    name=PARKING,
    driver="bridge",
    scope="local",
    subnet=IPv4Network("192.168.252.0/22"),
    gateway="192.168.252.1",
    labels=OURS,
)
LOCAL = NetworkState(
    id="local-id",
    name="local",
    driver="bridge",
    scope="local",
    subnet=IPv4Network("10.20.0.0/24"),
    gateway=None,
)


def guest(name: str, *networks: str, ports: tuple[str, ...] = (), running: bool = True) -> Attached:
    """A container on the overlay, or on these networks."""
    on = tuple(sorted(networks)) or ("net",)
    return Attached(id=name.rjust(64, "0"), name=name, running=running, networks=on, ports=ports)


def endpoints(*guests: Attached, ingress: bool = True) -> tuple[tuple[str, str], ...]:
    """The gateways of these containers, and that of the ingress sandbox."""
    theirs = [(each.id, f"gateway_{each.name}") for each in guests]
    return tuple(sorted([*theirs, *([INGRESS] if ingress else [])]))


def hosting(
    *guests: Attached,
    bridge: NetworkState | None = WRONG,
    beside: Iterable[NetworkState] = (),
    **more: Any,
) -> HostState:
    """A member of the swarm with these containers; each on overlays alone has its gateway on `bridge`."""
    have = [each for each in guests if each.running and set(each.networks) == {"net"}]
    found = [replace(bridge, endpoints=bridge.endpoints or endpoints(*have))] if bridge else []
    return host(networks=(*found, overlay_network(), *beside), attached=guests, **more)


def disruption(name: str, state: Any = "acquired", *, quorum: bool = True) -> Disruption:
    """The disruption slot of a host."""
    reason = f"docker_gwbridge of {name} is not as declared"
    return Disruption(host=name, state=state, reason=reason, quorum=quorum)


def says(name: str, phase: Any, *, revision: int = REVISION, **more: Any) -> HostStatus:
    """What a host says of its bridge."""
    return status(name, bridge=BridgeReport(phase=phase, revision=revision), **more)
