"""A dockerd that shall become a manager asks where it asked when it joined, until it is restarted."""

from dataclasses import replace
from typing import Any

import pytest

from agent.diff.nodes import note_join, promotion_obstacle
from agent.model.host_state import HostState, NetworkState
from agent.model.status import JoinedReport
from tests.support.builders import SWARM, host, node, outside, status, worker

H1, H2, H3 = node("h1"), node("h2", "worker"), node("h3", "worker")
THROUGH_H1 = JoinedReport(node_id="node-h2", through="10.0.0.1:2377", engine="bridge-1", swarm=SWARM)


def engine(started: str = "bridge-1", through: str | None = None, **more: Any) -> HostState:
    """h2, a worker; `started` is another one whenever dockerd was."""
    bridge = NetworkState(
        id=started, name="bridge", driver="bridge", scope="local", subnet=None, gateway=None
    )
    return host(swarm=replace(worker("h2"), joined_through=through, **more), networks=(bridge,))


# ---- what a host reports


@pytest.mark.parametrize("through", ["10.0.0.1:2377", "", None])
def test_where_the_agent_had_its_engine_join_is_noted_with_the_start_of_dockerd(through: str | None) -> None:
    assert note_join(None, engine(through=through)) == replace(THROUGH_H1, through=through)


def test_what_was_noted_stays_when_the_agent_is_restarted() -> None:
    assert note_join(THROUGH_H1, engine()) == THROUGH_H1
    assert note_join(THROUGH_H1, engine(swarm_id=None)) == THROUGH_H1
    assert note_join(replace(THROUGH_H1, swarm=None), engine()) == THROUGH_H1


@pytest.mark.parametrize("before", [THROUGH_H1, replace(THROUGH_H1, through=None)])
def test_once_dockerd_was_restarted_it_asks_any_manager(before: JoinedReport) -> None:
    anew = note_join(before, engine("bridge-2", through="10.0.0.1:2377"))

    assert anew == JoinedReport(node_id="node-h2", through="", engine="bridge-2", swarm=SWARM)
    assert note_join(anew, engine("bridge-2", through="10.0.0.1:2377")) == anew


def test_another_node_is_another_join() -> None:
    assert note_join(THROUGH_H1, engine("bridge-2", "10.0.0.3:2377", node_id="other")) == JoinedReport(
        node_id="other", through="10.0.0.3:2377", engine="bridge-2", swarm=SWARM
    )


@pytest.mark.parametrize("local", ["pending", "error", "inactive", "locked"])
def test_what_was_noted_is_held_while_the_engine_is_not_active(local: Any) -> None:
    """A dockerd that starts calls itself inactive for a moment."""
    assert note_join(THROUGH_H1, host(swarm=outside(local))) == THROUGH_H1


# ---- what the leader makes of it


def why(joined: JoinedReport | None, *others: Any) -> str:
    return promotion_obstacle(H2, status("h2", joined=joined), (H1, H2, *others))


def test_a_worker_is_promoted_where_it_finds_a_manager_to_ask() -> None:
    assert why(THROUGH_H1) == ""
    assert why(replace(THROUGH_H1, through="")) == ""


@pytest.mark.parametrize("h3", [H3, node("h3", reachable=False)])
def test_a_worker_that_would_ask_where_no_manager_is_waits_for_a_new_start_of_its_dockerd(h3: Any) -> None:
    assert why(replace(THROUGH_H1, through="10.0.0.3:2377"), h3) == (
        "its dockerd would contact 10.0.0.3:2377, where it joined, and no manager has that address; "
        "restart that dockerd first"
    )
    assert why(replace(THROUGH_H1, through=""), h3) == ""


@pytest.mark.parametrize(
    "joined", [None, replace(THROUGH_H1, through=None), replace(THROUGH_H1, node_id="other")]
)
def test_where_it_is_not_known_whom_it_asks_no_node_must_be_down(joined: JoinedReport | None) -> None:
    assert why(joined, H3) == ""
    assert why(joined, replace(H3, state="down")).startswith(
        "its dockerd might contact a manager that is down"
    )


def test_without_any_report_it_is_not_known() -> None:
    assert promotion_obstacle(H2, None, (H1, H2)) == ""


def test_a_node_that_is_down_is_not_promoted() -> None:
    assert promotion_obstacle(replace(H2, state="down"), status("h2"), (H1, H2)) == "its node is down"
