"""`policy.resolve_digests`: resolve each image tag once for each document, so that every host runs the same image.

The registries are queried once for each document: a tag that moves later changes nothing. The digest is part of the
spec, so a rollout treats a new digest like any other change, and a rollback returns to the previous digest.
"""

from dataclasses import replace

from agent.diff.nodes import etcd_of
from agent.model import records, steps
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Blocked, Plan
from agent.model.spec import with_digest

RESOURCE = "digests"


def resolved(observed: Observed) -> Intent | None:
    """Return the accepted intent; if its policy resolves digests, each tag has its digest.

    None: no document is accepted, or a tag is not resolved yet and all replicas stay as assigned. After a failed
    attempt, a tag keeps the digest that was resolved for an earlier document.
    """
    cluster = observed.cluster
    intent = cluster.accepted if cluster else None
    if cluster is None or intent is None or not intent.policy.resolve_digests:
        return intent
    asked, known = _asked(intent, cluster), dict(cluster.digests.images) if cluster.digests else {}
    lacking = [each for each in _tags(intent) if each not in asked]
    if lacking and (RESOURCE not in observed.failures or any(each not in known for each in lacking)):
        return None
    services = (
        each if each.pull == "never" else replace(each, spec=with_digest(each.spec, known))
        for each in intent.services
    )
    return replace(intent, services=tuple(services))


def plan_digests(observed: Observed) -> Plan:
    """Plan to resolve the missing tags of the accepted document. Report `digests` as blocked after a failed attempt."""
    cluster, intent = etcd_of(observed), observed.accepted
    if intent is None or not intent.policy.resolve_digests:
        return Plan()
    tags, asked = _tags(intent), _asked(intent, cluster)
    if not (lacking := tuple(each for each in tags if each not in asked)):
        return Plan()
    before = cluster.digests.images if cluster.digests else ()
    known = records.Digests(
        revision=intent.revision,
        epoch=cluster.epoch,
        images=tuple(each for each in before if each[0] in tags),
        asked=tuple(sorted(asked)),
    )
    reason = f"{', '.join(lacking)} for revision {intent.revision}"
    step = steps.ResolveDigests(images=lacking, known=known, over=cluster.digests_revision, reason=reason)
    return Plan((step,), _waits(observed, lacking, frozenset(image for image, _ in before)))


def _waits(observed: Observed, lacking: tuple[str, ...], known: frozenset[str]) -> tuple[Blocked, ...]:
    if RESOURCE not in observed.failures:
        return ()  # no attempt has failed
    unknown = [each for each in lacking if each not in known]
    effect = "every replica stays as assigned" if unknown else "the previous digest is used"
    reason = f"{', '.join(unknown or lacking)} cannot be resolved to a digest: the registry does not answer; {effect}"
    return (Blocked(resource=RESOURCE, reason=reason, kind="dependency"),)


def _asked(intent: Intent, cluster: ClusterState) -> frozenset[str]:
    """Return the images that were already resolved for this very document."""
    found = cluster.digests
    same = found is not None and (found.revision, found.epoch) == (intent.revision, cluster.epoch)
    return frozenset(found.asked) if found and same else frozenset()


def _tags(intent: Intent) -> tuple[str, ...]:
    """Return the images without a digest in the document, unless all their services have `pull_policy: never`."""
    images = {each.spec.image for each in intent.services if each.pull != "never"}
    return tuple(sorted(each for each in images if "@" not in each))
