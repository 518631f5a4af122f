"""Errors of megabytes: only their beginning is read, and only 1,000 characters of it go on."""

import json
import tracemalloc
from collections.abc import Callable

import pytest

from agent.clients.docker import DockerEngine
from agent.clients.docker.reading import text_of
from agent.errors import Refused, SwarmkeeperError, Unreachable
from tests.unit.clients.docker.stub import StubDockerd

HUGE = "denied: " + "x" * 3_000_000
IMAGE = "registry.example/app:1"


def raised(call: Callable[[], object]) -> SwarmkeeperError:
    with pytest.raises(SwarmkeeperError) as caught:
        call()
    return caught.value


def pieces_of(text: str) -> Callable[[Callable[[str], None]], None]:
    def stream(send: Callable[[str], None]) -> None:
        for at in range(0, len(text), 65_000):
            send(text[at : at + 65_000])

    return stream


def test_an_error_answer_is_cut_and_tells_how_much_is_missing(
    stub: StubDockerd, engine: DockerEngine
) -> None:
    stub.answers[f"GET /distribution/{IMAGE}/json"] = (403, {"message": HUGE})

    error = raised(lambda: engine.digest_of(IMAGE))

    assert isinstance(error, Refused)
    assert str(error).startswith("denied: xxx")
    assert "... 2,999,0" in str(error)
    assert len(str(error)) < 1100


def test_of_an_error_answer_only_the_beginning_is_held(stub: StubDockerd, engine: DockerEngine) -> None:
    body = json.dumps({"message": HUGE}).encode()
    stub.answers[f"GET /distribution/{IMAGE}/json"] = (403, body)
    raised(lambda: engine.digest_of(IMAGE))

    tracemalloc.start()
    try:
        errors = [raised(lambda: engine.digest_of(IMAGE)) for _ in range(3)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(errors) == 3
    assert peak < 1_500_000, peak


def test_an_error_in_a_stream_of_a_pull_is_cut(stub: StubDockerd, engine: DockerEngine) -> None:
    text = json.dumps({"errorDetail": {"message": HUGE}, "error": HUGE}) + "\n"
    stub.answers["POST /images/create"] = pieces_of(text)

    error = raised(lambda: engine.pull(IMAGE))

    assert isinstance(error, Refused)
    assert str(error).startswith("denied: xxx")
    assert "... 5,9" in str(error)
    assert len(str(error)) < 1100


def test_the_kind_of_an_error_may_stand_behind_the_cut(stub: StubDockerd, engine: DockerEngine) -> None:
    stub.answers["GET /info"] = (400, {"message": "x" * 5_000 + " toomanyrequests"})
    stub.answers[f"GET /distribution/{IMAGE}/json"] = (403, {"message": "x" * 5_000 + " toomanyrequests"})

    assert isinstance(raised(lambda: engine.digest_of(IMAGE)), Unreachable)


def test_a_join_token_at_the_cut_is_masked(stub: StubDockerd, engine: DockerEngine) -> None:
    stub.answers["GET /info"] = (
        400,
        {"message": "x" * 980 + " SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is"},
    )

    assert "SWMTKN" not in str(raised(engine.info))


def test_a_long_line_of_a_stream_does_not_end_it(stub: StubDockerd, engine: DockerEngine) -> None:
    lines = [
        json.dumps({"id": "a", "status": "Pulling fs layer", "note": "x" * 200_000}),
        json.dumps({"id": "a"}),
    ]
    stub.answers["POST /images/create"] = pieces_of("\n".join(lines) + "\n")
    told: list[str] = []

    engine.pull(IMAGE, told.append)

    assert told == ["0 of 1 layers"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'{"message":"pull access denied","code":1}', "pull access denied"),
        (rb'{"code": 1, "message" : "cut he', "cut he"),
        (b'{"message":"a \\"quoted\\" one\\', 'a "quoted" one'),
        (rb'{"message":"ends in \u12', "ends in "),
        (b'{"message":"\xd1\x8f\xd1', "я"),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_a_text_is_read_from_the_beginning_of_an_object(raw: bytes, text: str) -> None:
    assert text_of(raw, "message") == text
