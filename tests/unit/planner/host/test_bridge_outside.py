from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network

import pytest

from agent.diff.bridge import overlap
from agent.model.host_state import HostState, LinkState, NetworkState
from agent.planner.host.bridge_swap import plan_bridge_outside
from tests.support import builders
from tests.support.builders import bridge_network, host, intent, member, outside, told

WRONG = bridge_network(id="wrong-id", subnet=IPv4Network("172.18.0.0/16"), gateway="172.18.0.1")
WHY_WRONG = "subnet: 172.21.0.0/20 wanted, 172.18.0.0/16 found; gateway: 172.21.0.1 wanted, 172.18.0.1 found"


def test_a_bridge_as_agreed_is_left_alone() -> None:
    assert told(plan_bridge_outside(intent(), host())) == []


def test_a_missing_bridge_is_created_before_the_host_is_in_a_swarm() -> None:
    found = host(swarm=outside(), networks=(), bridge_link=None)

    assert told(plan_bridge_outside(intent(), found)) == [
        "create network/docker_gwbridge: there is no docker_gwbridge"
    ]


def test_a_wrong_bridge_is_replaced_before_the_host_is_in_a_swarm() -> None:
    found = host(swarm=outside(), networks=(WRONG,))

    plan = plan_bridge_outside(intent(), found)
    assert told(plan) == [
        "prepare network/swarmkeeper_parking: for the gateways while docker_gwbridge is replaced",
        f"remove network/docker_gwbridge: {WHY_WRONG}",
        f"create network/docker_gwbridge: {WHY_WRONG}",
        "clear network/swarmkeeper_parking: all gateways are on docker_gwbridge",
    ]


def test_of_two_bridges_of_that_name_none_stays() -> None:
    found = host(swarm=outside(), networks=(bridge_network(), WRONG))

    assert told(plan_bridge_outside(intent(), found)) == [
        "remove network/docker_gwbridge: there are 2 networks named docker_gwbridge",
        "remove network/docker_gwbridge: there are 2 networks named docker_gwbridge",
        "create network/docker_gwbridge: there are 2 networks named docker_gwbridge",
    ]


def test_a_wrong_bridge_that_somebody_uses_is_not_removed() -> None:
    found = host(
        swarm=outside(), networks=(replace(WRONG, endpoints=(("id-w", "their-web"), ("id-d", "their-db"))),)
    )

    assert told(plan_bridge_outside(intent(), found)) == [
        f"blocked network/docker_gwbridge: {WHY_WRONG}, but it is in use by their-db, their-web"
    ]


def test_no_bridge_is_made_over_a_network_that_is_there() -> None:
    compose = NetworkState(
        id="c",
        name="compose",
        driver="bridge",
        scope="local",
        subnet=IPv4Network("172.21.8.0/24"),
        gateway=None,
    )
    found = host(swarm=outside(), networks=(compose,), bridge_link=None)

    assert told(plan_bridge_outside(intent(), found)) == [
        "blocked network/docker_gwbridge: 172.21.0.0/20 overlaps network compose (172.21.8.0/24)"
    ]


def test_no_bridge_is_made_over_a_route_of_the_host() -> None:
    found = host(
        swarm=outside(), networks=(), bridge_link=None, routes=((IPv4Network("172.16.0.0/12"), "tun0"),)
    )

    assert told(plan_bridge_outside(intent(), found)) == [
        "blocked network/docker_gwbridge: 172.21.0.0/20 overlaps the route 172.16.0.0/12 dev tun0"
    ]


def test_no_bridge_is_made_over_an_address_that_has_no_route_as_its_device_is_down() -> None:
    address = (IPv4Interface("172.21.3.1/24"), "eth1")
    found = host(swarm=outside(), networks=(), bridge_link=None, addresses=(address,))

    assert told(plan_bridge_outside(intent(), found)) == [
        "blocked network/docker_gwbridge: 172.21.0.0/20 overlaps the address 172.21.3.1/24 dev eth1"
    ]


def test_the_bridge_must_not_lie_in_the_pool_the_swarm_was_made_with() -> None:
    """It may be another one than the document's: the swarm was adopted."""
    found = host(swarm=replace(member(), pool=(IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"))))

    assert overlap(IPv4Network("172.21.0.0/20"), found) == "the swarm's address pool 172.16.0.0/12"
    assert overlap(IPv4Network("192.168.0.0/20"), found) == ""


def test_the_address_of_the_bridge_itself_is_no_overlap() -> None:
    found = host(addresses=((IPv4Interface("172.21.0.1/20"), "docker_gwbridge"),))

    assert overlap(IPv4Network("172.21.0.0/20"), found) == ""


def test_the_route_of_the_bridge_itself_is_no_overlap() -> None:
    found = host(
        swarm=outside(),
        networks=(WRONG,),
        routes=((IPv4Network("172.21.0.0/20"), "docker_gwbridge"),),
    )

    assert len(plan_bridge_outside(intent(), found).steps) == 4


@pytest.mark.parametrize(
    ("link", "why"),
    [
        (None, "the kernel has no device docker_gwbridge"),
        (LinkState(address=None, up=True), "kernel address: 172.21.0.1/20 wanted, none found"),
        (
            LinkState(address=IPv4Interface("172.21.0.1/16"), up=True),
            "kernel address: 172.21.0.1/20 wanted, 172.21.0.1/16 found",
        ),
        (LinkState(address=IPv4Interface("172.21.0.1/20"), up=False), "the device docker_gwbridge is down"),
    ],
)
def test_a_bridge_that_only_docker_believes_in_is_wrong(link: LinkState | None, why: str) -> None:
    found = host(swarm=outside(), bridge_link=link)

    assert told(plan_bridge_outside(intent(), found))[0] == f"remove network/docker_gwbridge: {why}"


def _with_options(*options: tuple[str, str]) -> HostState:
    return host(swarm=outside(), networks=(bridge_network(options=options),))


def test_an_option_that_differs_is_named_without_its_prefix() -> None:
    found = _with_options(
        ("com.docker.network.bridge.enable_icc", "true"),
        ("com.docker.network.bridge.name", "docker_gwbridge"),
    )

    assert told(plan_bridge_outside(intent(), found))[1] == (
        "remove network/docker_gwbridge: enable_icc: false wanted, true found"
    )


def test_an_option_that_says_the_engines_own_default_is_no_difference() -> None:
    found = _with_options(
        *builders.BRIDGE.options, ("com.docker.network.bridge.enable_ip_masquerade", "true")
    )

    assert told(plan_bridge_outside(intent(), found)) == []
