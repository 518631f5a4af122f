"""Somebody with the rights of an agent in etcd writes what leaders write: nothing runs that no operator declared."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.model.records import encode
from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import KEYS, SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")

MINER = {"image": "registry.example/miner:1", "network_mode": "none", "deploy": {"mode": "global"}}
FORGED = document(services={"miner": MINER})
EDITED = document(tags={"billing": "1.0.1"})
WITHOUT_BILLING = document(services={"billing": None})
LATEST = 2**63 - 1
ROUNDS = 25
"""More than the lease and every wait."""


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """The example carried out, and every image of the forgery within reach."""
    cluster = SimulatedCluster(tmp_path)
    cluster.lan.registry |= images(EDITED) | images(FORGED)
    cluster.put_intent()
    cluster.start()
    cluster.settle()
    return cluster


def write(cluster: SimulatedCluster, *, ahead: int = 0, epoch: int = 0, text: str = FORGED) -> None:
    """Write `accepted` anew, with a later revision and epoch than it has."""
    found = cluster.accepted()
    assert found is not None
    value = replace(found, revision=found.revision + ahead, epoch=found.epoch + epoch, document=text)
    cluster.put(KEYS.accepted, encode(value))


def is_named(cluster: SimulatedCluster, name: str) -> bool:
    return KEYS.accepted in {each.resource for each in cluster.agents[name].plan.blocked}


ACCEPTED: dict[str, Callable[[SimulatedCluster], None]] = {
    "one more service": lambda cluster: write(cluster, ahead=1),
    "far in the future": lambda cluster: write(cluster, ahead=LATEST // 2),
    "the next epoch": lambda cluster: write(cluster, epoch=1),
    "the next epoch and a later revision": lambda cluster: write(cluster, ahead=1, epoch=1),
    "the last epoch": lambda cluster: write(cluster, epoch=LATEST, text=EXAMPLE),
    "services removed": lambda cluster: write(cluster, ahead=1, text=WITHOUT_BILLING),
}


@pytest.mark.parametrize("how", ACCEPTED)
def test_a_forged_document_is_named_on_each_host_and_replaced_and_nothing_of_it_runs(
    cluster: SimulatedCluster, how: str
) -> None:
    before, accepted, named = cluster.ids(), cluster.accepted(), set()
    leader = cluster.leader().name
    ACCEPTED[how](cluster)
    for name in [each for each in cluster.agents if each != leader] + [leader]:
        cluster.agents[name].turn()
        named |= {name} if is_named(cluster, name) else set()
    assert named == set(cluster.hosts)
    assert cluster.accepted() == accepted
    for _ in range(ROUNDS):
        cluster.round()
        assert cluster.ids() == before
    cluster.settle()
    assert KEYS.accepted not in cluster.told()

    cluster.put_intent(EDITED)
    cluster.settle()
    assert "billing:1.0.1" in str(cluster.running())


@pytest.mark.parametrize("how", ACCEPTED)
def test_a_document_put_after_a_forged_one_is_in_force_although_it_is_forged_again(
    cluster: SimulatedCluster, how: str
) -> None:
    for _ in range(3):
        ACCEPTED[how](cluster)
        cluster.round()
    cluster.put_intent(EDITED)
    ACCEPTED[how](cluster)
    cluster.settle()
    assert "billing:1.0.1" in str(cluster.running())
    assert "miner" not in str(cluster.running())


def test_a_forged_document_is_replaced_also_while_a_refused_one_is_the_newest(
    cluster: SimulatedCluster,
) -> None:
    accepted = cluster.accepted()
    cluster.put_intent("services: 1")
    cluster.rounds(3)
    write(cluster, ahead=1)
    cluster.rounds(3)
    assert cluster.accepted() == accepted
    assert "miner" not in str(cluster.running())


def test_an_earlier_document_of_the_operator_is_not_accepted_again_in_a_forged_epoch(
    cluster: SimulatedCluster,
) -> None:
    first = cluster.accepted()
    assert first is not None
    cluster.put_intent(EDITED)
    cluster.settle()
    before = cluster.ids()
    cluster.put(KEYS.accepted, encode(replace(first, epoch=1)))
    for _ in range(ROUNDS):
        cluster.round()
        assert cluster.ids() == before
    assert cluster.accepted() != replace(first, epoch=1)


def test_a_new_host_follows_a_document_that_etcd_has_compacted_once_it_is_put_again(tmp_path: Path) -> None:
    cluster = SimulatedCluster(tmp_path)
    cluster.put_intent()
    late = "node-233"
    cluster.start("node-231", "node-232")
    cluster.rounds(10)
    cluster.put_intent("services: 1")
    cluster.rounds(3)
    before = cluster.running()
    cluster.etcd.compact()
    cluster.start(late)
    cluster.rounds(ROUNDS)
    assert "apply the document again" in str(cluster.agents[late].plan)
    assert cluster.running() == before
    assert not cluster.hosts[late].running()

    cluster.put_intent()
    cluster.settle()
    assert cluster.hosts[late].running()
