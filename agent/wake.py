"""Wake-ups: hints that something may have changed. They carry a reason for the log, never data."""

import threading


class WakeUps:
    """Gathers reasons from any thread until the loop takes them; a doubled or late one costs nothing."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        self._woken = threading.Condition()

    def wake(self, reason: str) -> None:
        """Wake the loop. Never blocks for long: it is called from the threads of the watches."""
        with self._woken:
            self._reasons.add(reason)
            self._woken.notify_all()

    def wait(self, timeout_s: float, settle_s: float = 0.0) -> frozenset[str]:
        """Wait for a reason, at most `timeout_s`; then `settle_s` more, to gather a burst into one pass.

        Returns the reasons since the last call; empty when there was none.
        """
        with self._woken:
            if not self._woken.wait_for(lambda: bool(self._reasons), timeout_s):
                return frozenset()
            self._woken.wait_for(lambda: False, settle_s)
            reasons, self._reasons = frozenset(self._reasons), set()
            return reasons
