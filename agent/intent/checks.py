"""Checks across the sections of a document, and the choice of an address pool that overlaps none of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

import msgspec

from agent.intent.cluster import Cluster
from agent.intent.extent import refuse
from agent.intent.ports import clash
from agent.intent.vocabulary import COMPLETED
from agent.model.intent import GWBRIDGE, NetworkIntent, ServiceIntent, SwarmIntent, VolumeIntent
from agent.model.records import LARGEST_VALUE
from agent.model.spec import ContainerSpec, Port
from agent.yamldoc import Cursor

MOST_OF_SPECS = 6_000_000
"""Bytes of all specs together. The leader needs about ten times that much memory for them."""

_DEFAULTS = len(msgspec.json.encode(ContainerSpec(image="")))
"""Bytes of the defaults, which a stored spec omits. Encoding the canonical form itself would take longer."""
MOST_PUBLISHED = 100_000
"""Published ports of all services on all hosts together."""

_RAFT_PORT = 2377
_GOSSIP_PORT = 7946
_DATA_PATH_PORT = 4789


Networks = tuple[NetworkIntent, ...]
Volumes = tuple[VolumeIntent, ...]
Services = tuple[ServiceIntent, ...]


def check_sections(
    root: Cursor,
    cluster: Cluster,
    swarm: SwarmIntent,
    networks: Networks,
    volumes: Volumes,
    services: Services,
) -> None:
    """Note each fault that spans sections. `swarm` has the chosen address pool, or none if no /16 is free."""
    managers = [each.name for each in cluster.hosts if each.role == "manager"]
    if not managers:
        remedy = "a swarm needs at least one; three survive a loss"
        root.at("x-cluster", "hosts").conflict("no host is a manager", remedy)
    if (order := cluster.policy.handover) and order.to not in managers:
        place, declared = (
            root.at("x-cluster", "policy", "handover", "to"),
            {each.name for each in cluster.hosts},
        )
        state = (
            "is a worker, and only a manager can be the leader" if order.to in declared else "is not declared"
        )
        remedy = f"write a manager, as {managers[0]}, or remove handover" if managers else "remove handover"
        place.conflict(f"the host '{order.to}' {state}", remedy)
    _check_names(root, networks, volumes)
    claims = list(_claims(root, cluster, networks))
    _check_overlaps(claims)
    _check_hosts(root, cluster, claims)
    _check_registries(root, cluster, networks, services)
    _check_fixed_addresses(root, networks, services)
    _check_host_ports(root, services, swarm)
    _check_sizes(root, services)
    _check_dependencies(root, services)
    if not swarm.default_addr_pool:
        problem = "no /16 of 10.0.0.0/8 is free for Docker's own networks"
        root.at("x-cluster").conflict(problem, "give a default_addr_pool")


def _check_names(root: Cursor, networks: Networks, volumes: Volumes) -> None:
    """Note a fault for each network or volume whose name in Docker another one has."""
    for section, things in (("networks", networks), ("volumes", volumes)):
        seen: dict[str, str] = {}
        for each in things:
            if each.name in seen:
                problem = f"'{each.name}' is already the name of {seen[each.name]}"
                root.at(section, each.key, "name").conflict(problem, "give each its own name")
            seen[each.name] = each.key


def _check_host_ports(root: Cursor, services: Services, swarm: SwarmIntent) -> None:
    """Note a fault for each port of a host that two replicas publish, or that the swarm itself uses."""
    published = sum(len(each.spec.ports) * (each.replicas or len(each.placement)) for each in services)
    if published > MOST_PUBLISHED:
        problem = f"more than {MOST_PUBLISHED} published ports"
        root.at("services").fault(problem, "use network_mode: host for some", kind="size")
        return
    data = swarm.data_path_port or _DATA_PATH_PORT
    own = (_RAFT_PORT, "tcp"), (_GOSSIP_PORT, "tcp"), (_GOSSIP_PORT, "udp"), (data, "udp")
    taken: dict[tuple[str, int, str], list[tuple[Port, str]]] = {}
    for service in services:
        place = root.at("services", service.name, "ports")
        for port in service.spec.ports:
            low, high = map(int, port.among.split("-")) if port.among else (port.published or 0,) * 2
            for number, protocol in own:
                if protocol == port.protocol and low <= number <= high:
                    problem = f"the swarm itself uses port {number}/{protocol} of a host"
                    place.conflict(problem, "publish another port")
            for host, replicas in service.placement if port.published else ():
                if replicas > 1:
                    problem = f"{replicas} replicas on {host} cannot all publish port {port.published}/{port.protocol}"
                    place.conflict(problem, "run one replica on each host, or publish no port")
                if replicas:
                    same = taken.setdefault((host, port.published or 0, port.protocol), [])
                    _check_published(place, port, host, same)
                    same.append((port, service.name))


def _check_published(place: Cursor, port: Port, host: str, published: list[tuple[Port, str]]) -> None:
    if owner := next((service for other, service in published if clash(port, other)), None):
        problem = f"port {port.published}/{port.protocol} on {host} is already published by service {owner}"
        place.conflict(problem, "publish another port, or run it on another host")


def _check_sizes(root: Cursor, services: Services) -> None:
    """Note a fault for each service too large for a key of etcd, and for all specs together being too large."""
    whole = 0
    for each in services:
        size = len(msgspec.json.encode(each.spec)) - _DEFAULTS
        if size > LARGEST_VALUE:
            problem = f"has {size} bytes as JSON, aliases expanded"
            refuse(root.at("services", each.name), problem, LARGEST_VALUE)
        whole += size
    if whole > MOST_OF_SPECS:
        refuse(root.at("services"), f"have {whole} bytes as JSON, aliases expanded", MOST_OF_SPECS)


def _check_dependencies(root: Cursor, services: Services) -> None:
    """Note a fault for each undeclared dependency, each condition that is never met, and each service in a cycle."""
    specs = {each.name: each.spec for each in services}
    for service in services:
        for name, condition in service.depends_on:
            fault = None if name not in specs else _why_never(specs[name], name, condition)
            if name in specs and fault is None:
                continue
            place = root.at("services", service.name, "depends_on", name)
            if fault is None:
                remedy = place.guess(name, specs, "declare it, or remove it here")
                place.conflict(f"the service '{name}' is not declared", remedy)
            else:
                place.at("condition").conflict(*fault)
    waits = {each.name: tuple(name for name, _ in each.depends_on if name in specs) for each in services}
    for name in _in_cycles(waits):
        problem = "is part of a cycle of dependencies"
        root.at("services", name, "depends_on").conflict(problem, "remove one of the dependencies")


def _why_never(spec: ContainerSpec, name: str, condition: str) -> tuple[str, str] | None:
    """Return the problem of a service that can never meet `condition`, and the remedy; None if it can."""
    if condition == COMPLETED:
        if (spec.restart.name if spec.restart else None) not in ("no", "on-failure"):
            problem = f"the service '{name}' never completes: its restart policy always starts it again"
            return problem, 'write restart: "no" or restart: on-failure there'
    elif condition == "service_healthy" and spec.healthcheck and spec.healthcheck.disable:
        problem = f"the service '{name}' never becomes healthy: its healthcheck is disabled"
        return problem, "remove disable: true there"
    return None


def _in_cycles(waits: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the services in cycles of `waits`, and those on a path between two cycles."""
    left = _without_order(waits)
    wanted_by: dict[str, list[str]] = {name: [] for name in left}
    for name in left:
        for need in waits[name]:
            if need in wanted_by:
                wanted_by[need].append(name)
    return _without_order(wanted_by)


def _without_order(waits: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names that are in a cycle, or behind one."""
    sorter = TopologicalSorter(waits)
    with suppress(CycleError):  # the order up to the cycles can be read all the same
        sorter.prepare()
    ordered: set[str] = set()
    while ready := sorter.get_ready():
        ordered.update(ready)
        sorter.done(*ready)
    return [name for name in waits if name not in ordered]


# ---- All addresses of a document

_LAN = 16
"""Prefix length assumed for the LAN of a host when a pool is chosen; the document does not declare the real one."""
_SECOND_OCTETS = (*range(200, 256), *range(200))


class _Claim(NamedTuple):
    network: IPv4Network
    what: str
    place: Cursor


def _claims(root: Cursor, cluster: Cluster, networks: Networks) -> Iterator[_Claim]:
    yield _Claim(cluster.gwbridge.subnet, GWBRIDGE, root.at("x-cluster", "gwbridge", "subnet"))
    for number, pool in enumerate(cluster.swarm.default_addr_pool):
        place = root.at("x-cluster", "swarm", "default_addr_pool", number)
        yield _Claim(pool, "default_addr_pool", place)
    for network in networks:
        if network.subnet is not None:
            place = root.at("networks", network.key, "ipam", "config", 0, "subnet")
            yield _Claim(network.subnet, f"network {network.key}", place)


def _check_overlaps(claims: list[_Claim]) -> None:
    """Note each claim inside another one. Two networks nest or are disjoint, so sorting finds all."""
    around: list[_Claim] = []
    for claim in sorted(claims, key=lambda each: (each.network.network_address, each.network.prefixlen)):
        while around and not claim.network.subnet_of(around[-1].network):
            around.pop()
        if around:
            pair = (around[-1], claim)
            one, other = sorted(pair, key=lambda each: (each.place.node.line, each.place.node.column))
            problem = f"{other.network} ({other.what}) overlaps {one.network} ({one.what})"
            other.place.conflict(problem, "choose networks that share no address")
        around.append(claim)


def _check_hosts(root: Cursor, cluster: Cluster, claims: list[_Claim]) -> None:
    seen: dict[IPv4Address, str] = {}
    for host in cluster.hosts:
        place = root.at("x-cluster", "hosts", host.name, "address")
        if host.address in seen:
            problem = f"{host.address} is already the address of {seen[host.address]}"
            place.conflict(problem, "give each host its own address")
        seen[host.address] = host.name
        if host.address.is_loopback or host.address.is_multicast or host.address.is_unspecified:
            place.fault(f"{host.address} cannot be reached from another host", "give the address of its LAN")
        for claim in claims:
            if host.address in claim.network:
                problem = f"{host.address} lies inside {claim.network} ({claim.what})"
                place.conflict(problem, "the host would become unreachable: choose another network")


def _check_registries(root: Cursor, cluster: Cluster, networks: Networks, services: Services) -> None:
    """Note a fault for each image whose registry has an address in the subnet of a bridge on every host."""
    local = [(each, each.subnet) for each in networks if each.driver == "bridge" and each.subnet]
    bridges = [(subnet, each.gateway, f"network {each.key}") for each, subnet in local]
    bridges.append((cluster.gwbridge.subnet, cluster.gwbridge.gateway, GWBRIDGE))
    for service in services:
        registry = _registry_address(service.spec.image)
        for subnet, gateway, what in bridges:
            # The gateway is the host itself: a registry may listen there.
            if registry is not None and registry in subnet and registry != gateway:
                place = root.at("services", service.name, "image")
                problem = f"the registry {registry} lies inside {subnet} ({what})"
                place.conflict(problem, "no host could reach the registry: choose another network")


def _registry_address(image: str) -> IPv4Address | None:
    """Return the address in `10.0.0.1:5000/team/name:1.0`; None for a registry with a name, and for no registry."""
    domain, slash, _ = image.partition("/")
    try:
        return IPv4Address(domain.partition(":")[0]) if slash else None
    except ValueError:
        return None


def with_pool(cluster: Cluster, networks: Networks) -> SwarmIntent:
    """Return the swarm settings with an address pool: the declared one, or the first /16 that overlaps no network.

    Docker's default is 10.0.0.0/8, which overlaps many declared networks. This function tries 10.200.0.0/16 first,
    then 10.201 to 10.255, then 10.0 to 10.199. The same document always gives the same pool.
    """
    if cluster.swarm.default_addr_pool:
        return cluster.swarm
    taken = [each.subnet for each in networks if each.subnet is not None]
    taken += [IPv4Network((host.address, _LAN), strict=False) for host in cluster.hosts]
    taken.append(cluster.gwbridge.subnet)
    candidates = (IPv4Network(f"10.{second}.0.0/16") for second in _SECOND_OCTETS)
    free = next((each for each in candidates if not any(map(each.overlaps, taken))), None)
    mask_length = max(cluster.swarm.mask_length, _LAN)
    return replace(cluster.swarm, default_addr_pool=(free,) if free else (), mask_length=mask_length)


def _check_fixed_addresses(root: Cursor, networks: Networks, services: Services) -> None:
    """Note a fault for each `ipv4_address` that its network does not offer, or that two replicas declare."""
    by_name = {each.name: each for each in networks}
    taken: dict[tuple[str, str], str] = {}
    for service in services:
        for each in service.spec.networks:
            network = by_name.get(each.network)
            if each.ipv4_address is None or network is None:
                continue
            place = root.at("services", service.name, "networks", network.key, "ipv4_address")
            owner = taken.setdefault((each.network, each.ipv4_address), service.name)
            if service.replica_count > 1:
                problem = f"{service.replica_count} replicas cannot share one address"
                place.conflict(problem, "run one replica, or leave the address out")
            elif owner != service.name:
                problem = f"{each.ipv4_address} is already the address of service {owner}"
                place.conflict(problem, "give each service its own address")
            _check_inside(place, IPv4Address(each.ipv4_address), network)


def _check_inside(place: Cursor, address: IPv4Address, network: NetworkIntent) -> None:
    subnet = network.subnet
    if subnet is None:
        problem = f"network {network.key} declares no subnet"
        place.conflict(problem, "a fixed address needs one: declare it in ipam")
    elif address not in subnet:
        place.conflict(f"{address} is outside {subnet} (network {network.key})", "choose an address inside")
    elif address == network.gateway:
        place.conflict(f"{address} is the gateway of network {network.key}", "choose another address")
    elif address in (subnet.network_address, subnet.broadcast_address):
        place.conflict(f"{address} is the first or last address of {subnet}", "choose one in between")
