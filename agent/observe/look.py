"""A look at a whole cluster in etcd, for the command and the agent's page: its state, and the last documents."""

import time
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.clients.etcd import Store
from agent.conditions import ClusterConditions, conditions_of
from agent.conditions.shared import upkeep_notes
from agent.errors import Invalid, Refused
from agent.model.events import EventLog, read_log
from agent.model.history import NO_NOTE, OUTCOMES, Entry, Event, History, Kept, note_of
from agent.model.keys import Keys
from agent.model.observed import ClusterState
from agent.model.phrases import shorten
from agent.model.records import Accepted, Verdict, decode
from agent.model.store import KeyRange, Snapshot, Upkeep
from agent.observe.cluster import ClusterReader

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A reading of the cluster: its state, and the time of the reading in seconds since the epoch."""

    cluster: str
    state: ClusterState
    upkeep: Upkeep
    read_s: float

    @property
    def accepted(self) -> int:
        """Revision of the accepted document; 0: none."""
        return self.state.accepted.revision if self.state.accepted else 0

    def conditions(self, now_s: float) -> ClusterConditions:
        """Return the conditions now: what is current by the reading may be too old a little later."""
        found = conditions_of(self.state, now_s=now_s, store_error=self.upkeep.alarm)
        return replace(found, notes=(*found.notes, *upkeep_notes(self.upkeep)))


def read_cluster(store: Store, keys: Keys) -> ClusterState:
    """Read the whole cluster as a leader does, with every stored spec. Raises Unreachable, Refused."""
    # A spec that is written in between is shown by its hash. No host has the empty name.
    listed = store.read([KeyRange(key=keys.specs, prefix=True, keys_only=True)]).values
    stored = frozenset(each.removeprefix(keys.specs) for each in listed)
    return ClusterReader(keys, "").read(store, None, stored).state


def look_at(store: Store, keys: Keys, state: ClusterState) -> Look:
    """Return the look at `state`, which was just read. Raises Unreachable."""
    try:
        upkeep = store.upkeep(keys.leader)
    except Refused as error:  # it is not for this user to see
        upkeep = Upkeep(fault=str(error))
    return Look(cluster=keys.cluster, state=state, upkeep=upkeep, read_s=time.time())


def read_history(store: Store, keys: Keys) -> History:
    """Read what etcd keeps of the last documents. An unreadable entry hides no other. Raises Unreachable, Refused."""
    single = keys.intent, keys.note, keys.accepted, keys.verdict
    found = store.read([*(KeyRange(key=each) for each in single), KeyRange(key=keys.history, prefix=True)])
    accepted, _ = _record(found, keys.accepted, Accepted)
    verdict, _ = _record(found, keys.verdict, Verdict)
    document, note = found.get(keys.intent), note_of(found, keys) or NO_NOTE
    newest = document.mod_revision if document else 0
    names = [each.key.removeprefix(keys.history).partition("/")[0] for each in found.under(keys.history)]
    revisions = {int(each) for each in names if each.isascii() and each.isdigit() and len(each) < 20}  # noqa: PLR2004
    kept = []
    held = {each for each in (newest, accepted.revision if accepted else 0) if each}
    for revision in sorted(revisions | held, reverse=True):
        entry, problem = _record(found, f"{keys.history}{revision}", Entry)
        if entry is not None and entry.revision != revision:
            problem, entry = f"it is of revision {entry.revision}", None
        events = {each: _record(found, f"{keys.history}{revision}/{each}", Event)[0] for each in OUTCOMES}
        kept.append(
            Kept(
                revision=revision,
                entry=entry,
                problem=problem,
                events={name: each for name, each in events.items() if each},
                note=note if revision == newest else NO_NOTE,
                newest=revision == newest,
                is_accepted=accepted is not None and revision == accepted.revision,
            )
        )
    refused = verdict and verdict.revision == newest and not verdict.accepted
    return History(kept=tuple(kept), accepted=accepted, newest=newest, refusal=verdict if refused else None)


def read_events(store: Store, keys: Keys) -> EventLog:
    """Read the events. Raises Invalid if they are unreadable; Unreachable, Refused."""
    value = store.read([KeyRange(key=keys.events)]).get(keys.events)
    try:
        return read_log(value.value) if value else EventLog()
    except Invalid as error:
        why = f"the key {keys.events} cannot be read, and the leader replaces it at the next event: {error}"
        raise Invalid(why) from error


def _record(found: Snapshot, key: str, kind: type[R]) -> tuple[R | None, str]:
    """Return the record at a key and "", or None and why it is unreadable; "" if there is none."""
    value = found.get(key)
    try:
        return (decode(kind, value.value) if value else None), ""
    except Invalid as error:
        return None, shorten(str(error))
