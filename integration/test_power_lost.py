"""Hosts with disks of their own lose power and with it what was not synced, or have no space: nobody misses it."""

import time
from collections.abc import Iterator
from functools import partial

import pytest

from integration.cluster import DOCUMENT, Cluster
from integration.conftest import LONG_ONLY, session_name
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.lab.outage import black_out
from integration.test_power import BACK_S, LONGEST_S, by_host, the_same_afterwards, whole
from tests.reliability import SECONDS, RecordProperty

pytestmark = pytest.mark.every_base

CONVERGE_S = 120
FILLER = "/var/lib/docker/filler"
OLD, NEW = "order:1.0.0", "order:1.0.1"


@pytest.fixture(scope="module")
def made(_sweep: None, base: str) -> Iterator[Cluster]:
    """The example document carried out on hosts that each have a disk image."""
    lab = Lab(session_name("-disks"), disk="4G", base=base)
    try:
        lab.up()
        cluster = Cluster(lab)
        cluster.install_and_start()
        cluster.wait_converged(cluster.put(DOCUMENT.read_text()), CONVERGE_S)
        yield cluster
    finally:
        lab.down()


@pytest.fixture
def synced(made: Cluster) -> Cluster:
    """As after a quiet minute: docker does not sync the layers of images that it unpacks, the kernel does in time."""
    made.on_every_host(lambda host: host.exec("sync"))
    return made


@LONG_ONLY
@pytest.mark.fault("all hosts lose power at once, and what was not synced is gone")
@pytest.mark.timeout(LONGEST_S)
def test_a_cluster_whose_hosts_all_lose_power_runs_again_from_what_was_synced(synced: Cluster) -> None:
    with the_same_afterwards(synced):
        recovery = black_out(synced.lab, by_host(), BACK_S, synced_only=True)
        print(f"\npower cut of all hosts, unsynced data lost: {recovery}")
        assert not recovery.down


@LONG_ONLY
@pytest.mark.fault("a host loses power right after a change, and what was not synced is gone")
@pytest.mark.timeout(LONGEST_S)
def test_a_host_that_loses_power_right_after_a_change_carries_it_out_again(synced: Cluster) -> None:
    document = DOCUMENT.read_text()
    synced.wait_converged(synced.put(document.replace(OLD, NEW)), CONVERGE_S)
    synced.lab["node-231"].lose()
    eventually(lambda: whole(synced), BACK_S, "everything converges")
    assert set(images_of_order(synced)) == {NEW}


@pytest.mark.timeout(LONGEST_S)
def test_hosts_that_all_lose_power_in_the_middle_of_a_rollout_come_back_and_end_it(synced: Cluster) -> None:
    """Back to the image that every host has: what is half way is containers, records in etcd, and the copies' order."""
    synced.wait_converged(synced.put(DOCUMENT.read_text().replace(OLD, NEW)), CONVERGE_S)
    synced.on_every_host(lambda host: host.exec("sync"))
    synced.put(DOCUMENT.read_text())

    def is_half_way() -> bool:
        return len(set(images_of_order(synced))) > 1

    eventually(is_half_way, CONVERGE_S, "one copy has the other image, and one has not")
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
    host, lost = synced.lab["node-233"], "prod-terminal-1"
    kept = {name: at for name, at in synced.started().items() if name != lost}
    synced.operator = synced.lab["node-231"]
    # Allocated, not written: the image stays sparse.
    host.exec("sh", "-c", f"fallocate --length $(df --output=avail -B1 /var/lib/docker | tail -1) {FILLER}")
    try:
        host.exec("docker", "rm", "--force", lost)
        eventually(
            partial(says_why_it_is_not_there, synced, host, lost), 60, "it says that there is no space"
        )
        assert synced.started() == kept
    finally:
        host.exec("rm", FILLER)
        synced.operator = None
    began = time.monotonic()
    host.systemctl("restart", "etcd")  # it ends when it cannot write
    eventually(lambda: whole(synced), BACK_S, "everything converges")
    record_property(SECONDS, time.monotonic() - began)
    assert {name: at for name, at in synced.started().items() if name != lost} == kept


def says_why_it_is_not_there(cluster: Cluster, host: Host, name: str) -> None:
    told = cluster.command("status", host=cluster.operator).stdout.splitlines()
    of_it = [line for line in told if line.startswith(f"{host.name}: ") and name in line]
    assert any("no space left on device" in line for line in of_it), told


def images_of_order(cluster: Cluster) -> list[str]:
    """Image and tag of each copy of order that runs."""
    running = (each for each in cluster.containers() if "order" in each.name and each.status == "running")
    return [each.image.rpartition("/")[2] for each in running]
