"""What will be observed when a step has succeeded. Pure: the next world comes out, the last one stays as it was.

A prediction knows what the engine and etcd promise, not what they invent: the ids of a new swarm, node, network or
container are stand-ins in parentheses, which no real id looks like.
"""

from dataclasses import replace
from typing import assert_never

from agent.model import steps
from agent.model.intent import GWBRIDGE
from agent.model.observed import HostState, NodeState, SwarmState
from agent.model.records import Digests, SwarmRecord, Tokens
from agent.model.spec import spec_hash
from agent.planner.prediction.becoming import with_assignment
from agent.planner.prediction.bridge import BridgeStep, TurnStep, network_of, on_bridge, on_turn, with_bridge
from agent.planner.prediction.copies import Asked, ContainerStep, on_container
from agent.planner.prediction.nodes import SWARM_PORT, NodeStep, on_node
from agent.planner.prediction.world import World

NEW_SWARM = "(new swarm)"

EngineStep = (
    steps.CreateBridge | steps.RemoveBridge | steps.CreateNetwork | steps.CreateVolume | steps.PullImage
)
_DIGEST = "(digest)"
SwarmStep = steps.InitSwarm | steps.JoinSwarm | steps.LeaveSwarm | steps.CreateOverlay | steps.RemoveOverlay
StoreStep = (
    steps.Campaign | steps.Resign | steps.PublishVerdict | steps.ClaimInit | steps.PublishSwarm
    | steps.PublishTokens | steps.RotateTokens | steps.WithdrawTokens | steps.PublishAssignment
    | steps.CollectSpecs | steps.TakePresence | steps.GiveUpInit
)  # fmt: skip
AutolockStep = steps.TurnAutolockOn | steps.PublishUnlockKey | steps.TurnAutolockOff | steps.UnlockHost
RulingStep = steps.PublishRuling | steps.WithdrawRuling
RolloutStep = steps.PublishRollout | steps.WithdrawRollout | steps.ResolveDigests


def predict(world: World, me: str, step: steps.Step) -> World:
    """The world after `step` has succeeded on host `me`."""
    if isinstance(step, SwarmStep):  # first: an overlay is a network too
        return _on_swarm(world, me, step)
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
        return _on_autolock(world, me, step)
    if isinstance(step, RulingStep):
        return _on_ruling(world, step)
    if isinstance(step, RolloutStep):
        return _on_rollout(world, step)
    return _on_store(world, me, step)


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


# ---- the host's engine


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


# ---- the swarm, which all its managers see


def _on_swarm(world: World, me: str, step: SwarmStep) -> World:
    match step:
        case steps.InitSwarm():
            return _join(world, me, NEW_SWARM, _node(me, step.advertise, leader=True, role="manager"), "")
        case steps.JoinSwarm():
            record = world.cluster.record
            assert record is not None
            assert record.swarm_id is not None
            node = _node(me, step.advertise, leader=False, role=step.role)
            return _join(world, me, record.swarm_id, node, step.remotes[0] if step.remotes else None)
        case steps.LeaveSwarm():
            return _leave(world, me)
        case steps.CreateOverlay():
            network = network_of(step.network)
            for name in world.managers_of(world.host(me).swarm.swarm_id):
                host = world.host(name)
                world = world.with_host(name, replace(host, networks=(*host.networks, network)))
            return world
        case steps.RemoveOverlay():
            return _without_network(world, step.id)
    assert_never(step)


def _without_network(world: World, network_id: str) -> World:
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


def _leave(world: World, me: str) -> World:
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


# ---- etcd


def _on_store(world: World, me: str, step: StoreStep) -> World:
    cluster = world.cluster
    match step:
        case steps.Campaign():
            return world.with_cluster(replace(cluster, leader=cluster.leader or me))
        case steps.Resign():
            return world.with_cluster(replace(cluster, leader=None))
        case steps.PublishVerdict():
            document = cluster.document if step.document is not None else None
            accepted = document.intent if document else cluster.accepted
            era = step.era if document else cluster.era
            return world.with_cluster(
                replace(
                    cluster,
                    verdict=step.verdict,
                    accepted=accepted,
                    era=era,
                    went_back="" if document else cluster.went_back,
                )
            )
        case steps.ClaimInit() | steps.GiveUpInit() | steps.PublishSwarm():
            return _recorded(world, me, step)
        case steps.RotateTokens() | steps.TakePresence():
            return (
                world  # the engine's secret changes, or who speaks for a host: nothing that is planned upon
            )
        case steps.PublishTokens() | steps.WithdrawTokens():
            return world.with_cluster(replace(cluster, tokens=_tokens(step)))
        case steps.PublishAssignment():
            return _assigned(world, step)
        case steps.CollectSpecs():
            gone = frozenset(step.digests)
            kept = {digest: spec for digest, spec in cluster.specs.items() if digest not in gone}
            return world.with_cluster(replace(cluster, specs=kept, stored_specs=cluster.stored_specs - gone))
    assert_never(step)


def _on_autolock(world: World, me: str, step: AutolockStep) -> World:
    if isinstance(step, steps.UnlockHost):
        host = world.host(me)
        return world.with_host(me, replace(host, swarm=replace(host.swarm, local="pending", error="")))
    on = not isinstance(step, steps.TurnAutolockOff)
    for name in world.managers_of(step.known.swarm_id):
        host = world.host(name)
        key = host.swarm.unlock_key if on else ""
        swarm = replace(host.swarm, autolock=on, unlock_key=key)
        world = world.with_host(name, replace(host, swarm=swarm))
    key = world.host(me).swarm.unlock_key
    published = replace(step.known, on=on, keys=(key, *step.known.keys) if key else step.known.keys)
    return world.with_cluster(replace(world.cluster, unlock=published, unlock_aged=False))


def _on_ruling(world: World, step: RulingStep) -> World:
    others = {name: each for name, each in world.cluster.rulings.items() if name != step.host}
    said = {step.host: step.ruling} if isinstance(step, steps.PublishRuling) else {}
    return world.with_cluster(replace(world.cluster, rulings={**others, **said}))


def _on_rollout(world: World, step: RolloutStep) -> World:
    if isinstance(step, steps.ResolveDigests):
        return world.with_cluster(replace(world.cluster, digests=_digests(step)))
    others = {name: each for name, each in world.cluster.rollouts.items() if name != step.service}
    noted = {step.service: step.rollout} if isinstance(step, steps.PublishRollout) else {}
    return world.with_cluster(replace(world.cluster, rollouts={**others, **noted}))


def _digests(step: steps.ResolveDigests) -> Digests:
    """An image that was asked for before is taken for what it was then: mostly it is."""
    images = {**dict.fromkeys(step.images, _DIGEST), **dict(step.known.images)}
    asked = tuple(sorted({*step.known.asked, *step.images}))
    return replace(step.known, images=tuple(sorted(images.items())), asked=asked)


def _tokens(step: steps.PublishTokens | steps.WithdrawTokens) -> Tokens | None:
    if isinstance(step, steps.WithdrawTokens):
        return None
    return Tokens(swarm_id=step.swarm_id, worker="(token)", manager="(token)" if step.managers else "")


def _recorded(world: World, me: str, step: steps.ClaimInit | steps.GiveUpInit | steps.PublishSwarm) -> World:
    if isinstance(step, steps.GiveUpInit):
        return world.with_cluster(replace(world.cluster, record=None, record_revision=0))
    record = step.record if isinstance(step, steps.PublishSwarm) else SwarmRecord(claimed_by=me)
    revision = world.cluster.record_revision + 1
    return world.with_cluster(replace(world.cluster, record=record, record_revision=revision))


def _assigned(world: World, step: steps.PublishAssignment) -> World:
    cluster, specs = world.cluster, {spec_hash(each): each for each in step.specs}
    world = world.with_cluster(
        replace(
            cluster,
            assignments={**cluster.assignments, step.host: step.assignment},
            specs={**cluster.specs, **specs},
            stored_specs=cluster.stored_specs | specs.keys(),
        )
    )
    if step.host not in world.agents or (host := world.agents[step.host].host) is None:
        return world
    known = world.cluster.specs
    return world.with_host(
        step.host, with_assignment(host, step.host, step.assignment, known, world.cluster.accepted)
    )
