"""Hosts that the leader chooses, by whole agents on hosts in memory: three replicas of `free`, beside the example."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.document import document
from tests.support.simulated_cluster import TTL_S, SimulatedCluster

pytestmark = pytest.mark.usefixtures("unlogged")

AFTER_S = 30
PLACED = document(
    policy={"reschedule_after": f"{AFTER_S}s"},
    services={
        "free": {
            "image": "10.159.62.231/somecom/billing:1.0.0",
            "restart": "always",
            "networks": ["my-network-overlay"],
            "deploy": {"replicas": 3},
        }
    },
)
FREE = ("prod-free-1", "prod-free-2", "prod-free-3")
HOST = "node-233"
DRAIN = {HOST: {"availability": "drain"}}
DRAINED = document(PLACED, hosts=DRAIN)
PINNED = {"prod-terminal-1", "prod-api-2"}


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    made = SimulatedCluster(tmp_path, PLACED)
    made.put_intent(PLACED)
    made.start()
    made.settle()
    return made


def free(cluster: SimulatedCluster) -> dict[str, str]:
    """Host of every replica of `free` that runs; no two run under one name."""
    found = [(name, host) for host, running in cluster.running().items() for name in running if name in FREE]
    assert max(Counter(name for name, _ in found).values(), default=1) == 1, found
    return dict(found)


def die(cluster: SimulatedCluster, name: str) -> None:
    """Power off: the agent is gone, and nothing answers at its address."""
    cluster.lose_agent(name)
    cluster.hosts[name].engine.answers = False


def living(cluster: SimulatedCluster) -> dict[str, str]:
    """Host of every replica of `free` that runs on a host with power."""
    running = {name: each for name, each in cluster.running().items() if cluster.hosts[name].engine.answers}
    return {name: host for host, each in running.items() for name in each if name in FREE}


def test_replicas_are_spread_and_stay_when_nothing_changes(cluster: SimulatedCluster) -> None:
    assert sorted(free(cluster)) == list(FREE)
    assert set(free(cluster).values()) == set(cluster.hosts)
    before, assigned = cluster.ids(), {name: cluster.assignment(name) for name in cluster.hosts}

    cluster.rounds(30)

    assert cluster.ids() == before
    assert {name: cluster.assignment(name) for name in cluster.hosts} == assigned


def test_a_drained_host_is_emptied_and_none_of_the_others_is_touched(cluster: SimulatedCluster) -> None:
    before, ids = free(cluster), cluster.ids()
    cluster.put_intent(DRAINED)
    for _ in range(60):
        cluster.round()
        assert len(free(cluster)) >= len(FREE) - 1
        if not cluster.hosts[HOST].replicas() and len(free(cluster)) == len(FREE):
            break
    cluster.settle()

    assert not cluster.hosts[HOST].replicas()
    assert {name: on for name, on in before.items() if on != HOST}.items() <= free(cluster).items()
    assert {each for each in ids if each[0] != HOST} <= cluster.ids()

    moved = free(cluster)
    cluster.put_intent(PLACED)
    cluster.settle()
    assert free(cluster) == moved
    assert set(cluster.running()[HOST]) == PINNED


def test_a_host_that_was_drained_gets_replicas_again_once_for_each_order(cluster: SimulatedCluster) -> None:
    def after(text: str) -> dict[str, str]:
        cluster.put_intent(text)
        for _ in range(60):
            cluster.round()
            assert len(free(cluster)) >= len(FREE) - 1
        cluster.settle()
        return free(cluster)

    ordered = document(PLACED, services={"free": {"x-rebalanced-at": "2026-11-30T17:00:00Z"}})
    left = after(DRAINED)
    assert HOST not in left.values()
    now = after(ordered)
    assert sorted(now.values()) == sorted(cluster.hosts)
    assert sum(now[name] != left[name] for name in FREE) == 1

    left = after(document(ordered, hosts=DRAIN))
    assert after(ordered) == left
    assert sorted(after(ordered.replace("T17", "T18")).values()) == sorted(cluster.hosts)


def test_the_leader_dies_in_the_middle_of_a_move_and_the_next_one_goes_on(cluster: SimulatedCluster) -> None:
    cluster.put_intent(DRAINED)
    cluster.rounds(3)
    name = cluster.leader().name
    cluster.lose_agent(name)
    cluster.rounds(int(TTL_S) + 5)
    cluster.start(name)
    for _ in range(60):
        cluster.round()
        free(cluster)
    cluster.settle()

    assert sorted(free(cluster)) == list(FREE)
    assert not cluster.hosts[HOST].replicas()


def test_nothing_moves_while_a_host_is_only_cut_off_from_etcd(cluster: SimulatedCluster) -> None:
    before = cluster.ids()
    name = cluster.follower().name
    cluster.agents[name].cut_etcd()
    cluster.rounds(int(TTL_S) + 3 * AFTER_S)
    assert cluster.ids() == before

    cluster.agents[name].heal_etcd()
    cluster.settle()
    assert cluster.ids() == before


def test_the_replicas_of_a_dead_host_move_after_the_time_for_it_and_do_not_go_back(
    cluster: SimulatedCluster,
) -> None:
    before, pinned = free(cluster), cluster.hosts[HOST].running().keys() & PINNED
    assert pinned == PINNED
    die(cluster, HOST)
    cluster.rounds(AFTER_S)
    assert living(cluster) == {name: on for name, on in before.items() if on != HOST}

    cluster.rounds(int(TTL_S) + 40)
    moved = living(cluster)
    assert sorted(moved) == list(FREE)
    assert {name: on for name, on in before.items() if on != HOST}.items() <= moved.items()
    assignment = cluster.assignment(HOST)
    assert assignment is not None
    assert {f"prod-{each.service}-{each.slot}" for each in assignment.replicas} == PINNED

    cluster.hosts[HOST].engine.boot()
    cluster.start(HOST)
    cluster.settle()
    assert free(cluster) == moved
    assert set(cluster.running()[HOST]) == PINNED


def test_nothing_moves_while_the_swarm_has_no_quorum(cluster: SimulatedCluster) -> None:
    followers = [name for name, agent in cluster.agents.items() if not agent.leads]
    before = {name: cluster.assignment(name) for name in cluster.hosts}
    for name in followers:
        die(cluster, name)
    cluster.rounds(int(TTL_S) + 3 * AFTER_S)

    assert {name: cluster.assignment(name) for name in cluster.hosts} == before


def test_a_replica_runs_on_until_the_other_host_has_its_image(tmp_path: Path) -> None:
    lone = document(PLACED, services={"free": {"image": "10.159.62.231/lone:1", "deploy": {"replicas": 1}}})
    cluster = SimulatedCluster(tmp_path, lone)
    cluster.put_intent(lone)
    cluster.start()
    cluster.settle()
    assert free(cluster) == {"prod-free-1": HOST}

    cluster.lan.registry -= {"10.159.62.231/lone:1"}
    cluster.put_intent(document(lone, hosts=DRAIN))
    cluster.rounds(30)
    assert free(cluster) == {"prod-free-1": HOST}

    cluster.lan.registry |= {"10.159.62.231/lone:1"}
    for _ in range(90):
        cluster.round()
        if not cluster.hosts[HOST].replicas():
            break
    cluster.settle()
    assert free(cluster)["prod-free-1"] != HOST
