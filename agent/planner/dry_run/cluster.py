"""The plan for the whole cluster: what every agent would do until nothing is left, found by predicting each step.

The same planner that the agents run is asked for one host after the other, on a world in which every step succeeds.
What comes out is what they will do; who is first where several could be, only they will find out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.diff.reported import NOTHING_THERE, host_of
from agent.model.observed import ClusterState
from agent.model.plan import Blocked, Step
from agent.model.status import NodeReport
from agent.planner import make_plan
from agent.planner.dry_run.effects import predict
from agent.planner.dry_run.replicas import with_assignment
from agent.planner.dry_run.world import Agent, World

_MOST_ROUNDS = 50
"""A first boot takes about ten; more is a planner that never is content. A rollout takes some for each replica."""
_ROUNDS_FOR_A_REPLICA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """What the agent on one host would do, in its order, and what it would leave as it is."""

    name: str
    leads: bool = False
    notes: tuple[str, ...] = ()
    """How good the ground is on which this was planned."""
    steps: tuple[Step, ...] = ()
    blocked: tuple[Blocked, ...] = ()

    def __str__(self) -> str:
        title = f"{self.name} (leads)" if self.leads else self.name
        lines = (*(f"({note})" for note in self.notes), *map(str, self.steps), *map(str, self.blocked))
        return "\n".join((title, *(f"  {line}" for line in lines or ("nothing to do",))))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """The plans of all hosts, and what is blocked on every one of them alike."""

    hosts: tuple[HostPlan, ...]
    everywhere: tuple[Blocked, ...] = ()
    settled: bool = True
    """False: the planner went on asking for steps; what is told is only how it would begin."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of all hosts."""
        return tuple(step for host in self.hosts for step in host.steps)

    @property
    def blocked(self) -> tuple[Blocked, ...]:
        """What is blocked on any host."""
        return (*self.everywhere, *(each for host in self.hosts for each in host.blocked))

    def __str__(self) -> str:
        return "\n".join((*map(str, self.hosts), *map(str, self.everywhere)))


def plan_cluster(cluster: ClusterState, *, show_secrets: bool = False) -> ClusterPlan:
    """What would be done on every host of `cluster` (read as a leader reads it), from what the hosts last reported.

    Pure and deterministic. A host that never reported is taken for one with nothing on it, and an agent that is away
    for one that comes back: the notes say so. Replicas that may run elsewhere than on a host that is lost move first.
    `show_secrets` lets reasons hold values that can be secret. Raises Invalid for a status with an address that is none.
    """
    notes = {name: _notes(name, cluster) for name in _names(cluster)}
    world = replace(world_of(cluster), show_secrets=show_secrets)
    order = sorted(notes, key=lambda name: (name != cluster.leader, name not in cluster.present, name))
    lost = _lost_with_replicas_that_move(cluster)
    # What moves does so while its host is gone; then that one is told for as if it came back.
    world, done, settled = settle(
        replace(world, lost=lost), tuple(each for each in order if each not in lost)
    )
    if lost:
        world, after, settled = settle(replace(world, lost=frozenset()), tuple(order))
        done = {name: (*done.get(name, ()), *after[name]) for name in order}
    blocked = {name: make_plan(world.observed(name)).blocked for name in notes}
    everywhere = _shared(tuple(blocked.values()))
    hosts = tuple(
        HostPlan(
            name=name,
            leads=name == world.cluster.leader,
            notes=notes[name],
            steps=done[name],
            blocked=tuple(each for each in blocked[name] if each not in everywhere),
        )
        for name in notes
    )
    return ClusterPlan(hosts=hosts, everywhere=everywhere, settled=settled)


def settle(world: World, order: tuple[str, ...]) -> tuple[World, Mapping[str, tuple[Step, ...]], bool]:
    """Let every host of `order` in turn carry out its plan, until none has one.

    Returns the world then, the steps of each host, and whether it came to that end within `most_rounds`.
    """
    done: dict[str, tuple[Step, ...]] = dict.fromkeys(order, ())
    for _ in range(most_rounds(world)):
        before = sum(map(len, done.values()))
        for name in order:
            steps = make_plan(world.observed(name)).steps
            for step in steps:
                world = predict(world, name, step)
            done[name] += steps
        if sum(map(len, done.values())) == before:
            return world, done, True
    return world, done, False


def most_rounds(world: World) -> int:
    """In how many rounds the hosts of `world` come to an end, if they ever do."""
    intents = [world.cluster.accepted, world.cluster.document.intent if world.cluster.document else None]
    replicas = [each.replica_count for intent in intents if intent for each in intent.services]
    return _MOST_ROUNDS + _ROUNDS_FOR_A_REPLICA * sum(replicas)


def world_of(cluster: ClusterState) -> World:
    """The world that etcd tells of. Raises Invalid for a status with an address that is none."""
    return World(cluster=cluster, agents={name: _agent(name, cluster) for name in _names(cluster)})


def _agent(name: str, cluster: ClusterState) -> Agent:
    status = cluster.statuses.get(name)
    if status is None:
        return Agent(host=NOTHING_THERE)
    host = host_of(status)
    if host is not None:  # a report may be older than the assignment
        host = with_assignment(host, name, cluster.assignments.get(name), cluster.specs, cluster.accepted)
    return Agent(host=host, advertise=status.advertise, engine_error=status.engine_error)


def _names(cluster: ClusterState) -> tuple[str, ...]:
    """Every host that the newest document, the accepted one or etcd knows of: declared ones in declared order."""
    newest = cluster.document.intent if cluster.document else None
    declared = [host.name for intent in (newest, cluster.accepted) if intent for host in intent.hosts]
    known = sorted({*cluster.statuses, *cluster.present, *cluster.assignments})
    return tuple(dict.fromkeys((*declared, *known)))


def _notes(name: str, cluster: ClusterState) -> tuple[str, ...]:
    status, instance = cluster.statuses.get(name), cluster.present.get(name)
    if status is None:
        what = "no report yet" if instance else "no agent seen yet"
        return (f"{what}: planned as for an engine with nothing on it",)
    if instance is None:
        return (f"its agent is away: planned from its last report, of {status.at}",)
    if status.instance != instance:
        return (f"its agent has just started: planned from its last report, of {status.at}",)
    return ()


def _lost_with_replicas_that_move(cluster: ClusterState) -> frozenset[str]:
    """Hosts that are away, whose node the swarm calls down, and with replicas that may run elsewhere.

    It is the word of the leader, or of any other manager that is there and sees the nodes.
    """
    intent = (cluster.document.intent if cluster.document else None) or cluster.accepted
    nodes = _nodes_listed(cluster)
    chosen = {each.name for each in intent.services if each.replicas is not None} if intent else set()
    down = {each.id for each in nodes if each.state == "down"}
    return frozenset(
        name
        for name, status in cluster.statuses.items()
        if name not in cluster.present and status.node_id in down
        if (assigned := cluster.assignments.get(name))
        and any(each.service in chosen for each in assigned.replicas)
    )


def _nodes_listed(cluster: ClusterState) -> tuple[NodeReport, ...]:
    names = sorted(cluster.present, key=lambda name: (name != cluster.leader, name))
    lists = (status.nodes for name in names if (status := cluster.status_of(name)))
    return next((each for each in lists if each is not None), ())


def _shared(blocked: tuple[tuple[Blocked, ...], ...]) -> tuple[Blocked, ...]:
    if len(blocked) < 2:  # noqa: PLR2004 - one host shares nothing
        return ()
    return tuple(each for each in blocked[0] if all(each in other for other in blocked[1:]))
