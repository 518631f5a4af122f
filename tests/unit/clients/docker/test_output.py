"""The output of replicas as dockerd sends it: in frames or plain, cut anywhere, with a time before each line."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from agent.clients.docker.output import NS, Line, Output, line_of
from agent.errors import Refused, Unreachable
from tests.unit.clients.docker.stub import StubDockerd

AT = 1_764_518_400 * NS  # 2025-11-30T16:00:00Z
LABELS = {
    "io.swarmkeeper.cluster": "prod",
    "io.swarmkeeper.project": "shop",
    "io.swarmkeeper.service": "web",
    "io.swarmkeeper.slot": "1",
    "io.swarmkeeper.spec": "s",
}


@pytest.fixture
def output(stub: StubDockerd) -> Iterator[Output]:
    with closing(Output(stub.url, "prod", 1.0)) as output:
        yield output


def frame(content: str) -> str:
    return f"\x01\0\0\0{len(content).to_bytes(4, 'big').decode('latin-1')}{content}"


def sent(*pieces: str) -> Callable[[Callable[[str], None]], None]:
    def stream(send: Callable[[str], None]) -> None:
        for each in pieces:
            send(each)

    return stream


def answers(stub: StubDockerd, log: Any, **config: Any) -> None:
    stub.answers["GET /containers/c1/json"] = 200, {"Config": config}
    stub.answers["GET /containers/c1/logs"] = log


def read(output: Output) -> list[Line]:
    return [line for some in output.lines("c1", 0, "all", follow=True) for line in some]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("tty", [True, False])
def test_lines_are_whole_wherever_the_answer_is_cut(
    stub: StubDockerd, output: Output, size: int, tty: bool
) -> None:
    said = [f"2025-11-30T16:00:00.{number:09d}Z line {number}\n" for number in range(4)]
    whole = "".join(said if tty else map(frame, said))
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    answers(stub, sent(*pieces), Tty=tty)
    assert read(output) == [Line(AT + number, b"line %d\n" % number) for number in range(4)]


def test_a_carriage_return_ends_no_line_of_a_terminal(stub: StubDockerd, output: Output) -> None:
    said = "2025-11-30T16:00:00.000000000Z 10%\r20%\r\n"
    answers(stub, sent(said, said), Tty=True)
    assert read(output) == [Line(AT, b"10%\r20%\r\n")] * 2


def test_what_is_asked_for(stub: StubDockerd, output: Output) -> None:
    answers(stub, sent())
    assert list(output.lines("c1", AT + 7, "20", follow=True)) == []
    query = stub.asked[-1].partition("?")[2].split("&")
    assert {"since=1764518400.000000007", "tail=20", "follow=1", "timestamps=1"} <= set(query)


@pytest.mark.parametrize(
    ("raw", "at_ns"),
    [
        (b"2025-11-30T16:00:00.000000005Z a b\n", AT + 5),
        (b"2025-11-30T17:00:00.500000000+01:00 a b\n", AT + NS // 2),
    ],
)
def test_the_time_of_a_line(raw: bytes, at_ns: int) -> None:
    assert line_of(raw) == Line(at_ns, b"a b\n")


@pytest.mark.parametrize(
    "raw", [b"", b"no time\n", b"2025-11-30T16:00:00Z a\n", b"9999999999999999999999999 a"]
)
def test_a_line_without_a_time_is_an_error(raw: bytes) -> None:
    with pytest.raises(Unreachable, match="without its time"):
        line_of(raw)


def test_a_length_that_no_line_has_ends_the_reading(stub: StubDockerd, output: Output) -> None:
    def endless(send: Callable[[str], None]) -> None:
        send("\x01\0\0\0\x7f\x7f\x7f\x7f")
        for _ in range(100):
            send("x" * (1 << 16))

    answers(stub, endless)
    with pytest.raises(Unreachable, match="over 4194304 bytes"):
        read(output)


def test_a_driver_that_cannot_be_read_is_refused(stub: StubDockerd, output: Output) -> None:
    answers(stub, (501, {"message": "configured logging driver does not support reading"}))
    with pytest.raises(Refused, match="does not support reading"):
        read(output)


def test_the_containers_of_replicas(stub: StubDockerd, output: Output) -> None:
    listed = {
        "Id": "c1",
        "Names": ["/shop-web-1"],
        "Labels": LABELS,
        "State": "running",
        "Status": "Up 5 minutes",
    }
    copied = {**listed, "Id": "c2", "Names": ["/mine"]}
    stub.answers["GET /containers/json"] = 200, [listed, copied, {**listed, "Id": "c3", "Labels": None}]
    (found,) = output.replicas()
    assert (found.id, found.name, found.service, found.running) == ("c1", "web-1", "web", True)
    assert json.dumps("io.swarmkeeper.cluster=prod").replace("=", "%3D").strip('"') in stub.asked[-1]


def test_a_restart_waits_for_the_grace_period_of_the_container(stub: StubDockerd, output: Output) -> None:
    answers(stub, None, StopTimeout=5)
    stub.answers["POST /containers/c1/restart"] = 204, None
    output.restart("c1")
    assert stub.asked[-1].endswith("/containers/c1/restart"), (
        "without a time: docker takes that of the container"
    )
