"""The services that a revision changes, and how far they are."""

from dataclasses import replace

import pytest

from agent.conditions import changed_services, conditions_of, progress_of
from agent.model.intent import Constraint, Intent, Where
from tests.support.builders import OVERLAY
from tests.support.cluster_states import (
    BILLING,
    HEALTHY,
    JOB,
    NEXT_ORDER,
    NOW_S,
    ORDER,
    PULL,
    REVISION,
    STATES,
    WEB,
    A,
    B,
    C,
    absent,
    blocked,
    declared,
    document,
    on,
    releasing,
)

BEFORE = document()


@pytest.mark.parametrize(
    ("after", "changed"),
    [
        (document(), set()),
        (document(revision=9), set()),
        (document(WEB, NEXT_ORDER, BILLING), {"order"}),
        (document(WEB, replace(ORDER, replicas=5), BILLING), {"order"}),
        (document(WEB, ORDER, replace(BILLING, placement=((C, 1),))), {"billing"}),
        (document(WEB, ORDER, BILLING, JOB), {"job"}),
        (document(WEB, ORDER), {"billing"}),
        (document(networks=(replace(OVERLAY, internal=True),)), {"web", "order", "billing"}),
        (
            document(hosts=(declared(A), declared(B, availability="drain"), declared(C))),
            {"web", "order", "billing"},
        ),
        (document(hosts=(declared(A), declared(B), declared(C, availability="drain"))), {"web", "order"}),
    ],
)
def test_a_service_is_changed_by_spec_number_hosts_and_networks(after: Intent, changed: set[str]) -> None:
    assert changed_services(BEFORE, after) == changed


def test_a_host_that_may_not_run_a_service_does_not_change_it() -> None:
    fixed = replace(ORDER, where=Where(constraints=(Constraint(of="hostname", equal=True, value=A),)))
    before = document(fixed)
    after = document(fixed, hosts=(declared(A), declared(B), declared(C, availability="drain")))
    assert changed_services(before, after) == frozenset()


def test_the_first_document_changes_every_service() -> None:
    assert changed_services(None, BEFORE) == {"web", "order", "billing"}


def progress(name: str, *services: str, revision: int = REVISION):  # type: ignore[no-untyped-def]
    return progress_of(conditions_of(STATES[name].cluster, now_s=NOW_S), services, revision)


def test_a_revision_is_done_when_every_service_that_it_changes_is_ready() -> None:
    found = progress("healthy", "order", "web")
    assert (found.done, found.ready, found.elsewhere) == (True, ("order", "web"), ())


@pytest.mark.parametrize(
    "name", ["healthy rollout", "newest revision not assigned", "first start", "registry away"]
)
def test_a_release_under_way_is_waited_for(name: str) -> None:
    found = progress(name, "order")
    assert (found.done, found.failed) == (False, ())
    assert [each.name for each in found.waiting] == ["order"]


@pytest.mark.parametrize("name", ["rollout paused", "rolled back", "rollback paused", "no host fits"])
def test_a_release_that_cannot_succeed_has_failed(name: str) -> None:
    found = progress(name, "order")
    assert (found.done, found.waiting) == (False, ())
    assert len(found.failed) == 1


def test_a_crash_loop_fails_the_service_that_has_it() -> None:
    (failed,) = progress("crash loop, between two exits", "billing").failed
    assert (failed.key, failed.reason) == ("service/billing", "CrashLoop")


@pytest.mark.parametrize(("attempts", "given_up"), [(1, False), (3, True)])
def test_a_pull_is_given_up_after_some_attempts(attempts: int, given_up: bool) -> None:
    (pull,) = blocked("image/registry.local/order:1.0.1", "error", PULL)
    state = on(STATES["registry away"].cluster, B, blocked=(replace(pull, attempts=attempts),))
    found = progress_of(conditions_of(state, now_s=NOW_S), ["order"], REVISION)
    assert [each.key for each in found.failed] == (["image/registry.local/order:1.0.1"] if given_up else [])


def test_a_fault_elsewhere_is_named_and_does_not_fail_the_release() -> None:
    found = progress("crash loop, exited", "order", "web")
    assert found.done
    assert [each.condition.key for each in found.elsewhere] == ["service/billing"]


def test_a_service_is_not_ready_by_the_report_of_an_earlier_revision() -> None:
    found = progress("healthy", "order", revision=REVISION + 1)
    assert [each.name for each in found.waiting] == ["order"]


def test_a_release_on_a_host_that_is_off_waits() -> None:
    state = absent(releasing(updated=(1, 2, 3, 4)), B)
    found = progress_of(conditions_of(state, now_s=NOW_S), ["order"], REVISION)
    assert [(each.name, each.state) for each in found.waiting] == [("order", "Unknown")]


def test_a_removed_service_is_done_when_no_container_of_it_is_left() -> None:
    left = replace(HEALTHY, accepted=document(WEB, ORDER))
    found = progress_of(conditions_of(left, now_s=NOW_S), ["billing"], REVISION)
    assert [(each.name, each.state) for each in found.waiting] == [("billing", "Progressing")]
    assert not conditions_of(left, now_s=NOW_S).converged
    gone = on(
        left, B, replicas=tuple(each for each in left.statuses[B].replicas if each.service != "billing")
    )
    assert progress_of(conditions_of(gone, now_s=NOW_S), ["billing"], REVISION).done
