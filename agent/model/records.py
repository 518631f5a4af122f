"""The values of the keys in etcd, and their one form: JSON with a version.

An unknown newer version is refused, never misread; a field this version does not know is refused for the same reason.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

import msgspec

from agent.errors import Invalid
from agent.model.spec import Pairs

VERSION = 1

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """An agent is there. Goes away with its lease."""

    instance: str
    boot_id: str
    version: str
    since: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Join tokens of the recorded swarm."""

    swarm_id: str
    worker: str = field(repr=False)
    manager: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Copy:
    """One copy of a service: its number is unique within the service, its spec is named by hash."""

    service: str
    number: int
    spec: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The copies one host shall run, by the intent of `revision`. An empty one asks for none."""

    revision: int
    project: str
    copies: tuple[Copy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The document in force, word for word, and the revision the operator put it at."""

    revision: int
    document: str = field(repr=False)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedReport:
    resource: str
    reason: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """A copy as last seen on its host."""

    service: str
    number: int
    spec: str
    id: str
    name: str
    status: str
    health: str = ""
    restarts: int = 0
    error: str = ""
    addresses: Pairs = ()
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeReport:
    """docker_gwbridge as docker and the kernel have it; empty strings where there is none."""

    subnet: str = ""
    gateway: str = ""
    options: Pairs = ()
    address: str = ""
    up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """What a host last said of itself."""

    instance: str
    """The run of the agent that wrote it: a status of an earlier run says nothing about now."""
    at: str
    agent_version: str
    engine_version: str = ""
    engine_up: bool = False
    state: Literal["inactive", "pending", "active", "error", "locked", "unknown"] = "unknown"
    swarm_error: str = ""
    node_id: str | None = None
    swarm_id: str | None = None
    is_manager: bool = False
    leading: bool = False
    revision: int = 0
    """The accepted revision this host has carried out in full; 0: none yet."""
    bridge: BridgeReport = BridgeReport()
    networks: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    copies: tuple[CopyReport, ...] = ()
    steps: tuple[str, ...] = ()
    """What is still to be done."""
    blocked: tuple[BlockedReport, ...] = ()


def encode(record: Any) -> bytes:
    """Canonical JSON of a record, with its version; equal records have equal bytes."""
    body = msgspec.to_builtins(record, str_keys=True)
    return msgspec.json.encode({"v": VERSION, **body}, order="sorted")


def decode(kind: type[R], raw: bytes) -> R:
    """Read a record. Raises Invalid, with what was wrong, for anything `encode` of this version cannot have written."""
    try:
        body = msgspec.json.decode(raw)
        if not isinstance(body, dict):
            raise Invalid(f"not a {kind.__name__}: not a JSON object")
        version = body.pop("v", None)
        if version != VERSION:
            raise Invalid(f"a {kind.__name__} of format {version!r}; this agent reads format {VERSION}")
        record = msgspec.convert(body, kind, strict=True)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"not a {kind.__name__}: {error}") from error
    if unknown := sorted(set(body) - {each.name for each in dataclasses.fields(cast(Any, kind))}):
        raise Invalid(f"a {kind.__name__} with fields this version does not know: {', '.join(unknown)}")
    return record
