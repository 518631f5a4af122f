"""Nodes: whose they are, availability, labels, and the records of those that are gone."""

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from agent.diff.nodes import HOST_LABEL
from agent.model.host_state import NodeState
from agent.model.intent import HostIntent, Intent
from agent.model.leader_steps import UpdateNode
from agent.model.plan import Plan
from agent.planner.leader.nodes import LABELS_LABEL, plan_nodes
from tests.support.builders import intent, node, observed, status, told
from tests.unit.planner.leader.swarms import nodes_of, seen

ARE_H1_H2 = nodes_of("h1 h2")
DOWN: dict[str, Any] = {"state": "down", "reachable": None, "role": "worker"}


def plan(wanted: str | Intent, nodes: str | tuple[NodeState, ...], **more: Any) -> Plan:
    look = seen(wanted, nodes, **more)
    assert look.cluster.accepted is not None
    assert look.node_owners is not None
    return plan_nodes(look.cluster.accepted, look)


def declared(**more: Any) -> Intent:
    """h1, and h2 with more said of it."""
    h2 = HostIntent(name="h2", address=IPv4Address("10.0.0.2"), role="manager", **more)
    return replace(intent(hosts="h1"), hosts=(intent(hosts="h1").hosts[0], h2))


def h2_is(**more: Any) -> tuple[NodeState, ...]:
    """h1, and h2 changed."""
    return (ARE_H1_H2[0], replace(ARE_H1_H2[1], **more))


def labelled(**labels: str) -> tuple[tuple[str, str], ...]:
    """Labels of h2's node, besides whose it is."""
    return tuple(sorted({HOST_LABEL: "h2", **labels}.items()))


# ---- availability and labels


def test_nodes_that_are_as_declared_are_left_alone() -> None:
    assert told(plan("h1 h2", "h1 h2")) == []


@pytest.mark.parametrize(("wanted", "found"), [("drain", "active"), ("pause", "active"), ("active", "drain")])
def test_the_availability_is_held(wanted: Any, found: Any) -> None:
    (step,) = plan(declared(availability=wanted), h2_is(availability=found)).steps

    assert str(step) == f"update node/node-h2: h2: availability: {wanted} wanted, {found} found"
    assert isinstance(step, UpdateNode)
    assert (step.availability, step.labels, step.without) == (wanted, (), ())


def test_a_node_is_changed_as_it_was_seen() -> None:
    (step,) = plan(declared(availability="drain"), h2_is(version=7)).steps

    assert isinstance(step, UpdateNode)
    assert step.version == 7


def test_the_labels_of_the_intent_are_set_and_noted_as_such() -> None:
    (step,) = plan(declared(labels=(("rack", "a"), ("zone", "b"))), "h1 h2").steps

    assert isinstance(step, UpdateNode)
    assert step.labels == ((LABELS_LABEL, "rack zone"), ("rack", "a"), ("zone", "b"))
    assert (step.availability, step.without) == (None, ())


def test_a_label_that_was_changed_or_taken_away_by_hand_is_put_right() -> None:
    wanted = declared(labels=(("rack", "a"), ("zone", "b")))
    by_hand = h2_is(labels=labelled(**{"rack": "z", LABELS_LABEL: "rack zone"}))

    assert told(plan(wanted, by_hand)) == [
        "update node/node-h2: h2: label rack: a wanted, z found; label zone: b wanted, nothing found"
    ]


def test_labels_of_others_stay() -> None:
    assert told(plan("h1 h2", h2_is(labels=labelled(theirs="x")))) == []


def test_a_label_that_the_intent_does_not_name_any_more_goes_if_the_intent_set_it() -> None:
    wanted = declared(labels=(("rack", "a"),))
    found = h2_is(labels=labelled(**{"rack": "a", "zone": "b", "theirs": "x", LABELS_LABEL: "rack zone"}))
    (step,) = plan(wanted, found).steps

    assert isinstance(step, UpdateNode)
    assert (step.labels, step.without) == (((LABELS_LABEL, "rack"),), ("zone",))


def test_with_the_last_label_of_the_intent_the_note_goes_too() -> None:
    (step,) = plan("h1 h2", h2_is(labels=labelled(**{"rack": "a", LABELS_LABEL: "rack"}))).steps

    assert isinstance(step, UpdateNode)
    assert (step.labels, step.without) == ((), ("rack", LABELS_LABEL))


def test_whose_a_node_is_is_noted_on_it() -> None:
    assert told(plan("h1 h2", h2_is(labels=()))) == [
        "update node/node-h2: h2: its agent reports this node id"
    ]


def test_whose_a_node_is_is_not_noted_by_an_old_report() -> None:
    assert (
        told(plan("h1 h2", h2_is(labels=()), statuses={"h2": status("h2", instance="an earlier run")})) == []
    )


def test_availability_is_held_also_while_the_agent_of_the_host_is_away() -> None:
    assert told(plan(declared(availability="drain"), "h1 h2", away=("h2",))) == [
        "update node/node-h2: h2: availability: drain wanted, active found"
    ]


def test_a_node_that_two_hosts_say_they_are_is_left_alone_and_named() -> None:
    clone = status("h3", node_id="node-h2")

    assert told(plan("h1 h2:worker h3", "h1 h2", statuses={"h3": clone})) == [
        (
            "blocked node/node-h2: h2 and h3 both report this node id: the leader changes nothing on the node. "
            "On the clone: `systemctl stop docker`, remove /var/lib/docker/swarm, and start docker"
        )
    ]


def test_a_host_that_was_given_another_name_leaves_an_old_report_that_counts_for_nothing() -> None:
    """h3 is h2 under a new name; h2 was taken out of the intent."""
    renamed = {"h2": status("h2"), "h3": status("h3", node_id="node-h2")}
    plan_ = plan("h1 h3", "h1 h2", statuses=renamed, removed="h2", away=("h2",))

    assert told(plan_) == ["update node/node-h2: h3: its agent reports this node id"]


def test_a_removed_host_is_drained_and_demoted() -> None:
    assert told(plan("h1", "h1 h2", removed="h2")) == [
        "update node/node-h2: h2: availability: drain wanted, active found",
        "demote node/node-h2: h2 is no longer in the intent",
    ]


# ---- ghosts


def ghost(**more: Any) -> NodeState:
    """What h2 was before it was wiped."""
    return node("h2", id="ghost-of-h2", **{**DOWN, **more})


def with_ghost(left: NodeState, **more: Any) -> list[str]:
    """The plan when `left` is there besides h1 and h2, and h2 says that it is its own node."""
    return told(plan("h1 h2", (*ARE_H1_H2, left), **{"statuses": {"h2": status("h2")}, **more}))


GOES = ["remove node/ghost-of-h2: h2 is node node-h2 now, and this one is down"]


def test_the_record_of_a_node_that_its_host_was_before_is_removed() -> None:
    assert with_ghost(ghost()) == GOES


@pytest.mark.parametrize("state", ["ready", "unknown", "disconnected"])
def test_only_a_node_that_is_down_is_removed(state: str) -> None:
    assert with_ghost(ghost(state=state)) == []


def test_a_dead_manager_is_demoted_first_and_then_removed() -> None:
    assert with_ghost(ghost(role="manager", reachable=False)) == [
        "demote node/ghost-of-h2: h2 is node node-h2 now, and this one is down"
    ]
    assert with_ghost(ghost(role="worker", reachable=False)) == []
    assert with_ghost(ghost(role="worker", reachable=None)) == GOES


def test_a_manager_that_never_was_in_the_raft_is_removed_as_it_is() -> None:
    """Docker refuses to demote it."""
    assert with_ghost(ghost(role="manager", reachable=None)) == GOES


def test_a_node_without_the_note_is_known_by_its_address() -> None:
    assert with_ghost(ghost(labels=())) == GOES
    assert with_ghost(ghost(labels=(), address="192.0.2.9")) == []


def test_the_note_counts_more_than_the_address() -> None:
    assert with_ghost(ghost(address="192.0.2.9")) == GOES
    assert with_ghost(ghost(labels=((HOST_LABEL, "somebody-else"),))) == []


def test_a_hostname_counts_only_for_a_node_that_has_lost_its_address() -> None:
    assert with_ghost(ghost(labels=(), address="0.0.0.0")) == GOES
    assert with_ghost(ghost(labels=(), address="0.0.0.0", hostname="another")) == []


@pytest.mark.parametrize(
    "said",
    [
        status("h2", state="inactive", node_id=None),
        status("h2", node_id="node-elsewhere"),
        status("h2", node_id="ghost-of-h2"),
        status("h2", instance="an earlier run"),
        None,
    ],
    ids=[
        "wiped, not back yet",
        "in another swarm",
        "it is still this one",
        "not since it started",
        "nothing",
    ],
)
def test_what_a_node_was_whose_host_does_not_say_that_it_is_another_stays(said: Any) -> None:
    steps = plan("h1 h2", (*ARE_H1_H2, ghost()), statuses={"h2": said}).steps

    assert steps == ()


def test_a_declared_host_that_is_dead_keeps_its_node() -> None:
    assert told(plan("h1 h2:worker", h2_is(**DOWN), away=("h2",))) == []


# ---- the record of a host that was taken out


LEFT = status("h2", state="inactive", node_id=None, is_manager=False)
DRAINED = replace(ARE_H1_H2[1], availability="drain", role="worker", reachable=None)


def taken_out(left: NodeState, **more: Any) -> list[str]:
    return told(plan("h1", (ARE_H1_H2[0], left), removed="h2", **more))


def test_it_goes_once_the_host_has_left_and_the_node_is_down() -> None:
    assert taken_out(replace(DRAINED, state="down"), statuses={"h2": LEFT}) == [
        "remove node/node-h2: h2 is no longer in the intent, and this one is down"
    ]
    assert taken_out(DRAINED, statuses={"h2": LEFT}) == []


def test_it_goes_when_the_host_is_dead_and_its_agent_too() -> None:
    assert taken_out(replace(DRAINED, state="down"), away=("h2",)) == [
        "remove node/node-h2: h2 is no longer in the intent, and this one is down"
    ]


def test_it_stays_while_the_agent_of_the_host_is_there_and_has_not_left() -> None:
    assert taken_out(replace(DRAINED, state="down")) == []


def test_a_dead_manager_that_was_taken_out_is_demoted_and_then_removed() -> None:
    dead = replace(ARE_H1_H2[1], state="down", reachable=False)
    third = node("h3")
    plan_ = plan("h1 h3", (ARE_H1_H2[0], dead, third), removed="h2", away=("h2",))

    assert told(plan_) == ["demote node/node-h2: h2 is no longer in the intent, and this one is down"]


def test_nothing_is_done_to_a_swarm_that_is_not_the_recorded_one_or_does_not_answer() -> None:
    look = seen("h1 h2", "h1 h2:worker")
    elsewhere = replace(look.host.swarm, swarm_id="swarm-of-others")
    silent = replace(look.host.swarm, nodes=None)

    for swarm in (elsewhere, silent):
        assert replace(look, host=replace(look.host, swarm=swarm)).node_owners is None
    assert observed(look.cluster, None, leads=True).node_owners is None
    assert replace(look, cluster=replace(look.cluster, record=None)).node_owners is None
