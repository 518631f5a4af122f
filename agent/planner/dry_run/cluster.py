"""The dry run of the whole cluster: the steps of every agent until none is left.

The agents' own planner plans for one host after the other, in a world in which every step succeeds. The agents will
take the same steps; only the order between hosts may differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.diff.reported import NOTHING_THERE, alike, host_of
from agent.model.host_state import VolumeState
from agent.model.intent import LOCAL_DRIVER
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Blocked, Plan, Step
from agent.model.status import Waiting
from agent.planner import make_plan
from agent.planner.dry_run.effects import predict
from agent.planner.dry_run.engine import with_assignment
from agent.planner.dry_run.world import World

T = TypeVar("T")

_MOST_ROUNDS = 50
"""Rounds after which a plan counts as endless: a first boot takes about ten, a rollout some for each replica."""
_ROUNDS_FOR_A_REPLICA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """The steps of the agent on one host, in order, and what waits or is blocked after them."""

    name: str
    is_leader: bool = False
    notes: tuple[str, ...] = ()
    """Limits of the data that the plan is based on: no report yet, or an old one."""
    steps: tuple[Step, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    waits: tuple[Waiting, ...] = ()
    """Waits for another resource before one of the steps: the first reason for each pair of resources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """The plans of all hosts, and the resources that are blocked or wait on all of them."""

    hosts: tuple[HostPlan, ...]
    everywhere: tuple[Blocked, ...] = ()
    waiting_everywhere: tuple[Waiting, ...] = ()
    settled: bool = True
    """False: the planner did not end, and the steps are only the beginning."""

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for host in self.hosts for step in host.steps)

    @property
    def blocked(self) -> tuple[Blocked, ...]:
        return (*self.everywhere, *(each for host in self.hosts for each in host.blocked))

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        return (*self.waiting_everywhere, *(each for host in self.hosts for each in host.waiting))


def plan_cluster(cluster: ClusterState, *, show_secrets: bool = False) -> ClusterPlan:
    """Plan for every host of `cluster` (as a leader reads it), from the hosts' last reports.

    Pure and deterministic. A host that never reported counts as empty, and an unreachable agent as one that returns;
    the notes show both. Replicas on lost hosts that may run elsewhere are rescheduled first. `show_secrets` allows
    secret values in reasons. Raises Invalid for a status with a malformed address.
    """
    notes = {name: _notes(name, cluster) for name in _names(cluster)}
    world = world_of(cluster, show_secrets=show_secrets)
    order = sorted(notes, key=lambda name: (name != cluster.leader, name not in cluster.present, name))
    lost = _lost_with_replicas_that_move(cluster)
    # Replicas are rescheduled while their host is lost; then that host is planned for as if it had returned.
    world, done, left = settle(replace(world, lost=lost), tuple(each for each in order if each not in lost))
    if lost:
        world, after, left = settle(replace(world, lost=frozenset()), tuple(order))
        done = {name: done.get(name, Plan()) + after[name] for name in order}
    settled = not any(each.steps for each in left.values())
    everywhere = _shared(tuple(each.blocked for each in left.values()))
    waiting = _shared(tuple(each.waiting for each in left.values()))
    hosts = tuple(
        HostPlan(
            name=name,
            is_leader=name == world.cluster.leader,
            notes=notes[name],
            steps=done[name].steps,
            blocked=tuple(each for each in left[name].blocked if each not in everywhere),
            waiting=tuple(each for each in left[name].waiting if each not in waiting),
            waits=_first(done[name].waiting),
        )
        for name in notes
    )
    return ClusterPlan(hosts=hosts, everywhere=everywhere, waiting_everywhere=waiting, settled=settled)


def settle(world: World, order: tuple[str, ...]) -> tuple[World, Mapping[str, Plan], Mapping[str, Plan]]:
    """Apply the plans of the hosts of `order` one after the other until all plans are empty.

    Returns the last world, for each host its steps and what has waited for another resource meanwhile, and the plans
    of the last round: without a step, unless `most_rounds` were not enough.
    """
    done = dict.fromkeys(order, Plan())
    for _ in range(most_rounds(world)):
        left: dict[str, Plan] = {}
        for name in order:
            plan = left[name] = make_plan(world.observed(name))
            for step in plan.steps:
                world = predict(world, name, step)
            known = done[name].waiting
            waits = tuple(each for each in plan.waiting if each.on and each not in known)
            done[name] += Plan(plan.steps, waiting=waits)
        if not any(each.steps for each in left.values()):
            break
    return world, done, left


def _first(waits: tuple[Waiting, ...]) -> tuple[Waiting, ...]:
    """Return the first of the waits of one resource for another: its reason changes as the other goes on."""
    first: dict[tuple[str, str], Waiting] = {}
    for each in waits:
        first.setdefault((each.resource, each.on), each)
    return tuple(first.values())


def most_rounds(world: World) -> int:
    """Greatest number of rounds that the hosts of `world` need, unless the planner never ends."""
    intents = [world.cluster.accepted, world.cluster.document.intent if world.cluster.document else None]
    replicas = [each.replica_count for intent in intents if intent for each in intent.services]
    return _MOST_ROUNDS + _ROUNDS_FOR_A_REPLICA * sum(replicas)


def world_of(cluster: ClusterState, *, show_secrets: bool = False) -> World:
    """The world as etcd describes it. Raises Invalid for a status with a malformed address."""
    nothing = Observed(me="", host=NOTHING_THERE, cluster=None, show_secrets=show_secrets)
    return World(
        cluster=cluster,
        agents={name: _seen(replace(nothing, me=name), name, cluster) for name in _names(cluster)},
    )


def _seen(nothing: Observed, name: str, cluster: ClusterState) -> Observed:
    """Return what the agent of that host last reported of it; `nothing` if it never did."""
    status = cluster.statuses.get(name)
    if status is None:
        return nothing
    host = host_of(status)
    if host is not None:  # a report may be older than the assignment
        # A report has no options of volumes, which may be secret: they are as the accepted document has them.
        declared, drivers = cluster.accepted.volumes if cluster.accepted else (), dict(status.volume_drivers)
        here = tuple(
            alike(VolumeState, each, driver=drivers.get(each.name, LOCAL_DRIVER))
            for each in declared
            if each.name in host.volumes
        )
        if host.swarm.nodes == ():  # the leader alone reports them
            lists = (each.nodes for each in cluster.statuses.values() if each.swarm_id == status.swarm_id)
            host = replace(host, swarm=replace(host.swarm, nodes=next(filter(None, lists), None)))
        host = replace(host, declared_volumes=here)
        host = with_assignment(host, name, cluster)
    return replace(nothing, host=host, advertise=status.advertise, engine_error=status.engine_error)


def _names(cluster: ClusterState) -> tuple[str, ...]:
    """All hosts in the newest document, the accepted one and etcd: declared ones in declared order, then the others."""
    newest = cluster.document.intent if cluster.document else None
    declared = [host.name for intent in (newest, cluster.accepted) if intent for host in intent.hosts]
    known = sorted({*cluster.statuses, *cluster.present, *cluster.assignments})
    return tuple(dict.fromkeys((*declared, *known)))


def _notes(name: str, cluster: ClusterState) -> tuple[str, ...]:
    status, instance = cluster.statuses.get(name), cluster.present.get(name)
    if status is None:
        cause = "no report yet" if instance else "no agent seen yet"
        return (f"{cause}: planned for an empty engine",)
    if instance is None:
        return (f"its agent is unreachable: planned from its last report, of {status.at}",)
    if status.instance != instance:
        return (f"its agent has just started: planned from its last report, of {status.at}",)
    return ()


def _lost_with_replicas_that_move(cluster: ClusterState) -> frozenset[str]:
    """Lost hosts with replicas that may run elsewhere.

    The node states are from the leader's report or, without one, from another manager's.
    """
    intent = (cluster.document.intent if cluster.document else None) or cluster.accepted
    names = sorted(cluster.present, key=lambda name: (name != cluster.leader, name))
    lists = (status.nodes for name in names if (status := cluster.status_of(name)))
    nodes = next(filter(None, lists), ())
    scheduled = {each.name for each in intent.services if each.replicas is not None} if intent else set()
    down = {each.id for each in nodes if each.state == "down"}
    return frozenset(
        name
        for name, status in cluster.statuses.items()
        if name not in cluster.present and status.node_id in down
        if (assigned := cluster.assignments.get(name))
        and any(each.service in scheduled for each in assigned.replicas)
    )


def _shared(found: tuple[tuple[T, ...], ...]) -> tuple[T, ...]:
    if len(found) < 2:  # noqa: PLR2004 - one host shares nothing
        return ()
    return tuple(each for each in found[0] if all(each in other for other in found[1:]))
