"""Checks an accepted document against the history of `intent`, which operators alone can write.

Agents can write every other key. Without this check, a stolen agent's certificate could declare services on all hosts
in the key `accepted`.
"""

from agent.clients.etcd import Store
from agent.errors import Compacted
from agent.model.observed import Doubt
from agent.model.records import Accepted
from agent.model.store import KeyValue, Snapshot

HIGHEST_STEP = 1000
"""Largest growth of the epoch at once. A forged epoch near the end of its range would leave none for the next one."""


class History:
    """Answers whether `intent` was a document at a revision. It asks etcd once for each value of `accepted`."""

    def __init__(self, intent: str, accepted: str) -> None:
        self._intent, self._accepted = intent, accepted
        self._last: tuple[KeyValue, Doubt] | None = None

    def doubt(
        self, found: Accepted, known: Accepted | None, snapshot: Snapshot, store: Store | None
    ) -> Doubt:
        """Return why `found`, later than `known`, does not count; empty: it does. Raises Unreachable, Refused."""
        if store is None:
            return ""  # it is from the disk of this host, which checked it before
        if known and found.epoch > known.epoch + HIGHEST_STEP:
            return "forged"
        if known and (found.revision, found.document) == (known.revision, known.document):
            return ""
        newest = snapshot.get(self._intent)
        if newest and newest.mod_revision <= found.revision:
            return "" if _is(newest, found) else "forged"
        value = snapshot.get(self._accepted)
        if value and (self._last is None or self._last[0] != value):
            self._last = value, self._ask(store, found, known)
        return self._last[1] if self._last else ""

    def _ask(self, store: Store, found: Accepted, known: Accepted | None) -> Doubt:
        try:
            if not _is(store.read_at(self._intent, found.revision), found):
                return "forged"
            # A document of the next epoch has a lower revision only if etcd has lost the one that this host knows.
            replayed = known if known and found.revision < known.revision else None
            if replayed and _is(store.read_at(self._intent, replayed.revision), replayed):
                return "forged"
        except Compacted:
            return "compacted"
        return ""


def _is(value: KeyValue | None, document: Accepted) -> bool:
    put = value and (value.mod_revision, value.value)
    return put == (document.revision, document.document.encode())
