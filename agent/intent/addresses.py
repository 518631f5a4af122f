"""Checks over all addresses of a document, and the choice of a pool that is clear of them."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from agent.intent.cluster import Cluster
from agent.model.intent import GWBRIDGE, NetworkIntent, ServiceIntent, SwarmIntent
from agent.yamldoc import Cursor

_LAN = 16
"""Around a host's address this much is taken for its LAN when a pool is chosen; its real prefix is not declared."""
_SECOND_OCTETS = (*range(200, 256), *range(200))


class _Claim(NamedTuple):
    network: IPv4Network
    what: str
    place: Cursor


def check_addresses(root: Cursor, cluster: Cluster, networks: tuple[NetworkIntent, ...]) -> None:
    """Note a fault for each two declared networks that overlap, and each host address that is wrong."""
    claims = list(_claims(root, cluster, networks))
    _check_overlaps(claims)
    _check_hosts(root, cluster, claims)


def _claims(root: Cursor, cluster: Cluster, networks: tuple[NetworkIntent, ...]) -> Iterator[_Claim]:
    if cluster.gwbridge is not None:
        yield _Claim(cluster.gwbridge.subnet, GWBRIDGE, root.at("x-cluster", "gwbridge", "subnet"))
    for number, pool in enumerate(cluster.swarm.default_addr_pool):
        place = root.at("x-cluster", "swarm", "default_addr_pool", number)
        yield _Claim(pool, "default_addr_pool", place)
    for network in networks:
        if network.subnet is not None:
            place = root.at("networks", network.key, "ipam", "config", 0, "subnet")
            yield _Claim(network.subnet, f"network {network.key}", place)


def _check_overlaps(claims: list[_Claim]) -> None:
    """Note each claim that lies inside another one: two networks nest or are disjoint, so sorting finds all."""
    around: list[_Claim] = []
    for claim in sorted(claims, key=lambda each: (each.network.network_address, each.network.prefixlen)):
        while around and not claim.network.subnet_of(around[-1].network):
            around.pop()
        if around:
            one, other = sorted(
                (around[-1], claim), key=lambda each: (each.place.node.line, each.place.node.column)
            )
            problem = f"{other.network} ({other.what}) overlaps {one.network} ({one.what})"
            other.place.fault(problem, "choose networks that share no address")
        around.append(claim)


def _check_hosts(root: Cursor, cluster: Cluster, claims: list[_Claim]) -> None:
    seen: dict[IPv4Address, str] = {}
    for host in cluster.hosts:
        place = root.at("x-cluster", "hosts", host.name, "address")
        if host.address in seen:
            problem = f"{host.address} is the address of {seen[host.address]} already"
            place.fault(problem, "give each host its own")
        seen[host.address] = host.name
        if host.address.is_loopback or host.address.is_multicast or host.address.is_unspecified:
            place.fault(f"{host.address} cannot be reached from another host", "give the address of its LAN")
        for claim in claims:
            if host.address in claim.network:
                problem = f"{host.address} lies inside {claim.network} ({claim.what})"
                place.fault(problem, "the host would become unreachable: choose another network")


def check_registries(
    root: Cursor, cluster: Cluster, networks: tuple[NetworkIntent, ...], services: tuple[ServiceIntent, ...]
) -> None:
    """Note a fault for each image whose registry is an address that a bridge on every host would take over."""
    bridges = [
        (network.subnet, network.gateway, f"network {network.key}")
        for network in networks
        if network.driver == "bridge" and network.subnet is not None
    ]
    if cluster.gwbridge is not None:
        bridges.append((cluster.gwbridge.subnet, cluster.gwbridge.gateway, GWBRIDGE))
    for service in services:
        registry = _registry_address(service.spec.image)
        for subnet, gateway, what in bridges:
            # The gateway is the host itself: a registry may well listen there.
            if registry is not None and registry in subnet and registry != gateway:
                place = root.at("services", service.name, "image")
                problem = f"the registry {registry} lies inside {subnet} ({what})"
                place.fault(problem, "no host could reach it: choose another network")


def _registry_address(image: str) -> IPv4Address | None:
    """The address in `10.0.0.1:5000/team/name:1.0`; None when the registry has a name, or none is said."""
    domain, slash, _ = image.partition("/")
    try:
        return IPv4Address(domain.partition(":")[0]) if slash else None
    except ValueError:
        return None


def with_pool(cluster: Cluster, networks: tuple[NetworkIntent, ...]) -> SwarmIntent:
    """Return the swarm settings with an address pool: the one declared, or the first /16 clear of everything else.

    Docker's own default is 10.0.0.0/8, which overlaps many a declared network. Here 10.200.0.0/16 is tried first,
    then 10.201 to 10.255, then 10.0 to 10.199. The same document always gives the same pool.
    """
    if cluster.swarm.default_addr_pool:
        return cluster.swarm
    taken = [each.subnet for each in networks if each.subnet is not None]
    taken += [IPv4Network((host.address, _LAN), strict=False) for host in cluster.hosts]
    taken += [cluster.gwbridge.subnet] if cluster.gwbridge else []
    candidates = (IPv4Network(f"10.{second}.0.0/16") for second in _SECOND_OCTETS)
    free = next((each for each in candidates if not any(map(each.overlaps, taken))), None)
    mask_length = max(cluster.swarm.mask_length, _LAN)
    return replace(cluster.swarm, default_addr_pool=(free,) if free else (), mask_length=mask_length)


def check_fixed_addresses(
    root: Cursor, networks: tuple[NetworkIntent, ...], services: tuple[ServiceIntent, ...]
) -> None:
    """Note a fault for each `ipv4_address` that its network cannot give, or that is wanted twice."""
    by_name = {each.name: each for each in networks}
    taken: dict[tuple[str, str], str] = {}
    for service in services:
        for each in service.spec.networks:
            network = by_name.get(each.network)
            if each.ipv4_address is None or network is None:
                continue
            place = root.at("services", service.name, "networks", network.key, "ipv4_address")
            holder = taken.setdefault((each.network, each.ipv4_address), service.name)
            if service.copies > 1:
                problem = f"{service.copies} copies cannot share one address"
                place.fault(problem, "run one copy, or leave the address out")
            elif holder != service.name:
                place.fault(f"{each.ipv4_address} is wanted by service {holder} too", "give each its own")
            _check_inside(place, IPv4Address(each.ipv4_address), network)


def _check_inside(place: Cursor, address: IPv4Address, network: NetworkIntent) -> None:
    subnet = network.subnet
    if subnet is None:
        place.fault(f"network {network.key} declares no subnet", "fixed addresses need one: give it in ipam")
    elif address not in subnet:
        place.fault(f"{address} is outside {subnet} (network {network.key})", "choose an address inside")
    elif address == network.gateway:
        place.fault(f"{address} is the gateway of network {network.key}", "choose another address")
    elif address in (subnet.network_address, subnet.broadcast_address):
        place.fault(f"{address} is the first or last address of {subnet}", "choose one in between")
