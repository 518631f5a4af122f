"""The plan of the leader, in the order of its dependencies: intent, replicas, the swarm, its networks, its nodes."""

from dataclasses import replace

from agent.admission import warn
from agent.diff import capacity
from agent.diff.nodes import LeaderView, lacking_managers
from agent.intent.guard import guarding
from agent.model import leader_steps, records
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Document
from agent.model.phrases import and_more
from agent.model.plan import Blocked, Plan, blocked_plan, soonest, waiting_plan
from agent.planner.leader.address_conflicts import plan_address_conflicts
from agent.planner.leader.assignments import plan_assignments
from agent.planner.leader.digests import plan_digests, resolved
from agent.planner.leader.disruption import plan_disruption
from agent.planner.leader.history import plan_history
from agent.planner.leader.membership_orders import plan_membership_orders
from agent.planner.leader.nodes import plan_nodes, plan_removals
from agent.planner.leader.recreate import plan_overlays, plan_recreations
from agent.planner.leader.rollout import plan_rollouts
from agent.planner.leader.scheduler import placement_of
from agent.planner.leader.swarm import plan_autolock, plan_pass_claim, plan_swarm

# ---- Accept or refuse the newest document. A refused one changes nothing: the last accepted stays accepted


def plan_verdict(cluster: ClusterState, fence: int = 0) -> Plan:
    """Publish the verdict on the newest document, once for each revision. `fence` is this leader's."""
    accepted_revision = cluster.accepted.revision if cluster.accepted else 0
    if cluster.document is None:
        state = f"; holding revision {accepted_revision}" if accepted_revision else " yet"
        return waiting_plan("intent", f"there is no intent{state}", "document/")
    if cluster.accepted_doubt == "compacted" and cluster.refusal:
        # It may wait for a confirmation that only the accepted document tells of.
        return Plan(blocked=(_refusal(cluster.refusal),))
    verdict = _unless_it_waits(_judge(cluster.document, accepted_revision, cluster), cluster, fence)
    refused = () if verdict.accepted else (_refusal(verdict),)
    begins_epoch = cluster.store_rolled_back and verdict.accepted
    replaces = cluster.accepted_doubt == "forged" and (verdict.accepted or cluster.accepted is not None)
    before = replace(cluster.verdict, warnings=verdict.warnings) if cluster.verdict else None
    published = before == verdict and verdict.accepted_revision == accepted_revision
    only_warns = published and not begins_epoch and not replaces
    if only_warns and cluster.verdict == verdict:
        return Plan(blocked=refused)
    what = "waits for a confirmation" if verdict.confirm else "is refused"
    what = "has other warnings" if only_warns else "is accepted" if verdict.accepted else what
    step = leader_steps.PublishVerdict(verdict=verdict, reason=f"revision {verdict.revision} {what}")
    if verdict.accepted and not only_warns:
        epoch = cluster.epoch + bool(cluster.store_rolled_back)
        # An agent before format 2 reports no name, and one that has not reported may be such an agent.
        reported = cluster.present.keys() <= cluster.statuses.keys()
        new = reported and all(each.host for each in cluster.statuses.values())
        step = replace(step, document=cluster.document.text, epoch=epoch, forget_earlier=new)
    elif replaces:
        step = replace(step, document=cluster.accepted_text, epoch=cluster.epoch)
    return Plan((step,), refused)


def _judge(document: Document, accepted_revision: int, cluster: ClusterState) -> records.Verdict:
    """Return the verdict on a document while revision `accepted_revision` (0: none) is accepted."""
    accepted = document.intent is not None
    intent, statuses = document.intent, cluster.statuses
    refused = (*warn(intent, statuses), *capacity.warn(intent, statuses)) if intent else ()
    return records.Verdict(
        revision=document.revision,
        accepted=accepted,
        accepted_revision=document.revision if accepted else accepted_revision,
        errors=tuple(str(each) for each in document.faults),
        warnings=(*document.warnings, *refused),
    )


def _unless_it_waits(verdict: records.Verdict, cluster: ClusterState, fence: int) -> records.Verdict:
    """Return the verdict, changed if a valid document needs the operator's confirmation or is in quarantine."""
    if not verdict.accepted:
        return verdict
    why, confirm = [], ""
    if cluster.store_rolled_back and not cluster.confirmed:
        # A restored etcd holds an old document: the operator who put it did not mean to undo later ones.
        why.append(f"etcd was rolled back, {cluster.store_rolled_back}: apply the correct document again")
    if guarded := guarding(cluster):
        confirm, taken = guarded
        again = f"apply it again with x-cluster.policy.confirm: {confirm}"
        why.append(f"it would remove {taken}: to confirm, {again}")
    if _to_try(cluster) and len({*_begun(cluster)} - {fence}) >= MOST_TRIALS:
        why.append(
            "it is in quarantine, as two leaders in a row ended before they had planned it once: " + _AGAIN
        )
    if not why:
        return verdict
    holding = cluster.accepted.revision if cluster.accepted else 0
    return replace(verdict, accepted=False, accepted_revision=holding, errors=tuple(why), confirm=confirm)


# ---- The trial: plan a valid document once before hosts follow it. One that ends each leader must stay without effect

_AGAIN = "apply a corrected document, or this one again for another trial"
MOST_TRIALS = 2
"""Leaders in a row that may end in the trial of one revision. One may end for another reason."""


def _begun(cluster: ClusterState) -> tuple[int, ...]:
    """Return the fences of the leaders that began the trial of the newest document."""
    trial, document = cluster.trial, cluster.document
    return trial.leaders if trial and document and trial.revision == document.revision else ()


def _to_try(cluster: ClusterState) -> Intent | None:
    """Return the newest intent, unless it is the accepted one and only is to be written again."""
    intent, accepted = cluster.document.intent if cluster.document else None, cluster.accepted
    return None if intent and accepted and intent.revision == accepted.revision else intent


def _plan_trial(observed: LeaderView) -> Plan:
    """Return the plan of the verdict. A document to accept is tried first, except by a dry run, which has no fence."""
    cluster, fence = observed.cluster, observed.fence.create_revision
    plan, intent = plan_verdict(cluster, fence), _to_try(cluster)
    if intent is None or not plan.steps or plan.blocked or not fence:
        return plan
    if fence not in _begun(cluster):
        trial = records.Trial(revision=intent.revision, leaders=(*_begun(cluster), fence))
        reason = f"revision {intent.revision} is planned once before it is accepted"
        return Plan((leader_steps.BeginTrial(trial=trial, reason=reason),))
    # The registries are asked for digests later.
    accepted = replace(intent, policy=replace(intent.policy, resolve_digests=False))
    tried = replace(cluster, accepted=accepted, store_rolled_back="", accepted_doubt="", accepted_held=False)
    _plan_accepted(replace(observed, cluster=tried))
    return plan


def _refusal(verdict: records.Verdict) -> Blocked:
    first = verdict.errors[0] if verdict.errors else "no reason given"
    held = f"; holding revision {verdict.accepted_revision}" if verdict.accepted_revision else ""
    state = "waits" if verdict.confirm else "is refused"
    return Blocked(
        resource="intent",
        reason=f"revision {verdict.revision} {state}: {first}{and_more(len(verdict.errors))}{held}",
        kind="confirm" if verdict.confirm else "guard",
    )


def _no_quorum(intent: Intent, cluster: ClusterState, me: str) -> str:
    managers, lacking = len(intent.managers), lacking_managers(intent, cluster, me)
    if lacking:
        named = ", ".join(f"{name}: {why}" for name, why in lacking.items())
        state = f"{managers - len(lacking)} of {managers} managers reachable ({named})"
    else:
        state = (
            f"its {managers} managers report, but do not elect a raft leader: check the links between them"
        )
    effect = "running containers are not affected; joins, role changes and new networks wait"
    return f"the swarm has no quorum: {state}; {effect}"


def plan_leading(observed: LeaderView) -> Plan:
    """Plan the leader's work for all hosts. Its steps use only etcd and the API of swarm managers."""
    plan = _plan_trial(observed)  # first: the accepted document may be what ends each leader
    if plan.steps and "verdict" not in observed.failures:
        return plan
    accepted = _plan_accepted(observed)
    return plan + accepted + plan_history(observed, accepted)


def _plan_accepted(observed: LeaderView) -> Plan:
    cluster, host, plan = observed.cluster, observed.host, Plan()
    if cluster.accepted is None or cluster.store_rolled_back or cluster.accepted_doubt == "compacted":
        return plan
    if cluster.accepted.policy.mode == "paused":
        return plan  # nothing that the document could make large
    plan += plan_digests(observed)
    if (intent := resolved(observed)) is not None:
        placement = placement_of(intent, observed)
        decisions = plan_rollouts(intent, observed, placement)
        owners = observed.node_owners
        previous = {node.id: name for name, node in owners.previous} if owners else {}
        plan += plan_assignments(intent, cluster, decisions, host, placement, previous)
        plan += Plan(
            requeue_after_s=soonest(placement.again_s, *(each.again_s for each in decisions.values()))
        )
    plan += plan_removals(cluster.accepted, observed)
    plan += plan_disruption(cluster.accepted, observed)
    plan += plan_address_conflicts(cluster)
    plan += plan_pass_claim(cluster.accepted, observed)
    if host is None:
        return plan
    if cluster.record_held:
        # The cluster's swarm is unknown: neither create a swarm nor adopt this host's.
        reason = "the record cannot be read: the leader changes nothing in the swarm until it is repaired or deleted"
        return plan + blocked_plan("swarm-record", "unreadable", reason)
    plan += plan_swarm(cluster.accepted, observed)
    if cluster.record is None or cluster.record.swarm_id is None:
        return plan  # another swarm may still be recorded: change nothing in this one before
    if host.swarm.leaderless:
        plan += blocked_plan("nodes", "quorum", _no_quorum(cluster.accepted, cluster, observed.me))
    plan += plan_overlays(cluster.accepted, observed)
    plan += plan_autolock(cluster.accepted, cluster, host)
    plan += plan_recreations(cluster.accepted, observed)
    plan += plan_membership_orders(cluster.accepted, observed)
    return plan + plan_nodes(cluster.accepted, observed)
