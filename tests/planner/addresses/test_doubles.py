"""Two copies with one address: the leader sees it, and says what cures it."""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.observed import ClusterState
from agent.model.records import CopyReport
from agent.model.steps import Blocked
from agent.planner.addresses.doubles import plan_doubles
from tests.planner.builders import cluster, intent, record, service, status, told

ADDRESS = ("my-overlay", "10.10.0.1")
ONE = CopyReport(
    service="order", number=1, spec="s", id="1", name="prod-order-1", status="running", addresses=(ADDRESS,)
)
TWO = replace(ONE, number=2, id="2", name="prod-order-2")


def said(**of_h2: Any) -> ClusterState:
    """What the leader sees of a copy on h1 and another one on h2."""
    two, more = replace(TWO, **of_h2.pop("copy", {})), of_h2
    return cluster(
        intent(service()),
        record=record(networks=("my-overlay",)),
        statuses={"h1": status("h1", copies=(ONE,)), "h2": status("h2", copies=(two,), **more)},
        present={"h1": "run-h1", "h2": "run-h2"},
    )


def test_the_second_of_two_copies_with_one_address_is_told() -> None:
    (line,) = told(plan_doubles(said()))

    assert line.startswith(
        "blocked container/prod-order-2: on h2 it has 10.10.0.1 of my-overlay, as prod-order-1 on h1 has: "
    )


@pytest.mark.parametrize(
    "more",
    [
        {"copy": {"addresses": (("my-overlay", "10.10.0.2"),)}},
        {"copy": {"addresses": (("a bridge", "10.10.0.1"),)}},
        {"copy": {"status": "exited"}},
        {"engine_up": False},
        {"instance": "an earlier run"},
    ],
    ids=["another", "a network of its host", "it does not run", "its dockerd is away", "its agent is away"],
)
def test_nothing_is_told_of_what_is_not_the_same_or_not_known_to_be_now(more: dict[str, Any]) -> None:
    assert plan_doubles(said(**more)).blocked == tuple[Blocked, ...]()
