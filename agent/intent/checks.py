"""Checks across the parts of a document, except for addresses."""

from collections.abc import Mapping, Sequence

from agent.intent.cluster import Cluster
from agent.intent.ports import clash
from agent.model.intent import NetworkIntent, ServiceIntent, SwarmIntent, VolumeIntent
from agent.model.spec import ContainerSpec, Port
from agent.yamldoc import Cursor

Links = Mapping[str, Sequence[str]]

MOST_PUBLISHED = 100_000
"""Published ports of all services on all hosts together."""

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
    if (
        sum(len(each.spec.ports) * (each.replicas or len(each.placement)) for each in services)
        > MOST_PUBLISHED
    ):
        root.at("services").fault(
            f"more than {MOST_PUBLISHED} published ports", "use network_mode: host for some"
        )
        return
    taken: dict[tuple[str, int, str], list[tuple[Port, str]]] = {}
    for service in services:
        place = root.at("services", service.name, "ports")
        for port in service.spec.ports:
            if (port.published, port.protocol) in _swarm_ports(swarm):
                place.fault(
                    f"port {port.published}/{port.protocol} of a host is the swarm's own", "publish another"
                )
            for host, copies in service.placement:
                _check_copies(place, port, host, copies)
                if copies:
                    holders = taken.setdefault((host, port.published or 0, port.protocol), [])
                    _check_holders(place, port, host, holders)
                    holders.append((port, service.name))


def _check_copies(place: Cursor, port: Port, host: str, copies: int) -> None:
    if copies > 1:
        problem = f"{copies} copies on {host} cannot all publish port {port.published}/{port.protocol}"
        place.fault(problem, "run one copy for each host, or publish nothing")


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
                place.fault(f"the service '{name}' is not declared", place.guess(name, declared))
    _check_conditions(root, services)
    for name in _in_circles(waits):
        root.at("services", name, "depends_on").fault(
            "is in a circle of services that wait for each other", "break it"
        )


def _check_conditions(root: Cursor, services: tuple[ServiceIntent, ...]) -> None:
    """Note a fault for each condition that can never be met."""
    specs = {each.name: each.spec for each in services}
    asked = [(each.name, *need) for each in services for need in each.depends_on if need[0] in specs]
    for service, name, condition in asked:
        if fault := _why_never(specs[name], name, condition):
            root.at("services", service, "depends_on", name, "condition").fault(*fault)


def _why_never(spec: ContainerSpec, name: str, condition: str) -> tuple[str, str] | None:
    """Why a service never meets a condition, and what helps; None: it can."""
    if condition == "service_completed_successfully":
        if (spec.restart.name if spec.restart else None) not in ("no", "on-failure"):
            problem = f"the service '{name}' never completes: it is started again whenever it ends"
            return problem, 'give it restart: "no", or on-failure'
    elif condition == "service_healthy" and spec.healthcheck and spec.healthcheck.disable:
        return f"the service '{name}' never is healthy: its check is disabled", "take that out"
    return None


def _in_circles(waits: Links) -> list[str]:
    """Return what is left without the services that wait for none of the others, and those for which none waits."""
    wanted_by: dict[str, list[str]] = {name: [] for name in waits}
    for name, needs in waits.items():
        for need in needs:
            wanted_by[need].append(name)
    left = _without_ends(list(waits), waits, wanted_by)
    return _without_ends(left, wanted_by, waits)


def _without_ends(names: list[str], ahead: Links, behind: Links) -> list[str]:
    """Take away, again and again, each name with nothing left ahead of it."""
    left = set(names)
    links = {name: sum(each in left for each in ahead[name]) for name in names}
    ends = [name for name, count in links.items() if count == 0]
    while ends:
        end = ends.pop()
        left.discard(end)
        for name in behind[end]:
            if name in left:
                links[name] -= 1
                if links[name] == 0:
                    ends.append(name)
    return [name for name in names if name in left]
