"""Reads and decodes the keys of a cluster. An unreadable value is reported, and its last readable one stays."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.clients.etcd import Store
from agent.clients.seal import Seal, Unopened
from agent.diff.nodes import listed_managers
from agent.errors import Denied, Invalid, NotUsed
from agent.model import earlier, observed, records, status
from agent.model.history import note_of
from agent.model.host_state import HostState, SwarmState
from agent.model.intent import Intent
from agent.model.keys import Keys
from agent.model.records import Rollout
from agent.model.spec import ContainerSpec, decode
from agent.model.store import KeyRange, KeyValue, Snapshot
from agent.observe.accepted import UNREADABLE, AcceptedStore, EffectiveState, Known, Values, read_document
from agent.observe.assigned import AllowedAssignment, Evidence
from agent.observe.counted import Counted
from agent.observe.declared import DeclaredSpecs

SPREAD_S, MOST_SPREAD_S = 0.001, 2.0
"""Seconds for each host, and at most, over which the hosts spread what wakes many of them at once."""
S = TypeVar("S", records.Tokens, records.UnlockKeys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A decoded snapshot, with its leader lock."""

    state: observed.ClusterState
    lock: KeyValue | None
    kept: tuple[KeyValue, ...]
    """The values to save on disk for a time without etcd; they contain no join tokens."""
    earlier_verdict: KeyValue | None = None
    """The verdict if a leader of the earlier format wrote it."""


class ClusterReader:
    """Reads the keys of one cluster. It parses a document once per revision and a spec once per hash."""

    def __init__(
        self, keys: Keys, me: str, seal: Seal | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`seal` None: a command that only reads. `clock` returns monotonic seconds."""
        self._keys, self._me, self.seal = keys, me, seal or Unopened()
        self._opened_key = f"{keys.root}opened"  # in the saved state alone, not in etcd
        self._newest: observed.Document | None = None
        self._put: tuple[int, bytes] | None = None
        """mod_revision and value of `_newest`."""
        self._accepted_revision = AcceptedStore(keys, me)
        self._declared = DeclaredSpecs(keys)
        self._allowed = AllowedAssignment(keys, me, self._declared, clock)
        self._specs: dict[str, ContainerSpec] = {}
        self._spec_values: dict[str, KeyValue] = {}
        self._known: Known = {}
        self.wide = not me  # no agent watches all before it knows whether it may
        """True if the last reading included the keys of all hosts, as the leader's does."""
        self._denied = False
        """True if the role of this agent in etcd does not let it read them."""
        self._ordered = False
        """True if the last reading included the reports of managers: this host has a membership order to verify."""
        self._swarm = SwarmState(local="inactive")
        """The swarm as the engine of this host last showed it."""
        self._accepted: Intent | None = None
        self._texts: dict[str, KeyValue] = {}
        """The newest and the accepted document as last read."""
        self._revision = 0
        """Revision of etcd at the last reading."""
        self._counted = Counted()
        self._last_leader: records.LeaderRecord | None = None

    def read(
        self, store: Store, lease_id: int | None, running: frozenset[str], *, hindered: bool = False
    ) -> Reading:
        """Read one consistent snapshot, and the unknown specs of the assigned and the `running` replicas.

        `hindered` is True if another host may be better able to lead. Raises Unreachable.
        """
        read_all, first = self.wide, not self._known
        snapshot = self._snapshot(store)
        wide = self._needs_all(snapshot, lease_id, hindered=hindered)
        first &= self._may_lead  # known only with a document, which `_needs_all` has read
        ordered = snapshot.get(self._keys.membership_order(self._me)) is not None
        if ((wide or first) and not read_all) or (ordered and not (self._ordered or read_all)):
            self.wide, self._ordered = self.wide or wide or first, ordered
            snapshot = self._snapshot(store)
        self._ordered &= ordered
        self.wide = wide and not self._denied
        reading = self._decode(snapshot, running, store)
        if lease_id is None or snapshot.get(self._keys.presence(self._me)):
            return reading
        return replace(reading, state=replace(reading.state, presence_lost=True))

    def _snapshot(self, store: Store) -> Snapshot:
        """Read the wanted ranges; those of a worker if the role of this agent in etcd denies it the others."""
        try:
            snapshot = self._read(store)
        except Denied:
            if not (self.wide or self._ordered or self._confirms) or not self._me:
                raise
            # The role of a worker that an earlier version printed does not include the reports of managers.
            self._ordered, self._denied, self.wide = (
                self._ordered and self.wide,
                self._denied or self.wide or not self._ordered,
                False,
            )
            return self._snapshot(store)
        self._denied = self._denied and not self.wide
        return snapshot

    def learn(self, host: HostState, state: observed.ClusterState) -> bool:
        """Take note of what the engine of this host shows; True if `state`, just read, is to be read again for it."""
        before, seen = self._allowed.seen, Evidence.of(host)
        self._allowed.seen = seen
        changed = bool(state.refused) and (before is None or seen.works != before.works)
        changed |= before is not None and seen.duplicates != before.duplicates
        changed |= self._ordered and host.swarm.managers != self._swarm.managers
        self._swarm = host.swarm
        return changed

    def _read(self, store: Store) -> Snapshot:
        """Read the wanted ranges; the documents only if their keys changed, or etcd has not answered in between."""
        ranges, known, self._texts = self._ranges(), self._texts, {}
        snapshot = store.read(
            [replace(each, keys_only=each.keys_only or each.key in known) for each in ranges]
        )
        pairs = [(snapshot.get(key), each) for key, each in known.items()]
        same = all(
            e and (e.create_revision, e.mod_revision) == (k.create_revision, k.mod_revision) for e, k in pairs
        )
        if known and (snapshot.revision < self._revision or not same):
            snapshot, known = store.read(ranges), {}
        self._revision = snapshot.revision
        snapshot = replace(snapshot, values={**snapshot.values, **known})
        texts = (snapshot.get(key) for key in (self._keys.intent, self._keys.accepted))
        self._texts = {each.key: each for each in texts if each and not each.dropped}
        return snapshot

    def recall(self, kept: Sequence[KeyValue]) -> observed.ClusterState:
        """Return the state from values saved on disk, for a start without etcd.

        Raises Invalid if they belong to another cluster.
        """
        if foreign := [each.key for each in kept if not each.key.startswith(self._keys.root)]:
            raise Invalid(f"{foreign[0]} is not a key of this cluster, {self._keys.root}")
        values = {each.key: each for each in kept}
        if opened := values.pop(self._opened_key, None):
            self.seal.opened = records.decode(records.Opened, opened.value)
        self._declared.recall(values)
        self._allowed.recall(values)
        revision = max((each.mod_revision for each in kept), default=0)
        return self._decode(Snapshot(revision=revision, values=values), frozenset(), None).state

    def _decode(self, snapshot: Snapshot, running: frozenset[str], store: Store | None) -> Reading:
        values = Values(snapshot, self._known)
        newest = self._document(snapshot.get(self._keys.intent))
        held = self._accepted_revision.look(values, store, newest)
        self._accepted = held.intent
        assigned = [each for each in (held.assignment, self._allowed.last) if each]
        named = {replica.spec for each in assigned for replica in each.replicas}
        rollouts = values.of_hosts(self._keys.rollouts, "", Rollout)
        named |= {each.before for each in rollouts.values()}
        mine = named | running
        self._learn_specs(store, mine | self._assigned_specs(values), values)
        self._declared.learn(held.intent, self._specs)
        self._declared.search(held.assignment.replicas if held.assignment else (), store)
        assignment = self._allowed.look(held.assignment, held.intent, self._specs, held.epoch)
        counts = assignment and held.intent and assignment.revision == held.intent.revision
        state = replace(
            self._counted.of(self._state(values, held, rollouts)),
            assignment=assignment,
            assigned_at=held.assignment.revision if held.assignment and counts else 0,
            refused=self._allowed.refused,
        )
        self._known = values.known
        verdict = snapshot.get(self._keys.verdict) if state.verdict else None
        return Reading(
            state=state,
            lock=snapshot.get(self._keys.leader),
            kept=self._kept(mine),
            earlier_verdict=verdict if verdict and earlier.wrote(verdict.value) else None,
        )

    def _assigned_specs(self, values: Values) -> set[str]:
        """Return the specs of all assigned replicas, for the leader, which reports how a replica changes."""
        if not self.wide:
            return set()
        assignments = values.of_hosts(self._keys.assignments, "", records.Assignment)
        return {replica.spec for each in assignments.values() for replica in each.replicas}

    def watched(self) -> tuple[KeyRange, ...]:
        """Return the keys whose change must wake an agent that reads as much as this one."""
        keys = self._keys
        mine = (
            *((keys.intent, keys.leader) if self._may_lead or self.wide else ()),
            *(keys.accepted, keys.swarm, keys.tokens, keys.unlock, keys.disruption),
            *(keys.assignment(self._me), keys.membership_order(self._me), keys.presence(self._me)),
        )
        ranges = (*(KeyRange(key=key) for key in mine), KeyRange(key=keys.slots, prefix=True))
        wide = (KeyRange(key=keys.hosts, prefix=True), KeyRange(key=keys.rollouts, prefix=True))
        intent = self._accepted if self._ordered else None
        listed = listed_managers(intent, self._swarm.managers, self._me) if intent else ()
        managers = (*intent.managers, *listed) if intent else ()
        names = {self._me, *(each.name for each in managers)} if managers else ()
        own = keys.presence(self._me)
        seen = (key(name) for name in sorted(names) for key in (keys.status, keys.presence))
        orders = (KeyRange(key=keys.membership_orders, prefix=True),) if self._confirms else ()
        return (
            (*ranges, *orders, *wide)
            if self.wide
            else (*ranges, *orders, *(KeyRange(key=each) for each in seen if each != own))
        )

    @property
    def _confirms(self) -> bool:
        """True for a manager: it reports the nodes while a host has a membership order."""
        manages = self._declares_me or self._swarm.is_manager
        return self._accepted is not None and manages and not self._denied

    @property
    def _may_lead(self) -> bool:
        """True for a declared manager, for any manager of the swarm, and for every host while no document is known.

        A manager that the document declares a worker is the leader while no declared one can be.
        """
        newest = self._newest.intent if self._newest else None
        return self._swarm.is_manager or self._declares_me or (self._accepted is None and newest is None)

    @property
    def _declares_me(self) -> bool:
        """True for a manager of the accepted document, or of the newest one."""
        known = (self._accepted, self._newest.intent if self._newest else None)
        hosts = (each.host(self._me) for each in known if each)
        return any(host is not None and host.role == "manager" for host in hosts)

    def spread_s(self) -> float:
        """Return the seconds over which the hosts spread what wakes many of them at once; 0 for the leader."""
        hosts = len(self._accepted.hosts) if self._accepted else 0
        return 0.0 if self.wide else min(MOST_SPREAD_S, SPREAD_S * hosts)

    def _ranges(self) -> tuple[KeyRange, ...]:
        keys = self._keys
        more = [KeyRange(key=each) for each in (keys.intent, keys.leader, keys.verdict)]
        if self.wide:
            more += [KeyRange(key=each) for each in (keys.trial, keys.digests, keys.note)]
            more += [KeyRange(key=each, prefix=True) for each in (keys.assignments, keys.membership_orders)]
            # Many may be below specs/ that nothing names: their values are read once they are needed.
            more += [KeyRange(key=each, prefix=True, keys_only=True) for each in (keys.specs, keys.history)]
        return tuple(dict.fromkeys((*self.watched(), *more)))

    def _needs_all(self, snapshot: Snapshot, lease_id: int | None, *, hindered: bool) -> bool:
        """Return True for the leader, and without a swarm for every host that may lead: it adopts an existing swarm.

        Also, without a leader, for an agent with an obstacle: it takes the lock only if no other agent can.
        """
        lock, record = snapshot.get(self._keys.leader), snapshot.get(self._keys.swarm)
        is_leader = lock is not None and lease_id is not None and lock.lease == lease_id
        waits = (hindered or self._denied) and lock is None
        waits |= self._denied and self._accepted is not None and self._declares_me  # its role may grow
        self._document(snapshot.get(self._keys.intent))
        if record is None:
            return is_leader or waits or (self._newest is not None and self._may_lead)
        claims = self._may_lead or f'"claimed_by":"{self._me}"'.encode() in record.value
        return is_leader or waits or (claims and b'"swarm_id":null' in record.value)

    def _state(
        self, values: Values, held: EffectiveState, rollouts: Mapping[str, Rollout]
    ) -> observed.ClusterState:
        keys, snapshot = self._keys, values.snapshot
        # A damaged spec counts as missing.
        stored = (each.key for each in snapshot.under(keys.specs) if each.key not in values.unreadable)
        record, lock = snapshot.get(keys.swarm), values.one(keys.leader, records.LeaderRecord)
        granted, digests = snapshot.get(keys.disruption), snapshot.get(keys.digests)
        self._last_leader = lock or self._last_leader
        disruption, slot_revision = _slot(keys, values, held.intent)
        document = self._document(snapshot.get(keys.intent))
        seal, published = self.seal, values.one(keys.tokens, records.Tokens)
        tokens, tokens_exposed, tokens_locked = self._opened(values, keys.tokens, records.Tokens, seal.open)
        unlock, unlock_aged, unlock_locked = self._opened(
            values, keys.unlock, records.UnlockKeys, seal.open_keys
        )
        presences = values.of_hosts(keys.hosts, "/presence", records.Presence)
        return observed.ClusterState(
            revision=snapshot.revision,
            root=keys.root,
            document=document,
            accepted=held.intent,
            epoch=held.epoch,
            accepted_held=held.accepted_held,
            accepted_text=held.text,
            accepted_doubt=held.doubt,
            store_rolled_back=held.store_rolled_back,
            confirmed=held.is_confirmed_by(document),
            verdict=values.one(keys.verdict, records.Verdict),
            trial=values.one(keys.trial, records.Trial),
            leader=lock.host if lock else (UNREADABLE if snapshot.get(keys.leader) else None),
            last_leader=self._last_leader,
            record=held.record,
            record_held=held.record_held,
            record_revision=record.mod_revision if record else 0,
            tokens=tokens,
            tokens_exposed=tokens_exposed,
            tokens_locked=tokens_locked,
            tokens_sealed_at=seal.opened.tokens if tokens and published and published.sealed else 0,
            unlock=unlock,
            unlock_aged=unlock_aged,
            unlock_locked=unlock_locked,
            can_seal=seal.seals,
            disruption=disruption,
            disruption_revision=granted.mod_revision if granted else 0,
            slot_revision=slot_revision,
            may_lead=not self._denied,
            assignment_held=held.assignment_held,
            specs=dict(self._specs),
            membership_order=values.one(keys.membership_order(self._me), records.MembershipOrder),
            presence=values.one(keys.presence(self._me), records.Presence, self._me),
            assignments=values.of_hosts(keys.assignments, "", records.Assignment),
            membership_orders=values.of_hosts(keys.membership_orders, "", records.MembershipOrder),
            stored_specs=_names(stored, keys.specs),
            note=note_of(snapshot, keys),
            history=_names((each.key for each in snapshot.under(keys.history)), keys.history),
            statuses=values.of_hosts(keys.hosts, "/status", status.HostStatus),
            present=values.present(keys.hosts),
            unreported={
                host: each.unreported_since for host, each in presences.items() if each.unreported_since
            },
            digests=values.one(keys.digests, records.Digests),
            digests_revision=digests.mod_revision if digests else 0,
            rollouts=rollouts,
            unreadable=tuple(sorted(values.unreadable.items())),
            untrusted=frozenset(values.untrusted),
            newer_format=tuple(
                sorted(key for key in values.newer_format if not key.startswith((keys.hosts, keys.slots)))
            ),
        )

    def _opened(
        self, values: Values, key: str, kind: type[S], open_: Callable[[S], S]
    ) -> tuple[S | None, bool, bool]:
        """Return (the secrets, True if the leader must seal them again, True if this host cannot open them)."""
        found = values.one(key, kind)
        if found is None:
            return None, False, False
        try:
            return open_(found), not self.seal.is_current(found), False
        except Invalid as error:
            values.mark_unreadable(key, str(error))
            values.untrusted |= {key} if isinstance(error, NotUsed) else set()
            return None, key in values.untrusted, key not in values.untrusted

    def _document(self, found: KeyValue | None) -> observed.Document | None:
        if found is None:
            return None
        # The revision alone does not identify a document: an etcd that was wiped counts from zero.
        put = (found.mod_revision, found.value)
        if self._newest is None or self._put != put:
            self._newest, self._put = read_document(found.value, found.mod_revision), put
        return self._newest

    def _learn_specs(self, store: Store | None, wanted: set[str], values: Values) -> None:
        self._specs = {digest: spec for digest, spec in self._specs.items() if digest in wanted}
        self._spec_values = {digest: self._spec_values[digest] for digest in self._specs}
        changed = {
            digest
            for digest, known in self._spec_values.items()
            if (found := values.snapshot.get(known.key)) and found.mod_revision != known.mod_revision
        }
        keys = {self._keys.spec(each): each for each in sorted(wanted - self._specs.keys() | changed)}
        snapshot = store.read([KeyRange(key=key) for key in keys]) if store and keys else values.snapshot
        for key, digest in keys.items():
            if found := snapshot.get(key):
                try:
                    if len(found.value) > (most := records.LARGEST_VALUE):
                        raise Invalid(
                            f"not a container spec: {len(found.value)} bytes, and the maximum is {most}"
                        )
                    if hashlib.sha256(found.value).hexdigest() != digest:
                        raise Invalid("the spec is damaged: the hash of its content differs from its name")
                    self._specs[digest], self._spec_values[digest] = decode(found.value), found
                except Invalid as error:
                    values.mark_unreadable(key, str(error))

    def _kept(self, mine: set[str]) -> tuple[KeyValue, ...]:
        specs = (self._spec_values[digest] for digest in sorted(self._spec_values.keys() & mine))
        saved = (self._allowed.saved(each) for each in self._accepted_revision.kept)
        kept = (*saved, *specs, self._declared.kept, self._allowed.kept)
        if (opened := self.seal.opened) == records.Opened():
            return kept
        value = records.encode(opened)
        return (*kept, KeyValue(key=self._opened_key, value=value, create_revision=0, mod_revision=0))


def _names(found: Iterable[str], prefix: str) -> frozenset[str]:
    """Return the names below a prefix. Those that are no text are left out: no leader could delete them."""
    return frozenset(each.removeprefix(prefix) for each in found if "\\" not in each)


def _slot(keys: Keys, values: Values, intent: Intent | None) -> tuple[records.Disruption | None, int]:
    """Return the disruption slot, and the mod_revision of its host's own key, which counts for one grant only.

    With an unreadable key the slot is not known. A slot that no leader grants counts, as it ends by itself or the
    leader revokes it, and is reported.
    """
    granted = values.one(keys.disruption, records.Disruption)
    if granted and intent and (granted.state != "granted" or intent.host(granted.host) is None):
        no = "has not acquired it itself" if intent.host(granted.host) else "is not declared"
        remedy = f"if this lasts, `etcdctl del {keys.disruption}` and change the agents' credentials"
        values.mark_unreadable(keys.disruption, f"{granted.host} has the disruption slot, and {no}; {remedy}")
        values.untrusted.add(keys.disruption)
    slots = values.of_hosts(keys.slots, "", records.Disruption)
    if granted is None or (own := values.snapshot.get(keys.slot(granted.host))) is None:
        return granted, 0
    taken, grant = slots.get(granted.host), values.snapshot.values[keys.disruption].mod_revision
    return (taken if taken is None or taken.grant == grant else granted), own.mod_revision
