"""What a soak would find: each invariant, broken once."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer

from integration.journals import check_journals, telling
from integration.lab.lab import Lab
from integration.soak import __main__ as command
from integration.soak.edits import Document
from integration.soak.faults import FAULTS
from integration.soak.history import LEADERS, Change, faults_in
from integration.soak.run import LOOK_S, Outcome, Soak
from integration.soak.watch import FOREIGN, PARKING, Container, Look, Watch
from tests.support.reliability import ROOT

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


def change(revision: int, key: str, value: dict[str, Any] | None) -> Change:
    return Change(revision=revision, key=key, value=value)


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


def with_replica(name: str, **changes: Any) -> Look:
    return replace(WELL, containers={name: replace(RUNS, **changes), FOREIGN: THEIRS})


def test_where_nothing_changes_nothing_is_found() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (with_replica("prod-order-1", started_at="later"), "prod-order-1 on h1 was stopped without a reason"),
        (with_replica("prod-order-1", running=False), "prod-order-1 on h1 was stopped without a reason"),
        (with_replica("prod-order-9"), "prod-order-1 on h1 was stopped without a reason"),
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
    monkeypatch.setattr("integration.soak.watch.DUPLICATE_ADDRESS_S", -1.0)
    assert found(h1=double) == ["2 containers have the address 10.10.0.2"]


def test_two_bridges_that_are_changed_at_once_are_found_and_one_is_not() -> None:
    changing = {
        each: replace(seen, networks={**seen.networks, PARKING: "p"})
        for each, seen in (("h1", WELL), ("h2", OTHER))
    }

    assert found(h1=changing["h1"]) == []
    assert found(**changing) == ["docker_gwbridge is changed on h1 and h2 at once"]


def test_a_replica_may_be_stopped_by_what_happens_to_its_host_and_by_an_edit_of_its_service() -> None:
    stopped = with_replica("prod-order-1", running=False)
    for excuse in ("hosts", "services"):
        watch = watching()
        getattr(watch.excuses, excuse).add({"hosts": "h1", "services": "order"}[excuse])
        watch._check({"h1": stopped})
        assert watch.violations == []


def test_a_write_of_a_leaders_key_while_nobody_leads_is_found() -> None:
    told = [
        change(1, "leader", {"host": "h1"}),
        change(2, "tokens", {}),
        change(3, "leader", None),
        change(4, "hosts/h1/status", {}),
        change(5, "unlock", {}),
        change(6, "specs/0c2f", None),
    ]

    assert faults_in(told) == [
        "unlock was written at revision 5 while nobody held the lock",
        "specs/0c2f was written at revision 6 while nobody held the lock",
    ]


def test_the_leaders_keys_are_those_that_the_page_of_keys_names() -> None:
    rows = re.findall(
        r"^\| `([^`]+)` \| ([a-z, ]+) \|", (ROOT / "docs/etcd-keys.md").read_text(), re.MULTILINE
    )
    writers = {key.partition("<")[0]: who for key, who in rows}

    named = {key for key, who in writers.items() if who in {"leader", "leader, claimant"}}
    assert named - {"leader"} == set(LEADERS)


LED = (change(1, "leader", {"host": "h1"}), change(2, "intent", {}), change(3, "leader", None))
LED_BY_ANOTHER = (*LED, change(4, "leader", {"host": "h2"}))


@pytest.mark.parametrize(
    ("late", "said"),
    [
        (change(5, "verdict", {"revision": 2}), []),
        (
            change(5, "verdict", {"revision": 1}),
            ["the verdict at revision 5 is on document 1, and 2 was the newest"],
        ),
        (change(5, "swarm", {"claimed_by": "h1"}), ["h1 claimed the init at revision 5 while h2 led"]),
        (change(5, "swarm", {"claimed_by": "h2"}), []),
        (change(5, "leader", {"host": "h1"}), ["h1 took the lock at revision 5 while h2 held it"]),
    ],
)
def test_a_write_of_one_who_leads_no_more_is_found_where_it_shows(late: Change, said: list[str]) -> None:
    assert faults_in([*LED_BY_ANOTHER, late]) == said


def test_a_verdict_on_a_document_that_was_deleted_is_found() -> None:
    gone, late = change(5, "intent", None), change(6, "verdict", {"revision": 2})

    assert faults_in([*LED_BY_ANOTHER, gone, late]) == [
        "the verdict at revision 6 is on document 2, and none was the newest"
    ]


@pytest.mark.parametrize("key", ["accepted", "digests", "assignments/h1"])
def test_what_is_of_an_older_document_than_before_is_found_and_a_new_epoch_is_newer(key: str) -> None:
    told = [
        *LED_BY_ANOTHER,
        change(5, key, {"revision": 9, "epoch": 0}),
        change(6, key, {"revision": 7, "epoch": 1}),
        change(7, key, {"revision": 8, "epoch": 0}),
    ]

    assert faults_in(told) == [f"{key} was of document 7 (epoch 1), and at revision 7 of 8 (epoch 0)"]


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


def test_another_swarm_is_found_and_one_whose_record_was_lost_is_none() -> None:
    told = [
        change(1, "leader", {"host": "h1"}),
        change(2, "swarm", {"claimed_by": "h1", "swarm_id": None}),
        change(3, "swarm", {"claimed_by": "h1", "swarm_id": "s1"}),
        change(4, "swarm", None),
        change(5, "swarm", {"claimed_by": "h1", "swarm_id": "s1"}),
        change(6, "swarm", {"claimed_by": "h1", "swarm_id": "s2"}),
    ]

    assert faults_in(told) == ["the swarm was s1, and at revision 6 s2"]


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


def raises(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_a_watch_that_fails_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    watch = Watch(cast(Lab, SimpleNamespace(hosts=())), told.append)
    monkeypatch.setattr("integration.soak.watch.EVERY_S", 0.0)
    monkeypatch.setattr(watch, "_look", raises(TypeError("'NoneType' object is not iterable")))
    watch._thread.start()
    watch._thread.join(10)

    assert not watch.is_alive
    assert told == watch.violations
    assert told[0].startswith("the watch has ended, nobody looks any more")
    assert "TypeError: 'NoneType' object is not iterable" in told[0]


def soaking(monkeypatch: pytest.MonkeyPatch, artifacts: Callable[..., None] = lambda *_: None) -> Soak:
    """A soak of a lab without hosts, that has begun this moment."""
    monkeypatch.setattr("integration.soak.run.leave_artifacts", artifacts)
    soak = Soak(cast(Lab, SimpleNamespace(hosts=())), 1, 7)
    soak._outcome.began = time.monotonic()
    return soak


@pytest.mark.parametrize(
    ("alive", "looks", "said"),
    [
        (True, 41, []),
        (False, 41, ["the watch has ended before the soak"]),
        (True, 39, ["only 39 looks at the hosts in"]),
    ],
)
def test_a_soak_at_which_nobody_has_looked_is_violated(
    monkeypatch: pytest.MonkeyPatch, alive: bool, looks: int, said: list[str]
) -> None:
    soak = soaking(monkeypatch)
    soak._outcome.began -= 40 * LOOK_S
    monkeypatch.setattr(soak, "_watch", SimpleNamespace(is_alive=alive, looks=looks))

    soak._check_watch()

    found = soak._outcome.violations
    assert len(found) == len(said)
    assert all(words in text for words, text in zip(said, found, strict=True))
    assert f"{looks} looks at all hosts" in str(soak._outcome)


def test_what_was_found_is_kept_also_when_no_artifacts_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = soaking(monkeypatch, raises(OSError("no space left")))

    soak._violated("two swarms")

    assert soak._outcome.violations == ["0 s: two swarms"]


@pytest.mark.parametrize(("violations", "code"), [([], 0), (["1 s: two swarms"], 1)])
def test_the_command_ends_with_one_if_anything_was_violated(
    monkeypatch: pytest.MonkeyPatch, violations: list[str], code: int
) -> None:
    def run(_lab: object, minutes: float, seed: int) -> SimpleNamespace:
        return SimpleNamespace(run=lambda: Outcome(seed=seed, minutes=minutes, violations=violations))

    monkeypatch.setattr(command, "Soak", run)
    monkeypatch.setattr(command, "Lab", lambda _: SimpleNamespace(up=lambda: None, down=lambda: None))
    with pytest.raises(typer.Exit) as ended:
        command.main(seed=7)

    assert ended.value.exit_code == code


TOKEN = "join with SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx"
KEY = "unlock SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8"


def test_a_line_of_a_journal_that_tells_a_token_or_a_key_is_found() -> None:
    assert telling(f"plan: join swarm\n{TOKEN}\njoin with SWM***\n{KEY}\n") == [TOKEN, KEY]
    assert telling("join with SWM***\n") == []


def test_a_lab_whose_agents_told_a_token_is_an_error_and_leaves_its_artifacts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left: list[object] = []
    monkeypatch.setattr("integration.journals.leave_artifacts", lambda _lab, folder: left.append(folder))
    on = SimpleNamespace(
        name="h1", is_up=True, exec=lambda *_, **__: SimpleNamespace(stdout=f"begin\n{TOKEN}\n")
    )
    off = SimpleNamespace(name="h2", is_up=False)
    lab = SimpleNamespace(name="lab", hosts=(on, off))

    with pytest.raises(AssertionError, match=f"h1: {TOKEN}"):
        check_journals(cast(Lab, lab))
    assert len(left) == 1
    on.exec = lambda *_, **__: SimpleNamespace(stdout="join with SWM***\n")
    check_journals(cast(Lab, lab))
    assert len(left) == 1
