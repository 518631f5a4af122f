"""history, get, diff and rollback, and the verbs that change one value, by an operator with an etcd."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.cli.apply import Applying, Order
from agent.cli.connect import Connection
from agent.intent.document_diff import meaning
from agent.intent.guard import guarding
from agent.model.history import Entry, Event, Note, entry_of
from agent.model.keys import Keys
from agent.model.observed import ClusterState
from agent.model.records import Accepted, Assignment, Replica, Verdict, decode, encode
from agent.model.store import Delete, KeyRange, Put
from tests.support.document import document
from tests.unit.cli.conftest import GOOD, Cluster, Ended, swarmkeeper
from tests.unit.cli.guarded_etcd import PASSWORD, ROOT, running_guarded

Write = Callable[[str], str]
NEWER = document(GOOD, tags={"order": "1.0.1"})
NEWEST = document(GOOD, tags={"order": "1.0.2"})
FAULTY = "name: prod\n"


def put(
    cluster: Cluster, text: str, result: str = "accepted", *outcomes: str, note: Note | None = None
) -> int:
    """Put a document as an operator, and write what a leader does."""
    keys = cluster.keys
    revision = cluster.store.txn([], [Put(key=keys.intent, value=text.encode())]).revision
    before = cluster.content().get(keys.accepted)
    held = decode(Accepted, before.value).revision if before else 0
    accepted = result == "accepted"
    verdict = Verdict(
        revision=revision,
        accepted=accepted,
        accepted_revision=revision if accepted else held,
        errors=() if accepted else ("line 1: no",),
    )
    cluster.put(keys.verdict, verdict)
    if accepted:
        cluster.put(keys.accepted, Accepted(revision=revision, document=text))
    cluster.put(f"{keys.history}{revision}", entry_of(verdict, text, note, "2026-01-01T00:00:00Z"))
    for number, each in enumerate(outcomes):
        why = "order: order-1: it exited with 1" if each == "paused" else ""
        cluster.put(f"{keys.history}{revision}/{each}", Event(at=f"2026-01-01T00:00:{31 + number}Z", why=why))
    return revision


def compact(cluster: Cluster) -> None:
    """Delete what etcd has of earlier values, as a real one does now and then."""
    import grpc  # noqa: PLC0415

    from agent.clients.etcdpb import etcd_pb2  # noqa: PLC0415 - the client has no such call

    with grpc.insecure_channel(cluster.endpoint.removeprefix("http://")) as channel:
        call = channel.unary_unary(
            "/etcdserverpb.KV/Compact",
            request_serializer=etcd_pb2.CompactionRequest.SerializeToString,
            response_deserializer=etcd_pb2.CompactionResponse.FromString,
        )
        call(etcd_pb2.CompactionRequest(revision=cluster.content().revision))


@contextmanager
def judging(cluster: Cluster) -> Iterator[None]:
    """A leader that accepts the next document, as it is to be put within the block."""
    before = cluster.content().get(cluster.keys.intent)

    def judge() -> None:
        def found(state: ClusterState) -> int | None:
            newest = state.document.revision if state.document else 0
            return newest if newest != (before.mod_revision if before else 0) else None

        connection = Connection(store=cluster.store, keys=cluster.keys)
        revision = connection.wait_for(found, 20.0)
        if revision is not None:
            verdict = Verdict(revision=revision, accepted=True, accepted_revision=revision)
            cluster.put(cluster.keys.verdict, verdict)

    thread = threading.Thread(target=judge)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def intent_of(cluster: Cluster) -> str:
    found = cluster.content().get(cluster.keys.intent)
    assert found is not None
    return found.value.decode()


def note_of(cluster: Cluster) -> Note | None:
    found, intent = (cluster.content().get(each) for each in (cluster.keys.note, cluster.keys.intent))
    same = found and intent and found.mod_revision == intent.mod_revision
    return decode(Note, found.value) if found and same else None


def good(ended: Ended) -> Ended:
    assert ended.code == 0, ended.err
    return ended


# ---- history


def test_the_history_tells_of_each_document_who_put_it_when_and_what_became_of_it(cluster: Cluster) -> None:
    first = put(cluster, GOOD, "accepted", "carried-out", note=Note(author="anna@shell", message="the first"))
    second = put(cluster, NEWER, "accepted", "paused")
    third = put(cluster, FAULTY, "refused")
    lines = [each.split() for each in good(cluster.run("history")).out.splitlines()]
    assert lines[0] == ["Revision", "Time", "Author", "Hash", "Outcome", "Message"]
    assert [each[0] for each in lines[1:]] == [str(third), str(second), str(first)]
    assert " ".join(lines[1][3:]).endswith("refused: line 1: no")
    assert lines[2][1] == "*"
    assert "paused after 31 s: order: order-1: it exited with 1" in " ".join(lines[2])
    assert " ".join(lines[3]).endswith("carried out after 31 s the first")


def test_a_window_breaks_the_outcome_into_lines_and_cuts_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, NEWER, "accepted", "paused", note=Note(author="anna@shell", message="shop 1.2.0"))
    monkeypatch.setenv("COLUMNS", "80")
    head, *lines = good(cluster.run("history")).out.splitlines()

    assert all(len(each) <= 80 for each in lines)
    at = head.index("Outcome")
    end = head.index("Message")
    assert " ".join(each[at:end].strip() for each in lines) == (
        "paused after 31 s: order: order-1: it exited with 1"
    )
    assert lines[0].endswith("shop 1.2.0")


def test_as_data_it_has_hashes_and_all_outcomes(cluster: Cluster) -> None:
    revision = put(cluster, GOOD, "accepted", "paused", "carried-out")
    data = json.loads(good(cluster.run("history", "-o", "json")).out)
    (found,) = data["documents"]
    assert (data["version"], found["revision"], found["accepted"]) == (1, revision, True)
    assert (found["result"], found["after_s"], found["author"]) == ("carried-out", 32.0, "")
    assert found["outcomes"].keys() == {"paused", "carried-out"}
    assert len(found["sha256"]) == 64


def test_a_document_without_an_entry_is_told_as_not_judged_and_an_earlier_one_as_replaced(
    cluster: Cluster,
) -> None:
    put(cluster, GOOD)
    put(cluster, NEWER)
    cluster.put(cluster.keys.intent, NEWEST)
    found = json.loads(good(cluster.run("history", "-o", "json")).out)["documents"]
    assert [each["result"] for each in found] == ["not judged", "under way", "replaced"]


def test_a_document_that_is_not_judged_has_the_author_of_its_own_note_alone(cluster: Cluster) -> None:
    put(cluster, GOOD)
    keys = cluster.keys
    note = Put(key=keys.note, value=encode(Note(author="ben@shell", message="the next")))
    cluster.store.txn([], [Put(key=keys.intent, value=NEWER.encode()), note])
    (line, _) = good(cluster.run("history")).out.splitlines()[1:]
    assert "ben@shell" in line
    assert line.endswith("not judged  the next")
    first = json.loads(good(cluster.run("history", "-o", "json")).out)["documents"][0]
    assert (first["author"], first["message"]) == ("ben@shell", "the next")
    cluster.put(keys.intent, NEWEST)
    line = good(cluster.run("history")).out.splitlines()[1]
    assert line.split()[1:] == ["not", "judged"]


def test_an_entry_that_somebody_else_wrote_hides_no_other_and_shows_no_control_character(
    cluster: Cluster,
) -> None:
    revision = put(cluster, GOOD, "accepted", "carried-out")
    forged = encode(Entry(revision=5, at="\x1b[2J", result="accepted", author="a\nb", message="\u202e"))
    for name, value in {
        "1": b"\xff",
        "2": b"{}",
        "5": forged,
        "x": b"",
        "9" * 30: b"",
        "3": encode(Event(at="")),
    }.items():
        cluster.store.txn([], [Put(key=f"{cluster.keys.history}{name}", value=value)])
    ended = good(cluster.run("history"))
    assert any(line.startswith(f"{revision} *") for line in ended.out.splitlines())
    assert "\x1b" not in ended.out
    assert "\u202e" not in ended.out
    assert {"1", "2", "3", "5"} <= {line.split()[0] for line in ended.out.splitlines()}


# ---- get


def test_get_prints_a_document_byte_for_byte_also_after_a_compaction(cluster: Cluster) -> None:
    first = put(cluster, f"{GOOD}# älter\n")
    put(cluster, NEWER)
    assert good(cluster.run("get")).out == NEWER
    assert good(cluster.run("get", str(first))).out == f"{GOOD}# älter\n"
    compact(cluster)
    ended = good(cluster.run("get", str(first)))
    assert ended.out == f"{GOOD}# älter\n"
    assert f"etcd has compacted revision {first}" in ended.err


@pytest.mark.parametrize("compacted", [False, True])
def test_a_revision_that_nothing_has_is_an_error(cluster: Cluster, *, compacted: bool) -> None:
    revision = put(cluster, GOOD)
    if compacted:
        put(cluster, NEWER)
        compact(cluster)
    ended = cluster.run("get", str(revision - 1))
    assert ended.code == 1
    assert f"the history has no revision {revision - 1}" in ended.err


def test_a_document_that_only_an_agent_wrote_is_never_given(cluster: Cluster) -> None:
    """Whoever can write the history cannot let an operator put a document."""
    first = put(cluster, GOOD, "accepted", "carried-out")
    second = put(cluster, NEWER, "accepted", "carried-out")
    verdict = Verdict(revision=first, accepted=True, accepted_revision=first)
    cluster.put(f"{cluster.keys.history}{first}", entry_of(verdict, NEWEST, None, "2026-01-01T00:00:00Z"))
    between = entry_of(replace(verdict, revision=second - 1), NEWEST, None, "2026-01-01T00:00:00Z")
    cluster.put(f"{cluster.keys.history}{second - 1}", between)
    for each in (first, second - 1):
        ended = cluster.run("rollback", str(each), "--yes")
        assert ended.code == 1
        assert "misused" in ended.err or "no operator put" in ended.err
    assert intent_of(cluster) == NEWER


# ---- diff


def test_diff_compares_a_file_with_the_document_in_force_by_default(cluster: Cluster, write: Write) -> None:
    first, second = put(cluster, GOOD, "accepted", "carried-out"), put(cluster, NEWER)
    to_newest = "services.order.image: changed registry.example/order:1.0.1 -> registry.example/order:1.0.2\n"
    to_newer = "services.order.image: changed registry.example/order:1.0.0 -> registry.example/order:1.0.1\n"
    assert good(cluster.run("diff", write(NEWEST))).out == to_newest
    assert good(cluster.run("diff", str(first))).out == to_newer
    assert good(cluster.run("diff")).out == to_newer
    assert good(cluster.run("diff", str(first), str(second))).out == to_newer
    same = good(cluster.run("diff", write(f"# more\n{NEWER}")))
    assert same.out.endswith("mean the same.\n")


def test_two_files_are_compared_without_etcd_and_one_may_be_standard_input(
    write: Write, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(NEWER)
    nowhere = "--endpoint", "http://127.0.0.1:1", "--cluster", "prod"
    line = "services.order.image: changed registry.example/order:1.0.0 -> registry.example/order:1.0.1\n"
    assert good(swarmkeeper("diff", *nowhere, write(GOOD), str(other))).out == line
    assert good(swarmkeeper("diff", *nowhere, "-", str(other), stdin=GOOD)).out == line
    twice = swarmkeeper("diff", *nowhere, "-", "-", stdin=GOOD)
    assert (twice.code, "one of the two documents" in twice.err) == (64, True)


def test_the_accepted_document_is_compared_with_standard_input(cluster: Cluster) -> None:
    put(cluster, GOOD)
    assert "order:1.0.0 -> registry.example/order:1.0.1" in good(cluster.run("diff", "-", stdin=NEWER)).out


@pytest.mark.parametrize("name", ["missing.yaml", "\u0661", "9" * 30])
def test_what_is_neither_a_revision_nor_a_file_is_an_error_of_usage(cluster: Cluster, name: str) -> None:
    put(cluster, GOOD)
    ended = cluster.run("diff", name)
    assert ended.code == 64
    assert "is no revision" in ended.err
    assert "Errno" not in ended.err


# ---- rollback


def test_a_rollback_puts_the_last_document_that_was_carried_out(cluster: Cluster) -> None:
    first = put(cluster, GOOD, "accepted", "carried-out")
    put(cluster, NEWER, "accepted", "paused")
    put(cluster, NEWEST, "accepted", "paused")
    with judging(cluster):
        ended = good(cluster.run("rollback", "--yes"))
    assert intent_of(cluster) == GOOD
    assert "registry.example/order:1.0.2 -> registry.example/order:1.0.0" in ended.out
    note = note_of(cluster)
    assert note is not None
    assert note.message == f"rollback to revision {first}"
    assert "@" in note.author


def test_a_rollback_from_a_refused_document_puts_the_one_in_force(cluster: Cluster) -> None:
    put(cluster, GOOD, "accepted", "carried-out")
    held = put(cluster, NEWER, "accepted", "carried-out")
    refused = put(cluster, FAULTY, "refused")
    said = f"revision {refused} was refused: this puts the accepted revision {held} again"
    assert said in good(cluster.run("rollback", "--plan")).out
    with judging(cluster):
        ended = good(cluster.run("rollback", "--yes"))
    assert said in ended.out
    assert "are the same text" not in ended.out
    assert intent_of(cluster) == NEWER


def test_a_rollback_finds_the_accepted_document_without_an_entry_too(cluster: Cluster) -> None:
    put(cluster, GOOD, "accepted", "carried-out")
    held = put(cluster, NEWER, "accepted")
    put(cluster, FAULTY, "refused")
    cluster.store.txn([], [Delete(key=f"{cluster.keys.history}{held}")])
    assert "under way" in good(cluster.run("history")).out
    with judging(cluster):
        good(cluster.run("rollback", "--yes"))
    assert intent_of(cluster) == NEWER


def test_with_plan_it_writes_nothing(cluster: Cluster) -> None:
    first = put(cluster, GOOD, "accepted", "carried-out")
    put(cluster, NEWER)
    for arguments in ((), (str(first),)):
        ended = good(cluster.run("rollback", *arguments, "--plan"))
        assert "publish verdict" in cluster.run("rollback", *arguments, "--plan").out or "step" in ended.out
    assert intent_of(cluster) == NEWER


def test_without_an_earlier_document_it_says_so(cluster: Cluster) -> None:
    put(cluster, GOOD, "accepted", "carried-out")
    put(cluster, f"# the same\n{GOOD}", "accepted", "paused")
    put(cluster, NEWER)
    put(cluster, NEWER, "accepted", "carried-out")
    ended = cluster.run("rollback", "999999", "--yes")
    assert (ended.code, "no revision 999999" in ended.err or "no operator put" in ended.err) == (1, True)


@pytest.mark.parametrize("command", [("get",), ("diff",), ("rollback", "--yes")])
def test_a_document_that_is_not_utf8_is_neither_shown_nor_put_with_other_characters(
    cluster: Cluster, command: tuple[str, ...]
) -> None:
    broken = GOOD.encode().replace(b"hunter2", b"hun\xffter2")
    at = cluster.store.txn([], [Put(key=cluster.keys.intent, value=broken)]).revision
    put(cluster, GOOD, "accepted", "carried-out")
    before = cluster.content()

    ended = cluster.run(command[0], str(at), *command[1:])

    where = broken.index(b"\xff")
    assert (ended.code, ended.out) == (1, "")
    assert f"the document of revision {at} is not UTF-8: byte {where} (0xff)" in ended.err
    assert cluster.content() == before


def test_a_rollback_does_not_overwrite_what_another_operator_puts_meanwhile(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, GOOD, "accepted", "carried-out")
    put(cluster, NEWER)

    def think(_: str, **__: object) -> bool:
        cluster.put(cluster.keys.intent, NEWEST)
        return True

    monkeypatch.setattr("typer.confirm", think)
    ended = cluster.run("rollback")
    assert ended.code == 1
    assert "another client changed the document" in ended.err
    assert intent_of(cluster) == NEWEST


# ---- verbs


STOPPED = document(GOOD, hosts={"h2": {"availability": "drain"}}, policy={"mode": "paused"})
AVAILABILITY, MODE = "x-cluster.hosts.h2.availability", "x-cluster.policy.mode"


@pytest.mark.parametrize(
    ("before", "command", "line", "change"),
    [
        (
            GOOD,
            ("drain", "h2"),
            '    h2: {"availability": "drain", address: 10.0.0.2, role: worker}',
            f"{AVAILABILITY}: changed active -> drain",
        ),
        (
            STOPPED,
            ("undrain", "h1", "h2"),
            "      availability: active",
            f"{AVAILABILITY}: changed drain -> active",
        ),
        (GOOD, ("pause",), "  policy: {mode: paused}", f"{MODE}: changed enforce -> paused"),
        (STOPPED, ("resume",), "    mode: enforce", f"{MODE}: changed paused -> enforce"),
    ],
)
def test_a_verb_changes_one_line_and_says_which_value(
    cluster: Cluster, before: str, command: tuple[str, ...], line: str, change: str
) -> None:
    text = f"# kept: {{x}}\n{before}"
    put(cluster, text)
    with judging(cluster):
        ended = good(cluster.run(*command, "--yes", "-m", "why"))
    after = intent_of(cluster)
    assert [each for each in after.splitlines() if each not in text.splitlines()] == [line]
    assert [each for each in ended.out.splitlines() if each.startswith("x-cluster")] == [change]
    note = note_of(cluster)
    assert note is not None
    assert note.message == "why"


@pytest.mark.parametrize("stamp", ["", "    x-restarted-at: 2026-11-30T16:00:00Z  # kept\n"])
def test_a_restart_of_a_service_writes_its_time_and_nothing_else(cluster: Cluster, stamp: str) -> None:
    before, after = GOOD.split("    x-hosts:")
    text = f"{before}{stamp}    x-hosts:{after}"
    put(cluster, text)
    with judging(cluster):
        ended = good(cluster.run("restart", "service/order", "--yes"))
    after = intent_of(cluster)
    (line,) = [each for each in after.splitlines() if each not in text.splitlines()]
    at = datetime.fromisoformat(line.split()[1].strip('"'))
    written = f"{at:%Y-%m-%dT%H:%M:%SZ}  # kept" if stamp else f'"{at:%Y-%m-%dT%H:%M:%SZ}"'
    assert line == f"    x-restarted-at: {written}"
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)
    before = "2026-11-30T16:00:00Z" if stamp else "nothing"
    assert f"services.order.x-restarted-at: changed {before} -> {at:%Y-%m-%dT%H:%M:%SZ}" in ended.out
    note = note_of(cluster)
    assert note is not None
    assert note.message == "restart service/order"


def test_a_restart_of_a_service_on_one_host_is_refused(cluster: Cluster) -> None:
    put(cluster, GOOD)
    ended = cluster.run("restart", "order", "--host", "h1", "--yes")
    assert ended.code == 64
    assert "--host is for one replica" in ended.err


def test_a_restart_of_what_is_neither_a_service_nor_a_replica_is_refused(cluster: Cluster) -> None:
    put(cluster, GOOD)
    assert "no resource of this cluster" in cluster.run("restart", "ordre", "--yes").err
    assert "h1 is a host: name a replica" in cluster.run("restart", "h1", "--yes").err
    assert intent_of(cluster) == GOOD


@pytest.mark.parametrize(("command", "change"), [("drain", AVAILABILITY), ("pause", MODE)])
def test_of_a_document_on_one_line_the_change_alone_is_printed_and_it_stays_json(
    cluster: Cluster, command: str, change: str
) -> None:
    policy = {"mode": "enforce"}
    put(cluster, json.dumps(meaning("x", document(GOOD, policy=policy).encode()), separators=(",", ":")))
    with judging(cluster):
        ended = good(cluster.run(command, *(("h2",) if command == "drain" else ()), "--yes"))
    assert change in ended.out
    assert "hunter2" not in ended.out
    assert json.loads(intent_of(cluster))["services"]["order"]["environment"] == {"PASSWORD": "hunter2"}


@pytest.mark.parametrize(
    ("before", "command", "said"),
    [
        (GOOD, ("undrain", "h2"), f"{AVAILABILITY} is active already: nothing was written."),
        (STOPPED, ("drain", "h2"), f"{AVAILABILITY} is drain already: nothing was written."),
        (GOOD, ("resume",), f"{MODE} is enforce already: nothing was written."),
        (STOPPED, ("pause",), f"{MODE} is paused already: nothing was written."),
        (
            document(GOOD, policy={"mode": "observe"}),
            ("resume",),
            f"{MODE} is observe already: nothing was written.",
        ),
    ],
)
def test_a_verb_that_has_nothing_to_change_says_so_and_writes_nothing(
    cluster: Cluster, before: str, command: tuple[str, ...], said: str
) -> None:
    revision = put(cluster, before)
    assert good(cluster.run(*command, "--yes")).out == f"{said}\n"
    data = json.loads(good(cluster.run(*command, "--yes", "-o", "json")).out)
    assert (data["written"], data["result"], data["revision"]) == (False, "accepted", revision)
    found = cluster.content().get(cluster.keys.intent)
    assert found is not None
    assert found.mod_revision == revision


SPREAD = document(
    GOOD,
    services={
        "order": {"x-hosts": None, "deploy": {"replicas": 4}},
        "pinned": {"image": "a", "x-hosts": ["h1"]},
    },
)


def assign(cluster: Cluster, **counts: int) -> None:
    slots = iter(range(1, 99))
    for host, count in counts.items():
        replicas = tuple(Replica(service="order", slot=next(slots), spec="0") for _ in range(count))
        cluster.put(cluster.keys.assignment(host), Assignment(revision=1, project="prod", replicas=replicas))


def test_rebalance_orders_it_of_the_uneven_services_and_of_a_named_one(cluster: Cluster) -> None:
    put(cluster, SPREAD)
    assign(cluster, h1=2, h2=2)
    even = good(cluster.run("rebalance", "--yes"))
    assert even.out == "every service is spread evenly already: nothing was written.\n"
    assign(cluster, h1=4, h2=0)
    planned = good(cluster.run("rebalance", "--plan"))
    assert "no verdict" not in planned.err
    assert intent_of(cluster) == SPREAD
    with judging(cluster):
        ended = good(cluster.run("rebalance", "--yes"))
    assert "services.order.x-rebalanced-at: changed nothing -> 20" in ended.out
    (line,) = [each for each in intent_of(cluster).splitlines() if each not in SPREAD.splitlines()]
    assert re.fullmatch(r"    x-rebalanced-at: \"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\"", line)
    note = note_of(cluster)
    assert note is not None
    assert note.message == "rebalance"


def test_rebalance_says_that_no_service_has_replicas_to_spread(cluster: Cluster) -> None:
    put(cluster, GOOD)
    found = good(cluster.run("rebalance", "--yes"))
    assert found.out == "no service has deploy.replicas: nothing was written.\n"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("pinned", "pinned has fixed hosts: only services with deploy.replicas can be rebalanced"),
        ("ordre", "the accepted document does not declare ordre: did you mean order? it declares"),
    ],
)
def test_rebalance_refuses_what_has_no_replicas_to_place(cluster: Cluster, name: str, why: str) -> None:
    put(cluster, SPREAD)
    ended = cluster.run("rebalance", "order", name, "--yes")
    assert ended.code == 1
    assert why in ended.err
    assert intent_of(cluster) == SPREAD


def test_rebalance_by_a_clock_that_is_behind_the_last_order_is_refused_as_the_leader_would_ignore_it(
    cluster: Cluster,
) -> None:
    put(cluster, document(SPREAD, services={"order": {"x-rebalanced-at": "2099-01-01T00:00:00Z"}}))
    ended = cluster.run("rebalance", "order", "--yes")
    assert ended.code == 1
    assert "x-rebalanced-at of order is after 20" in ended.err


def test_the_history_fits_the_terminal(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cluster, GOOD, note=Note(author="ann@laptop.of.a.long.name", message="long " * 40))
    monkeypatch.setenv("COLUMNS", "80")
    lines = good(cluster.run("history")).out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[:2] == ["Revision", "Time"]
    assert max(map(len, good(cluster.run("history", "-o", "wide")).out.splitlines())) > 200


VERBS = [
    ("rebalance", "order"),
    ("drain", "h2"),
    ("undrain", "h2"),
    ("pause",),
    ("resume",),
    ("rollback",),
    ("edit",),
]


@pytest.mark.parametrize("command", [*VERBS, ("rollback", "1"), ("rollback", "--plan")])
def test_a_newest_document_without_a_verdict_is_not_replaced(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    editor(tmp_path, monkeypatch, "echo '# more' >> $1")
    put(cluster, GOOD, "accepted", "carried-out")
    put(cluster, NEWER, "accepted", "carried-out")
    cluster.put(cluster.keys.intent, NEWEST)
    newest = cluster.content().revision
    ended = cluster.run(*command, *(() if "--plan" in command else ("--yes",)))
    assert ended.code == 1
    assert f"revision {newest}, the newest document, has no verdict yet" in ended.err
    assert "start the agents that may lead" in ended.err
    assert intent_of(cluster) == NEWEST
    # Against the accepted one, as it is in force.
    assert "order:1.0.0 -> registry.example/order:1.0.1" in good(cluster.run("diff")).out


@pytest.mark.parametrize(
    "command", [*VERBS, ("history",), ("events",), ("get",), ("confirm",), ("diff",), ("diff", "7")]
)
def test_a_cluster_that_etcd_does_not_have_is_an_error_with_those_it_has(
    cluster: Cluster, command: tuple[str, ...]
) -> None:
    put(cluster, GOOD)
    ended = swarmkeeper(command[0], "--endpoint", cluster.endpoint, "--cluster", "prd", *command[1:])
    assert ended.code == 1
    assert "etcd has no cluster prd: it has " in ended.err


def test_a_drain_of_a_host_with_a_wrong_name_suggests_the_near_one(cluster: Cluster) -> None:
    put(cluster, document(GOOD, hosts={"node-231": {"address": "10.0.0.3", "role": "worker"}}))
    assert "declare node231: did you mean node-231? it declares h1" in cluster.run("drain", "node231").err


def test_a_drain_of_a_host_that_is_not_declared_changes_nothing(cluster: Cluster) -> None:
    put(cluster, GOOD)
    ended = cluster.run("drain", "h1", "h7", "--yes")
    assert ended.code == 1
    assert "does not declare h7: it declares h1, h2" in ended.err
    assert intent_of(cluster) == GOOD


def test_a_verb_changes_the_document_in_force_and_says_that_it_replaces_a_refused_one(
    cluster: Cluster,
) -> None:
    put(cluster, GOOD)
    refused = put(cluster, FAULTY, "refused")
    with judging(cluster):
        ended = good(cluster.run("pause", "--yes"))
    assert f"revision {refused} is not accepted" in ended.out
    assert "mode: paused" in intent_of(cluster)


def test_an_applied_file_that_lacks_a_drain_or_a_pause_in_force_says_so(
    cluster: Cluster, write: Write
) -> None:
    put(cluster, document(GOOD, hosts={"h2": {"availability": "drain"}}, policy={"mode": "paused"}))
    ended = cluster.run("apply", write(NEWER), stdin="n\n")
    assert "warning: h2 is set to drain in the accepted document, and not in this one" in ended.out
    assert "warning: the accepted document has mode paused, and this one ends it" in ended.out
    undrained = cluster.run("undrain", "h2", stdin="n\n")
    assert "and not in this one" not in undrained.out


def test_confirm_puts_the_waiting_document_with_its_token(cluster: Cluster) -> None:
    guard = {"deletion_guard": "10%"}
    put(cluster, document(GOOD, policy=guard))
    waiting = document(GOOD, policy=guard, replicas={"order": {"h1": 1}})
    put(cluster, waiting, "waits")
    guarded = guarding(Connection(store=cluster.store, keys=cluster.keys).read())
    assert guarded is not None
    assert "--yes needs the token" in cluster.run("confirm", "--yes").err
    assert "does not confirm" in cluster.run("confirm", "0" * 16, "--yes").err
    with judging(cluster):
        ended = good(cluster.run("confirm", guarded[0], "--yes"))
    assert "This edit removes 2 of 3 replicas" in ended.out
    assert f"confirm: {guarded[0]}" in intent_of(cluster) or guarded[0] in intent_of(cluster)


def test_confirm_without_a_waiting_document_is_an_error(cluster: Cluster) -> None:
    put(cluster, GOOD)
    assert "waits for no confirmation" in cluster.run("confirm").err


# ---- edit


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let $EDITOR be a script that gets the name of the file."""
    path = tmp_path / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(path))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def left(tmp_path: Path) -> list[Path]:
    return [*tmp_path.glob("swarmkeeper-*.yaml")]


def test_what_comes_back_from_the_editor_is_applied_and_its_file_removed(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, GOOD)
    editor(tmp_path, monkeypatch, "sed -i s/order:1.0.0/order:1.0.1/ $1")
    with judging(cluster):
        good(cluster.run("edit", "--yes"))
    edited = [each for each in intent_of(cluster).splitlines() if each not in GOOD.splitlines()]
    assert edited == ["    image: registry.example/order:1.0.1"]
    assert left(tmp_path) == []


@pytest.mark.parametrize("script", ["exit 3", "rm $1", "rm $1; exit 3"])
def test_a_text_that_was_not_changed_is_not_kept(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    put(cluster, GOOD)
    editor(tmp_path, monkeypatch, script)
    ended = cluster.run("edit", "--yes")
    assert ended.code == 1
    assert "nothing was applied" in ended.err
    assert "Your text" not in ended.err
    assert left(tmp_path) == []


@pytest.mark.parametrize("value", ['vi "', " "])
@pytest.mark.parametrize("variable", ["VISUAL", "EDITOR"])
def test_a_variable_that_is_no_command_line_is_named(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    put(cluster, GOOD)
    editor(tmp_path, monkeypatch, "true")
    monkeypatch.setenv(variable, value)
    ended = cluster.run("edit")
    assert ended.code == 1
    assert f"${variable} is {value!r}, which is no command line" in ended.err
    assert left(tmp_path) == []


def test_an_edit_says_that_it_replaces_a_refused_document(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, GOOD)
    refused = put(cluster, FAULTY, "refused")
    editor(tmp_path, monkeypatch, "true")
    assert f"revision {refused} is not accepted" in good(cluster.run("edit")).out


@pytest.mark.parametrize("script", ["echo 'services: 1' > $1", "echo '[' > $1", "echo more >> $1; exit 3"])
def test_a_text_that_is_not_applied_stays_in_its_file(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    put(cluster, GOOD)
    editor(tmp_path, monkeypatch, script)
    ended = cluster.run("edit", "--yes")
    (path,) = left(tmp_path)
    assert ended.code == 1
    assert f"Your text is in {path}." in ended.err
    assert path.stat().st_mode & 0o077 == 0
    assert path.read_text() != GOOD
    assert intent_of(cluster) == GOOD


def test_an_editor_that_changes_nothing_applies_nothing(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, GOOD)
    editor(tmp_path, monkeypatch, "true")
    assert good(cluster.run("edit")).out == "The document was not changed.\n"
    assert left(tmp_path) == []


# ---- roles


def test_an_operator_with_the_role_of_an_earlier_version_applies_without_an_author(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, password = Keys("prod"), tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    with running_guarded(tmp_path / "etcd") as server:
        for role_has_note in (True, False):
            if not role_has_note:
                revoked = ("role", "revoke-permission", "swarmkeeper-prod-operator", keys.note)
                server.ctl(*revoked, user=ROOT)
            store = server.login("operator", password)
            order = Order(
                name="mine", raw=(GOOD if role_has_note else NEWER).encode(), ask=False, message="why"
            )
            written = Applying(Connection(store=store, keys=keys)).write(order)
            found = store.read([KeyRange(key=keys.intent), KeyRange(key=keys.note)])
            store.close()
            intent, note = found.get(keys.intent), found.get(keys.note)
            assert intent is not None
            assert note is not None
            assert intent.mod_revision == written.revision
            assert (note.mod_revision == written.revision) == role_has_note
            assert ("The history will not name you" in capsys.readouterr().out) != role_has_note
