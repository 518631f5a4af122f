"""What etcd holds, decoded. A value that cannot be read is named and held; it is never guessed at."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent.clients.store import Store
from agent.errors import Invalid
from agent.intent import parse_intent, warnings
from agent.model import records
from agent.model.faults import InvalidDocument
from agent.model.intent import Intent
from agent.model.keys import Keys
from agent.model.observed import ClusterState, Document
from agent.model.spec import ContainerSpec, decode
from agent.model.store import KeyRange, KeyValue, Snapshot

R = TypeVar("R")

LONGEST_PROBLEM = 200
"""Of what is said about a value that cannot be read: it goes into logs and statuses, the value may be of any size."""
UNREADABLE = "?"
"""Who holds the lock, or is there, by a record that cannot be read: somebody, and not us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A decoded snapshot, and the leader lock as it was in it."""

    state: ClusterState
    lock: KeyValue | None
    kept: tuple[KeyValue, ...]
    """The keys a host needs to go on without etcd; no join tokens among them."""


class ClusterReader:
    """Reads the keys of one cluster. A document is parsed once per revision, a spec once per hash."""

    def __init__(self, keys: Keys, me: str) -> None:
        self._keys, self._me = keys, me
        self._newest: Document | None = None
        self._in_force: Document | None = None
        self._readable: dict[str, KeyValue] = {}
        """Of the keys a host needs to go on, the last value that could be read."""
        self._specs: dict[str, ContainerSpec] = {}
        self._spec_values: dict[str, KeyValue] = {}
        self.wide = True
        """Whether the last reading went over all hosts' keys, as a leader's must."""

    def read(self, store: Store, lease_id: int | None, running: frozenset[str]) -> Reading:
        """One consistent snapshot, and those specs of the assigned and the `running` copies not known yet.

        Raises Unreachable.
        """
        snapshot = store.read(self._ranges())
        wide = self._needs_all(snapshot, lease_id)
        if wide and not self.wide:
            self.wide = True
            snapshot = store.read(self._ranges())
        self.wide = wide
        return self._decode(snapshot, running, store)

    def recall(self, kept: Sequence[KeyValue]) -> ClusterState:
        """The state that an earlier reading was kept from, when etcd cannot be asked.

        Raises Invalid when it is another cluster's.
        """
        if foreign := [each.key for each in kept if not each.key.startswith(self._keys.root)]:
            raise Invalid(f"{foreign[0]} is no key of this cluster, {self._keys.root}")
        values = {each.key: each for each in kept}
        revision = max((each.mod_revision for each in kept), default=0)
        return self._decode(Snapshot(revision=revision, values=values), frozenset(), None).state

    def _decode(self, snapshot: Snapshot, running: frozenset[str], store: Store | None) -> Reading:
        values = _Values(snapshot)
        assignment = self._assignment(values)
        named = {copy.spec for copy in assignment.copies} if assignment else set()
        self._learn_specs(store, named | running, values)
        state = self._state(values, assignment)
        return Reading(state=state, lock=snapshot.get(self._keys.leader), kept=self._kept(values))

    def watched(self) -> tuple[KeyRange, ...]:
        """What an agent that reads this much wants to be woken for."""
        keys = self._keys
        mine = (
            *(keys.intent, keys.accepted, keys.leader, keys.swarm, keys.tokens, keys.disruption),
            *(keys.assignment(self._me), keys.ruling(self._me), keys.presence(self._me)),
        )
        ranges = tuple(KeyRange(key=key) for key in mine)
        return (*ranges, KeyRange(key=keys.hosts, prefix=True)) if self.wide else ranges

    def _ranges(self) -> tuple[KeyRange, ...]:
        if self.wide:
            return (KeyRange(key=self._keys.root, prefix=True),)
        return (*self.watched(), KeyRange(key=self._keys.verdict))

    def _needs_all(self, snapshot: Snapshot, lease_id: int | None) -> bool:
        """The leader reads all; so does everybody until there is a swarm, so that one that exists is adopted."""
        lock, record = snapshot.get(self._keys.leader), snapshot.get(self._keys.swarm)
        leading = lock is not None and lease_id is not None and lock.lease == lease_id
        return leading or record is None or b'"swarm_id":null' in record.value

    def _state(self, values: "_Values", assignment: records.Assignment | None) -> ClusterState:
        keys, snapshot = self._keys, values.snapshot
        record, lock = snapshot.get(keys.swarm), values.one(keys.leader, records.LeaderRecord)
        turn = snapshot.get(keys.disruption)
        return ClusterState(
            revision=snapshot.revision,
            document=self._document(snapshot.get(keys.intent)),
            accepted=self._accepted(values),
            verdict=values.one(keys.verdict, records.Verdict),
            leader=lock.host if lock else (UNREADABLE if snapshot.get(keys.leader) else None),
            record=values.one(keys.swarm, records.SwarmRecord),
            record_revision=record.mod_revision if record else 0,
            tokens=values.one(keys.tokens, records.Tokens),
            disruption=values.one(keys.disruption, records.Disruption),
            disruption_revision=turn.mod_revision if turn else 0,
            assignment=assignment,
            specs=dict(self._specs),
            ruling=values.one(keys.ruling(self._me), records.Ruling),
            presence=values.one(keys.presence(self._me), records.Presence),
            assignments=values.of_hosts(keys.assignments, "", records.Assignment),
            rulings=values.of_hosts(keys.rulings, "", records.Ruling),
            stored_specs=_whole_specs(snapshot, keys.specs),
            statuses=values.of_hosts(keys.hosts, "/status", records.HostStatus),
            present=values.present(keys.hosts),
            garbage=tuple(sorted(values.garbage.items())),
        )

    def _document(self, found: KeyValue | None) -> Document | None:
        if found is None:
            return None
        if self._newest is None or self._newest.revision != found.mod_revision:
            self._newest = read_document(found.value, found.mod_revision)
        return self._newest

    def _accepted(self, values: "_Values") -> Intent | None:
        """The intent in force; when its key cannot be read any more, the last one that could be."""
        kept = values.one(self._keys.accepted, records.Accepted)
        if kept and (self._in_force is None or self._in_force.revision != kept.revision):
            document = read_document(kept.document.encode(), kept.revision)
            if document.intent is None:
                values.hold(self._keys.accepted, "; ".join(str(each) for each in document.faults))
            else:
                self._in_force = document
        return self._in_force.intent if self._in_force else None

    def _assignment(self, values: "_Values") -> records.Assignment | None:
        """The host's own; when its key cannot be read any more, the last one that could be."""
        key = self._keys.assignment(self._me)
        found = values.one(key, records.Assignment)
        if key in values.garbage and (last := self._readable.get(key)):
            return records.decode(records.Assignment, last.value)
        return found

    def _learn_specs(self, store: Store | None, wanted: set[str], values: "_Values") -> None:
        self._specs = {digest: spec for digest, spec in self._specs.items() if digest in wanted}
        keys = {self._keys.spec(digest): digest for digest in sorted(wanted - self._specs.keys())}
        snapshot = values.snapshot
        if store and keys and not self.wide:
            snapshot = store.read([KeyRange(key=key) for key in keys])
        for key, digest in keys.items():
            if found := snapshot.get(key):
                try:
                    self._specs[digest] = _decode_spec(digest, found.value)
                    self._spec_values[digest] = found
                except Invalid as error:
                    values.hold(key, str(error))
        self._spec_values = {digest: self._spec_values[digest] for digest in self._specs}

    def _kept(self, values: "_Values") -> tuple[KeyValue, ...]:
        for key in (self._keys.accepted, self._keys.swarm, self._keys.assignment(self._me)):
            found = values.snapshot.get(key)
            if found is None:
                self._readable.pop(key, None)
            elif key not in values.garbage:
                self._readable[key] = found
        specs = (self._spec_values[digest] for digest in sorted(self._spec_values))
        return (*(self._readable[key] for key in sorted(self._readable)), *specs)


def read_document(raw: bytes, revision: int) -> Document:
    """Parse the operator's document; faults are part of the result. `revision` is its etcd mod_revision."""
    try:
        intent = parse_intent(raw, revision)
    except InvalidDocument as error:
        return Document(revision=revision, intent=None, faults=error.faults)
    text = raw.decode()
    return Document(revision=revision, intent=intent, warnings=warnings(intent), text=text)


def _decode_spec(digest: str, raw: bytes) -> ContainerSpec:
    if hashlib.sha256(raw).hexdigest() != digest:
        raise Invalid("not the spec of that name: its content has another hash")
    return decode(raw)


def _whole_specs(snapshot: Snapshot, prefix: str) -> frozenset[str]:
    """Names of the specs that are what their name says: one that is damaged is as good as missing."""
    named = ((each.key.removeprefix(prefix), each.value) for each in snapshot.under(prefix))
    return frozenset(digest for digest, raw in named if hashlib.sha256(raw).hexdigest() == digest)


class _Values:
    """Decodes the values of one snapshot and notes those that cannot be."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.garbage: dict[str, str] = {}

    def one(self, key: str, kind: type[R]) -> R | None:
        found = self.snapshot.get(key)
        return self._decode(found, kind) if found else None

    def hold(self, key: str, problem: str) -> None:
        """Note that the value of `key` cannot be read."""
        shortened = len(problem) > LONGEST_PROBLEM
        self.garbage[key] = f"{problem[:LONGEST_PROBLEM]}..." if shortened else problem

    def present(self, prefix: str) -> dict[str, str]:
        """Host -> the agent that is there; an agent whose presence cannot be read is there all the same."""
        suffix = "/presence"
        present = {
            host: each.instance for host, each in self.of_hosts(prefix, suffix, records.Presence).items()
        }
        unreadable = (key for key in self.garbage if key.startswith(prefix) and key.endswith(suffix))
        return present | {key.removeprefix(prefix).removesuffix(suffix): UNREADABLE for key in unreadable}

    def of_hosts(self, prefix: str, suffix: str, kind: type[R]) -> dict[str, R]:
        """Host name -> what lies at `<prefix><host><suffix>`."""
        decoded = {}
        for each in self.snapshot.under(prefix):
            host = each.key.removeprefix(prefix)
            if host.endswith(suffix) and "/" not in host.removesuffix(suffix):
                value = self._decode(each, kind)
                if value is not None:
                    decoded[host.removesuffix(suffix)] = value
        return decoded

    def _decode(self, found: KeyValue, kind: type[R]) -> R | None:
        try:
            return records.decode(kind, found.value)
        except Invalid as error:
            self.hold(found.key, str(error))
            return None
