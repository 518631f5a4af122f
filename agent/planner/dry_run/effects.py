"""What will be observed when a step has succeeded. Pure: the next world comes out, the last one stays as it was.

A prediction knows what the engine and etcd promise, not what they invent: the ids of a new swarm, node, network or
container are stand-ins in parentheses, which no real id looks like.
"""

from dataclasses import replace
from typing import assert_never

from agent.model import plan, steps
from agent.model.host_state import HostState
from agent.model.intent import GWBRIDGE
from agent.planner.dry_run.bridge import BridgeStep, TurnStep, network_of, on_bridge, on_turn, with_bridge
from agent.planner.dry_run.copies import Asked, ContainerStep, on_container
from agent.planner.dry_run.store import RolloutStep, RulingStep, on_rollout, on_ruling, on_store
from agent.planner.dry_run.swarm import AutolockStep, NodeStep, SwarmStep, on_autolock, on_node, on_swarm
from agent.planner.dry_run.world import World

EngineStep = (
    steps.CreateBridge | steps.RemoveBridge | steps.CreateNetwork | steps.CreateVolume | steps.PullImage
)


def predict(world: World, me: str, step: plan.Step) -> World:
    """The world after `step` has succeeded on host `me`."""
    if isinstance(step, SwarmStep):  # first: an overlay is a network too
        return on_swarm(world, me, step)
    if isinstance(step, BridgeStep):
        return world.with_host(me, on_bridge(world.host(me), step))
    if isinstance(step, NodeStep):
        return on_node(world, me, step)
    if isinstance(step, EngineStep):
        return world.with_host(me, _on_engine(world.host(me), step))
    if isinstance(step, ContainerStep):
        host = world.host(me)
        declared = world.cluster.specs
        after = on_container(host.containers, step, declared, _asked(world, me))
        return world.with_host(me, replace(host, containers=after))
    if isinstance(step, TurnStep):
        return world.with_cluster(on_turn(world.cluster, step))
    if isinstance(step, AutolockStep):
        return on_autolock(world, me, step)
    if isinstance(step, RulingStep):
        return on_ruling(world, step)
    if isinstance(step, RolloutStep):
        return on_rollout(world, step)
    return on_store(world, me, step)


def _asked(world: World, me: str) -> Asked:
    """The addresses that the copies on a host ask for: as their specs say, or as they are pinned."""
    cluster = world.cluster
    assignment = cluster.assignments.get(me)
    asked = {}
    for copy in assignment.copies if assignment else ():
        spec = cluster.specs.get(copy.spec)
        fixed = (
            {each.network: each.ipv4_address for each in spec.networks if each.ipv4_address} if spec else {}
        )
        asked[copy.service, copy.number] = {**dict(copy.addresses), **fixed}
    return asked


def _on_engine(host: HostState, step: EngineStep) -> HostState:
    match step:
        case steps.CreateBridge():
            return with_bridge(host, step.bridge)
        case steps.RemoveBridge():
            networks = tuple(each for each in host.networks if each.id != step.id)
            left = any(each.name == GWBRIDGE for each in networks)
            return replace(host, networks=networks, bridge_link=host.bridge_link if left else None)
        case steps.CreateNetwork():
            return replace(host, networks=(*host.networks, network_of(step.network)))
        case steps.CreateVolume():
            return replace(host, volumes=host.volumes | {step.volume.name})
        case steps.PullImage():
            return replace(host, images=host.images | {step.image}, pulled={**host.pulled, step.image: 0.0})
    assert_never(step)
