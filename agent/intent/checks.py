"""Checks across the parts of a document, except for addresses."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import msgspec

from agent.intent import forms, values
from agent.intent.cluster import Cluster
from agent.intent.ports import clash
from agent.model.intent import NetworkIntent, ServiceIntent, SwarmIntent, VolumeIntent
from agent.model.spec import ContainerSpec, Port
from agent.yamldoc import Cursor, Fields, Reader
from agent.yamldoc.compose import Scalar
from agent.yamldoc.scalars import choice, sequence_of

# ---- What aliases make large, although the document is not: the lines to be split, and what goes into etcd


MOST_SPLIT = 500_000
"""Characters of all commands and entrypoints that are lines: splitting one takes long, and its words take twenty times
the memory."""
LARGEST_SPEC = 1_500_000
"""Bytes of a service as it is kept, in JSON. etcd refuses a request of more than 1.5 MiB (--max-request-bytes)."""
MOST_OF_SPECS = 6_000_000
"""The same for all services together. An agent that leads needs about ten times that much memory for them."""

_DEFAULTS = len(msgspec.json.encode(ContainerSpec(image="")))
"""Bytes of what is left out when a spec is kept. Its canonical form would say the same, and takes longer."""


def check_lines(services: Cursor) -> bool:
    """Whether the services can be read in a bearable time; notes a fault when not."""
    left = MOST_SPLIT
    for _, service in services.entries() if services.is_mapping else ():
        for key in ("command", "entrypoint"):
            # Where the key is missing this is the service itself, a mapping.
            place = service.at(key)
            if isinstance(place.node, Scalar):
                left -= len(place.node.text)
            if left < 0:
                problem = f"more than {MOST_SPLIT} characters of commands that are lines, aliases expanded"
                place.hidden().fault(problem, "write them as lists")
                return False
    return True


def check_specs(root: Cursor, services: tuple[ServiceIntent, ...]) -> None:
    """Note a fault for each service that no key of etcd can hold, and when all are too much for it and the agents."""
    whole = 0
    for each in services:
        size = len(msgspec.json.encode(each.spec)) - _DEFAULTS
        if size > LARGEST_SPEC:
            _refuse(root.at("services", each.name), "has", size, LARGEST_SPEC)
        whole += size
    if whole > MOST_OF_SPECS:
        _refuse(root.at("services"), "have", whole, MOST_OF_SPECS)


def _refuse(place: Cursor, has: str, size: int, most: int) -> None:
    place.hidden().fault(f"{has} {size} bytes as JSON, aliases expanded", f"{most} are the most")


# ---- Which service waits for which


KEYS = ("condition",)
STARTED = "service_started"
Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
CONDITION: Reader[Condition] = choice(get_args(Condition))
_REFUSED = {
    "restart": "is not offered: a copy is started again when it ends itself",
    "required": "is not offered: what is named is declared, or the document is refused",
}

FORM = forms.either(
    forms.list_of(forms.NAME),
    forms.mapping_of(forms.section({"condition": forms.choice(get_args(Condition))}, KEYS, _REFUSED)),
)

Dependencies = tuple[tuple[str, str], ...]


def depends_on(cursor: Cursor) -> Dependencies | None:
    """Read a list of services, or a mapping of a service to its condition; sorted by service."""
    if cursor.is_sequence:
        names = sequence_of(values.name, distinct=True)(cursor) or ()
        return tuple((each, STARTED) for each in sorted(names))
    found = []
    for key, place in cursor.entries():
        fields = place.fields(KEYS, _REFUSED, extensions=True)
        condition = fields.require("condition", CONDITION, f"write {STARTED}, or use a list") or STARTED
        found.append((values.name(key) or "", condition))
    return tuple(sorted(found))


# ---- Keys of a service that the engine does not take together, or not alone


def check_together(fields: Fields, spec: ContainerSpec) -> None:
    """Note a fault for what each by itself is good, and not beside the rest of the service."""
    _check_network_mode(fields, spec)
    _check_memory(fields, spec)
    if spec.nano_cpus is not None:
        _leaves_no_room(fields, "a number of cpus", ("cpu_period", "cpu_quota"))
    if spec.uts is not None:
        _leaves_no_room(fields, "uts: host", ("hostname", "domainname"))


def _check_network_mode(fields: Fields, spec: ContainerSpec) -> None:
    place = fields.at("network_mode")
    if place is None or spec.network_mode is None:
        return
    crowded = [
        ("networks", spec.networks),
        *([] if spec.network_mode == "bridge" else [("ports", spec.ports)]),
    ]
    for key, said in crowded:
        if said:
            place.fault(f"network_mode: {spec.network_mode} leaves no room for '{key}'", "keep one of them")


def _check_memory(fields: Fields, spec: ContainerSpec) -> None:
    limit, swap = spec.memory_limit_bytes, spec.memory_swap_bytes
    if limit and (spec.memory_reservation_bytes or 0) > limit:
        fields.cursor.hidden().fault("reserves more memory than its limit", "lower the reservation")
    place = fields.at("memswap_limit")
    if place is None or swap is None:
        return
    if not limit:
        place.fault(
            "is a limit on memory and swap together, and there is none on memory", "give a mem_limit too"
        )
    elif 0 <= swap < limit:
        place.fault("is less than the memory alone", "it counts memory and swap together: make it larger")


def _leaves_no_room(fields: Fields, what: str, others: Iterable[str]) -> None:
    for other in others:
        if (place := fields.at(other)) is not None:
            place.fault(f"{what} leaves no room for '{other}'", "keep one of them")


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
