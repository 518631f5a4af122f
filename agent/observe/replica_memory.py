"""The memory of a host about its replicas beyond their containers: anonymous volumes, and runs that are not repeated.

A container that is gone, by a replacement, `docker rm` or `docker system prune`, shows neither. The memory is on the
disk of the host, where the volumes are. It is bounded: an entry ends with the last of its volumes, and a run with its
assignment to the host.

A run that the agent itself stops is repeated, which no container shows either. It is noted before the stop. If the
agent ends in between, the job runs on, and an end by itself within the next minute or so would be taken for the stop.
That job runs twice; the other error, a stop that is taken for an end, would leave it undone for good.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import structlog

from agent.clients.disk import REMEDY, StateDirectory
from agent.diff.container import SHAPE, FillContext, regarded
from agent.diff.replicas import STOPPABLE, finished
from agent.diff.reported import alike
from agent.errors import Invalid, Refused
from agent.model.host_state import ContainerState, FinishedRun, Remembered
from agent.model.records import Replica, decode, encode
from agent.model.spec import ContainerSpec, Key, Pairs
from agent.model.store import KeyValue

log = structlog.get_logger()

_KEY = "replicas"
_LATE_S = 60.0
"""Seconds after the grace period for which docker may still carry out a stop."""
_NOT_SAVED = f"after a restart, the agent knows no volumes and finished jobs of removed containers: {REMEDY}"
_UNREAD = (
    "the memory of replicas could not be read at a start and is now {aside}. Volumes and finished jobs of containers "
    "that were gone then are not known. Restore what you need, and move the file"
)

Memory = Mapping[Key, Remembered]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stop:
    """A run that the agent stops: `container` is an id. Docker's time of the start tells one run from the next."""

    container: str
    started_at: str
    grace_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Saved:
    replicas: tuple[Remembered, ...] = ()
    stops: tuple[_Stop, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """The replicas assigned to the host, and what their comparison needs. None: no assignment is known."""

    replicas: Mapping[Key, Replica] | None
    specs: Mapping[str, ContainerSpec]
    fill_for: Callable[[Replica], FillContext]


def remember(
    before: Memory, found: Iterable[ContainerState], volumes: Collection[str], assigned: Assigned
) -> Memory:
    """Return the memory after a look at the containers; `volumes` are the names of all volumes of the engine."""
    containers: dict[Key, list[ContainerState]] = {}
    for each in found:
        containers.setdefault(each.replica.key, []).append(each)
    after = {}
    for key in sorted(before.keys() | containers.keys()):
        known = before.get(key) or Remembered(service=key[0], slot=key[1])
        mine = containers.get(key, [])
        stays = assigned.replicas is None or key in assigned.replicas
        kept, run = _volumes(known.volumes, mine, volumes), _run(known, mine, assigned) if stays else None
        if kept or run:
            after[key] = replace(known, volumes=kept, run=run)
    return after


def _volumes(known: Pairs, containers: Iterable[ContainerState], volumes: Collection[str]) -> Pairs:
    """Return the volume at each path. Of several, the known one stays while a container has it; then the oldest."""
    kept = dict(known)
    mounted: dict[str, list[str]] = {}
    # The one that has been running for longest comes first: it has written to its volumes.
    for each in sorted(containers, key=lambda each: (not each.started_at, each.started_at)):
        for path, name in each.volumes:
            mounted.setdefault(path, []).append(name)
    kept |= {path: names[0] for path, names in mounted.items() if kept.get(path) not in names}
    # A volume that a container has exists, even if the list of volumes was read before.
    sure = {name for names in mounted.values() for name in names}.union(volumes)
    return tuple(sorted((path, name) for path, name in kept.items() if name in sure))


def _run(known: Remembered, containers: Iterable[ContainerState], assigned: Assigned) -> FinishedRun | None:
    seen = [each for each in containers if not each.locked_by_engine]
    for each in seen:
        if finished(assigned.specs.get(each.replica.spec), each):
            return alike(FinishedRun, each, spec=each.replica.spec)
    if known.run is None or any(each.status != "created" for each in seen):
        return None if seen else known.run
    return _as_assigned(known, known.run, assigned)


def _as_assigned(known: Remembered, run: FinishedRun, assigned: Assigned) -> FinishedRun:
    """Return the run under the spec assigned now, if its container could have become that one in place."""
    made = Replica(service=known.service, slot=known.slot, spec=run.spec)
    now = regarded(made, {SHAPE: run.shape}, assigned.replicas or {}, assigned.specs, assigned.fill_for)
    return replace(run, spec=now.spec)


class ReplicaMemory:
    """The memory of one host, saved on its disk before anything is done on it."""

    def __init__(self, disk: StateDirectory | None = None) -> None:
        self._disk = disk
        self._lock = threading.Lock()
        self._up: dict[str, str] = {}
        """Start of the run of each container that was up at the last look, by id."""
        self._until: dict[str, float] = {}
        """Time at which a noted stop that has not ended its run is forgotten, by id."""
        self._saved = _Saved()
        self._unsaved = ""
        """Error of the last save; empty: the memory is saved."""
        try:
            for value in disk.load() if disk else ():
                self._saved = decode(_Saved, value.value)
        except Invalid as error:
            log.warning("memory of replicas ignored", error=str(error))
            if disk is not None:
                disk.set_aside()
        self._memory: Memory = {each.key: each for each in self._saved.replicas}
        self._stops = {each.container: each for each in self._saved.stops}

    @property
    def fault(self) -> str:
        """Error of the last save, or an unreadable memory of an earlier start; empty: neither."""
        if self._unsaved:
            return f"{self._unsaved}; {_NOT_SAVED}"
        aside = self._disk.unread if self._disk else None
        return _UNREAD.format(aside=aside) if aside else ""

    @property
    def has_volumes(self) -> bool:
        return any(each.volumes for each in self._memory.values())

    def note_stop(self, container: str, grace_s: float) -> None:
        """Save that the agent stops the run that the container was in at the last look. Any thread may call it."""
        with self._lock:
            if began := self._up.get(container):
                self._until.pop(container, None)
                self._stops[container] = _Stop(container=container, started_at=began, grace_s=grace_s)
                self._save()

    def with_stops(self, found: Iterable[ContainerState], now: float) -> tuple[ContainerState, ...]:
        """Return the containers with their `interrupted`, and forget the stops that are over. `now` is monotonic."""
        with self._lock:
            stops, up, until = self._stops, self._up, self._until
            self._stops, self._up, self._until, seen = {}, {}, {}, []
            for each in found:
                if each.status in STOPPABLE and (began := each.started_at or up.get(each.id)):
                    self._up[each.id] = began
                stop = stops.get(each.id)
                if stop is None or not (each.locked_by_engine or each.started_at == stop.started_at):
                    seen.append(each)
                    continue
                over = until.get(each.id, now + stop.grace_s + _LATE_S)
                if each.locked_by_engine or each.status not in STOPPABLE or now <= over:
                    self._stops[each.id], self._until[each.id] = stop, over
                seen.append(replace(each, interrupted=each.status == "exited"))
            return tuple(seen)

    def look(
        self, found: Iterable[ContainerState], volumes: Collection[str], assigned: Assigned
    ) -> tuple[Remembered, ...]:
        """Update the memory from the containers, save it if it changed, and return it."""
        with self._lock:
            self._memory = remember(self._memory, found, volumes, assigned)
            self._save()
            return tuple(self._memory.values())

    def _save(self) -> None:
        now = _Saved(replicas=tuple(self._memory.values()), stops=tuple(self._stops.values()))
        if self._disk is None or (now == self._saved and not self._unsaved):
            return
        try:
            self._disk.save((KeyValue(key=_KEY, value=encode(now), create_revision=0, mod_revision=0),))
        except Refused as error:
            self._unsaved = str(error)
        else:
            self._saved, self._unsaved = now, ""
