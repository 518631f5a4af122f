"""The values of the keys in etcd, and their one form: JSON with a version.

An unknown newer version is refused, never misread; a field this version does not know is refused for the same reason.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast
from zlib import crc32

import msgspec

from agent.errors import Invalid
from agent.model.spec import Pairs

VERSION = 1

R = TypeVar("R")


class NewerFormat(Invalid):
    """Written by an agent newer than this one: not damaged, and not ours to replace."""


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
    """Overlays that are about to be made anew: whoever has copies on one takes them off it."""
    pool: tuple[str, ...] = ()
    """The networks that the swarm takes the subnets of overlays from: only managers are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The leader's word on what a host's engine says of its membership. No host leaves a swarm without one.

    A worker cannot know by itself that its swarm removed it, or was made anew: only a manager's list of nodes tells.
    """

    state: Literal["pending", "active", "error"]
    node_id: str | None
    """With `state`, what the host said: the ruling means nothing to a host of which that is no longer true."""
    what: Literal["leave", "hold"]
    """leave: leave the swarm; hold: another host has this node's identity, so do nothing at all."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Join tokens of the recorded swarm. Without one for managers all join as workers, to be promoted later."""

    swarm_id: str
    worker: str = field(repr=False)
    manager: str = field(repr=False)
    sealed: str = field(default="", repr=False)
    """Both of them, sealed with a key of the hosts; the fields above are empty then. Empty: they are not sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disruption:
    """The one host whose turn it is to be disturbed.

    The leader offers, the host takes and gives back, each by comparing what it last saw: so at no time two hosts act on
    a turn. It hangs on no lease: a host that dies in its turn keeps it, and goes on with it when it is back.
    """

    host: str
    state: Literal["offered", "taken", "done"]
    reason: str
    quorum: bool
    """Whether the swarm had a leader when the turn was offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Which bytes the tags of one document are, as the leader asked the registries once for it."""

    revision: int
    era: int
    """With `revision`, the document in force that this was asked for."""
    images: Pairs = ()
    """(image as the document says it, sha256:...), sorted; also of documents before, for as long as one names them."""
    asked: tuple[str, ...] = ()
    """Those that were asked for this very document."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Copy:
    """One copy of a service: its number is unique within the service, its spec is named by hash."""

    service: str
    number: int
    spec: str
    addresses: Pairs = ()
    """(overlay, IPv4 address) that the leader has pinned for it. It keeps them from container to container."""
    held: str = ""
    """Why it must not be started yet, in words: somebody else still has its address, or another host still has it."""
    waits: str = ""
    """Why it must not be started for the first time yet, in words: what it depends on is not as far."""

    @property
    def made_as(self) -> "Copy":
        """As the labels of its container name it: without what may change while that stays."""
        return Copy(service=self.service, number=self.number, spec=self.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The copies one host shall run, by the intent of `revision`. An empty one asks for none."""

    revision: int
    project: str
    copies: tuple[Copy, ...] = ()
    era: int = 0
    """As in Accepted: what counts more is of a later era, or within one of a later revision."""
    pending: tuple[str, ...] = ()
    """Services with a copy here that is not as that intent says (yet): a rollout moves it in its turn, or went back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The document in force, word for word, and the revision the operator put it at."""

    revision: int
    document: str = field(repr=False)
    era: int = 0
    """How often an operator has confirmed an etcd that had gone back: its revisions count anew then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The leader's word on the newest document."""

    revision: int
    """The document it speaks of."""
    accepted: bool
    in_force: int
    """Revision of the document in force; 0: none yet."""
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    confirm: str = ""
    """The document is good and waits for this word, as `x-cluster.policy.confirm` of it; empty: it does not wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedReport:
    resource: str
    reason: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceReport:
    """A field of a running copy that is not as its spec says, word for word as the host observed it."""

    field: str
    wanted: str
    found: str
    repair: Literal["replace", "update", "reconnect", "none"]
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """A copy as last seen on its host."""

    service: str
    number: int
    spec: str
    id: str
    name: str
    status: Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
    health: str = ""
    exit_code: int = 0
    error: str = ""
    started_at: str = ""
    restarts: int = 0
    addresses: Pairs = ()
    pinned: Pairs = ()
    """As the assignment in force on its host says: should etcd lose that, the leader can read it here."""
    differences: tuple[DifferenceReport, ...] = ()
    image: str = ""
    """Id of the image it was made from."""
    image_now: str = ""
    """Id of what its image's tag means on this host now, where that is another one."""
    crashes: int = 0
    """How often in a row it ended soon after its start."""
    output: tuple[str, ...] = field(default=(), repr=False)
    """The last lines it wrote before it ended last, while it goes on doing that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeReport:
    """docker_gwbridge as docker and the kernel have it; empty strings where there is none."""

    subnet: str = ""
    gateway: str = ""
    options: Pairs = ()
    device: bool = False
    """Whether the kernel has the device."""
    address: str = ""
    up: bool = False
    mesh: bool = True
    """Whether the swarm's ingress sandbox has its gateway on it: without one, the routing mesh does not answer here."""
    phase: Literal["", "right", "waiting", "moving", "held"] = ""
    """right: as agreed, and every container has its gateway on it; waiting: for its turn; held: blocked, and not by
    others; moving: all else. Empty: nothing is agreed yet, or the host is outside the swarm."""
    revision: int = 0
    """The accepted revision that `phase` speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedReport:
    """A container, ours or not, and the networks it is on."""

    id: str
    name: str
    running: bool = True
    networks: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkReport:
    """A network of the host's engine."""

    id: str
    name: str
    driver: str
    scope: str
    subnet: str = ""
    gateway: str = ""
    options: Pairs = ()
    labels: Pairs = ()
    """Only those that mark it as ours."""
    attachable: bool = False
    internal: bool = False
    ours: bool = False
    """Whether an agent of this cluster made it."""
    peers: tuple[str, ...] = ()
    """Of an overlay that copies here are on: addresses of the hosts on it that this one has heard of."""
    users: Pairs = ()
    """Of an overlay of ours, told by the leader: (what, node id) of what is on it and no agent knows."""
    endpoints: Pairs = ()
    """Of docker_gwbridge and the temporary network beside it, and only while the bridge is not as agreed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """A node of the swarm, as this manager lists it."""

    id: str
    hostname: str
    role: Literal["manager", "worker"]
    availability: Literal["active", "pause", "drain"]
    state: str
    address: str
    leader: bool = False
    reachable: bool | None = None
    manager_address: str = ""
    labels: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedReport:
    """How a host came into the swarm as the node that it is: what it can become depends on it."""

    node_id: str
    through: str | None
    """address:port of the manager it would ask to become one, too; empty: any of them; None: not known."""
    engine: str
    """Id of the engine's network `bridge`: another one whenever dockerd was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """What a host last said of itself: enough to tell people, and to plan for it from elsewhere as it would itself.

    `agent/planner/prediction/reported.py` makes an observation of it again. What nobody would decide upon is left out,
    so that the record changes only when something worth telling does.
    """

    instance: str
    """The run of the agent that wrote it: a status of an earlier run says nothing about now."""
    at: str
    agent_version: str
    engine_version: str = ""
    engine_up: bool = False
    engine_fault: str = ""
    """Why dockerd could not be read, in words."""
    live_restore: bool = False
    state: Literal["inactive", "pending", "active", "error", "locked", "unknown"] = "unknown"
    swarm_error: str = ""
    joining: str | None = None
    """The swarm that it is joining, or failed to join, by the agent's doing."""
    node_id: str | None = None
    swarm_id: str | None = None
    is_manager: bool = False
    swarm_address: str | None = None
    """The address the node advertises."""
    autolock: bool | None = None
    """Managers only: whether they are locked when their dockerd starts."""
    advertise: str | None = None
    """The address agent.yaml asks for; None: the one the intent declares."""
    managers: Pairs = ()
    """(node id, address:port) of the managers this node knows."""
    joined: JoinedReport | None = None
    """Of the node that it is, or was last; None: it was none while an agent was there."""
    pool: tuple[str, ...] = ()
    """The networks that the swarm takes the subnets of overlays from."""
    nodes: tuple[NodeReport, ...] | None = None
    """Managers only; None: not a manager, or the swarm did not answer."""
    leading: bool = False
    revision: int = 0
    """The accepted revision this host has carried out in full; 0: none yet."""
    bridge: BridgeReport = BridgeReport()
    networks: tuple[NetworkReport, ...] = ()
    images: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    foreign_names: tuple[str, ...] = ()
    """Containers that are not ours but have a name that copies of this project could get: `<project>-...`."""
    routes: Pairs = ()
    """(destination, device), only while docker_gwbridge is not as agreed: a new one must not overlap them."""
    addresses: Pairs = ()
    """(address/prefix, device) of every device, only while docker_gwbridge is not as agreed, as above."""
    attached: tuple[AttachedReport, ...] = ()
    """While docker_gwbridge is not as agreed: every container here, whom its change may touch. Else those that are on
    an overlay: whom a change of that, or of docker_gwbridge, would touch."""
    copies: tuple[CopyReport, ...] = ()
    steps: tuple[str, ...] = ()
    """What is still to be done."""
    blocked: tuple[BlockedReport, ...] = ()


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
