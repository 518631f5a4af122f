"""What a slow command shows on a terminal meanwhile, and that it is gone in the end."""

import sys
import threading
from io import StringIO

import pytest

from agent.cli import output
from agent.cli.output import shown_if_slow


class Terminal(StringIO):
    """A stream that says whether it is a terminal, and when something was written to it."""

    def __init__(self, *, is_one: bool = True) -> None:
        super().__init__()
        self.is_one, self.written = is_one, threading.Event()

    def isatty(self) -> bool:
        return self.is_one

    def flush(self) -> None:
        self.written.set()


def test_a_slow_block_is_shown_and_its_line_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(output, "SLOW_S", 0.0)
    with shown_if_slow("reading"):
        assert terminal.written.wait(30)
        assert terminal.getvalue() == "\rreading: 0 s"
    *_, line, blank, end = terminal.getvalue().split("\r")
    assert blank == " " * len(line)
    assert end == ""
    assert "\x1b" not in terminal.getvalue()


def test_the_line_is_removed_when_the_block_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(output, "SLOW_S", 0.0)

    @shown_if_slow("reading")
    def fail() -> None:
        assert terminal.written.wait(30)
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert terminal.getvalue().endswith(" \r")


def test_a_fast_block_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with shown_if_slow("reading"):
        pass
    assert terminal.getvalue() == ""


def test_nothing_is_shown_elsewhere_than_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal(is_one=False))
    before = threading.active_count()
    with shown_if_slow("reading"):
        assert threading.active_count() == before
