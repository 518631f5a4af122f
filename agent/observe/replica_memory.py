"""The memory of a host about its replicas beyond their containers: anonymous volumes, and runs that are not repeated.

A container that is gone, by a replacement, `docker rm` or `docker system prune`, shows neither. The memory is on the
disk of the host, where the volumes are. It is bounded: an entry ends with the last of its volumes, and a run with its
assignment to the host.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import structlog

from agent.clients.disk import REMEDY, StateDirectory
from agent.diff.container import SHAPE, FillContext, regarded
from agent.diff.replicas import finished
from agent.errors import Invalid, Refused
from agent.model.host_state import ContainerState, FinishedRun, Remembered
from agent.model.records import Replica, decode, encode
from agent.model.spec import ContainerSpec, Key, Pairs
from agent.model.store import KeyValue

log = structlog.get_logger()

_KEY = "replicas"
_NOT_SAVED = f"after a restart, the agent knows no volumes and finished jobs of removed containers: {REMEDY}"
_UNREAD = (
    "the memory of replicas could not be read at a start and is now {aside}. Volumes and finished jobs of containers "
    "that were gone then are not known. Restore what you need, and move the file"
)

Memory = Mapping[Key, Remembered]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Saved:
    replicas: tuple[Remembered, ...]


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
        now = replace(
            known,
            volumes=_volumes(known.volumes, mine, volumes),
            run=_run(known, mine, assigned) if _may_stay(key, assigned) else None,
        )
        if now.volumes or now.run:
            after[key] = now
    return after


def _may_stay(key: Key, assigned: Assigned) -> bool:
    return assigned.replicas is None or key in assigned.replicas


def _volumes(known: Pairs, containers: Iterable[ContainerState], volumes: Collection[str]) -> Pairs:
    """Return the volume at each path. Of several, the known one stays while a container has it; then the oldest."""
    kept = dict(known)
    mounted: dict[str, list[str]] = {}
    for each in sorted(containers, key=_age):
        for path, name in each.volumes:
            mounted.setdefault(path, []).append(name)
    kept |= {path: names[0] for path, names in mounted.items() if kept.get(path) not in names}
    # A volume that a container has exists, even if the list of volumes was read before.
    sure = {name for names in mounted.values() for name in names}.union(volumes)
    return tuple(sorted((path, name) for path, name in kept.items() if name in sure))


def _age(found: ContainerState) -> tuple[bool, str]:
    """Return a key that puts the container first that has been running for longest: it has written to its volumes."""
    return not found.started_at, found.started_at


def _run(known: Remembered, containers: Iterable[ContainerState], assigned: Assigned) -> FinishedRun | None:
    seen = [each for each in containers if not each.locked_by_engine]
    for each in seen:
        spec = assigned.specs.get(each.replica.spec)
        if spec and each.status == "exited" and finished(spec, each):
            return FinishedRun(
                spec=each.replica.spec,
                shape=each.shape,
                id=each.id,
                name=each.name,
                exit_code=each.exit_code,
                started_at=each.started_at,
                finished_at=each.finished_at,
                restarts=each.restarts,
            )
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
        self._memory: Memory = {}
        self._saved: Memory = {}
        self._unsaved = ""
        """Error of the last save; empty: the memory is saved."""
        if disk is not None:
            self._load(disk)

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

    def look(
        self, found: Iterable[ContainerState], volumes: Collection[str], assigned: Assigned
    ) -> tuple[Remembered, ...]:
        """Update the memory from the containers, save it if it changed, and return it."""
        self._memory = remember(self._memory, found, volumes, assigned)
        remembered = tuple(self._memory.values())
        if self._disk is not None and (self._memory != self._saved or self._unsaved):
            self._save(self._disk, remembered)
        return remembered

    def _load(self, disk: StateDirectory) -> None:
        try:
            saved = [each for value in disk.load() for each in decode(_Saved, value.value).replicas]
        except Invalid as error:
            log.warning("memory of replicas ignored", error=str(error))
            disk.set_aside()
            return
        self._memory = self._saved = {each.key: each for each in saved}

    def _save(self, disk: StateDirectory, remembered: tuple[Remembered, ...]) -> None:
        try:
            value = encode(_Saved(replicas=remembered))
            disk.save((KeyValue(key=_KEY, value=value, create_revision=0, mod_revision=0),))
        except Refused as error:
            self._unsaved = str(error)
        else:
            self._saved, self._unsaved = self._memory, ""
