"""Accept or refuse the newest document. A refused one changes nothing: the last accepted stays in force."""

from dataclasses import replace

from agent.model.observed import ClusterState, Document
from agent.model.records import Verdict
from agent.model.steps import Blocked, Plan, PublishVerdict


def plan_verdict(cluster: ClusterState) -> Plan:
    """Say what came of the newest document, once for each revision."""
    in_force = cluster.accepted.revision if cluster.accepted else 0
    if cluster.document is None:
        reason = f"there is no intent; holding revision {in_force}" if in_force else "there is no intent yet"
        return Plan(blocked=(Blocked(resource="intent", reason=reason, kind="waiting"),))
    verdict = _unless_it_waits(judge(cluster.document, in_force), cluster, in_force)
    refused = () if verdict.accepted else (_refusal(verdict),)
    if cluster.verdict == verdict and verdict.in_force == in_force:
        return Plan(blocked=refused)
    if verdict.accepted:
        text = cluster.document.text
        era = cluster.era + 1 if cluster.went_back else cluster.era
        step = PublishVerdict(
            verdict=verdict, document=text, era=era, reason=f"revision {verdict.revision} is accepted"
        )
    else:
        step = PublishVerdict(verdict=verdict, reason=f"revision {verdict.revision} is refused")
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
    """An etcd that went back has an old document, too: whoever put it did not mean to undo what came after it."""
    if not cluster.went_back or cluster.confirmed or not verdict.accepted:
        return verdict
    why = f"etcd went back, {cluster.went_back}: put the document that shall count once more"
    return replace(verdict, accepted=False, in_force=in_force, errors=(why,))


def _refusal(verdict: Verdict) -> Blocked:
    more = f" (and {len(verdict.errors) - 1} more)" if len(verdict.errors) > 1 else ""
    first = verdict.errors[0] if verdict.errors else "no reason given"
    held = f"; holding revision {verdict.in_force}" if verdict.in_force else ""
    return Blocked(
        resource="intent",
        reason=f"revision {verdict.revision} is refused: {first}{more}{held}",
        kind="guard",
    )
