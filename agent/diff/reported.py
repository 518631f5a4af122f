"""The observation of a host, rebuilt from its last status, so that another host can plan for it.

And the reports of finished replicas, which agent and dry run both make.
"""

from collections.abc import Callable
from functools import cache
from inspect import signature
from ipaddress import IPv4Interface, IPv4Network
from typing import TypeVar

from agent.diff.bridge import with_gateway, without_gateway
from agent.errors import Invalid
from agent.model import host_state, records
from agent.model.status import BridgeReport, HostStatus, NetworkReport, ReplicaReport

T = TypeVar("T")

NOTHING_THERE = host_state.HostState(
    engine_version="", live_restore=False, swarm=host_state.SwarmState(local="inactive")
)
"""Stands for a host that never reported: an engine without networks, images or containers."""


def host_of(status: HostStatus) -> host_state.HostState | None:
    """The host as its status describes it; None if its dockerd did not answer.

    Raises Invalid for a malformed address or subnet.
    """
    try:
        return _with_gateways(_host(status), status) if status.engine_up else None
    except ValueError as error:
        raise Invalid(f"not a host status: {error}") from error


def _host(status: HostStatus) -> host_state.HostState:
    return alike(
        host_state.HostState,
        status,
        swarm=_swarm(status),
        networks=tuple(_network(each) for each in status.networks),
        containers=tuple(_container(each) for each in status.replicas if not each.removed),
        foreign_names=tuple((name, "") for name in status.foreign_names),
        images=frozenset(status.images),
        volumes=frozenset(status.volumes),
        remembered=_remembered(status),
        bridge_link=_link(status.bridge),
        routes=tuple((IPv4Network(destination), device) for destination, device in status.routes),
        addresses=tuple((IPv4Interface(address), device) for address, device in status.addresses),
    )


def _with_gateways(host: host_state.HostState, status: HostStatus) -> host_state.HostState:
    """Add every container's gateway if the reported phase is "right": then each has its gateway on the bridge."""
    if status.bridge.phase == "right":
        for each in without_gateway(host):
            host = with_gateway(host, each.id)
    return host


def _swarm(status: HostStatus) -> host_state.SwarmState:
    return alike(
        host_state.SwarmState,
        status,
        local="error" if status.state == "unknown" else status.state,
        error=status.swarm_error,
        address=status.swarm_address,
        joined_through=status.joined.through if status.joined else None,
        pool=tuple(IPv4Network(each) for each in status.pool),
        cluster=status.other_cluster,
    )


def _network(report: NetworkReport) -> host_state.NetworkState:
    subnet = IPv4Network(report.subnet) if report.subnet else None
    return alike(host_state.NetworkState, report, subnet=subnet, gateway=report.gateway or None)


def _container(report: ReplicaReport) -> host_state.ContainerState:
    replica = records.Replica(service=report.service, slot=report.slot, spec=report.spec)
    return alike(host_state.ContainerState, report, replica=replica)


def finished_reports(host: host_state.HostState) -> tuple[ReplicaReport, ...]:
    """Return the reports of replicas that have finished and whose containers were removed since."""
    here = {each.replica.key for each in host.containers}
    return tuple(
        alike(
            ReplicaReport, each.run, service=each.service, slot=each.slot, volumes=each.volumes, removed=True
        )
        for each in host.remembered
        if each.run and each.key not in here
    )


def _remembered(status: HostStatus) -> tuple[host_state.Remembered, ...]:
    here = [
        alike(
            host_state.Remembered,
            each,
            run=alike(host_state.FinishedRun, each, shape="", finished_at="") if each.removed else None,
        )
        for each in status.replicas
        if each.volumes or each.removed
    ]
    return tuple({each.key: each for each in (*status.left_volumes, *here)}.values())


def alike(kind: Callable[..., T], found: object, **other: object) -> T:
    """Build a `kind` from the attributes of `found` that have the names of its fields, and from `other`."""
    names = (each for each in _fields(kind) if each not in other and hasattr(found, each))
    return kind(**{each: getattr(found, each) for each in names}, **other)


@cache
def _fields(kind: Callable[..., object]) -> tuple[str, ...]:
    return tuple(signature(kind).parameters)


def _link(report: BridgeReport) -> host_state.LinkState | None:
    if not report.device:
        return None
    address = IPv4Interface(report.address) if report.address else None
    return host_state.LinkState(address=address, up=report.up)
