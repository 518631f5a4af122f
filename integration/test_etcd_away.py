"""etcd unreachable, emptied and begun again: every replica runs all the time, and what etcd lost is not removed."""

from collections.abc import Mapping
from functools import partial

import pytest

from integration.cluster import EXAMPLE, PREFIX, REPLICAS, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host
from tests.support.document import SERVICES, document
from tests.support.reliability import RecordProperty, recovering

AWAY_S = 90
BACK_S = 150
DISK = 'swarmkeeper_assignment_source{source="disk"}'
CONFIRM = 'swarmkeeper_blocked{reason="confirm"}'
EDITED = document(EXAMPLE, services={name: {"environment": {"EDITED": "yes"}} for name in SERVICES})


@pytest.mark.fault("etcd is unreachable on every host, a replica is lost, a host boots")
def test_without_etcd_replicas_are_kept_and_a_host_that_boots_starts_its_own(
    cluster: Cluster, record_property: RecordProperty
) -> None:
    hosts, before = cluster.lab.hosts, cluster.started()
    booted, other = cluster.lab["node-233"], cluster.lab["node-231"]
    cluster.on_every_host(lambda host: host.systemctl("stop", "etcd"))
    booted.systemctl("disable", "etcd")
    try:
        for host in hosts:
            eventually(partial(goes_by_its_disk, cluster, host), 30, f"{host.name} says that etcd is away")
        assert cluster.started() == before

        lose_a_replica(other, "prod-console-1")
        eventually(lambda: all_run(cluster), AWAY_S, "the lost replica is recreated")

        with recovering(record_property):
            booted.cycle()
            eventually(lambda: all_run(cluster), BACK_S, "the booted host runs its replicas")
        eventually(partial(goes_by_its_disk, cluster, booted), 60, "the booted host says that etcd is away")
        lose_a_replica(booted, "prod-terminal-1")
        eventually(lambda: all_run(cluster), AWAY_S, "the lost replica is recreated from the disk")
        blocked_plan(cluster, before, {"node-232"})
    finally:
        booted.systemctl("enable", "etcd")
        cluster.on_every_host(lambda host: host.systemctl("start", "etcd"))
    cluster.lab.wait_etcd()
    cluster.wait_converged(int((cluster.get("accepted") or {})["revision"]), BACK_S)


@pytest.mark.fault("the intent, then every key is deleted")
def test_deleting_the_intent_and_then_every_key_stops_nothing(
    cluster: Cluster, record_property: RecordProperty
) -> None:
    before = cluster.started()
    cluster.delete("intent")
    eventually(lambda: the_leader_says(cluster, "there is no intent; holding revision"), 30, "it is said")
    assert cluster.started() == before

    cluster.etcdctl("del", "--prefix", PREFIX)
    for host in cluster.lab.hosts:
        eventually(partial(says, cluster, host, "etcd was rolled back"), 30, f"{host.name} says it")
    assert cluster.started() == before

    with recovering(record_property):
        cluster.wait_converged(cluster.put(EXAMPLE), BACK_S)
    assert cluster.started() == before
    cluster.wait_converged(cluster.put(EDITED), BACK_S)
    all_run(cluster)


@pytest.mark.fault("etcd is wiped")
def test_an_etcd_that_is_wiped_stops_nothing_and_a_document_put_after_that_is_carried_out(
    cluster: Cluster, record_property: RecordProperty
) -> None:
    before = cluster.started()
    cluster.on_every_host(lambda host: host.systemctl("stop", "etcd"))
    cluster.on_every_host(lambda host: host.exec("sh", "-c", "rm -rf /var/lib/etcd/*"))
    cluster.on_every_host(lambda host: host.systemctl("start", "etcd"))
    cluster.lab.wait_etcd()
    for host in cluster.lab.hosts:
        eventually(partial(waits_for_confirmation, cluster, host), 60, f"{host.name} waits")
        eventually(partial(says, cluster, host, "etcd was rolled back"), 30, f"{host.name} says why")
    assert cluster.started() == before

    with recovering(record_property):
        cluster.wait_converged(cluster.put(EDITED), BACK_S)
    all_run(cluster)
    assert int((cluster.get("accepted") or {})["epoch"]) > 0


def lose_a_replica(host: Host, name: str) -> None:
    host.docker.api.remove_container(name, force=True)


def all_run(cluster: Cluster) -> None:
    """AssertionError unless every replica runs where it should."""
    assert {each.name: each.host for each in cluster.containers() if each.status == "running"} == REPLICAS


def goes_by_its_disk(cluster: Cluster, host: Host) -> None:
    metrics = cluster.metrics(host)
    assert metrics[DISK] == 1
    assert metrics["swarmkeeper_store_up"] == 0


def waits_for_confirmation(cluster: Cluster, host: Host) -> None:
    assert cluster.metrics(host)[CONFIRM] == 1


def says(cluster: Cluster, host: Host, what: str) -> None:
    """AssertionError unless the host's own page says it: its status in etcd may be gone."""
    text = cluster.lab.lan.http_get(f"http://{host.address}:9477/status").text
    assert what in text, text[:2000]


def the_leader_says(cluster: Cluster, what: str) -> None:
    says(cluster, cluster.lab[(cluster.get("leader") or {})["host"]], what)


def blocked_plan(cluster: Cluster, before: Mapping[str, str], hosts: set[str]) -> None:
    """AssertionError if a replica on one of these hosts was restarted."""
    now = cluster.started()
    mine = {name: at for name, at in before.items() if at.split()[0] in hosts}
    assert {name: now[name] for name in mine} == mine
