"""Whole documents that are accepted, and what they mean."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from agent.intent import parse_intent, warnings
from agent.intent.service import FIELDS
from agent.model.intent import BridgeIntent, Intent, Update
from agent.model.spec import ContainerSpec, Mount, Port, decode, encode

GOOD = Path(__file__).with_name("good")
MIB = 1 << 20


def load(name: str) -> Intent:
    return parse_intent((GOOD / f"{name}.yaml").read_bytes(), revision=42)


def spec(intent: Intent, service: str) -> ContainerSpec:
    found = intent.service(service)
    assert found is not None
    return found.spec


def test_the_customers_document_is_the_one_that_is_shipped_as_the_example() -> None:
    shipped = Path(__file__).parents[3] / "deploy/examples/cluster.yaml"
    assert (GOOD / "customer.yaml").resolve() == shipped


def test_the_customers_hosts_are_three_managers() -> None:
    intent = load("customer")
    assert intent.revision == 42
    assert [(each.name, str(each.address)) for each in intent.managers] == [
        ("node-231", "10.159.62.231"),
        ("node-232", "10.159.62.232"),
        ("node-233", "10.159.62.233"),
    ]


def test_the_customers_networks_are_the_agreed_ones_and_the_pool_is_clear_of_them() -> None:
    intent = load("customer")
    assert intent.gwbridge == BridgeIntent(
        subnet=IPv4Network("172.21.0.0/20"),
        gateway=IPv4Address("172.21.0.1"),
        options=(
            ("com.docker.network.bridge.enable_icc", "false"),
            ("com.docker.network.bridge.name", "docker_gwbridge"),
        ),
    )
    overlay = intent.network("my-network-overlay")
    assert overlay is not None
    assert (overlay.subnet, overlay.gateway) == (IPv4Network("10.10.0.0/16"), IPv4Address("10.10.0.254"))
    assert overlay.attachable
    assert intent.swarm.default_addr_pool == (IPv4Network("10.200.0.0/16"),)


def test_the_customers_eight_replicas_run_where_they_are_pinned() -> None:
    intent = load("customer")
    assert {each.name: each.placement for each in intent.services} == {
        "order": (("node-231", 2), ("node-232", 1)),
        "billing": (("node-232", 1),),
        "console": (("node-231", 1),),
        "terminal": (("node-233", 1),),
        "api": (("node-232", 1), ("node-233", 1)),
    }
    assert sum(count for each in intent.services for _, count in each.placement) == 8


def test_the_customers_services_publish_three_ports_and_no_more() -> None:
    published = {
        each.name: [(port.published, port.target) for port in each.spec.ports]
        for each in load("customer").services
    }
    assert published == {
        "order": [],
        "billing": [],
        "console": [(8080, 80)],
        "terminal": [(20880, 20880)],
        "api": [(80, 8080)],
    }


def test_the_customers_document_earns_no_warning() -> None:
    assert warnings(load("customer")) == ()


def test_anchors_and_merge_keys_mean_what_compose_users_expect() -> None:
    intent = load("production")
    assert spec(intent, "order").restart == spec(intent, "terminal").restart
    assert spec(intent, "billing").networks[0].ipv4_address == "10.10.1.20"
    assert spec(intent, "console").networks[0].ipv4_address is None
    order = intent.service("order")
    assert order is not None
    assert order.update == Update(failure_action="rollback", monitor_s=30.0)
    assert intent.policy.deletion_guard_percent == 50


def test_nothing_is_recreated_unless_the_document_says_so() -> None:
    assert not load("production").policy.allow_network_recreate
    assert load("everything").policy.allow_network_recreate
    assert not load("production").policy.reserve_addresses
    assert load("everything").policy.reserve_addresses


def test_the_earlier_key_of_reserved_addresses_means_the_same() -> None:
    raw = (GOOD / "everything.yaml").read_bytes()
    earlier = parse_intent(raw.replace(b"reserve_addresses", b"pin_addresses"), 42)
    assert earlier.policy == load("everything").policy


def test_hosts_where_docker_puts_its_own_networks_are_warned_of() -> None:
    said = [each for each in warnings(load("production")) if each.startswith("host ")]
    assert len(said) == 3
    assert said[0].startswith("host node-201: 172.17.0.201 is in the range of Docker's own networks")


def test_the_document_with_everything_has_every_key_of_the_vocabulary() -> None:
    text = (GOOD / "everything.yaml").read_text()
    assert [key for key in FIELDS if f"\n    {key}:" not in text] == []


def test_plain_scalars_stay_what_was_written() -> None:
    environment = dict(spec(load("everything"), "most").environment)
    assert (environment["NUMBER"], environment["VERSION"], environment["ON"]) == ("010", "1.10", "yes")
    assert environment["EMPTY"] == ""


def test_a_doubled_dollar_is_one_dollar_in_the_container() -> None:
    assert spec(load("everything"), "most").command == ("echo", "two words", "$HOME")


def test_ports_are_sorted_and_ranges_are_spelled_out() -> None:
    assert spec(load("everything"), "most").ports == (
        Port(target=53, published=5353, protocol="udp", host_ip="127.0.0.1"),
        Port(target=80, published=8000),
        Port(target=81, published=8001),
        Port(target=90, published=9000, protocol="sctp", host_ip="10.1.0.1"),
        Port(target=7000),
        Port(target=7001, protocol="udp", host_ip="127.0.0.1"),
        Port(target=7002, among="8100-8110"),
        Port(target=7003, among="8200-8210"),
    )


def test_mounts_are_sorted_by_target_and_name_volumes_as_docker_does() -> None:
    mounts = {each.target: each for each in spec(load("everything"), "most").volumes}
    assert list(mounts) == sorted(mounts)
    assert mounts["/data"] == Mount(type="volume", source="data-of-all", target="/data", read_only=True)
    assert mounts["/plain"].source == "all_things_plain"
    assert mounts["/anonymous"] == Mount(type="volume", target="/anonymous")
    assert mounts["/files"].create_host_path
    assert mounts["/scratch"].tmpfs_size_bytes == 64 * MIB
    assert mounts["/scratch"].tmpfs_mode == 0o1777


def test_limits_are_bytes_and_billionths_of_a_cpu_in_either_spelling() -> None:
    most, rest = spec(load("everything"), "most"), spec(load("everything"), "rest")
    assert (most.memory_limit_bytes, most.nano_cpus, most.pids_limit) == (1536 * MIB, 1_500_000_000, 200)
    assert (rest.memory_limit_bytes, rest.nano_cpus, rest.pids_limit) == (64 * MIB, 500_000_000, 50)
    assert rest.memory_reservation_bytes == 32 * MIB


def test_global_is_one_replica_on_every_host_of_the_document() -> None:
    rest = load("everything").service("rest")
    assert rest is not None
    assert rest.placement == (("one", 1), ("two", 1))


def test_a_host_may_be_named_with_no_replica() -> None:
    alone = load("everything").service("alone")
    assert alone is not None
    assert alone.placement == (("one", 2), ("two", 0))


@pytest.mark.parametrize("name", ["customer", "production", "everything"])
def test_every_spec_survives_being_stored(name: str) -> None:
    for service in load(name).services:
        assert decode(encode(service.spec)) == service.spec


@pytest.mark.parametrize("name", ["customer", "production", "everything"])
def test_the_same_document_means_the_same_every_time(name: str) -> None:
    assert load(name) == load(name)


def test_no_environment_variable_is_shown_by_repr() -> None:
    assert "VERSION" not in repr(load("everything"))
