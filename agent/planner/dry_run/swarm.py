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


SwarmStep = (
    steps.InitSwarm | steps.JoinSwarm | steps.LeaveSwarm | steps.AbandonNode | steps.DissolveSwarm
    | leader_steps.NodeStep | leader_steps.CreateOverlay | leader_steps.RemoveOverlay | leader_steps.AutolockStep
)  # fmt: skip
"""The steps with an effect on several hosts."""


def on_swarm(world: World, me: str, step: SwarmStep) -> World:  # noqa: C901, PLR0912 - one case per step
    """Return the world after `me` has carried out `step` and the swarm has applied it."""
    match step:
        case steps.InitSwarm():
            node = replace(_node(me, step.advertise, manager=True), leader=True)
            return _join(world, me, NEW_SWARM, node, "")
        case steps.JoinSwarm():
            record = world.cluster.record
            assert record is not None
            assert record.swarm_id is not None
            node = _node(me, step.advertise, manager=step.role == "manager")
            return _join(world, me, record.swarm_id, node, step.remotes[0] if step.remotes else None)
        case steps.LeaveSwarm() | steps.AbandonNode() | steps.DissolveSwarm():
            return _leave(world, me)
        case leader_steps.PromoteNode():
            world = _listed(world, me, _each(step.node_id, lambda node: _in_role(node, manager=True)))
            return _with_role(world, me, step.node_id, manager=True)
        case leader_steps.DemoteNode():
            demoted = _each(step.node_id, lambda node: _in_role(node, manager=False))
            world = _listed(world, me, lambda nodes: _with_raft_leader(demoted(nodes)))
            return _with_role(world, me, step.node_id, manager=False)
        case leader_steps.UpdateNode():
            return _listed(world, me, _each(step.node_id, lambda node: _updated(node, step)))
        case leader_steps.RemoveNode():
            return _listed(world, me, lambda nodes: tuple(each for each in nodes if each.id != step.node_id))
        case leader_steps.CreateOverlay():
            made = network_of(step.network)
            swarm_id = world.host(me).swarm.swarm_id
            return world.with_managers(swarm_id, lambda host: replace(host, networks=(*host.networks, made)))
        case leader_steps.RemoveOverlay():
            for name, agent in world.agents.items():
                if host := agent.host:
                    world = world.with_host(name, without_networks(host, step.id))
            return world
        case leader_steps.TurnAutolockOn() | leader_steps.PublishUnlockKey():
            return _with_autolock(world, me, step, on=True)
        case leader_steps.TurnAutolockOff():
            return _with_autolock(world, me, step, on=False)
    assert_never(step)


def _listed(world: World, me: str, change: Callable[[Nodes], Nodes]) -> World:
    """Change the node list of all managers in the swarm of `me`."""

    def listed(host: HostState) -> HostState:
        nodes = host.swarm.nodes
        return host if nodes is None else replace(host, swarm=replace(host.swarm, nodes=change(nodes)))

    return world.with_managers(world.host(me).swarm.swarm_id, listed)


def _each(node_id: str | None, change: Callable[[NodeState], NodeState]) -> Callable[[Nodes], Nodes]:
    return lambda nodes: tuple(change(each) if each.id == node_id else each for each in nodes)


def _in_role(node: NodeState, *, manager: bool) -> NodeState:
    return replace(
        node,
        role="manager" if manager else "worker",
        leader=manager and node.leader,
        reachable=True if manager else None,
        manager_address=f"{node.address}:{SWARM_PORT}" if manager else "",
    )


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


def _join(world: World, me: str, swarm_id: str, node: NodeState, through: str | None) -> World:
    """Make `me` the node `node`: all managers list it, and a new manager lists the swarm's nodes and overlays."""
    members = world.managers_of(swarm_id)
    lists = (world.host(name).swarm.nodes for name in members)
    known = next((each for each in lists if each is not None), None if members else ())
    nodes = None if known is None else (*known, node)
    alone = False if through == "" else None  # of a swarm without a known manager, autolock is not known
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
        autolock=(world.host(members[0]).swarm.autolock if members else alone) if manager else None,
    )
    seen = world.host(members[0]).networks if manager and members else ()
    overlays = tuple(each for each in seen if each.scope == "swarm")
    return world.with_host(me, replace(host, swarm=swarm, networks=(*host.networks, *overlays)))


def _leave(world: World, me: str) -> World:
    """Return the world after `me` has left: without the swarm's networks, its node still listed as down."""
    host = world.host(me)
    world = _listed(world, me, _each(host.swarm.node_id, lambda node: replace(node, state="down")))
    networks = tuple(each for each in host.networks if each.scope != "swarm")
    return world.with_host(me, replace(host, swarm=SwarmState(local="inactive"), networks=networks))


def _node(me: str, address: str, *, manager: bool) -> NodeState:
    node = NodeState(
        id=f"(node {me})", hostname=me, role="worker", availability="active", state="ready", address=address
    )
    return _in_role(node, manager=manager)


def _with_autolock(world: World, me: str, step: leader_steps.AutolockStep, *, on: bool) -> World:
    def switched(host: HostState) -> HostState:
        key = host.swarm.unlock_key if on else ""
        return replace(host, swarm=replace(host.swarm, autolock=on, unlock_key=key))

    world = world.with_managers(step.known.swarm_id, switched)
    key = world.host(me).swarm.unlock_key
    published = replace(step.known, on=on, keys=(key, *step.known.keys) if key else step.known.keys)
    return replace(world, cluster=replace(world.cluster, unlock=published, unlock_aged=False))
