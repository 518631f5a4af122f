"""Triggers of the loop: changes in etcd and events of the engine. They are hints, never data."""

import math
import threading
import time
from collections.abc import Callable, Sequence

import structlog

from agent.clients.docker import Engine, EngineEvents
from agent.clients.etcd import EtcdWatch, Store
from agent.clients.kernel import Kernel
from agent.errors import SwarmkeeperError
from agent.model.intent import GWBRIDGE
from agent.model.store import KeyRange

# ---- Wake-ups: hints of a change. A wake-up carries a reason for the log, never data


class WakeUps:
    """Gathers reasons from all threads until the loop takes them. A repeated or late reason does no harm."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        self._due = math.inf
        self._woken = threading.Condition()

    def wake(self, reason: str, delay_s: float = 0.0) -> None:
        """Wake the loop `delay_s` after the first such reason, to gather more of them.

        Never blocks for long, because the threads of the watches call it.
        """
        with self._woken:
            self._reasons.add(reason)
            self._due = min(self._due, time.monotonic() + delay_s)
            self._woken.notify_all()

    def wait(self, timeout_s: float, settle_s: float = 0.0) -> frozenset[str]:
        """Wait at most `timeout_s` for a reason, then `settle_s` more, to gather a burst into one pass.

        Return the reasons since the last call; empty: there was none.
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


log = structlog.get_logger()

_NO_EVENTS = "dockerd sends no events"
RECONNECT_S = 1.0
"""Seconds between attempts to reconnect to the engine's events. The first success wakes the loop, which misses
nothing."""
LOOK_S = 5.0
"""Seconds between reads of docker_gwbridge. A read is one call of a millisecond, and three ioctls."""
GATHER_S = 0.2
"""Seconds for which changes of other hosts are gathered: a working host reports several times."""


class Triggers:
    """Turns changes in etcd and the engine into wake-ups, until closed."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        kernel: Kernel,
        wake: WakeUps,
        delay_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`delay_s` returns the seconds to wait after a change of the cluster's keys: it wakes many hosts at once."""
        self._delay_s = delay_s
        self._store, self._engine, self._kernel, self._wake = store, engine, kernel, wake
        self._ranges: dict[str, tuple[KeyRange, ...]] = {}
        self._watches: dict[str, EtcdWatch] = {}
        """`keys`: keys of the cluster; `hosts`: presences and statuses of all hosts, which are less urgent."""
        self._watching = threading.Lock()  # guards both: the loop may call rearm() while the agent ends
        self._events: EngineEvents | None = None
        self._closing = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="engine-events", daemon=True)
        self._looker = threading.Thread(target=self._look, name="bridge", daemon=True)

    def start(self, ranges: Sequence[KeyRange]) -> None:
        self._listener.start()
        self._looker.start()
        self.rearm(ranges)

    def rearm(self, ranges: Sequence[KeyRange]) -> None:
        """Watch these ranges from now on. Has no effect if they are the same, or before start()."""
        with self._watching:
            if self._closing.is_set() or not self._listener.is_alive():
                return
            keys, hosts = ([e for e in ranges if e.prefix is wanted] for wanted in (False, True))
            self._watch("keys", keys, lambda reason: self._wake.wake(reason, self._delay_s()))
            self._watch("hosts", hosts, lambda reason: self._wake.wake(f"hosts: {reason}", GATHER_S))

    def close(self) -> None:
        with self._watching:
            self._closing.set()
            for watch in self._watches.values():
                watch.close()
        if events := self._events:
            events.close()

    def _watch(self, what: str, ranges: Sequence[KeyRange], woken: Callable[[str], None]) -> None:
        if tuple(ranges) == self._ranges.get(what, ()):
            return
        self._ranges[what] = tuple(ranges)
        watch = self._watches.get(what)
        if watch and ranges:
            watch.rearm(ranges)
        elif watch:
            self._watches.pop(what).close()
        else:
            self._watches[what] = self._store.watch(ranges, woken)

    def _look(self) -> None:
        """Read docker_gwbridge regularly: docker sends no event when it creates the bridge or a gateway is lost."""
        last = None
        while not self._closing.wait(LOOK_S):
            try:
                seen = (self._kernel.link(GWBRIDGE), self._engine.bridge_endpoints(GWBRIDGE))
            except SwarmkeeperError:
                continue  # the listener reports that dockerd is unreachable
            except Exception:
                log.exception(f"reading {GWBRIDGE} failed")
                continue
            # The first read wakes too: the bridge may have changed since the first pass.
            if seen != last:
                self._wake.wake("docker_gwbridge changed" if last else "docker_gwbridge read")
            last = seen

    def _listen(self) -> None:
        lost = False
        while not self._closing.is_set():
            try:
                events = self._events = self._engine.events()
                if self._closing.is_set():
                    events.close()  # close() came while the stream was being opened
                if lost:
                    log.info("dockerd answers again", succeeds=_NO_EVENTS)
                lost = False
                self._wake.wake("engine: listening")
                for hint in events:
                    self._wake.wake(hint)
            except SwarmkeeperError as error:
                if not lost and not self._closing.is_set():
                    log.warning(_NO_EVENTS, error=str(error))
                lost = True
                self._wake.wake("engine: lost")
            except Exception:
                # Without this thread only the resync would see changes in the engine, and no message would show that.
                log.exception("reading events of dockerd failed")
            self._closing.wait(RECONNECT_S)
