"""One host as its own agent sees it, by the rules of the whole cluster."""

from dataclasses import replace
from typing import Any

import pytest

from agent.conditions import conditions_of, own_host
from agent.model.observed import ClusterState, Observed
from tests.support.cluster_states import HEALTHY, NOW_S, PORT, STATES, B, blocked


def seen_by(host: str, state: ClusterState, **more: Any) -> Observed:
    """What a host that is not the leader reads: its own keys only."""
    own = replace(
        state,
        statuses={},
        present={},
        assignments={},
        assignment=state.assignments.get(host),
        rollouts=state.rollouts,
    )
    return Observed(**{"me": host, "host": None, "cluster": own, **more})


@pytest.mark.parametrize(
    "name",
    [
        "healthy",
        "crash loop, exited",
        "unhealthy",
        "monitor window runs",
        "dockerd down",
        "manager in error",
        "swarm locked",
        "bridge held",
        "foreign port",
        "registry away",
        "other address in the swarm",
        "rollout paused",
    ],
)
def test_a_host_judges_itself_as_the_leader_judges_it(name: str) -> None:
    state = STATES[name].cluster
    whole = conditions_of(state, now_s=NOW_S)
    for host in (each for each in whole.hosts if each.declared):
        mine = own_host(seen_by(host.condition.name, state), state.statuses[host.condition.name])
        assert (mine.host.state, mine.host.reason) == (host.condition.state, host.condition.reason)
        replicas = [each.condition for each in whole.replicas if each.host == host.condition.name]
        found = [(each.key, each.state, each.reason) for each in mine.replicas]
        assert found == [(each.key, each.state, each.reason) for each in replicas]


def test_the_age_of_the_own_report_does_not_matter() -> None:
    old = replace(HEALTHY.statuses[B], at="2020-01-01T00:00:00Z")
    assert own_host(seen_by(B, HEALTHY), old).faults == ()


def test_without_etcd_and_without_a_saved_state_only_dockerd_is_judged() -> None:
    up, down = HEALTHY.statuses[B], replace(HEALTHY.statuses[B], engine_up=False)
    nothing = Observed(me=B, host=None, cluster=None)
    assert own_host(nothing, up).faults == ()
    assert [each.reason for each in own_host(nothing, down).faults] == ["EngineDown"]


def test_the_faults_of_the_host_come_first() -> None:
    status = replace(
        HEALTHY.statuses[B],
        blocked=(
            *blocked("container/prod-billing-1", "port", PORT),
            *blocked("state", "disk", "no space left"),
        ),
    )
    found = own_host(seen_by(B, HEALTHY), status)
    assert [each.key for each in found.faults] == [f"host/{B}", "replica/billing-1"]


def test_a_host_that_is_not_declared_is_no_fault() -> None:
    assert own_host(seen_by("spare", HEALTHY), replace(HEALTHY.statuses[B], replicas=())).faults == ()


@pytest.mark.parametrize("why", ["", "the swarm has no quorum: 1 of 3 managers reachable"])
def test_a_manager_that_does_not_list_the_nodes_has_no_quorum(why: str) -> None:
    mine = replace(HEALTHY.statuses[B], nodes=None, blocked=blocked("nodes", "quorum", why) if why else ())
    (fault,) = own_host(seen_by(B, HEALTHY), mine).faults
    assert (fault.key, fault.reason) == ("quorum/", "QuorumLost")
    assert (why or "does not list the nodes") in fault.text


def test_a_worker_needs_no_list_of_nodes() -> None:
    mine = replace(HEALTHY.statuses[B], nodes=None, is_manager=False)
    assert own_host(seen_by(B, HEALTHY), mine).quorum.state == "Ready"


def test_a_manager_that_leaves_the_list_of_nodes_to_the_leader_is_ready() -> None:
    found = own_host(seen_by(B, HEALTHY), replace(HEALTHY.statuses[B], nodes=()))
    assert (found.host.state, found.quorum.state) == ("Ready", "Ready")


def test_a_clone_of_a_machine_is_no_healthy_host() -> None:
    why = "another agent runs as node-232: this agent changes nothing until the other one stops"
    mine = replace(HEALTHY.statuses[B], blocked=blocked(f"host/{B}", "foreign", why))
    (fault,) = own_host(seen_by(B, HEALTHY), mine).faults
    assert (fault.key, fault.text) == (f"host/{B}", why)
