"""Networks of others that have the name of an overlay: only their host waits, and nothing of theirs is touched."""

from dataclasses import replace
from ipaddress import IPv4Network
from itertools import pairwise
from pathlib import Path

import pytest

from agent.clients.docker import EngineInfo
from agent.model.host_state import NetworkState
from tests.support.document import document
from tests.support.simulated_cluster import KEYS, NAMES, SimulatedCluster, SimulatedHost, at_rest

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
    cluster.rounds(5)
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


# ---- An earlier overlay of this cluster that one dockerd has not removed


def left_behind(cluster: SimulatedCluster, name: str, *, on_it: bool, subnet: str = "10.10.0.0/16") -> str:
    """The overlay is another one, and this host's dockerd has kept the earlier one, perhaps with its replicas on it."""
    host = cluster.hosts[name]
    kept = host.engine.nets.keep(NET)
    swarm = next(iter(cluster.lan.members.values()))[0]
    swarm.networks[NET] = replace(kept, id="recreated", labels=(), subnet=IPv4Network(subnet))
    for each in cluster.hosts.values():
        for raw in each.replicas().values():
            if each is not host or not on_it:
                raw["NetworkSettings"]["Networks"][NET] |= {"NetworkID": "recreated"}
    return kept.id


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("on_it", [True, False])
def test_an_earlier_overlay_that_dockerd_kept_is_left_and_removed(
    tmp_path: Path, name: str, *, on_it: bool
) -> None:
    cluster = at_rest(tmp_path)
    before = cluster.running()
    left_behind(cluster, name, on_it=on_it)
    cluster.settle()

    assert cluster.hosts[name].engine.nets.kept == {}
    assert cluster.running() == before
    assert {each for host in NAMES for each in on_networks(cluster, host)} == {"recreated"}


@pytest.mark.parametrize("name", NAMES)
def test_the_overlay_is_recreated_with_an_earlier_one_on_a_host(tmp_path: Path, name: str) -> None:
    cluster = at_rest(tmp_path)
    before = cluster.running()
    left_behind(cluster, name, on_it=True)
    cluster.put_intent(
        document(
            networks={NET: {"ipam": {"config": [{"subnet": "10.99.0.0/16", "gateway": "10.99.0.1"}]}}},
            policy={"allow_network_recreate": True},
        )
    )
    cluster.settle()

    assert cluster.running() == before
    assert cluster.hosts[name].engine.nets.kept == {}
    now = overlay(cluster)
    assert now != "recreated"
    assert {each for host in NAMES for each in on_networks(cluster, host)} == {now}


@pytest.mark.parametrize("name", NAMES)
def test_an_earlier_one_that_is_as_declared_does_not_stand_for_the_overlay(tmp_path: Path, name: str) -> None:
    cluster = at_rest(tmp_path)
    before = cluster.running()
    left_behind(cluster, name, on_it=False, subnet="10.99.0.0/16")
    cluster.put_intent(document(policy={"allow_network_recreate": True}))
    cluster.settle()

    swarm = next(iter(cluster.lan.members.values()))[0]
    assert swarm.networks[NET].id != "recreated"
    assert str(swarm.networks[NET].subnet) == "10.10.0.0/16"
    assert cluster.running() == before
    assert {each for host in NAMES for each in on_networks(cluster, host)} == {overlay(cluster)}


def of_engine_28(host: SimulatedHost) -> None:
    info = host.engine.info

    def newer() -> EngineInfo:
        return replace(info(), version="28.5.2")

    host.engine.info = newer  # type: ignore[method-assign]


def test_one_that_every_manager_has_kept_is_reported_by_the_leader_with_the_remedy(tmp_path: Path) -> None:
    """Engines from 25 on create no overlay beside it: no manager is better able to lead than another."""
    cluster = at_rest(tmp_path)
    before = cluster.running()
    for host in cluster.hosts.values():
        of_engine_28(host)
        host.engine.nets.keep(NET)
    del next(iter(cluster.lan.members.values()))[0].networks[NET]
    cluster.rounds(10)  # until all have reported it
    leader = cluster.leader().name
    for _ in range(80):
        cluster.round()
        assert cluster.leader().name == leader
    (blocked,) = [each for agent in cluster.agents.values() for each in agent.plan.blocked]
    assert blocked.resource == f"network/{NET}"
    assert f"run `systemctl restart docker` on {leader}" in blocked.reason

    cluster.hosts[leader].engine.nets.kept.clear()
    cluster.settle()
    assert cluster.running() == before
    others = [name for name in NAMES if name != leader]
    assert {each for name in others for each in on_networks(cluster, name)} == {overlay(cluster)}
    assert not any(cluster.hosts[name].engine.nets.kept for name in NAMES)


def test_a_manager_with_an_obstacle_leads_while_the_one_without_does_not_take_the_lock(
    tmp_path: Path,
) -> None:
    """As an agent that cannot read a key of a newer version: the lock does not alternate, and the remedy is told."""
    roles = {"node-233": "worker"}
    cluster = SimulatedCluster(tmp_path, document(roles=roles))
    cluster.put_intent(document(roles=roles))
    cluster.start("node-231")
    cluster.rounds(3)
    cluster.start("node-232", "node-233")
    cluster.settle()
    hindered = cluster.agents["node-231"]
    of_engine_28(cluster.hosts["node-231"])
    cluster.hosts["node-231"].engine.nets.keep(NET)
    del next(iter(cluster.lan.members.values()))[0].networks[NET]
    led = []
    for _ in range(150):
        cluster.round("node-231", "node-233")
        cluster.agents["node-232"].session.run_once()
        led.append(hindered.leads)
    changes = [after for before, after in pairwise(led) if before != after]
    assert changes.count(True) == 1
    assert all(led[60:])
    assert any("run `systemctl restart docker` on node-231" in each.reason for each in hindered.plan.blocked)

    cluster.rounds(60, seconds=5)
    assert cluster.leader().name == "node-232"
    assert overlay(cluster)


def test_a_newer_overlay_is_not_taken_for_an_earlier_one_while_the_record_is_unreadable(
    tmp_path: Path,
) -> None:
    """As an older agent reads it, while an agent of a newer version leads and recreates the overlay."""
    cluster = SimulatedCluster(tmp_path, document(roles={"node-233": "worker"}))
    cluster.put_intent(document(roles={"node-233": "worker"}))
    cluster.start()
    cluster.settle()
    before = started(cluster)
    cluster.put(KEYS.swarm, b'{"v":3}')
    swarm = next(iter(cluster.lan.members.values()))[0]
    swarm.networks[NET] = replace(swarm.networks[NET], id="recreated")
    for host in cluster.hosts.values():
        for raw in host.replicas().values():
            raw["NetworkSettings"]["Networks"][NET] |= {"NetworkID": "recreated"}
    cluster.rounds(10)
    assert started(cluster) == before
    assert {each for name in NAMES for each in on_networks(cluster, name)} == {"recreated"}
    assert not cluster.agents["node-233"].plan.steps


def test_one_that_no_prune_can_name_holds_its_host_and_names_the_remedy(tmp_path: Path) -> None:
    cluster = at_rest(tmp_path)
    before, nets = cluster.running(), cluster.hosts["node-232"].engine.nets
    kept = left_behind(cluster, "node-232", on_it=True)
    nets.kept[NET] = replace(nets.kept[NET], labels=())
    cluster.rounds(15)

    (blocked,) = cluster.agents["node-232"].plan.blocked
    assert blocked.resource == "host/node-232"
    assert kept[:12] in blocked.reason
    assert "run `systemctl restart docker` on this host" in blocked.reason
    assert {each.on for each in cluster.agents["node-232"].plan.waiting} == {"host/node-232"}
    assert cluster.running() == {**before, "node-232": {}}
    assert all(not each.plan.steps for each in cluster.agents.values())

    nets.restart()
    cluster.settle()
    assert cluster.running() == before


def test_a_container_of_others_on_it_is_named_and_left_alone(tmp_path: Path) -> None:
    cluster = at_rest(tmp_path)
    host = cluster.hosts["node-232"]
    before = cluster.running()
    guest = host.engine.run_foreign("guest")
    host.engine.by_hand.connect(guest, NET, {})
    kept = left_behind(cluster, "node-232", on_it=True)
    cluster.rounds(15)

    (blocked,) = cluster.agents["node-232"].plan.blocked
    assert f"`docker network disconnect {kept[:12]} guest`" in blocked.reason
    assert host.engine.by_hand.get("guest")["State"]["Status"] == "running"

    host.engine.by_hand.disconnect("guest", NET)
    cluster.settle()
    assert cluster.running() == before
