"""Agents, dockerds and hosts die and come back; the cluster converges and the other hosts do not notice."""

import pytest

from integration.cluster import Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host
from tests.support.reliability import RecordProperty, recovering

pytestmark = pytest.mark.every_base

BACK_S = 120


def of_others(cluster: Cluster, host: Host) -> dict[str, str]:
    return {name: at for name, at in cluster.started().items() if not at.startswith(host.name)}


def back(cluster: Cluster, names: set[str]) -> None:
    revision = int((cluster.get("accepted") or {})["revision"])
    for host in cluster.lab.hosts:
        cluster.check_converged(host, revision)
    assert {each.name for each in cluster.containers() if each.status == "running"} == names


@pytest.mark.fault("an agent is killed")
@pytest.mark.parametrize("which", ["node-231", "node-233"])
def test_a_killed_agent_is_back_and_no_container_was_touched(
    cluster: Cluster, which: str, record_property: RecordProperty
) -> None:
    host, before = cluster.lab[which], cluster.started()
    main_pid = host.systemctl("show", "--property=MainPID", "swarmkeeper")

    def anew() -> None:
        now = host.systemctl("show", "--property=MainPID", "swarmkeeper")
        assert now not in (main_pid, "MainPID=0"), now
        assert host.systemctl("is-active", "swarmkeeper", check=False) == "active"

    with recovering(record_property):
        host.systemctl("kill", "-s", "KILL", "swarmkeeper")
        eventually(anew, 30, "systemd has started the agent again")
        eventually(lambda: back(cluster, set(before)), BACK_S, "everything converges")
    assert cluster.started() == before


@pytest.mark.fault("dockerd is restarted")
def test_a_restarted_dockerd_gets_its_replicas_back_and_the_agent_outlives_it(
    cluster: Cluster, record_property: RecordProperty
) -> None:
    host, names = cluster.lab["node-232"], set(cluster.started())
    others = of_others(cluster, host)
    agent = host.systemctl("show", "--property=MainPID", "swarmkeeper")
    with recovering(record_property):
        host.restart_dockerd()
        eventually(lambda: back(cluster, names), BACK_S, "everything converges")
    assert host.systemctl("show", "--property=MainPID", "swarmkeeper") == agent
    assert of_others(cluster, host) == others


@pytest.mark.fault("a host loses power")
def test_a_power_cycled_host_gets_its_replicas_back_and_the_others_do_not_notice(
    cluster: Cluster, record_property: RecordProperty
) -> None:
    host, names = cluster.lab["node-233"], set(cluster.started())
    others = of_others(cluster, host)
    with recovering(record_property):
        host.cycle()
        eventually(lambda: back(cluster, names), BACK_S, "everything converges")
    assert of_others(cluster, host) == others


def test_the_leader_is_replaced_when_it_stops_and_nothing_else_changes(cluster: Cluster) -> None:
    before = cluster.started()
    leader = (cluster.get("leader") or {})["host"]
    cluster.lab[leader].systemctl("stop", "swarmkeeper")
    try:
        eventually(
            lambda: (cluster.get("leader") or {"host": leader})["host"] != leader, 10, "another one leads"
        )
        assert cluster.started() == before
    finally:
        cluster.lab[leader].systemctl("start", "swarmkeeper")
    eventually(lambda: back(cluster, set(before)), BACK_S, "everything converges")
    assert cluster.started() == before
