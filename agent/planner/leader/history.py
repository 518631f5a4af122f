"""The history of documents: an entry once a document has its verdict, and one for each outcome of an accepted one."""

from agent.diff.nodes import LeaderView
from agent.model import leader_steps
from agent.model.history import Outcome, outcomes_by_revision, surplus
from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.plan import Plan
from agent.model.records import Verdict

_OF_ROLLOUTS = ("rollout/", "assignment/")
"""Resources whose steps, planned or in flight, can change what became of a document."""
_PAUSED = ("paused", "rollback-paused")


def plan_history(observed: LeaderView, accepted: Plan) -> Plan:
    """Plan what the history lacks, in one step. `accepted` is the plan for the accepted document.

    A dry run, whose fence is no lock, keeps no history.
    """
    cluster = observed.cluster
    if not observed.fence.create_revision:
        return Plan()
    document, known = cluster.document, outcomes_by_revision(cluster.history)
    revision = cluster.accepted.revision if cluster.accepted else 0
    answered, text, note = cluster.verdict, document.text if document else "", cluster.note
    if (
        answered is None
        or document is None
        or answered.revision != document.revision
        or answered.revision in known
    ):
        # A document may have been replaced between its verdict and its entry; the accepted one is needed.
        lacks = revision not in known and cluster.accepted_text
        answered = Verdict(revision=revision, accepted=True, accepted_revision=revision) if lacks else None
        text, note = cluster.accepted_text, None
    moves = {*observed.in_flight, *(each.resource for each in accepted.steps)}
    outcome: tuple[Outcome, str] | None = None
    if cluster.accepted and revision in known and not any(each.startswith(_OF_ROLLOUTS) for each in moves):
        works = not accepted.blocked and not accepted.waiting
        outcome = (
            None if "carried-out" in known[revision] else _outcome(cluster.accepted, cluster, works=works)
        )
        outcome = None if outcome and outcome[0] in known[revision] else outcome
    added = [str(answered.revision)] if answered else []
    newest = max(document.revision if document else 0, revision)
    gone = surplus((*cluster.history, *added), newest)
    if not answered and not outcome and not gone:
        return Plan()
    what = [f"revision {answered.revision} has its verdict"] if answered else []
    what += [f"revision {revision} is {outcome[0]}"] if outcome else []
    step = leader_steps.RecordHistory(
        reason=", ".join(what) or f"{len(gone)} keys are not of the last documents",
        verdict=answered,
        text=text if answered else "",
        note=note if answered else None,
        revision=revision,
        outcome=outcome,
        gone=gone,
    )
    return Plan((step,))


def _outcome(intent: Intent, cluster: ClusterState, *, works: bool) -> tuple[Outcome, str] | None:
    """Return what became of the accepted document, and why; None: it is under way.

    `works`: nothing of it is blocked or waits, as a replica does that no host can run.
    """
    if intent.policy.mode != "enforce":
        return None
    rollouts = {each.name: cluster.rollouts.get(each.name) for each in intent.services}
    of_state = {name: each for name, each in rollouts.items() if each}
    held = [f"{name}: {each.why}" for name, each in of_state.items() if each.state in _PAUSED]
    back = [f"{name}: {each.why}" for name, each in of_state.items() if each.state == "rolled-back"]
    if held:
        return "paused", "; ".join(held)
    if len(back) < len(of_state):
        return None
    if back:
        return "rolled-back", "; ".join(back)
    # A report of a host that is off may count for a later document, which asks the same of it.
    reports = (
        cluster.statuses.get(each.name) if each.name in cluster.present else None for each in intent.hosts
    )
    done = (intent.revision, cluster.epoch)
    works = works and all(each and (each.revision, each.epoch) == done for each in reports)
    return ("carried-out", "") if works else None
