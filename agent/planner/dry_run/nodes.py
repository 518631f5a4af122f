"""What the swarm, and the hosts in it, will be when a step on one of its nodes has succeeded."""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from agent.model import steps
from agent.model.observed import HostState, NetworkState, NodeState
from agent.planner.dry_run.world import World

SWARM_PORT = 2377

NodeStep = steps.PromoteNode | steps.DemoteNode | steps.UpdateNode | steps.RemoveNode | steps.ForgetHost
Nodes = tuple[NodeState, ...]


def on_node(world: World, me: str, step: NodeStep) -> World:
    """The world after the manager `me` has carried out `step`, and the swarm has done what it asks for."""
    match step:
        case steps.PromoteNode():
            world = _listed(world, me, _each(step.node_id, _promoted))
            return _with_role(world, me, step.node_id, manager=True)
        case steps.DemoteNode():
            world = _listed(world, me, lambda nodes: _led(_each(step.node_id, _demoted)(nodes)))
            return _with_role(world, me, step.node_id, manager=False)
        case steps.UpdateNode():
            return _listed(world, me, _each(step.node_id, lambda node: _updated(node, step)))
        case steps.RemoveNode():
            return _listed(world, me, lambda nodes: tuple(each for each in nodes if each.id != step.node_id))
        case steps.ForgetHost():
            left = {name: each for name, each in world.cluster.assignments.items() if name != step.host}
            return world.with_cluster(replace(world.cluster, assignments=left))
    assert_never(step)


def _listed(world: World, me: str, change: Callable[[Nodes], Nodes]) -> World:
    """All managers of the swarm of `me` list its nodes as changed."""
    for name in world.managers_of(world.host(me).swarm.swarm_id):
        host = world.host(name)
        if host.swarm.nodes is not None:
            swarm = replace(host.swarm, nodes=change(host.swarm.nodes))
            world = world.with_host(name, replace(host, swarm=swarm))
    return world


def _each(node_id: str, change: Callable[[NodeState], NodeState]) -> Callable[[Nodes], Nodes]:
    return lambda nodes: tuple(change(each) if each.id == node_id else each for each in nodes)


def _promoted(node: NodeState) -> NodeState:
    return replace(node, role="manager", reachable=True, manager_address=f"{node.address}:{SWARM_PORT}")


def _demoted(node: NodeState) -> NodeState:
    return replace(node, role="worker", reachable=None, manager_address="", leader=False)


def _led(nodes: Nodes) -> Nodes:
    """Raft has a leader again: the first manager that it reaches."""
    managers = [each.id for each in nodes if each.reachable]
    if not managers or any(each.leader for each in nodes):
        return nodes
    return tuple(replace(each, leader=True) if each.id == managers[0] else each for each in nodes)


def _updated(node: NodeState, step: steps.UpdateNode) -> NodeState:
    kept = {name: value for name, value in node.labels if name not in step.without}
    labels = tuple(sorted({**kept, **dict(step.labels)}.items()))
    return replace(node, availability=step.availability or node.availability, labels=labels)


def _with_role(world: World, me: str, node_id: str, *, manager: bool) -> World:
    """The host that is that node, if any is: it sees what a manager sees, or no more than a worker."""
    seen = world.host(me)
    overlays = tuple(each for each in seen.networks if each.scope == "swarm")
    for name, agent in world.agents.items():
        host = agent.host
        if host is not None and host.swarm.node_id == node_id and host.swarm.is_manager != manager:
            swarm = replace(
                host.swarm,
                is_manager=manager,
                swarm_id=seen.swarm.swarm_id if manager else None,
                nodes=seen.swarm.nodes if manager else None,
                autolock=seen.swarm.autolock if manager else None,
            )
            networks = _with_overlays(host, overlays) if manager else _without_unused(host)
            world = world.with_host(name, replace(host, swarm=swarm, networks=networks))
    return world


def _with_overlays(host: HostState, overlays: tuple[NetworkState, ...]) -> tuple[NetworkState, ...]:
    known = {each.id for each in host.networks}
    return (*host.networks, *(each for each in overlays if each.id not in known))


def _without_unused(host: HostState) -> tuple[NetworkState, ...]:
    """A worker lists an overlay only while a container of its own is on it."""
    used = {network for each in host.containers for network, address in each.addresses if address}
    return tuple(each for each in host.networks if each.scope != "swarm" or each.name in used)
