"""policy.resolve_digests: asked once for a document; while nobody can say, nothing moves."""

from dataclasses import replace
from typing import Any

from agent.admission import encode
from agent.admission.policy import Policy
from agent.model.intent import Intent, PolicyIntent, ServiceIntent
from agent.model.leader_steps import PublishAssignment
from agent.model.records import Digests
from agent.planner.leader.digests import plan_digests, resolved
from agent.planner.leader.leading import plan_leading
from tests.support.builders import FENCE, REVISION, Seen, cluster, host, intent, observed, order, service

DIGEST, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
AWAY = {"digests": "order:1.0.0: connection refused"}


def asked(*services: ServiceIntent) -> Intent:
    return replace(intent(*services), policy=PolicyIntent(resolve_digests=True))


def noted(revision: int = REVISION, digest: str = DIGEST, **more: Any) -> Digests:
    told: dict[str, Any] = {"images": (("order:1.0.0", digest),), "asked": ("order:1.0.0",), "epoch": 0}
    return Digests(revision=revision, **{**told, **more})


def seen(wanted: Intent, digests: Digests | None = None, **more: Any) -> Seen:
    known = replace(cluster(wanted), digests=digests, digests_revision=5 if digests else 0)
    return replace(observed(known, host(), fence=FENCE), **more)


def images(observed: Seen) -> list[str] | None:
    found = resolved(observed)
    return None if found is None else [each.spec.image for each in found.services]


ORDER = asked(service())


def test_without_the_policy_a_tag_is_a_tag() -> None:
    plain = seen(intent(service()))
    assert images(plain) == ["order:1.0.0"]
    assert str(plan_digests(plain)) == ""


def test_a_document_is_not_assigned_before_its_tags_are_known() -> None:
    new = seen(ORDER)
    assert images(new) is None
    assert str(plan_digests(new)) == "resolve digests: order:1.0.0 for revision 7"
    assert not any(isinstance(step, PublishAssignment) for step in plan_leading(new).steps)


def test_what_is_known_becomes_part_of_the_spec() -> None:
    known = seen(ORDER, noted())
    assert images(known) == [f"order:1.0.0@{DIGEST}"]
    assert str(plan_digests(known)) == ""
    (step,) = (each for each in plan_leading(known).steps if isinstance(each, PublishAssignment))
    assert [each.image for each in step.specs] == [f"order:1.0.0@{DIGEST}"]


def test_another_document_is_asked_for_again_and_so_is_one_of_another_epoch() -> None:
    for old in (noted(revision=REVISION - 1), noted(epoch=1)):
        known = seen(ORDER, old)
        assert images(known) is None
        (step,) = plan_digests(known).steps
        assert (step.images, step.known.asked, step.over) == (("order:1.0.0",), (), 5)  # type: ignore[union-attr]


def test_while_the_registry_is_away_an_image_is_what_it_was() -> None:
    held = seen(ORDER, noted(revision=REVISION - 1), failures=AWAY)
    assert images(held) == [f"order:1.0.0@{DIGEST}"]
    assert plan_digests(held).blocked[0].reason == (
        "order:1.0.0 cannot be resolved to a digest: the registry does not answer; the previous digest is used"
    )


def test_while_the_registry_is_away_a_new_image_holds_everything_where_it_is() -> None:
    held = seen(
        asked(service(), service(name="web", spec=replace(order(), image="web:2"))), noted(), failures=AWAY
    )
    assert images(held) is None
    assert plan_digests(held).blocked[0].reason == (
        "web:2 cannot be resolved to a digest: the registry does not answer; every replica stays as assigned"
    )
    (step,) = plan_digests(held).steps
    assert step.images == ("web:2",)  # type: ignore[union-attr]


def test_who_says_the_bytes_or_never_pulls_is_not_asked_for() -> None:
    pinned = service(spec=replace(order(), image=f"order:1.0.0@{OTHER}"))
    local = replace(service(name="web", spec=replace(order(), image="web:2")), pull="never")
    known = seen(asked(pinned, local))
    assert images(known) == [f"order:1.0.0@{OTHER}", "web:2"]
    assert str(plan_digests(known)) == ""


def test_what_no_document_names_any_more_is_forgotten() -> None:
    old = noted(revision=REVISION - 1, images=(("gone:1", OTHER), ("order:1.0.0", DIGEST)))
    (step,) = plan_digests(seen(ORDER, old)).steps
    assert step.known.images == (("order:1.0.0", DIGEST),)  # type: ignore[union-attr]


def narrow(wanted: Intent, digests: Digests | None = None, registry: str = "registry.example.com") -> Seen:
    """A leader whose host admits this registry alone."""
    leader = replace(host(), admission=encode(Policy(registries=(registry,))))
    return replace(seen(wanted, digests), host=leader)


def test_a_registry_that_the_leaders_host_does_not_admit_is_not_asked() -> None:
    new, known = narrow(ORDER), narrow(ORDER, noted(revision=3))
    told = "leader, does not ask a registry: image: order:1.0.0, which `registries: [registry.example.com, docker.io]`"
    for each, images_now, effect in (
        (new, None, "every replica stays as assigned"),
        (known, [f"order:1.0.0@{DIGEST}"], "the previous digest is used"),
    ):
        (blocked,) = plan_digests(each).blocked
        assert not plan_digests(each).steps
        assert blocked.kind == "admission"
        assert told in blocked.reason
        assert blocked.reason.endswith(f"would admit; {effect}")
        assert images(each) == images_now
    assert images(narrow(ORDER, noted())) == [f"order:1.0.0@{DIGEST}"]
    assert str(plan_digests(narrow(ORDER, noted()))) == ""
    assert plan_digests(narrow(ORDER, registry="docker.io")).steps


def test_the_other_registries_are_asked_meanwhile() -> None:
    internal = replace(service("billing"), spec=replace(order(), image="registry.example.com/billing:1"))
    both = narrow(asked(service(), internal))
    (step,) = plan_digests(both).steps
    assert str(step) == "resolve digests: registry.example.com/billing:1 for revision 7"
    assert [each.kind for each in plan_digests(both).blocked] == ["admission"]
    assert images(both) is None
    failed = replace(both, failures=AWAY)
    assert [each.kind for each in plan_digests(failed).blocked] == ["admission", "dependency"]
