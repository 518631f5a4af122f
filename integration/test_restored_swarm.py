"""A manager whose swarm is restored from an older copy, as Docker's own guide to back-ups describes it.

It gives out addresses of the overlay a second time, which containers have that it does not know of.
"""

from functools import partial

import pytest

from integration.by_hand import OVERLAY
from integration.cluster import EXAMPLE, UNIT, Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.registry import ADDRESS as REGISTRY
from tests.support.document import document
from tests.support.reliability import RecordProperty, recovering

IMAGE = f"{REGISTRY}/somecom/order:1.0.0"
SWARM, OLDER = "/var/lib/docker/swarm", "/var/lib/docker/swarm.older"
DOCKER = ("docker.socket", "docker.service")
THEIRS = tuple(f"theirs-{number}" for number in range(6))
"""Enough that some have what the swarm gives out next when the manager's own replicas have come back."""
CONVERGE_S = 120
READY_S = 60
WHY = "the swarm allocated it an address that another container on this host has"


def one_manager() -> str:
    return document(EXAMPLE, roles={"node-232": "worker", "node-233": "worker"})


def with_more_replicas() -> str:
    return document(one_manager(), replicas={"billing": {"node-232": 4}})


def nodes_are_ready(manager: Host) -> None:
    states = manager.exec("docker", "node", "ls", "--format", "{{.Status}}").stdout.split()
    assert states == ["Ready"] * 3


def started(host: Host) -> dict[str, str]:
    return {name: host.docker.api.inspect_container(name)["State"]["StartedAt"] for name in THEIRS}


@LONG_ONLY
@pytest.mark.fault("a manager's swarm is restored from an older backup")
def test_a_replica_whose_address_the_restored_swarm_gave_out_twice_is_recreated_and_has_another_one(
    fresh_cluster: Cluster, record_property: RecordProperty
) -> None:
    cluster = fresh_cluster
    manager, worker = cluster.lab["node-231"], cluster.lab["node-232"]
    cluster.start()
    cluster.wait_converged(cluster.put(one_manager()), CONVERGE_S)
    cluster.stop()

    manager.systemctl("stop", *DOCKER)
    manager.exec("cp", "-a", SWARM, OLDER)
    manager.systemctl("start", *DOCKER)
    eventually(partial(nodes_are_ready, manager), READY_S, "the swarm is there again")
    for name in THEIRS:
        worker.exec("docker", "run", "--detach", "--name", name, "--network", OVERLAY, IMAGE)
    before = started(worker)
    manager.systemctl("stop", *DOCKER)
    manager.exec("rm", "-rf", SWARM)
    manager.exec("mv", OLDER, SWARM)
    manager.systemctl("start", *DOCKER)
    eventually(partial(nodes_are_ready, manager), READY_S, "the swarm is as it was")

    with recovering(record_property):
        cluster.start()
        cluster.wait_converged(cluster.put(with_more_replicas()), CONVERGE_S)

    anew = [
        line
        for line in worker.journal_text(UNIT).splitlines()
        if "info remove container/" in line and WHY in line
    ]
    print(f"\nrecreated: {len(anew)}")
    assert anew
    names = {
        each.name for each in cluster.containers() if each.host == worker.name and each.status == "running"
    }
    assert {f"prod-billing-{number}" for number in (1, 2, 3, 4)} <= names
    assert started(worker) == before
