"""What etcd will hold when a step that writes there has succeeded."""

from dataclasses import replace
from typing import assert_never

from agent.model import leader_steps, steps
from agent.model.records import Digests, SwarmRecord, Tokens
from agent.model.spec import spec_hash
from agent.planner.dry_run.copies import with_assignment
from agent.planner.dry_run.world import World

_DIGEST = "(digest)"

StoreStep = (
    leader_steps.Campaign | leader_steps.LetGo | leader_steps.Resign | leader_steps.PublishVerdict
    | leader_steps.ClaimInit | leader_steps.PublishSwarm | leader_steps.PublishTokens
    | leader_steps.RotateTokens | leader_steps.WithdrawTokens | leader_steps.PublishAssignment
    | leader_steps.CollectSpecs | steps.PutPresence | steps.GiveUpInit
)  # fmt: skip
RulingStep = leader_steps.PublishRuling | leader_steps.WithdrawRuling
RolloutStep = leader_steps.PublishRollout | leader_steps.WithdrawRollout | steps.ResolveDigests


def on_store(world: World, me: str, step: StoreStep) -> World:
    """The world after `me` has written that."""
    cluster = world.cluster
    match step:
        case leader_steps.Campaign():
            return world.with_cluster(replace(cluster, leader=cluster.leader or me))
        case leader_steps.Resign() | leader_steps.LetGo():
            return world.with_cluster(replace(cluster, leader=None))
        case leader_steps.PublishVerdict():
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
        case leader_steps.ClaimInit() | steps.GiveUpInit() | leader_steps.PublishSwarm():
            return _recorded(world, me, step)
        case leader_steps.RotateTokens() | steps.PutPresence():
            return (
                world  # the engine's secret changes, or who speaks for a host: nothing that is planned upon
            )
        case leader_steps.PublishTokens() | leader_steps.WithdrawTokens():
            return world.with_cluster(replace(cluster, tokens=_tokens(step)))
        case leader_steps.PublishAssignment():
            return _assigned(world, step)
        case leader_steps.CollectSpecs():
            gone = frozenset(step.digests)
            kept = {digest: spec for digest, spec in cluster.specs.items() if digest not in gone}
            return world.with_cluster(replace(cluster, specs=kept, stored_specs=cluster.stored_specs - gone))
    assert_never(step)


def _tokens(step: leader_steps.PublishTokens | leader_steps.WithdrawTokens) -> Tokens | None:
    if isinstance(step, leader_steps.WithdrawTokens):
        return None
    return Tokens(swarm_id=step.swarm_id, worker="(token)", manager="(token)" if step.managers else "")


def _recorded(
    world: World, me: str, step: leader_steps.ClaimInit | steps.GiveUpInit | leader_steps.PublishSwarm
) -> World:
    if isinstance(step, steps.GiveUpInit):
        return world.with_cluster(replace(world.cluster, record=None, record_revision=0))
    record = step.record if isinstance(step, leader_steps.PublishSwarm) else SwarmRecord(claimed_by=me)
    revision = world.cluster.record_revision + 1
    return world.with_cluster(replace(world.cluster, record=record, record_revision=revision))


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
    if step.host not in world.agents or (host := world.agents[step.host].host) is None:
        return world
    known = world.cluster.specs
    return world.with_host(
        step.host, with_assignment(host, step.host, step.assignment, known, world.cluster.accepted)
    )


def on_ruling(world: World, step: RulingStep) -> World:
    """The world after the leader has said that of a host, or takes it back."""
    others = {name: each for name, each in world.cluster.rulings.items() if name != step.host}
    said = {step.host: step.ruling} if isinstance(step, leader_steps.PublishRuling) else {}
    return world.with_cluster(replace(world.cluster, rulings={**others, **said}))


def on_rollout(world: World, step: RolloutStep) -> World:
    """The world after the leader has noted that of a rollout, or of what tags are."""
    if isinstance(step, steps.ResolveDigests):
        return world.with_cluster(replace(world.cluster, digests=_digests(step)))
    others = {name: each for name, each in world.cluster.rollouts.items() if name != step.service}
    noted = {step.service: step.rollout} if isinstance(step, leader_steps.PublishRollout) else {}
    return world.with_cluster(replace(world.cluster, rollouts={**others, **noted}))


def _digests(step: steps.ResolveDigests) -> Digests:
    """An image that was asked for before is taken for what it was then: mostly it is."""
    images = {**dict.fromkeys(step.images, _DIGEST), **dict(step.known.images)}
    asked = tuple(sorted({*step.known.asked, *step.images}))
    return replace(step.known, images=tuple(sorted(images.items())), asked=asked)
