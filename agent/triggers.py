"""What wakes the loop besides time: changes in etcd and events of the engine. Hints, never data."""

import threading
from collections.abc import Sequence

import structlog

from agent.clients.engine import Engine, EngineEvents
from agent.clients.store import Store, Watch
from agent.errors import SwarmkeeperError
from agent.model.store import KeyRange
from agent.wake import WakeUps

log = structlog.get_logger()

RECONNECT_S = 1.0
"""Between two tries to hear the engine again; the first success wakes the loop, so nothing is missed for good."""


class Triggers:
    """Turns changes elsewhere into wake-ups, until closed."""

    def __init__(self, store: Store, engine: Engine, wake: WakeUps) -> None:
        self._store, self._engine, self._wake = store, engine, wake
        self._ranges: tuple[KeyRange, ...] = ()
        self._watch: Watch | None = None
        self._events: EngineEvents | None = None
        self._closing = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="engine-events", daemon=True)

    def start(self, ranges: Sequence[KeyRange]) -> None:
        """Begin to listen to the engine and to watch `ranges` in etcd."""
        self._ranges = tuple(ranges)
        self._watch = self._store.watch(self._ranges, self._wake.wake)
        self._listener.start()

    def rearm(self, ranges: Sequence[KeyRange]) -> None:
        """Watch these ranges from now on; nothing happens when they are the same."""
        if self._watch and tuple(ranges) != self._ranges:
            self._ranges = tuple(ranges)
            self._watch.rearm(self._ranges)

    def close(self) -> None:
        self._closing.set()
        if self._watch:
            self._watch.close()
        if events := self._events:
            events.close()

    def _listen(self) -> None:
        lost = False
        while not self._closing.is_set():
            try:
                events = self._events = self._engine.events()
                if self._closing.is_set():
                    events.close()  # close() came while the stream was being opened
                if lost:
                    log.info("dockerd answers again")
                lost = False
                self._wake.wake("engine: listening")
                for hint in events:
                    self._wake.wake(hint)
            except SwarmkeeperError as error:
                if not lost and not self._closing.is_set():
                    log.warning("dockerd is not heard", error=str(error))
                lost = True
                self._wake.wake("engine: lost")
            except Exception:
                # Without this thread only the resync would see what happens in the engine, and nobody would say so.
                log.exception("listening to dockerd failed")
            self._closing.wait(RECONNECT_S)
