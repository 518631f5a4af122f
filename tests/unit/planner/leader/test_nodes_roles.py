"""Roles: promote before demote, one at a time, never below a quorum."""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.host_state import NodeState
from agent.model.intent import Intent
from agent.model.leader_steps import DemoteNode, PromoteNode
from agent.model.plan import Plan
from agent.model.status import JoinedReport
from agent.planner.leader.nodes import plan_roles
from tests.support.builders import intent, node, status, told
from tests.unit.planner.leader.swarms import nodes_of, seen


def plan(wanted: str | Intent, nodes: str | tuple[NodeState, ...], me: str = "h1", **more: Any) -> Plan:
    look = seen(wanted, nodes, me, **more)
    assert look.cluster.accepted is not None
    assert look.node_owners is not None
    return plan_roles(look.cluster.accepted, look, look.node_owners)


def changed(hosts: str, **changes: dict[str, Any]) -> tuple[NodeState, ...]:
    """The nodes of these hosts, some of them changed: `h2={"state": "down"}`."""
    return tuple(replace(each, **changes.get(each.hostname, {})) for each in nodes_of(hosts))


DOWN: dict[str, Any] = {"state": "down", "reachable": False}


def unreached(managers: int, needs: int, sure: int) -> str:
    """Why no role is changed while h2 cannot be reached."""
    count = f"{managers} managers need a quorum of {needs}, and only {sure} would surely be reachable"
    return f"{count}; no role changes while h2 cannot be reached"


def test_where_every_role_is_as_declared_nothing_is_done() -> None:
    assert told(plan("h1 h2 h3:worker", "h1 h2 h3:worker")) == []


def test_a_worker_that_shall_be_a_manager_is_promoted() -> None:
    assert told(plan("h1 h2", "h1 h2:worker")) == ["promote node/node-h2: h2: manager wanted, worker found"]


def test_a_manager_that_shall_be_a_worker_is_demoted() -> None:
    assert told(plan("h1 h2 h3:worker", "h1 h2 h3")) == [
        "demote node/node-h3: h3: worker wanted, manager found"
    ]


@pytest.mark.parametrize(("wanted", "found"), [("h1 h2", "h1 h2:worker"), ("h1 h2:worker", "h1 h2")])
def test_a_role_is_changed_as_it_was_seen(wanted: str, found: str) -> None:
    nodes = tuple(replace(each, version=number) for number, each in enumerate(nodes_of(found), 7))
    (step,) = plan(wanted, nodes).steps
    assert isinstance(step, PromoteNode | DemoteNode)
    assert step.version == 8


def test_a_manager_is_promoted_before_another_is_demoted() -> None:
    assert told(plan("h1 h2:worker h3", "h1 h2 h3:worker")) == [
        "promote node/node-h3: h3: manager wanted, worker found",
        "blocked node/node-h2: h2: worker wanted, manager found: only 1 of the 2 declared managers would remain",
    ]


def test_roles_change_one_at_a_time() -> None:
    assert told(plan("h1 h2 h3", "h1 h2:worker h3:worker")) == [
        "promote node/node-h2: h2: manager wanted, worker found",
        "waiting node/node-h3: h3: manager wanted, worker found: one role at a time, h2 first",
    ]


def test_the_raft_leader_is_demoted_after_the_other_managers() -> None:
    nodes = changed("h1 h2 h3 h4", h1={"leader": False}, h2={"leader": True})

    assert told(plan("h1 h2:worker h3:worker h4", nodes)) == [
        "demote node/node-h3: h3: worker wanted, manager found",
        "waiting node/node-h2: h2: worker wanted, manager found: one role at a time, h3 first",
    ]


# ---- the next only when the last one is done


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        (changed("h1 h2 h3:worker", h2={"reachable": None}), "h2 is becoming a manager"),
        (changed("h1 h2:worker h3:worker", h2={"reachable": True}), "h2 is becoming a worker"),
    ],
    ids=["a promotion", "a demotion"],
)
def test_while_one_role_is_changing_no_other_is_changed(nodes: tuple[NodeState, ...], why: str) -> None:
    wanted = f"h1 h2:{nodes[1].role} h3"

    assert told(plan(wanted, nodes)) == [f"waiting node/node-h3: h3: manager wanted, worker found: {why}"]


def test_a_node_that_is_turned_back_on_its_way_holds_up_the_others_all_the_same() -> None:
    """A newer document asked for a manager again whose demotion was under way, and h3 was demoted beside it."""
    nodes = changed("h1 h2:worker h3 h4", h2={"reachable": True})

    assert told(plan("h1 h2 h3:worker h4", nodes)) == [
        "promote node/node-h2: h2: manager wanted, worker found",
        "waiting node/node-h3: h3: worker wanted, manager found: h2 is becoming a worker",
    ]


def test_a_change_of_a_node_that_no_host_of_ours_is_waited_for_too() -> None:
    foreign = node("h4", id="somebody-elses-node", reachable=None, labels=())

    assert told(plan("h1 h2", (*nodes_of("h1 h2:worker"), foreign), statuses={"h4": None})) == [
        "waiting node/node-h2: h2: manager wanted, worker found: node somebody-els is becoming a manager"
    ]


def test_a_host_whose_engine_does_not_know_its_new_role_yet_is_waited_for() -> None:
    late = status("h2", is_manager=False)

    assert told(plan("h1 h2 h3", "h1 h2 h3:worker", statuses={"h2": late})) == [
        "waiting node/node-h3: h3: manager wanted, worker found: h2 has not reported yet that it is a manager"
    ]


@pytest.mark.parametrize("why", [{"engine_up": False}, {"instance": "an earlier run"}, {"state": "unknown"}])
def test_a_host_that_cannot_say_what_it_is_holds_nobody_up(why: dict[str, Any]) -> None:
    silent = status("h2", is_manager=False, **why)

    assert told(plan("h1 h2 h3", "h1 h2 h3:worker", statuses={"h2": silent})) == [
        "promote node/node-h3: h3: manager wanted, worker found"
    ]


def test_while_a_step_on_a_node_is_under_way_nothing_more_is_planned() -> None:
    assert told(plan("h1 h2", "h1 h2:worker", in_flight=frozenset({"node/node-h9"}))) == [
        "waiting node/node-h2: h2: manager wanted, worker found: another node is being updated"
    ]


@pytest.mark.parametrize("state", ["ready", "down"])
def test_a_promotion_that_is_not_wanted_any_more_is_taken_back_only_when_it_is_done(state: str) -> None:
    """Docker refuses it before."""
    nodes = changed("h1 h2", h2={"reachable": None, "state": state})

    (held,) = told(plan("h1 h2:worker", nodes))
    assert held.startswith(
        "waiting node/node-h2: h2: worker wanted, manager found: its promotion has not completed"
    )


def test_a_manager_to_be_that_is_down_before_it_was_one_holds_nobody_up() -> None:
    nodes = changed("h1 h2 h3:worker", h2={"reachable": None, "state": "down"})

    assert told(plan("h1 h2 h3", nodes)) == ["promote node/node-h3: h3: manager wanted, worker found"]


# ---- quorum


def test_the_last_manager_is_never_demoted() -> None:
    wanted = intent(hosts="h1:worker h2")

    assert told(plan(wanted, changed("h1 h2:worker", h2={"state": "down"}))) == [
        "blocked node/node-h2: h2: manager wanted, worker found: its node is down",
        "blocked node/node-h1: h1: worker wanted, manager found: it is the only manager",
    ]


def test_while_a_manager_cannot_be_reached_no_other_loses_its_vote_and_the_arithmetic_is_told() -> None:
    assert told(plan("h1 h2 h3:worker h4 h5", changed("h1 h2 h3 h4 h5", h2=DOWN))) == [
        f"blocked node/node-h3: h3: worker wanted, manager found: {unreached(4, needs=3, sure=3)}"
    ]
    assert told(plan("h1 h2 h3:worker", changed("h1 h2 h3", h2=DOWN))) == [
        f"blocked node/node-h3: h3: worker wanted, manager found: {unreached(2, needs=2, sure=1)}"
    ]


def test_while_a_manager_cannot_be_reached_none_is_added_as_it_would_count_before_it_answers() -> None:
    assert told(plan("h1 h2 h3 h4", changed("h1 h2 h3 h4:worker", h2=DOWN))) == [
        f"blocked node/node-h4: h4: manager wanted, worker found: {unreached(4, needs=3, sure=2)}"
    ]


def test_a_manager_that_cannot_be_reached_may_go_and_goes_first() -> None:
    nodes = changed("h1 h2 h3 h4:worker", h2=DOWN)

    assert told(plan("h1 h2:worker h3 h4", nodes)) == [
        "demote node/node-h2: h2: worker wanted, manager found",
        f"blocked node/node-h4: h4: manager wanted, worker found: {unreached(4, needs=3, sure=2)}",
    ]


def test_a_demotion_waits_for_the_managers_that_the_intent_declares() -> None:
    """h4 is new, and not in the swarm yet."""
    assert told(plan("h1 h2 h3:worker h4", "h1 h2 h3")) == [
        "blocked node/node-h3: h3: worker wanted, manager found: only 2 of the 3 declared managers would remain"
    ]


def test_who_leads_is_never_demoted_by_itself() -> None:
    assert told(plan("h1:worker h2", "h1 h2")) == [
        "waiting node/node-h1: h1: worker wanted, manager found: another declared manager must become the leader first"
    ]


def test_a_node_that_no_host_of_ours_is_keeps_its_role() -> None:
    foreign = node("h4", id="somebody-elses-node", labels=())

    assert told(plan("h1 h2", (*nodes_of("h1 h2"), foreign), statuses={"h4": None})) == []


# ---- a promotion that would fail, or has


IN_VAIN = (
    "its dockerd would contact gone:1, where it joined, and no manager has that address; "
    "restart that dockerd first"
)


def test_a_worker_whose_dockerd_would_ask_in_vain_is_not_promoted_and_holds_nobody_up() -> None:
    stuck = status(
        "h2", is_manager=False, joined=JoinedReport(node_id="node-h2", through="gone:1", engine="e")
    )

    assert told(plan("h1 h2 h3", "h1 h2:worker h3:worker", statuses={"h2": stuck})) == [
        "promote node/node-h3: h3: manager wanted, worker found",
        f"blocked node/node-h2: h2: manager wanted, worker found: {IN_VAIN}",
    ]


@pytest.mark.parametrize("state", ["ready", "down"])
def test_a_promotion_that_failed_is_not_taken_back_as_docker_refuses_that(state: str) -> None:
    failed = status("h2", state="error", node_id=None, is_manager=False)
    nodes = changed("h1 h2", h2={"reachable": None, "state": state})

    assert told(plan("h1 h2", nodes, statuses={"h2": failed})) == []


def test_a_manager_whose_engine_cannot_resume_it_is_demoted_once_its_node_is_down() -> None:
    failed = status("h2", state="error", node_id=None, is_manager=False)

    assert told(plan("h1 h2 h3", "h1 h2 h3", statuses={"h2": failed})) == []
    for removed, wanted in (("", "h1 h2 h3"), ("h2", "h1 h3")):
        down = changed("h1 h2 h3", h2=DOWN)
        assert told(plan(wanted, down, statuses={"h2": failed}, removed=removed)) == [
            "demote node/node-h2: h2: its engine cannot resume this manager"
        ]
        away = plan(wanted, down, statuses={"h2": failed}, away=("h2",))
        assert "cannot resume" not in str(away)


# ---- hosts that were taken out


def test_a_host_that_was_taken_out_of_the_intent_is_demoted() -> None:
    assert told(plan("h1 h2", "h1 h2 h3", removed="h3")) == [
        "demote node/node-h3: h3 is no longer in the intent"
    ]


def test_a_removal_that_would_leave_too_few_managers_waits_and_says_why() -> None:
    assert told(plan("h1 h2", changed("h1 h2 h3", h2=DOWN), removed="h3")) == [
        f"blocked node/node-h3: h3 is no longer in the intent: {unreached(2, needs=2, sure=1)}"
    ]


def test_a_host_that_the_intent_never_named_keeps_its_role() -> None:
    assert told(plan("h1 h2", "h1 h2 h3")) == []


# ---- ghosts


def test_a_dead_manager_whose_host_is_another_node_now_is_demoted_before_anything_else() -> None:
    ghost = node("h2", id="ghost-of-h2", **DOWN)

    assert told(plan("h1 h2 h3", (*nodes_of("h1 h2 h3:worker"), ghost), statuses={"h2": status("h2")})) == [
        "demote node/ghost-of-h2: h2 is node node-h2 now, and this one is down",
        f"blocked node/node-h3: h3: manager wanted, worker found: {unreached(4, needs=3, sure=2)}",
    ]
