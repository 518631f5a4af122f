"""Each fault of a soak by itself, and a full disk: the other hosts go on, and it mends itself when it is over."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from integration.cluster import EXAMPLE, REPLICAS, UNIT, Cluster, running_on
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.soak.faults import FAULTS, Fault
from integration.test_leadership import edited, leader
from integration.timings import TIMINGS
from tests.support.reliability import SECONDS, RecordProperty

pytestmark = LONG_ONLY

BACK_S = 240
HOLDS_S = TIMINGS.session.ttl_s + 5
"""How long what lasts is held at least: a lease that is not renewed ends by it."""
STATE = "/var/lib/swarmkeeper"
OWN = {"node-231": "console", "node-232": "billing", "node-233": "terminal"}
"""A service of each host that has its one replica there."""
NEW = "10.159.62.231/somecom/order:1.0.1"
ALONE = """\
  {service}:
    image: {image}
    x-hosts: [{host}]
    restart: always
    network_mode: none
    deploy: {{update_config: {{monitor: 0s}}}}
"""
"""On no overlay: an engine whose manager hangs attaches nothing (docs/engine-quirks.md). Nor is it looked at for a
while after it has been moved: a recovery would count that."""


def chosen() -> list[object]:
    return [
        pytest.param(each, id=each.name.replace(" ", "-"), marks=pytest.mark.fault(each.name))
        for each in FAULTS
    ]


def parts(cluster: Cluster, fault: Fault) -> tuple[Host, Host, Host]:
    """The host it happens to, which leads or not as the fault says, its peer, and one that is left alone."""
    led_by = leader(cluster)
    host = next(each for each in reversed(cluster.lab.hosts) if (each is led_by) == fault.of_leader)
    peer, spared = (each for each in cluster.lab.hosts if each is not host)
    return host, peer, spared


def put_new_image(cluster: Cluster, host: Host) -> int:
    """Put a document in which the one replica of the host's own service has another image. Returns its revision."""
    service = OWN[host.name]
    alone = ALONE.format(service=service, image=NEW, host=host.name)
    text, found = re.subn(rf"^  {service}:\n(    .*\n)+", alone, EXAMPLE, flags=re.MULTILINE)
    assert found == 1
    return cluster.put(text)


def works(cluster: Cluster, host: Host, revision: int) -> None:
    """AssertionError unless the host has carried out that edit: its own replica runs with the new image."""
    cluster.check_converged(host, revision)
    images = {each.name: each.image for each in running_on(host)}
    assert images.get(replica_of(host)) == NEW, images


def replica_of(host: Host) -> str:
    return f"prod-{OWN[host.name]}-1"


def whole(cluster: Cluster, revision: int) -> None:
    """AssertionError unless every host has carried out the revision, in a whole swarm, and every replica runs."""
    for host in cluster.lab.hosts:
        cluster.heed(host)
        cluster.check_converged(host, revision)
        nodes = host.docker.api.nodes()  # an error, where the engine knows no leader of the swarm
        assert {each["Status"]["State"] for each in nodes} == {"ready"}, nodes
        assert {each["ManagerStatus"]["Reachability"] for each in nodes} == {"reachable"}, nodes
    assert {each.name: each.host for each in cluster.containers() if each.status == "running"} == REPLICAS


@contextmanager
def brought_about(cluster: Cluster, fault: Fault, host: Host, peer: Host) -> Iterator[None]:
    """Begin it, and end it after the block. What lasts does so until the host's lease has ended, if it ends any."""
    began = time.monotonic()
    try:
        fault.begin(host, peer)
        yield
        if fault.holds_s[1]:
            time.sleep(max(0.0, began + HOLDS_S - time.monotonic()))
            assert (cluster.get(f"hosts/{host.name}/presence") is None) == fault.ends_lease
    finally:
        fault.end(host, peer)


@pytest.mark.parametrize("fault", chosen())
def test_the_other_hosts_go_on_and_all_converges_when_it_is_over(
    cluster: Cluster, fault: Fault, record_property: RecordProperty
) -> None:
    """Recovery counts from the beginning of what is over at once, the edit meanwhile included; else from its end."""
    host, peer, spared = parts(cluster, fault)
    before = cluster.started()
    spared.exec("docker", "pull", NEW)  # the registry may be behind the fault
    cluster.operator = spared
    began = time.monotonic()
    with brought_about(cluster, fault, host, peer):
        revision = put_new_image(cluster, spared)
        eventually(partial(works, cluster, spared, revision), BACK_S, "another host carries out a document")
    if fault.holds_s[1]:
        began = time.monotonic()
    eventually(partial(whole, cluster, revision), BACK_S, "all converges and every replica runs")
    took_s = time.monotonic() - began
    print(f"\n{host.name} {fault.name}: all as it was in {took_s:.1f} s")
    record_property(SECONDS, took_s)
    edited_or_stopped = {replica_of(spared)} | {
        name for name, at in before.items() if fault.stops_replicas and at.startswith(host.name)
    }
    kept = {name: at for name, at in before.items() if name not in edited_or_stopped}
    after = cluster.started()
    assert {name: after[name] for name in kept} == kept


@pytest.mark.fault("the disk of the state directory is full")
def test_a_host_whose_state_directory_is_full_continues_and_reports_that_it_saves_nothing(
    cluster: Cluster,
) -> None:
    host, before = cluster.lab["node-233"], cluster.started()
    host.exec(
        "mount", "-t", "tmpfs", "-o", "size=4k,mode=0700,uid=swarmkeeper,gid=swarmkeeper", "full", STATE
    )
    try:
        host.systemctl("restart", UNIT)
        revision = edited(cluster)
        eventually(partial(says_that_it_keeps_nothing, cluster, host), 60, "it says so")
        eventually(partial(has_carried_out, cluster, host, revision), BACK_S, "it goes on by what etcd says")
    finally:
        host.systemctl("stop", UNIT)
        host.exec("umount", STATE)
        host.systemctl("start", UNIT)
    cluster.wait_converged(revision, BACK_S)
    assert cluster.started() == before


def has_carried_out(cluster: Cluster, host: Host, revision: int) -> None:
    status = cluster.status(host)
    assert (status["revision"], status["steps"]) == (revision, [])
    assert [each["kind"] for each in status["blocked"]] == ["disk"], status["blocked"]


def says_that_it_keeps_nothing(cluster: Cluster, host: Host) -> None:
    text = cluster.lab.lan.http_get(f"http://{host.address}:9477/status").text
    assert "No space left on device" in text, text[:2000]
