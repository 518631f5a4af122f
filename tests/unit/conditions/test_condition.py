"""docs/conditions.md against the types: every reason is explained once, with the states it occurs in."""

import re
from pathlib import Path
from typing import get_args

import pytest

from agent.conditions import conditions_of
from agent.conditions.finding import READY, Finding, Reason, State, severest
from tests.support.cluster_states import NOW_S, STATES
from tests.unit.conditions.test_cluster import every

PAGE = Path(__file__).parents[3] / "docs" / "conditions.md"
ROWS = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
STATES_OF = {reason: set(states.split(", ")) for reason, states, *_ in ROWS}


def test_the_page_explains_every_reason_once_in_the_order_of_the_type() -> None:
    assert tuple(reason for reason, *_ in ROWS) == get_args(Reason)


def test_the_page_explains_every_state() -> None:
    states = re.findall(r"^\| (\w+) \| ", PAGE.read_text(), re.MULTILINE)
    assert set(get_args(State)) <= set(states)


@pytest.mark.parametrize("name", sorted(STATES))
def test_a_reason_occurs_only_in_the_states_that_the_page_names(name: str) -> None:
    state = STATES[name]
    for each in every(conditions_of(state.cluster, now_s=NOW_S, store_error=state.store_error)):
        allowed = STATES_OF[each.reason] | ({"Unknown"} if each.cause else set())
        assert each.state in allowed, f"{each.key}: {each.state}/{each.reason}"


def test_every_reason_occurs_in_a_named_state() -> None:
    found = {
        each.reason
        for state in STATES.values()
        for each in every(conditions_of(state.cluster, now_s=NOW_S, store_error=state.store_error))
    }
    assert set(get_args(Reason)) == found


def test_of_a_resource_with_several_obstacles_the_text_names_all_that_need_the_operator() -> None:
    bridge = Finding("Blocked", "Foreign", "on a: remove it")
    volume = Finding("Blocked", "Unsupported", "on b: put the label back")
    retried = Finding("Degraded", "Error", "will retry")
    follows = Finding("Blocked", "Paused", "mode", cause="document/")

    assert severest((retried, bridge, volume, follows, bridge)) == bridge._replace(
        text="on a: remove it; on b: put the label back"
    )
    assert severest((retried, follows, bridge)) == follows
    assert severest((READY, retried)) == retried
    assert severest(()) == READY
