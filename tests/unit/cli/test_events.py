"""`events`: the list, what of it is wanted, and the list that goes on, by an operator with an etcd."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import yaml

import agent.cli.events
from agent.cli.connect import Connection
from agent.cli.events import show_events
from agent.cli.output import Output
from agent.errors import Unreachable
from agent.model.events import Event, EventLog
from agent.model.keys import Keys
from agent.model.records import encode, timestamp
from agent.model.store import KeyRange, Put, Snapshot
from tests.fakes.store import FakeStore
from tests.unit.cli.conftest import Cluster

HOST = Event(
    at="2026-11-29T12:00:00Z",
    kind="condition",
    resource="host/node-1",
    state="Unknown",
    reason="Unreachable",
    text="unreachable for 5 s",
)
DOCUMENT = Event(
    at="2026-11-29T13:00:00Z",
    kind="document",
    resource="document/7",
    state="accepted",
    text="anna@shell: web",
)
REPLICA = Event(
    at="2026-11-29T14:00:00Z",
    kind="condition",
    resource="replica/web-2",
    state="Degraded",
    reason="CrashLoop",
    count=4,
    first="2026-11-29T13:40:00Z",
)
LOG = EventLog(events=(HOST, DOCUMENT, REPLICA), dropped_at="2026-11-28T00:00:00Z")


def lines(cluster: Cluster, *arguments: str) -> list[list[str]]:
    ended = cluster.run("events", *arguments)
    assert ended.code == 0, ended.err
    return [each.split() for each in ended.out.splitlines()]


def test_the_events_are_a_table_the_oldest_first(cluster: Cluster) -> None:
    cluster.put(cluster.keys.events, LOG)
    ended = cluster.run("events")
    found = [each.split() for each in ended.out.splitlines()]
    assert found[0] == ["Time", "Resource", "Event", "Text"]
    assert found[1] == [HOST.at, "host/node-1", "Unknown", "Unreachable", "unreachable", "for", "5", "s"]
    assert found[2] == [DOCUMENT.at, "document/7", "accepted", "anna@shell:", "web"]
    assert " ".join(found[3]).endswith("Degraded CrashLoop (4 times since 2026-11-29T13:40:00Z)")
    assert "Events up to 2026-11-28T00:00:00Z were dropped" in ended.err


def test_a_window_breaks_the_text_into_lines_and_cuts_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = "paused, 1 of 3 replicas updated, because shop-1: it keeps exiting with 1: roll back"
    event = replace(HOST, resource="rollout/shop", state="Blocked", reason="RolloutPaused", text=paused)
    cluster.put(cluster.keys.events, EventLog(events=(event, DOCUMENT)))
    monkeypatch.setenv("COLUMNS", "100")

    assert cluster.run("events").out.splitlines() == [
        "Time                  Resource      Event                  Text",
        "2026-11-29T12:00:00Z  rollout/shop  Blocked RolloutPaused  paused, 1 of 3 replicas updated, because",
        "                                                           shop-1: it keeps exiting with 1: roll",
        "                                                           back",
        "2026-11-29T13:00:00Z  document/7    accepted               anna@shell: web",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("node-1",), [HOST]),
        (("host/node-1", "document/7"), [HOST, DOCUMENT]),
        (("web",), [REPLICA]),
        (("web-2",), [REPLICA]),
        (("node",), []),
        (("--since", "2026-11-29T12:30:00Z"), [DOCUMENT, REPLICA]),
        (("--since", "2026-11-29T15:00:00+02:00"), [DOCUMENT, REPLICA]),
        (("--since", "9999d"), [HOST, DOCUMENT, REPLICA]),
        (("--since", "1m"), []),
    ],
)
def test_names_and_a_time_limit_the_list(
    cluster: Cluster, arguments: tuple[str, ...], expected: Sequence[Event]
) -> None:
    cluster.put(cluster.keys.events, LOG)
    found = json.loads(cluster.run("events", "-o", "json", *arguments).out)
    assert [each["resource"] for each in found["events"]] == [each.resource for each in expected]
    assert (found["version"], found["dropped_at"]) == (1, LOG.dropped_at)


def test_a_name_without_an_event_is_told(cluster: Cluster) -> None:
    cluster.put(cluster.keys.events, LOG)
    ended = cluster.run("events", "wep")
    assert (ended.code, ended.out, ended.err) == (
        0,
        "",
        "Events up to 2026-11-28T00:00:00Z were dropped: the last 64 kB are kept.\nNo such event is kept.\n",
    )


@pytest.mark.parametrize(
    ("since", "seconds"), [("90s", 90), ("30m", 1800), ("1d12h", 129_600), ("2h5m", 7500)]
)
def test_a_duration_counts_from_now(cluster: Cluster, since: str, seconds: int) -> None:
    now = time.time()
    ago = [
        Event(at=timestamp(now - seconds + more), kind="order", resource=f"host/n{more}", state="")
        for more in (-9, 30)
    ]
    cluster.put(cluster.keys.events, EventLog(events=tuple(ago)))
    assert [each[1] for each in lines(cluster, "--since", since)[1:]] == ["host/n30"]


@pytest.mark.parametrize("since", ["", "yesterday", "5", "m", "1h1d", "-5s", "2026-13-01"])
def test_another_time_is_wrong_usage(cluster: Cluster, since: str) -> None:
    cluster.put(cluster.keys.events, LOG)
    ended = cluster.run("events", "--since", since)
    assert ended.code == 64
    assert "neither a duration" in ended.err


def test_as_yaml_and_without_events(cluster: Cluster) -> None:
    cluster.put(cluster.keys.intent, "name: prod\n")
    assert yaml.safe_load(cluster.run("events", "-o", "yaml").out) == {
        "version": 1,
        "dropped_at": "",
        "events": [],
    }
    assert lines(cluster) == []


def test_hostile_text_stays_text(cluster: Cluster) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202e\u2028\r\n[bold]"
    event = Event(
        at=hostile,
        kind="order",
        resource=hostile,
        state=hostile,
        reason=f"{hostile}!",
        text=hostile,
        first=hostile,
        count=2,
    )
    cluster.put(cluster.keys.events, EventLog(events=(event,), dropped_at=hostile))
    ended = cluster.run("events")
    assert ended.out.count("[bold]") == 6
    assert len(ended.out.splitlines()) == 2
    assert not set("\x1b\x07\x9b\u202e\u2028\r") & set(ended.out + ended.err)


def test_an_unreadable_list_is_an_error(cluster: Cluster) -> None:
    cluster.put(cluster.keys.events, "{}")
    ended = cluster.run("events")
    assert ended.code == 1
    assert f"the key {cluster.keys.events} cannot be read, and the leader replaces it" in ended.err
    assert "a EventLog of format" in ended.err


def test_a_followed_list_goes_on_and_ends_on_interrupt(cluster: Cluster) -> None:
    cluster.put(cluster.keys.events, EventLog(events=(HOST,)))
    # Where the tests themselves run behind `&` of a shell, SIGINT is ignored, and children inherit that.
    heeding = ["env", "--default-signal=INT"]
    command = [*heeding, sys.executable, "-m", "agent.cli.app", "events", "-f", "-o", "json"]
    options = ["--endpoint", cluster.endpoint, "--cluster", cluster.name]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["resource"] == "host/node-1"
        cluster.put(cluster.keys.events, LOG)
        assert [json.loads(following.stdout.readline())["resource"] for _ in range(2)] == [
            "document/7",
            "replica/web-2",
        ]
        following.send_signal(signal.SIGINT)
        assert following.wait(10) == 0


def test_a_followed_list_outlives_an_etcd_that_does_not_answer_for_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, store, failed = Keys("prod"), FakeStore(), 0

    def write(*events: Event, dropped_at: str = "") -> None:
        log = EventLog(events=events, dropped_at=dropped_at)
        store.txn([], [Put(key=keys.events, value=encode(log, terse=True))])

    write(HOST)
    read, printing = store.read, agent.cli.events._print

    def flaky(ranges: Sequence[KeyRange]) -> Snapshot:
        nonlocal failed
        try:
            return read(ranges)
        except Unreachable:
            failed += 1
            if failed == 3:
                store.heal()
                write(REPLICA, dropped_at=DOCUMENT.at)
            raise

    def printed(events: Sequence[Event], output: Output, dropped_at: str, **form: Any) -> None:
        printing(events, output, dropped_at, **form)
        if REPLICA in events:
            raise KeyboardInterrupt
        store.cut()

    monkeypatch.setattr(store, "read", flaky)
    monkeypatch.setattr(agent.cli.events, "_print", printed)
    monkeypatch.setattr(agent.cli.events, "RECHECK_S", 0.01)
    show_events(Connection(store=store, keys=keys), Output.TABLE, (), since=None, follow=True)

    ended = capsys.readouterr()
    assert failed == 3
    assert [each.split()[1] for each in ended.out.splitlines()] == [
        "Resource",
        "host/node-1",
        "replica/web-2",
    ]
    assert ended.err.count("Waiting for etcd.") == ended.err.count("etcd answers again.") == 1
    assert f"Events up to {DOCUMENT.at} were dropped" in ended.err
