"""The content of the pages of the cluster. etcd is read only for a viewer, and for all of them once in KEPT_S."""

# ruff: noqa: PLC0415 - an agent that nobody looks at does not need half a megabyte of modules

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agent.clients.etcd import Store
from agent.errors import Denied, Invalid, Refused, SwarmkeeperError
from agent.model.history import History, Kept
from agent.model.keys import Keys

if TYPE_CHECKING:
    from agent.http.cluster_page import ClusterView, DocumentView

KEPT_S, MOST_KEPT_S = 5.0, 30.0
"""Seconds for which a reading is shown. Then it is dropped, so that an agent without viewers keeps none.

One that took long is shown for four times as long as it took, up to the second number: browsers that did not wait
for it ask again after 10 s, and readings take a fifth of the processor at most.
"""
PATIENCE_S = 3.0
"""Seconds after its start for which viewers wait for a reading, less than the server gives a request."""
LARGEST, _MOST_COMPARED = 200_000, 4
"""Characters of a document that is compared here, and comparisons that are kept: one takes up to 0.8 s."""
MOST_MEMORY, MOST_HISTORY = 70 << 20, 24 << 20
"""Bytes that a reading of the cluster may take beside those of a leader, and of the history: the unit allows 256 MB.

1000 hosts with 20,000 replicas take 65 MB, and 50 documents of the largest size 21 MB.
"""
_SLOW = f"the cluster has not been read from etcd within {PATIENCE_S:.0f} s"
_NARROW = "the role of this agent in etcd does not include other hosts: open the page of a manager"


class ClusterViews:
    """The views of one agent. Any thread may ask for them."""

    def __init__(self, store: Store, keys: Keys, host: str, status: Callable[[], Mapping[str, Any]]) -> None:
        """`status` returns the page /status of this host."""
        self._store, self._keys, self._host, self._status = store, keys, host, status
        self._lock = threading.Lock()
        self._reading: Future[tuple[ClusterView, History]] | None = None
        self._begun_s = 0.0

    def view(self) -> "ClusterView":
        """Return the cluster as etcd has it; if etcd cannot be read, why, and what the agent knows of its host."""
        from agent.http.cluster_page import ClusterView

        status = self._status()
        store = status.get("store", {})
        # An agent that knows that etcd does not answer lets nobody wait for it.
        trouble = (store.get("error") or "etcd does not answer") if status.get("stale") else ""
        try:
            if not trouble:
                return self._newest()[0]
        except (SwarmkeeperError, TimeoutError) as error:
            trouble = _NARROW if isinstance(error, Denied) else str(error) or _SLOW
        return ClusterView(
            cluster=self._keys.cluster,
            host=self._host,
            now_s=time.time(),
            trouble=trouble,
            known_at=store.get("read_at", ""),
            own=status.get("conditions", ()),
            own_at=status.get("as_of", ""),
        )

    def document(self, revision: int) -> "DocumentView | None":
        """Return what the document of this revision changed; None: the history has no such revision."""
        from agent.http.cluster_page import DocumentView

        found: dict[str, Any] = {"cluster": self._keys.cluster, "revision": revision}
        try:
            view, history = self._newest()
            if view.history_fault:
                raise Invalid(view.history_fault)
            kept = [each for each in history.kept if each.revision <= revision][:2]
            if not kept or kept[0].revision != revision:
                return None
            if len(kept) == 1:
                raise Invalid("the history has no earlier document to compare it with")
            found["before"] = kept[1].revision
            after, before = (_text(each, history) for each in kept)
            found["changes"], found["trouble"] = _compared(before, after)
        except (SwarmkeeperError, TimeoutError) as error:
            found["trouble"] = str(error) or _SLOW
        return DocumentView(**found)

    def _newest(self) -> "tuple[ClusterView, History]":
        """Return the reading of the last KEPT_S, or a new one. Raises SwarmkeeperError, TimeoutError."""
        with self._lock:
            if self._reading is None:
                self._reading, self._begun_s = Future(), time.monotonic()
                threading.Thread(target=self._read, args=(self._reading,), name="page", daemon=True).start()
            reading, until_s = self._reading, self._begun_s + PATIENCE_S
        # The server asks for one page after the other: the next viewer waits no second time.
        if fault := reading.exception(max(until_s - time.monotonic(), 0)):
            raise fault.with_traceback(None)  # else each viewer would make the traceback longer
        return reading.result()

    def _read(self, reading: "Future[tuple[ClusterView, History]]") -> None:
        kept_s = KEPT_S
        try:
            reading.set_result(self._look())
            kept_s = max(kept_s, min(4 * (time.monotonic() - self._begun_s), MOST_KEPT_S))
        except Exception as error:
            reading.set_exception(error)
        time.sleep(kept_s)  # this thread is the reading's lifetime: nothing ends it earlier
        with self._lock:
            self._reading = None

    def _look(self) -> "tuple[ClusterView, History]":
        from agent.http.cluster_page import ClusterView
        from agent.model.events import MOST_EVENTS, newest
        from agent.observe.look import look_at, read_cluster, read_events, read_history

        look = look_at(self._store, self._keys, read_cluster(self._store.bounded(MOST_MEMORY), self._keys))
        history, history_fault = History(kept=(), accepted=None, newest=0), ""
        try:
            history = read_history(self._store.bounded(MOST_HISTORY), self._keys)
        except Refused as error:
            history_fault = f"The keys below {self._keys.history} cannot be read: {error}"
        try:
            events, events_fault = newest(read_events(self._store, self._keys), MOST_EVENTS), ""
        except Invalid as error:
            events, events_fault = (), str(error)
        view = ClusterView(
            cluster=look.cluster,
            host=self._host,
            now_s=look.read_s,
            conditions=look.conditions(look.read_s),
            accepted=look.accepted,
            documents=history.kept,
            history_fault=history_fault,
            events=events,
            events_fault=events_fault,
        )
        return view, history


@lru_cache(_MOST_COMPARED)
def _compared(before: str, after: str) -> tuple[tuple[str, ...], str]:
    """Return the changes between two documents, and the reason why they are not known; empty: they are."""
    from agent.intent.document_diff import differences, meaning

    try:
        one, other = (meaning("the document", each.encode()) for each in (before, after))
    except Invalid as error:
        return (), str(error)
    return tuple(map(str, differences(one, other))), ""


def _text(kept: Kept, history: History) -> str:
    """Return the document. Raises Invalid if it is not kept, or too large to be compared here."""
    accepted = history.accepted if kept.is_accepted else None
    if not accepted and not kept.entry:
        raise Invalid(f"the history has no text of revision {kept.revision}")
    text = accepted.document if accepted else kept.entry.text() if kept.entry else ""
    if len(text) > LARGEST:
        raise Invalid(f"revision {kept.revision} is too large to be compared here: use `swarmkeeper diff`")
    return text
