"""The records in etcd, except the intent and the statuses: JSON with a version and a checksum."""

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, cast
from zlib import crc32

import msgspec

from agent.errors import Invalid, NewerFormat
from agent.model.spec import Key, Pairs

MOST_KEYS = 3
"""Most unlock keys that are kept. A manager that was down during a change of the key is locked with the key before."""
VERSION = 1
"""Format of the records. A newer format or an unknown field is refused, never misread."""

R = TypeVar("R")


def encode(record: Any) -> bytes:
    """Return the canonical JSON of a record, with version and checksum. Equal records have equal bytes."""
    body = {"v": VERSION, **msgspec.to_builtins(record, str_keys=True)}
    return msgspec.json.encode({**body, "sum": _sum(body)}, order="sorted")


def _sum(body: dict[str, Any]) -> str:
    """Return the CRC-32 of the canonical JSON. A value with one flipped bit must not pass for another valid one."""
    return f"{crc32(msgspec.json.encode(body, order='sorted')):08x}"


def decode(kind: type[R], raw: bytes) -> R:
    """Return the record in `raw`. Raises Invalid for bytes that `encode` of this version cannot have written."""
    try:
        body = msgspec.json.decode(raw)
        if not isinstance(body, dict):
            raise Invalid(f"not a {kind.__name__}: not a JSON object")
        # A person who writes a record may omit the checksum. Newer formats have the same checksum.
        if "sum" in body and body.pop("sum") != _sum(body):
            raise Invalid(f"not a {kind.__name__}: damaged, its checksum is wrong")
        version = body.pop("v", None)
        if isinstance(version, int) and version > VERSION:
            raise NewerFormat(f"a {kind.__name__} of format {version}; this agent reads format {VERSION}")
        if version != VERSION:
            raise Invalid(f"a {kind.__name__} of format {version!r}; this agent reads format {VERSION}")
        record = msgspec.convert(body, kind, strict=True)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"not a {kind.__name__}: {error}") from error
    if unknown := sorted(set(body) - {each.name for each in dataclasses.fields(cast(Any, kind))}):
        raise Invalid(f"a {kind.__name__} with fields this version does not know: {', '.join(unknown)}")
    return record


def timestamp(at_s: float) -> str:
    """Return `at_s`, in seconds since the epoch, as RFC 3339 in UTC without fractions."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Replica:
    """One replica of a service. Its slot is unique within the service; `spec` is the hash of its spec."""

    service: str
    slot: int
    spec: str
    addresses: Pairs = ()
    """(overlay, reserved IPv4 address). Every container of the replica gets them."""
    held: str = ""
    """Reason why the replica must not start yet: its address is in use, or another host still runs it. Empty: it
    may."""
    waits: str = ""
    """Reason why the first start must wait: a dependency is not ready. Empty: it need not wait."""
    recreate: Pairs = ()
    """(container id, reason) of containers of the replica to recreate, because the swarm allocated their address
    twice."""

    @property
    def key(self) -> Key:
        return self.service, self.slot

    @property
    def made_as(self) -> "Replica":
        """Return the replica as the labels of its container name it, without the fields that may change meanwhile."""
        return Replica(service=self.service, slot=self.slot, spec=self.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The replicas that one host must run, by the intent of `revision`."""

    revision: int
    project: str
    replicas: tuple[Replica, ...] = ()
    epoch: int = 0
    """As in Accepted. The assignment with the later epoch supersedes; within one epoch, the later revision."""
    pending: tuple[str, ...] = ()
    """Services with a replica here that is not yet updated to that intent, or was rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """A running agent. The key disappears with the lease of the agent."""

    instance: str
    boot_id: str
    version: str
    since: str
    machine_id: str = ""
    """Content of /etc/machine-id. A cloned machine has the same id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderRecord:
    host: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmRecord:
    """The only swarm of the cluster, or the claim of a host on its init."""

    claimed_by: str
    swarm_id: str | None = None
    """None: claimed, and not yet initialised."""
    managers: Pairs = ()
    """(node id, address:port) of the managers through which hosts join."""
    networks: tuple[str, ...] = ()
    """Overlays that containers can join. A worker cannot list them itself."""
    recreating: tuple[str, ...] = ()
    """Overlays that are about to be recreated. Every host disconnects its replicas from them."""
    pool: tuple[str, ...] = ()
    """Address pool for the subnets of overlays. GET /info reports it to managers only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipOrder:
    """The leader's order to one host about its membership. No host leaves a swarm without one.

    A worker cannot detect that its swarm removed it or was re-created: only the managers' list of nodes shows that.
    """

    state: Literal["pending", "active", "error"]
    node_id: str | None
    """With `state`, the membership that the host reported. The host ignores an order for any other membership."""
    what: Literal["leave", "quarantine"]
    """leave: leave the swarm; quarantine: another host has the identity of this node, so change nothing."""
    reason: str

    def held(self, why: str) -> str:
        """Return the blocked reason of a host that cannot obey the order. The leader identifies it by its start."""
        return f"{self.reason}; but {why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Join tokens of the recorded swarm. Without a manager token every host joins as a worker and is promoted later."""

    swarm_id: str
    worker: str = field(repr=False)
    manager: str = field(repr=False)
    sealed: str = field(default="", repr=False)
    """Both tokens, sealed, while `worker` and `manager` are empty. Empty: the tokens are not sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockKeys:
    """The unlock keys of a swarm, always sealed in etcd.

    With autolock, a manager needs one of them after a restart of dockerd to decrypt its raft log.
    """

    swarm_id: str
    on: bool
    """True if an agent enabled autolock. The keys stay when it is off: managers that were down are still locked."""
    keys: tuple[str, ...] = field(default=(), repr=False)
    """The current key first; empty while they are sealed."""
    sealed: str = field(default="", repr=False)
    """All keys, sealed; empty while they are not sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disruption:
    """The only host that has the disruption slot.

    The leader grants the slot; the host acquires and releases it. Each compares the mod_revision that it read last, so
    that no two hosts act on the slot. The slot is on no lease: a host that fails keeps it and resumes when it is back.
    """

    host: str
    state: Literal["granted", "acquired", "released"]
    reason: str
    quorum: bool
    """True if the swarm had a raft leader when the slot was granted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The text of the accepted document, and the revision at which the operator applied it."""

    revision: int
    document: str = field(repr=False)
    epoch: int = 0
    """Number of rollbacks of the store that operators have confirmed. In each epoch the revisions restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The leader's answer to the newest document."""

    revision: int
    """Revision of that document."""
    accepted: bool
    accepted_revision: int
    """Revision of the accepted document; 0: none is accepted yet."""
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    confirm: str = ""
    """Token that the valid document needs as `x-cluster.policy.confirm`; empty: it needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """The digests of the tags in one document. The leader asks the registries once for each document."""

    revision: int
    epoch: int
    """With `revision`, names the accepted document."""
    images: Pairs = ()
    """(image as in the document, sha256:...), sorted. Entries of earlier documents stay while the document names
    them."""
    asked: tuple[str, ...] = ()
    """Images that were resolved for this document."""


RolloutState = Literal["moving", "paused", "rolling-back", "rollback-paused", "rolled-back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The rollout of a service. The record outlives its leader; the monitor windows, which are in memory, do not."""

    before: str
    """Hash of the previous spec, the target of a rollback."""
    to: str
    """Hash of the spec in the intent. A record with another hash is obsolete."""
    state: RolloutState = "moving"
    already: tuple[int, ...] = ()
    """Slots of the replicas that had the new spec at the start of the rollout. They are no evidence for it."""
    failed: tuple[int, ...] = ()
    """Slots of the replicas that failed in this rollout."""
    why: str = ""
    """Description of the failure; empty: none."""

    @property
    def back(self) -> bool:
        """Return True for a rollback to the previous spec, under way or completed."""
        return self.state in ("rolling-back", "rollback-paused", "rolled-back")
