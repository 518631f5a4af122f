"""What doctor says of a host: one fault each, told with its remedy, and nothing of a host that is well."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from agent.doctor import checks
from agent.doctor.checks import FAIL, OK, SKIP, WARN, Finding, RegistryFact, Space
from agent.model.intent import BridgeIntent

ENGINE = {
    "version": "26.1.5",
    "live_restore": False,
    "no_swarm": "",
    "storage": "overlay2",
    "cgroup": "cgroup 2",
}
BRIDGE = BridgeIntent(subnet=IPv4Network("172.21.0.0/20"), gateway=IPv4Address("172.21.0.1"), options=())
RULES = (
    ":DOCKER - [0:0]",
    ":DOCKER-USER - [0:0]",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-A POSTROUTING -s 172.21.0.0/20 ! -o docker_gwbridge -j MASQUERADE",
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -o docker_gwbridge -j DOCKER",
)


def levels(found: list[Finding]) -> list[str]:
    assert all(each.remedy for each in found if each.level in (WARN, FAIL))
    return [each.level for each in found]


@pytest.mark.parametrize(
    ("access", "words"),
    [
        (
            ("/etc/swarmkeeper/agent.yaml: line 4: the file /etc/key cannot be read", ()),
            ["/etc/key cannot be read"],
        ),
        (("", ("/var/lib/swarmkeeper",)), ["cannot write /var/lib/swarmkeeper"]),
        (("a", ("b", "c")), ["a", "cannot write b and c"]),
    ],
)
def test_what_the_account_of_the_agent_cannot_use_is_a_fault(
    access: tuple[str, tuple[str, ...]], words: list[str]
) -> None:
    found = checks.check_access(*access)

    assert levels(found) == [FAIL] * len(words)
    assert all(word in each.text for word, each in zip(words, found, strict=True))
    assert levels(checks.check_access("", ())) == [OK]


@pytest.mark.parametrize(
    ("engine", "level", "words"),
    [
        ({"live_restore": True, "no_swarm": "live-restore is on"}, FAIL, "live-restore is on"),
        ({"no_swarm": "the firewall backend is nftables"}, FAIL, "nftables"),
        ({"version": "19.03.9"}, FAIL, "dockerd 19.03.9 is older"),
        ({"version": ""}, FAIL, "unknown version"),
        ({"storage": "vfs"}, WARN, "vfs"),
        ({}, OK, "dockerd 26.1.5, overlay2"),
        ({"version": "20.10.24+dfsg1"}, OK, "20.10.24"),
    ],
)
def test_an_engine_that_has_no_swarm_is_a_fault(engine: dict[str, Any], level: str, words: str) -> None:
    found = checks.check_engine(**{**ENGINE, **engine})

    assert levels(found) == [level]
    assert words in found[0].text


@pytest.mark.parametrize(
    ("unloaded", "absent", "forwards", "level"),
    [
        ((), (), True, OK),
        (("vxlan",), (), True, OK),
        (("vxlan",), ("vxlan",), True, FAIL),
        (("vxlan",), None, True, SKIP),
        ((), None, False, FAIL),
        ((), (), None, SKIP),
    ],
)
def test_a_kernel_without_vxlan_or_forwarding_is_a_fault_and_one_without_a_list_is_not_known(
    unloaded: tuple[str, ...], absent: tuple[str, ...] | None, forwards: bool | None, level: str
) -> None:
    assert levels(checks.check_modules(unloaded, absent, forwards=forwards)) == [level]


@pytest.mark.parametrize(
    ("free", "size", "level"),
    [
        (1 << 27, 1 << 35, FAIL),
        (1 << 30, 1 << 35, WARN),
        (1 << 33, 1 << 40, OK),  # under a tenth, and plenty
        (1 << 27, 1 << 28, OK),  # little, and half of it
    ],
)
def test_a_file_system_is_full_by_its_share_and_by_what_is_left(free: int, size: int, level: str) -> None:
    assert levels(checks.check_disks([Space("/var/lib/docker", free, size)])) == [level]


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (":DOCKER-USER", "the chain DOCKER-USER"),
        ("-A FORWARD -j DOCKER-USER", "the jump from FORWARD"),
        (":DOCKER -", "the chain DOCKER"),
        ("-A PREROUTING", "the jump from PREROUTING"),
        ("-A POSTROUTING", "lacks the masquerading of 172.21.0.0/20"),
        ("-A FORWARD -o", "lacks the rules that forward"),
        (
            "",
            "the chain DOCKER-USER, the jump from FORWARD to it, the chain DOCKER, the jump from PREROUTING",
        ),
    ],
)
def test_each_rule_that_is_flushed_is_named(lost: str, words: str) -> None:
    rules = tuple(each for each in RULES if not each.startswith(lost))
    found = checks.check_firewall(rules, BRIDGE)

    assert levels(found) == [FAIL]
    assert words in found[0].text


def test_the_rules_of_docker_are_well_with_the_bridge_and_before_it() -> None:
    no_masquerade = replace(BRIDGE, options=(("com.docker.network.bridge.enable_ip_masquerade", "false"),))
    plain = tuple(each for each in RULES if "POSTROUTING" not in each)

    assert levels(checks.check_firewall(RULES, BRIDGE)) == [OK]
    assert levels(checks.check_firewall(plain, no_masquerade)) == [OK]
    assert levels(checks.check_firewall(plain[:-1], None)) == [OK]


def test_a_registry_that_refuses_the_credentials_is_a_fault_and_one_that_is_away_a_warning() -> None:
    found = checks.check_registries(
        [
            RegistryFact("a.example", "", False, True),
            RegistryFact("b.example", "unauthorized", True, True),
            RegistryFact("c.example", "no such host", False, True),
            RegistryFact("d.example", "denied", True, False),
        ]
    )

    assert levels(found) == [OK, FAIL, WARN, WARN]
    assert "docker login b.example" in found[1].remedy
