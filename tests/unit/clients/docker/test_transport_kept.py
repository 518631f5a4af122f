"""Connections are kept: how many there are, and what a dockerd that closes them makes of a call."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent.clients.docker import DockerEngine
from agent.errors import Unreachable
from tests.unit.clients.docker.stub import StubDockerd

INFO = {"ServerVersion": "20.10.24", "Swarm": {"LocalNodeState": "inactive"}}
THREADS = 4


@pytest.fixture
def connected(stub: StubDockerd, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each connection that the stub accepts."""
    accepted: list[int] = []
    accept: Callable[[], Any] = stub._server.get_request

    def counted() -> Any:
        accepted.append(len(accepted))
        return accept()

    monkeypatch.setattr(stub._server, "get_request", counted)
    return accepted


def test_one_connection_serves_all_paths_and_all_answers(
    stub: StubDockerd, engine: DockerEngine, connected: list[int]
) -> None:
    stub.answers["GET /info"] = (200, INFO)
    engine.info()
    before = len(connected)

    for number in range(40):
        stub.answers[f"GET /networks/n{number}"] = (200, {}) if number % 2 else (404, {"message": "no"})
        engine.bridge_endpoints(f"n{number}")
    stub.answers["POST /containers/x/start"] = (204, None)
    engine.start("x")

    assert len(connected) == before


def test_threads_that_call_at_once_have_a_connection_each(
    stub: StubDockerd, engine: DockerEngine, connected: list[int]
) -> None:
    stub.answers["GET /info"] = (200, INFO)
    engine.info()
    before = len(connected)
    together = threading.Barrier(THREADS)

    def at_once(send: Callable[[str], None]) -> None:
        together.wait(5.0)
        send('{"ServerVersion": "1", "Swarm": {"LocalNodeState": "inactive"}}')

    stub.answers["GET /info"] = at_once
    found: list[str] = []

    def call() -> None:
        found.extend(engine.info().version for _ in range(3))

    threads = [threading.Thread(target=call) for _ in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert found == ["1"] * (3 * THREADS)
    assert len(connected) == before + THREADS


def _cut(handler_answers: dict[str, Any], request: str, stub: StubDockerd) -> None:
    """Close the connection in place of the next answer to `request`."""
    answer, cut = stub.answer, [request]

    def answered(handler: Any) -> None:
        if cut and f"{handler.command} {handler.path.partition('/v1.41')[2].partition('?')[0]}" == cut[0]:
            stub.asked.append(f"{handler.command} {handler.path}")
            cut.clear()
            handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
            handler.close_connection = True
            return
        answer(handler)

    handler_answers["answer"] = answered


def test_a_read_on_a_connection_that_dockerd_closes_is_repeated_once(
    stub: StubDockerd, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.answers["GET /info"] = (200, INFO)
    engine.info()
    held: dict[str, Any] = {}
    _cut(held, "GET /info", stub)
    monkeypatch.setattr(stub, "answer", held["answer"])

    assert engine.info().version == "20.10.24"
    assert stub.asked[-3:] == ["GET /v1.41/info"] * 3


def test_an_act_on_a_connection_that_dockerd_closes_is_not_repeated(
    stub: StubDockerd, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.answers["POST /containers/x/start"] = (204, None)
    engine.start("x")
    held: dict[str, Any] = {}
    _cut(held, "POST /containers/x/start", stub)
    monkeypatch.setattr(stub, "answer", held["answer"])

    with pytest.raises(Unreachable):
        engine.start("x")
    assert len([each for each in stub.asked if each.startswith("POST")]) == 2


def test_a_read_that_takes_too_long_is_not_repeated(stub: StubDockerd, engine: DockerEngine) -> None:
    stub.answers["GET /info"] = (200, INFO)
    engine.info()
    answered = threading.Event()
    stub.answers["GET /info"] = lambda _send: answered.wait(5.0)

    with pytest.raises(Unreachable, match="timeout"):
        engine.info()
    answered.set()
    assert stub.asked.count("GET /v1.41/info") == 2


def test_an_act_after_a_restart_of_dockerd_connects_anew(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    engine = DockerEngine(f"unix://{path}", 1.0, "test")
    for _ in range(2):
        stub = StubDockerd(path)
        stub.answers["POST /containers/x/start"] = (204, None)
        connections: list[Any] = []
        accept: Callable[[], Any] = stub._server.get_request

        def kept(accept: Callable[[], Any] = accept, held: list[Any] = connections) -> Any:
            held.append(accept())
            return held[-1]

        stub._server.get_request = kept  # type: ignore[method-assign]
        with stub.serving():
            engine.start("x")
        for connection, _ in connections:
            with suppress(OSError):  # the first ones, which the client closed
                connection.shutdown(socket.SHUT_RDWR)
        path.unlink()
        assert [each for each in stub.asked if "start" in each] == ["POST /v1.41/containers/x/start"]
    engine.close()
