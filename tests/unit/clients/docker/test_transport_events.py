"""The stream of events over its life: quiet, broken, closed."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from agent.clients.docker import DockerEngine, events
from agent.errors import Unreachable
from tests.unit.clients.docker.stub import StubDockerd

Send = Callable[[str], None]
SECOND_NS = 10**9


def _event(name: str, at_ns: int) -> str:
    actor = {"ID": "c0ffee", "Attributes": {"name": name}}
    return json.dumps({"Type": "container", "Action": "die", "Actor": actor, "timeNano": at_ns}) + "\n"


def _queries(stub: StubDockerd) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(each).query) for each in stub.asked if "/events" in each]


def test_an_event_is_a_hint_that_names_what_it_is_about(stub: StubDockerd, engine: DockerEngine) -> None:
    stub.answers["GET /events"] = lambda send: send(_event("prod-order-1", SECOND_NS))

    with contextlib.closing(engine.events()) as listening:
        assert next(listening) == "container die prod-order-1"


def test_only_what_can_change_a_plan_is_asked_for(stub: StubDockerd, engine: DockerEngine) -> None:
    stub.answers["GET /events"] = lambda _send: None

    engine.events().close()

    filters = json.loads(_queries(stub)[0]["filters"][0])
    assert {"start", "die", "destroy", "health_status", "update"} <= set(filters["event"])
    assert not {"exec_create", "exec_start", "top", "attach"} & set(filters["event"])


def test_after_a_quiet_time_it_goes_on_where_it_was(
    stub: StubDockerd, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_QUIET_S", 0.1)
    over = threading.Event()

    def first(send: Send) -> None:
        send(_event("first", 7 * SECOND_NS))
        over.wait(5.0)

    stub.answers["GET /events"] = [first, lambda send: send(_event("second", 8 * SECOND_NS))]

    with contextlib.closing(engine.events()) as heard:
        assert [next(heard), next(heard)] == ["container die first", "container die second"]
    over.set()
    assert _queries(stub)[1]["since"] == ["7.000000001"]


def test_a_stream_that_ends_is_a_dockerd_that_went_away(stub: StubDockerd, engine: DockerEngine) -> None:
    stub.answers["GET /events"] = lambda _send: None

    with pytest.raises(Unreachable, match="ended the stream"):
        next(engine.events())


def test_a_dockerd_that_hangs_is_noticed_by_its_silence(
    stub: StubDockerd, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_QUIET_S", 0.1)
    over = threading.Event()
    stub.answers["GET /events"] = [
        lambda _send: over.wait(5.0),
        (500, {"message": "context deadline exceeded"}),
    ]

    with pytest.raises(Unreachable, match="deadline"):
        next(engine.events())
    over.set()


def test_close_ends_a_listener_that_waits(stub: StubDockerd, engine: DockerEngine) -> None:
    over = threading.Event()
    stub.answers["GET /events"] = lambda _send: over.wait(10.0)
    listening = engine.events()
    closer = threading.Timer(0.1, listening.close)
    began = time.monotonic()
    closer.start()

    assert list(listening) == []

    assert time.monotonic() - began < 5.0
    closer.join()
    over.set()


def test_a_closed_listener_may_be_closed_again(stub: StubDockerd, engine: DockerEngine) -> None:
    stub.answers["GET /events"] = lambda _send: None
    listening = engine.events()

    listening.close()
    listening.close()

    assert list(listening) == []
