"""The part of this host's assignment that the accepted document allows. Every agent can write the one in etcd.

A replica that the document does not allow keeps what it had in the last assignment; a new one is left out. Replicas
that `x-hosts` or mode global puts on this host stay, also if the assignment in etcd lacks them. Replicas of a service
that the document does not have end.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from agent.admission import decode as decode_policy
from agent.admission.policy import BASELINE
from agent.diff.capacity import why_unmet
from agent.diff.networks import asks_of
from agent.diff.replicas import STOPPABLE
from agent.model.host_state import ContainerState, HostState
from agent.model.intent import NO_MACHINE, Intent, Machine, ServiceIntent
from agent.model.keys import Keys
from agent.model.phrases import MISUSED, MISUSED_IF_NEW, short_id
from agent.model.records import Assignment, Replica, decode, encode
from agent.model.spec import ContainerSpec, Key, Pairs
from agent.model.store import KeyValue
from agent.observe.declared import DeclaredSpecs

MOST_RETURNS = 1
"""Times that a replica which has not failed gets another spec than the document's, or another digest with it. With
`policy.resolve_digests` once more. The way back is free: it follows one of them, and what fails may be tried again.
A fixed or global replica that works gets no earlier spec, and not again the one with which it failed under this
document, unless `rollback` in agent.yaml is `cluster`."""
HELD_S = 300.0
"""Seconds for which an assignment can hold a fixed or global replica that is down. Then its engine decides: it refuses
to start a container with an address that another one has, and leaves nothing behind."""
_STAYS = (
    "the accepted document puts it on this host, and its assignment in etcd lacks it: it stays. If this host missed a "
    f"document that took the service off it, apply that one again, and then this one. Else, {MISUSED_IF_NEW}"
)
_HOLDS = f"the document gives it no reason to wait, and its assignment in etcd does: it does not wait; {MISUSED_IF_NEW}"
_KEEPS = (
    "its assignment in etcd changes its address, or recreates it for that. Neither the document nor the engines, which "
    f"announce no second container with that address, give a reason: it runs on; {MISUSED_IF_NEW}"
)
_GONE = "the accepted document does not have it on this host"
_LATE = f"its assignment has held it for {HELD_S:g} s: it starts, if docker gives it its address; {MISUSED_IF_NEW}"
_MANY = (
    "it has not failed, and left its spec before under this document: it stays. If its rollout was tried again and "
    f"rolled back, apply the previous document. Else, {MISUSED_IF_NEW}"
)
_WORKS = (
    "its assignment in etcd takes it back to an earlier spec, and it works on this host: it stays. To take it back, "
    "apply the earlier document (`swarmkeeper rollback`), or set `rollback: cluster` under `admission` in agent.yaml. "
    f"If its rollout was not rolled back, {MISUSED}"
)
_FAILED = (
    "it failed with that spec under this document, went back, and works now: it stays. To try again, run "
    f"`swarmkeeper restart` for its service. If no operator deleted the record of its rollout, {MISUSED}"
)


class Evidence(NamedTuple):
    """The host and its replicas as its engine shows them."""

    running: Mapping[Key, tuple[str, Pairs]]
    """Running replica -> id and addresses of its container."""
    duplicates: frozenset[tuple[str, str]]
    """(overlay, address) that two endpoints of the swarm have."""
    failed: frozenset[tuple[Key, str]] = frozenset()
    """(replica, spec) of the containers that fail."""
    works: frozenset[tuple[Key, str]] = frozenset()
    """(replica, spec) of the containers that run and do not fail; empty if rollbacks of others count here."""
    machine: Machine = NO_MACHINE
    node_id: str | None = None

    @classmethod
    def of(cls, host: HostState) -> "Evidence":
        up = [each for each in host.containers if each.status in STOPPABLE]
        twice = frozenset((each.name, address) for each in host.networks for address in each.duplicates)
        fail = (one for one in host.containers if one.error or one.crashes or one.health == "unhealthy")
        failed = frozenset((each.replica.key, each.replica.spec) for each in fail)
        running = {each.replica.key: (each.id, each.addresses) for each in up}
        own = (decode_policy(host.admission) or BASELINE).rollback == "own_failures"
        works = frozenset((each.replica.key, each.replica.spec) for each in up if own and not _ended(each))
        return cls(running, twice, failed, works - failed, host.machine, host.swarm.node_id)


class AllowedAssignment:
    """Compares each assignment with the accepted document and with the last allowed assignment."""

    def __init__(self, keys: Keys, me: str, declared: DeclaredSpecs, clock: Callable[[], float]) -> None:
        self._key, self._me, self._declared, self._clock = keys.assignment(me), me, declared, clock
        self._kept_key = f"{keys.root}returned"  # in the saved state alone, not in etcd
        self.last: Assignment | None = None
        self.refused: dict[Key, str] = {}
        """Replica -> why the document does not allow what the assignment in etcd has of it."""
        self.seen: Evidence | None = None  # until the engine answers
        self._saved = b""
        """`last` if etcd has another assignment."""
        self._returned = Assignment(revision=0, project="")
        """The replicas that left their spec under the document of that revision, once for each time."""
        self._before = frozenset[Key]()
        """The replicas that were assigned here when the accepted document came."""
        self._held, self._late = dict[Key, float](), frozenset[Key]()
        """Replica that is down -> when an assignment that holds it was first seen; those held for HELD_S."""
        self._digests: dict[str, tuple[int, list[str]]] = {}
        """Service -> (most, specs as in that document that its replicas had). A tag may keep its digest at first."""
        self._asked: tuple[object, ...] = ()

    def saved(self, value: KeyValue) -> KeyValue:
        """Return the value of this host's assignment as it is saved on disk; any other value as it is."""
        return replace(value, value=self._saved) if value.key == self._key and self._saved else value

    @property
    def kept(self) -> KeyValue:
        """The replicas that left their spec, to save on disk: a restart of the agent must not forget them."""
        return KeyValue(
            key=self._kept_key, value=encode(self._returned, terse=True), create_revision=0, mod_revision=0
        )

    def recall(self, kept: Mapping[str, KeyValue]) -> None:
        """Load what was saved. Raises Invalid."""
        mine, returned = kept.get(self._key), kept.get(self._kept_key)
        self.last = decode(Assignment, mine.value) if mine else None
        self._returned = decode(Assignment, returned.value) if returned else self._returned

    def look(
        self,
        found: Assignment | None,
        intent: Intent | None,
        specs: Mapping[str, ContainerSpec],
        epoch: int = 0,
    ) -> Assignment | None:
        """Return what this host acts on of the assignment in etcd, as of the accepted `intent` if it counts for it."""
        if intent is None:
            return found
        self._look_at_held(found)
        of_etcd, found = found, found and intent.counted(self._me, found, epoch)
        asked = (found, intent, frozenset(specs), self._declared.kept, self.seen, self._late)
        if asked != self._asked:
            self._asked, self.refused = asked, {}
            if found and of_etcd:
                self.last = self._compared(found, intent, specs)
                # With its revision in etcd: it counts for a later document again.
                saved = replace(self.last, revision=of_etcd.revision)
                self._saved = b"" if self.last == found else encode(saved, terse=True)
            elif intent.host(self._me) is None:
                self.last = None
        return self.last

    def _look_at_held(self, found: Assignment | None) -> None:
        up, now = self.seen.running if self.seen else {}, self._clock()
        replicas = (each for one in (found, self.last) if one for each in one.replicas)
        held = {each.key for each in replicas if each.held and each.key not in up}
        self._held = {key: self._held.get(key, now) for key in held}
        self._late = frozenset(key for key, since in self._held.items() if now - since >= HELD_S)

    def _compared(self, found: Assignment, intent: Intent, specs: Mapping[str, ContainerSpec]) -> Assignment:
        """Return the part of an assignment that the document allows; notes in `refused` what it does not."""
        if intent.revision != self._returned.revision:
            self._returned, self._digests = Assignment(revision=intent.revision, project=intent.project), {}
            self._before = frozenset(each.key for each in (self.last or found).replicas)
        last = self.last or Assignment(revision=0, project=intent.project)
        wanted, before = _by_service(found), _by_service(last)
        allowed: list[Replica] = []
        for name in sorted({*wanted, *before}):
            mine, had, service = wanted[name], before[name], intent.service(name)
            if service is None:  # its replicas end, although the assignment may list them still
                odd = mine if found.revision == intent.revision else mine.keys() - self._before
                self.refused |= dict.fromkeys(odd, f"{_GONE}; {MISUSED_IF_NEW}")
                continue
            most, least = self._numbers(service, intent)
            as_now = [*{each.spec for each in had.values() if self._declared.age(name, each.spec) == 0}]
            self._digests.setdefault(name, (max(2, len(as_now) + 1), as_now))
            for key in self._chosen(mine, had, most, least):
                replica = self._replica(mine[key], had.get(key), intent, specs) if key in mine else had[key]
                if replica and not most:
                    replica = replace(replica, held=_GONE, waits_on="", held_by_fault=True)
                if (
                    replica
                    and replica.held
                    and least
                    and key in self._late
                    and _has_addresses(replica, specs, intent)
                ):
                    self.refused.setdefault(key, _LATE)
                    replica = replace(replica, held="", held_by_fault=False, stops_first=False)
                allowed += [replica] if replica else []
        # What does not run here any more is forgotten, or slots that come and go would add up.
        here = {each.key for each in allowed}
        returned = tuple(each for each in self._returned.replicas if each.key in here)
        if len(returned) < len(self._returned.replicas):
            self._returned = replace(self._returned, replicas=returned)
        return replace(found, project=intent.project, replicas=tuple(sorted(allowed)))

    def _numbers(self, service: ServiceIntent, intent: Intent) -> tuple[int, int]:
        """Return (most, least) replicas that the document has on this host."""
        host = intent.host(self._me)
        if host is None or service.where.unmet(host):
            return 0, 0
        if service.replicas is None:
            count = dict(service.placement).get(self._me, 0)
            unmet = service.everywhere and why_unmet(service, self.seen)
            return count, 0 if unmet or host.availability == "drain" else count
        return min(service.replicas, service.where.most_per_host or service.replicas), 0

    def _chosen(
        self, wanted: Mapping[Key, Replica], had: Mapping[Key, Replica], most: int, least: int
    ) -> list[Key]:
        """Return the replicas of a service that are or stay assigned. A fixed replica keeps its slot."""
        kept, new = [key for key in wanted if key in had], [key for key in wanted if key not in had]
        stays = [key for key in had if key not in wanted][: max(0, least - len(kept))]
        left = max(0, most - len(kept) - len(stays))
        self.refused |= dict.fromkeys(stays, _STAYS) | dict.fromkeys(new[left:], f"{_GONE}; {MISUSED_IF_NEW}")
        return [*kept, *stays, *new[:left]]

    def _replica(
        self, wanted: Replica, old: Replica | None, intent: Intent, specs: Mapping[str, ContainerSpec]
    ) -> Replica | None:
        """Return the replica as the document allows it: as wanted, as it was, or not at all."""
        spec, why = specs.get(wanted.spec), self._why_refused(wanted, old, intent, specs)
        if spec and not why:
            asked = _without_unasked(wanted, old, spec, intent)
            if (asked.held, asked.waits) != (wanted.held, wanted.waits):
                self.refused[wanted.key] = _HOLDS
            wanted = self._confirmed(asked, old, asks_of(intent, spec).reserved, intent)
            if (wanted.addresses, wanted.recreate) != (asked.addresses, asked.recreate):
                self.refused[wanted.key] = _KEEPS
            if old and wanted.spec != old.spec:
                why = self._why_stays(wanted, old, intent)
        if not why:
            return wanted
        self.refused[wanted.key] = why
        return old and replace(old, recreate=(), stops_first=False)

    def _why_stays(self, wanted: Replica, old: Replica, intent: Intent) -> str:
        """Count a change away from the document's spec, or to another digest; return why it does not count."""
        before, now = (self._declared.age(each.service, each.spec) for each in (old, wanted))
        service = intent.service(old.service)
        works = self.seen is None or (old.key, old.spec) in self.seen.works
        keeps = works and service is not None and service.replicas is None
        often = sum(each.key == old.key for each in self._returned.replicas)
        failed = self.seen is not None and (old.key, old.spec) in self.seen.failed
        if before != 0 == now:
            return _FAILED if keeps and often else ""
        if not failed and now and keeps:
            return _WORKS
        if not failed and often >= MOST_RETURNS + intent.policy.resolve_digests:
            return _MANY
        if not (failed and often):
            self._returned = replace(self._returned, replicas=(*self._returned.replicas, old.made_as))
        return ""

    def _confirmed(
        self, wanted: Replica, old: Replica | None, reserved: frozenset[str], intent: Intent
    ) -> Replica:
        """Return the replica, if it runs, with the address that it has and without the order to recreate it.

        Each follows if the engines announce another container with its address; another address also if the document
        fixes this one for a service.
        """
        had, given = dict(old.addresses if old else ()), dict(wanted.addresses)
        running, duplicates, *_ = self.seen or Evidence({wanted.key: ("", (*had.items(),))}, frozenset())
        container, addresses = running.get(wanted.key, ("", ()))
        now, twice = dict(addresses), duplicates & {*addresses}
        for network in reserved & now.keys() & {*had, *given}:
            address = now[network]
            moves = address and given.get(network) != address and had.get(network, address) == address
            if moves and (network, address) not in {*_fixed(intent), *twice}:
                given[network] = address
        orders = tuple(each for each in wanted.recreate if twice or (self.seen and each[0] != container))
        return replace(wanted, addresses=tuple(sorted(given.items())), recreate=orders)

    def _why_refused(
        self, wanted: Replica, old: Replica | None, intent: Intent, specs: Mapping[str, ContainerSpec]
    ) -> str:
        if old and old.spec == wanted.spec:
            return ""
        name = f"its spec {short_id(wanted.spec)}"
        if wanted.spec not in specs:
            return f"{name} cannot be read from etcd"
        age = self._declared.age(wanted.service, wanted.spec)
        if age is None:
            return f"{name} is of no document that was accepted here; {MISUSED_IF_NEW}"
        before = self._declared.age(old.service, old.spec) if old else None
        service, (most, digests) = intent.service(wanted.service), self._digests[wanted.service]
        if not age and wanted.spec not in digests:
            if len(digests) >= most:
                return f"{name} has another digest than the leader chose for this document; {MISUSED_IF_NEW}"
            digests.append(wanted.spec)
        if before is None or age <= before or (service and service.update.failure_action == "rollback"):
            return ""
        return f"{name} is earlier, and its `update.failure_action` is not rollback; {MISUSED_IF_NEW}"


def _ended(found: ContainerState) -> bool:
    """Return True for a container that ended by itself, and has not run again for the `monitor` of its service."""
    return bool(found.finished_at) and not (found.interrupted or found.steady)


def _has_addresses(replica: Replica, specs: Mapping[str, ContainerSpec], intent: Intent) -> bool:
    spec = specs.get(replica.spec)
    return spec is not None and asks_of(intent, spec).reserved <= dict(replica.addresses).keys()


def _by_service(assignment: Assignment) -> defaultdict[str, dict[Key, Replica]]:
    found: defaultdict[str, dict[Key, Replica]] = defaultdict(dict)
    for each in assignment.replicas:
        found[each.service][each.key] = each
    return found


def _without_unasked(wanted: Replica, old: Replica | None, spec: ContainerSpec, intent: Intent) -> Replica:
    """Return the replica without addresses for which the document does not ask, and without orders against it.

    A replica that the document puts here is held for an address alone. It waits for others before its first start only.
    """
    asks, service = asks_of(intent, spec), intent.service(wanted.service)
    fixed = service is not None and service.replicas is None
    if wanted.held and fixed and not asks.overlays:
        wanted = replace(wanted, held="", held_by_fault=False, waits_on="")
    if wanted.waits and not (service and service.depends_on and (old is None or old.waits)):
        wanted = replace(wanted, waits="", waits_on=wanted.waits_on if wanted.held else "")
    return replace(
        wanted,
        addresses=tuple(each for each in wanted.addresses if each[0] in asks.reserved),
        stops_first=wanted.stops_first and bool(asks.overlays),
    )


def _fixed(intent: Intent) -> Iterator[tuple[str, str | None]]:
    """Yield (overlay, address) for each network of the document's services; None: no fixed address."""
    return ((each.network, each.ipv4_address) for one in intent.services for each in one.spec.networks)
