import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import yaml

import agent.cli.status
import agent.observe.look
from agent.cli.connect import Connection
from agent.cli.output import Output
from agent.cli.status import Wish, look, watch_status, watched
from agent.conditions import ClusterConditions
from agent.errors import Unreachable
from agent.model.keys import Keys
from agent.model.observed import ClusterState
from agent.model.records import Disruption, LeaderRecord, Presence, Verdict, encode
from agent.model.status import (
    BlockedReport,
    BridgeReport,
    HostStatus,
    ReplicaReport,
    StepReport,
    Waiting,
)
from agent.model.store import OLD_REVISIONS, KeyRange, Put, Snapshot, Upkeep
from agent.observe.look import Look
from tests.fakes.store import FakeStore
from tests.unit.cli.conftest import GOOD as DOCUMENT
from tests.unit.cli.conftest import Cluster, swarmkeeper
from tests.unit.cli.sample_conditions import BAD, GOOD, NOW_S, many


@pytest.fixture
def so(monkeypatch: pytest.MonkeyPatch) -> Callable[[ClusterConditions], None]:
    """Let every cluster have these conditions."""

    def letting(found: ClusterConditions) -> None:
        monkeypatch.setattr(agent.observe.look, "conditions_of", lambda *_, **__: found)

    return letting


def test_the_status_is_read_from_what_the_agents_wrote_and_changes_nothing(cluster: Cluster) -> None:
    cluster.put(cluster.keys.intent, DOCUMENT)
    blocked = BlockedReport(resource="engine", reason="no such socket", kind="engine")
    status = HostStatus(instance="run", at="2024-05-01T00:00:00Z", agent_version="0.1.0", blocked=(blocked,))
    cluster.put(cluster.keys.status("h1"), status)
    presence = Presence(instance="run", boot_id="b", version="0.1.0", since="s")
    cluster.put(cluster.keys.presence("h1"), presence)
    before = cluster.content()
    told = json.loads(cluster.run("status", "-o", "json").out)

    assert [host["condition"]["name"] for host in told["hosts"]] == ["h1", "h2"]
    assert told["name"] == cluster.name
    assert told["converged"] is False
    as_yaml = yaml.safe_load(cluster.run("status", "-o", "yaml").out)["hosts"]
    seconds = [
        each.pop("reported_at") for each in (*told["hosts"], *as_yaml)
    ]  # counted from now by each command
    assert as_yaml == told["hosts"]
    assert [bool(each) for each in seconds] == [True, False] * 2
    assert f"Cluster {cluster.name}: " in cluster.run("status").out
    assert cluster.content() == before


def test_a_cluster_with_only_a_document_is_known_and_its_hosts_are_not_well(cluster: Cluster) -> None:
    cluster.put(cluster.keys.intent, DOCUMENT)
    ended = cluster.run("status")

    assert ended.code == 0
    assert "h2" in ended.out
    assert cluster.run("status", "--check").code > 0


def test_a_cluster_without_any_key_is_an_error(cluster: Cluster) -> None:
    # It sorts before the clusters of other tests, of which at most 20 are listed.
    there = replace(cluster, name=f"0-{cluster.name}")
    there.put(there.keys.intent, DOCUMENT)
    for arguments in ((), ("--watch",), ("-o", "json")):
        ended = cluster.run("status", *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert f"swarmkeeper: etcd has no cluster {cluster.name}: it has " in ended.err
        assert there.name in ended.err


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_a_check_ends_with_the_code_of_the_conditions_and_the_status_with_0(
    cluster: Cluster, so: Callable[[ClusterConditions], None], code: int
) -> None:
    cluster.put(cluster.keys.intent, DOCUMENT)
    so(replace(GOOD, code=code))  # type: ignore[arg-type]
    ended = cluster.run("status", "--check")

    assert (ended.code, ended.err, ended.out.count("\n")) == (code, "", 1)
    assert ended.out.startswith("SWARMKEEPER ")
    assert cluster.run("status").code == 0


def test_a_check_of_an_unknown_cluster_is_unknown_and_no_warning(cluster: Cluster) -> None:
    ended = cluster.run("status", "--check")

    assert (ended.code, ended.err) == (3, "")
    assert ended.out.startswith(f"SWARMKEEPER UNKNOWN - {cluster.name}: etcd has no cluster {cluster.name}")


@pytest.mark.parametrize("more", [("--watch",), ("--all",), ("-o", "json")])
def test_a_check_has_one_form(more: tuple[str, ...]) -> None:
    assert swarmkeeper("status", "--check", *more).code == 64


def test_all_and_wide_show_every_service(cluster: Cluster, so: Callable[[ClusterConditions], None]) -> None:
    cluster.put(cluster.keys.intent, DOCUMENT)
    so(many(50, 30))

    assert "… 30 more services" in cluster.run("status").out
    for arguments in (("--all",), ("-o", "wide")):
        shown = cluster.run("status", *arguments).out
        assert "more services" not in shown
        assert "\ns48 " in shown
    assert "Reason" in cluster.run("status", "-o", "wide").out


def test_lines_are_not_broken_where_there_is_no_terminal(
    cluster: Cluster, so: Callable[[ClusterConditions], None]
) -> None:
    cluster.put(cluster.keys.intent, DOCUMENT)
    reason = "a very long reason " * 20
    so(
        replace(
            BAD, problems=(replace(BAD.problems[0], condition=replace(BAD.hosts[0].condition, text=reason)),)
        )
    )

    assert f"  host h1 (EngineDown): {reason}" in cluster.run("status").out


def test_an_etcd_out_of_space_is_a_problem_and_no_report_is_current() -> None:
    store = FakeStore()
    store.txn([], [Put(key=f"{Keys('prod').root}intent", value=DOCUMENT.encode())])
    store.etcd.out_of_space = True
    found = look(Connection(store=store, keys=Keys("prod")))
    conditions = found.conditions(found.read_s)

    assert conditions.store.reason == "StoreFull"
    assert conditions.code == 3


def test_an_etcd_that_keeps_every_revision_is_a_note_until_it_compacts() -> None:
    store, keys = FakeStore(), Keys("prod")
    store.txn([], [Put(key=keys.intent, value=DOCUMENT.encode())])
    connection = Connection(store=store, keys=keys)
    assert look(connection).conditions(NOW_S).notes == ()
    store.etcd.revision += OLD_REVISIONS
    (note,) = look(connection).conditions(NOW_S).notes
    assert note.startswith(
        "etcd keeps more than 20,000 old revisions, until its database is full: set --auto"
    )
    store.etcd.compact()
    assert look(connection).conditions(NOW_S).notes == ()


@pytest.mark.parametrize(
    ("upkeep", "notes"),
    [
        (Upkeep(size=1_717_986_918), []),
        (
            Upkeep(size=1_717_986_919),
            [
                "etcd's database has 1,718 of 2,147 MB, etcd's default quota (this etcd does not tell its own): "
            ],
        ),
        (Upkeep(size=1_717_986_919, quota=8 << 30), []),
        (Upkeep(size=81, quota=100), ["etcd's database has 0 of 0 MB, its quota: "]),
        (
            Upkeep(fault="permission denied"),
            ["not known whether etcd's database fills up: permission denied"],
        ),
    ],
)
def test_a_database_near_its_quota_and_one_that_nobody_may_look_at_are_notes(
    upkeep: Upkeep, notes: list[str]
) -> None:
    found = replace(LOOK, upkeep=upkeep).conditions(NOW_S).notes
    assert len(found) == len(notes)
    assert all(map(str.startswith, found, notes))


# ---- The watch

LOOK = Look(cluster="prod", state=ClusterState(revision=1), upkeep=Upkeep(), read_s=NOW_S)


def test_while_etcd_does_not_answer_the_last_view_stays_with_its_age_and_without_colours(
    so: Callable[[ClusterConditions], None],
) -> None:
    so(BAD)
    shown = watched(LOOK, "etcd does not answer", Wish(), now_s=NOW_S + 42, width=80, height=50)

    assert shown[0].plain == "this was known 42 s ago: etcd does not answer"
    assert any(line.plain.startswith("order ") for line in shown)
    assert {str(line.style) for line in shown[2:]} == {"dim"}
    assert not any(line.spans for line in shown[2:])
    assert "host h2 (Unreachable 6 m)" in "".join(line.plain for line in shown)


def test_a_watch_outlives_an_etcd_that_does_not_answer_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, store, shown = Keys("prod"), FakeStore(), []
    store.txn([], [Put(key=keys.intent, value=DOCUMENT.encode())])
    failed = 0
    read = store.read

    def flaky(ranges: Sequence[KeyRange]) -> Snapshot:
        nonlocal failed
        try:
            return read(ranges)
        except Unreachable:
            failed += 1
            if failed == 3:
                store.heal()
                store.txn([], [Put(key=keys.leader, value=encode(LeaderRecord(host="h1", since="s")))])
            raise

    def printed(found: Look, *_: object, **__: object) -> None:
        shown.append(found.state.leader)
        if len(shown) == 2:
            raise KeyboardInterrupt
        store.cut()

    monkeypatch.setattr(store, "read", flaky)
    monkeypatch.setattr(agent.cli.status, "_print", printed)
    monkeypatch.setattr(agent.cli.status, "RECHECK_S", 0.01)
    watch_status(Connection(store=store, keys=keys), Wish())

    assert (failed, shown) == (3, [None, "h1"])


def test_in_a_small_window_the_last_line_says_what_is_cut_off(
    so: Callable[[ClusterConditions], None],
) -> None:
    so(many(50, 30))
    shown = watched(LOOK, "", Wish(everything=True), now_s=NOW_S, width=80, height=24)

    assert len(shown) == 24
    assert shown[-1].plain.endswith("more lines (enlarge the window, or `swarmkeeper status | less`)")
    assert all(line.cell_len <= 80 for line in shown)


def test_wide_in_a_watch_fits_the_window_too(so: Callable[[ClusterConditions], None]) -> None:
    so(BAD)
    shown = watched(LOOK, "", Wish(output=Output.WIDE), now_s=NOW_S, width=80, height=50)

    assert all(line.cell_len <= 80 for line in shown)


def test_a_watched_status_is_shown_again_when_something_changes_and_ends_on_interrupt(
    cluster: Cluster,
) -> None:
    cluster.put(cluster.keys.leader, LeaderRecord(host="h1", since="s"))
    # Where the tests themselves run behind `&` of a shell, SIGINT is ignored, and children inherit that.
    heeding = ["env", "--default-signal=INT"]
    command = [*heeding, sys.executable, "-m", "agent.cli.app", "status", "--watch", "-o", "json"]
    options = ["--endpoint", cluster.endpoint, "--cluster", cluster.name]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["hosts"] == []
        cluster.put(cluster.keys.intent, DOCUMENT)
        hosts: list[str] = []
        while not hosts:  # the watch may wake once more before the change
            hosts = json.loads(watching.stdout.readline())["hosts"]
        watching.send_signal(signal.SIGINT)

        assert watching.wait(10) == 0
        assert len(hosts) == 2


# ---- Hostile text

OBEYED = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202e\u2028\r\n"
"""What a terminal would do, or not show, if it were told."""


@pytest.mark.parametrize(("name", "subnet"), [(f"h1{OBEYED}x", ""), ("h1", ""), ("h1", OBEYED)])
def test_no_terminal_obeys_what_somebody_wrote_to_etcd(cluster: Cluster, name: str, subnet: str) -> None:
    keys = cluster.keys
    cluster.put(keys.intent, DOCUMENT)
    refused = Verdict(
        revision=cluster.content().revision,
        accepted=False,
        accepted_revision=0,
        errors=(OBEYED,),
        warnings=(OBEYED,),
    )
    replica = ReplicaReport(
        service="order",
        slot=1,
        spec="s",
        id="c",
        name=f"c{OBEYED}",
        status="exited",
        crashes=2,
        output=(OBEYED,),
    )
    status = HostStatus(
        instance=OBEYED,
        at=OBEYED,
        agent_version=OBEYED,
        engine_up=True,
        state="active",
        node_id=OBEYED,
        bridge=BridgeReport(subnet=subnet),
        steps=STEPS,
        blocked=(BlockedReport(resource=OBEYED, reason=OBEYED, kind="error"),),
        waiting=(Waiting(resource=OBEYED, reason=OBEYED, on=OBEYED),),
        replicas=(replica,),
    )
    cluster.put(keys.verdict, refused)
    cluster.put(keys.leader, LeaderRecord(host=OBEYED, since=OBEYED))
    cluster.put(keys.disruption, Disruption(host=OBEYED, state="acquired", reason=OBEYED, quorum=True))
    cluster.put(keys.status(name), status)
    for each in (keys.presence(name), keys.presence(f"away{OBEYED}"), keys.assignment(OBEYED)):
        cluster.put(each, "{")

    commands: list[tuple[str, ...]] = [("status", "-o", form) for form in ("table", "wide", "json", "yaml")]
    commands += [(each, "-o", form) for each in ("ps", "services", "hosts") for form in ("wide", "yaml")]
    commands += [("describe", f"host/{name}"), ("describe", f"host/{name}", "-o", "json")]
    for arguments in (*commands, ("status", "--check"), ("plan",)):
        ended = cluster.run(*arguments)
        shown = f"{ended.out}{ended.err}".replace("\n", "")
        assert shown.isprintable()
        assert ended.code == 0 or arguments not in commands
        if arguments[-1] != "--check" and "services" not in arguments:
            assert "owned" in shown
            assert "\\x1b" in shown or "\\u001b" in shown or "\\e" in shown


STEPS = (StepReport(resource=OBEYED, verb=OBEYED, text=OBEYED),)
