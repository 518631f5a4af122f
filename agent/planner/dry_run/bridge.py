"""What docker_gwbridge, the network beside it and the turn will be when a step on them has succeeded."""

from dataclasses import replace
from ipaddress import IPv4Interface
from typing import assert_never

from agent.diff.bridge import with_endpoints, with_gateway
from agent.model import leader_steps, steps
from agent.model.host_state import HostState, LinkState, NetworkState
from agent.model.intent import GWBRIDGE, BridgeIntent, NetworkIntent
from agent.model.observed import ClusterState
from agent.model.records import Disruption

BridgeStep = steps.CreateParking | steps.Park | steps.SwapBridge | steps.Unpark | steps.RemoveParking

TurnStep = leader_steps.OfferTurn | steps.TakeTurn | steps.GiveBackTurn | leader_steps.EndTurn


def on_turn(cluster: ClusterState, step: TurnStep) -> ClusterState:
    """What etcd holds after `step`."""
    match step:
        case leader_steps.OfferTurn():
            turn = Disruption(host=step.host, state="offered", reason=step.reason, quorum=step.quorum)
        case steps.TakeTurn():
            turn = replace(step.turn, state="taken")
        case steps.GiveBackTurn():
            turn = replace(step.turn, state="done")
        case leader_steps.EndTurn():
            return replace(cluster, disruption=None, disruption_revision=0)
    return replace(cluster, disruption=turn, disruption_revision=cluster.disruption_revision + 1)


def on_bridge(host: HostState, step: BridgeStep) -> HostState:
    """The host after `step`."""
    match step:
        case steps.CreateParking():
            return replace(host, networks=(*host.networks, network_of(step.network)))
        case steps.Park():
            return _without_endpoint(_with_network(host, step.container, step.network), step.container)
        case steps.SwapBridge():
            left = tuple(each for each in host.networks if each.id not in step.old)
            return with_bridge(replace(host, networks=left), step.bridge)
        case steps.Unpark():
            return with_gateway(_without_network(host, step.container, step.network), step.container)
        case steps.RemoveParking():
            return replace(host, networks=tuple(each for each in host.networks if each.name != step.network))
    assert_never(step)


def with_bridge(host: HostState, wanted: BridgeIntent) -> HostState:
    """The host with docker_gwbridge as agreed, in docker and in the kernel."""
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
    """A network as it comes out of its intent."""
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


def _with_network(host: HostState, container: str, network: str) -> HostState:
    attached = tuple(
        replace(each, networks=tuple(sorted({*each.networks, network}))) if each.id == container else each
        for each in host.attached
    )
    return replace(host, attached=attached)


def _without_network(host: HostState, container: str, network: str) -> HostState:
    attached = tuple(
        replace(each, networks=tuple(name for name in each.networks if name != network))
        if each.id == container
        else each
        for each in host.attached
    )
    return replace(host, attached=attached)


def _without_endpoint(host: HostState, container: str) -> HostState:
    return with_endpoints(host, lambda found: tuple(each for each in found.endpoints if each[0] != container))
