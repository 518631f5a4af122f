"""Each fault of a soak by itself, and a full disk: the other hosts go on, and it mends itself when it is over."""

import time
from functools import partial

import pytest

from integration.cluster import DOCUMENT, UNIT, Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.soak.faults import FAULTS, Fault
from integration.test_main_job import COPIES
from tests.reliability import SECONDS, RecordProperty

pytestmark = LONG_ONLY

BACK_S = 240
HOLDS_S = 8.0
STATE = "/var/lib/swarmkeeper"


def chosen() -> list[object]:
    return [
        pytest.param(each, id=each.name.replace(" ", "-"), marks=pytest.mark.fault(each.name))
        for each in FAULTS
    ]


def edited(cluster: Cluster) -> int:
    """Put a document that differs in a comment alone. Returns its revision."""
    return cluster.put(f"{DOCUMENT.read_text()}# {time.time()}\n")


def all_run(cluster: Cluster) -> None:
    """AssertionError unless every copy runs where it should."""
    assert {each.name: each.host for each in cluster.containers() if each.status == "running"} == COPIES


@pytest.mark.parametrize("fault", chosen())
def test_the_other_hosts_go_on_and_all_converges_when_it_is_over(
    cluster: Cluster, fault: Fault, record_property: RecordProperty
) -> None:
    host, other, third = (cluster.lab[name] for name in ("node-233", "node-232", "node-231"))
    before = cluster.started()
    cluster.operator = other
    try:
        fault.begin(host, third)
        revision = edited(cluster)
        eventually(
            partial(cluster.check_converged, other, revision), BACK_S, "another host carries out a document"
        )
        time.sleep(HOLDS_S if fault.holds_s[1] else 0)
    finally:
        fault.end(host, third)
        cluster.operator = None
    began = time.monotonic()
    cluster.wait_converged(revision, BACK_S)
    eventually(partial(all_run, cluster), BACK_S, "every copy runs")
    took_s = time.monotonic() - began
    print(f"\n{fault.name}: all as it was {took_s:.1f} s after it was over")
    record_property(SECONDS, took_s)
    spared = {
        name: at for name, at in before.items() if not (fault.stops_copies and at.startswith(host.name))
    }
    assert {name: cluster.started()[name] for name in spared} == spared


@pytest.mark.fault("the disk of the state directory is full")
def test_a_host_whose_state_directory_is_full_goes_on_and_says_that_it_keeps_nothing(
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
