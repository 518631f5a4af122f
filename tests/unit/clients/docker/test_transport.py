"""How requests travel: versions, threads, and what an answer that is none becomes."""

import threading
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.clients.docker import DockerEngine
from agent.diff.container import FillContext
from agent.errors import Conflict, Unreachable
from agent.model.records import Replica
from tests.unit.clients.docker.conftest import Calls
from tests.unit.clients.docker.stub import StubDockerd

NO_SWARM: tuple[int, dict[str, Any]] = (
    200,
    {"ServerVersion": "20.10.24", "Swarm": {"LocalNodeState": "inactive"}},
)


def _context(replica: Replica) -> FillContext:
    return FillContext(host="h", service=replica.service, slot=replica.slot)


@pytest.mark.parametrize(("newest", "spoken"), [("1.41", "v1.41"), ("1.45", "v1.45"), ("1.52", "v1.45")])
def test_the_newest_version_that_both_know_is_spoken(
    stub: StubDockerd, engine: DockerEngine, newest: str, spoken: str
) -> None:
    stub.api = newest
    stub.answers["GET /containers/json"] = (200, [])

    engine.containers({}, _context)

    assert stub.asked == ["GET /version", f"GET /{spoken}/containers/json?all=1"]


def test_an_engine_that_has_outgrown_the_tested_versions_is_asked_in_its_oldest(
    stub: StubDockerd, engine: DockerEngine
) -> None:
    stub.oldest, stub.api = "1.46", "1.51"
    stub.answers["GET /containers/json"] = (200, [])

    with capture_logs() as said:
        assert engine.containers({}, _context).ours == ()

    assert stub.asked == ["GET /version", "GET /v1.46/containers/json?all=1"]
    assert [(each["log_level"], each["engine"], each["tested"]) for each in said] == [
        ("warning", "1.46", "1.45")
    ]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, ""),
        ({"FirewallBackend": {"Driver": "iptables+firewalld"}}, ""),
        (
            {"FirewallBackend": {"Driver": "nftables"}},
            "Docker has no swarm with the firewall backend nftables",
        ),
        ({"LiveRestoreEnabled": True}, "Docker has no swarm with live-restore"),
    ],
)
def test_an_engine_that_refuses_every_swarm_says_so_before(
    stub: StubDockerd, engine: DockerEngine, more: dict[str, Any], why: str
) -> None:
    stub.api = "1.52"
    stub.answers["GET /info"] = (200, {**NO_SWARM[1], **more})

    assert engine.info().no_swarm.partition(":")[0] == why
    assert stub.asked[-1] == "GET /v1.49/info"


def test_the_version_is_asked_for_once_and_shared_by_all_threads(
    stub: StubDockerd, engine: DockerEngine
) -> None:
    stub.answers["GET /info"] = NO_SWARM
    engine.info()

    threads = [threading.Thread(target=engine.info) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert stub.asked.count("GET /version") == 1
    assert stub.asked.count("GET /v1.41/info") == 5


def test_an_upgraded_dockerd_is_asked_for_its_version_again(stub: StubDockerd, engine: DockerEngine) -> None:
    refused = (400, {"message": "client version 1.41 is too old. Minimum supported API version is 1.44"})
    stub.answers["GET /info"] = [(503, {"message": "API version negotiation"}), refused, NO_SWARM]
    for _ in range(2):
        with pytest.raises(Exception, match=r"version"):
            engine.info()
    stub.api = "1.45"

    engine.info()

    assert stub.asked[-2:] == ["GET /version", "GET /v1.45/info"]


def test_an_answer_that_is_no_json_is_no_dockerd(stub: StubDockerd, engine: DockerEngine) -> None:
    stub.answers["GET /info"] = (200, b"<html>It works!</html>")

    with pytest.raises(Unreachable, match="not JSON"):
        engine.info()


def test_a_refusal_without_words_still_says_something(stub: StubDockerd, engine: DockerEngine) -> None:
    stub.answers["POST /containers/x/start"] = (409, b"")

    with pytest.raises(Conflict, match="no reason"):
        engine.start("x")


def test_a_dockerd_that_does_not_answer_in_time_is_unreachable(
    stub: StubDockerd, engine: DockerEngine
) -> None:
    answered = threading.Event()
    stub.answers["GET /info"] = lambda _send: answered.wait(5.0)

    with pytest.raises(Unreachable, match="timeout"):
        engine.info()
    answered.set()


def test_every_call_is_observed_under_its_name_with_what_came_of_it(
    stub: StubDockerd, engine: DockerEngine, calls: Calls
) -> None:
    stub.answers["GET /info"] = NO_SWARM
    stub.answers["POST /containers/x/start"] = (304, None)
    stub.answers["GET /nodes"] = (500, {"message": "rpc error: code = Unknown desc = no leader"})
    engine.info()
    engine.start("x")
    with pytest.raises(Unreachable):
        engine.nodes()

    assert calls == [("info", None), ("container_start", None), ("nodes", "Unreachable")]


def test_a_name_with_odd_characters_stays_one_part_of_the_path(
    stub: StubDockerd, engine: DockerEngine
) -> None:
    stub.answers["POST /containers/a%2Fb%3Fc/unpause"] = (204, None)

    engine.unpause("a/b?c")

    assert stub.asked[-1] == "POST /v1.41/containers/a%2Fb%3Fc/unpause"
