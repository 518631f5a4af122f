"""Networks of others that have the name of an overlay: only their host waits, and nothing of theirs is touched."""

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from agent.model.host_state import NetworkState
from tests.support.simulated_cluster import NAMES, SimulatedCluster, at_rest

pytestmark = pytest.mark.usefixtures("unlogged")

NET = "my-network-overlay"
BRIDGE = NetworkState(
    id="0123456789abcdef",
    name=NET,
    driver="bridge",
    scope="local",
    subnet=IPv4Network("172.30.0.0/16"),
    gateway="172.30.0.1",
)


def on_networks(cluster: SimulatedCluster, name: str) -> set[str]:
    """Ids of the networks on which the replicas of a host are."""
    replicas = cluster.hosts[name].replicas().values()
    return {each["NetworkID"] for raw in replicas for each in raw["NetworkSettings"]["Networks"].values()}


def overlay(cluster: SimulatedCluster) -> str:
    return next(iter(cluster.lan.members.values()))[0].networks[NET].id


@pytest.mark.parametrize("leader", NAMES[:2])
def test_a_local_network_of_that_name_holds_only_its_host(tmp_path: Path, leader: str) -> None:
    cluster = SimulatedCluster(tmp_path)
    host = cluster.hosts["node-232"]
    host.engine.nets.local[NET] = BRIDGE
    cluster.put_intent()
    cluster.start(leader)
    cluster.rounds(3)
    assert cluster.leader().name == leader
    cluster.start(*(each for each in NAMES if each != leader))
    cluster.rounds(40)

    agent = cluster.agents["node-232"]
    (blocked,) = agent.plan.blocked
    assert (blocked.resource, blocked.kind) == ("host/node-232", "foreign")
    assert "the bridge network 0123456789ab (local)" in blocked.reason
    assert "docker network rm 0123456789ab" in blocked.reason
    assert len(agent.plan.waiting) == 3
    assert any("docker network rm" in each for each in agent.reporter.unready())
    assert cluster.running()["node-232"] == {}
    assert [len(cluster.running()[each]) for each in ("node-231", "node-233")] == [3, 2]
    assert on_networks(cluster, "node-231") == {overlay(cluster)}
    assert host.engine.nets.local[NET] == BRIDGE
    assert all(not each.plan.blocked for name, each in cluster.agents.items() if name != "node-232")

    del host.engine.nets.local[NET]
    cluster.settle()
    assert len(cluster.running()["node-232"]) == 3
    assert on_networks(cluster, "node-232") == {overlay(cluster)}


def test_a_replica_that_is_on_such_a_network_leaves_it_and_comes_back_to_the_overlay(tmp_path: Path) -> None:
    """An earlier agent attached it by the name alone."""
    cluster = at_rest(tmp_path)
    host, before = cluster.hosts["node-232"], cluster.running()
    host.engine.nets.local[NET] = BRIDGE
    for raw in host.replicas().values():
        raw["NetworkSettings"]["Networks"][NET] |= {"NetworkID": BRIDGE.id, "IPAddress": "172.30.0.2"}
    cluster.rounds(5)

    assert on_networks(cluster, "node-232") == set()
    assert cluster.running() == {**before, "node-232": {}}

    del host.engine.nets.local[NET]
    cluster.settle()
    assert cluster.running() == before
    assert on_networks(cluster, "node-232") == {overlay(cluster)}


def test_a_replica_on_the_overlay_runs_on_while_another_network_gets_its_name(tmp_path: Path) -> None:
    cluster = at_rest(tmp_path)
    host, before = cluster.hosts["node-232"], started(cluster)
    host.engine.nets.local[NET] = BRIDGE
    cluster.rounds(5)
    assert started(cluster) == before
    (blocked,) = cluster.agents["node-232"].plan.blocked
    assert blocked.resource == "host/node-232"

    host.engine.by_hand.end(
        "prod-order-1" if "prod-order-1" in host.replicas() else next(iter(host.replicas()))
    )
    cluster.rounds(5)
    assert BRIDGE.id not in on_networks(cluster, "node-232")

    del host.engine.nets.local[NET]
    cluster.settle()
    assert on_networks(cluster, "node-232") == {overlay(cluster)}


def test_an_overlay_of_another_cluster_in_the_swarm_is_left_alone(tmp_path: Path) -> None:
    cluster = SimulatedCluster(tmp_path)
    cluster.put_intent()
    cluster.start()
    cluster.rounds(4)
    swarm = next(iter(cluster.lan.members.values()))[0]
    theirs = replace(BRIDGE, driver="overlay", scope="swarm", attachable=True, cluster="test")
    swarm.networks[NET] = theirs
    cluster.rounds(15)

    (blocked,) = [each for agent in cluster.agents.values() for each in agent.plan.blocked]
    assert (blocked.resource, blocked.kind) == (f"network/{NET}", "foreign")
    assert "of cluster test" in blocked.reason
    assert swarm.networks[NET] == theirs
    assert not any(cluster.running().values())


def started(cluster: SimulatedCluster) -> dict[str, str]:
    replicas = [item for host in cluster.hosts.values() for item in host.replicas().items()]
    return {name: raw["State"]["StartedAt"] for name, raw in replicas}
