"""etcd is wiped, restored from a backup, or emptied: nothing stops, it is said, and a new put is carried out."""

from pathlib import Path

import pytest

from agent.model.records import Verdict
from agent.model.store import KeyRange
from tests.support.document import document
from tests.support.simulated_cluster import KEYS, SimulatedCluster, images

pytestmark = pytest.mark.usefixtures("unlogged")

EDITED = document(tags={"billing": "1.0.1"})
MOVED = document(tags={"order": "1.0.1"})


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """The example carried out."""
    cluster = SimulatedCluster(tmp_path)
    cluster.lan.registry |= images(EDITED) | images(MOVED)
    cluster.put_intent()
    cluster.start()
    cluster.settle()
    return cluster


def said(cluster: SimulatedCluster) -> str:
    return cluster.told()


def undisturbed(cluster: SimulatedCluster, before: set[tuple[str, str]], rounds: int = 25) -> None:
    """AssertionError if a container is touched within these rounds, which outlast the lease and every wait."""
    for _ in range(rounds):
        cluster.round(seconds=1)
        assert cluster.ids() == before


def emptied(cluster: SimulatedCluster) -> None:
    """`etcdctl del --prefix`: what hangs on leases goes too, and the leases stay."""
    for key in list(cluster.etcd.snapshot([KeyRange(key=KEYS.root, prefix=True)]).values):
        cluster.delete(key)


def wiped(cluster: SimulatedCluster) -> None:
    cluster.etcd.wipe()


@pytest.mark.parametrize("happens", [emptied, wiped])
def test_an_etcd_that_lost_everything_stops_nothing_and_it_is_said(
    cluster: SimulatedCluster, happens: object
) -> None:
    before = cluster.ids()
    assert callable(happens)
    happens(cluster)
    undisturbed(cluster, before)
    assert "etcd was rolled back, it has no accepted document; holding revision" in said(cluster)
    assert "there is no intent; holding revision" in said(cluster)


@pytest.mark.parametrize("happens", [emptied, wiped])
def test_after_that_a_replica_that_ends_is_started_again(cluster: SimulatedCluster, happens: object) -> None:
    assert callable(happens)
    happens(cluster)
    cluster.rounds(3)
    running = cluster.running()
    for host in cluster.hosts.values():
        for name in sorted(host.replicas())[:1]:
            host.engine.by_hand.remove(name, force=True)
    assert cluster.running() != running
    cluster.rounds(10)
    assert cluster.running() == running


@pytest.mark.parametrize("happens", [emptied, wiped])
def test_the_same_document_put_again_touches_no_container(cluster: SimulatedCluster, happens: object) -> None:
    before = cluster.ids()
    assert callable(happens)
    happens(cluster)
    cluster.rounds(20)
    cluster.put_intent()
    cluster.settle()
    assert cluster.ids() == before
    assert cluster.record() is not None


@pytest.mark.parametrize("happens", [emptied, wiped])
def test_a_new_document_put_after_that_is_carried_out_and_touches_only_what_it_changes(
    cluster: SimulatedCluster, happens: object
) -> None:
    before, running = cluster.ids(), cluster.running()
    assert callable(happens)
    happens(cluster)
    cluster.rounds(20)
    cluster.put_intent(EDITED)
    cluster.settle()
    assert {name for name, _ in before - cluster.ids()} == {
        name for name, replicas in running.items() if any("billing" in image for image in replicas.values())
    }
    assert len(before - cluster.ids()) == 1


def restored(cluster: SimulatedCluster) -> None:
    """As it was at the first document, and restored while all agents run."""
    backup = {key: found.value for key in cluster.written() if (found := cluster.read(key))}
    cluster.put_intent(EDITED)
    cluster.settle()
    cluster.etcd.wipe()
    for key, value in backup.items():
        if key != KEYS.leader and not key.endswith("/presence"):
            cluster.put(key, value)


@pytest.mark.fault("etcd is restored from a backup")
def test_a_restored_backup_undoes_nothing_before_a_document_is_put(cluster: SimulatedCluster) -> None:
    restored(cluster)
    undisturbed(cluster, cluster.ids())
    assert "etcd was rolled back, it has accepted revision" in said(cluster)
    verdict = cluster.verdict()
    assert verdict is not None
    assert not verdict.accepted
    assert "apply the correct document again" in verdict.errors[0]


def test_a_restored_backup_is_taken_up_once_its_document_is_put_again(cluster: SimulatedCluster) -> None:
    restored(cluster)
    cluster.rounds(20)
    cluster.put_intent()
    cluster.settle()
    assert "billing:1.0.0" in str(cluster.running())
    verdict = cluster.verdict()
    assert isinstance(verdict, Verdict)
    assert verdict.accepted


def test_agents_started_after_that_know_it_from_their_disks(cluster: SimulatedCluster) -> None:
    before = cluster.ids()
    for name in cluster.hosts:
        cluster.lose_agent(name)
    wiped(cluster)
    cluster.put_intent(EDITED)
    cluster.start()
    undisturbed(cluster, before)
    assert "apply the correct document again" in said(cluster)
    cluster.put_intent(EDITED)
    cluster.settle()
    assert "billing:1.0.1" in str(cluster.running())


@pytest.mark.parametrize(
    "restarted", [False, True], ids=["agents that went on", "agents that were started since"]
)
def test_a_restored_backup_from_the_middle_of_a_rollout_of_the_same_document_replaces_no_replica_again(
    cluster: SimulatedCluster, restarted: bool
) -> None:
    cluster.put_intent(MOVED)
    backup = cluster.etcd.backup()
    while not is_half_way(cluster):
        cluster.round(seconds=1)
        backup = cluster.etcd.backup()
    cluster.settle()
    before = cluster.ids()
    if restarted:
        for name in cluster.hosts:
            cluster.lose_agent(name)
    cluster.etcd.restore(backup)
    if restarted:
        cluster.start()
    undisturbed(cluster, before)
    cluster.settle()
    assert cluster.ids() == before


def is_half_way(cluster: SimulatedCluster) -> bool:
    """Whether a replica of order has the image that it had, and another one has the new one."""
    images = [image for replicas in cluster.running().values() for image in replicas.values()]
    return {image.rpartition(":")[2] for image in images if "/order:" in image} == {"1.0.0", "1.0.1"}


def test_a_presence_that_somebody_deletes_is_put_again_and_its_host_is_there_as_before(
    cluster: SimulatedCluster,
) -> None:
    key = KEYS.presence("node-232")
    cluster.delete(key)
    cluster.round(seconds=1)
    assert "put presence: the key was deleted" in said(cluster)
    cluster.round(seconds=1)
    found = cluster.read(key)
    assert found is not None
    assert found.lease
    cluster.put_intent(EDITED)
    cluster.settle()
    assert "billing:1.0.1" in str(cluster.running()["node-232"])
