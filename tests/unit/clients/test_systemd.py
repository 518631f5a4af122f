import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients import systemd


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The end of the line where systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_fields_go_out_in_one_datagram(manager: socket.socket) -> None:
    assert systemd.notify("READY=1", "STATUS=leading, revision 7 carried out")

    assert manager.recv(1000) == b"READY=1\nSTATUS=leading, revision 7 carried out"


def test_a_line_break_in_a_status_makes_no_field_of_its_own(manager: socket.socket) -> None:
    systemd.notify("STATUS=no\nREADY=1")

    assert manager.recv(1000) == b"STATUS=no READY=1"


def test_an_abstract_socket_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0swarmkeeper-test-{os.getpid()}")
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@swarmkeeper-test-{os.getpid()}")

        assert systemd.notify("WATCHDOG=1")

        assert listening.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "relative", "/nobody/listens/here"])
def test_without_systemd_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)

    assert not systemd.notify("READY=1")


def test_outside_of_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    assert not systemd.notify("READY=1")


def test_a_systemd_that_does_not_read_holds_nobody_up_for_long(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "SEND_TIMEOUT_S", 0.01)

    sent = 0
    while systemd.notify("WATCHDOG=1"):
        sent += 1

    assert sent > 0


@pytest.mark.parametrize(
    ("allowed_us", "pid", "interval_s"),
    [
        ("90000000", None, 45.0),
        ("90000000", str(os.getpid()), 45.0),
        ("90000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
    ids=["for anybody", "for us", "for another process", "never", "no number", "not said"],
)
def test_half_of_what_systemd_allows_is_the_interval(
    allowed_us: str | None, pid: str | None, interval_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", allowed_us), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    assert systemd.watchdog_interval() == interval_s
