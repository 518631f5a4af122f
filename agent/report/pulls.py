"""How far long pulls are: the last word on each, told to the log and to the status once in a while."""

import threading
from collections.abc import Mapping

import structlog

log = structlog.get_logger()

TELL_S = 10.0
"""A status that is written, and a line in the log, are no progress bar."""


class Pulls:
    """Of pulls under way. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, tuple[str, float]] = {}
        """By resource: what was told last, and when. Empty: nothing yet, it began then."""

    def hear(self, resource: str, progress: str, now: float) -> bool:
        """Take in how far it is; whether it was told, because it is long enough since it began, or was told last."""
        with self._lock:
            before, at = self._told.setdefault(resource, ("", now))
            if now - at < TELL_S or progress == before:
                return False
            self._told[resource] = (progress, now)
        log.info(f"pulling {resource.partition('/')[2]}", progress=progress)
        return True

    def forget(self, resource: str) -> None:
        """It has ended, one way or the other."""
        with self._lock:
            self._told.pop(resource, None)

    def progress(self) -> Mapping[str, str]:
        """What was told last of each that goes on."""
        with self._lock:
            return {resource: told for resource, (told, _) in self._told.items() if told}
