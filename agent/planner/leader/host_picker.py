"""Chooses the host of each replica that `deploy.replicas` places.

The next replica goes to the host with the fewest replicas: first counted over the values of the spread labels, then
for the service on the host, then for all services on the host. Among equals the first host of the document wins.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from agent.diff import capacity
from agent.diff.capacity import Reservation
from agent.intent.deploy import MOST_ON_A_HOST
from agent.intent.ports import clash
from agent.model.intent import HostIntent, Intent, ServiceIntent, Where
from agent.model.spec import Port
from agent.planner.leader.scheduler_state import SchedulerState

_MOST_NAMED = 8
"""Largest number of hosts that a reason names."""
_Rank = tuple[int, ...]
"""The numbers by which hosts or groups of hosts are compared; the lowest rank is the best."""
_Place = tuple[str | bool | None, ...]
"""True for lost hosts, then the values of the spread labels, then the name of the host; a group has fewer entries."""


class _Kind(NamedTuple):
    """Decides which hosts can run a service, together with the replicas that they have."""

    where: Where
    platform: str | None
    reserves: Reservation

    @classmethod
    def of(cls, service: ServiceIntent) -> "_Kind":
        return cls(service.where, service.spec.platform, capacity.reservation(service))


class _Ranking:
    """The hosts for services of one kind in a tree of spread groups: a change costs one path, not a look at all hosts.

    Only one service at a time is counted. Another one of its kind differs on the hosts of both and their ports alone.
    """

    def __init__(self, spread: Sequence[str], hosts: Sequence[HostIntent], lost: Container[str]) -> None:
        self.known = 0
        """Number of the changes of hosts that are in the ranks."""
        self.of = ""
        """The service that is counted."""
        self._names = tuple(each.name for each in hosts)
        self._places: dict[str, _Place] = {
            each.name: (each.name in lost, *map(each.feature, spread)) for each in hosts
        }
        self._positions = {name: position for position, name in enumerate(self._names)}
        self._in_groups: dict[str, int] = dict.fromkeys(self._names, 0)
        """Host -> replicas there that `_counts` has."""
        self._counts: Counter[_Place] = Counter()
        self._ranks: dict[_Place, _Rank | None] = {}
        self._below: defaultdict[_Place, list[tuple[_Rank, _Place]]] = defaultdict(list)
        """Heaps; an entry counts only while it has the rank of its place."""

    def change(self, host: str, count: int, rank: _Rank | None) -> None:
        """Rank a host with `count` replicas within its group; None: it can take no more."""
        here, before = self._places[host], self._in_groups[host]
        groups = [here[1 : length + 1] for length in range(1, len(here))]
        if count != before:
            self._in_groups[host] = count
            self._counts.update(dict.fromkeys(groups, count - before))
        self._set((*here, host), None if rank is None else (*rank, self._positions[host]))
        # Lost hosts have groups of their own, and count in the groups of the others.
        for lost in (False, True):
            for length in range(len(groups), -1, -1) if (lost,) in self._below or lost == here[0] else ():
                self._renew((lost, *here[1 : length + 1]))

    def best(self) -> str | None:
        found = self._ranks.get((False,)) or self._ranks.get((True,))
        return self._names[found[-1]] if found else None

    def _renew(self, group: _Place) -> None:
        heap = self._below[group]
        while heap and self._ranks[heap[0][1]] != heap[0][0]:
            heappop(heap)
        self._set(group, (self._counts[group[1:]], *heap[0][0]) if heap else None)

    def _set(self, place: _Place, rank: _Rank | None) -> None:
        if self._ranks.get(place) != rank:
            self._ranks[place] = rank
            if rank is not None:
                heappush(self._below[place[:-1]], (rank, place))


class HostPicker:
    """The published ports, the reservations and the replica counts of every host while replicas are placed."""

    def __init__(self, intent: Intent, state: SchedulerState) -> None:
        self._intent, self._state = intent, state
        self._count: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Service -> host -> its replicas there."""
        self._load: Counter[str] = Counter()
        self._in_groups: Counter[tuple[str, _Place]] = Counter()
        """(service, spread group) -> its replicas there."""
        self._ports: defaultdict[str, list[tuple[str, Port]]] = defaultdict(list)
        self._publishing: defaultdict[tuple[object, ...], set[str]] = defaultdict(set)
        """Published port and protocol -> the hosts on which a replica had it."""
        self._rankings: dict[_Kind, _Ranking] = {}
        self._changed: list[str] = []
        """The hosts of all changes so far: a ranking takes in those that it does not know when it is asked."""
        self._kinds = {each.name: _Kind.of(each) for each in intent.services}
        self._published = {each.name: [e for e in each.spec.ports if e.published] for each in intent.services}
        self._reserved: defaultdict[str, Reservation] = defaultdict(Reservation)
        self._unmet: dict[str, dict[str, str]] = {}
        for service in intent.services if state.cluster else ():
            if capacity.asks(service) or any(self._kinds[service.name].reserves):
                fitting = (each.name for each in intent.hosts if not service.where.unmet(each))
                unmet = {each: capacity.why_unmet(service, state.status(each)) for each in fitting}
                self._unmet[service.name] = {} if all(unmet.values()) else unmet
        for service in intent.services:
            for host, count in service.placement:
                if count:
                    self.take(service, host, count)
                if service.everywhere and host not in state.has.get(service.name, {}):
                    self.reserve(service, host, -1)  # it gets one only if that fits beside what runs

    def take(self, service: ServiceIntent, host: str, count: int = 1) -> None:
        for port in self._published[service.name]:
            self._ports[host].append((service.name, port))
            self._publishing[port.published, port.protocol].add(host)
        self._change(service, host, count)

    def release(self, service: ServiceIntent, host: str) -> None:
        for port in self._published[service.name]:
            self._ports[host].remove((service.name, port))
        self._change(service, host, -1)

    def reserve(self, service: ServiceIntent, host: str, count: int) -> None:
        self._changed.append(host)
        if any(one := self._kinds[service.name].reserves):
            self._reserved[host] = self._reserved[host].plus(one, count)

    def _change(self, service: ServiceIntent, host: str, count: int) -> None:
        self.reserve(service, host, count)
        self._count[service.name][host] += count
        self._load[host] += count
        for group in self._groups(service, host):
            self._in_groups[service.name, group] += count

    def count(self, service: ServiceIntent, host: str) -> int:
        return self._count[service.name][host]

    def crowding(self, service: ServiceIntent, host: str) -> tuple[int, ...]:
        """Return the replicas of the service in the spread groups of a host, from the outer one in, and on the host."""
        groups = (self._in_groups[service.name, each] for each in self._groups(service, host))
        return (*groups, self.count(service, host))

    def _groups(self, service: ServiceIntent, name: str) -> Sequence[_Place]:
        """Return the spread groups of a host, from the outer one in; none for a host that is not declared."""
        spread, host = service.where.spread, self._intent.host(name)
        features = tuple(map(host.feature, spread)) if host and spread else ()
        return [features[:length] for length in range(1, len(features) + 1)]

    def can_add(self, host: str, count: int = 1) -> bool:
        """Return True if a host may run so many more replicas."""
        return self._load[host] + count <= MOST_ON_A_HOST

    def is_limited(self, service: ServiceIntent) -> bool:
        """Return True if the replicas that a host has, or its engine, may forbid it the service."""
        published = self._published[service.name]
        return bool(published) or service.name in self._unmet or service.where.most_per_host is not None

    def port_in_use(self, service: ServiceIntent, host: str) -> str:
        """Describe the first port of the service that another replica publishes on that host; empty: none."""
        for port in service.spec.ports:
            for holder, other in self._ports[host]:
                if clash(port, other):
                    return f"port {port.published}/{port.protocol} is published by {holder}"
        return ""

    def why_unmet(self, service: ServiceIntent, host: str) -> str:
        """Return why the engine of a host must not run a service; empty if it may, or if no other host may either.

        A constraint that no engine meets, as after a slip of the pen, ends no replica.
        """
        return self._unmet.get(service.name, {}).get(host, "")

    def why_lacking(self, service: ServiceIntent, host: str) -> str:
        """Return what the engine of a host lacks for one more replica; NOT_REPORTED: nothing is known of it."""
        if service.name not in self._unmet:
            return ""
        status, one = self._state.status(host), self._kinds[service.name].reserves
        why = capacity.why_unmet(service, status) or capacity.why_unknown(service, status)
        return why or (capacity.why_too_small(one, self._reserved[host], status.machine) if status else "")

    def why_rejected(self, service: ServiceIntent, host: HostIntent) -> str:
        """Return why a host cannot take one more replica; empty if it can."""
        # Unreachable alone does not count.
        if host.availability != "active" or self._state.is_gone(host.name):
            states = {"drain": "it is drained", "pause": "it is paused", "active": "it is gone"}
            return states[host.availability]
        if unmet := service.where.unmet(host):
            return f"{unmet} is not met"
        most = service.where.most_per_host
        if most is not None and self.count(service, host.name) >= most:
            return f"max_replicas_per_node {most} is reached"
        if not self.can_add(host.name):
            return f"it has {MOST_ON_A_HOST} replicas, the maximum"
        lacking = self.why_lacking(service, host.name)
        return self.port_in_use(service, host.name) or ("" if lacking == capacity.NOT_REPORTED else lacking)

    def best(self, service: ServiceIntent) -> str | None:
        """Return the best host for one more replica; None: no host can take it."""
        if ranking := self._rankings.get(kind := self._kinds[service.name]):
            hosts = {*self._changed[ranking.known :]}
        else:
            declared = self._intent.hosts
            ranking = self._rankings[kind] = _Ranking(service.where.spread, declared, self._state.lost_s)
            hosts = {each.name for each in declared}
        if ranking.of != service.name:
            hosts |= self._own(ranking.of) | self._own(service.name)
        ranking.known, ranking.of = len(self._changed), service.name
        for name in hosts:
            if host := self._intent.host(name):
                ranking.change(name, self.count(service, name), self._rank(service, host))
        return ranking.best()

    def _own(self, service: str) -> set[str]:
        """Return the hosts that a service ranks unlike another one of its kind: they have it, or one of its ports."""
        ports = ((each.published, each.protocol) for each in self._published.get(service, ()))
        return {*self._count[service]}.union(*(self._publishing[each] for each in ports))

    def _rank(self, service: ServiceIntent, host: HostIntent) -> _Rank | None:
        if self.why_rejected(service, host):
            return None
        return self.count(service, host.name), self._load[host.name]

    def why_none(self, service: ServiceIntent) -> str:
        hosts, left = self._intent.hosts[:_MOST_NAMED], len(self._intent.hosts) - _MOST_NAMED
        reasons = [f"{each.name}: {self.why_rejected(service, each)}" for each in hosts]
        return "; ".join([*reasons, f"and {left} more hosts"] if left > 0 else reasons)
