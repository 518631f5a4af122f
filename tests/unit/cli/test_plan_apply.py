import json
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from agent.admission import encode
from agent.admission.policy import Policy
from agent.cli.connect import Connection
from agent.cli.wait import Outcome, Result
from agent.model.observed import ClusterState
from agent.model.records import Accepted, Verdict
from agent.model.status import HostStatus
from tests.support.document import document
from tests.unit.cli.conftest import GOOD, Cluster, swarmkeeper

Write = Callable[[str], str]
NEWER = document(GOOD, tags={"order": "1.0.1"})


@contextmanager
def leading(cluster: Cluster, *, refuse: str = "") -> Iterator[None]:
    """Somebody who judges the first document that comes."""

    def judge() -> None:
        connection = Connection(store=cluster.store, keys=cluster.keys)

        def found(state: ClusterState) -> int | None:
            return state.document.revision if state.document else None

        revision = connection.wait_for(found, 20.0)
        assert revision is not None
        if not refuse:
            cluster.put(cluster.keys.accepted, Accepted(revision=revision, document=GOOD))
        errors = (refuse,) if refuse else ()
        accepted_revision = 0 if refuse else revision
        cluster.put(
            cluster.keys.verdict,
            Verdict(
                revision=revision, accepted=not refuse, accepted_revision=accepted_revision, errors=errors
            ),
        )

    thread = threading.Thread(target=judge)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def intent_of(cluster: Cluster) -> str | None:
    found = cluster.content().get(cluster.keys.intent)
    return found.value.decode() if found else None


def test_a_document_is_put_word_for_word_and_its_acceptance_told(cluster: Cluster, write: Write) -> None:
    with leading(cluster):
        ended = cluster.run("apply", write(GOOD), "--yes")

    assert ended.code == 0
    assert intent_of(cluster) == GOOD
    assert ended.out.splitlines()[-1].endswith("is accepted.")


def test_what_a_host_does_not_admit_is_told_before_the_question(cluster: Cluster, write: Write) -> None:
    said = HostStatus(instance="h2", at="", agent_version="0.1.0", admission=encode(Policy()))
    cluster.put(cluster.keys.status("h2"), said)
    ended = cluster.run("apply", write(document(GOOD, services={"order": {"pid": "host"}})), stdin="n\n")
    warning = "service order waits on h2: `admission` there does not admit pid: host"
    assert ended.out.index(warning) < ended.out.index("Apply this document?")


def test_a_refusal_by_the_leader_is_an_error_with_his_words(cluster: Cluster, write: Write) -> None:
    with leading(cluster, refuse="line 3, column 1: not today\x1b[2J"):
        ended = cluster.run("apply", write(GOOD), "--yes")

    assert ended.code == 1
    assert "line 3, column 1: not today\\x1b[2J\n" in ended.err
    assert "no document is accepted" in ended.err


def test_the_plan_is_shown_before_anything_is_asked(cluster: Cluster, write: Write) -> None:
    ended = cluster.run("apply", write(GOOD), stdin="n\n")

    assert "create, start container/prod-order-1: order replica 1 is assigned here" in ended.out
    assert ended.out.index("create, start container") < ended.out.index("Apply this document?")


def test_who_says_no_puts_nothing(cluster: Cluster, write: Write) -> None:
    ended = cluster.run("apply", write(GOOD), stdin="n\n")

    assert ended.code == 1
    assert intent_of(cluster) is None


def test_a_faulty_document_never_reaches_etcd(cluster: Cluster, write: Write) -> None:
    ended = cluster.run("apply", write("name: prod\n"), "--yes")

    assert ended.code == 1
    assert intent_of(cluster) is None


def test_an_intent_that_changed_under_the_operators_eyes_is_not_overwritten(
    cluster: Cluster, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.put(cluster.keys.intent, GOOD)

    def think_while_somebody_else_puts(_: str, **__: object) -> bool:
        cluster.put(cluster.keys.intent, NEWER)
        return True

    monkeypatch.setattr("typer.confirm", think_while_somebody_else_puts)
    ended = cluster.run("apply", write(document(GOOD, tags={"order": "2.0.0"})))

    assert ended.code == 1
    assert "another client changed the document after the plan; nothing was written" in ended.err
    assert intent_of(cluster) == NEWER


def test_the_document_that_is_there_already_is_not_put_again(cluster: Cluster, write: Write) -> None:
    cluster.put(cluster.keys.intent, GOOD)
    before = cluster.content()
    ended = cluster.run("apply", write(GOOD), "--yes", "--no-wait")

    assert ended.code == 0
    assert "etcd already has this document" in ended.out
    assert cluster.content() == before


def test_the_document_that_is_there_already_is_put_again_if_it_was_refused_although_it_is_valid(
    cluster: Cluster, write: Write
) -> None:
    cluster.put(cluster.keys.intent, GOOD)
    before = cluster.content().get(cluster.keys.intent)
    assert before is not None
    verdict = Verdict(
        revision=before.mod_revision, accepted=False, accepted_revision=0, errors=("two leaders",)
    )
    cluster.put(cluster.keys.verdict, verdict)
    ended = cluster.run("apply", write(GOOD), "--yes", "--no-wait")

    assert ended.code == 0
    after = cluster.content().get(cluster.keys.intent)
    assert after is not None
    assert (after.value, after.mod_revision > before.mod_revision) == (before.value, True)


def test_who_does_not_wait_leaves_at_once(cluster: Cluster, write: Write) -> None:
    ended = cluster.run("apply", write(GOOD), "--yes", "--no-wait")

    assert ended.code == 0
    assert ended.out.splitlines()[-1].startswith("Written to etcd as revision")


def test_a_verdict_that_does_not_come_ends_with_3(cluster: Cluster, write: Write) -> None:
    ended = cluster.run("apply", write(GOOD), "--yes", "--timeout", "0.1")

    assert ended.code == 3
    assert "there is no leader" in ended.err
    assert intent_of(cluster) == GOOD


def test_what_is_not_ready_in_time_is_named_and_ends_with_1(cluster: Cluster, write: Write) -> None:
    with leading(cluster):
        ended = cluster.run("apply", write(GOOD), "--yes", "--wait", "--timeout", "2")

    revision = cluster.content().get(cluster.keys.intent)
    assert revision is not None
    assert ended.code == 1
    assert re.search(rf" s  leader: has not assigned revision {revision.mod_revision} yet\n", ended.out)
    assert f"revision {revision.mod_revision} is not ready after 2." in ended.err
    assert "stays applied" in ended.err


def test_a_document_that_is_there_already_is_waited_for_all_the_same(cluster: Cluster, write: Write) -> None:
    with leading(cluster):
        cluster.run("apply", write(GOOD), "--yes")
    ended = cluster.run("apply", write(GOOD), "--yes", "--wait=cluster", "--timeout", "1")

    assert ended.code == 1
    assert "etcd already has this document" in ended.out
    assert "not ready after 1." in ended.err


def test_the_end_is_one_object_for_programs(cluster: Cluster, write: Write) -> None:
    with leading(cluster):
        accepted = cluster.run("apply", write(GOOD), "--yes", "-o", "json")
    late = cluster.run("apply", write(GOOD), "--yes", "-o", "json", "--wait", "--timeout", "1")
    faulty = cluster.run("apply", write("name: prod\n"), "--yes", "-o", "json")

    told = json.loads(accepted.out)
    assert (accepted.code, told["version"], told["result"], told["written"]) == (0, 1, "accepted", True)
    told = json.loads(late.out)
    assert (late.code, told["result"], told["written"]) == (1, "timeout", False)
    assert told["causes"]
    told = json.loads(faulty.out)
    assert (faulty.code, told["result"], told["revision"]) == (1, "invalid", 0)


@pytest.mark.parametrize(
    ("result", "code"), [("ready", 0), ("failed", 1), ("timeout", 1), ("interrupted", 130)]
)
def test_the_exit_code_says_how_the_wait_has_ended(
    cluster: Cluster, write: Write, monkeypatch: pytest.MonkeyPatch, result: Result, code: int
) -> None:
    monkeypatch.setattr("agent.cli.apply.await_goal", lambda *_, **__: Outcome(result=result, seconds=1.0))
    with leading(cluster):
        ended = cluster.run("apply", write(GOOD), "--wait", "--yes")

    assert ended.code == code
    assert "after 1.0 s" in ended.out + ended.err


def test_a_document_that_nobody_carries_out_is_not_waited_for(cluster: Cluster, write: Write) -> None:
    with leading(cluster):
        ended = cluster.run("apply", write(document(GOOD, policy={"mode": "paused"})), "--yes", "--wait")

    assert ended.code == 1
    assert "is accepted, but x-cluster.policy.mode is paused: no agent carries it out" in ended.err


@pytest.mark.parametrize("wrong", [("--wait=bogus",), ("--no-wait", "--wait"), ("--timeout", "x")])
def test_a_wait_for_something_else_is_wrong_usage(wrong: tuple[str, ...], write: Write) -> None:
    options = ("--endpoint", "http://127.0.0.1:1", "--cluster", "prod")
    assert swarmkeeper("apply", write(GOOD), "--yes", *options, *wrong).code == 64


def test_a_document_from_standard_input_needs_a_yes_beforehand(cluster: Cluster) -> None:
    assert cluster.run("apply", "-", stdin=GOOD).code == 64
    assert cluster.run("apply", "-", "--yes", "--no-wait", stdin=GOOD).code == 0


# ---- an edit that the guard holds back

GUARDED = GOOD.replace("x-cluster:\n", "x-cluster:\n  policy: {deletion_guard: 50%}\n")
SMALLER = GUARDED.replace("{h1: 2, h2: 1}", "{h1: 1}")


def word_of(text: str) -> str:
    found = re.search(r"--confirm ([0-9a-f]{16})", text)
    assert found
    return found[1]


@pytest.fixture
def guarded(cluster: Cluster) -> Cluster:
    cluster.put(cluster.keys.intent, GUARDED)
    cluster.put(cluster.keys.accepted, Accepted(revision=cluster.content().revision, document=GUARDED))
    return cluster


def test_an_edit_that_would_wait_is_refused_before_it_is_written(guarded: Cluster, write: Write) -> None:
    file = write(SMALLER)
    ended = guarded.run("apply", file, "--yes", "--wait=cluster", "--timeout", "90")

    assert ended.code == 1
    assert "nothing was written: this edit removes 2 of 3 replicas (order 2 of 3)" in ended.err
    assert ended.err.splitlines()[-1] == (
        f"  swarmkeeper apply --endpoint {guarded.endpoint} --cluster {guarded.name} --yes --wait=cluster --timeout=90"
        f" --confirm {word_of(ended.err)} {file}"
    )
    assert intent_of(guarded) == GUARDED


def test_the_command_that_is_named_confirms_the_edit(guarded: Cluster, write: Write) -> None:
    ended = guarded.run("apply", write(SMALLER), "--yes", "--no-wait")
    command = shlex.split(ended.err.splitlines()[-1])

    assert command[0] == "swarmkeeper"
    assert swarmkeeper(*command[1:], "--no-wait").code == 0
    written = intent_of(guarded)
    assert written is not None
    assert "confirm" in written


def test_with_the_word_the_document_is_put_with_it_and_the_plan_shows_what_comes(
    guarded: Cluster, write: Write
) -> None:
    word = word_of(guarded.run("apply", write(SMALLER), "--yes").err)
    ended = guarded.run("apply", write(SMALLER), "--yes", "--no-wait", "--confirm", word)

    assert ended.code == 0
    assert "waits" not in ended.out
    assert intent_of(guarded) == SMALLER.replace("policy: {", f'policy: {{"confirm": "{word}", ')


def test_the_word_for_another_edit_puts_nothing(guarded: Cluster, write: Write) -> None:
    ended = guarded.run("apply", write(SMALLER), "--yes", "--confirm", "0123456789abcdef")

    assert ended.code == 1
    assert "0123456789abcdef does not confirm this edit, which removes 2 of 3 replicas" in ended.err
    assert intent_of(guarded) == GUARDED


def test_a_word_is_not_needed_where_nothing_waits(guarded: Cluster, write: Write) -> None:
    edited = document(GUARDED, tags={"order": "1.0.1"})
    ended = guarded.run("apply", write(edited), "--yes", "--no-wait", "--confirm", "0123456789abcdef")

    assert ended.code == 0
    assert intent_of(guarded) == edited


def test_a_document_that_waits_is_no_success_and_the_word_is_told(guarded: Cluster, write: Write) -> None:
    connection = Connection(store=guarded.store, keys=guarded.keys)
    accepted = connection.read().accepted
    assert accepted is not None
    stays = accepted.revision

    def judge() -> None:
        def found(state: ClusterState) -> int | None:
            newest = state.document.revision if state.document else 0
            return newest if newest > stays else None

        revision = connection.wait_for(found, 20.0)
        assert revision is not None
        verdict = Verdict(
            revision=revision, accepted=False, accepted_revision=stays, errors=("it waits",), confirm="word"
        )
        guarded.put(guarded.keys.verdict, verdict)

    thread = threading.Thread(target=judge)
    thread.start()
    ended = guarded.run("apply", write(document(GUARDED, tags={"order": "1.0.1"})), "--yes")
    thread.join()

    assert ended.code == 1
    assert "it waits" in ended.err
    assert f"waits for a confirmation; revision {stays} stays accepted" in ended.err
    assert f"waits for a confirmation; revision {stays} is accepted" in guarded.run("status").out
