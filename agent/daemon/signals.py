"""SIGTERM and SIGINT: how an agent is told to end."""

import os
import select
import signal
from types import FrameType


class EndSignals:
    """Heard from its making on, which is for the main thread. A second one ends the process at once, whatever hangs.

    It waits on a pipe that the interpreter itself writes to (Python's `signal.set_wakeup_fd`). A `threading.Event` that
    a handler sets is not enough: handlers run between two instructions of the main thread. A signal that comes right
    before that thread begins to wait, or that another thread gets, would be heard when the wait is over.
    """

    def __init__(self) -> None:
        self._told, tell = os.pipe()
        for end in (self._told, tell):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        self._handled = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def wait(self, timeout_s: float) -> bool:
        """Wait for one, at most `timeout_s` seconds; returns whether one has come since the last wait."""
        readable, _, _ = select.select([self._told], [], [], timeout_s)
        numbers = os.read(self._told, 64) if readable else b""
        return signal.SIGTERM in numbers or signal.SIGINT in numbers

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._handled:
            os._exit(128 + number)
        self._handled = True
