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


def predict(world: World, me: str, step: Step) -> World:  # noqa: C901, PLR0912, PLR0915 - one case per step
    """Return the world after `step` has succeeded on host `me`."""
    if isinstance(step, swarm.SwarmStep):
        return swarm.on_swarm(world, me, step)
    if isinstance(step, engine.EngineStep):
        return world.with_host(me, engine.on_engine(world.host(me), step, me, world.cluster))
    cluster = world.cluster
    match step:
        case (
            steps.PutPresence()
            | leader_steps.RotateTokens()
            | leader_steps.BeginTrial()
            | leader_steps.RecordHistory()
        ):
            return world  # no plan depends on a presence or the tokens' values; a dry run has no trial, no history
        case leader_steps.PublishAssignment():
            return _assigned(world, step)
        case leader_steps.Campaign():
            cluster = replace(cluster, leader=cluster.leader or me)
        case leader_steps.Resign():
            cluster = replace(cluster, leader=None)
        case leader_steps.PublishVerdict():
            cluster = replace(cluster, verdict=step.verdict)
            if step.verdict.accepted and cluster.document:
                accepted, known = cluster.document.intent, cluster.assignments
                if accepted:
                    known = {name: accepted.counted(name, each, step.epoch) for name, each in known.items()}
                cluster = replace(cluster, accepted=accepted, epoch=step.epoch, store_rolled_back="")
                cluster = replace(cluster, assignments=known)
        case steps.ResolveDigests():
            cluster = replace(cluster, digests=_digests(step))
        case leader_steps.CollectSpecs():
            gone = frozenset(step.digests)
            kept = {digest: spec for digest, spec in cluster.specs.items() if digest not in gone}
            cluster = replace(cluster, specs=kept, stored_specs=cluster.stored_specs - gone)
        case leader_steps.PublishRollout():
            cluster = replace(cluster, rollouts={**cluster.rollouts, step.service: step.rollout})
        case leader_steps.WithdrawRollout():
            cluster = replace(cluster, rollouts=_without(cluster.rollouts, step.service))
        case leader_steps.GrantDisruption():
            cluster = _with_disruption(cluster, step.slot)
        case steps.AcquireDisruption():
            cluster = _with_disruption(cluster, replace(step.disruption, state="acquired"))
        case steps.ReleaseDisruption():
            cluster = _with_disruption(cluster, replace(step.disruption, state="released"))
        case leader_steps.RevokeDisruption():
            cluster = replace(cluster, disruption=None, disruption_revision=0)
        case leader_steps.IssueMembershipOrder():
            orders = {**cluster.membership_orders, step.host: step.membership_order}
            cluster = replace(cluster, membership_orders=orders)
        case leader_steps.RevokeMembershipOrder():
            orders = _without(cluster.membership_orders, step.host)
            cluster = replace(cluster, membership_orders=orders)
        case leader_steps.ForgetHost():
            cluster = replace(cluster, assignments=_without(cluster.assignments, step.host))
        case leader_steps.ClaimInit():
            cluster = _with_record(cluster, records.SwarmRecord(claimed_by=me, unable=step.unable))
        case leader_steps.PassClaim() | leader_steps.PublishSwarm():
            cluster = _with_record(cluster, step.record)
        case steps.GiveUpInit():
            cluster = replace(cluster, record=None, record_revision=0)
        case leader_steps.PublishTokens():
            manager = "(token)" if step.managers else ""
            tokens = records.Tokens(swarm_id=step.swarm_id, worker="(token)", manager=manager)
            cluster = replace(cluster, tokens=tokens, tokens_exposed=False)
        case leader_steps.WithdrawTokens():
            cluster = replace(cluster, tokens=None, tokens_exposed=False)
        case _:
            assert_never(step)
    return replace(world, cluster=cluster)


def _assigned(world: World, step: leader_steps.PublishAssignment) -> World:
    cluster, specs = world.cluster, {spec_hash(each): each for each in step.specs}
    cluster = replace(
        cluster,
        assignments={**cluster.assignments, step.host: step.assignment},
        specs={**cluster.specs, **specs},
        stored_specs=cluster.stored_specs | specs.keys(),
    )
    world = replace(world, cluster=cluster)
    agent = world.agents.get(step.host)
    if agent is None or agent.host is None:
        return world
    return world.with_host(step.host, engine.with_assignment(agent.host, step.host, cluster))


def _with_record(cluster: ClusterState, record: records.SwarmRecord) -> ClusterState:
    return replace(cluster, record=record, record_revision=cluster.record_revision + 1)


def _with_disruption(cluster: ClusterState, disruption: records.Disruption) -> ClusterState:
    return replace(cluster, disruption=disruption, disruption_revision=cluster.disruption_revision + 1)


def _without(found: Mapping[str, T], name: str) -> dict[str, T]:
    return {key: each for key, each in found.items() if key != name}


def _digests(step: steps.ResolveDigests) -> records.Digests:
    """The digests after the lookup; an image with a known digest is assumed to keep it."""
    images = {**dict.fromkeys(step.images, _DIGEST), **dict(step.known.images)}
    asked = tuple(sorted({*step.known.asked, *step.images}))
    return replace(step.known, images=tuple(sorted(images.items())), asked=asked)
