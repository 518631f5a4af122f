"""Effects of the steps on the swarm and its nodes."""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from agent.model import leader_steps, steps
from agent.model.host_state import HostState, NodeState, SwarmState
from agent.planner.dry_run.engine import network_of, without_networks
from agent.planner.dry_run.world import World, networks_in_use

SWARM_PORT = 2377
NEW_SWARM = "(new swarm)"

Nodes = tuple[NodeState, ...]


def on_node(world: World, me: str, step: leader_steps.NodeStep) -> World:
    """Return the world after the manager `me` has carried out `step` and the swarm has applied it."""
    match step:
        case leader_steps.PromoteNode():
            world = _listed(world, me, _each(step.node_id, _promoted))
            return _with_role(world, me, step.node_id, manager=True)
        case leader_steps.DemoteNode():
            world = _listed(world, me, lambda nodes: _with_raft_leader(_each(step.node_id, _demoted)(nodes)))
            return _with_role(world, me, step.node_id, manager=False)
        case leader_steps.UpdateNode():
            return _listed(world, me, _each(step.node_id, lambda node: _updated(node, step)))
        case leader_steps.RemoveNode():
            return _listed(world, me, lambda nodes: tuple(each for each in nodes if each.id != step.node_id))
    assert_never(step)


def _listed(world: World, me: str, change: Callable[[Nodes], Nodes]) -> World:
    """Change the node list of all managers in the swarm of `me`."""

    def listed(host: HostState) -> HostState:
        nodes = host.swarm.nodes
        return host if nodes is None else replace(host, swarm=replace(host.swarm, nodes=change(nodes)))

    return world.with_managers(world.host(me).swarm.swarm_id, listed)


def _each(node_id: str | None, change: Callable[[NodeState], NodeState]) -> Callable[[Nodes], Nodes]:
    return lambda nodes: tuple(change(each) if each.id == node_id else each for each in nodes)


def _promoted(node: NodeState) -> NodeState:
    return replace(node, role="manager", reachable=True, manager_address=f"{node.address}:{SWARM_PORT}")


def _demoted(node: NodeState) -> NodeState:
    return replace(node, role="worker", reachable=None, manager_address="", leader=False)


def _with_raft_leader(nodes: Nodes) -> Nodes:
    """Make the first reachable manager the raft leader if there is none."""
    managers = [each.id for each in nodes if each.reachable]
    if not managers or any(each.leader for each in nodes):
        return nodes
    return tuple(replace(each, leader=True) if each.id == managers[0] else each for each in nodes)


def _updated(node: NodeState, step: leader_steps.UpdateNode) -> NodeState:
    kept = {name: value for name, value in node.labels if name not in step.without}
    labels = tuple(sorted({**kept, **dict(step.labels)}.items()))
    return replace(node, availability=step.availability or node.availability, labels=labels)


def _with_role(world: World, me: str, node_id: str, *, manager: bool) -> World:
    """Change the view of the host with that node to a manager's or a worker's."""
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
            used = networks_in_use(host)
            # A worker lists an overlay only while one of its containers is on it.
            networks = [
                each for each in host.networks if manager or each.scope != "swarm" or each.name in used
            ]
            known = {each.id for each in networks}
            networks += [each for each in overlays if manager and each.id not in known]
            world = world.with_host(name, replace(host, swarm=swarm, networks=tuple(networks)))
    return world


def init_swarm(world: World, me: str, step: steps.InitSwarm) -> World:
    return _join(world, me, NEW_SWARM, _node(me, step.advertise, leader=True, role="manager"), "")


def join_swarm(world: World, me: str, step: steps.JoinSwarm) -> World:
    record = world.cluster.record
    assert record is not None
    assert record.swarm_id is not None
    node = _node(me, step.advertise, leader=False, role=step.role)
    return _join(world, me, record.swarm_id, node, step.remotes[0] if step.remotes else None)


def with_overlay(world: World, me: str, step: leader_steps.CreateOverlay) -> World:
    """Return the world after the manager `me` has created the overlay: all managers of the swarm list it."""
    network = network_of(step.network)
    return world.with_managers(
        world.host(me).swarm.swarm_id, lambda host: replace(host, networks=(*host.networks, network))
    )


def without_overlay(world: World, network_id: str) -> World:
    for name, agent in world.agents.items():
        if host := agent.host:
            world = world.with_host(name, without_networks(host, network_id))
    return world


def _join(world: World, me: str, swarm_id: str, node: NodeState, through: str | None) -> World:
    """Make `me` the node `node`: all managers list it, and a new manager lists the swarm's nodes and overlays."""
    members = world.managers_of(swarm_id)
    known = world.nodes_of(swarm_id) if members else ()
    nodes = None if known is None else (*known, node)
    world = world.with_managers(swarm_id, lambda host: replace(host, swarm=replace(host.swarm, nodes=nodes)))
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
    """Autolock of the swarm with these managers; False for a new swarm (`through` is empty), None: not known."""
    if members:
        return world.host(members[0]).swarm.autolock
    return False if through == "" else None


def leave_swarm(world: World, me: str) -> World:
    """Return the world after `me` has left: without the swarm's networks, its node still listed as down."""
    host = world.host(me)
    world = _listed(world, me, _each(host.swarm.node_id, lambda node: replace(node, state="down")))
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
    def switched(host: HostState) -> HostState:
        key = host.swarm.unlock_key if on else ""
        return replace(host, swarm=replace(host.swarm, autolock=on, unlock_key=key))

    world = world.with_managers(step.known.swarm_id, switched)
    key = world.host(me).swarm.unlock_key
    published = replace(step.known, on=on, keys=(key, *step.known.keys) if key else step.known.keys)
    return world.with_cluster(replace(world.cluster, unlock=published, unlock_aged=False))
