"""Drift: the differences from the accepted intent, by kind, declared name and field.

The plan shows which resources differ, the observation shows the fields. A refused document, an etcd or dockerd that
does not answer, and a missing leader are no drift: none of them is a difference from the accepted intent.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from agent.diff import bridge, replicas
from agent.diff.networks import overlay_faults
from agent.model import host_state, leader_steps
from agent.model.intent import GWBRIDGE, Intent
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Plan, Step
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, Key
from agent.model.steps import BRIDGE

SPEC_FIELDS: tuple[str, ...] = tuple(ContainerSpec.__dataclass_fields__)
_OBSERVED_WITHOUT_ETCD = ("container", "image", "volume", "network")
_ENDPOINT = "endpoint"
"""Field of docker_gwbridge: a container lacks its gateway there."""
_PARKING = "parking"
"""Field of docker_gwbridge: the temporary network is left over."""
_MOVING = (_ENDPOINT, _PARKING)
_FAULTS_WITHOUT_COLON = {
    "there is no": "missing",
    "there are": "duplicate",
    "the kernel has no": "device",
    "the device": "up",
    "kernel address": "address",
}


class Drift(NamedTuple):
    kind: str
    object: str
    """A declared name, never an id: a metric has it as a label."""
    field: str


Since = Mapping[tuple[str, ...], float]
"""(kind, object) -> start of the difference, in seconds since the epoch."""


def find_drift(
    observed: Observed, plan: Plan, in_flight: tuple[Step, ...], before: frozenset[Drift]
) -> frozenset[Drift]:
    """Return the drift now. Objects that this pass could not observe keep their drift of `before`.

    Mode `paused` has no drift.
    """
    cluster, host = observed.cluster, observed.host
    intent = cluster.accepted if cluster else None
    if cluster is None or intent is None or host is None:
        return before
    if intent.policy.mode == "paused":
        return frozenset()
    comparison = _Comparison(intent, cluster, host, observed.me)
    kept = {each for each in before if each.kind not in _OBSERVED_WITHOUT_ETCD} if observed.stale else set()
    if BRIDGE in observed.in_flight:
        # In the middle of its replacement: a parked container lacks no gateway, and no network is left over.
        comparison.bridge_is_moving = True
        kept |= {each for each in before if each.kind == "gwbridge" and each.field in _MOVING}
    resources = {each.resource for each in (*plan.steps, *in_flight, *plan.left)}
    found = {drift for resource in resources for drift in comparison.drift_of(resource)}
    return frozenset((*found, *comparison.replicas(), *_leaders_drift(plan.steps), *kept))


def since_when(drift: Iterable[Drift], before: Since, now: float) -> Since:
    """Return the start of each object's drift; an object that drifted `before` keeps its start."""
    return {(each.kind, each.object): before.get((each.kind, each.object), now) for each in drift}


def _leaders_drift(steps: Iterable[Step]) -> Iterator[Drift]:
    for step in steps:
        match step:
            case leader_steps.PublishAssignment():
                yield Drift("intent", step.host, "assignment")
            case leader_steps.PublishVerdict():
                yield Drift("intent", "verdict", "verdict")
            case leader_steps.PublishSwarm():
                yield Drift("swarm", "record", "record")
            case leader_steps.PromoteNode() | leader_steps.DemoteNode():
                yield Drift("swarm", step.host, "role")
            case leader_steps.UpdateNode():
                yield Drift("swarm", step.host, "availability" if step.availability else "labels")
            case leader_steps.RemoveNode():
                yield Drift("swarm", step.host, "node")
            case _:
                pass


class _Comparison:
    def __init__(self, intent: Intent, cluster: ClusterState, host: host_state.HostState, me: str) -> None:
        self.intent, self.cluster, self.host, self.me = intent, cluster, host, me
        self.bridge_is_moving = False

    def drift_of(self, resource: str) -> Iterator[Drift]:
        """Find the drift of a resource that is no container."""
        kind, _, name = resource.partition("/")
        if kind == "network":
            yield from self._network(name)
        elif (kind == "image" and name not in self.host.images) or (
            kind == "volume" and name not in self.host.volumes
        ):
            yield Drift(kind, name, "missing")
        elif resource == "swarm" and (field := self._membership()):
            yield Drift("swarm", self.me, field)

    def replicas(self) -> Iterator[Drift]:
        """Find the drift of all containers, also of those that wait for an image: the plan does not name them yet."""
        assignment = self.cluster.assignment
        if assignment is None:
            return
        found: dict[Key, list[host_state.ContainerState]] = {}
        for each in self.host.containers:
            found.setdefault(each.replica.key, []).append(each)
        for replica in assignment.replicas:
            name, candidates = (
                replicas.container_name(assignment.project, replica),
                found.pop(replica.key, []),
            )
            yield from (Drift("container", name, field) for field in self._fields(name, replica, candidates))
        for surplus in found.values():
            # The name from its labels: an operator may have renamed the container.
            yield Drift(
                "container", replicas.container_name(assignment.project, surplus[0].replica), "surplus"
            )

    def _fields(
        self, name: str, replica: Replica, candidates: list[host_state.ContainerState]
    ) -> Iterator[str]:
        if not candidates:
            yield "missing"
            return
        found = max(
            candidates, key=lambda each: (each.replica.spec == replica.spec, each.status == "running")
        )
        if found.replica.spec != replica.spec:
            yield from self._changed(found.replica.spec, replica.spec)
        yield from (each.field for each in found.differences)
        if found.name != name:
            yield "name"
        if not self._runs(found):
            yield "running"
        if len(candidates) > 1:
            yield "surplus"

    def _runs(self, found: host_state.ContainerState) -> bool:
        """Return True if the container runs, Docker restarts it, or it has finished its work."""
        spec = self.cluster.specs.get(found.replica.spec)
        finished = found.status == "exited" and spec is not None and replicas.finished(spec, found)
        return finished or found.status in ("running", "restarting")

    def _changed(self, old: str, new: str) -> tuple[str, ...]:
        before, after = self.cluster.specs.get(old), self.cluster.specs.get(new)
        if before is None or after is None:
            return ("spec",)
        return tuple(each for each in SPEC_FIELDS if getattr(before, each) != getattr(after, each))

    def _network(self, name: str) -> Iterator[Drift]:
        if name == GWBRIDGE:
            yield from (Drift("gwbridge", GWBRIDGE, field) for field in self._bridge())
            return
        declared, found = self.intent.network(name), self.host.network(name)
        if declared is None:
            return
        kind = "overlay" if declared.driver == "overlay" else "network"
        if found is None:
            yield Drift(kind, name, "missing")
        elif kind == "overlay":
            yield from (Drift(kind, name, _field(fault)) for fault in overlay_faults(declared, found))
        elif declared.subnet and found.subnet != declared.subnet:
            yield Drift(kind, name, "subnet")

    def _bridge(self) -> Iterator[str]:
        yield from (_field(fault) for fault in bridge.bridge_faults(self.intent.gwbridge, self.host))
        if self.bridge_is_moving:
            return
        if bridge.without_gateway(self.host):
            yield _ENDPOINT
        if bridge.is_begun(self.host):
            yield _PARKING

    def _membership(self) -> str:
        declared, swarm, record = self.intent.host(self.me), self.host.swarm, self.cluster.record
        if declared is None:
            return ""
        if swarm.local != "active":
            return "membership" if swarm.local in ("inactive", "pending") else "state"
        if record and record.swarm_id and swarm.swarm_id and swarm.swarm_id != record.swarm_id:
            return "swarm"
        return "role" if swarm.is_manager != (declared.role == "manager") else "address"


def _field(fault: str) -> str:
    """Return the field that a fault is about: `subnet: a wanted, b found` -> `subnet`."""
    for begin, field in _FAULTS_WITHOUT_COLON.items():
        if fault.startswith(begin):
            return field
    return fault.partition(":")[0]
