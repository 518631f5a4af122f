"""The choice of a host for a copy: who may run it, and who of those has the fewest.

The host with the fewest copies of the service takes the next one; fewest first within the values of what the service is
spread over, then on the host, then of all services. Of equals the first of the document.
"""

from collections import Counter, defaultdict

from agent.intent.ports import clash
from agent.model.intent import HostIntent, Intent, ServiceIntent
from agent.model.phrases import first_of
from agent.model.spec import Port
from agent.planner.leader.scheduler_state import Scene

_MOST_TOLD = 8
"""Hosts that are named in a reason."""


class Chooser:
    """Who has which ports of which host, and how many copies are where, while copies are placed."""

    def __init__(self, intent: Intent, scene: Scene) -> None:
        self._intent, self._scene = intent, scene
        self._count: Counter[tuple[str, str]] = Counter()
        self._load: Counter[str] = Counter()
        self._ports: defaultdict[str, list[tuple[str, Port]]] = defaultdict(list)
        for service in intent.services:
            for host, count in service.placement:
                if count:
                    self.take(service, host, count)

    def take(self, service: ServiceIntent, host: str, count: int = 1) -> None:
        """Note copies of the service on a host."""
        self._count[service.name, host] += count
        self._load[host] += count
        self._ports[host] += [(service.name, port) for port in service.spec.ports if port.published]

    def release(self, service: ServiceIntent, host: str) -> None:
        """Note that a copy is not there any more."""
        self._count[service.name, host] -= 1
        self._load[host] -= 1
        for port in service.spec.ports:
            if port.published:
                self._ports[host].remove((service.name, port))

    def count(self, service: ServiceIntent, host: str) -> int:
        return self._count[service.name, host]

    def port_in_use(self, service: ServiceIntent, host: str) -> str:
        """Which port that a copy would publish is another copy's on that host, in words; empty: none."""
        for port in service.spec.ports:
            for holder, other in self._ports[host]:
                if clash(port, other):
                    return f"port {port.published}/{port.protocol} is published by {holder}"
        return ""

    def why_not(self, service: ServiceIntent, host: HostIntent) -> str:
        """Why one more copy cannot be given to a host, in words; empty when it can."""
        if not self._scene.takes_new(host):
            words = {"drain": "it is drained", "pause": "it is paused", "active": "it is gone"}
            return words[host.availability]
        if unmet := service.where.unmet(host):
            return f"{unmet} is not met"
        most = service.where.most_per_host
        if most is not None and self.count(service, host.name) >= most:
            return f"it has {most} of them"
        return self.port_in_use(service, host.name)

    def best(self, service: ServiceIntent) -> str | None:
        """The host that one more copy should go to; None: there is none."""
        fitting = [each for each in self._intent.hosts if not self.why_not(service, each)]
        if not fitting:
            return None
        groups: Counter[tuple[str | None, ...]] = Counter()
        for host in self._intent.hosts:
            for group in _groups(service, host):
                groups[group] += self.count(service, host.name)
        return min(
            fitting,
            key=lambda host: (
                host.name in self._scene.lost_s,
                [groups[group] for group in _groups(service, host)],
                self.count(service, host.name),
                self._load[host.name],
            ),
        ).name

    def why_none(self, service: ServiceIntent) -> str:
        """Why no host can take one more copy, in words."""
        told = [f"{each.name}: {self.why_not(service, each)}" for each in self._intent.hosts]
        return "; ".join(first_of(told, _MOST_TOLD, "and {} more hosts"))


def _groups(service: ServiceIntent, host: HostIntent) -> list[tuple[str | None, ...]]:
    """The groups a host is in, the widest first; hosts without a label are a group of their own."""
    values = tuple(host.feature(of) for of in service.where.spread)
    return [values[: length + 1] for length in range(len(values))]
