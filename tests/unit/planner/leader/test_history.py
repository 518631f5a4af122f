"""What a leader adds to the history of documents, by the names of what is there."""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.faults import Fault
from agent.model.history import MOST_DOCUMENTS, Note
from agent.model.leader_steps import PublishRollout, RecordHistory
from agent.model.observed import Document
from agent.model.plan import Plan, blocked_plan, waiting_plan
from agent.model.records import Rollout, Verdict
from agent.model.store import Fence
from agent.planner.leader.history import plan_history
from tests.support.builders import Seen, cluster, document, host, intent, observed, service, status

INTENT = intent(service("order"))
ACCEPTED = Verdict(revision=7, accepted=True, accepted_revision=7)
NOTE = Note(author="anna", message="more")
NOTHING = Plan()
FENCE = Fence(key="leader", create_revision=1)
PRESENT = {"h1": "run-h1"}
ROLLOUT = Rollout(before="a", to="b", why="order-1: it exited with 1")


def seen(*history: str, **more: Any) -> Seen:
    """A leader that reads a document with its verdict, and these names below `history/`."""
    done = {"h1": status("h1", revision=7, epoch=0)}
    state = {
        "document": document(INTENT),
        "verdict": ACCEPTED,
        "statuses": done,
        "note": NOTE,
        "present": PRESENT,
        **more,
    }
    found = cluster(INTENT, **{**state, "history": frozenset(history)})
    return replace(observed(found, host()), fence=FENCE)


def step(of: Seen, accepted: Plan = NOTHING) -> RecordHistory | None:
    steps = plan_history(of, accepted).steps
    assert len(steps) <= 1
    found = steps[0] if steps else None
    assert found is None or isinstance(found, RecordHistory)
    return found


def outcome(of: Seen, accepted: Plan = NOTHING) -> tuple[str, str] | None:
    found = step(of, accepted)
    return found.outcome if found else None


def test_a_document_with_its_verdict_gets_one_entry_with_text_and_note() -> None:
    found = step(seen())
    assert found is not None
    assert (found.verdict, found.text, found.note, found.outcome) == (ACCEPTED, "text", NOTE, None)


def test_an_accepted_document_that_a_refused_one_replaced_at_once_gets_one_too() -> None:
    refused = Verdict(revision=9, accepted=False, accepted_revision=7, errors=("no",))
    newer = replace(document(INTENT), revision=9, intent=None, text="bad")
    found = step(seen("9", document=newer, verdict=refused, accepted_text="good"))
    assert found is not None
    assert (found.verdict, found.text, found.note) == (ACCEPTED, "good", None)


def test_it_gets_no_second_one() -> None:
    assert step(seen("7", "7/carried-out")) is None


@pytest.mark.parametrize("verdict", [None, replace(ACCEPTED, revision=6)])
def test_a_document_without_its_verdict_gets_none(verdict: Verdict | None) -> None:
    assert step(seen(verdict=verdict)) is None


def test_a_refused_document_gets_one_and_the_accepted_one_its_outcome() -> None:
    fault = Fault(kind="yaml", problem="no", remedy="yes", line=1, column=1)
    newer = Document(revision=9, intent=None, faults=(fault,), text="bad")
    refused = Verdict(revision=9, accepted=False, accepted_revision=7, errors=("no",))
    found = step(seen("7", document=newer, verdict=refused))
    assert found is not None
    assert (found.verdict, found.text, found.revision) == (refused, "bad", 7)
    assert found.outcome == ("carried-out", "")


def test_a_dry_run_keeps_no_history() -> None:
    assert step(replace(seen(), fence=Fence(key="leader", create_revision=0))) is None


@pytest.mark.parametrize("report", [{"revision": 6, "epoch": 0}, {"revision": 7, "epoch": 1}])
def test_a_document_is_carried_out_once_every_host_reports_its_revision_and_epoch(report: Any) -> None:
    assert outcome(seen("7")) == ("carried-out", "")
    assert outcome(seen("7", statuses={"h1": status("h1", **report)})) is None
    assert outcome(seen("7", statuses={})) is None
    assert outcome(seen("7", present={})) is None  # its report counts for a document that asks the same


WHY = "placement/order", "no host can run it"


@pytest.mark.parametrize("plan", [blocked_plan(WHY[0], "placement", WHY[1]), waiting_plan(*WHY)])
def test_a_document_is_not_carried_out_while_something_of_it_is_blocked_or_waits(plan: Plan) -> None:
    assert outcome(seen("7"), plan) is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("moving", None),
        ("rolling-back", None),
        ("paused", "paused"),
        ("rollback-paused", "paused"),
        ("rolled-back", "rolled-back"),
    ],
)
def test_a_rollout_tells_what_became_of_a_document(state: Any, expected: str | None) -> None:
    held = outcome(seen("7", rollouts={"order": replace(ROLLOUT, state=state)}))
    assert held == (expected and (expected, "order: order-1: it exited with 1"))


def test_a_paused_document_that_goes_on_is_carried_out_later_and_both_stay() -> None:
    paused = {"order": replace(ROLLOUT, state="paused")}
    assert outcome(seen("7", "7/paused", rollouts=paused)) is None
    assert outcome(seen("7", "7/paused")) == ("carried-out", "")
    assert outcome(seen("7", "7/paused", "7/carried-out", rollouts=paused)) is None


def test_a_rollout_that_is_about_to_change_tells_nothing() -> None:
    """It may be that of the document before."""
    paused = {"order": replace(ROLLOUT, state="paused")}
    planned = Plan((PublishRollout(service="order", rollout=ROLLOUT, reason="r"),))
    assert outcome(seen("7", rollouts=paused), planned) is None
    in_flight = frozenset({"assignment/h1"})
    assert outcome(replace(seen("7", rollouts=paused), in_flight=in_flight)) is None


@pytest.mark.parametrize("mode", ["observe", "paused"])
def test_a_document_that_nobody_carries_out_has_no_outcome(mode: Any) -> None:
    wanted = replace(INTENT, policy=replace(INTENT.policy, mode=mode))
    found = seen("7")
    assert found.cluster is not None
    assert outcome(replace(found, cluster=replace(found.cluster, accepted=wanted))) is None


def test_the_oldest_document_goes_with_its_outcomes_and_so_does_what_no_leader_wrote() -> None:
    wanted, verdict = replace(INTENT, revision=700), replace(ACCEPTED, revision=700, accepted_revision=700)
    names = [str(each) for each in range(100, 100 + MOST_DOCUMENTS)]
    found = step(seen(*names, "100/paused", "1000", "x/y", document=document(wanted), verdict=verdict))
    assert found is not None
    assert sorted(found.gone) == ["100", "100/paused", "1000", "x/y"]
    assert found.verdict == verdict
