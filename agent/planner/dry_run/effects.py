"""Effects: the world that is observed after a step has succeeded. Pure functions that return a new world.

An effect cannot know the ids that the engine generates for a swarm, node, network or container. It uses names in
parentheses instead, which no real id contains.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar, assert_never

from agent.model import leader_steps, records, steps
from agent.model.observed import ClusterState
from agent.model.plan import Step
from agent.model.spec import spec_hash
from agent.planner.dry_run import engine, swarm
from agent.planner.dry_run.world import World

T = TypeVar("T")

_DIGEST = "(digest)"


def predict(world: World, me: str, step: Step) -> World:  # noqa: C901 - one case per step
    """Return the world after `step` has succeeded on host `me`."""
    if isinstance(step, leader_steps.LeaderStep):
        return _on_leader_step(world, me, step)
    if isinstance(step, steps.ContainerStep):
        asked = _asked(world.cluster, me)
        return world.with_host(me, engine.on_container(world.host(me), step, world.cluster.specs, asked))
    if isinstance(step, engine.EngineStep):
        return world.with_host(me, engine.on_engine(world.host(me), step))
    match step:
        case steps.PutPresence():
            return world  # no plan depends on it
        case steps.InitSwarm():
            return swarm.init_swarm(world, me, step)
        case steps.GiveUpInit():
            return world.with_cluster(replace(world.cluster, record=None, record_revision=0))
        case steps.JoinSwarm():
            return swarm.join_swarm(world, me, step)
        case steps.LeaveSwarm() | steps.AbandonNode() | steps.DissolveSwarm():
            return swarm.leave_swarm(world, me)
        case steps.AcquireDisruption():
            return _with_disruption(world, replace(step.disruption, state="acquired"))
        case steps.ReleaseDisruption():
            return _with_disruption(world, replace(step.disruption, state="released"))
        case steps.ResolveDigests():
            return world.with_cluster(replace(world.cluster, digests=_digests(step)))
    assert_never(step)


def _on_leader_step(world: World, me: str, step: leader_steps.LeaderStep) -> World:  # noqa: C901, PLR0912 - one case per step
    if isinstance(step, leader_steps.NodeStep):
        return swarm.on_node(world, me, step)
    cluster = world.cluster
    match step:
        case leader_steps.Campaign():
            return world.with_cluster(replace(cluster, leader=cluster.leader or me))
        case leader_steps.Resign() | leader_steps.AbandonLock():
            return world.with_cluster(replace(cluster, leader=None))
        case leader_steps.PublishVerdict():
            return _with_verdict(world, step)
        case leader_steps.PublishAssignment():
            return _assigned(world, step)
        case leader_steps.CollectSpecs():
            gone = frozenset(step.digests)
            kept = {digest: spec for digest, spec in cluster.specs.items() if digest not in gone}
            return world.with_cluster(replace(cluster, specs=kept, stored_specs=cluster.stored_specs - gone))
        case leader_steps.PublishRollout():
            rollouts = {**cluster.rollouts, step.service: step.rollout}
            return world.with_cluster(replace(cluster, rollouts=rollouts))
        case leader_steps.WithdrawRollout():
            return world.with_cluster(replace(cluster, rollouts=_without(cluster.rollouts, step.service)))
        case leader_steps.GrantDisruption():
            disruption = records.Disruption(
                host=step.host, state="granted", reason=step.reason, quorum=step.quorum
            )
            return _with_disruption(world, disruption)
        case leader_steps.RevokeDisruption():
            return world.with_cluster(replace(cluster, disruption=None, disruption_revision=0))
        case leader_steps.IssueMembershipOrder():
            orders = {**cluster.membership_orders, step.host: step.membership_order}
            return world.with_cluster(replace(cluster, membership_orders=orders))
        case leader_steps.RevokeMembershipOrder():
            orders = _without(cluster.membership_orders, step.host)
            return world.with_cluster(replace(cluster, membership_orders=orders))
        case leader_steps.ForgetHost():
            left = _without(cluster.assignments, step.host)
            return world.with_cluster(replace(cluster, assignments=left))
        case leader_steps.ClaimInit():
            return _with_record(world, records.SwarmRecord(claimed_by=me, unable=step.unable))
        case leader_steps.PassClaim() | leader_steps.PublishSwarm():
            return _with_record(world, step.record)
        case leader_steps.PublishTokens():
            manager = "(token)" if step.managers else ""
            tokens = records.Tokens(swarm_id=step.swarm_id, worker="(token)", manager=manager)
            return world.with_cluster(replace(cluster, tokens=tokens, tokens_exposed=False))
        case leader_steps.RotateTokens():
            return world  # no plan depends on the tokens' values
        case leader_steps.WithdrawTokens():
            return world.with_cluster(replace(cluster, tokens=None, tokens_exposed=False))
        case leader_steps.CreateOverlay():
            return swarm.with_overlay(world, me, step)
        case leader_steps.RemoveOverlay():
            return swarm.without_overlay(world, step.id)
        case leader_steps.TurnAutolockOn() | leader_steps.PublishUnlockKey():
            return swarm.on_autolock(world, me, step, on=True)
        case leader_steps.TurnAutolockOff():
            return swarm.on_autolock(world, me, step, on=False)
    assert_never(step)


def _with_verdict(world: World, step: leader_steps.PublishVerdict) -> World:
    cluster = replace(world.cluster, verdict=step.verdict)
    if not step.verdict.accepted or cluster.document is None:
        return world.with_cluster(cluster)
    accepted = cluster.document.intent
    return world.with_cluster(replace(cluster, accepted=accepted, epoch=step.epoch, store_rolled_back=""))


def _asked(cluster: ClusterState, me: str) -> engine.Asked:
    """The fixed and reserved addresses of the replicas on a host."""
    assignment = cluster.assignments.get(me)
    asked = {}
    for replica in assignment.replicas if assignment else ():
        spec = cluster.specs.get(replica.spec)
        networks = spec.networks if spec else ()
        fixed = {each.network: each.ipv4_address for each in networks if each.ipv4_address}
        asked[replica.key] = {**dict(replica.addresses), **fixed}
    return asked


def _assigned(world: World, step: leader_steps.PublishAssignment) -> World:
    cluster, specs = world.cluster, {spec_hash(each): each for each in step.specs}
    world = world.with_cluster(
        replace(
            cluster,
            assignments={**cluster.assignments, step.host: step.assignment},
            specs={**cluster.specs, **specs},
            stored_specs=cluster.stored_specs | specs.keys(),
        )
    )
    agent = world.agents.get(step.host)
    if agent is None or agent.host is None:
        return world
    return world.with_host(step.host, engine.with_assignment(agent.host, step.host, world.cluster))


def _with_record(world: World, record: records.SwarmRecord) -> World:
    revision = world.cluster.record_revision + 1
    return world.with_cluster(replace(world.cluster, record=record, record_revision=revision))


def _with_disruption(world: World, disruption: records.Disruption) -> World:
    revision = world.cluster.disruption_revision + 1
    return world.with_cluster(replace(world.cluster, disruption=disruption, disruption_revision=revision))


def _without(found: Mapping[str, T], name: str) -> dict[str, T]:
    return {key: each for key, each in found.items() if key != name}


def _digests(step: steps.ResolveDigests) -> records.Digests:
    """The digests after the lookup; an image with a known digest is assumed to keep it."""
    images = {**dict.fromkeys(step.images, _DIGEST), **dict(step.known.images)}
    asked = tuple(sorted({*step.known.asked, *step.images}))
    return replace(step.known, images=tuple(sorted(images.items())), asked=asked)
