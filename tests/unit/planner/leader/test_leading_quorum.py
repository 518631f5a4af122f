"""What the leader reports while the swarm has no quorum."""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.status import HostStatus
from agent.planner.leader.leading import plan_leading
from tests.support.builders import cluster, host, intent, member, observed, status

HOSTS = "h1 h2 h3"
EFFECT = "running containers are not affected; joins, role changes and new networks wait"


def reported(*others: HostStatus, hosts: str = HOSTS, away: tuple[str, ...] = ()) -> list[str]:
    """The quorum faults of h1, which leads and lists no nodes."""
    named = {f"h{number}": each for number, each in enumerate((status("h1"), *others), 1)}
    present = {name: f"run-{name}" for name in named if name not in away}
    found = cluster(intent(hosts=hosts), statuses=named, present=present)
    seen = host(swarm=replace(member(), nodes=None))
    plan = plan_leading(observed(found, seen, leads=True, led_s=60.0))
    return [each.reason for each in plan.blocked if each.kind == "quorum"]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"engine_up": False}, "dockerd does not answer"),
        ({"state": "error"}, "its swarm state is error"),
        ({"is_manager": False}, "its engine is a worker"),
        ({"instance": "an earlier run"}, "its agent is starting"),
    ],
)
def test_a_lost_quorum_names_each_missing_manager_and_why(second: dict[str, Any], why: str) -> None:
    assert reported(status("h2", **second), status("h3"), away=("h3",)) == [
        f"the swarm has no quorum: 1 of 3 managers reachable (h2: {why}, h3: unreachable); {EFFECT}"
    ]


def test_a_stopped_agent_and_one_that_was_never_seen_are_told_apart() -> None:
    named = "h2: its agent was stopped, h3: no agent seen yet"
    assert reported(status("h2", stopped=True), away=("h2",)) == [
        f"the swarm has no quorum: 1 of 3 managers reachable ({named}); {EFFECT}"
    ]


def test_a_worker_is_not_counted() -> None:
    lost = reported(status("h2"), status("h3"), hosts="h1 h2 h3:worker", away=("h2", "h3"))
    assert lost == [f"the swarm has no quorum: 1 of 2 managers reachable (h2: unreachable); {EFFECT}"]


def test_managers_that_all_report_and_elect_no_leader_are_cut_from_each_other() -> None:
    why = "its 3 managers report, but do not elect a raft leader: check the links between them"
    assert reported(status("h2"), status("h3")) == [f"the swarm has no quorum: {why}; {EFFECT}"]
