"""What a soak would find: each invariant, broken once."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from integration.lab.lab import Lab
from integration.soak.edits import Document
from integration.soak.faults import FAULTS
from integration.soak.history import Change, faults_in
from integration.soak.watch import FOREIGN, PARKING, Container, Look, Watch

RUNS = Container(id="1", started_at="noon", running=True, addresses=("10.10.0.2",))
THEIRS = Container(id="9", started_at="noon", running=True, addresses=())
WELL = Look(
    node="node1",
    swarm="s1",
    managers=3,
    containers={"prod-order-1": RUNS, FOREIGN: THEIRS},
    networks={FOREIGN: "n1"},
    volumes=frozenset({FOREIGN}),
)
OTHER = replace(
    WELL,
    node="node2",
    containers={"prod-order-2": replace(RUNS, id="2", addresses=("10.10.0.3",)), FOREIGN: THEIRS},
)


def watching() -> Watch:
    """A watch that has seen two hosts while all was well."""
    watch = Watch(cast(Lab, SimpleNamespace(hosts=())), lambda _: None)
    watch._base = {"h1": WELL, "h2": OTHER}
    return watch


def found(**now: Look) -> list[str]:
    """What is found when it is seen twice."""
    watch = watching()
    for _ in range(2):
        watch._check({"h1": WELL, "h2": OTHER} | now)
    return watch.violations


def with_copy(name: str, **changes: Any) -> Look:
    return replace(WELL, containers={name: replace(RUNS, **changes), FOREIGN: THEIRS})


def test_where_nothing_changes_nothing_is_found() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (with_copy("prod-order-1", started_at="later"), "prod-order-1 on h1 was stopped without a reason"),
        (with_copy("prod-order-1", running=False), "prod-order-1 on h1 was stopped without a reason"),
        (with_copy("prod-order-9"), "prod-order-1 on h1 was stopped without a reason"),
        (replace(WELL, swarm="s2"), "h1 is in swarm s2, not in s1"),
        (replace(WELL, node="node9"), "h1 is node node9, not node1"),
        (replace(WELL, managers=2), "the swarm has 2 managers, not 3"),
        (replace(WELL, networks={}), "what is foreign on h1"),
        (replace(WELL, volumes=frozenset()), "what is foreign on h1"),
        (replace(WELL, containers={"prod-order-1": RUNS}), "what is foreign on h1"),
        (replace(WELL, containers={**WELL.containers, **OTHER.containers}), "prod-order-2 runs on 2 hosts"),
    ],
)
def test_what_must_not_be_is_found(now: Look, said: str) -> None:
    assert found(h1=now)[0].startswith(said)


def test_an_address_that_two_containers_have_is_found_when_nobody_has_cured_it_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    double = replace(WELL, containers={**WELL.containers, "prod-api-1": replace(RUNS, id="3")})

    assert found(h1=double) == []
    monkeypatch.setattr("integration.soak.watch.GIVEN_TWICE_S", -1.0)
    assert found(h1=double) == ["2 containers have the address 10.10.0.2"]


def test_two_bridges_that_are_changed_at_once_are_found_and_one_is_not() -> None:
    changing = {
        each: replace(seen, networks={**seen.networks, PARKING: "p"})
        for each, seen in (("h1", WELL), ("h2", OTHER))
    }

    assert found(h1=changing["h1"]) == []
    assert found(**changing) == ["docker_gwbridge is changed on h1 and h2 at once"]


def test_a_copy_may_be_stopped_by_what_happens_to_its_host_and_by_an_edit_of_its_service() -> None:
    stopped = with_copy("prod-order-1", running=False)
    for excuse in ("hosts", "services"):
        watch = watching()
        getattr(watch.excuses, excuse).add({"hosts": "h1", "services": "order"}[excuse])
        watch._check({"h1": stopped})
        assert watch.violations == []


def change(revision: int, key: str, value: dict[str, Any] | None) -> Change:
    return Change(revision=revision, key=key, value=value)


def test_a_write_of_a_leaders_key_while_nobody_leads_is_found() -> None:
    told = [
        change(1, "leader", {"host": "h1"}),
        change(2, "verdict", {}),
        change(3, "leader", None),
        change(4, "hosts/h1/status", {}),
        change(5, "assignments/h1", {}),
    ]

    assert faults_in(told) == ["assignments/h1 was written at revision 5 while nobody held the lock"]


@pytest.mark.parametrize(("node", "violations"), [("", ["h1 is in no swarm any more"]), ("node1", [])])
def test_a_node_that_is_out_for_long_is_found_and_one_without_a_leader_is_none(
    monkeypatch: pytest.MonkeyPatch, node: str, violations: list[str]
) -> None:
    """A manager that is cut off from the others cannot say which swarm it is in."""
    watch, clock = watching(), SimpleNamespace(now=0.0)
    monkeypatch.setattr("integration.soak.watch.time.monotonic", lambda: clock.now)
    for clock.now in (100.0, 101.0, 119.0, 121.0):
        watch._check({"h1": replace(WELL, node=node, swarm="", managers=None), "h2": OTHER})
    assert watch.violations == violations


def test_another_swarm_and_a_document_that_goes_back_are_found() -> None:
    told = [
        change(1, "leader", {"host": "h1"}),
        change(2, "swarm", {"swarm_id": None}),
        change(3, "swarm", {"swarm_id": "s1"}),
        change(4, "accepted", {"revision": 9}),
        change(5, "swarm", {"swarm_id": "s2"}),
        change(6, "accepted", {"revision": 8}),
    ]

    assert faults_in(told) == [
        "the swarm was s1, and at revision 5 s2",
        "after document 9 document 8 was in force",
    ]


def test_each_edit_makes_another_document() -> None:
    document = Document()
    seen = [document.text()]
    for tag, edition, bridge in (
        ("1.0.1", 0, "172.21.0"),
        ("1.0.1", 1, "172.21.0"),
        ("1.0.1", 1, "172.22.0"),
    ):
        document.tag, document.edition, document.bridge = tag, edition, bridge
        seen.append(document.text())

    assert len(set(seen)) == 4


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({each.name for each in FAULTS}) == len(FAULTS)
