"""`policy.resolve_digests`: one look at the registries for each document, so that every host runs the same bytes.

What a tag means is asked when a document is put, never again while it is accepted: a tag that moves later changes
nothing. The bytes are part of the spec then, so a rollout moves replicas to them like to any other change, and goes
back to just those that ran before.
"""

from dataclasses import replace

from agent.model import records, steps
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Blocked, Plan

RESOURCE = "digests"


def resolved(observed: Observed) -> Intent | None:
    """The accepted intent with the bytes of its images, for who assigns replicas.

    None: of an image it is not known yet, and the replicas stay as they are assigned. While the registry gives no
    answer an image that was resolved for an earlier document is what it was then.
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
        replace(each, spec=replace(each.spec, image=f"{each.spec.image}@{known[each.spec.image]}"))
        if each.spec.image in known and each.pull != "never"
        else each
        for each in intent.services
    )
    return replace(intent, services=tuple(services))


def plan_digests(observed: Observed) -> Plan:
    """Ask for what this document's tags are, and say what waits for the answer."""
    cluster = observed.cluster
    intent = cluster.accepted if cluster else None
    if cluster is None or intent is None or not intent.policy.resolve_digests:
        return Plan()
    tags, asked = _tags(intent), _asked(intent, cluster)
    lacking = tuple(each for each in tags if each not in asked)
    if not lacking:
        return Plan()
    before = cluster.digests.images if cluster.digests else ()
    known = records.Digests(
        revision=intent.revision,
        epoch=cluster.epoch,
        images=tuple(each for each in before if each[0] in tags),
        asked=tuple(sorted(asked)),
    )
    step = steps.ResolveDigests(
        images=lacking,
        known=known,
        over=cluster.digests_revision,
        reason=f"which bytes {', '.join(lacking)} are, for revision {intent.revision}",
    )
    return Plan((step,), _waits(observed, lacking, frozenset(image for image, _ in before)))


def _waits(observed: Observed, lacking: tuple[str, ...], known: frozenset[str]) -> tuple[Blocked, ...]:
    if RESOURCE not in observed.failures:
        return ()  # it has only just begun
    if unknown := [each for each in lacking if each not in known]:
        reason = f"what {', '.join(unknown)} is cannot be asked now: every replica stays as it is assigned until it can"
    else:
        reason = f"what {', '.join(lacking)} is cannot be asked now: it is held to be what it was before"
    return (Blocked(resource=RESOURCE, reason=reason, kind="dependency"),)


def _asked(intent: Intent, cluster: ClusterState) -> frozenset[str]:
    found = cluster.digests
    same = found is not None and (found.revision, found.epoch) == (intent.revision, cluster.epoch)
    return frozenset(found.asked) if found and same else frozenset()


def _tags(intent: Intent) -> tuple[str, ...]:
    """The images to ask for: not those that say their bytes themselves, and not those that no registry is asked for."""
    images = {each.spec.image for each in intent.services if each.pull != "never"}
    return tuple(sorted(each for each in images if "@" not in each))
