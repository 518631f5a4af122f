"""`policy.resolve_digests`: resolve each image tag once for each document, so that every host runs the same image.

The registries are queried once for each document: a tag that moves later changes nothing. The digest is part of the
spec, so a rollout treats a new digest like any other change, and a rollback returns to the previous digest.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from agent.admission import Gate, decode
from agent.admission.policy import BASELINE
from agent.diff.nodes import LeaderView
from agent.model import records, steps
from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.phrases import cut
from agent.model.plan import Blocked, Plan, blocked_plan
from agent.model.spec import with_digest

RESOURCE = "digests"


def resolved(observed: LeaderView) -> Intent | None:
    """Return the accepted intent; if its policy resolves digests, each tag has its digest.

    None: no document is accepted, or a tag is not resolved yet and all replicas stay as assigned. After a failed
    attempt, or if this host does not admit the registry, a tag keeps the digest that it had for an earlier document.
    """
    cluster, intent = observed.cluster, observed.accepted
    if intent is None or not intent.policy.resolve_digests:
        return intent
    asked, known = _asked(intent, cluster), dict(cluster.digests.images) if cluster.digests else {}
    lacking = [each for each in _tags(intent) if each not in asked]
    is_to_ask = RESOURCE not in observed.failures and lacking != [*_not_admitted(observed, lacking)]
    if is_to_ask or any(each not in known for each in lacking):
        return None
    services = (
        each if each.pull == "never" else replace(each, spec=with_digest(each.spec, known))
        for each in intent.services
    )
    return replace(intent, services=tuple(services))


def plan_digests(observed: LeaderView) -> Plan:
    """Plan to resolve the missing tags of the accepted document. Report `digests` as blocked after a failed attempt."""
    cluster, intent = observed.cluster, observed.accepted
    if intent is None or not intent.policy.resolve_digests:
        return Plan()
    tags, asked = _tags(intent), _asked(intent, cluster)
    if not (lacking := tuple(each for each in tags if each not in asked)):
        return Plan()
    before = cluster.digests.images if cluster.digests else ()
    refused = _not_admitted(observed, lacking)
    why, effect = "; ".join(refused.values()), _effect(refused.keys() - dict(before))
    reason = cut(f"{observed.me}, the leader, does not ask a registry: {why}; {effect}")
    plan = blocked_plan(RESOURCE, "admission", reason) if refused else Plan()
    if not (lacking := tuple(each for each in lacking if each not in refused)):
        return plan
    known = records.Digests(
        revision=intent.revision,
        epoch=cluster.epoch,
        images=tuple(each for each in before if each[0] in tags),
        asked=tuple(sorted(asked)),
    )
    reason = f"{', '.join(lacking)} for revision {intent.revision}"
    step = steps.ResolveDigests(images=lacking, known=known, over=cluster.digests_revision, reason=reason)
    return plan + Plan((step,), _waits(observed, lacking, frozenset(image for image, _ in before)))


def _not_admitted(observed: LeaderView, images: Iterable[str]) -> Mapping[str, str]:
    """Return why this host, which would ask, does not admit the registry of an image, by image."""
    gate = Gate(policy=(decode(observed.host.admission) if observed.host else None) or BASELINE)
    return {each: str(refusal) for each in images for refusal in gate.registry(each)}


def _waits(observed: LeaderView, lacking: tuple[str, ...], known: frozenset[str]) -> tuple[Blocked, ...]:
    if RESOURCE not in observed.failures:
        return ()  # no attempt has failed
    unknown = [each for each in lacking if each not in known]
    images, effect = ", ".join(unknown or lacking), _effect(unknown)
    reason = f"{images} cannot be resolved to a digest: the registry does not answer; {effect}"
    return (Blocked(resource=RESOURCE, reason=reason, kind="dependency"),)


def _effect(unknown: Collection[str]) -> str:
    return "every replica stays as assigned" if unknown else "the previous digest is used"


def _asked(intent: Intent, cluster: ClusterState) -> frozenset[str]:
    """Return the images that were already resolved for this very document."""
    found = cluster.digests
    same = found is not None and (found.revision, found.epoch) == (intent.revision, cluster.epoch)
    return frozenset(found.asked) if found and same else frozenset()


def _tags(intent: Intent) -> tuple[str, ...]:
    """Return the images without a digest in the document, unless all their services have `pull_policy: never`."""
    images = {each.spec.image for each in intent.services if each.pull != "never"}
    return tuple(sorted(each for each in images if "@" not in each))
