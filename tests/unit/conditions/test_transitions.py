"""Which changes of the named states of a cluster are events."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from agent.conditions import ClusterConditions, conditions_of
from agent.conditions.transitions import transitions
from agent.model.events import Event
from agent.model.history import Note
from agent.model.observed import ClusterState
from agent.model.records import Verdict
from tests.support.cluster_states import CLUSTERS, NOW, NOW_S

HEALTHY = CLUSTERS["healthy"]


def found(cluster: ClusterState) -> ClusterConditions:
    return conditions_of(cluster, now_s=NOW_S)


def after(last: Mapping[str, Event], cluster: ClusterState, at: str = NOW) -> dict[str, Event]:
    return {**last, **{each.subject: each for each in transitions(last, found(cluster), cluster, at)}}


def told(last: Mapping[str, Event], cluster: ClusterState, at: str = NOW) -> list[tuple[str, str, str]]:
    events = transitions(last, found(cluster), cluster, at)
    return [(each.resource, each.state, each.reason) for each in events]


@pytest.mark.parametrize("state", CLUSTERS)
def test_no_state_has_an_event_twice(state: str) -> None:
    assert told(after({}, CLUSTERS[state]), CLUSTERS[state]) == []


@pytest.mark.parametrize("state", CLUSTERS)
def test_each_problem_of_each_state_is_an_event_and_goes_when_it_goes(state: str) -> None:
    cluster = CLUSTERS[state]
    known = after({}, HEALTHY)
    events = {each.resource: each for each in transitions(known, found(cluster), cluster, NOW)}
    documents = {each for each in events if each.startswith("document/") and events[each].kind == "document"}
    for problem in found(cluster).problems:
        if problem.condition.key == "document/" and problem.condition.reason in (
            "Refused",
            "WaitsForConfirmation",
        ):
            assert documents
        else:
            assert events[problem.condition.key].reason == problem.condition.reason
    faults = {key for key, each in events.items() if each.state in ("Degraded", "Blocked", "Unknown")}
    ended = {key for key, state, _ in told(after(known, cluster), HEALTHY) if state in ("Ready", "Ended")}
    assert faults <= ended


def test_a_healthy_cluster_has_the_event_of_its_document_alone() -> None:
    assert told({}, HEALTHY) == [("document/7", "accepted", "")]


def test_a_host_that_is_off_is_one_event_with_the_services_that_have_no_replica_for_it() -> None:
    events = told(after({}, HEALTHY), CLUSTERS["host off for 6 minutes"])
    assert ("host/node-232", "Unknown", "Unreachable") in events
    assert not any(key.startswith("replica/") for key, _, _ in events)
    causes = {
        each.cause
        for each in transitions(
            after({}, HEALTHY),
            found(CLUSTERS["host off for 6 minutes"]),
            CLUSTERS["host off for 6 minutes"],
            NOW,
        )
        if each.resource.startswith("service/")
    }
    assert causes == {"host/node-232"}


def test_a_rollout_is_one_event_without_the_hosts_and_replicas_that_wait_for_it() -> None:
    (event,) = told(after({}, HEALTHY), CLUSTERS["healthy rollout"])
    assert event == ("rollout/order", "Progressing", "Rollout")


def test_a_condition_that_goes_says_what_it_was_and_for_how_long() -> None:
    known = after(after({}, HEALTHY), CLUSTERS["host off for 6 minutes"], "2026-11-29T12:06:00Z")
    events = {each.resource: each for each in transitions(known, found(HEALTHY), HEALTHY, NOW)}
    assert events["host/node-232"].state == "Ready"
    assert events["host/node-232"].text == "was Unknown (Unreachable) for 4 m"


def test_a_text_alone_is_no_event() -> None:
    known = after({}, CLUSTERS["host off for 6 minutes"])
    later = conditions_of(CLUSTERS["host off for 6 minutes"], now_s=NOW_S + 3600)
    assert later.hosts != found(CLUSTERS["host off for 6 minutes"]).hosts
    assert [*transitions(known, later, CLUSTERS["host off for 6 minutes"], NOW)] == []


def test_each_document_and_each_outcome_is_an_event_with_its_author_or_first_error() -> None:
    document = HEALTHY.document
    assert document is not None
    known = after({}, HEALTHY)
    newer = replace(
        HEALTHY,
        document=replace(document, revision=9),
        verdict=Verdict(revision=9, accepted=False, accepted_revision=7, errors=("line 1: no", "line 2: no")),
        history=frozenset({"7", "7/carried-out", "7/paused", "6/rolled-back", "odd"}),
    )
    events = [each for each in transitions(known, found(newer), newer, NOW) if each.kind == "document"]
    assert [(each.resource, each.state, each.text) for each in events] == [
        ("document/9", "refused", "line 1: no (and 1 more)"),
        ("document/7", "carried-out", ""),
        ("document/7", "paused", ""),
    ]
    known |= {each.subject: each for each in events}
    verdict = Verdict(revision=11, accepted=False, accepted_revision=7, errors=("line 1: no",))
    again = replace(newer, document=replace(document, revision=11), verdict=verdict)
    assert ("document/11", "refused", "") in told(known, again)
    noted = replace(HEALTHY, note=Note(author="anna@shell", message="web 1.0.1"))
    (event,) = transitions({}, found(noted), noted, NOW)
    assert event.text == "anna@shell: web 1.0.1"
