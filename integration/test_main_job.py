"""The main job, from nothing: with only `etcdctl put`, three hosts become a swarm that runs the services."""

import json
import os
from functools import partial

import pytest

from integration.cluster import DOCUMENT, REPLICAS, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab

pytestmark = pytest.mark.every_base

SERVICES = {"order": 8080, "billing": 8080, "console": 80, "terminal": 20880, "api": 8080}
GOSSIP_S = 60
"""Docker's own: the first exchange of peers between two nodes that join an overlay at once may time out (30 s)."""
FIRST_BOOTS = 10 if os.environ.get("SWARMKEEPER_LONG") else 1


def swarm_ids(lab: Lab) -> set[str]:
    return {host.docker.api.info()["Swarm"]["Cluster"]["ID"] for host in lab.hosts}


def test_one_document_makes_one_swarm_of_three_managers(cluster: Cluster) -> None:
    assert len(swarm_ids(cluster.lab)) == 1
    nodes = cluster.lab.hosts[0].docker.api.nodes()
    assert sorted(node["Description"]["Hostname"] for node in nodes) == ["node-231", "node-232", "node-233"]
    assert {node["ManagerStatus"]["Reachability"] for node in nodes} == {"reachable"}


def test_every_bridge_is_as_agreed_in_docker_and_in_the_kernel(cluster: Cluster) -> None:
    for host in cluster.lab.hosts:
        bridge = host.docker.api.inspect_network("docker_gwbridge")
        assert bridge["IPAM"]["Config"] == [{"Subnet": "172.21.0.0/20", "Gateway": "172.21.0.1"}]
        assert bridge["Options"]["com.docker.network.bridge.enable_icc"] == "false"
        assert bridge["Options"]["com.docker.network.bridge.name"] == "docker_gwbridge"
        seen = json.loads(host.exec("ip", "-json", "-4", "address", "show", "docker_gwbridge").stdout)[0]
        address = seen["addr_info"][0]
        assert (address["local"], address["prefixlen"]) == ("172.21.0.1", 20)
        assert "UP" in seen["flags"]


def test_the_overlay_is_attachable_with_the_declared_subnet_and_gateway(cluster: Cluster) -> None:
    for host in cluster.lab.hosts:
        overlay = host.docker.api.inspect_network("my-network-overlay")
        assert (overlay["Driver"], overlay["Attachable"]) == ("overlay", True)
        assert overlay["IPAM"]["Config"] == [{"Subnet": "10.10.0.0/16", "Gateway": "10.10.0.254"}]


def test_the_eight_replicas_run_where_the_document_says(cluster: Cluster) -> None:
    running = {each.name: each.host for each in cluster.containers() if each.status == "running"}
    assert running == REPLICAS


def test_every_replica_answers_by_name_from_every_host(cluster: Cluster) -> None:
    for host in cluster.lab.hosts:
        inside = next(name for name, where in sorted(REPLICAS.items()) if where == host.name)
        for name in REPLICAS:
            service = name.split("-")[1]
            url = f"http://{name}:{SERVICES[service]}/"
            eventually(partial(asks, host, inside, url), GOSSIP_S, f"{inside} on {host.name} reaches {name}")


def asks(host: Host, container: str, url: str) -> bool:
    """Whether a program in the container gets an answer; any answer of the service itself counts."""
    said = host.exec("docker", "exec", container, "timeout", "3", "wget", "-qO-", url, check=False)
    return said.returncode == 0 and bool(said.stdout)


def test_a_request_from_the_lan_crosses_hosts_on_its_way_through_the_services(cluster: Cluster) -> None:
    for host in ("node-232", "node-233"):
        eventually(partial(whole_chain, cluster.lab, host), GOSSIP_S, f"the api on {host} reaches billing")


def whole_chain(lab: Lab, host: str) -> None:
    answer = lab.lan.http_get(f"http://{lab[host].address}/")
    assert answer.status == 200, answer
    api = answer.json()
    assert [api["service"], api["called"]["service"], api["called"]["called"]["service"]] == [
        "api", "order", "billing"
    ]  # fmt: skip


def test_what_publishes_ports_answers_on_its_host_and_nothing_else_does(cluster: Cluster) -> None:
    lab = cluster.lab
    assert lab.lan.http_get(f"http://{lab['node-231'].address}:8080/").status == 200
    assert lab.lan.http_get(f"http://{lab['node-233'].address}:20880/").status == 200
    for host in lab.hosts:
        published = {port for each in host.docker.api.containers() for port in ports(each)}
        assert published <= {80, 8080, 20880}, published


def ports(container: dict[str, list[dict[str, int]]]) -> set[int]:
    return {port["PublicPort"] for port in container["Ports"] if "PublicPort" in port}


def test_join_tokens_are_gone_once_everybody_is_in(cluster: Cluster) -> None:
    assert cluster.get("tokens") is None
    assert "SWMTKN" not in "".join(host.journal_text("swarmkeeper") for host in cluster.lab.hosts)


@pytest.mark.default_timings
@pytest.mark.parametrize("_round", range(FIRST_BOOTS))
def test_three_agents_that_start_together_make_exactly_one_swarm(_round: int, first_boot: Cluster) -> None:
    revision = first_boot.put(DOCUMENT.read_text())
    first_boot.start()
    first_boot.wait_converged(revision, 90)
    assert len(swarm_ids(first_boot.lab)) == 1
    made = [host.journal_text("swarmkeeper") for host in first_boot.lab.hosts]
    assert sum("init swarm" in journal for journal in made) == 1
