"""The records in etcd, except the intent and the statuses: JSON with a version and a checksum."""

import binascii
import dataclasses
import re
import zlib
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar, cast

import msgspec

from agent.errors import Invalid, NewerFormat
from agent.model import Deriving, Frozen, earlier
from agent.model.spec import Key, Pairs, without_defaults

MOST_KEYS = 3
"""Maximum number of unlock keys kept. A manager that was down while the key changed needs the previous key."""
VERSION = 2
"""Format of the records. `decode` also reads the earlier one. It refuses every other one, and unknown fields."""

LARGEST_VALUE = 1_500_000
"""Bytes of one value. etcd refuses a request of more than 1.5 MiB (--max-request-bytes), key included."""

SEAL_LASTS_S = 86_400.0
"""Age from which a host joins by no sealed tokens: they may be earlier ones. A clock that is as much ahead is wrong."""

R = TypeVar("R")
_PACKED = re.compile(rb'"packed"\s*:\s*"([^"]*)"')


def encode(record: Any, *, terse: bool = False, packed: bool = False) -> bytes:
    """Return the canonical JSON of a record, with version and checksum. Equal records have equal bytes.

    `terse` leaves out every field with its default. `packed` compresses the fields that the record names in PACKED
    together, as the field `packed`. `decode` puts them back.
    """
    # The earlier format of a presence is the same. An older leader must see that this host is present.
    of_both = isinstance(record, Presence)
    content = msgspec.to_builtins(without_defaults(record) if terse or of_both else record, str_keys=True)
    if inner := {name: content.pop(name) for name in (record.PACKED if packed else ()) if name in content}:
        content["packed"] = zlib.compress(msgspec.json.encode(inner, order="sorted"), 9)
    body = {"v": earlier.FORMAT if of_both else VERSION, **content}
    return msgspec.json.encode({**body, "sum": _sum(body)}, order="sorted")


def _sum(body: dict[str, Any]) -> str:
    """Return the CRC-32 of the canonical JSON. It detects a flipped bit that turns one valid value into another."""
    return f"{zlib.crc32(msgspec.json.encode(body, order='sorted')):08x}"


def decode(kind: type[R], raw: bytes) -> R:
    """Return the record in `raw`. Raises NewerFormat for a newer format, Invalid for bytes that are no such record."""
    try:
        body = msgspec.json.decode(raw)
        if not isinstance(body, dict):
            raise Invalid(f"not a {kind.__name__}: not a JSON object")
        # Newer formats have the same checksum, so check it first. A record that a person writes may lack it.
        if "sum" in body and body.pop("sum") != _sum(body):
            raise Invalid(f"not a {kind.__name__}: damaged, its checksum is wrong")
        version = body.pop("v", None)
        if isinstance(version, int) and version > VERSION:
            raise NewerFormat(f"a {kind.__name__} of format {version}; this agent reads format {VERSION}")
        if version == earlier.FORMAT:
            body = earlier.converted(body)
        elif version != VERSION:
            raise Invalid(f"a {kind.__name__} of format {version!r}; this agent reads format {VERSION}")
        if hasattr(kind, "PACKED") and body.pop("packed", None) is not None:
            body |= msgspec.json.decode(packed_in(raw), type=dict)
        record = msgspec.convert(body, kind, strict=True)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"not a {kind.__name__}: {error}") from error
    if unknown := sorted(set(body) - {each.name for each in dataclasses.fields(cast(Any, kind))}):
        raise Invalid(f"a {kind.__name__} with fields this version does not know: {', '.join(unknown)}")
    return record


class TooLong(Invalid):
    """A compressed part that has more bytes than it may have."""


def is_packed(raw: bytes) -> bool:
    """Return True for a value that has a compressed part, or seems to."""
    return _PACKED.search(raw) is not None


def packed_in(raw: bytes, most: int = LARGEST_VALUE) -> bytes:
    """Return what a value has packed, as it is decoded: the first one; empty: nothing. Raises as `expanded`."""
    try:
        return expanded(binascii.a2b_base64(found[1]), most) if (found := _PACKED.search(raw)) else b""
    except binascii.Error as error:
        raise Invalid(f"its compressed part is no base64: {error}") from error


def expanded(compressed: bytes, most: int) -> bytes:
    """Return what zlib compressed. Raises Invalid if that is damaged, TooLong if it has more than `most` bytes."""
    expanding = zlib.decompressobj()
    try:
        raw = expanding.decompress(compressed, most + 1)
    except zlib.error as error:
        raise Invalid(f"its compressed part is damaged: {error}") from error
    if len(raw) > most:
        raise TooLong(f"its compressed part has more than {most} bytes")
    if not expanding.eof:
        raise Invalid("its compressed part is cut off")
    return raw


def timestamp(at_s: float) -> str:
    """Return `at_s`, in seconds since the epoch, as RFC 3339 in UTC without fractions."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def seconds_of(at: str) -> float | None:
    """Return a time, RFC 3339, in seconds since the epoch; None if it is no time, or of year 1, Docker's "never"."""
    try:
        found = datetime.fromisoformat(at)
        # Without an offset it is local, and east of Greenwich the end of year 9999 is no time.
        return found.timestamp() if found.year > 1 else None
    except (ValueError, OverflowError):
        return None


class StartObstacle(NamedTuple):
    """The reason why a replica must not start yet."""

    why: str = ""
    on: str = ""
    """Condition key of the cause; empty: none."""
    fault: bool = False
    """True if the cause does not end by itself."""


class Replica(Frozen, order=True):
    """One replica of a service. Its slot is unique within the service; `spec` is the hash of its spec."""

    service: str
    slot: int
    spec: str
    addresses: Pairs = ()
    """(overlay, IPv4 address reserved on it for the slot). Every container of the replica gets these addresses."""
    held: str = ""
    """Reason not to start the replica yet: its address is in use, or another host still runs it. Empty: none."""
    waits: str = ""
    """Reason to delay the first start: a dependency is not ready. Empty: none."""
    waits_on: str = ""
    """Condition key of the resource that `held` or `waits` is about, as `host/node-2`; empty: none."""
    held_by_fault: bool = False
    """True if the cause of `held` does not end by itself: an address that is taken, or no address is left."""
    stops_first: bool = False
    """True if `held` is about a replica that waits for this one's address: this one stops first."""
    recreate: Pairs = ()
    """(container id, reason) for each container that the host must recreate, as it has a duplicate address."""

    @property
    def key(self) -> Key:
        return self.service, self.slot

    @property
    def made_as(self) -> "Replica":
        """Return the replica with only the fields in its container's labels. The other fields may change later."""
        return Replica(service=self.service, slot=self.slot, spec=self.spec)


class Assignment(Deriving):
    """The replicas that one host must run, by the intent of `revision`, and by each that asks the same of the host."""

    revision: int
    project: str
    replicas: tuple[Replica, ...] = ()
    epoch: int = 0
    """As in Accepted. The later epoch replaces the earlier; within one epoch, the later revision does."""
    pending: tuple[str, ...] = ()
    """Services with a replica on this host that is not yet updated to `revision`, or was rolled back."""
    asks: str = ""
    """Hash of what the document asks of the host, by `Intent.asks_of`."""
    rebalanced: tuple[tuple[str, str], ...] = ()
    """(service, `rebalanced_at`) of the services on this host for which the leader has carried out that order."""
    drained: int = 0
    """Revision of the first of the documents that drain the host without interruption; 0: the last one does not."""

    @cached_property
    def by_service(self) -> Mapping[str, Mapping[int, Replica]]:
        """Return service -> slot -> replica."""
        found: dict[str, dict[int, Replica]] = {}
        for each in self.replicas:
            found.setdefault(each.service, {})[each.slot] = each
        return found

    @cached_property
    def slots(self) -> Mapping[str, frozenset[int]]:
        """Return service -> slots."""
        return {service: frozenset(replicas) for service, replicas in self.by_service.items()}

    @cached_property
    def specs(self) -> frozenset[tuple[str, str]]:
        """Return (service, hash of the spec) of the replicas."""
        return frozenset((each.service, each.spec) for each in self.replicas)

    @cached_property
    def is_plain(self) -> bool:
        """Return True if no replica waits, has a reserved address or is to be recreated."""
        return all(each == each.made_as for each in self.replicas)


class Presence(Frozen):
    """A running agent. The key disappears with the lease of the agent."""

    instance: str
    boot_id: str
    version: str
    since: str
    machine_id: str = ""
    """Content of /etc/machine-id. A cloned machine has the same id."""
    host: str = ""
    """Name of the host, as in HostStatus."""
    unreported_since: str = ""
    """Time since which the agent has not been able to report, RFC 3339; empty: the status of the host is current."""


class LeaderRecord(Frozen):
    host: str
    since: str
    """Time of the election by the leader's clock, RFC 3339, but not before that of the accepted order to hand over."""


class SwarmRecord(Frozen):
    """The one swarm of the cluster or, before it exists, the claim of one host to initialise it."""

    claimed_by: str
    swarm_id: str | None = None
    """None: claimed, and not yet initialised."""
    managers: Pairs = ()
    """(node id, address:port) of the managers through which hosts join."""
    networks: tuple[str, ...] = ()
    """Overlays that containers can join. A worker cannot list them itself."""
    overlay_ids: Pairs = ()
    """(overlay, id) of those overlays: a host may have another network of the same name."""
    recreating: tuple[str, ...] = ()
    """Overlays that are about to be recreated. Every host disconnects its replicas from them."""
    pool: tuple[str, ...] = ()
    """Address ranges for the subnets of overlays. Only the dockerd of a manager reports them in GET /info."""
    unable: Pairs = ()
    """(host, cause) of the hosts that had the claim and could not initialise the swarm, the last one at the end."""


class MembershipOrder(Frozen):
    """The leader's order to one host about its membership. No host leaves a swarm without one.

    A worker cannot detect that its swarm removed it or was re-created: only the managers' list of nodes shows that.
    """

    state: Literal["pending", "active", "error"]
    node_id: str | None
    """With `state`, the membership that the host reported. The host ignores the order once that has changed."""
    what: Literal["leave", "force", "quarantine"]
    """leave: leave the swarm; force: leave it by force, as a manager that it removed; quarantine: another host is this
    node, so change nothing."""
    reason: str


class Tokens(Frozen):
    """Join tokens of the recorded swarm. Without a manager token every host joins as a worker and is promoted later."""

    swarm_id: str
    worker: str = field(repr=False)
    manager: str = field(repr=False)
    sealed: str = field(default="", repr=False)
    """Both tokens, sealed; `worker` and `manager` are then empty. Empty: the tokens are not sealed."""


class UnlockKeys(Frozen):
    """The unlock keys of a swarm, always sealed in etcd.

    With autolock, a manager needs one of them after a restart of dockerd to decrypt its raft log.
    """

    swarm_id: str
    on: bool
    """True if an agent enabled autolock. The keys stay after autolock ends: a manager that was down is still locked."""
    keys: tuple[str, ...] = field(default=(), repr=False)
    """The current key first; empty while they are sealed."""
    sealed: str = field(default="", repr=False)
    """All keys, sealed; empty while they are not sealed."""


class Opened(Frozen):
    """When the newest secrets that a host has opened were sealed, in seconds since 1970. It is on the host's disk."""

    tokens: int = 0
    unlock: int = 0


class Disruption(Frozen):
    """The only host that has the disruption slot.

    The leader grants the slot; the host acquires and releases it in a key of its own. Each write compares the revision
    of the grant, so that no two hosts use the slot. No lease ends it: a host that fails resumes when it returns.
    """

    host: str
    state: Literal["granted", "acquired", "released"]
    reason: str
    quorum: bool
    """True if the swarm had a raft leader when the slot was granted."""
    address: str = ""
    """Address of the host in the swarm when the slot was granted; the other hosts look for it among their peers."""
    grant: int = 0
    """In the key of the host: mod_revision of the grant to which the record belongs."""


class Accepted(Frozen):
    """The text of the accepted document, and the revision at which the operator applied it."""

    revision: int
    document: str = field(repr=False)
    epoch: int = 0
    """Number of rollbacks of the store that operators have confirmed. Compare revisions within one epoch only."""


class Verdict(Frozen):
    """The leader's answer to the newest document."""

    revision: int
    """Revision of that document."""
    accepted: bool
    accepted_revision: int
    """Revision of the accepted document; 0: none is accepted yet."""
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    confirm: str = ""
    """Confirmation token that the document lacks in `x-cluster.policy.confirm`; empty: it needs none."""


class Trial(Frozen):
    """The first plan of a valid document, before it is accepted. `leaders` are the fences of those that began it."""

    revision: int
    leaders: tuple[int, ...]


class Digests(Frozen):
    """The digests of the tags in one document. The leader asks the registries once for each document."""

    revision: int
    epoch: int
    """With `revision`, names the accepted document."""
    images: Pairs = ()
    """(image as in the document, sha256:...), sorted. An old entry stays while the document names its image."""
    asked: tuple[str, ...] = ()
    """Images that were resolved for this document."""


RolloutState = Literal["moving", "paused", "rolling-back", "rollback-paused", "rolled-back"]


class Rollout(Frozen):
    """The rollout of a service. The record outlives its leader. The monitor windows do not: they are in memory."""

    before: str
    """Hash of the previous spec, the target of a rollback."""
    to: str
    """Hash of the spec in the intent. A record with another hash is obsolete."""
    state: RolloutState = "moving"
    already: tuple[int, ...] = ()
    """Slots of the replicas that had the new spec before the rollout. They are no evidence that it succeeds."""
    failed: tuple[int, ...] = ()
    """Slots of the replicas that failed in this rollout."""
    why: str = ""
    """Description of the failure; empty: none."""

    @property
    def back(self) -> bool:
        """Return True for a rollback to the previous spec, under way or completed."""
        return self.state in ("rolling-back", "rollback-paused", "rolled-back")
