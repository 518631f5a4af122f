"""Managers that their swarm gave up while they were off: each is a member again, or says what a person has to do."""

from pathlib import Path

import pytest

from agent.errors import Unreachable
from agent.model.steps import AbandonNode
from tests.fakes.swarm import FakeSwarm, Member
from tests.support.document import document
from tests.support.simulated_cluster import TTL_S, SimulatedCluster

pytestmark = pytest.mark.usefixtures("unlogged")

GONE = "node-233"
ALL = document()
WITHOUT = document(
    hosts={GONE: None}, replicas={name: {"node-231": 1} for name in ("api", "terminal")}
)  # fmt: skip
OVERLAY = "my-network-overlay"


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Three managers at rest."""
    made = SimulatedCluster(tmp_path)
    made.put_intent(ALL)
    made.start()
    made.settle()
    return made


def membership(cluster: SimulatedCluster) -> tuple[FakeSwarm, Member]:
    found = cluster.hosts[GONE].engine.nets.membership
    assert found is not None
    return found


def power_off(cluster: SimulatedCluster) -> None:
    cluster.lose_agent(GONE)
    cluster.hosts[GONE].engine.go_down()
    cluster.rounds(int(TTL_S) + 5)


def power_on(cluster: SimulatedCluster) -> None:
    cluster.hosts[GONE].engine.boot()
    cluster.start(GONE)


def is_back(cluster: SimulatedCluster, before: Member) -> bool:
    swarm, member = membership(cluster)
    others = [each.node_id for each in swarm.members]
    return member is not before and member.in_raft and len(others) == 3


def forced(cluster: SimulatedCluster) -> int:
    return sum(isinstance(each.step, AbandonNode) for each in cluster.agents[GONE].outcomes)


def test_a_manager_whose_certificate_expired_while_it_was_off_is_one_again(cluster: SimulatedCluster) -> None:
    _, before = membership(cluster)
    running = cluster.running()
    power_off(cluster)
    before.expired = True
    power_on(cluster)
    cluster.settle(within=120)

    assert is_back(cluster, before)
    assert forced(cluster) == 0
    assert cluster.running() == running


def test_no_expired_manager_is_demoted_without_a_quorum(cluster: SimulatedCluster) -> None:
    _, before = membership(cluster)
    power_off(cluster)
    cluster.hosts["node-232"].engine.go_down()
    before.expired = True
    power_on(cluster)
    cluster.rounds(40)

    assert before.in_raft
    assert membership(cluster)[1] is before
    assert "docker swarm leave --force" in str(cluster.agents[GONE].plan)


@pytest.mark.parametrize("declared", [True, False], ids=["declared again", "still taken out"])
def test_a_manager_that_was_taken_out_while_it_was_off_leaves_the_swarm_that_removed_it(
    cluster: SimulatedCluster, declared: bool
) -> None:
    swarm, before = membership(cluster)
    power_off(cluster)
    cluster.put_intent(WITHOUT)
    cluster.rounds(60)
    assert before not in swarm.members
    if declared:
        cluster.put_intent(ALL)
        cluster.rounds(5)
    power_on(cluster)
    cluster.rounds(120)

    assert forced(cluster) == 1
    if declared:
        assert is_back(cluster, before)
        assert set(cluster.hosts[GONE].running())
    else:
        assert cluster.hosts[GONE].engine.nets.membership is None
        assert not cluster.hosts[GONE].replicas()
        assert cluster.assignment(GONE) is None


def test_it_waits_while_somebody_elses_container_is_on_an_overlay(cluster: SimulatedCluster) -> None:
    _, before = membership(cluster)
    engine = cluster.hosts[GONE].engine
    engine.by_hand.connect(engine.run_foreign("database"), OVERLAY, {})
    power_off(cluster)
    cluster.put_intent(WITHOUT)
    cluster.rounds(60)
    cluster.put_intent(ALL)
    power_on(cluster)
    cluster.rounds(40)

    assert membership(cluster)[1] is before
    assert "database would lose its overlay" in str(cluster.agents[GONE].plan)
    engine.by_hand.remove("database", force=True)
    cluster.rounds(120)
    assert is_back(cluster, before)


def test_it_waits_until_a_majority_has_confirmed_that_its_node_is_gone(cluster: SimulatedCluster) -> None:
    _, before = membership(cluster)
    power_off(cluster)
    cluster.put_intent(WITHOUT)
    cluster.rounds(60)
    cluster.put_intent(ALL)
    cluster.rounds(5)
    power_on(cluster)
    for _ in range(20):
        for name in ("node-231", "node-232"):
            cluster.hosts[name].engine.failures["has_node"] = Unreachable("The swarm does not have a leader")
        cluster.round()
    assert membership(cluster)[1] is before
    for name in ("node-231", "node-232"):
        cluster.hosts[name].engine.failures.clear()
    cluster.rounds(120)
    assert is_back(cluster, before)
