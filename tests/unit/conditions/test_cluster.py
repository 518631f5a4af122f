"""Every named state: the first line, the exit code and the problems that all readers share."""

from dataclasses import replace
from typing import Any

import pytest

from agent.conditions import ClusterConditions, Condition, conditions_of
from tests.support.cluster_states import (
    HEALTHY,
    HOSTS,
    NOW_S,
    ON,
    REVISION,
    STATES,
    A,
    B,
    C,
    absent,
    assigned,
    blocked,
    on,
    on_all,
    releasing,
    waiting,
    without_replicas,
)

NAMES = sorted(STATES)


def judged(name: str) -> ClusterConditions:
    state = STATES[name]
    return conditions_of(state.cluster, now_s=NOW_S, store_error=state.store_error)


def form(condition: Condition) -> str:
    return f"{condition.key} {condition.state}/{condition.reason}{'!' if condition.critical else ''}"


def every(found: ClusterConditions) -> list[Condition]:
    return [
        *(found.store, found.document, found.quorum, found.leader, *found.keys),
        *(each.condition for each in found.hosts),
        *(*found.networks, *found.images, *found.rollouts),
        *(each.condition for each in found.services),
        *(each.condition for each in found.replicas),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_first_line_says_what_comes_first(name: str) -> None:
    assert judged(name).cluster.text == STATES[name].expected.line


@pytest.mark.parametrize("name", NAMES)
def test_the_exit_code_is_that_of_a_nagios_plugin(name: str) -> None:
    assert judged(name).code == STATES[name].expected.code


@pytest.mark.parametrize("name", NAMES)
def test_there_is_one_problem_for_each_cause(name: str) -> None:
    assert tuple(form(each.condition) for each in judged(name).problems) == STATES[name].expected.problems


@pytest.mark.parametrize("name", [name for name in NAMES if not STATES[name].expected.problems])
def test_progress_is_no_problem_and_is_shown(name: str) -> None:
    left = [each for each in every(judged(name)) if each.state != "Ready" and each.kind != "replica"]
    assert tuple(map(form, left)) == STATES[name].expected.states


@pytest.mark.parametrize("name", NAMES)
def test_every_fault_is_a_problem_or_follows_from_one(name: str) -> None:
    found = judged(name)
    shown = {each.key for problem in found.problems for each in (problem.condition, *problem.consequences)}
    assert {each.key for each in every(found) if each.is_fault} <= shown


@pytest.mark.parametrize("name", NAMES)
def test_the_code_is_zero_for_convergence_only(name: str) -> None:
    found = judged(name)
    assert (found.code == 0) == found.converged == (found.cluster.state == "Ready")


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_says_what_is_so(name: str) -> None:
    assert [each.key for each in every(judged(name)) if each.is_fault and not each.text] == []


def test_there_are_more_than_forty_states() -> None:
    assert len(STATES) >= 40


@pytest.mark.parametrize("lost", ["its report", "its assignment", "reports since it is drained"])
def test_a_drained_host_that_is_off_is_not_known_to_be_empty_without_a_report_of_it(lost: str) -> None:
    """What it started before it read that it is drained is in no report."""
    off = STATES["drained and off"].cluster
    assert conditions_of(off, now_s=NOW_S).converged
    later = {**off.assignments, C: replace(off.assignments[C], revision=REVISION + 1, drained=REVISION + 1)}
    state = {
        "its report": replace(off, statuses={name: off.statuses[name] for name in (A, B)}),
        "its assignment": replace(off, assignments={name: off.assignments[name] for name in (A, B)}),
        "reports since it is drained": replace(off, assignments=later),
    }[lost]

    found = conditions_of(state, now_s=NOW_S)

    (problem,) = found.problems
    assert (problem.condition.key, problem.condition.state) == ("host/node-233", "Unknown")
    assert problem.condition.text.startswith("drained, and no report shows it empty: ")
    assert not found.converged


def test_a_drained_host_that_is_off_stays_known_to_be_empty_while_other_documents_drain_it() -> None:
    off = STATES["drained and off"].cluster
    later = {**off.assignments, C: replace(off.assignments[C], revision=REVISION + 1)}

    assert conditions_of(replace(off, assignments=later), now_s=NOW_S).converged


def test_a_drained_host_that_the_document_names_for_replicas_is_told_as_such() -> None:
    found = conditions_of(STATES["drained"].cluster, now_s=NOW_S)

    assert {each for each in found.notes if "drained" in each} == {
        "node-233 is drained, so its replicas run nowhere: web (1)"
    }


def test_before_there_is_a_swarm_hosts_wait_for_the_engine_of_the_leader() -> None:
    outside: dict[str, Any] = {"state": "inactive", "node_id": None, "is_manager": False, "nodes": None}
    state = replace(HEALTHY, record=None, leader=C)
    waits = waiting("swarm", "no swarm is recorded yet", "leader/")
    state = on_all(state, **outside, swarm_id=None, swarm_address=None, waiting=waits)
    down = blocked("engine", "engine", "dockerd cannot be read: connection refused")
    state = on(state, C, state="unknown", engine_up=False, blocked=down, waiting=())
    (problem,) = conditions_of(state, now_s=NOW_S).problems

    assert problem.condition.key == f"host/{C}"
    assert {f"host/{A}", f"host/{B}", "quorum/", "network/net"} <= {each.key for each in problem.consequences}


def test_a_replica_that_waits_to_be_replaced_names_what_it_waits_for() -> None:
    state, host = releasing(), ON["order"][0]
    mine, to = state.assignments[host], state.rollouts["order"].to
    replicas = (replace(each, spec=to) if each.service == "order" else each for each in mine.replicas)
    state = replace(state, assignments={**state.assignments, host: replace(mine, replicas=tuple(replicas))})
    no_list = blocked("nodes", "quorum", "the swarm does not list its nodes")
    state = on_all(absent(state, next(each for each in HOSTS if each != host)), nodes=None, blocked=no_list)
    waits = waiting("container/prod-order-1", "no address can be allocated", "quorum/")
    found = conditions_of(on(state, host, waiting=waits), now_s=NOW_S)

    (replica,) = (each.condition for each in found.replicas if each.condition.key == "replica/order-1")
    assert (replica.text, replica.cause) == ("it is being replaced: no address can be allocated", "quorum/")
    (quorum,) = (each for each in found.problems if each.condition.key == "quorum/")
    assert replica in quorum.consequences


def test_a_replica_that_waits_for_a_network_names_a_leader_that_lists_none() -> None:
    """The leader's engine sees no raft leader, and another manager does: there is a quorum, without this leader."""
    leader = on(
        HEALTHY, A, nodes=None, blocked=blocked("nodes", "quorum", "the swarm does not list its nodes")
    )
    state = without_replicas(leader, C, ("order", 3))
    state = assigned(
        state, C, "order", held="the subnet of net is not known yet", waits_on="network/net", waits=""
    )

    found = conditions_of(state, now_s=NOW_S)

    (replica,) = (each.condition for each in found.replicas if each.condition.key == "replica/order-3")
    (problem,) = (each for each in found.problems if each.condition.key == "leader/")
    assert (found.quorum.state, replica.cause) == ("Ready", "leader/")
    assert replica in problem.consequences


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("state", ["rolled-back", "rolling-back"])
def test_a_rolled_back_rollout_names_the_fixed_replicas_that_keep_the_newer_spec(
    state: str, *, fixed: bool
) -> None:
    found = releasing(state, updated=(1, 4), why="order-2: it exited with 1")
    assert found.accepted is not None
    services = (
        replace(each, replicas=None, placement=((A, 2), (B, 1), (C, 1)))
        if each.name == "order" and fixed
        else each
        for each in found.accepted.services
    )
    found = replace(found, accepted=replace(found.accepted, services=tuple(services)))
    judged = conditions_of(found, now_s=NOW_S)
    (rollout,) = judged.rollouts
    named = f"Left with the newer spec, which works there: order-1 on {A}, order-4 on {A} (`rollback: own_failures`"
    assert (named in rollout.text) == (fixed and state == "rolled-back"), rollout.text
    assert "rollout/order" in {each.condition.key for each in judged.problems} or state == "rolling-back"
