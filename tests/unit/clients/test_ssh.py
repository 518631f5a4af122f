"""A command on another host: its output, and bounds of time and size that hold whatever it does."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients import ssh
from agent.errors import Unreachable

Fake = Callable[[str], None]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Make a shell script the ssh of this machine."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def make(script: str) -> None:
        (tmp_path / "ssh").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "ssh").chmod(0o755)

    return make


def test_output_and_message_are_told_whatever_the_exit_code(fake: Fake) -> None:
    fake('echo "$@"; echo first >&2; echo last >&2; exit 7')
    output, said = ssh.run(["-l", "me", "a"], "do it", 20.0)
    assert output.decode().rstrip().endswith("-T -l me -- a do it")
    assert said == "last"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no route to host >&2; exit 255", "ssh to a: no route to host"),
        ("exit 255", "ssh to a: no connection"),
        ("exec sleep 60", "ssh to a: the command there did not end within 1 s and 2000000 bytes"),
        ("exec cat /dev/zero >&2", "the command there did not end within 1 s"),
        ("sleep 60 & exec sleep 60", "the command there did not end within 1 s"),
        ("sleep 60 & exit 255", "ssh to a: no connection"),
        ("exec cat /dev/zero", "the command there did not end within 20 s and 2000000 bytes"),
    ],
)
def test_a_command_without_an_answer_ends_in_time_with_the_cause(fake: Fake, script: str, words: str) -> None:
    """Also if another process keeps its pipes open, as the ProxyCommand of an ssh that was killed does."""
    fake(script)
    began = time.monotonic()
    with pytest.raises(Unreachable, match=words):
        ssh.run(["a"], "x", 20.0 if "20 s" in words else 1.0)
    assert time.monotonic() - began < 19


def test_a_machine_without_ssh_is_told_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match="install openssh-client"):
        ssh.run(["a"], "x", 1.0)
