from dataclasses import replace
from typing import Any

import pytest

from agent.admission import encode
from agent.admission.policy import Policy
from agent.model.faults import Fault
from agent.model.leader_steps import PublishVerdict
from agent.model.observed import ClusterState, Document
from agent.model.records import Verdict
from agent.planner.leader.leading import plan_verdict
from tests.support.builders import cluster, document, intent, order, service, status, told

FAULT = Fault(
    path="services.order.image",
    value="",
    problem="there is no image",
    remedy="name one",
    kind="schema",
    line=3,
    column=5,
)
REFUSED = Document(revision=9, intent=None, faults=(FAULT, FAULT))
NEWER = intent(revision=9)


def test_without_a_document_there_is_nothing_to_judge() -> None:
    assert told(plan_verdict(ClusterState(revision=1))) == ["waiting intent: there is no intent yet"]


def test_a_document_that_was_deleted_stays_accepted() -> None:
    assert told(plan_verdict(cluster(intent(), document=None))) == [
        "waiting intent: there is no intent; holding revision 7"
    ]


def test_a_good_document_is_accepted_together_with_its_verdict() -> None:
    plan = plan_verdict(ClusterState(revision=1, document=document(intent())))

    assert told(plan) == ["publish verdict: revision 7 is accepted"]
    (step,) = plan.steps
    assert isinstance(step, PublishVerdict)
    assert step.document == "text"


@pytest.mark.parametrize(
    ("names", "present", "forgotten"),
    [
        (("h1", "h2"), ("h1", "h2"), True),
        (("h1", "h2"), ("h1",), True),
        (("h1", ""), ("h1", "h2"), False),
        (("h1", "h2"), ("h1", "h2", "h3"), False),
    ],
    ids=["all are new", "one is down", "one before format 2 reports", "one has not reported"],
)
def test_what_agents_before_format_2_left_goes_once_none_of_them_reports(
    names: tuple[str, ...], present: tuple[str, ...], forgotten: bool
) -> None:
    statuses = {f"h{n}": status(f"h{n}", host=name) for n, name in enumerate(names, start=1)}
    found = replace(
        cluster(intent(), document=document(NEWER), statuses=statuses), present=dict.fromkeys(present, "")
    )
    (step,) = plan_verdict(found).steps
    assert isinstance(step, PublishVerdict)
    assert step.forget_earlier is forgotten


def test_a_newer_good_document_takes_the_place_of_the_accepted_one() -> None:
    assert told(plan_verdict(cluster(intent(), document=document(NEWER)))) == [
        "publish verdict: revision 9 is accepted"
    ]


def test_a_faulty_document_is_refused_and_the_accepted_one_stays() -> None:
    plan = plan_verdict(cluster(intent(), document=REFUSED))

    assert told(plan) == [
        "publish verdict: revision 9 is refused",
        f"blocked intent: revision 9 is refused: {FAULT} (and 1 more); holding revision 7",
    ]
    (step,) = plan.steps
    assert isinstance(step, PublishVerdict)
    assert step.document is None
    assert step.verdict.accepted_revision == 7
    assert step.verdict.errors == (str(FAULT), str(FAULT))


def test_a_faulty_first_document_accepts_nothing() -> None:
    assert told(plan_verdict(ClusterState(revision=1, document=REFUSED))) == [
        "publish verdict: revision 9 is refused",
        f"blocked intent: revision 9 is refused: {FAULT} (and 1 more)",
    ]


def test_a_verdict_is_published_once() -> None:
    accepted = Verdict(revision=7, accepted=True, accepted_revision=7)

    assert told(plan_verdict(cluster(intent(), verdict=accepted))) == []


def test_a_refusal_is_published_once_and_stays_blocked() -> None:
    refused = Verdict(revision=9, accepted=False, accepted_revision=7, errors=(str(FAULT), str(FAULT)))
    plan = plan_verdict(cluster(intent(), document=REFUSED, verdict=refused))

    assert plan.steps == ()
    assert [each.kind for each in plan.blocked] == ["guard"]


def test_a_verdict_whose_document_never_came_into_force_is_given_again() -> None:
    accepted = Verdict(revision=9, accepted=True, accepted_revision=9)

    assert told(plan_verdict(cluster(intent(), document=document(NEWER), verdict=accepted))) == [
        "publish verdict: revision 9 is accepted"
    ]


def test_warnings_are_part_of_the_verdict() -> None:
    plan = plan_verdict(cluster(None, document=document(intent(), warnings=("10.10.0.0/16 is large",))))
    (step,) = plan.steps

    assert isinstance(step, PublishVerdict)
    assert step.verdict.warnings == ("10.10.0.0/16 is large",)


# ---- hosts that do not admit what the document has

ROOT = intent(service(spec=replace(order(), privileged=True)))
REPORTS = {"h1": status("h1", admission=encode(Policy()))}


def refused_by_a_host(**more: Any) -> ClusterState:
    return cluster(ROOT, statuses=REPORTS, **more)


def test_a_document_that_a_host_refuses_is_accepted_with_a_warning() -> None:
    (step,) = plan_verdict(ClusterState(revision=1, document=document(ROOT), statuses=REPORTS)).steps
    assert isinstance(step, PublishVerdict)
    assert step.verdict.accepted
    assert step.document == "text"
    (warning,) = step.verdict.warnings
    assert warning.startswith("service order waits on h1: ")
    assert told(plan_verdict(refused_by_a_host(verdict=step.verdict))) == []


def test_the_warnings_follow_the_policies_and_leave_the_accepted_document_alone() -> None:
    before = Verdict(revision=7, accepted=True, accepted_revision=7)
    plan = plan_verdict(refused_by_a_host(verdict=before))
    (step,) = plan.steps
    assert told(plan) == ["publish verdict: revision 7 has other warnings"]
    assert isinstance(step, PublishVerdict)
    assert step.document is None
    assert replace(step.verdict, warnings=()) == before
    (again,) = plan_verdict(cluster(ROOT, verdict=step.verdict)).steps
    assert isinstance(again, PublishVerdict)
    assert (again.verdict, again.document) == (before, None)


def test_an_accepted_document_is_written_again_although_only_warnings_differ_if_it_was_forged() -> None:
    before = Verdict(revision=7, accepted=True, accepted_revision=7)
    (step,) = plan_verdict(refused_by_a_host(verdict=before, accepted_doubt="forged")).steps
    assert isinstance(step, PublishVerdict)
    assert step.document == "text"


# ---- etcd was rolled back

STORE_ROLLED_BACK = cluster(
    intent(), document=document(intent(revision=5)), store_rolled_back="it has accepted revision 5"
)


def test_an_old_document_is_refused_until_it_is_put_once_more() -> None:
    plan = plan_verdict(STORE_ROLLED_BACK)
    (step,) = plan.steps
    assert isinstance(step, PublishVerdict)
    assert step.document is None
    assert (step.verdict.accepted, step.verdict.accepted_revision) == (False, 7)
    assert step.verdict.errors == (
        "etcd was rolled back, it has accepted revision 5: apply the correct document again",
    )
    assert told(plan_verdict(replace(STORE_ROLLED_BACK, verdict=step.verdict)))[0].startswith(
        "blocked intent"
    )


def test_a_document_that_was_put_after_that_begins_another_epoch() -> None:
    (step,) = plan_verdict(replace(STORE_ROLLED_BACK, confirmed=True, epoch=2)).steps
    assert isinstance(step, PublishVerdict)
    assert (step.document, step.epoch, step.verdict.accepted) == ("text", 3, True)


def test_any_other_document_is_of_the_accepted_epoch() -> None:
    (step,) = plan_verdict(cluster(intent(), document=document(NEWER), epoch=2)).steps
    assert isinstance(step, PublishVerdict)
    assert step.epoch == 2


# ---- `accepted` has a document that no operator put, or one that etcd has compacted


def test_a_forged_document_is_replaced_by_the_newest_one() -> None:
    accepted = Verdict(revision=7, accepted=True, accepted_revision=7)
    plan = plan_verdict(cluster(intent(), verdict=accepted, accepted_doubt="forged", epoch=3))

    (step,) = plan.steps
    assert isinstance(step, PublishVerdict)
    assert (step.verdict, step.document, step.epoch) == (accepted, "text", 3)


def test_a_forged_document_is_replaced_by_the_accepted_one_while_the_newest_is_refused() -> None:
    refused = Verdict(revision=9, accepted=False, accepted_revision=7, errors=(str(FAULT), str(FAULT)))
    state = cluster(
        intent(), document=REFUSED, verdict=refused, accepted_text="of 7", accepted_doubt="forged"
    )

    (step,) = plan_verdict(state).steps
    assert isinstance(step, PublishVerdict)
    assert (step.verdict, step.document) == (refused, "of 7")
    assert (
        plan_verdict(replace(state, accepted=None, verdict=replace(refused, accepted_revision=0))).steps == ()
    )


def test_a_document_that_was_refused_is_not_judged_without_the_accepted_one() -> None:
    waits = Verdict(revision=9, accepted=False, accepted_revision=8, errors=("it waits",), confirm="word")
    state = cluster(intent(), document=document(NEWER), verdict=waits, accepted_doubt="compacted")
    plan = plan_verdict(state)

    assert plan.steps == ()
    assert [each.kind for each in plan.blocked] == ["confirm"]
    assert told(plan_verdict(replace(state, verdict=replace(waits, revision=8)))) == [
        "publish verdict: revision 9 is accepted"
    ]
