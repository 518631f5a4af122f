"""docker_gwbridge changed by leaving and coming back, by whole agents on hosts in memory."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.document import document
from tests.support.simulated_cluster import NAMES, SimulatedCluster, bridges

REJOIN = document(
    cluster={"gwbridge": {"subnet": "172.22.16.0/20", "gateway": "172.22.16.1", "method": "rejoin"}}
)
WITHIN = 300
"""Rounds: each host is demoted, leaves and comes back, one after the other."""


MANAGERS = ("manager", "manager", "manager")
ONE = ("manager", "worker", "worker")


def swarms(cluster: SimulatedCluster) -> set[str]:
    return {host.swarm_id for host in cluster.hosts.values() if host.swarm_id}


def roles(cluster: SimulatedCluster) -> list[str]:
    """Of the nodes that the hosts are now."""
    members = (cluster.hosts[name].engine.nets.membership for name in NAMES)
    return [each[1].role for each in members if each]


@pytest.mark.parametrize("wanted", [MANAGERS, ONE])
def test_every_host_leaves_and_comes_back_one_after_the_other_and_every_replica_runs_again(
    wanted: Sequence[str], tmp_path: Path
) -> None:
    cluster = SimulatedCluster(tmp_path)
    declared = dict(zip(NAMES, wanted, strict=True))
    cluster.put_intent(document(roles=declared))
    cluster.start()
    cluster.settle()
    before, running = swarms(cluster), cluster.running()
    cluster.put_intent(document(REJOIN, roles=declared))
    for _ in range(WITHIN):
        cluster.round()
        assert swarms(cluster) == before
        assert sum(host.swarm_id is None for host in cluster.hosts.values()) <= 1
        assert "manager" in roles(cluster)
        if bridges(list(cluster.hosts.values())) == {"172.22.16.0/20 172.22.16.1"}:
            break
    cluster.settle()

    assert bridges([cluster.hosts[name] for name in NAMES]) == {"172.22.16.0/20 172.22.16.1"}
    assert cluster.running() == running
    assert roles(cluster) == list(wanted)
