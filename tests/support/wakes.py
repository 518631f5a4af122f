"""Collects what a watch says."""

import threading


class Wakes:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: list[str] = []

    def __call__(self, reason: str) -> None:
        with self._lock:
            self._reasons.append(reason)

    @property
    def reasons(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._reasons)

    def clear(self) -> None:
        with self._lock:
            self._reasons.clear()
