"""The resources that one container of a host has alone: published ports, addresses, a device that moves with an edit.

Nothing is stopped for a successor that could not start yet. While another container has what a replica needs, the
replica's old container runs on. If that container is ours and gives it up, the replica waits; else it is blocked.
Replicas that wait for each other are the exception: the first of them stops, and its old container is kept.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from agent.diff.container import by_slot
from agent.diff.replicas import STOPPABLE
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.plan import BlockedKind, Plan, blocked_plan, waiting_plan
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, Key
from agent.planner.host.prerequisites import meets, port_name, process_on
from agent.planner.host.update import is_refused
from agent.planner.host.wanted import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """Something that a replica needs and that `holder` has."""

    what: str
    holder: str
    """Name of the container."""
    key: Key | None = None
    """The replica of the container; None: it is not managed."""
    leaves: bool = False
    """True if that replica gives it up."""
    kind: BlockedKind = "port"

    @property
    def on(self) -> str:
        """Return the resource that a replica waits on for this."""
        return f"replica/{self.key[0]}-{self.key[1]}" if self.key else ""


class Exclusive:
    """The resources of one host that replicas take from each other."""

    def __init__(self, intent: Intent, host: HostState, cluster: ClusterState) -> None:
        self._intent, self._host, self._cluster = intent, host, cluster
        self._ours = {each.id: each for each in host.containers}
        self._assigned = by_slot(cluster.assignment.replicas if cluster.assignment else ())
        self._refused = {
            each.replica.key
            for each in host.containers
            if is_refused(each)
            and self._assigned.get(each.replica.key, each.replica).spec == each.replica.spec
        }

    def obstacle(self, wanted: Wanted, *, to_stop: bool = False) -> Plan:
        """Return a plan in which the replica waits for what another container has; empty: it can start.

        `to_stop`: its old container would be stopped for it, so a process on its port counts too. After a start that
        failed, the error tells such a process from docker's own.
        """
        needs = [*self._needs(wanted.replica, wanted.spec)]
        if stays := next((each for each in needs if not each.leaves), None):
            reason = f"{stays.what} is used by the container {stays.holder}"
            return blocked_plan(wanted.resource, stays.kind, reason)
        if leaves := next((each for each in needs if each.key), None):
            reason = f"waits until {leaves.holder} gives up {leaves.what}"
            return waiting_plan(wanted.resource, reason, leaves.on)
        return self._of_process(wanted) if to_stop else Plan()

    def stops_first(self, wanted: Wanted) -> bool:
        """Return True if the replica is the first of several that wait for each other, and so must stop first."""
        own, seen = wanted.replica.key, self._reaches(wanted.replica.key)
        return own in seen and own == min(each for each in seen if own in self._reaches(each))

    def _reaches(self, key: Key) -> set[Key]:
        seen, todo = set[Key](), [key]
        while todo:
            new = self._waits_for(todo.pop()) - seen
            seen |= new
            todo += new
        return seen

    def _waits_for(self, key: Key) -> set[Key]:
        replica = self._assigned.get(key)
        spec = self._cluster.specs.get(replica.spec) if replica else None
        if replica is None or spec is None:
            return set()
        return {each.key for each in self._needs(replica, spec) if each.leaves and each.key}

    def _needs(self, replica: Replica, spec: ContainerSpec) -> Iterator[_Need]:
        yield from self._ports(replica, spec)
        for found in self._host.containers:
            if found.status in STOPPABLE and found.replica.key != replica.key:
                yield from self._addresses(replica, spec, found)
                yield from self._devices(replica, spec, found)

    def _ports(self, replica: Replica, spec: ContainerSpec) -> Iterator[_Need]:
        published = [each for each in spec.ports if each.published is not None]
        for other in self._host.attached if published else ():
            ours = self._ours.get(other.id)
            if not other.running or (ours and ours.replica.key == replica.key):
                continue
            for port in published:
                if any(meets(port, each) for each in other.ports):
                    what = f"port {port_name(port)}"
                    if ours is None:
                        yield _Need(what=what, holder=other.name)
                        continue
                    taken = f"{port.host_ip}:{port_name(port)}" if port.host_ip else port_name(port)
                    after = (each for spec in self._next(ours) for each in spec.ports)
                    yield self._need(what, ours, keeps=any(meets(each, taken) for each in after))

    def _addresses(self, replica: Replica, spec: ContainerSpec, found: ContainerState) -> Iterator[_Need]:
        has = dict(found.addresses)
        for each in spec.networks:
            address = each.ipv4_address or dict(replica.addresses).get(each.network)
            if address and has.get(each.network) == address:
                keeps = any(
                    one.network == each.network and one.ipv4_address == address
                    for spec in self._next(found)
                    for one in spec.networks
                )
                need = self._need(f"{address} on {each.network}", found, keeps=keeps)
                yield replace(need, kind="overlap")

    def _devices(self, replica: Replica, spec: ContainerSpec, found: ContainerState) -> Iterator[_Need]:
        """Yield the devices that one edit moves here; services that both name a device share it."""
        specs = self._cluster.specs
        own = (each for each in self._host.containers if each.replica.key == replica.key)
        old = (specs.get(each.replica.spec) for each in own if each.status in STOPPABLE)
        moves = _devices([specs.get(found.replica.spec)]) - _devices([*self._next(found), *old])
        for device in spec.devices:
            if device.source in moves:
                yield self._need(f"the device {device.source}", found, keeps=False)

    def _need(self, what: str, found: ContainerState, *, keeps: bool) -> _Need:
        leaves = not keeps and found.replica.key not in self._refused
        return _Need(what=what, holder=found.name, key=found.replica.key, leaves=leaves)

    def _next(self, found: ContainerState) -> list[ContainerSpec]:
        """Return the spec that a container's replica is to have; empty: the replica goes. Unknown: the present one."""
        replica = self._assigned.get(found.replica.key)
        if replica is None:
            return []
        service = self._intent.service(replica.service)
        spec = self._cluster.specs.get(replica.spec)
        if replica.spec == found.replica.spec and service is not None:
            spec = service.spec  # its rollout has not come to it yet
        return [spec] if spec else []

    def _of_process(self, wanted: Wanted) -> Plan:
        """Block a port on which a process of the host listens; where a container publishes it, that is docker's."""
        published = [each for each in wanted.spec.ports if each.published is not None]
        for port in published:
            by_docker = any(
                meets(port, has) for each in self._host.attached if each.running for has in each.ports
            )
            if not by_docker and any(meets(port, each) for each in self._host.listening or ()):
                return blocked_plan(wanted.resource, "port", process_on(port))
        return Plan()


def _devices(specs: Iterable[ContainerSpec | None]) -> set[str]:
    return {device.source for spec in specs if spec for device in spec.devices}
