"""Checks across the parts of a document."""

from ipaddress import IPv4Network

import pytest

from agent.intent import warnings
from tests.unit.intent.documents import CLUSTER, NETWORKS, faults, parse, service


def cluster(hosts: str, rest: str = "") -> str:
    bridge = "gwbridge: {subnet: 172.21.0.0/20}"
    return f"name: a\nx-cluster:\n  version: 1\n  hosts: {{{hosts}}}\n  {bridge}\n{rest}services: {{}}\n"


MANAGER = "address: {}, role: manager"


@pytest.mark.parametrize(
    ("taken", "pool"),
    [
        ("10.10.0.0/16", "10.200.0.0/16"),
        ("10.200.128.0/24", "10.201.0.0/16"),
        ("10.192.0.0/10", "10.0.0.0/16"),
    ],
)
def test_the_address_pool_is_the_first_one_clear_of_what_is_declared(taken: str, pool: str) -> None:
    network = f"networks: {{n: {{ipam: {{config: [{{subnet: {taken}}}]}}}}}}\n"
    intent = parse(cluster("h: {address: 192.0.2.1, role: manager}", network))
    assert intent.swarm.default_addr_pool == (IPv4Network(pool),)


def test_the_address_pool_is_clear_of_the_hosts_lan() -> None:
    assert parse(cluster("h: {address: 10.200.3.4, role: manager}")).swarm.default_addr_pool == (
        IPv4Network("10.201.0.0/16"),
    )


def test_a_document_that_leaves_no_pool_is_refused() -> None:
    network = "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/8}]}}}\n"
    said = faults(cluster("h: {address: 192.0.2.1, role: manager}", network))
    assert said == ["x-cluster: no /16 of 10.0.0.0/8 is free for Docker's own networks"]


@pytest.mark.parametrize(
    ("image", "fine"),
    [
        ("172.21.0.1:5000/a", True),  # the gateway is the host itself
        ("172.20.0.2/a", True),
        ("172.21.0.2/a", False),
        ("10.30.0.9:80/a", False),
        ("10.31.0.9:80/a", True),
        ("172.21.0.2:1.0", True),  # a name with a tag, from the registry that is not said
    ],
)
def test_a_registry_must_not_lie_in_a_bridge_that_the_hosts_get(image: str, fine: bool) -> None:
    networks = (
        "networks: {default: {driver: bridge, ipam: {config: [{subnet: 10.30.0.0/24}]}},"
        " over: {ipam: {config: [{subnet: 10.31.0.0/24}]}}}\n"
    )
    services = f"services: {{a: {{image: '{image}', x-hosts: [h], networks: [over]}}}}\n"
    said = faults(
        cluster("h: {address: 192.0.2.1, role: manager}", networks).replace("services: {}\n", services)
    )
    assert [each for each in said if "lies inside" in each] == said
    assert (said == []) == fine


def test_a_gateway_that_is_not_said_is_the_first_address() -> None:
    assert str(parse(service("")).gwbridge.gateway) == "172.21.0.1"


def test_networks_that_touch_without_overlapping_are_fine() -> None:
    touching = ", ".join(
        f"n{each}: {{ipam: {{config: [{{subnet: 10.10.{each}.0/24}}]}}}}" for each in range(2)
    )
    network = f"networks: {{{touching}}}\n"
    assert faults(cluster("h: {address: 192.0.2.1, role: manager}", network)) == []


def test_each_network_inside_a_wide_one_is_named() -> None:
    inside = ", ".join(f"n{each}: {{ipam: {{config: [{{subnet: 10.10.{each}.0/24}}]}}}}" for each in range(3))
    network = f"networks: {{wide: {{ipam: {{config: [{{subnet: 10.10.0.0/16}}]}}}}, {inside}}}\n"
    said = faults(cluster("h: {address: 192.0.2.1, role: manager}", network))
    assert [each.split(" overlaps ")[1] for each in said] == ["10.10.0.0/16 (network wide)"] * 3


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("80:80", "80:81", True),
        ("80:80", "80:80/udp", False),
        ("80:80", "81:80", False),
        ("127.0.0.1:80:80", "80:80", True),
        ("127.0.0.1:80:80", "0.0.0.0:80:80", True),
        ("127.0.0.1:80:80", "10.0.0.1:80:80", False),
        ("79-81:79-81", "80:80", True),
    ],
)
def test_a_port_of_a_host_belongs_to_one_service(one: str, other: str, clash: bool) -> None:
    second = f"  other: {{image: a, x-hosts: [one], ports: ['{other}']}}\n"
    assert bool(faults(service(f"ports: ['{one}']") + second)) == clash
    elsewhere = second.replace("[one]", "[two]")
    assert faults(service(f"ports: ['{one}']") + elsewhere) == []


def test_a_host_without_a_replica_publishes_nothing() -> None:
    second = "  other: {image: a, x-hosts: {one: 0, two: 1}, ports: ['80:80']}\n"
    assert faults(service("ports: ['80:80']") + second) == []


@pytest.mark.parametrize("port", ["2377:80", "7946:80", "7946:80/udp", "4789:80/udp"])
def test_the_swarms_own_ports_are_not_published(port: str) -> None:
    assert len(faults(service(f"ports: ['{port}']"))) == 1


def test_another_data_path_port_frees_the_usual_one() -> None:
    moved = service("ports: ['4789:80/udp']").replace(
        "  gwbridge", "  swarm: {data_path_port: 7789}\n  gwbridge"
    )
    assert faults(moved) == []


def test_what_waits_for_a_circle_is_not_said_to_be_in_it() -> None:
    ring = "".join(
        f"  {name}: {{image: a, x-hosts: [one], depends_on: [{other}]}}\n"
        for name, other in ("ab", "bc", "ca", "da")
    )
    said = faults(service("") + ring)
    assert [each.split(".")[1] for each in said] == ["a", "b", "c"]


@pytest.mark.parametrize(("managers", "count"), [(1, 0), (2, 1), (3, 0), (4, 1), (5, 0)])
def test_an_even_number_of_managers_is_warned_of(managers: int, count: int) -> None:
    hosts = ", ".join(f"h{each}: {{{MANAGER.format(f'192.0.2.{each + 1}')}}}" for each in range(managers))
    assert len(warnings(parse(cluster(hosts)))) == count


def test_a_lone_manager_of_several_hosts_is_warned_of() -> None:
    assert "one manager" in warnings(parse(CLUSTER + NETWORKS + "services: {}\n"))[0]


def test_sections_may_be_empty_but_services_must_be_said() -> None:
    assert faults(CLUSTER + "networks:\nvolumes:\nservices: {}\n") == []
    assert faults(CLUSTER) == [": 'services' is missing"]
    assert faults(CLUSTER + "services:\n") == ["services: has no value"]
