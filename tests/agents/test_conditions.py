"""Whole agents in memory, and the conditions that a reader of etcd gets from their reports."""

from datetime import datetime
from pathlib import Path

from agent.conditions import ClusterConditions, conditions_of
from agent.model.observed import ClusterState
from agent.observe.cluster import ClusterReader
from tests.fakes.store import FakeStore
from tests.support.document import document
from tests.support.simulated_cluster import KEYS, SimulatedCluster, images

WITHIN = 60
"""Rounds of one second in which a change must be over."""


def read(cluster: SimulatedCluster) -> ClusterState:
    store = FakeStore(cluster.etcd)
    stored = ClusterReader(KEYS, "").read(store, None, frozenset()).state.stored_specs
    return ClusterReader(KEYS, "").read(store, None, stored).state


def judged(cluster: SimulatedCluster) -> ClusterConditions:
    """The conditions by a reader whose clock is that of the newest report."""
    state = read(cluster)
    times = [datetime.fromisoformat(each.at).timestamp() for each in state.statuses.values()]
    return conditions_of(state, now_s=max(times, default=0.0))


def until_converged(cluster: SimulatedCluster) -> list[ClusterConditions]:
    """Go on until the cluster has converged; return the conditions after each round."""
    seen = []
    for _ in range(WITHIN):
        cluster.round()
        seen.append(judged(cluster))
        if seen[-1].converged:
            return seen
    raise AssertionError(f"not converged within {WITHIN} rounds: {seen[-1].cluster.text}\n{cluster.told()}")


def converged(directory: Path) -> SimulatedCluster:
    cluster = SimulatedCluster(directory)
    cluster.put_intent()
    cluster.start()
    until_converged(cluster)
    return cluster


def test_a_first_start_converges_and_is_never_a_problem(tmp_path: Path) -> None:
    cluster = SimulatedCluster(tmp_path)
    cluster.put_intent()
    cluster.start()

    seen = until_converged(cluster)

    assert [problem.condition for each in seen for problem in each.problems] == []
    assert {each.code for each in seen[:-1]} == {1}
    assert cluster.running()["node-231"]


def test_a_release_converges_after_its_last_monitor_window_and_is_never_a_problem(tmp_path: Path) -> None:
    cluster = converged(tmp_path)
    after = document(tags={"order": "2"})
    cluster.lan.registry |= images(after)
    cluster.put_intent(after)

    seen = until_converged(cluster)

    assert [problem.condition for each in seen for problem in each.problems] == []


def test_a_release_without_its_image_is_one_problem(tmp_path: Path) -> None:
    cluster = converged(tmp_path)
    cluster.put_intent(document(tags={"order": "missing"}))
    cluster.rounds(20)

    found = judged(cluster)

    assert [each.condition.kind for each in found.problems] == ["image"]
    assert found.code == 1  # the replicas with the previous spec run on


def test_two_of_three_dockerds_down_are_a_lost_quorum(tmp_path: Path) -> None:
    cluster = converged(tmp_path)
    for name in ("node-232", "node-233"):
        cluster.hosts[name].engine.answers = False
    cluster.rounds(3)

    found = judged(cluster)

    assert found.cluster.text.startswith(
        "quorum lost: 1 of 3 managers reachable (node-232 dockerd does not answer"
    )
    assert found.code == 2


def test_a_drained_host_may_be_off(tmp_path: Path) -> None:
    cluster = converged(tmp_path)
    cluster.put_intent(document(hosts={"node-233": {"availability": "drain"}}))
    until_converged(cluster)
    cluster.lose_agent("node-233")
    cluster.rounds(30)

    found = judged(cluster)

    assert (found.converged, found.hosts[2].condition.reason, found.hosts[2].current) == (
        True,
        "Drained",
        False,
    )


def test_a_host_that_is_off_is_not_known(tmp_path: Path) -> None:
    cluster = converged(tmp_path)
    cluster.lose_agent("node-233")
    cluster.rounds(30)

    (problem,) = judged(cluster).problems

    assert (problem.condition.key, problem.condition.reason) == ("host/node-233", "Unreachable")
    assert problem.condition.since
