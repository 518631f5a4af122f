"""How requests travel: versions, threads, and what an answer that is none becomes."""

import threading

import pytest

from agent.clients.docker import DockerEngine
from agent.errors import Conflict, Unreachable
from tests.unit.clients.docker.conftest import Calls
from tests.unit.clients.docker.stub import StubDockerd

NO_SWARM = (200, {"ServerVersion": "20.10.24", "Swarm": {"LocalNodeState": "inactive"}})


@pytest.mark.parametrize(("newest", "spoken"), [("1.41", "v1.41"), ("1.45", "v1.45"), ("1.52", "v1.45")])
def test_the_newest_version_that_both_know_is_spoken(
    stub: StubDockerd, engine: DockerEngine, newest: str, spoken: str
) -> None:
    stub.api = newest
    stub.answers["GET /info"] = NO_SWARM

    engine.info()

    assert stub.asked == ["GET /version", f"GET /{spoken}/info"]


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
