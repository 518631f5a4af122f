"""Starting the clients where they belong and reading out what they saw."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from integration.lab.host import Host
from integration.lab.lab import Lab

KNOCK = Path(__file__).with_name("knock.py")
LINE = Path(__file__).with_name("line.py")
LINE_PORT = 7000
PYTHON = "/usr/bin/python3"  # a host has what this machine has in /usr
END_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSeen:
    """What a client on the LAN saw of one published port; times in seconds."""

    name: str
    asked: int
    answered: int
    longest_s: float
    """Between the beginnings of two requests that were answered, with none in between."""
    gaps: list[list[float]]
    """Those of 0.05 s and more: how long, and since when by the wall clock."""
    refused: list[list[float]]
    """First and last of the requests that were refused, with no answered one between them, by the wall clock: then it
    was away for certain, while on a busy machine an answer may only be late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSeen:
    """What one end of an open connection saw; times in seconds."""

    echoed: int
    longest_s: float
    at: float
    broken: str
    """What ended it, in the kernel's words; empty when nothing did."""


@dataclass(slots=True)
class Seen:
    """Filled when the clients have ended."""

    ports: Mapping[str, PortSeen] = field(default_factory=dict)
    line: LineSeen | None = None

    def __str__(self) -> str:
        told = [
            f"{each.name} {each.longest_s:.3f} s ({each.answered} of {each.asked})"
            for each in self.ports.values()
        ]
        if line := self.line:
            told.append(
                f"open connection {line.longest_s:.3f} s ({line.echoed} bytes) {line.broken}".rstrip()
            )
        return "\n  ".join(("longest away:", *told))


@contextmanager
def knocking(lab: Lab, ports: Iterable[str]) -> Iterator[Seen]:
    """Ask `ports` ("address:number") from the LAN while the block runs; what was seen is there after it."""
    seen, names = Seen(), list(ports)
    with _client(lab, sys.executable, "-S", str(KNOCK), *names) as client:
        yield seen
        told = [PortSeen(**json.loads(line)) for line in _end(client)]
    seen.ports = {each.name: each for each in told}


@contextmanager
def line_between(lab: Lab, near: tuple[Host, str], far: tuple[Host, str], network: str) -> Iterator[Seen]:
    """Hold one connection over `network` from container `near` to container `far`, each a host and a name."""
    seen = Seen()
    address = far[0].docker.api.inspect_container(far[1])["NetworkSettings"]["Networks"][network]["IPAddress"]
    with _client(lab, *_inside(*far), "listen", str(LINE_PORT)) as listener:
        _await(listener, "listening")
        with _client(lab, *_inside(*near), "call", address, str(LINE_PORT)) as caller:
            _await(caller, "connected")
            yield seen
            seen.line = LineSeen(**json.loads(_end(caller)[-1]))


def _await(client: subprocess.Popen[str], word: str) -> None:
    assert client.stdout is not None
    assert client.stderr is not None
    said = client.stdout.readline()
    assert said == f"{word}\n", said or client.stderr.read()


def _inside(host: Host, container: str) -> list[str]:
    """The beginning of a command that runs the line's program in a container's network, with the host's own Python."""
    pid = host.docker.api.inspect_container(container)["State"]["Pid"]
    return [
        *host.enter_command(),
        "nsenter",
        f"--target={pid}",
        "--net",
        PYTHON,
        "-S",
        "-c",
        LINE.read_text(),
    ]


@contextmanager
def _client(lab: Lab, *command: str) -> Iterator[subprocess.Popen[str]]:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with lab.lan.popen(*command, **pipes) as client:
        try:
            yield client
        finally:
            assert client.stdin is not None
            client.stdin.close()  # what runs in a host is a child of nsenter: a signal would not reach it


def _end(client: subprocess.Popen[str]) -> list[str]:
    told, said = client.communicate(timeout=END_S)
    assert client.returncode == 0, said
    return told.splitlines()
