"""Wake-ups: hints that something may have changed. They carry a reason for the log, never data."""

import math
import threading
import time


class WakeUps:
    """Gathers reasons from any thread until the loop takes them; a doubled or late one costs nothing."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        self._due = math.inf
        self._woken = threading.Condition()

    def wake(self, reason: str) -> None:
        """Wake the loop. Never blocks for long: it is called from the threads of the watches."""
        self.wake_later(reason, 0.0)

    def wake_later(self, reason: str, delay_s: float) -> None:
        """Wake the loop, but not before `delay_s` have passed since the first of such reasons: there may be more."""
        with self._woken:
            self._reasons.add(reason)
            self._due = min(self._due, time.monotonic() + delay_s)
            self._woken.notify_all()

    def wait(self, timeout_s: float, settle_s: float = 0.0) -> frozenset[str]:
        """Wait for a reason, at most `timeout_s`; then `settle_s` more, to gather a burst into one pass.

        Returns the reasons since the last call; empty when there was none.
        """
        end = time.monotonic() + timeout_s
        with self._woken:
            while (left_s := min(self._due, end) - time.monotonic()) > 0:
                self._woken.wait(left_s)
            if self._due > end:
                return frozenset()
            self._woken.wait_for(lambda: False, settle_s)
            reasons, self._reasons, self._due = frozenset(self._reasons), set(), math.inf
            return reasons
