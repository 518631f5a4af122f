"""Notifications to systemd, the interval of its watchdog, and the signals that end the agent.

The protocol is sd_notify(3): datagrams of NAME=value lines to the socket named in the environment.
"""

import os
import select
import signal
import socket
from types import FrameType

SEND_TIMEOUT_S = 1.0
"""A systemd that does not read must not block the loop."""


def notify(*fields: str) -> bool:
    """Send fields such as "READY=1"; return True if they were sent. Never raises: systemd is optional."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(SEND_TIMEOUT_S)
            sender.connect(address)
            sender.sendall("\n".join(field.replace("\n", " ") for field in fields).encode())
    except OSError:
        return False
    return True


def watchdog_interval() -> float | None:
    """Return the seconds between two WATCHDOG=1, half of what systemd allows; None when systemd expects none."""
    for_pid = os.environ.get("WATCHDOG_PID", "")
    if for_pid and for_pid != str(os.getpid()):
        return None
    try:
        allowed_us = int(os.environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return allowed_us / 2 / 1e6 if allowed_us > 0 else None


# ---- SIGTERM and SIGINT


class EndSignals:
    """Handles SIGTERM and SIGINT; created in the main thread. A second signal exits immediately, even if threads hang.

    `wait` reads a pipe that the interpreter itself writes to (Python's `signal.set_wakeup_fd`). A `threading.Event` set
    by a handler is not enough: handlers run between two instructions of the main thread. A signal that arrives right
    before that thread begins to wait, or in another thread, would be noticed only after the wait.
    """

    def __init__(self) -> None:
        self._received, written = os.pipe()
        for end in (self._received, written):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        self._handled = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def wait(self, timeout_s: float) -> bool:
        """Wait for a signal, at most `timeout_s` seconds; return True if one has arrived since the last wait."""
        readable, _, _ = select.select([self._received], [], [], timeout_s)
        numbers = os.read(self._received, 64) if readable else b""
        return signal.SIGTERM in numbers or signal.SIGINT in numbers

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._handled:
            os._exit(128 + number)
        self._handled = True
