"""Whole agents in memory whose swarm locks its managers: after whatever restarts they unlock themselves."""

from pathlib import Path

import pytest

from agent.model.records import UnlockKeys, decode
from tests.fakes.swarm import FakeSwarm
from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import KEYS, NAMES, SimulatedCluster

pytestmark = pytest.mark.usefixtures("unlogged")

LOCKING = document(cluster={"swarm": {"autolock": True}})


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Three managers at rest, with autolock on."""
    cluster = SimulatedCluster(tmp_path)
    cluster.put_intent(LOCKING)
    cluster.start()
    cluster.settle()
    return cluster


def swarm_of(cluster: SimulatedCluster) -> FakeSwarm:
    membership = cluster.hosts["node-231"].engine.nets.membership
    assert membership
    return membership[0]


def published(cluster: SimulatedCluster) -> UnlockKeys:
    found = cluster.read(KEYS.unlock)
    assert found
    return decode(UnlockKeys, found.value)


def restart(cluster: SimulatedCluster, *names: str) -> None:
    for name in names:
        cluster.hosts[name].engine.go_down()
        cluster.hosts[name].engine.boot()


def locked(cluster: SimulatedCluster) -> list[str]:
    return [name for name, host in cluster.hosts.items() if host.engine.info().swarm.local == "locked"]


def test_the_key_is_published_when_autolock_is_on(cluster: SimulatedCluster) -> None:
    assert swarm_of(cluster).unlock_key
    assert published(cluster).on
    assert published(cluster).keys == (swarm_of(cluster).unlock_key,)


@pytest.mark.parametrize("names", [("node-233",), ("node-231", "node-232"), NAMES])
def test_managers_that_were_restarted_are_managers_again(
    cluster: SimulatedCluster, names: tuple[str, ...]
) -> None:
    restart(cluster, *names)
    assert locked(cluster) == list(names)

    cluster.settle()

    assert locked(cluster) == []
    assert all(each.reachable for each in cluster.hosts["node-231"].engine.nodes())


def test_a_manager_that_was_away_while_the_key_was_changed_is_unlocked_with_the_one_before(
    cluster: SimulatedCluster,
) -> None:
    before = swarm_of(cluster).unlock_key
    cluster.hosts["node-233"].engine.go_down()
    cluster.rounds(2)
    swarm_of(cluster).rotate_unlock_key()
    cluster.rounds(5)
    assert published(cluster).keys == (swarm_of(cluster).unlock_key, before)

    cluster.hosts["node-233"].engine.boot()
    cluster.settle()

    assert locked(cluster) == []


def test_when_it_is_not_declared_any_more_it_is_off_and_who_was_away_comes_back(
    cluster: SimulatedCluster,
) -> None:
    cluster.hosts["node-233"].engine.go_down()
    cluster.rounds(2)
    cluster.put_intent(EXAMPLE)
    cluster.rounds(10)
    assert not swarm_of(cluster).unlock_key
    assert not published(cluster).on

    cluster.hosts["node-233"].engine.boot()
    assert locked(cluster) == ["node-233"]
    cluster.settle()
    assert locked(cluster) == []


def test_a_leader_that_dies_between_the_swarm_and_etcd_leaves_it_to_the_next_one(tmp_path: Path) -> None:
    cluster = SimulatedCluster(tmp_path)
    cluster.put_intent(EXAMPLE)
    cluster.start()
    cluster.settle()
    leader = cluster.leader()
    swarm_of(cluster).autolock(True)  # its last deed
    cluster.put_intent(LOCKING)
    cluster.lose_agent(leader.name)
    cluster.rounds(25)

    assert published(cluster).keys == (swarm_of(cluster).unlock_key,)


def test_autolock_by_hand_that_the_document_does_not_speak_of_stays_as_it_is(tmp_path: Path) -> None:
    cluster = SimulatedCluster(tmp_path)
    cluster.put_intent(EXAMPLE)
    cluster.start()
    cluster.settle()
    swarm_of(cluster).autolock(True)
    cluster.rounds(5)

    assert swarm_of(cluster).unlock_key
    assert cluster.read(KEYS.unlock) is None
    restart(cluster, "node-233")
    cluster.rounds(5)
    assert locked(cluster) == ["node-233"]
    assert "docker swarm unlock" in str(cluster.agents["node-233"].plan)
