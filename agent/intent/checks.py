"""Checks across the parts of a document, except for addresses."""

from agent.document import Cursor
from agent.document.words import guess
from agent.intent.cluster import Cluster
from agent.intent.ports import clash
from agent.model.intent import NetworkIntent, ServiceIntent, SwarmIntent, VolumeIntent
from agent.model.spec import Port

_RAFT_PORT = 2377
_GOSSIP_PORT = 7946
_DATA_PATH_PORT = 4789


def check_managers(root: Cursor, cluster: Cluster) -> None:
    """Note a fault when hosts are declared and none of them is a manager."""
    if cluster.hosts and not any(each.role == "manager" for each in cluster.hosts):
        root.at("x-cluster", "hosts").fault(
            "no host is a manager", "a swarm needs at least one; three survive a loss"
        )


def check_names(root: Cursor, networks: tuple[NetworkIntent, ...], volumes: tuple[VolumeIntent, ...]) -> None:
    """Note a fault for each two networks, or two volumes, that are one thing in Docker."""
    for section, things in (("networks", networks), ("volumes", volumes)):
        seen: dict[str, str] = {}
        for each in things:
            if each.name in seen:
                problem = f"'{each.name}' is the name of {seen[each.name]} already"
                root.at(section, each.key, "name").fault(problem, "give each its own name")
            seen[each.name] = each.key


def check_host_ports(root: Cursor, services: tuple[ServiceIntent, ...], swarm: SwarmIntent) -> None:
    """Note a fault for each port of a host that two copies want, or that the swarm itself needs."""
    taken: dict[tuple[str, int, str], list[tuple[Port, str]]] = {}
    for service in services:
        place = root.at("services", service.name, "ports")
        for port in service.spec.ports:
            if (port.published, port.protocol) in _swarm_ports(swarm):
                place.fault(
                    f"port {port.published}/{port.protocol} of a host is the swarm's own", "publish another"
                )
            for host, copies in service.placement:
                if copies > 1:
                    problem = (
                        f"{copies} copies on {host} cannot all publish port {port.published}/{port.protocol}"
                    )
                    place.fault(problem, "run one copy for each host, or publish nothing")
                if copies:
                    holders = taken.setdefault((host, port.published or 0, port.protocol), [])
                    _check_holders(place, port, host, holders)
                    holders.append((port, service.name))


def _check_holders(place: Cursor, port: Port, host: str, holders: list[tuple[Port, str]]) -> None:
    for other, holder in holders:
        if clash(port, other):
            problem = (
                f"port {port.published}/{port.protocol} on {host} is published by service {holder} already"
            )
            place.fault(problem, "publish another port, or run it on another host")
            return


def _swarm_ports(swarm: SwarmIntent) -> tuple[tuple[int, str], ...]:
    data = swarm.data_path_port or _DATA_PATH_PORT
    return (_RAFT_PORT, "tcp"), (_GOSSIP_PORT, "tcp"), (_GOSSIP_PORT, "udp"), (data, "udp")


def check_dependencies(root: Cursor, services: tuple[ServiceIntent, ...], declared: tuple[str, ...]) -> None:
    """Note a fault for each dependency on a service that is not there, and for each circle."""
    waits = {each.name: tuple(name for name, _ in each.depends_on if name in declared) for each in services}
    for service in services:
        place = root.at("services", service.name, "depends_on")
        for name, _ in service.depends_on:
            if name not in declared:
                place.fault(f"the service '{name}' is not declared", guess(name, declared))
    for name in _in_circles(waits):
        root.at("services", name, "depends_on").fault("waits for itself, in a circle", "break the circle")


def _in_circles(waits: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the services left when those that wait for nothing (left) are taken away again and again."""
    left = dict(waits)
    wanted_by: dict[str, list[str]] = {}
    for name, needs in waits.items():
        for need in needs:
            wanted_by.setdefault(need, []).append(name)
    open_needs = {name: len(needs) for name, needs in waits.items()}
    ready = [name for name, count in open_needs.items() if count == 0]
    while ready:
        done = ready.pop()
        left.pop(done, None)
        for name in wanted_by.get(done, ()):
            open_needs[name] -= 1
            if open_needs[name] == 0:
                ready.append(name)
    return [name for name in left if _reaches(name, left)]


def _reaches(start: str, waits: dict[str, tuple[str, ...]]) -> bool:
    """Whether `start` waits, through others, for itself; what merely waits for a circle does not."""
    seen, open_ends = set[str](), list(waits[start])
    while open_ends:
        name = open_ends.pop()
        if name == start:
            return True
        if name not in seen:
            seen.add(name)
            open_ends.extend(waits.get(name, ()))
    return False
