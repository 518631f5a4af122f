"""Bounds what a document stands for, from the written numbers alone: before any list of replicas or hosts exists."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from agent.intent.deploy import MOST_ON_A_HOST, Hosts
from agent.model.intent import REPORTED, Constraint, ServiceIntent
from agent.model.phrases import counted, shorten
from agent.model.records import LARGEST_VALUE
from agent.yamldoc import Cursor

MOST_IN_ALL = 20_000
"""Replicas of all services on all hosts together."""
MOST_CONSIDERED = 1_000_000
"""Pairs of a host and a constraint or spread label, over all services."""
MOST_CONTENT = 1_000_000
"""Bytes of the contents of configs in the specs of all services, of which etcd has one each."""
LONGEST_REASON = 200
"""Characters of the reason why a replica waits for others; the other reasons in an assignment are no longer."""
_REPLICA = 1200
"""Bytes of a replica in an assignment with its longest reasons, without addresses and the name of its service."""
_ADDRESS = len('["","255.255.255.255"],')

Fitting = Mapping[tuple[Constraint, ...], Hosts]
"""The hosts that meet some constraints."""


class _Load(NamedTuple):
    replicas: int = 0
    size: int = 0
    """Bytes of assignments."""

    def plus(self, service: ServiceIntent, count: int) -> "_Load":
        addresses = sum(len(each.network.encode()) + _ADDRESS for each in service.spec.networks)
        each = _REPLICA + 2 * len(service.name) + addresses
        return _Load(self.replicas + count, self.size + count * each)


def fitting_hosts(rules: Collection[tuple[Constraint, ...]], hosts: Hosts) -> Fitting:
    """Return the hosts that meet all constraints of each rule, as `Where.unmet` finds them one by one."""
    features = {each.of for rule in rules for each in rule if each.of not in REPORTED}
    having: dict[str, defaultdict[str, set[str]]] = {of: defaultdict(set) for of in features}
    for of, host in product(features, hosts):
        if (value := host.feature(of)) is not None:
            having[of][value.casefold()].add(host.name)
    found = {}
    for rule in rules:
        found[rule] = hosts
        for each in rule:
            if each.of in features:
                same = having[each.of][each.value.casefold()]
                found[rule] = tuple(one for one in found[rule] if (one.name in same) == each.equal)
    return found


def check_extent(root: Cursor, services: Sequence[ServiceIntent], hosts: Hosts) -> Fitting | None:
    """Return the hosts that meet the constraints of each service; None, with a fault, if they ask for too much."""
    place = root.at("services")
    asked = sum(len(each.where.constraints + each.where.spread) for each in services)
    if asked * len(hosts) > MOST_CONSIDERED:
        what = f"{asked} constraints and spread labels for {len(hosts)} hosts"
        return refuse(place, f"{what} are {asked * len(hosts)} pairs", MOST_CONSIDERED)
    fitting = fitting_hosts({each.where.constraints for each in services}, hosts)
    able = {each.name: fitting[each.where.constraints] for each in services}
    total = sum(len(able[each.name]) if each.everywhere else each.replica_count for each in services)
    if over := _over(services, total):
        return refuse(place, *over)
    fixed = {each.name: _Load() for each in hosts}
    shared: dict[tuple[Constraint, ...], _Load] = {}
    for service in services:
        everywhere = able[service.name] if service.everywhere else ()
        for host, count in (*service.placement, *((each.name, 1) for each in everywhere)):
            fixed[host] = fixed.get(host, _Load()).plus(service, count)
        most = (service.where.most_per_host or MOST_IN_ALL) * len(able[service.name])
        for key in {(), service.where.constraints}:
            shared[key] = shared.get(key, _Load()).plus(service, min(service.replicas or 0, most))
    loads = [(f"on {host}", load) for host, load in fixed.items()]
    for key, load in shared.items():
        on = fitting[key] if key else hosts
        columns = zip(load, *(fixed[each.name] for each in on), strict=True)
        least = _Load(*(-(-sum(column) // max(1, len(on))) for column in columns))
        rule = shorten(f" with {', '.join(map(str, key))}") if key else ""
        loads.append((f"on at least one of {counted(len(on), 'host')}{rule}", least))
    for where, load in loads:
        bounds = ("replicas", MOST_ON_A_HOST), ("bytes of assignment", LARGEST_VALUE)
        for found, (unit, most) in zip(load, bounds, strict=True):
            if found > most:
                return refuse(place, f"{found} {unit} {where}", most)
    return fitting


def _over(services: Sequence[ServiceIntent], replicas: int) -> tuple[str, int] | None:
    """Return what all services have together that is too much, and its maximum; None: nothing is."""
    contents = [mount.content for each in services for mount in each.spec.volumes if mount.content]
    sizes = {each: len(json.dumps(each)) for each in {*contents}}
    size = sum(sizes[each] for each in contents)
    for found, unit, most in ((replicas, "replicas", MOST_IN_ALL), (size, "bytes of configs", MOST_CONTENT)):
        if found > most:
            return f"{found} {unit} of all services", most
    return None


def refuse(place: Cursor, problem: str, most: int) -> Fitting | None:
    return place.hidden().fault(problem, f"the maximum is {most}", kind="size")
