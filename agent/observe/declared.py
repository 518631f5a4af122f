"""Remembers the specs of the documents that were accepted on this host.

Every agent can write specs. Rollouts keep replicas at specs of earlier documents, which the host has on its disk, or
finds in etcd's history of `intent`. A spec counts by its meaning: an agent of another version may encode it otherwise.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from agent.clients.etcd import Store
from agent.errors import Compacted
from agent.model.intent import Intent
from agent.model.keys import Keys
from agent.model.records import Replica, decode, encode
from agent.model.spec import ContainerSpec, spec_hash
from agent.model.store import KeyValue
from agent.observe.accepted import read_document

EARLIER = 5
"""Number of documents before the accepted one that are read in etcd's history, and of earlier specs that a service has
in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Memory:
    services: tuple[tuple[str, tuple[str, ...]], ...] = ()


class DeclaredSpecs:
    """The specs with which this host may start replicas of each service."""

    def __init__(self, keys: Keys) -> None:
        self._key, self._intent = f"{keys.root}declared", keys.intent
        self._of: dict[str, tuple[str, ...]] = {}
        """Service -> hashes of its specs; that of the accepted document last."""
        self._names: dict[str, tuple[str, ...]] = {}
        """Name of a spec in etcd -> its hash, and the hash of a document's spec to which a digest was added."""
        self._accepted: Intent | None = None
        self._searched: Intent | None = None
        self.kept = self._value()
        """The memory, to save on disk; etcd has no such key."""

    def _value(self) -> KeyValue:
        value = encode(_Memory(services=tuple(sorted(self._of.items()))))
        return KeyValue(key=self._key, value=value, create_revision=0, mod_revision=0)

    def recall(self, kept: Mapping[str, KeyValue]) -> None:
        """Load the memory. Raises Invalid."""
        if found := kept.get(self._key):
            self._of = dict(decode(_Memory, found.value).services)

    def learn(self, intent: Intent | None, specs: Mapping[str, ContainerSpec]) -> None:
        """Remember the specs of the accepted document, and the hashes of `specs`."""
        self._names = {digest: self._names.get(digest) or _names(spec) for digest, spec in specs.items()}
        if intent is not None and intent is not self._accepted:
            declared, self._accepted = _declared(intent), intent
            before = {
                each: (name for name in self._of.get(each, ()) if name != declared[each]) for each in declared
            }
            self._of = {each: (*before[each], name)[-EARLIER - 1 :] for each, name in declared.items()}
            self.kept = self._value()

    def age(self, service: str, digest: str) -> int | None:
        """Return 0 for the spec of the accepted document, more for an earlier one, None for one of no document."""
        known, names = self._of.get(service, ()), self._names.get(digest, ())
        return next((age for age, name in enumerate(reversed(known)) if name in names), None)

    def search(self, replicas: Iterable[Replica], etcd: Store | None) -> None:
        """Look for unknown specs in etcd's history, once for each document. Raises Unreachable, Refused."""
        missing = any(self.age(each.service, each.spec) is None for each in replicas)
        if etcd is None or self._accepted is None or self._searched is self._accepted or not missing:
            return
        revision = self._accepted.revision
        with suppress(Compacted):
            for _ in range(EARLIER):
                if (found := etcd.read_at(self._intent, revision - 1)) is None:
                    break
                revision = found.mod_revision
                earlier = read_document(found.value, revision).intent
                for service, name in _declared(earlier).items() if earlier else ():
                    if (known := self._of.get(service)) and name not in known:
                        self._of[service] = (name, *known)[-EARLIER - 1 :]
        self._searched, self.kept = self._accepted, self._value()


def _declared(intent: Intent) -> dict[str, str]:
    """Return the hash of each service's spec; its image ends with `@` if the leader may add a digest."""
    found = {}
    for each in intent.services:
        adds = intent.policy.resolve_digests and each.pull != "never" and "@" not in each.spec.image
        spec = replace(each.spec, image=f"{each.spec.image}@")
        found[each.name] = spec_hash(spec) if adds else each.spec_hash
    return found


def _names(spec: ContainerSpec) -> tuple[str, ...]:
    image, added, _ = spec.image.partition("@sha256:")
    return (spec_hash(spec), spec_hash(replace(spec, image=f"{image}@"))) if added else (spec_hash(spec),)
