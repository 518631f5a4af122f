from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.model.faults import Fault
from agent.model.observed import Document
from agent.model.plan import Blocked, BlockedKind, Failure, Outcome, Plan, waiting_plan
from agent.model.steps import StartContainer
from agent.planner.leader.eligibility import why_ineligible
from agent.report.journal import Journal
from tests.support.scenes import FENCE, INTENT, cluster, observed

START = StartContainer(name="prod-order-1", reason="exited with 1")
Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def journal(lines: Lines) -> Journal:
    """A journal that has told of one quiet pass already."""
    fresh = Journal(why_ineligible)
    fresh.passed(observed(), Plan())
    lines.clear()
    return fresh


def held(reason: str = "subnet differs", kind: BlockedKind = "foreign") -> Plan:
    return Plan((), (Blocked(resource="network/docker_gwbridge", reason=reason, kind=kind),))


def refused(revision: int) -> Document:
    faults = tuple(
        Fault(path="services", value="", problem=problem, remedy="", line=1, column=1)
        for problem in ("is not a mapping", "is missing")
    )
    return Document(revision=revision, intent=None, faults=faults)


def told(lines: Lines) -> list[tuple[str, str]]:
    return [(line["log_level"], line["event"]) for line in lines]


def test_a_pass_in_which_nothing_is_new_says_nothing(journal: Journal, lines: Lines) -> None:
    journal.passed(observed(), Plan())

    assert lines == []


def test_what_is_held_back_is_said_when_it_appears_and_when_it_goes(journal: Journal, lines: Lines) -> None:
    for plan in (held(), held(), Plan()):
        journal.passed(observed(), plan)

    assert told(lines) == [("warning", "blocked"), ("info", "no longer blocked")]
    assert lines[0]["reason"] == "subnet differs"


def test_another_reason_for_the_same_is_said_as_well(journal: Journal, lines: Lines) -> None:
    journal.passed(observed(), held("subnet differs"))
    journal.passed(observed(), held("gateway differs"))

    assert [line["reason"] for line in lines] == ["subnet differs", "gateway differs"]


def test_waiting_is_no_cause_for_worry(journal: Journal, lines: Lines) -> None:
    journal.passed(observed(), waiting_plan("swarm", "no swarm is recorded yet"))

    assert told(lines) == [("info", "waiting")]
    assert lines[0]["reason"] == "no swarm is recorded yet"


def test_waiting_is_logged_again_only_if_more_than_a_number_changes(journal: Journal, lines: Lines) -> None:
    for reason in ("moves in 60 s", "moves in 34 s", "moves when h3 reports"):
        journal.passed(observed(), waiting_plan("placement/order", reason))

    assert [line["reason"] for line in lines] == ["moves in 60 s", "moves when h3 reports"]


def test_an_etcd_that_is_away_is_said_once_however_its_errors_read(journal: Journal, lines: Lines) -> None:
    journal.passed(observed(stale=True), held("timeout at a:2379", "store"))
    journal.passed(observed(stale=True), held("refused at b:2379", "store"))

    assert told(lines) == [("warning", "blocked")]


def test_the_leader_says_every_fault_of_a_refused_intent_once(journal: Journal, lines: Lines) -> None:
    journal.passed(observed(fence=FENCE), Plan())
    lines.clear()
    for _ in range(2):
        journal.passed(observed(fence=FENCE, cluster=cluster(document=refused(9))), Plan())

    assert told(lines) == [
        ("warning", "intent refused"),
        ("warning", "intent fault"),
        ("warning", "intent fault"),
    ]
    assert lines[1]["fault"] == "line 1, column 1: services: is not a mapping"


def test_a_follower_leaves_the_faults_to_the_leader(journal: Journal, lines: Lines) -> None:
    journal.passed(observed(cluster=cluster(document=refused(9))), Plan())

    assert told(lines) == [("warning", "intent refused")]
    assert lines[0]["first"] == "line 1, column 1: services: is not a mapping"


def test_a_new_accepted_intent_is_said(journal: Journal, lines: Lines) -> None:
    journal.passed(observed(cluster=cluster(accepted=replace(INTENT, revision=8))), Plan())

    assert told(lines) == [("info", "accepted intent")]
    assert lines[0]["revision"] == 8


def test_leadership_is_said_when_it_comes_and_when_it_goes(journal: Journal, lines: Lines) -> None:
    led = observed(fence=FENCE, cluster=cluster(leader="node-a"))
    for seen in (led, led, observed()):
        journal.passed(seen, Plan())

    assert told(lines) == [("info", "leadership gained"), ("info", "leadership lost"), ("info", "leader")]
    assert lines[2]["host"] == "node-b"


def test_while_nobody_leads_each_host_says_once_why_it_does_not(journal: Journal, lines: Lines) -> None:
    nobody = cluster(leader=None)
    undeclared = replace(INTENT, hosts=INTENT.hosts[1:])
    for seen in (nobody, nobody, replace(nobody, accepted=undeclared), cluster()):
        journal.passed(observed(cluster=seen, host=None), Plan())

    assert [(each["host"], each.get("why_ineligible")) for each in lines if each["event"] == "leader"] == [
        ("none", "dockerd does not answer"),
        ("none", "the intent does not declare this host a manager"),
        ("node-b", None),
    ]


def test_who_may_lead_has_no_reason_not_to(journal: Journal, lines: Lines) -> None:
    journal.passed(observed(cluster=cluster(leader=None)), Plan())

    assert not [each for each in lines if "why_ineligible" in each]


def test_a_step_that_ended_is_one_line_with_its_reason_and_duration(journal: Journal, lines: Lines) -> None:
    journal.started(START)
    journal.ended(Outcome(step=START, seconds=0.12345), now=0.0)

    assert told(lines) == [
        ("debug", "start: start container/prod-order-1"),
        ("info", "start container/prod-order-1"),
    ]
    assert lines[1] == {
        "event": "start container/prod-order-1",
        "log_level": "info",
        "reason": "exited with 1",
        "seconds": 0.123,
    }


def test_a_step_that_failed_says_why_how_often_and_when_it_is_tried_again(
    journal: Journal, lines: Lines
) -> None:
    failure = Failure(error="port is already allocated", attempts=3, retry_at=107.5, task="start")
    outcome = Outcome(step=START, seconds=0.5, error="port is already allocated", failure=failure)

    journal.ended(outcome, now=100.0)

    assert told(lines) == [("warning", "failed: start container/prod-order-1")]
    assert (lines[0]["error"], lines[0]["attempts"], lines[0]["again_in_s"]) == (
        "port is already allocated",
        3,
        7.5,
    )


def test_a_step_that_was_stale_is_no_warning(journal: Journal, lines: Lines) -> None:
    journal.ended(Outcome(step=START, seconds=0.1, stale="the node has changed"), now=0.0)

    assert told(lines) == [("info", "replanned: start container/prod-order-1")]
    assert lines[0]["why"] == "the node has changed"


def test_a_fault_of_ours_comes_with_its_traceback(journal: Journal, lines: Lines) -> None:
    fault = ValueError("unforeseen")

    journal.ended(Outcome(step=START, seconds=0.1, error="ValueError: unforeseen", unexpected=fault), now=0.0)

    assert lines[0]["exc_info"] is fault
