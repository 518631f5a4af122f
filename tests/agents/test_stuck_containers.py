"""A container that docker cannot remove has only the name of its replica, which goes on under another one."""

from pathlib import Path
from unittest import mock

import pytest

from agent.errors import Refused
from tests.support.simulated_cluster import SimulatedCluster, SimulatedHost, at_rest

pytestmark = pytest.mark.usefixtures("unlogged")

BUSY = "driver failed to remove root filesystem: unlinkat: device or resource busy"


def running_as(host: SimulatedHost, name: str) -> list[str]:
    """Names under which a replica runs."""
    return sorted(each for each in host.running() if each.startswith(name))


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    return at_rest(tmp_path)


@pytest.mark.parametrize("status", ["removing", "dead"])
def test_its_replica_goes_on_under_another_name_and_gets_its_own_back(
    cluster: SimulatedCluster, status: str
) -> None:
    host, before = cluster.hosts["node-232"], cluster.running()
    name, raw = min(host.replicas().items())
    host.engine.by_hand.end(name)
    raw["State"]["Status"] = status
    remove = host.engine.by_hand.remove

    def cannot(which: str, *, force: bool = False) -> None:
        if which in (name, raw["Id"]):
            raise Refused(BUSY)
        remove(which, force=force)

    with mock.patch.object(host.engine.by_hand, "remove", cannot):
        cluster.rounds(5)
        assert running_as(host, name) == []
        cluster.rounds(15)
        assert running_as(host, name) == [f"{name}-{raw['Id'][:12]}"]
        told = [each.reason for each in cluster.agents["node-232"].plan.blocked]
        assert len(told) == 1
        assert told[0].startswith(f"docker cannot remove {raw['Id'][:12]}, which is ")
        assert "systemctl restart docker" in told[0]

    if status == "removing":
        del host.engine.by_hand.raws[raw["Id"]]
    cluster.rounds(40)
    cluster.settle()
    assert cluster.running() == before
    assert running_as(host, name) == [name]


def test_a_removal_that_docker_completes_in_time_is_waited_for(cluster: SimulatedCluster) -> None:
    host, before = cluster.hosts["node-232"], cluster.running()
    name, raw = min(host.replicas().items())
    host.engine.by_hand.end(name)
    raw["State"]["Status"] = "removing"
    cluster.rounds(3)
    del host.engine.by_hand.raws[raw["Id"]]
    cluster.settle()

    assert cluster.running() == before
