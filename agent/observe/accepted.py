"""Chooses the effective state of a host: the accepted document of etcd, or a newer one that this host remembers.

An etcd that was wiped, restored from a backup, or lost keys has an old document or none. A host that followed it
would remove replicas that the operator wants. Therefore the accepted document and the assignments have an epoch and a
revision. Within an epoch the revisions of etcd only grow; the operator begins the next epoch by confirming a document.
An etcd restored with the same accepted document has lost later writes, such as the end of a rollout. Its own revision
then is lower than before, and the host ignores its values until the next epoch.
"""

from dataclasses import dataclass, replace
from typing import TypeVar, cast

from agent.clients.etcd import Store
from agent.errors import Invalid, NewerFormat
from agent.intent import parse_intent, warnings
from agent.model import faults, observed, records, store
from agent.model.intent import Intent
from agent.model.keys import Keys
from agent.model.phrases import MISUSED
from agent.observe.history import History
from agent.yamldoc import MAX_BYTES
from agent.yamldoc.faultlist import printable

R = TypeVar("R")
Known = dict[str, tuple[tuple[type, int, int], object]]
"""Key -> (kind, mod_revision and hash of the value, record)."""


LONGEST_PROBLEM = 200
"""Characters of the problem of an unreadable value in logs and statuses. The value may have any size."""
_SMALL = (records.Presence, records.LeaderRecord, records.Disruption, records.MembershipOrder, records.Trial)
LARGEST_SMALL = 20_000  # bytes
_DELETE = "delete the keys that no agent wrote"
UNREADABLE = "?"
"""Host or instance in an unreadable lock or presence: an agent other than this one."""


_DOUBTS = {
    "forged": f"etcd's history of intent does not have it at revision {{revision}}: {MISUSED}",
    "compacted": "etcd has compacted revision {revision}, and this host has not seen intent as it was then: apply the "
    "document again",
}


class Values:
    """Decodes the values of one snapshot, and records the unreadable ones."""

    def __init__(self, snapshot: store.Snapshot, known: Known | None = None) -> None:
        """`known` has the records of the last snapshot. An unchanged one is used again, to save memory."""
        self.snapshot, self._before = snapshot, known or {}
        self.known: Known = {}
        self.unreadable: dict[str, str] = {}
        self.newer_format: set[str] = set()
        """Unreadable keys that a newer agent wrote."""
        self.untrusted: set[str] = set()
        """Keys, among the unreadable ones: of secrets that this host does not use, of a slot that no leader grants."""

    def one(self, key: str, kind: type[R], owner: str = "") -> R | None:
        found = self.snapshot.get(key)
        return self._decode(found, kind, owner) if found else None

    def mark_unreadable(self, key: str, problem: str) -> None:
        """Record that the value of `key` is unreadable. Key and problem are made printable for logs and statuses."""
        shortened = len(problem) > LONGEST_PROBLEM
        text = printable(problem[:LONGEST_PROBLEM])[:LONGEST_PROBLEM]
        self.unreadable[printable(key)] = f"{text}..." if shortened else text

    def present(self, prefix: str) -> dict[str, str]:
        """Return the instance of each present agent by host. An unreadable presence counts as present."""
        suffix = "/presence"
        present = {
            host: each.instance for host, each in self.of_hosts(prefix, suffix, records.Presence).items()
        }
        unreadable = (key for key in self.unreadable if key.startswith(prefix) and key.endswith(suffix))
        return present | {key.removeprefix(prefix).removesuffix(suffix): UNREADABLE for key in unreadable}

    def of_hosts(self, prefix: str, suffix: str, kind: type[R]) -> dict[str, R]:
        """Return the values at `<prefix><host><suffix>` by host."""
        decoded = {}
        for each in self.snapshot.under(prefix):
            host = each.key.removeprefix(prefix)
            if host.endswith(suffix) and "/" not in host.removesuffix(suffix):
                value = self._decode(each, kind, host.removesuffix(suffix))
                if value is not None:
                    decoded[host.removesuffix(suffix)] = value
        return decoded

    def _decode(self, found: store.KeyValue, kind: type[R], owner: str) -> R | None:
        """Return the record; None if it is unreadable, or names another host than its `owner`."""
        content = (kind, found.mod_revision, hash(found.value))  # a wiped etcd counts from zero
        before = self._before.get(found.key)
        if before and before[0] == content:
            self.known[found.key] = before
            return cast(R, before[1])
        most = LARGEST_SMALL if kind in _SMALL else records.LARGEST_VALUE
        try:
            if found.dropped:
                raise Invalid(
                    f"{found.dropped} bytes or more, expanded, and one value or all have too many: {_DELETE}"
                )
            if len(found.value) > most:
                raise Invalid(f"not a {kind.__name__}: {len(found.value)} bytes, and the maximum is {most}")
            record = records.decode(kind, found.value)
            if owner and (named := getattr(record, "host", "")) not in ("", owner):
                raise Invalid(f"it is of {named}, and only {owner} may write here: it does not count")
        except Invalid as error:
            self.mark_unreadable(found.key, str(error))
            if isinstance(error, NewerFormat):
                self.newer_format.add(found.key)
            return None
        self.known[found.key] = content, record
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveState:
    """The values that a host acts on, from etcd or remembered."""

    intent: Intent | None
    text: str = ""
    """The source of `intent`."""
    epoch: int
    assignment: records.Assignment | None
    assignment_held: bool
    """True if `assignment` is remembered and etcd has another one or none."""
    record: records.SwarmRecord | None
    record_held: bool
    """True if the record in etcd is unreadable; `record` then is the last readable one."""
    accepted_held: bool
    """True if `intent` is remembered: etcd has another accepted document, none, or an unreadable one."""
    doubt: observed.Doubt
    """Reason against the accepted document in etcd; empty: it counts, or is absent or unreadable."""
    store_rolled_back: str
    """The sign that etcd was rolled back; empty if it was not."""
    noticed_at: int
    """Revision of etcd when the rollback was detected."""

    def is_confirmed_by(self, document: observed.Document | None) -> bool:
        """Return True if the operator applied `document` after the rollback, or it is the accepted one."""
        return document is not None and (document.revision > self.noticed_at or document.text == self.text)


class AcceptedStore:
    """Remembers the newest readable values of the keys that a host acts on."""

    def __init__(self, keys: Keys, me: str) -> None:
        self._keys, self._assigned = keys, keys.assignment(me)
        self._me = me
        self._document: observed.Document | None = None
        self._epoch = 0
        self._revision = 0
        """Highest revision of etcd, or of the accepted document, in this epoch."""
        self._rollback_detected = ""
        """The sign that etcd's own revision decreased; empty for none. The next accepted document clears it."""
        self._store_rolled_back, self._noticed_at = "", 0
        self._known: dict[str, store.KeyValue] = {}
        self._history = History(keys.intent, keys.accepted)
        self._doubt: observed.Doubt = ""
        self._newest: observed.Document | None = None

    @property
    def kept(self) -> tuple[store.KeyValue, ...]:
        """The values to save on disk; they contain no join tokens."""
        return tuple(self._known[key] for key in sorted(self._known))

    def look(
        self, values: Values, etcd: Store | None, newest: observed.Document | None = None
    ) -> EffectiveState:
        """Compare a snapshot with the remembered values, remember newer ones, and return the effective state.

        `etcd` None: the values are from the disk of this host. `newest` is parsed already: mostly it becomes the
        accepted one. Raises Unreachable, Refused.
        """
        self._doubt, self._newest = "", newest
        self._look_at_accepted(values, etcd)
        assignment = self._assignment(values)
        if self._rollback_detected and not self._store_rolled_back:
            self._notice(self._rollback_detected, values)
        found = values.one(self._assigned, records.Assignment)
        return EffectiveState(
            intent=self._document.intent if self._document else None,
            text=self._document.text if self._document else "",
            epoch=self._epoch,
            assignment=assignment,
            assignment_held=assignment is not None and assignment != found,
            record=self._record(values),
            record_held=self._keys.swarm in values.unreadable,
            accepted_held=bool(self._store_rolled_back) or self._keys.accepted in values.unreadable,
            doubt=self._doubt,
            store_rolled_back=self._store_rolled_back,
            noticed_at=self._noticed_at,
        )

    def _look_at_accepted(self, values: Values, etcd: Store | None) -> None:
        key = self._keys.accepted
        value, found, known = values.snapshot.get(key), values.one(key, records.Accepted), self._document
        if value is None:
            self._notice("it has no accepted document" if self._document else "", values)
        elif found is None:
            return  # unreadable: the last readable one stays accepted
        elif self._is_older(found):
            self._notice(f"it has accepted revision {found.revision}", values)
        elif known and (self._epoch, known.revision) == (found.epoch, found.revision):
            self._known[key] = value
            self._notice("", values)
            if values.snapshot.revision >= self._revision:
                self._revision = values.snapshot.revision
            else:
                at = f"it is at revision {values.snapshot.revision} and was at {self._revision}"
                self._rollback_detected = at
        elif self._is_unproven(found, values, etcd):
            return
        elif self._adopt(found, value, values):
            self._known[key] = value
            self._notice("", values)

    def _is_unproven(self, found: records.Accepted, values: Values, etcd: Store | None) -> bool:
        """Return True if the document is not proven to be the operator's, and mark its key."""
        known = self._document
        mine = known and records.Accepted(revision=known.revision, document=known.text, epoch=self._epoch)
        doubt = self._history.doubt(found, mine or None, values.snapshot, etcd)
        if doubt == "compacted" and not self._me:
            return False  # a command that only reads has no memory: it shows what the hosts have checked
        self._doubt = doubt
        if doubt:
            values.mark_unreadable(self._keys.accepted, _DOUBTS[doubt].format(revision=found.revision))
        return bool(doubt)

    def _is_older(self, found: records.Accepted) -> bool:
        if self._document is None:
            return False
        known = (self._epoch, self._document.revision)
        other = (found.epoch, found.revision) == known and found.document != self._document.text
        return other or (found.epoch, found.revision) < known

    def _adopt(self, found: records.Accepted, value: store.KeyValue, values: Values) -> bool:
        document = self._newest
        if document is None or (document.revision, document.text) != (found.revision, found.document):
            document = read_document(found.document.encode(), found.revision)
        if document.intent is None:
            values.mark_unreadable(self._keys.accepted, "; ".join(str(each) for each in document.faults))
            return False
        self._document, self._epoch = document, found.epoch
        # Not the snapshot's revision: a state on disk may be from the etcd of the epoch before.
        self._revision, self._rollback_detected = value.mod_revision, ""
        return True

    def _notice(self, what: str, values: Values) -> None:
        """Record a rollback, or its end if `what` is empty. A later document of the operator confirms it."""
        revision = values.snapshot.revision
        if what and (not self._store_rolled_back or revision < self._noticed_at):
            self._noticed_at = revision
        self._store_rolled_back = what

    def _assignment(self, values: Values) -> records.Assignment | None:
        """Return the host's assignment: the one in etcd, or the last one if etcd lost or rolled back the key."""
        value, found = values.snapshot.get(self._assigned), values.one(self._assigned, records.Assignment)
        known = self._known.get(self._assigned)
        last = records.decode(records.Assignment, known.value) if known else None
        if found and self._is_ahead(found):
            problem = (
                f"it is of revision {found.revision}, epoch {found.epoch}, which is not accepted on this host"
            )
            values.mark_unreadable(self._assigned, problem)
            found = None
        if last and ((value and found is None) or self._is_outdated(last, found)):
            if self._assigned not in values.unreadable and not self._store_rolled_back:
                what = "it is of an earlier revision" if found else "it was deleted"
                values.mark_unreadable(self._assigned, f"{what}: this host goes on with its last assignment")
            return last
        if last and value and self._is_rolled_back(last, found, value):
            return last
        if value and found:
            self._known[self._assigned] = value
        elif value is None:
            self._known.pop(self._assigned, None)
        return found

    def _is_ahead(self, found: records.Assignment) -> bool:
        """Return True for an assignment of a document that is later than the accepted one: it would stay forever."""
        known = self._document
        return known is not None and (found.epoch, found.revision) > (self._epoch, known.revision)

    def _is_outdated(self, last: records.Assignment, found: records.Assignment | None) -> bool:
        if found:
            return (found.epoch, found.revision) < (last.epoch, last.revision)
        intent = self._document.intent if self._document else None
        return bool(intent and intent.host(self._me))

    def _is_rolled_back(
        self, last: records.Assignment, found: records.Assignment | None, value: store.KeyValue
    ) -> bool:
        """Return True if etcd has an earlier assignment of the same document.

        To an agent that was restarted since the rollback this is the only sign of it.
        """
        known = self._known[self._assigned].mod_revision
        if found is None or (found.epoch, found.revision) != (last.epoch, last.revision):
            return False
        if value.mod_revision < known and found.epoch == self._epoch and not self._rollback_detected:
            self._rollback_detected = (
                f"this host's assignment is from revision {value.mod_revision} and was from {known}"
            )
        return value.mod_revision < known or bool(self._rollback_detected)

    def _record(self, values: Values) -> records.SwarmRecord | None:
        """Return the swarm record: the last readable one if etcd was rolled back or has an unreadable one."""
        key = self._keys.swarm
        value, found = values.snapshot.get(key), values.one(key, records.SwarmRecord)
        known = self._known.get(key)
        unreadable = value is not None and found is None
        if known and (self._store_rolled_back or unreadable):
            held = records.decode(records.SwarmRecord, known.value)
            # A leader that reads the record may have recreated an overlay, which would be taken for an earlier one.
            return replace(held, overlay_ids=()) if unreadable else held
        if found and value:
            self._known[key] = value
        elif value is None:
            self._known.pop(key, None)
        return found


def read_document(raw: bytes, revision: int) -> observed.Document:
    """Parse the operator's document; the result includes faults. `revision` is its mod_revision in etcd."""
    try:
        intent = parse_intent(raw, revision)
    except faults.InvalidDocument as error:
        return observed.Document(revision=revision, intent=None, faults=error.faults, text=_text_of(raw))
    text = raw.decode()
    return observed.Document(revision=revision, intent=intent, warnings=warnings(intent), text=text)


def _text_of(raw: bytes) -> str:
    """Return a faulty document as it is; empty if it is no text, or longer than any document may be."""
    try:
        return raw.decode() if len(raw) <= MAX_BYTES else ""
    except UnicodeDecodeError:
        return ""
