"""Detects a leader lock that does not end, or whose holder does not work: meanwhile no other host can be the leader.

Any host that may lead can write the lock with any lease, or none. Every client of etcd can renew the lease of another.
"""

from collections.abc import Callable

from agent.clients.etcd import Store
from agent.model.observed import ClusterState
from agent.model.store import KeyValue
from agent.observe.host import Timers

LONGEST_TTLS, LONGEST_S = 10, 150.0
"""A lease may have so many times the time to live that this agent asks for, and so many seconds in any case."""
JUDGES_S = 60.0
"""Seconds within which a leader judges a document, even if the lock changes hands once."""


class LockWatch:
    """Looks at the lock once per pass. It asks etcd for a lease once per lock."""

    def __init__(self, ttl_s: float, clock: Callable[[], float]) -> None:
        self._ttl_s, self._most_s = ttl_s, max(LONGEST_TTLS * ttl_s, LONGEST_S)
        self._unjudged: Timers[int] = Timers(clock)
        self._asked: tuple[KeyValue, float] | None = None

    def fault(self, lock: KeyValue | None, cluster: ClusterState, store: Store) -> str:
        """Return what is wrong with the lock, and the remedy; empty: nothing. Raises Unreachable, Refused."""
        document, verdict = cluster.document, cluster.verdict
        newest = document.revision if document and lock and not cluster.newer_format else 0
        waits = [newest] if newest and (verdict is None or verdict.revision != newest) else []
        unjudged_s = self._unjudged.look(waits).get(newest, 0.0)
        if lock is None:
            return ""
        remedy = f"`etcdctl del {lock.key}` frees it; then change the credentials of the agents in etcd"
        if not lock.lease:
            return f"the lock of {cluster.leader} has no lease, so it never ends: no agent wrote it; {remedy}"
        if (granted_s := self._granted_s(lock, store)) > self._most_s:
            lease = f"a lease of {granted_s:.0f} s, and agents take {self._ttl_s:g} s"
            return f"the lock of {cluster.leader} has {lease}: no agent wrote it; {remedy}"
        if unjudged_s < JUDGES_S:
            return ""
        state = f"{cluster.leader} has the lock and has not judged revision {newest} within {JUDGES_S:.0f} s"
        return f"{state}: see journalctl -u swarmkeeper there; if its agent does not run, {remedy}"

    def _granted_s(self, lock: KeyValue, store: Store) -> float:
        if self._asked is None or self._asked[0] != lock:
            self._asked = lock, store.granted_s(lock.lease)
        return self._asked[1]
