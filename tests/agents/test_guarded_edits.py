"""Edits that take much away, on a whole cluster: nothing of them is done before they are confirmed."""

from pathlib import Path

import pytest

from agent.intent.guard import confirmed
from tests.support.document import SERVICES, document
from tests.support.simulated_cluster import SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")

GUARDED = document(policy={"deletion_guard": "30%"})
NEWER = document(GUARDED, tags={"billing": "1.0.1"})
EMPTIED = document(GUARDED, services=dict.fromkeys(SERVICES))


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """The example carried out, under a guard."""
    cluster = SimulatedCluster(tmp_path)
    cluster.lan.registry |= images(NEWER)
    cluster.put_intent(GUARDED)
    cluster.start()
    cluster.settle()
    return cluster


def word_in_the_verdict(cluster: SimulatedCluster) -> str:
    verdict = cluster.verdict()
    assert verdict is not None
    assert not verdict.accepted
    assert verdict.confirm
    return verdict.confirm


def undisturbed(cluster: SimulatedCluster, before: set[tuple[str, str]]) -> None:
    for _ in range(20):
        cluster.round()
        assert cluster.ids() == before


def test_an_edit_that_takes_much_away_is_not_even_half_applied(cluster: SimulatedCluster) -> None:
    before = cluster.ids()
    cluster.put_intent(EMPTIED)
    undisturbed(cluster, before)
    assert "waits: it would remove 8 of 8 replicas" in cluster.told()


def test_what_is_accepted_is_held_meanwhile(cluster: SimulatedCluster) -> None:
    running = cluster.running()
    cluster.put_intent(EMPTIED)
    cluster.rounds(3)
    host = next(host for host in cluster.hosts.values() if host.replicas())
    host.engine.by_hand.remove(min(host.replicas()), force=True)
    cluster.rounds(10)
    assert cluster.running() == running


def test_put_again_with_the_word_it_is_carried_out(cluster: SimulatedCluster) -> None:
    cluster.put_intent(EMPTIED)
    cluster.rounds(3)
    cluster.put_intent(confirmed(EMPTIED.encode(), word_in_the_verdict(cluster)).decode())
    cluster.settle()
    assert cluster.ids() == set()


def test_another_leader_asks_for_the_same_word(cluster: SimulatedCluster) -> None:
    before = cluster.ids()
    cluster.put_intent(EMPTIED)
    cluster.rounds(3)
    word = word_in_the_verdict(cluster)
    leader = next(name for name, agent in cluster.agents.items() if agent.leads)
    cluster.lose_agent(leader)
    undisturbed(cluster, before)
    assert any(agent.leads for agent in cluster.agents.values())
    assert word_in_the_verdict(cluster) == word


def test_a_wiped_etcd_and_a_document_that_takes_much_away_need_one_put_with_the_word(
    cluster: SimulatedCluster,
) -> None:
    before = cluster.ids()
    cluster.etcd.wipe()
    cluster.rounds(20)
    cluster.put_intent(EMPTIED)
    undisturbed(cluster, before)
    cluster.put_intent(confirmed(EMPTIED.encode(), word_in_the_verdict(cluster)).decode())
    cluster.settle()
    assert cluster.ids() == set()


def test_a_confirmed_document_that_is_put_back_later_waits_again(cluster: SimulatedCluster) -> None:
    cluster.put_intent(EMPTIED)
    cluster.rounds(3)
    emptied = confirmed(EMPTIED.encode(), word_in_the_verdict(cluster)).decode()
    cluster.put_intent(emptied)
    cluster.settle()
    cluster.put_intent(NEWER)
    cluster.settle()
    before = cluster.ids()
    cluster.put_intent(emptied)
    undisturbed(cluster, before)
