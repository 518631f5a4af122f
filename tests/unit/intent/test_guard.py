from collections.abc import Mapping
from dataclasses import replace

import pytest

from agent.intent import guard
from agent.intent.guard import confirmation
from agent.model.intent import Constraint, Intent, Machine, PolicyIntent, Where
from agent.model.leader_steps import PublishVerdict
from agent.model.observed import ClusterState
from agent.model.records import Verdict
from agent.model.status import HostStatus
from agent.planner.leader.leading import plan_verdict
from tests.support.builders import cluster, document, intent, service, status, told

GUARD = PolicyIntent(deletion_guard_percent=50)
BEFORE = intent(
    service("order", {"h1": 2, "h2": 2}),
    service("billing", {"h1": 2}),
    hosts="h1 h2 h3",
    policy=GUARD,
    digest="before",
)


def after(*services: object, hosts: str = "h1 h2 h3", **more: object) -> Intent:
    return intent(*services, hosts=hosts, **{"policy": GUARD, "digest": "after", "revision": 9, **more})  # type: ignore[arg-type]


def guarded_removals(
    before: Intent | None, after: Intent, statuses: Mapping[str, HostStatus] | None = None
) -> str:
    return guard.guarded_removals(before, after, statuses or {})


AND = " and "
ALL = (service("order", {"h1": 2, "h2": 2}), service("billing", {"h1": 2}))


@pytest.mark.parametrize(
    ("edit", "taken"),
    [
        (after(*ALL), ""),
        (after(service("order", {"h1": 2, "h2": 1})), ""),  # 3 of 6 is the share itself
        (
            after(service("order", {"h1": 2})),
            "4 of 6 replicas (order 2 of 4, billing 2 of 2), which is more than the deletion_guard of 50%",
        ),
        (after(service("order", {"h3": 4}), service("billing", {"h2": 2})), ""),  # they only move
        (
            after(service("order", {"h1": 9})),
            "",
        ),  # what comes does not make up for what goes, but 2 of 6 is little
        (
            after(service("orders", {"h1": 2, "h2": 2}), service("billing", {"h1": 2})),
            "4 of 6 replicas (order 4 of 4), which is more than the deletion_guard of 50%",
        ),
        (
            after(*ALL, project="stage"),
            "6 of 6 replicas (order 4 of 4, billing 2 of 2), which is more than the deletion_guard of 50%",
        ),
        (after(*ALL, hosts="h1 h2 h3:worker"), ""),
        (
            after(*ALL, hosts="h1 h2:worker h4"),
            "2 of 3 managers (h2, h3), which is a majority of them",
        ),
        (
            after(hosts="h1"),
            "6 of 6 replicas (order 4 of 4, billing 2 of 2), which is more than the deletion_guard of 50%"
            + AND
            + "2 of 3 managers (h2, h3), which is a majority of them",
        ),
    ],
)
def test_what_an_edit_takes_away_is_counted_by_what_the_documents_declare(edit: Intent, taken: str) -> None:
    assert guarded_removals(BEFORE, edit) == taken


def test_without_a_guard_in_either_document_nothing_waits() -> None:
    bold = PolicyIntent()
    assert guarded_removals(replace(BEFORE, policy=bold), after(hosts="h1", policy=bold)) == ""


def test_the_guard_of_either_document_counts_and_the_stricter_one() -> None:
    bold, strict = PolicyIntent(), PolicyIntent(deletion_guard_percent=10)
    one_less = (service("order", {"h1": 2, "h2": 1}), service("billing", {"h1": 2}))
    assert guarded_removals(BEFORE, after(policy=bold))
    assert guarded_removals(replace(BEFORE, policy=bold), after())
    assert guarded_removals(BEFORE, after(*one_less)) == ""
    assert guarded_removals(BEFORE, after(*one_less, policy=strict)).endswith("deletion_guard of 10%")
    assert guarded_removals(replace(BEFORE, policy=strict), after(*one_less)).endswith(
        "deletion_guard of 10%"
    )


def test_the_first_document_takes_nothing_away() -> None:
    assert guarded_removals(None, after()) == ""


def test_only_the_first_of_many_services_are_named() -> None:
    many = replace(BEFORE, services=tuple(service(f"s{number:02}") for number in range(30)))
    assert "s09 1 of 1, and of 20 more)" in guarded_removals(many, after())


# ---- what only the reports of engines tell: their platform

REPORTS = {name: status(name, machine=Machine(platform="linux/amd64")) for name in ("h1", "h2")}
REPORTS |= {"h3": status("h3", machine=Machine(platform="linux/arm64"))}
EVERYWHERE = replace(service("agent", {"h1": 1, "h2": 1, "h3": 1}), everywhere=True)


def on(arch: str, equal: bool = True) -> Intent:
    constraint = Constraint(of="platform.arch", equal=equal, value=arch)
    return after(replace(EVERYWHERE, where=Where(constraints=(constraint,))))


@pytest.mark.parametrize(
    ("edit", "taken"),
    [
        (on("amd64"), ""),  # 1 of 3
        (on("arm64"), "2 of 3 replicas (agent 2 of 3), which is more than the deletion_guard of 50%"),
        (
            on("amd64", equal=False),
            "2 of 3 replicas (agent 2 of 3), which is more than the deletion_guard of 50%",
        ),
        (on("s390x"), ""),  # met nowhere, and so the scheduler ends no replica
        (
            after(replace(EVERYWHERE, spec=replace(EVERYWHERE.spec, platform="linux/arm64"))),
            "2 of 3 replicas (agent 2 of 3), which is more than the deletion_guard of 50%",
        ),
    ],
)
def test_hosts_whose_engine_does_not_meet_a_new_constraint_lose_their_replica(
    edit: Intent, taken: str
) -> None:
    assert guarded_removals(after(EVERYWHERE), edit, REPORTS) == taken
    assert guarded_removals(edit, edit, REPORTS) == ""


def test_a_host_without_a_report_loses_nothing_that_is_known() -> None:
    assert guarded_removals(after(EVERYWHERE), on("arm64"), {"h1": REPORTS["h1"]}) == ""


def test_the_leader_counts_by_its_reports() -> None:
    newest = on("arm64")
    state = cluster(after(EVERYWHERE), document=document(newest), statuses=REPORTS)
    assert verdict_on(state).accepted is False
    assert guard.guarding(replace(state, statuses={})) is None


# ---- the verdict

EDIT = after(service("order", {"h1": 2}))
WORD = confirmation(BEFORE, EDIT)
WAITS = cluster(BEFORE, document=document(EDIT))


def confirmed(edit: Intent = EDIT, word: str = WORD) -> Intent:
    return replace(edit, revision=11, policy=replace(edit.policy, confirm=word))


def verdict_on(state: ClusterState) -> Verdict:
    (step,) = plan_verdict(state).steps
    assert isinstance(step, PublishVerdict)
    return step.verdict


def test_a_large_edit_waits_and_the_verdict_has_the_word_that_confirms_it() -> None:
    why = (
        "it would remove 4 of 6 replicas (order 2 of 4, billing 2 of 2), which is more than the deletion_guard of "
        "50%:"
        f" to confirm, apply it again with x-cluster.policy.confirm: {WORD}"
    )
    assert told(plan_verdict(WAITS)) == [
        "publish verdict: revision 9 waits for a confirmation",
        f"blocked intent: revision 9 waits: {why}; holding revision 7",
    ]
    assert verdict_on(WAITS) == Verdict(
        revision=9, accepted=False, accepted_revision=7, errors=(why,), confirm=WORD
    )


def test_it_waits_without_being_said_again_and_again() -> None:
    plan = plan_verdict(replace(WAITS, verdict=verdict_on(WAITS)))
    assert plan.steps == ()
    assert [(each.resource, each.kind) for each in plan.blocked] == [("intent", "confirm")]


def test_put_again_with_that_word_it_is_accepted() -> None:
    state = replace(WAITS, document=document(confirmed()), verdict=verdict_on(WAITS))
    assert told(plan_verdict(state)) == ["publish verdict: revision 11 is accepted"]
    assert verdict_on(state).confirm == ""


def test_a_confirmed_document_stays_so_once_it_is_the_accepted_one() -> None:
    state = replace(WAITS, document=document(confirmed()))
    accepted_state = replace(state, accepted=confirmed(), verdict=verdict_on(state))
    assert told(plan_verdict(accepted_state)) == []


def test_the_word_of_another_edit_confirms_nothing() -> None:
    for word in ("0123456789abcdef", confirmation(EDIT, BEFORE)):
        state = replace(WAITS, document=document(confirmed(word=word)))
        assert verdict_on(state).confirm == WORD


def test_a_document_that_was_confirmed_once_waits_again_when_something_else_is_accepted() -> None:
    meanwhile = replace(BEFORE, digest="meanwhile", revision=10)
    state = cluster(meanwhile, document=document(replace(confirmed(), revision=12)))
    assert verdict_on(state).confirm == confirmation(meanwhile, EDIT) != WORD


def test_a_faulty_document_is_refused_whatever_it_takes_away() -> None:
    state = replace(WAITS, document=replace(document(EDIT), intent=None))
    assert verdict_on(state).confirm == ""


# ---- etcd was rolled back

RESTORED = replace(WAITS, store_rolled_back="it has accepted revision 5")


def test_a_restored_document_that_takes_much_away_says_both_that_it_waits_for() -> None:
    verdict = verdict_on(RESTORED)
    assert [each.split(":")[0].split(",")[0] for each in verdict.errors] == [
        "etcd was rolled back",
        "it would remove 4 of 6 replicas (order 2 of 4",
    ]
    assert verdict.confirm == WORD


def test_put_once_more_it_still_waits_for_the_word_and_one_put_can_say_both() -> None:
    again = replace(RESTORED, confirmed=True)
    assert [each[:15] for each in verdict_on(again).errors] == ["it would remove"]
    assert verdict_on(replace(again, document=document(confirmed()))).accepted
