"""Drift: what was as declared and is not any more, by kind, declared name and field.

A person, an engine or etcd changed it. An object drifts from the first look at which it differs from the present
declaration although the look before found it as that same declaration asks, until it is as declared again. An edit, a
rollout, a first start, a move and a drain differ from the new declaration at both looks: they are no drift. Exceptions:

- a network that is blocked differs and is not being changed, so it drifts also after an edit;
- in mode `observe` every difference is drift, as nothing is carried out; mode `paused` has no drift;
- a container with a step in flight, and every container while its host leaves the swarm or an overlay is recreated, may
  have been stopped by its agent.

The plan shows which resources differ, the observation shows the fields. A refused document, an etcd or dockerd that
does not answer, and a missing leader are no drift: none of them is a difference from the accepted intent.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from agent.diff import bridge, replicas
from agent.diff.networks import found_for, overlay_differences, strangers
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


class Drift(NamedTuple):
    kind: str
    object: str
    """A declared name, never an id: a metric has it as a label."""
    field: str

    @property
    def about(self) -> tuple[str, str]:
        return self.kind, self.object


Since = Mapping[tuple[str, ...], float]
"""(kind, object) -> start of the difference, in seconds since the epoch."""


class Look(NamedTuple):
    """The observation of an earlier pass."""

    host: host_state.HostState | None = None
    """None: no earlier look at dockerd is known."""
    cluster: ClusterState | None = None


def find_drift(
    observed: Observed, plan: Plan, in_flight: tuple[Step, ...], before: frozenset[Drift], earlier: Look
) -> frozenset[Drift]:
    """Return the drift now; `before` is that of the earlier look, which objects that cannot be observed now keep."""
    cluster, intent, host = observed.cluster, observed.accepted, observed.host
    if cluster is None or intent is None or host is None:
        return before
    if intent.policy.mode == "paused":
        return frozenset()
    kept = {each for each in before if each.kind not in _OBSERVED_WITHOUT_ETCD} if observed.stale else set()
    if BRIDGE in observed.in_flight:
        kept |= {each for each in before if each.kind == "gwbridge" and each.field in _MOVING}
    differences = find_differences(observed, plan, in_flight)
    if intent.policy.mode == "observe":
        return frozenset((*differences, *kept))
    names = {each.resource.partition("/")[2] for each in plan.blocked if each.resource.startswith("network/")}
    drifting = {each.about for each in before} | _strangers(intent, cluster, host)
    drifting |= {(kind, name) for name in names for kind in ("gwbridge", "network", "overlay")}
    if earlier.host is not None:
        then = replace(observed, host=earlier.host)
        differed = {each.about for each in _hosts_differences(then, plan, in_flight)}
        new = {each.about for each in _hosts_differences(observed, plan, in_flight)} - differed
        drifting |= {each for each in new if not _is_own_work(each, observed)}
    restored = filter(None, (_restored(step, earlier) for step in plan.steps))
    drifting |= {each.about for each, was_so in restored if was_so}
    return frozenset((*(each for each in differences if each.about in drifting), *kept))


def find_differences(observed: Observed, plan: Plan, in_flight: tuple[Step, ...]) -> frozenset[Drift]:
    """Return every difference from the accepted document, also those that an edit asks for."""
    leaders = filter(None, (_restored(step, Look()) for step in plan.steps))
    return frozenset((*_hosts_differences(observed, plan, in_flight), *(each for each, _ in leaders)))


def _hosts_differences(observed: Observed, plan: Plan, in_flight: tuple[Step, ...]) -> frozenset[Drift]:
    cluster, intent, host = observed.cluster, observed.accepted, observed.host
    if cluster is None or intent is None or host is None:
        return frozenset()
    comparison = _Comparison(intent, cluster, host, observed)
    resources = {each.resource for each in (*plan.steps, *in_flight, *plan.left)}
    found = {drift for resource in resources for drift in comparison.drift_of(resource)}
    return frozenset((*found, *comparison.replicas()))


def _strangers(intent: Intent, cluster: ClusterState, host: host_state.HostState) -> set[tuple[str, str]]:
    return {("overlay", each.name) for each in intent.networks if strangers(each, host, cluster.record)}


def _is_own_work(about: tuple[str, str], observed: Observed) -> bool:
    """Return True if the agent itself stopped or removed what is missing."""
    kind, name = about
    cluster = observed.cluster
    ordered = cluster is not None and (
        cluster.membership_order is not None
        or (cluster.record is not None and bool(cluster.record.recreating))
    )
    resource = "swarm" if kind == "swarm" else f"{kind}/{name}"
    return resource in observed.in_flight or (ordered and kind in ("container", "swarm"))


def since_when(drift: Iterable[Drift], before: Since, now: float) -> Since:
    """Return the start of each object's drift; an object that drifted `before` keeps its start."""
    return {(each.kind, each.object): before.get((each.kind, each.object), now) for each in drift}


def _restored(step: Step, earlier: Look) -> tuple[Drift, bool] | None:
    """Return the difference that a step of the leader ends, and True if at the earlier look all was as it makes it."""
    then = earlier.cluster
    match step:
        case leader_steps.PublishAssignment():
            was_so = then is not None and then.assignments.get(step.host) == step.assignment
            return Drift("intent", step.host, "assignment"), was_so
        case leader_steps.PublishVerdict():
            return Drift("intent", "verdict", "verdict"), then is not None and then.verdict == step.verdict
        case leader_steps.PublishSwarm():
            return Drift("swarm", "record", "record"), then is not None and then.record == step.record
        case leader_steps.PromoteNode() | leader_steps.DemoteNode():
            node = _node(step.node_id, earlier)
            role = "manager" if isinstance(step, leader_steps.PromoteNode) else "worker"
            return Drift("swarm", step.host, "role"), node is not None and node.role == role
        case leader_steps.UpdateNode():
            field = "availability" if step.availability else "labels"
            node = _node(step.node_id, earlier)
            return Drift("swarm", step.host, field), node is not None and _is_updated(node, step)
        case leader_steps.RemoveNode():
            return Drift("swarm", step.host, "node"), False
        case _:
            return None


def _node(node_id: str, earlier: Look) -> host_state.NodeState | None:
    nodes = earlier.host.swarm.nodes if earlier.cluster and earlier.host else None
    return next((each for each in nodes or () if each.id == node_id), None)


def _is_updated(node: host_state.NodeState, step: leader_steps.UpdateNode) -> bool:
    labels = dict(node.labels)
    kept = all(labels.get(name) == value for name, value in step.labels)
    return step.availability in (None, node.availability) and kept and labels.keys().isdisjoint(step.without)


class _Comparison:
    def __init__(
        self, intent: Intent, cluster: ClusterState, host: host_state.HostState, observed: Observed
    ) -> None:
        self.intent, self.cluster, self.host, self.observed = intent, cluster, host, observed

    def drift_of(self, resource: str) -> Iterator[Drift]:
        """Find the drift of a resource that is no container."""
        kind, _, name = resource.partition("/")
        if kind == "network":
            yield from self._network(name)
        elif (kind == "image" and name not in self.host.images) or (
            kind == "volume" and name not in self.host.volumes
        ):
            yield Drift(kind, name, "missing")
        elif kind == "host" and name == self.observed.me:
            yield from self._strangers()
        elif resource == "swarm" and (field := self._membership()):
            yield Drift("swarm", self.observed.me, field)

    def replicas(self) -> Iterator[Drift]:
        """Find the drift of all containers, also of those that wait for an image: the plan does not name them yet."""
        assignment = self.cluster.assignment
        if assignment is None:
            return
        project, found = assignment.project, dict[Key, list[host_state.ContainerState]]()
        for each in self.host.containers:
            found.setdefault(each.replica.key, []).append(each)
        for replica in assignment.replicas:
            name, candidates = replicas.container_name(project, replica), found.pop(replica.key, [])
            yield from (Drift("container", name, field) for field in self._fields(name, replica, candidates))
        for surplus in found.values():
            # The name from its labels: an operator may have renamed the container.
            yield Drift("container", replicas.container_name(project, surplus[0].replica), "surplus")

    def _fields(
        self, name: str, replica: Replica, candidates: list[host_state.ContainerState]
    ) -> Iterator[str]:
        if not candidates:
            done = replicas.finished_before(self.host, replica, self.cluster.specs.get(replica.spec))
            yield from () if done else ("missing",)
            return
        found = max(
            candidates, key=lambda each: (each.replica.spec == replica.spec, each.status == "running")
        )
        if found.replica.spec != replica.spec:
            yield from self._changed(found.replica.spec, replica.spec)
        yield from (each.field for each in found.differences)
        if found.name != name:
            yield "name"
        done = replicas.finished(self.cluster.specs.get(found.replica.spec), found)
        if not done and found.status not in ("running", "restarting"):
            yield "running"
        if len(candidates) > 1:
            yield "surplus"

    def _changed(self, old: str, new: str) -> tuple[str, ...]:
        before, after = self.cluster.specs.get(old), self.cluster.specs.get(new)
        if before is None or after is None:
            return ("spec",)
        return tuple(each for each in SPEC_FIELDS if getattr(before, each) != getattr(after, each))

    def _network(self, name: str) -> Iterator[Drift]:
        if name == GWBRIDGE:
            yield from (Drift("gwbridge", GWBRIDGE, field) for field in self._bridge())
            return
        declared = self.intent.network(name)
        if declared is None:
            return
        found = found_for(declared, self.host, self.cluster.record)
        kind = "overlay" if declared.driver == "overlay" else "network"
        if found is None:
            yield Drift(kind, name, "missing")
        elif kind == "overlay":
            yield from (Drift(kind, name, each.field) for each in overlay_differences(declared, found))
        elif declared.subnet and found.subnet != declared.subnet:
            yield Drift(kind, name, "subnet")

    def _strangers(self) -> Iterator[Drift]:
        for declared in self.intent.networks:
            for each in strangers(declared, self.host, self.cluster.record):
                field = "driver" if each.driver != declared.driver else "name"
                yield Drift("overlay", declared.name, field)

    def _bridge(self) -> Iterator[str]:
        yield from (each.field for each in bridge.bridge_differences(self.intent.gwbridge, self.host))
        if BRIDGE in self.observed.in_flight:
            return  # in its replacement, a parked container lacks no gateway, and no network is left over
        if bridge.without_gateway(self.host):
            yield _ENDPOINT
        if bridge.is_begun(self.host):
            yield _PARKING

    def _membership(self) -> str:
        declared, swarm, record = self.intent.host(self.observed.me), self.host.swarm, self.cluster.record
        if declared is None:
            return ""
        if swarm.local != "active":
            return "membership" if swarm.local in ("inactive", "pending") else "state"
        if record and record.swarm_id and swarm.swarm_id and swarm.swarm_id != record.swarm_id:
            return "swarm"
        if swarm.is_manager != (declared.role == "manager"):
            return "role"
        return (
            "address" if swarm.address not in (None, self.observed.advertise or str(declared.address)) else ""
        )
