"""An agent that is restarted for another cluster on a host which is a member of the swarm of the first one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from integration import by_hand
from integration.cluster import EXAMPLE, NAME, UNIT, Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.test_roles import others, put_roles
from tests.support.document import SERVICES, document

OTHER = "other"
BRIDGE = "docker_gwbridge"
SAID_S, PASSED_S, BACK_S = 30, 60, 90
SEVERAL = 5
"""Passes in which a host that is fought over would have changed."""


def of_other(host: str) -> str:
    """The document of the other cluster: this host alone, with another bridge, and the same overlay and ports."""
    bridge = {"subnet": "172.22.16.0/20", "gateway": "172.22.16.1"}
    return document(
        EXAMPLE,
        name=OTHER,
        hosts=dict.fromkeys(others(host)),
        cluster={"gwbridge": bridge},
        replicas={service: [host] for service in SERVICES},
    )


def key(name: str) -> str:
    return f"/swarmkeeper/{OTHER}/{name}"


def keys(cluster: Cluster) -> list[str]:
    """The keys of the other cluster, less their prefix."""
    listed = cluster.etcdctl("get", "--prefix", "--keys-only", key("")).split()
    return [each.removeprefix(key("")) for each in listed]


@contextmanager
def other_cluster_on(cluster: Cluster, host: Host) -> Iterator[None]:
    """Restart the agent of a host with the other cluster's name; put it back at the end."""
    config = cluster.config(host)
    changed = config.replace(f"cluster: {NAME}\n", f"cluster: {OTHER}\n")
    assert changed != config
    cluster.etcdctl("put", key("intent"), document=of_other(host.name))
    try:
        host.write("/etc/swarmkeeper/agent.yaml", changed)
        host.systemctl("restart", UNIT)
        yield
    finally:
        host.write("/etc/swarmkeeper/agent.yaml", config)
        host.systemctl("restart", UNIT)
        cluster.etcdctl("del", "--prefix", key(""))


def networks(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Id of every network of each host, by its name."""
    return {
        host.name: {each["Name"]: each["Id"] for each in host.docker.api.networks()}
        for host in cluster.lab.hosts
    }


def gateways(host: Host) -> set[str]:
    """Ids of the containers that have their gateway on docker_gwbridge."""
    return set(host.docker.api.inspect_network(BRIDGE)["Containers"])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", ["manager", pytest.param("worker", marks=LONG_ONLY)])
def test_it_is_blocked_names_the_first_cluster_and_touches_neither_the_bridge_nor_a_replica(
    cluster: Cluster, role: str
) -> None:
    """A manager sees the label of the swarm, a worker that of the overlay alone."""
    lab = cluster.lab
    host = lab[others((cluster.get("leader") or {})["host"])[0]]
    if role == "worker":
        put_roles(cluster, {host.name: role})
    revision = cluster.newest()
    before, there, on_bridge = by_hand.blocked_plan(lab), networks(cluster), gateways(host)
    assert on_bridge

    def unchanged() -> bool:
        now = (by_hand.blocked_plan(lab), networks(cluster), gateways(host))
        return now == (before, there, on_bridge)

    with other_cluster_on(cluster, host):

        def is_blocked() -> None:
            shown = cluster.etcdctl("get", "--print-value-only", key(f"hosts/{host.name}/status"))
            said = json.loads(shown or "{}")
            blocked = [(each["resource"], each["kind"]) for each in said["blocked"]]
            assert blocked == [("swarm", "foreign")], said
            assert f"this swarm is cluster {NAME}'s" in said["blocked"][0]["reason"]
            assert "steps" not in said

        eventually(is_blocked, SAID_S, f"{host.name} names the cluster whose swarm it is in")
        seen = cluster.passes(host)

        def has_looked_again() -> bool:
            host.exec("docker", "network", "create", "a-reason-to-look")
            host.exec("docker", "network", "rm", "a-reason-to-look")
            assert unchanged()
            return cluster.passes(host) >= seen + SEVERAL

        eventually(has_looked_again, PASSED_S, "the agent looks again and again, and nothing changes")
        is_blocked()
        assert not {"leader", "swarm", "accepted"} & {*keys(cluster)}

    cluster.wait_converged(revision, BACK_S)
    assert unchanged()
    if role == "worker":
        put_roles(cluster, {})
