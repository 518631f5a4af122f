"""What the swarm, and the hosts in it, will be when a step on it or on one of its nodes has succeeded."""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from agent.model import leader_steps, steps
from agent.model.host_state import HostState, NetworkState, NodeState, SwarmState
from agent.planner.dry_run.bridge import network_of
from agent.planner.dry_run.world import World

SWARM_PORT = 2377
NEW_SWARM = "(new swarm)"

Nodes = tuple[NodeState, ...]


def on_node(world: World, me: str, step: leader_steps.NodeStep) -> World:
    """The world after the manager `me` has carried out `step`, and the swarm has done what it asks for."""
    match step:
        case leader_steps.PromoteNode():
            world = _listed(world, me, _each(step.node_id, _promoted))
            return _with_role(world, me, step.node_id, manager=True)
        case leader_steps.DemoteNode():
            world = _listed(world, me, lambda nodes: _led(_each(step.node_id, _demoted)(nodes)))
            return _with_role(world, me, step.node_id, manager=False)
        case leader_steps.UpdateNode():
            return _listed(world, me, _each(step.node_id, lambda node: _updated(node, step)))
        case leader_steps.RemoveNode():
            return _listed(world, me, lambda nodes: tuple(each for each in nodes if each.id != step.node_id))
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


def _updated(node: NodeState, step: leader_steps.UpdateNode) -> NodeState:
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


def init_swarm(world: World, me: str, step: steps.InitSwarm) -> World:
    """The world after `me` has made the swarm."""
    return _join(world, me, NEW_SWARM, _node(me, step.advertise, leader=True, role="manager"), "")


def join_swarm(world: World, me: str, step: steps.JoinSwarm) -> World:
    """The world after `me` has joined the swarm on record."""
    record = world.cluster.record
    assert record is not None
    assert record.swarm_id is not None
    node = _node(me, step.advertise, leader=False, role=step.role)
    return _join(world, me, record.swarm_id, node, step.remotes[0] if step.remotes else None)


def with_overlay(world: World, me: str, step: leader_steps.CreateOverlay) -> World:
    """The world after the manager `me` has made it: all managers of the swarm see it."""
    network = network_of(step.network)
    for name in world.managers_of(world.host(me).swarm.swarm_id):
        host = world.host(name)
        world = world.with_host(name, replace(host, networks=(*host.networks, network)))
    return world


def without_overlay(world: World, network_id: str) -> World:
    """The world in which nobody has the network of that id."""
    for name, agent in world.agents.items():
        if host := agent.host:
            left = tuple(each for each in host.networks if each.id != network_id)
            world = world.with_host(name, replace(host, networks=left))
    return world


def _join(world: World, me: str, swarm_id: str, node: NodeState, through: str | None) -> World:
    """`me` becomes `node`; a manager sees the swarm's nodes and overlays from then on, and all managers see it."""
    members = world.managers_of(swarm_id)
    known = world.nodes_of(swarm_id) if members else ()
    nodes = None if known is None else (*known, node)
    for name in members:
        host = world.host(name)
        world = world.with_host(name, replace(host, swarm=replace(host.swarm, nodes=nodes)))
    host, manager = world.host(me), node.role == "manager"
    swarm = SwarmState(
        local="active",
        node_id=node.id,
        swarm_id=swarm_id,
        is_manager=manager,
        address=node.address,
        managers=tuple((each.id, each.manager_address) for each in nodes or () if each.manager_address),
        joined_through=through,
        nodes=nodes if manager else None,
        autolock=_autolock(world, members, through) if manager else None,
    )
    seen = world.host(members[0]).networks if manager and members else ()
    overlays = tuple(each for each in seen if each.scope == "swarm")
    return world.with_host(me, replace(host, swarm=swarm, networks=(*host.networks, *overlays)))


def _autolock(world: World, members: tuple[str, ...], through: str | None) -> bool | None:
    """Of a swarm with these managers, before a host came in `through` one of them, or made it."""
    return world.host(members[0]).swarm.autolock if members else False if through == "" else None


def leave_swarm(world: World, me: str) -> World:
    """`me` is outside, without the swarm's networks; its node stays in the list, and is down."""
    host = world.host(me)
    for name in world.managers_of(host.swarm.swarm_id):
        manager = world.host(name)
        nodes = manager.swarm.nodes and tuple(
            replace(each, state="down") if each.id == host.swarm.node_id else each
            for each in manager.swarm.nodes
        )
        world = world.with_host(name, replace(manager, swarm=replace(manager.swarm, nodes=nodes)))
    networks = tuple(each for each in host.networks if each.scope != "swarm")
    return world.with_host(me, replace(host, swarm=SwarmState(local="inactive"), networks=networks))


def _node(me: str, address: str, *, leader: bool, role: str) -> NodeState:
    manager = role == "manager"
    return NodeState(
        id=f"(node {me})",
        hostname=me,
        role="manager" if manager else "worker",
        availability="active",
        state="ready",
        address=address,
        leader=leader,
        reachable=True if manager else None,
        manager_address=f"{address}:{SWARM_PORT}" if manager else "",
    )


def on_autolock(world: World, me: str, step: leader_steps.AutolockStep, *, on: bool) -> World:
    """The world after `me` has switched the autolock or published its keys."""
    for name in world.managers_of(step.known.swarm_id):
        host = world.host(name)
        key = host.swarm.unlock_key if on else ""
        swarm = replace(host.swarm, autolock=on, unlock_key=key)
        world = world.with_host(name, replace(host, swarm=swarm))
    key = world.host(me).swarm.unlock_key
    published = replace(step.known, on=on, keys=(key, *step.known.keys) if key else step.known.keys)
    return world.with_cluster(replace(world.cluster, unlock=published, unlock_aged=False))
