"""The values in etcd but for the intent and statuses: JSON with a version, and what each record says."""

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, cast
from zlib import crc32

import msgspec

from agent.errors import Invalid, NewerFormat
from agent.model.spec import Key, Pairs

MOST_KEYS = 3
"""How many keys are kept. A manager that was down while the key was changed is locked with the one before."""
VERSION = 1
"""An unknown newer version is refused, never misread; a field this version does not know is refused likewise."""

R = TypeVar("R")


def encode(record: Any) -> bytes:
    """Canonical JSON of a record, with its version and checksum; equal records have equal bytes."""
    body = {"v": VERSION, **msgspec.to_builtins(record, str_keys=True)}
    return msgspec.json.encode({**body, "sum": _sum(body)}, order="sorted")


def _sum(body: dict[str, Any]) -> str:
    """CRC-32 of the canonical JSON: whatever one bit may do to a value, it must not pass for another one."""
    return f"{crc32(msgspec.json.encode(body, order='sorted')):08x}"


def decode(kind: type[R], raw: bytes) -> R:
    """Read a record. Raises Invalid, with what was wrong, for anything `encode` of this version cannot have written."""
    try:
        body = msgspec.json.decode(raw)
        if not isinstance(body, dict):
            raise Invalid(f"not a {kind.__name__}: not a JSON object")
        # Who writes one by hand may leave the checksum out. It is a matter of every format, also of a newer one.
        if "sum" in body and body.pop("sum") != _sum(body):
            raise Invalid(f"not a {kind.__name__}: damaged, its checksum does not hold")
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
    """Give `at_s`, in seconds since the epoch, as RFC 3339: in UTC, without fractions."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Replica:
    """One replica of a service: its slot is unique within the service, its spec is named by hash."""

    service: str
    slot: int
    spec: str
    addresses: Pairs = ()
    """(overlay, IPv4 address) that the leader has pinned for it. It keeps them from container to container."""
    held: str = ""
    """Why it must not be started yet, in words: somebody else still has its address, or another host still has it."""
    waits: str = ""
    """Why it must not be started for the first time yet, in words: what it depends on is not as far."""
    recreate: Pairs = ()
    """(id of a container of it, why that has to be recreated): the swarm gave its address to another one, too."""

    @property
    def key(self) -> Key:
        return self.service, self.slot

    @property
    def made_as(self) -> "Replica":
        """As the labels of its container name it: without what may change while that stays."""
        return Replica(service=self.service, slot=self.slot, spec=self.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The replicas one host shall run, by the intent of `revision`. An empty one asks for none."""

    revision: int
    project: str
    replicas: tuple[Replica, ...] = ()
    epoch: int = 0
    """As in Accepted: what counts more is of a later epoch, or within one of a later revision."""
    pending: tuple[str, ...] = ()
    """Services with a replica here that is not as that intent says (yet).

    A rollout moves it in its turn, or went back.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """An agent is there. Goes away with its lease."""

    instance: str
    boot_id: str
    version: str
    since: str
    machine_id: str = ""
    """What /etc/machine-id says: a copy of a machine has the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderRecord:
    host: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmRecord:
    """The one swarm of the cluster, or who is making it."""

    claimed_by: str
    swarm_id: str | None = None
    """None: claimed, not made yet."""
    managers: Pairs = ()
    """(node id, address:port) to join at."""
    networks: tuple[str, ...] = ()
    """Overlays that containers can join: a worker cannot see them for itself."""
    recreating: tuple[str, ...] = ()
    """Overlays that are about to be recreated: whoever has replicas on one takes them off it."""
    pool: tuple[str, ...] = ()
    """The networks that the swarm takes the subnets of overlays from: only managers are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipOrder:
    """The leader's word on what a host's engine says of its membership. No host leaves a swarm without one.

    A worker cannot know by itself that its swarm removed it, or was recreated: only a manager's list of nodes tells.
    """

    state: Literal["pending", "active", "error"]
    node_id: str | None
    """With `state`, what the host said: the membership order means nothing to a host of which that is no longer
    true."""
    what: Literal["leave", "quarantine"]
    """leave: leave the swarm; quarantine: another host has this node's identity, so do nothing at all."""
    reason: str

    def held(self, why: str) -> str:
        """What the host says, of its swarm, when it cannot do so; the leader finds it again by how it begins."""
        return f"{self.reason}; but {why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Join tokens of the recorded swarm. Without one for managers all join as workers, to be promoted later."""

    swarm_id: str
    worker: str = field(repr=False)
    manager: str = field(repr=False)
    sealed: str = field(default="", repr=False)
    """Both of them, sealed with a key of the hosts; the fields above are empty then. Empty: they are not sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockKeys:
    """The unlock keys of a swarm, as the leader publishes them. In etcd they are always sealed.

    With autolock a manager whose dockerd was started opens what it knows of the swarm with such a key only.
    """

    swarm_id: str
    on: bool
    """Whether autolock is on by our doing. The keys stay when it is off: who was down meanwhile is still locked."""
    keys: tuple[str, ...] = field(default=(), repr=False)
    """The one that is good now first; empty while they are sealed."""
    sealed: str = field(default="", repr=False)
    """All of them, sealed with a key of the hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disruption:
    """The one host that holds the disruption slot.

    The leader grants it, the host acquires and releases it, each by comparing what it last saw: so at no time two hosts
    act on the disruption slot. It hangs on no lease: a host that dies while it holds the disruption slot keeps it, and
    goes on with it when it is back.
    """

    host: str
    state: Literal["granted", "acquired", "released"]
    reason: str
    quorum: bool
    """Whether the swarm had a leader when the disruption slot was granted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The accepted document, word for word, and the revision the operator put it at."""

    revision: int
    document: str = field(repr=False)
    epoch: int = 0
    """How often an operator has confirmed an etcd that had been rolled back: its revisions count from zero then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The leader's word on the newest document."""

    revision: int
    """The document it speaks of."""
    accepted: bool
    accepted_revision: int
    """Revision of the accepted document; 0: none yet."""
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    confirm: str = ""
    """The document is good and waits for this word, as `x-cluster.policy.confirm` of it; empty: it does not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Which bytes the tags of one document are, as the leader asked the registries once for it."""

    revision: int
    epoch: int
    """With `revision`, the accepted document that this was asked for."""
    images: Pairs = ()
    """(image as the document says it, sha256:...), sorted; also of documents before, for as long as one names them."""
    asked: tuple[str, ...] = ()
    """Those that were asked for this very document."""


RolloutState = Literal["moving", "paused", "rolling-back", "rollback-paused", "rolled-back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A service on its way to another spec. It outlives the leader; how long a replica has been well does not."""

    before: str
    """Hash of the spec that ran before, and that a rollback goes to."""
    to: str
    """Hash of the spec the intent asks for: a record about another one is of the past."""
    state: RolloutState = "moving"
    already: tuple[int, ...] = ()
    """Slots of the replicas that had the spec they are to have when this way began: they say nothing about it."""
    failed: tuple[int, ...] = ()
    """Slots of the replicas that failed on this way."""
    why: str = ""
    """What failed, in words."""

    @property
    def back(self) -> bool:
        """Whether it goes, or went, back to the spec before."""
        return self.state in ("rolling-back", "rollback-paused", "rolled-back")
