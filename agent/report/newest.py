"""Jobs of which only the newest counts, done on a thread of their own: a slow etcd must not delay the loop."""

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger()

CLOSE_S = 3.0


class NewestWins:
    """Does the job it was given last, at most one per `pause_s` seconds; those in between are left out.

    A job that raises is told in the log, and the next one is done all the same.
    """

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._next: Callable[[], None] | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="newest", daemon=True)
        self._thread.start()

    def __call__(self, job: Callable[[], None]) -> None:
        """Do `job` soon, unless another one comes before its turn. Never waits."""
        with self._changed:
            self._next = job
            self._changed.notify_all()

    def close(self) -> None:
        """Do what is still to be done, within a few seconds, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._closing)
                job, self._next = self._next, None
            if job is None:
                return
            try:
                job()
            except Exception:
                # Without this thread nothing would ever be told again, and nobody would say so.
                log.exception("report failed", part="later")
            with self._changed:
                self._changed.wait_for(lambda: self._closing, self._pause_s)
