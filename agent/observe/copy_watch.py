"""How long each copy has been as it is, on the leader's own clock: no two hosts need to agree about the time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from agent.diff.replicas import HELD_BY_ITS_HOST
from agent.model.plan import ClusterState, CopyKey, CopyWatch
from agent.model.records import Copy, Tokens
from agent.model.status import CopyReport

# ----
# For how long what is so has been so, on this agent's own clock: no two hosts need to agree about the time.


class Spells:
    """Remembers since when. What is not so for a moment, or cannot be told then, begins anew."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def look(self, lasting: frozenset[str], began: float | None = None) -> Mapping[str, float]:
        """Note by name what is so now; returns for how many seconds each has been.

        `began`: when the look was begun that showed it. One that hangs takes long, and between two looks there may be
        minutes of which nobody knows.
        """
        now = self._clock()
        since = now if began is None else began
        self._since = {name: self._since.get(name, since) for name in sorted(lasting)}
        return {name: now - since for name, since in self._since.items()}


_Told = tuple[tuple[str, ...], ...]
_AWAY: _Told = (("away",),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """When a copy was started that has the spec it is to have."""

    spec: str
    id: str
    at: str
    ran: bool
    """Whether that was since it is to have it: one that was just stopped for another may be down at first."""


class CopyWatcher:
    """Remembers what was said of every assigned copy. Whoever does not lead, or leads anew, knows nothing."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[CopyKey, tuple[_Told, float]] = {}
        """What is said of a copy, and since when."""
        self._ran: dict[CopyKey, _Start] = {}

    def look(self, cluster: ClusterState | None) -> Mapping[CopyKey, CopyWatch]:
        """Note what is said now; None: not leading."""
        if cluster is None:
            self._told, self._ran = {}, {}
            return {}
        assigned = {
            (host, *copy.key): copy for host, each in cluster.assignments.items() for copy in each.copies
        }
        self._told = {key: each for key, each in self._told.items() if key in assigned}
        self._ran = {key: each for key, each in self._ran.items() if key in assigned}
        return {key: self._look(key, copy, cluster) for key, copy in assigned.items()}

    def _look(self, key: CopyKey, copy: Copy, cluster: ClusterState) -> CopyWatch:
        reports, now = _reports(key[0], copy, cluster), self._clock()
        told = _AWAY if reports is None else (*map(_words, reports), *_waiting(key[0], reports, cluster))
        last, since = self._told.get(key, (None, now))
        since = since if last == told else now
        self._told[key] = (told, since)
        return CopyWatch(steady_s=now - since, ended=self._has_ended(key, copy, reports))

    def _has_ended(self, key: CopyKey, copy: Copy, reports: list[CopyReport] | None) -> bool:
        if reports is None:
            self._ran.pop(key, None)  # what its host went through meanwhile is not the copy's doing
            return False
        mine = [each for each in reports if each.spec == copy.spec]
        if len(mine) != 1:
            self._ran.pop(key, None)
            return False
        (found,) = mine
        if found.status != "created" and not found.started_at:
            # Only listed by its host, as steps are working on it: when it was started last is not known.
            return False
        seen = self._ran.get(key)
        if seen is None or (seen.spec, seen.id) != (copy.spec, found.id):
            seen = _Start(spec=copy.spec, id=found.id, at=found.started_at, ran=False)
        if not seen.ran and (found.status == "running" or found.started_at != seen.at):
            seen = replace(seen, at=found.started_at, ran=True)
        self._ran[key] = seen
        return seen.ran and (found.status not in ("running", "paused") or found.started_at != seen.at)


def _reports(host: str, copy: Copy, cluster: ClusterState) -> list[CopyReport] | None:
    """What the host says of that copy now; None while it cannot say anything."""
    status = cluster.status_of(host)
    if status is None or not status.engine_up:
        return None
    return [each for each in status.copies if each.key == copy.key]


def _waiting(host: str, reports: list[CopyReport], cluster: ClusterState) -> _Told:
    """A copy that its host could not start until now is about to be started: how long it is down counts anew."""
    status, names = cluster.status_of(host), {f"container/{each.name}" for each in reports}
    blocked = status.blocked if status else ()
    waits = any(each.kind in HELD_BY_ITS_HOST and each.resource in names for each in blocked)
    return (("waits",),) if waits else ()


def _words(report: CopyReport) -> tuple[str, ...]:
    return (report.id, report.spec, report.status, report.health, report.started_at, str(report.restarts))


class TokenWatcher:
    """How long the published tokens have been the same, on the leader's own clock. A new leader counts anew."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: tuple[str, float] | None = None
        """Of the last look: the token of workers, which every rotation changes, and since when it is that."""

    def look(self, tokens: Tokens | None) -> float:
        """Seconds since these were first seen; None: there are none, or this host does not lead."""
        if tokens is None:
            self._seen = None
            return 0.0
        if self._seen is None or self._seen[0] != tokens.worker:
            self._seen = (tokens.worker, self._clock())
        return self._clock() - self._seen[1]
