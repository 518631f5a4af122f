"""Accept or refuse the newest document. A refused one changes nothing: the last accepted stays in force."""

from dataclasses import replace

from agent.intent.guard import guarding
from agent.model.leader_steps import PublishVerdict
from agent.model.phrases import and_more
from agent.model.plan import Blocked, ClusterState, Document, Plan, untouched
from agent.model.records import Verdict


def plan_verdict(cluster: ClusterState) -> Plan:
    """Say what came of the newest document, once for each revision."""
    in_force = cluster.accepted.revision if cluster.accepted else 0
    if cluster.document is None:
        reason = f"there is no intent; holding revision {in_force}" if in_force else "there is no intent yet"
        return untouched("intent", "waiting", reason)
    verdict = _unless_it_waits(judge(cluster.document, in_force), cluster, in_force)
    refused = () if verdict.accepted else (_refusal(verdict),)
    begins_era = cluster.went_back and verdict.accepted
    if cluster.verdict == verdict and verdict.in_force == in_force and not begins_era:
        return Plan(blocked=refused)
    if verdict.accepted:
        text = cluster.document.text
        era = cluster.era + 1 if cluster.went_back else cluster.era
        step = PublishVerdict(
            verdict=verdict, document=text, era=era, reason=f"revision {verdict.revision} is accepted"
        )
    else:
        what = "waits for a confirmation" if verdict.confirm else "is refused"
        step = PublishVerdict(verdict=verdict, reason=f"revision {verdict.revision} {what}")
    return Plan((step,), refused)


def judge(document: Document, in_force: int) -> Verdict:
    """The verdict on a document while revision `in_force` (0: none) is in force."""
    accepted = document.intent is not None
    return Verdict(
        revision=document.revision,
        accepted=accepted,
        in_force=document.revision if accepted else in_force,
        errors=tuple(str(each) for each in document.faults),
        warnings=document.warnings,
    )


def _unless_it_waits(verdict: Verdict, cluster: ClusterState, in_force: int) -> Verdict:
    """What is good, and yet not accepted before an operator has said that it is meant."""
    if not verdict.accepted:
        return verdict
    why, confirm = [], ""
    if cluster.went_back and not cluster.confirmed:
        # Such an etcd has an old document, too: whoever put it did not mean to undo what came after it.
        why.append(f"etcd went back, {cluster.went_back}: put the document that shall count once more")
    if guarded := guarding(cluster):
        confirm, taken = guarded
        why.append(
            f"it would take away {taken}: if that is meant, put it again with x-cluster.policy.confirm: {confirm}"
        )
    if not why:
        return verdict
    return replace(verdict, accepted=False, in_force=in_force, errors=tuple(why), confirm=confirm)


def _refusal(verdict: Verdict) -> Blocked:
    first = verdict.errors[0] if verdict.errors else "no reason given"
    held = f"; holding revision {verdict.in_force}" if verdict.in_force else ""
    state = "waits" if verdict.confirm else "is refused"
    return Blocked(
        resource="intent",
        reason=f"revision {verdict.revision} {state}: {first}{and_more(len(verdict.errors))}{held}",
        kind="confirm" if verdict.confirm else "guard",
    )
