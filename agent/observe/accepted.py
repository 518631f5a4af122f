"""What is accepted on a host: what etcd says, unless this host knows something newer. Then it goes by what it knows.

An etcd that was wiped, or restored from a backup, says what was so once, or nothing; so does one whose keys were
deleted. To follow it would take replicas away that nobody wanted gone. What is accepted and assigned carries an epoch
and a revision: within an epoch etcd only counts upwards, and an operator who confirms what etcd says begins the next
epoch. One that was restored with the same accepted document has lost what was written since, such as the end of a
rollout: its own revision is lower than it was, and nothing counts that it says before the next epoch.
"""

from dataclasses import dataclass
from typing import TypeVar

from agent.errors import Invalid, NewerFormat
from agent.intent import parse_intent, warnings
from agent.model import faults, observed, records, store
from agent.model.intent import Intent
from agent.model.keys import Keys
from agent.yamldoc.faultlist import printable

R = TypeVar("R")


LONGEST_PROBLEM = 200
"""Of what is said about a value that cannot be read: it goes into logs and statuses, the value may be of any size."""
UNREADABLE = "?"
"""Who holds the lock, or is there, by a record that cannot be read: somebody, and not us."""


class Values:
    """Decodes the values of one snapshot and notes those that cannot be."""

    def __init__(self, snapshot: store.Snapshot) -> None:
        self.snapshot = snapshot
        self.unreadable: dict[str, str] = {}
        self.newer: set[str] = set()
        """Of those, the keys that a newer agent has written."""

    def one(self, key: str, kind: type[R]) -> R | None:
        found = self.snapshot.get(key)
        return self._decode(found, kind) if found else None

    def hold(self, key: str, problem: str) -> None:
        """Note that the value of `key` cannot be read. Logs and statuses tell both; the key may be anybody's, too."""
        shortened = len(problem) > LONGEST_PROBLEM
        said = printable(problem[:LONGEST_PROBLEM])[:LONGEST_PROBLEM]
        self.unreadable[printable(key)] = f"{said}..." if shortened else said

    def present(self, prefix: str) -> dict[str, str]:
        """Host -> the agent that is there; an agent whose presence cannot be read is there all the same."""
        suffix = "/presence"
        present = {
            host: each.instance for host, each in self.of_hosts(prefix, suffix, records.Presence).items()
        }
        unreadable = (key for key in self.unreadable if key.startswith(prefix) and key.endswith(suffix))
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

    def _decode(self, found: store.KeyValue, kind: type[R]) -> R | None:
        try:
            return records.decode(kind, found.value)
        except Invalid as error:
            self.hold(found.key, str(error))
            if isinstance(error, NewerFormat):
                self.newer.add(found.key)
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveState:
    """What counts, be it from etcd or from what was known before."""

    intent: Intent | None
    text: str = ""
    """The document of `intent`, word for word."""
    epoch: int
    assignment: records.Assignment | None
    assignment_held: bool
    """Whether that is not what etcd has now."""
    record: records.SwarmRecord | None
    record_held: bool
    """Whether that is the last one that could be read: the one in etcd cannot."""
    accepted_held: bool
    """Whether `intent` is not what etcd has accepted, or that cannot be read there."""
    store_rolled_back: str
    """What is older in etcd than here, in words; empty: nothing."""
    noticed_at: int
    """etcd's revision when that was noticed."""

    def is_confirmed_by(self, document: observed.Document | None) -> bool:
        """Whether an operator has put it since, or it is what is accepted anyway."""
        return document is not None and (document.revision > self.noticed_at or document.text == self.text)


class AcceptedStore:
    """Remembers, of the keys that a host goes by, the newest that could be read."""

    def __init__(self, keys: Keys, me: str) -> None:
        self._keys, self._assigned = keys, keys.assignment(me)
        self._me = me
        self._document: observed.Document | None = None
        self._epoch = 0
        self._revision = 0
        """The highest that etcd was seen at, or that something accepted is from, in this epoch."""
        self._rollback_detected = ""
        """What told that etcd itself went back, in words; until the next document is accepted."""
        self._store_rolled_back, self._noticed_at = "", 0
        self._known: dict[str, store.KeyValue] = {}

    @property
    def kept(self) -> tuple[store.KeyValue, ...]:
        """What to keep on disk; no join tokens among it."""
        return tuple(self._known[key] for key in sorted(self._known))

    def look(self, values: Values) -> EffectiveState:
        """Compare a snapshot with what is known, and remember what is newer."""
        self._look_at_accepted(values)
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
            store_rolled_back=self._store_rolled_back,
            noticed_at=self._noticed_at,
        )

    def _look_at_accepted(self, values: Values) -> None:
        key = self._keys.accepted
        value, found = values.snapshot.get(key), values.one(key, records.Accepted)
        if value is None:
            self._notice("there is no accepted document any more" if self._document else "", values)
        elif found is None:
            return  # it cannot be read: the last one that could be stays accepted
        elif self._is_older(found):
            self._notice(f"it has accepted revision {found.revision}", values)
        elif self._is_known(found):
            self._known[key] = value
            self._notice("", values)
            self._look_at_revision(values.snapshot.revision)
        elif self._adopt(found, value, values):
            self._known[key] = value
            self._notice("", values)

    def _is_older(self, found: records.Accepted) -> bool:
        if self._document is None:
            return False
        known = (self._epoch, self._document.revision)
        other = (found.epoch, found.revision) == known and found.document != self._document.text
        return other or (found.epoch, found.revision) < known

    def _look_at_revision(self, revision: int) -> None:
        if revision < self._revision:
            self._rollback_detected = f"it is at revision {revision} and was at {self._revision}"
        else:
            self._revision = revision

    def _is_known(self, found: records.Accepted) -> bool:
        known = self._document
        return known is not None and (self._epoch, known.revision) == (found.epoch, found.revision)

    def _adopt(self, found: records.Accepted, value: store.KeyValue, values: Values) -> bool:
        document = read_document(found.document.encode(), found.revision)
        if document.intent is None:
            values.hold(self._keys.accepted, "; ".join(str(each) for each in document.faults))
            return False
        self._document, self._epoch = document, found.epoch
        # Not the snapshot's: what was kept on disk may be from the etcd of the epoch before, too.
        self._revision, self._rollback_detected = value.mod_revision, ""
        return True

    def _notice(self, what: str, values: Values) -> None:
        """From when it is noticed, or etcd starts again once more, a document put later is the operator's word."""
        revision = values.snapshot.revision
        if what and (not self._store_rolled_back or revision < self._noticed_at):
            self._noticed_at = revision
        self._store_rolled_back = what

    def _assignment(self, values: Values) -> records.Assignment | None:
        """The host's own. None is believed only where none of its replicas would be left without a word about it."""
        value, found = values.snapshot.get(self._assigned), values.one(self._assigned, records.Assignment)
        last = self._last_assignment()
        if last and ((value and found is None) or self._counts_more(last, found)):
            return last
        if last and value and self._is_rolled_back(last, found, value):
            return last
        if value and found:
            self._known[self._assigned] = value
        elif value is None:
            self._known.pop(self._assigned, None)
        return found

    def _counts_more(self, last: records.Assignment, found: records.Assignment | None) -> bool:
        if found:
            return (found.epoch, found.revision) < (last.epoch, last.revision)
        intent = self._document.intent if self._document else None
        return bool(last.replicas and intent and intent.host(self._me))

    def _is_rolled_back(
        self, last: records.Assignment, found: records.Assignment | None, value: store.KeyValue
    ) -> bool:
        """Whether etcd has an earlier one of the same document; an agent that was started since knows by that alone."""
        known = self._known[self._assigned].mod_revision
        if found is None or (found.epoch, found.revision) != (last.epoch, last.revision):
            return False
        if value.mod_revision < known and found.epoch == self._epoch and not self._rollback_detected:
            self._rollback_detected = (
                f"this host's assignment is from revision {value.mod_revision} and was from {known}"
            )
        return value.mod_revision < known or bool(self._rollback_detected)

    def _last_assignment(self) -> records.Assignment | None:
        known = self._known.get(self._assigned)
        return records.decode(records.Assignment, known.value) if known else None

    def _record(self, values: Values) -> records.SwarmRecord | None:
        """While etcd has gone back, or has one that cannot be read, the last one is still the swarm to be in."""
        key = self._keys.swarm
        value, found = values.snapshot.get(key), values.one(key, records.SwarmRecord)
        known = self._known.get(key)
        unreadable = value is not None and found is None
        if known and (self._store_rolled_back or unreadable):
            return records.decode(records.SwarmRecord, known.value)
        if found and value:
            self._known[key] = value
        elif value is None:
            self._known.pop(key, None)
        return found


def read_document(raw: bytes, revision: int) -> observed.Document:
    """Parse the operator's document; faults are part of the result. `revision` is its etcd mod_revision."""
    try:
        intent = parse_intent(raw, revision)
    except faults.InvalidDocument as error:
        return observed.Document(revision=revision, intent=None, faults=error.faults)
    text = raw.decode()
    return observed.Document(revision=revision, intent=intent, warnings=warnings(intent), text=text)
