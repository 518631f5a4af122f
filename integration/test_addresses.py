"""The address a replica is told is the one it has, keeps, and is reached at; which others reach it, and from where.

docs/dubbo.md has the table that is measured here.
"""

import re
from functools import partial

import pytest

from integration.cluster import EXAMPLE, Cluster
from integration.lab.eventually import eventually
from integration.lab.host import Host
from tests.support.document import document

pytestmark = pytest.mark.every_base

NET = "my-network-overlay"
GOOD = EXAMPLE
_ADDRESS = {"DUBBO_IP_TO_REGISTRY": "{{.Overlay.IP}}"}
_ALL_AT_ONCE = {"update_config": {"parallelism": 0}}
TOLD = document(
    GOOD,
    services={"order": {"environment": _ADDRESS, "deploy": _ALL_AT_ONCE}, "api": {"environment": _ADDRESS}},
)
ANEW = document(TOLD, services={"order": {"environment": {"AGAIN": "1"}}})
MOVED = document(ANEW, replicas={"order": {"node-231": 1, "node-232": 1, "node-233": 1}})

TOLD_REPLICAS = {
    "prod-order-1": "node-231", "prod-order-2": "node-231", "prod-order-3": "node-232",
    "prod-api-1": "node-232", "prod-api-2": "node-233",
}  # fmt: skip
NEIGHBOURS = {"node-231": "prod-console-1", "node-232": "prod-billing-1", "node-233": "prod-terminal-1"}
"""A container on each host to ask from."""

OVERLAY, GWBRIDGE, PUBLISHED = "its overlay address", "its docker_gwbridge address", "its host's address"
REACHED = {
    "a container on its own host": {OVERLAY: True, GWBRIDGE: False, PUBLISHED: True},
    "a container on another host": {OVERLAY: True, GWBRIDGE: False, PUBLISHED: True},
    "its own host": {OVERLAY: False, GWBRIDGE: True, PUBLISHED: True},
    "another host": {OVERLAY: False, GWBRIDGE: False, PUBLISHED: True},
    "a client on the LAN": {OVERLAY: False, GWBRIDGE: False, PUBLISHED: True},
}


@pytest.fixture
def told(running: Cluster) -> Cluster:
    """The example with order and api told their overlay addresses."""
    running.wait_converged(running.put_unless_accepted(TOLD), 90)
    return running


def host_of(cluster: Cluster, name: str) -> Host:
    return cluster.lab[{each.name: each.host for each in cluster.containers()}[name]]


def has(cluster: Cluster, name: str) -> str:
    """The replica's address on the overlay, as docker shows it."""
    shown = host_of(cluster, name).docker.api.inspect_container(name)
    return str(shown["NetworkSettings"]["Networks"][NET]["IPAddress"])


def is_told(cluster: Cluster, name: str) -> str:
    """The address in its environment, as its own process sees it."""
    command = ("docker", "exec", name, "sh", "-c", 'echo "$DUBBO_IP_TO_REGISTRY"')
    return host_of(cluster, name).exec(*command).stdout.strip()


def addresses(cluster: Cluster) -> dict[str, str]:
    """Of the replicas that are told their addresses, what they have; it is what they are told."""
    found = {name: has(cluster, name) for name in TOLD_REPLICAS}
    assert found == {name: is_told(cluster, name) for name in TOLD_REPLICAS}
    assert len(set(found.values())) == len(found)
    return found


def gateway_address(host: Host, container: str) -> str:
    on_it = host.docker.api.inspect_network("docker_gwbridge")["Containers"]
    whose = host.docker.api.inspect_container(container)["Id"]
    return str(on_it[whose]["IPv4Address"]).partition("/")[0]


def who_answers_container(cluster: Cluster, host: str, url: str) -> str:
    """The name (docker's id, shortened) that an answering replica gives itself; empty without an answer."""
    command = ("docker", "exec", NEIGHBOURS[host], "timeout", "5", "wget", "-q", "-O", "-", url)
    return name_in(cluster.lab[host].exec(*command, check=False).stdout)


def who_answers_host(cluster: Cluster, host: str, url: str) -> str:
    command = ("timeout", "5", "busybox", "wget", "-q", "-O", "-", url)
    return name_in(cluster.lab[host].exec(*command, check=False).stdout)


def who_answers_lan(cluster: Cluster, url: str) -> str:
    try:
        return name_in(cluster.lab.lan.http_get(url, timeout=3).text)
    except OSError:
        return ""


def name_in(answer: str) -> str:
    found = re.search(r'"hostname":"(\w+)"', answer)
    return found[1] if found else ""


def own_name(cluster: Cluster, name: str) -> str:
    return str(host_of(cluster, name).docker.api.inspect_container(name)["Config"]["Hostname"])


def test_what_a_replica_is_told_it_has_and_containers_on_every_host_reach_it_there(told: Cluster) -> None:
    for name, address in addresses(told).items():
        assert host_of(told, name).name == TOLD_REPLICAS[name]
        for host in NEIGHBOURS:
            url = f"http://{address}:8080/"
            eventually(partial(is_answered_by, told, host, url, name), 30, f"{name} answers on {host}")


def is_answered_by(cluster: Cluster, host: str, url: str, name: str) -> bool:
    return who_answers_container(cluster, host, url) == own_name(cluster, name)


def test_which_of_its_addresses_reaches_a_replica_and_from_where(told: Cluster) -> None:
    host = told.lab["node-232"]
    ways = {
        OVERLAY: f"http://{has(told, 'prod-api-1')}:8080/",
        GWBRIDGE: f"http://{gateway_address(host, 'prod-api-1')}:8080/",
        PUBLISHED: f"http://{host.address}:80/",
    }
    ask = {
        "a container on its own host": partial(who_answers_container, told, "node-232"),
        "a container on another host": partial(who_answers_container, told, "node-231"),
        "its own host": partial(who_answers_host, told, "node-232"),
        "another host": partial(who_answers_host, told, "node-233"),
        "a client on the LAN": partial(who_answers_lan, told),
    }

    eventually(lambda: ask["a container on another host"](ways[OVERLAY]), 30, "the overlay is there")
    answers = {who: {way: asked(url) for way, url in ways.items()} for who, asked in ask.items()}
    replica = own_name(told, "prod-api-1")
    print(f"\nprod-api-1 is {replica}, asked at {ways}\n{answers}")
    # Somebody else's answer is worse than none: another host has containers of its own at docker_gwbridge's addresses.
    table = {who: {way: name == replica for way, name in each.items()} for who, each in answers.items()}
    assert table == REACHED


def test_a_replica_keeps_its_address_when_it_is_replaced_moved_and_another_host_leads(told: Cluster) -> None:
    before = addresses(told)
    told.lab["node-231"].exec("docker", "rm", "-f", "prod-order-1")
    eventually(lambda: has(told, "prod-order-1") == before["prod-order-1"], 60, "it is recreated")

    told.wait_converged(told.put(ANEW), 90)
    assert addresses(told) == before

    leader = (told.get("leader") or {})["host"]
    told.lab[leader].systemctl("restart", "swarmkeeper")
    revision = told.put(MOVED)
    told.wait_converged(revision, 120)
    moved = {name: host_of(told, name).name for name in ("prod-order-1", "prod-order-2", "prod-order-3")}
    assert sorted(moved.values()) == ["node-231", "node-232", "node-233"], moved
    assert addresses(told) == before
    for host in told.lab.hosts:
        assert "attaching to network failed" not in host.journal_text("swarmkeeper")
