"""Effects of the steps on docker_gwbridge and the parking network."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Interface
from typing import assert_never

from agent.diff.bridge import with_endpoints, with_gateway
from agent.model import steps
from agent.model.host_state import HostState, LinkState, NetworkState
from agent.model.intent import GWBRIDGE, BridgeIntent, NetworkIntent

Names = tuple[str, ...]


def on_bridge(host: HostState, step: steps.BridgeStep) -> HostState:
    match step:
        case steps.CreateBridge():
            return _with_bridge(host, step.bridge)
        case steps.RemoveBridge():
            networks = tuple(each for each in host.networks if each.id != step.id)
            remains = any(each.name == GWBRIDGE for each in networks)
            return replace(host, networks=networks, bridge_link=host.bridge_link if remains else None)
        case steps.CreateParking():
            return replace(host, networks=(*host.networks, network_of(step.network)))
        case steps.Park():
            host = _on_networks(host, step.container, lambda on: tuple(sorted({*on, step.network})))
            return with_endpoints(
                host, lambda found: tuple(each for each in found.endpoints if each[0] != step.container)
            )
        case steps.SwapBridge():
            kept = tuple(each for each in host.networks if each.id not in step.old)
            return _with_bridge(replace(host, networks=kept), step.bridge)
        case steps.Unpark():
            left = _on_networks(host, step.container, lambda on: tuple(n for n in on if n != step.network))
            return with_gateway(left, step.container)
        case steps.RemoveParking():
            return replace(host, networks=tuple(each for each in host.networks if each.name != step.network))
    assert_never(step)


def _with_bridge(host: HostState, wanted: BridgeIntent) -> HostState:
    """Return the host with docker_gwbridge as declared, in docker and in the kernel."""
    made = NetworkState(
        id=f"({GWBRIDGE})",
        name=GWBRIDGE,
        driver="bridge",
        scope="local",
        subnet=wanted.subnet,
        gateway=str(wanted.gateway),
        options=wanted.options,
    )
    link = LinkState(address=IPv4Interface(f"{wanted.gateway}/{wanted.subnet.prefixlen}"), up=True)
    return replace(host, networks=(*host.networks, made), bridge_link=link)


def network_of(wanted: NetworkIntent) -> NetworkState:
    """The network that docker creates from its declaration."""
    return NetworkState(
        id=f"({wanted.name})",
        name=wanted.name,
        driver=wanted.driver,
        scope="swarm" if wanted.driver == "overlay" else "local",
        subnet=wanted.subnet,
        gateway=str(wanted.gateway) if wanted.gateway else None,
        options=wanted.options,
        attachable=wanted.attachable,
        internal=wanted.internal,
        labels=wanted.labels,
        ours=True,
    )


def _on_networks(host: HostState, container: str, change: Callable[[Names], Names]) -> HostState:
    """Return the host with the networks of one container changed."""
    attached = (
        replace(each, networks=change(each.networks)) if each.id == container else each
        for each in host.attached
    )
    return replace(host, attached=tuple(attached))
