"""Ages, durations, and which report is current."""

from dataclasses import replace
from typing import Literal, get_args

import pytest

from agent.conditions import conditions_of
from agent.conditions.reports import REASONS, Reports, duration, seconds_since, short_key
from agent.model.plan import BlockedKind
from agent.model.status import JoinedReport
from tests.support.cluster_states import HEALTHY, KEYS, NOW, NOW_S, A, B, absent, listed, on


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 m"),
        (360, "6 m"),
        (3_600, "60 m"),
        (7_200, "2 h"),
        (86_400, "24 h"),
        (172_800, "2 d"),
    ],
)
def test_a_duration_has_its_largest_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_time_in_the_future_is_now_and_no_time_is_none() -> None:
    assert seconds_since("2099-01-01T00:00:00Z", NOW_S) == 0
    assert seconds_since("never", NOW_S) is None


@pytest.mark.parametrize("at", ["2026-11-29T12:09:00Z", "2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z"])
def test_a_report_of_any_age_is_current_while_its_agent_is_present(at: str) -> None:
    assert Reports(on(HEALTHY, B, at=at), NOW_S).current(B) is not None


def test_a_report_is_not_current_while_its_agent_cannot_report() -> None:
    state = replace(HEALTHY, unreported={B: "2026-11-29T12:04:00Z"})
    found = Reports(state, NOW_S).why_unknown(B)
    assert found is not None
    assert (found.reason, found.since) == ("ReportOld", "2026-11-29T12:04:00Z")
    assert found.text.startswith("its agent runs and has not reported for 6 m")


@pytest.mark.parametrize(("at", "current"), [("2026-11-29T12:00:00Z", True), ("2026-11-29T11:59:59Z", False)])
def test_a_report_of_an_agent_of_format_1_is_current_for_ten_minutes(at: str, current: bool) -> None:
    assert (Reports(on(HEALTHY, B, at=at, refreshed=True), NOW_S).current(B) is not None) == current


@pytest.mark.parametrize(
    ("joined", "listed_at", "reason"),
    [
        ("2026-11-29T12:09:30Z", "2026-11-29T12:09:00Z", "Joining"),
        ("2026-11-29T12:09:30Z", "2026-11-29T12:09:40Z", "NotInSwarm"),
        ("2026-11-29T12:08:30Z", "2026-11-29T12:08:00Z", "NotInSwarm"),
        ("", "2026-11-29T12:08:00Z", "NotInSwarm"),
    ],
)
def test_only_a_host_that_joined_just_now_need_not_be_listed_whatever_else_it_reports(
    joined: str, listed_at: str, reason: str
) -> None:
    join = JoinedReport(node_id="id-node-232", through="", engine="e", at=joined)
    state = on(HEALTHY, B, joined=join, at="2026-11-29T12:09:59Z")
    others = tuple(each for each in state.statuses[A].nodes or () if each.hostname != B)
    state = on(state, A, nodes=others, at=listed_at)

    (found,) = (each for each in conditions_of(state, now_s=NOW_S).hosts if each.condition.name == B)
    assert found.condition.reason == reason


@pytest.mark.parametrize(
    ("joined", "listed_as", "reason"),
    [
        ("2026-11-29T12:09:30Z", "unknown", "Joining"),
        ("2026-11-29T12:09:30Z", "down", "NodeDown"),
        ("2026-11-29T12:08:30Z", "unknown", "NodeDown"),
        ("", "unknown", "NodeDown"),
    ],
)
def test_a_host_that_joined_just_now_may_be_unknown_to_the_managers(
    joined: str, listed_as: Literal["unknown", "down"], reason: str
) -> None:
    join = JoinedReport(node_id="id-node-232", through="", engine="e", at=joined)
    state = listed(on(HEALTHY, B, joined=join), B, state=listed_as)

    (found,) = (each for each in conditions_of(state, now_s=NOW_S).hosts if each.condition.name == B)
    assert found.condition.reason == reason
    assert ("check the ports" in found.condition.text) == (reason == "NodeDown")


def test_a_bridge_that_nothing_changes_is_not_called_so() -> None:
    unseen = replace(HEALTHY.statuses[B].bridge, phase="")

    (found,) = (
        each
        for each in conditions_of(on(HEALTHY, B, bridge=unseen), now_s=NOW_S).hosts
        if each.condition.name == B
    )
    assert (found.condition.state, found.condition.reason) == ("Progressing", "Steps")
    assert found.condition.text == "has not compared docker_gwbridge with the document yet"


def test_a_host_could_report_until_now_or_until_it_could_not() -> None:
    at = "2026-11-28T00:00:00Z"
    state = on(HEALTHY, B, at=at)
    assert {each.reported_at for each in conditions_of(state, now_s=NOW_S).hosts} == {NOW}
    silent = replace(state, unreported={B: "2026-11-29T12:04:00Z"})
    assert Reports(silent, NOW_S).reported_at(B) == "2026-11-29T12:04:00Z"
    gone = absent(state, B, since="2026-11-29T12:05:00Z")
    assert Reports(gone, NOW_S).reported_at(B) == "2026-11-29T12:05:00Z"
    assert Reports(replace(gone, leader=None), NOW_S).reported_at(B) == at
    assert Reports(state, NOW_S).reported_at("never seen") == ""


def test_a_host_is_unreachable_since_the_leader_has_missed_it() -> None:
    found = Reports(absent(HEALTHY, B), NOW_S).why_unknown(B)
    assert found is not None
    assert (found.since, found.text[:19]) == ("2026-11-29T12:04:00Z", "unreachable for 6 m")


def test_without_a_leader_only_the_age_of_the_last_report_is_known() -> None:
    state = replace(absent(HEALTHY, B), leader=None)
    found = Reports(state, NOW_S).why_unknown(B)
    assert found is not None
    assert found.since == ""
    assert found.text.startswith("unreachable; its last report changed 1 m ago")


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (absent(HEALTHY, B), "its node is ready in the swarm"),
        (listed(absent(HEALTHY, B), B, state="down"), "its node is down in the swarm, too"),
        (on(replace(absent(HEALTHY, B), present={}), A), "no manager lists its node"),
    ],
)
def test_the_managers_tell_a_stopped_agent_from_a_host_that_is_off(state, text: str) -> None:  # type: ignore[no-untyped-def]
    found = Reports(state, NOW_S).why_unknown(B)
    assert found is not None
    assert text in found.text


def test_the_leader_is_asked_for_the_nodes_first() -> None:
    listed_by_a = on(HEALTHY, A, nodes=HEALTHY.statuses[A].nodes[:2])  # type: ignore[index]
    assert Reports(listed_by_a, NOW_S).lister is listed_by_a.statuses[A]
    assert Reports(on(HEALTHY, A, nodes=None), NOW_S).lister is HEALTHY.statuses[B]
    assert Reports(on(HEALTHY, A, swarm_id="another"), NOW_S).lister is HEALTHY.statuses[B]


def test_a_key_is_named_without_the_prefix_of_its_cluster() -> None:
    assert short_key(KEYS.status(B)) == f"hosts/{B}/status"
    assert short_key("tokens") == "tokens"


def test_every_kind_of_a_blocked_resource_has_a_reason() -> None:
    assert set(REASONS) == set(get_args(BlockedKind))
