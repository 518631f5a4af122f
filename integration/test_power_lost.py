"""Hosts with disks of their own lose power and with it what was not synced, or have no space: nobody misses it."""

from collections.abc import Iterator
from functools import partial

import pytest

from integration.cluster import EXAMPLE, Cluster
from integration.conftest import LONG_ONLY, example_on, session_name
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.lab.outage import black_out
from integration.test_power import BACK_S, LONGEST_S, by_host, the_same_afterwards, whole
from integration.timings import Timings
from tests.support.document import document
from tests.support.reliability import SECONDS, RecordProperty, recovering

pytestmark = pytest.mark.every_base

CONVERGE_S = 120
FILLER = "/var/lib/docker/filler"
# Allocated, but for the last of it: the image stays sparse.
FILL = f"""
left=$(df --output=avail -BM /var/lib/docker | tail -1)
fallocate --length $((${{left%M}} - 4))M {FILLER}
! cat /dev/zero > {FILLER}.rest
"""
OLD, NEW = "order:1.0.0", "order:1.0.1"
NEWER = document(EXAMPLE, tags={"order": "1.0.1"})
ON_THREE_HOSTS = document(EXAMPLE, replicas={"order": {"node-231": 2, "node-232": 1, "node-233": 1}})


@pytest.fixture(scope="module")
def made(_sweep: None, base: str) -> Iterator[Cluster]:
    """The example document carried out on hosts that each have a disk image."""
    with example_on(Lab(session_name("-disks"), disk="4G", base=base)) as cluster:
        yield cluster


@pytest.fixture
def synced(made: Cluster, timings: Timings) -> Cluster:
    """As after a quiet minute: docker does not sync the layers of images that it unpacks, the kernel does in time."""
    assert made.timings == timings
    made.on_every_host(lambda host: host.exec("sync"))
    return made


@LONG_ONLY
@pytest.mark.fault("all hosts lose power at once, and what was not synced is gone")
@pytest.mark.timeout(LONGEST_S)
def test_a_cluster_whose_hosts_all_lose_power_runs_again_from_what_was_synced(
    synced: Cluster, record_property: RecordProperty
) -> None:
    with the_same_afterwards(synced):
        recovery = black_out(synced.lab, by_host(), BACK_S, synced_only=True)
        print(f"\npower cut of all hosts, unsynced data lost: {recovery}")
        record_property(SECONDS, recovery.seconds)
        assert not recovery.down


@LONG_ONLY
@pytest.mark.fault("a host loses power right after a change, and what was not synced is gone")
@pytest.mark.timeout(LONGEST_S)
def test_a_host_that_loses_power_right_after_a_change_carries_it_out_again(
    synced: Cluster, record_property: RecordProperty
) -> None:
    synced.wait_converged(synced.put(NEWER), CONVERGE_S)
    with recovering(record_property):
        synced.lab["node-231"].lose()
        eventually(lambda: whole(synced), BACK_S, "everything converges")
    assert set(images_of_order(synced)) == {NEW}


@pytest.mark.fault("all hosts lose power at once in the middle of a rollout, and what was not synced is gone")
@pytest.mark.timeout(LONGEST_S)
def test_hosts_that_all_lose_power_in_the_middle_of_a_rollout_come_back_and_end_it(
    synced: Cluster, record_property: RecordProperty
) -> None:
    """Back to the image that every host has.

    What a fault may leave unfinished: containers, records in etcd, and the replicas' order.
    """
    synced.wait_converged(synced.put(NEWER), CONVERGE_S)
    synced.on_every_host(lambda host: host.exec("sync"))
    synced.put(EXAMPLE)

    def is_half_way() -> bool:
        return len(set(images_of_order(synced))) > 1

    eventually(is_half_way, CONVERGE_S, "one replica has the other image, and one has not")
    with recovering(record_property):
        recovery = black_out(synced.lab, by_host(), BACK_S, synced_only=True)
        print(f"\npower cut of all hosts during a rollout, unsynced data lost: {recovery}")
        eventually(lambda: whole(synced), BACK_S, "everything converges")
    assert set(images_of_order(synced)) == {OLD}


@LONG_ONLY
@pytest.mark.fault("the disk of a host is full, of its dockerd and its etcd as well")
@pytest.mark.timeout(LONGEST_S)
def test_a_host_without_space_keeps_what_runs_and_makes_what_it_lacks_when_there_is_some(
    synced: Cluster, record_property: RecordProperty
) -> None:
    host, replica = synced.lab["node-233"], "prod-order-4"
    before = dict(synced.started())
    synced.operator = synced.lab["node-231"]
    host.exec("sh", "-c", FILL)
    try:
        revision = synced.put(ON_THREE_HOSTS)
        eventually(partial(says_that_it_is_full, synced, host), 60, "it says that there is no space")
        assert synced.started() == before
    finally:
        host.exec("rm", FILLER, f"{FILLER}.rest")
        synced.operator = None
    with recovering(record_property):
        host.systemctl("restart", "etcd")  # it ends when it cannot write
        synced.wait_converged(revision, BACK_S)
    after = dict(synced.started())
    assert after.pop(replica).startswith(host.name)
    assert after == before


def says_that_it_is_full(cluster: Cluster, host: Host) -> None:
    told = cluster.command("status", host=cluster.operator).stdout.splitlines()
    assert any("no space left on device" in line for line in told), told


def images_of_order(cluster: Cluster) -> list[str]:
    """Image and tag of each replica of order that runs."""
    running = (each for each in cluster.containers() if "order" in each.name and each.status == "running")
    return [each.image.rpartition("/")[2] for each in running]
