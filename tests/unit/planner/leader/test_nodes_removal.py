"""A host that the intent does not name any more, until nothing of it is left."""

from dataclasses import replace
from typing import Any

from agent.model.host_state import NodeState
from agent.model.records import Assignment, Replica
from agent.model.status import BridgeReport, ReplicaReport
from agent.planner.leader.nodes import plan_removals
from tests.support.builders import REVISION, intent, status, told
from tests.unit.planner.leader.swarms import nodes_of, seen

H1, H2 = nodes_of("h1 h2:worker")
LEFT = status(
    "h2", state="inactive", node_id=None, is_manager=False, bridge=BridgeReport(phase="", revision=REVISION)
)
REPLICA = ReplicaReport(service="order", slot=1, spec="x", id="i", name="prod-order-1", status="running")


def plan(*nodes: NodeState, known: bool = True, **more: Any) -> list[str]:
    """h2 was taken out; the swarm has these nodes besides that of h1."""
    look, wanted = seen("h1", (H1, *nodes), **{"removed": "h2", **more}), intent(hosts="h1")
    if not known:
        look = replace(look, host=replace(look.host, swarm=replace(look.host.swarm, nodes=None)))
    return told(plan_removals(wanted, look))


def waits(why: str) -> list[str]:
    return [f"blocked host/h2: no longer in the intent: {why}"]


FORGOTTEN = ["forget host/h2: no longer in the intent, and it is empty and in no swarm"]


def test_where_no_host_was_taken_out_there_is_nothing_to_do() -> None:
    assert plan(H2, removed="") == []


def test_it_is_told_what_the_removal_waits_for() -> None:
    assert plan(replace(H2, role="manager", reachable=True)) == waits("it is still a manager")
    assert plan(H2, statuses={"h2": status("h2", replicas=(REPLICA, REPLICA))}) == waits(
        "2 of its replicas remain"
    )
    assert plan(H2) == waits("it has not left the swarm yet")
    assert plan(H2, statuses={"h2": LEFT}) == waits("its node is ready and will be removed once it is down")
    assert plan(H2, known=False) == waits("the node list is unknown now")


def test_a_host_whose_agent_is_away_while_its_node_is_up_is_told_to_a_person() -> None:
    assert plan(H2, away=("h2",)) == waits(
        "its agent does not run and its node is ready: start the agent or power off the host"
    )


def test_it_is_forgotten_when_it_is_empty_and_its_node_is_gone() -> None:
    assert plan(statuses={"h2": LEFT}) == FORGOTTEN
    assert plan(statuses={"h2": LEFT}, away=("h2",)) == FORGOTTEN


def test_it_is_not_forgotten_while_its_node_is_listed() -> None:
    assert plan(replace(H2, state="down"), statuses={"h2": LEFT}) == waits(
        "its node is down and will be removed"
    )


def test_it_is_not_forgotten_while_it_has_replicas_or_does_not_say_that_it_has_none() -> None:
    unsure = waits("it has not reported yet that it is empty and in no swarm")
    assert plan(statuses={"h2": replace(LEFT, replicas=(REPLICA,))}) == unsure
    assert plan(statuses={"h2": replace(LEFT, engine_up=False)}) == unsure
    assert plan(statuses={"h2": replace(LEFT, state="pending")}) == unsure
    assert plan(present={"h1": "run-h1", "h2": "run-h2"}) == unsure


def test_it_is_not_forgotten_while_it_may_be_joining_as_the_document_before_said() -> None:
    """It would be in the swarm then, and nobody would know that it is to leave."""
    unsure = waits("it may still be joining the swarm")
    before = BridgeReport(revision=REVISION - 1)
    assert plan(statuses={"h2": replace(LEFT, joining="swarm-1")}) == unsure
    assert plan(statuses={"h2": replace(LEFT, joining="swarm-1")}, away=("h2",)) == unsure
    assert plan(statuses={"h2": replace(LEFT, bridge=before)}) == unsure
    assert plan(statuses={"h2": LEFT}, present={"h1": "run-h1", "h2": "a later run"}) == unsure
    assert plan(statuses={"h2": replace(LEFT, bridge=before)}, away=("h2",)) == FORGOTTEN


def test_it_is_not_forgotten_before_it_was_told_to_be_empty() -> None:
    old = Assignment(
        revision=REVISION, project="prod", replicas=(Replica(service="order", slot=1, spec="x"),)
    )
    for assigned in (old, Assignment(revision=REVISION - 1, project="prod")):
        assert plan(statuses={"h2": LEFT}, assignments={"h2": assigned}) == waits(
            "its assignment is not empty yet"
        )


def test_a_host_that_never_reported_is_forgotten() -> None:
    assert plan() == ["forget host/h2: no longer in the intent, and it never reported"]


def test_a_dead_host_keeps_the_keys_that_tell_it_to_clear_up_and_nobody_is_bothered() -> None:
    assert plan(statuses={"h2": status("h2", replicas=(REPLICA,))}, away=("h2",)) == []


def test_a_host_that_was_given_another_name_is_forgotten_under_the_old_one() -> None:
    renamed = {"h2": status("h2", node_id="node-h1")}

    assert plan(statuses=renamed, away=("h2",)) == [
        "forget host/h2: no longer in the intent, and its name is h1 now"
    ]
