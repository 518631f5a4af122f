"""What doctor says of etcd, clocks and the network between hosts."""

from ipaddress import IPv4Interface, IPv4Network

import pytest

from agent.doctor import checks
from agent.doctor.checks import FAIL, OK, SKIP, WARN, Answer, Clock, Member, PortFact, Reach, Rights
from agent.model.store import Upkeep
from tests.unit.doctor.test_checks_of_a_host import levels

MIB = 1 << 20
WELL = Member(endpoint="http://a:2379", latency_s=0.01, upkeep=Upkeep(size=MIB, quota=100 * MIB))
SUBNETS = (("docker_gwbridge", IPv4Network("172.21.0.0/20")), ("front", IPv4Network("10.10.0.0/16")))
ROUTES = ((IPv4Network("10.159.62.0/24"), "eth0"), (IPv4Network("172.21.0.0/20"), "docker_gwbridge"))
ADDRESSES = (
    (IPv4Interface("172.21.0.1/20"), "docker_gwbridge"),
    (IPv4Interface("10.159.62.2/24"), "eth0"),
)


@pytest.mark.parametrize(
    ("member", "level", "words"),
    [
        (WELL, OK, "a read takes 10 ms, database 1 of 100 MiB"),
        (WELL._replace(upkeep=Upkeep(size=81 * MIB, quota=100 * MIB)), FAIL, "nearly full: 81 of 100 MiB"),
        (WELL._replace(upkeep=Upkeep(size=1700 * MIB)), FAIL, "nearly full: 1700 of 2048 MiB"),
        (WELL._replace(upkeep=Upkeep(alarm="NOSPACE")), FAIL, "alarm NOSPACE"),
        (WELL._replace(upkeep=Upkeep(keeps_history=True)), WARN, "old revisions are kept"),
        (WELL._replace(latency_s=0.7), WARN, "a read takes 700 ms"),
        (WELL._replace(error="timed out"), FAIL, "http://a:2379: timed out"),
        (WELL._replace(error="authentication failed", denied=True), FAIL, "authentication failed"),
    ],
)
def test_a_member_of_etcd_tells_what_is_wrong(member: Member, level: str, words: str) -> None:
    found = checks.check_members([member])

    assert levels(found) == [level]
    assert words in found[0].text


def test_one_of_several_members_that_is_away_is_a_warning() -> None:
    assert levels(checks.check_members([WELL, WELL._replace(error="refused")])) == [OK, WARN]


def test_a_role_is_too_narrow_too_wide_or_right_and_not_known_without_a_user() -> None:
    right = Rights(True, (), False, "swarmkeeper etcd-roles --host a", "etcdctl user grant-role a r")
    narrow = right._replace(lacking=("read a", "read b", "read c", "read d", "read e"))

    assert levels(checks.check_rights(right)) == [OK]
    assert levels(checks.check_rights(right._replace(writes_intent=True))) == [WARN]
    assert levels(checks.check_rights(right._replace(named=False))) == [SKIP]
    (found,) = checks.check_rights(narrow)
    assert (found.level, found.remedy) == (
        FAIL,
        "swarmkeeper etcd-roles --host a | sh; etcdctl user grant-role a r",
    )
    assert found.text.endswith("etcd denies: read a, read b, read c, 2 more")


def test_what_was_not_looked_at_is_skipped_and_not_well() -> None:
    assert levels(checks.check_clocks([])) == levels(checks.check_ports([])) == [SKIP]


@pytest.mark.parametrize(
    ("ahead_s", "within_s", "wanted"),
    [
        (90.0, 0.5, [FAIL]),
        (-90.0, 0.5, [FAIL]),
        (7.0, 0.5, [WARN]),
        (7.0, 3.0, [OK]),  # it may be 4 s
        (0.4, 0.5, [OK]),
        (None, 0.0, [SKIP]),
    ],
)
def test_a_clock_that_is_off_by_more_than_the_measurement_is_told(
    ahead_s: float | None, within_s: float, wanted: list[str]
) -> None:
    found = checks.check_clocks([Clock("node-2", ahead_s, within_s)])

    assert levels(found) == wanted
    assert "node-2" in found[0].text
    if ahead_s and wanted != [OK]:
        assert ("ahead of" if ahead_s > 0 else "behind") in found[0].text


@pytest.mark.parametrize(
    ("answer", "in_swarm", "first"),
    [
        ("open", True, OK),
        ("silent", False, FAIL),
        ("unreachable", False, FAIL),
        ("refused", True, FAIL),
        ("refused", False, SKIP),
    ],
)
def test_a_closed_port_is_a_fault_unless_the_host_is_not_in_the_swarm(
    answer: Answer, in_swarm: bool, first: str
) -> None:
    found = checks.check_ports([PortFact("node-2", "10.0.0.2:7946", answer, in_swarm)])

    assert levels(found) == [first, SKIP]
    assert first == OK or "10.0.0.2:7946/tcp" in found[0].text
    assert "udp" in found[1].text


@pytest.mark.parametrize(
    ("route", "address", "wanted", "words"),
    [
        (ROUTES[0], ADDRESSES[0], [OK, OK], "docker_gwbridge (172.21.0.0/20) overlaps no route"),
        (
            (IPv4Network("172.21.5.0/24"), "eth0"),
            ADDRESSES[0],
            [FAIL, OK],
            "the route 172.21.5.0/24 dev eth0",
        ),
        (ROUTES[0], (IPv4Interface("10.10.3.4/24"), "tun0"), [OK, FAIL], "the address 10.10.3.4/24 dev tun0"),
    ],
)
def test_a_route_or_address_inside_a_subnet_of_the_cluster_is_named(
    route: tuple[IPv4Network, str], address: tuple[IPv4Interface, str], wanted: list[str], words: str
) -> None:
    found = checks.check_addresses(SUBNETS, (*ROUTES, route), (*ADDRESSES, address))

    assert levels(found) == wanted
    assert any(words in each.text for each in found)


def test_a_route_inside_the_pool_is_a_warning_as_docker_may_choose_its_addresses() -> None:
    pool = [(checks.POOL, IPv4Network("10.10.0.0/16"))]
    (found,) = checks.check_addresses(pool, [(IPv4Network("10.10.3.0/24"), "tun0")], ADDRESSES)

    assert (found.level, found.remedy) == (
        WARN,
        "remove that from this host, or declare another subnet of default_addr_pool",
    )
    assert found.text == "default_addr_pool (10.10.0.0/16) overlaps the route 10.10.3.0/24 dev tun0"


def test_a_lan_whose_packets_are_too_small_is_a_warning() -> None:
    assert levels(checks.check_mtu("eth0", 1500, [("front", 1500)])) == [OK]
    (found,) = checks.check_mtu("eth0", 1450, [("front", 1500)])
    assert found.level == WARN
    assert "as 1450" in found.remedy


def test_what_a_container_on_the_overlay_reaches_is_told_by_size() -> None:
    found = checks.check_reach(
        [
            Reach("front", "node-2", "10.10.0.2", 0.5, True),
            Reach("front", "node-3", "10.10.0.3", 0.5, False),
            Reach("front", "node-4", "10.10.0.4", None, False),
        ]
    )

    assert levels(found) == [OK, FAIL, FAIL]
    assert "4789/udp" in found[2].remedy
