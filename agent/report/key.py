"""The status key: written when something worth telling changed, and now and then to show that it is fresh."""

from collections.abc import Callable
from dataclasses import replace

import structlog

from agent.clients.etcd import Store
from agent.errors import Invalid, SwarmkeeperError
from agent.model.records import HostStatus, decode, encode
from agent.model.store import KeyRange, Put

log = structlog.get_logger()

REFRESH_S = 300.0


class StatusKey:
    """One host's status in etcd. `clock` gives monotonic seconds."""

    def __init__(self, store: Store, key: str, clock: Callable[[], float]) -> None:
        self._store, self._key, self._clock = store, key, clock
        self._written: HostStatus | None = None
        self._written_at = 0.0
        self._losses = self._losses_seen = 0

    def forget(self) -> None:
        """Write it again soon, whatever it says: etcd has lost it. May be called from any thread."""
        self._losses += 1

    def recall(self) -> HostStatus | None:
        """What an earlier run wrote, or None. Raises Unreachable, Refused."""
        found = self._store.read([KeyRange(key=self._key)]).get(self._key)
        try:
            return decode(HostStatus, found.value) if found else None
        except Invalid as error:
            log.warning("the status of an earlier run is not used", error=str(error))
            return None

    def write(self, status: HostStatus, *, anyway: bool = False) -> None:
        """Write `status` if it says something new or the last writing is old. One try; a failure is logged."""
        # Noted before it is written: what is lost meanwhile must not be forgotten.
        losses = self._losses
        fresh = self._clock() - self._written_at < REFRESH_S and losses == self._losses_seen
        if self._written is not None and fresh and not anyway and _same(status, self._written):
            return
        try:
            self._store.txn([], [Put(key=self._key, value=encode(status))])
        except SwarmkeeperError as error:
            log.warning("status not written", error=str(error))
            self._written = None
        else:
            self._written, self._written_at, self._losses_seen = status, self._clock(), losses


def _same(one: HostStatus, other: HostStatus) -> bool:
    return replace(one, at=other.at) == other
