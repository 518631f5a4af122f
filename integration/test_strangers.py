"""A forgotten bridge that has the overlay's name on one host: that host waits and names it, the others go on."""

from functools import partial

import pytest

from integration.cluster import EXAMPLE, UNIT, Cluster, running_on
from integration.lab.eventually import eventually

NET = "my-network-overlay"
WITH_BRIDGE = "node-232"
OTHERS = ("node-231", "node-233")


def bridge_of(cluster: Cluster) -> dict[str, object]:
    found = cluster.lab[WITH_BRIDGE].docker.api.networks(filters={"driver": "bridge"})
    (bridge,) = [each for each in found if each["Name"] == NET]
    return {key: bridge[key] for key in ("Id", "Options", "IPAM", "Created")}


def networks_of(cluster: Cluster, name: str) -> set[str]:
    """Ids of the networks of our replicas on a host."""
    api = cluster.lab[name].docker.api
    seen = [api.inspect_container(each.id) for each in running_on(cluster.lab[name])]
    return {end["NetworkID"] for raw in seen for end in raw["NetworkSettings"]["Networks"].values()}


def waits_and_names_it(cluster: Cluster, bridge: str) -> None:
    host = cluster.lab[WITH_BRIDGE]
    blocked = {each["resource"]: each["reason"] for each in cluster.status(host)["blocked"]}
    assert f"docker network rm {bridge[:12]}" in blocked[f"host/{WITH_BRIDGE}"]
    assert not list(running_on(host))


def runs(cluster: Cluster, name: str, count: int) -> None:
    assert len(list(running_on(cluster.lab[name]))) == count


@pytest.mark.parametrize("leader", [WITH_BRIDGE, "node-231"])
def test_only_its_host_waits_until_it_is_removed(fresh_cluster: Cluster, leader: str) -> None:
    cluster = fresh_cluster
    host = cluster.lab[WITH_BRIDGE]
    host.exec("docker", "network", "create", NET)
    bridge = bridge_of(cluster)
    revision = cluster.put(EXAMPLE)
    cluster.lab[leader].systemctl("start", UNIT)
    eventually(lambda: (cluster.get("leader") or {})["host"] == leader, 60, f"{leader} leads")
    cluster.start()

    eventually(partial(waits_and_names_it, cluster, str(bridge["Id"])), 120, "the host names the bridge")
    for name, count in zip(OTHERS, (3, 2), strict=True):
        eventually(partial(runs, cluster, name, count), 120, f"the replicas of {name} run")
    assert networks_of(cluster, OTHERS[0]) == networks_of(cluster, OTHERS[1])
    assert str(bridge["Id"]) not in networks_of(cluster, OTHERS[0])
    assert bridge_of(cluster) == bridge

    host.exec("docker", "network", "rm", str(bridge["Id"]))
    cluster.wait_converged(revision, 120)
    assert networks_of(cluster, WITH_BRIDGE) == networks_of(cluster, OTHERS[0])
