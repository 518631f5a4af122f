"""The spec of one replica before placeholders are filled in: the content of `specs/<sha256>`.

All values are plain and immutable, so that a spec has exactly one canonical JSON form, whose hash names it. A mapping
is a tuple of pairs sorted by key; the parser sorts a list whose order has no meaning. The default of a field leaves
the field to image and engine. The JSON omits defaults, so that a new field changes no hash.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import field, replace
from itertools import zip_longest
from typing import Any, Literal

import msgspec

from agent.errors import Invalid
from agent.model import Frozen

HUB = "docker.io"
LARGEST_CONTENT = 64 << 10
"""Bytes of one config in a document."""

Pairs = tuple[tuple[str, str], ...]
"""A mapping of strings as pairs, sorted by key. Each key is unique."""
Key = tuple[str, int]
"""(service, slot): the identity of a replica, independent of its spec and host."""

Protocol = Literal["tcp", "udp", "sctp"]
MountType = Literal["bind", "volume", "tmpfs"]
RestartName = Literal["no", "always", "on-failure", "unless-stopped"]
NetworkMode = Literal["none", "host", "bridge"]
Pid = Literal["host"]
Ipc = Literal["host", "private", "shareable", "none"]
Uts = Literal["host"]
UserNamespace = Literal["host"]
CgroupNamespace = Literal["host", "private"]
Relabel = Literal["z", "Z"]
BlkioLimit = Literal["weight", "read_bps", "read_iops", "write_bps", "write_iops"]


class Port(Frozen):
    """A port of the container, published on the host."""

    target: int
    published: int | None = None
    """None: the engine chooses a port of the host at each start."""
    protocol: Protocol = "tcp"
    host_ip: str = ""
    """Address of the host on which the port is published; empty: every address."""
    among: str = ""
    """The range from which the engine chooses, as `8000-8010`; empty: it chooses any free port."""


class Mount(Frozen):
    """A mount at `target`. `source` is a host path (bind) or the name of a Docker volume."""

    type: MountType
    target: str
    source: str | None = None
    """None: an anonymous volume, or a tmpfs."""
    read_only: bool = False
    propagation: str | None = None
    """Bind only: rprivate, rshared, ...: the engine's words."""
    create_host_path: bool = False
    """Bind only: True creates a missing directory on the host."""
    relabel: Relabel | None = None
    """Bind only, with SELinux: z for a label that containers share, Z for a private one."""
    nocopy: bool = False
    """Volume only: True leaves a new volume empty, instead of copying what the image has at `target`."""
    tmpfs_size_bytes: int | None = None
    tmpfs_mode: int | None = None
    content: str | None = field(default=None, repr=False)
    """Read-only bind without `source`: the text of the file, which the agent of the replica's host writes there."""

    @property
    def content_hash(self) -> str:
        """SHA-256 of `content` in hex, the name of its file; empty: there is no content."""
        return "" if self.content is None else hashlib.sha256(self.content.encode()).hexdigest()


class Attachment(Frozen):
    """Membership in the Docker network of that name. The service's name is always an alias too."""

    network: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str | None = None
    reserved: str | None = None
    """Reserved address of one replica, filled in on its host and never part of a stored spec."""

    @property
    def address(self) -> str | None:
        """Return the requested address; None: any."""
        return self.ipv4_address or self.reserved


class Restart(Frozen):
    """The engine's restart policy."""

    name: RestartName
    max_retries: int = 0
    """on-failure only; 0: no limit."""


class Healthcheck(Frozen):
    """The healthcheck. A field that is None is left to the image, then to the engine."""

    test: tuple[str, ...] | None = None
    """In Docker's form: ("CMD", ...) or ("CMD-SHELL", text)."""
    interval_s: float | None = None
    timeout_s: float | None = None
    start_period_s: float | None = None
    retries: int | None = None
    disable: bool = False


class Ulimit(Frozen):
    """One resource limit; -1: unlimited."""

    name: str
    soft: int
    hard: int


class Logging(Frozen):
    """The logging driver; empty: the engine's default."""

    driver: str = ""
    options: Pairs = ()


class Device(Frozen):
    """A device of the host in the container."""

    source: str
    target: str
    permissions: str = "rwm"


class DeviceRequest(Frozen):
    """Devices from a driver of the engine, as GPUs. `count` is their number; -1: all; 0: those in `device_ids`."""

    driver: str = ""
    count: int = -1
    device_ids: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ("gpu",)
    options: Pairs = ()


class BlkioDevice(Frozen):
    """A limit on one block device: bytes or operations per second, or a weight from 10 to 1000."""

    limit: BlkioLimit
    path: str
    value: int


class ContainerSpec(Frozen):
    """The spec of one replica. `repr` omits the fields that may contain passwords."""

    image: str
    platform: str | None = None
    """os/arch[/variant] of the image, as `linux/arm64`; None: that of the host."""
    command: tuple[str, ...] | None = field(default=None, repr=False)
    entrypoint: tuple[str, ...] | None = field(default=None, repr=False)
    environment: Pairs = field(default=(), repr=False)
    labels: Pairs = field(default=(), repr=False)
    ports: tuple[Port, ...] = ()
    volumes: tuple[Mount, ...] = ()
    networks: tuple[Attachment, ...] = ()
    network_mode: NetworkMode | None = None
    restart: Restart | None = None
    healthcheck: Healthcheck | None = field(default=None, repr=False)
    stop_signal: str | None = None
    stop_grace_period_s: float | None = None
    user: str | None = None
    group_add: tuple[str, ...] = ()
    working_dir: str | None = None
    hostname: str | None = None
    domainname: str | None = None
    read_only: bool = False
    privileged: bool = False
    init: bool | None = None
    tty: bool = False
    stdin_open: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: Pairs = ()
    shm_size_bytes: int | None = None
    tmpfs: Pairs = ()
    """(path in the container, mount options, which may be empty)."""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    """Each as "name:address"."""
    logging: Logging | None = field(default=None, repr=False)
    devices: tuple[Device, ...] = ()
    memory_limit_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    nano_cpus: int | None = None
    pids_limit: int | None = None
    """-1: unlimited."""
    pid: Pid | None = None
    ipc: Ipc | None = None
    uts: Uts | None = None
    userns_mode: UserNamespace | None = None
    cgroup: CgroupNamespace | None = None
    cgroup_parent: str | None = None
    runtime: str | None = None
    annotations: Pairs = field(default=(), repr=False)
    device_cgroup_rules: tuple[str, ...] = ()
    gpus: tuple[DeviceRequest, ...] = ()
    memory_swap_bytes: int | None = None
    """Memory and swap together; -1: unlimited swap."""
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    oom_score_adj: int | None = None
    cpu_shares: int | None = None
    cpuset: str | None = None
    """CPUs in the kernel's list format: `0-2,5`."""
    cpu_period_us: int | None = None
    cpu_quota_us: int | None = None
    blkio_weight: int | None = None
    blkio_devices: tuple[BlkioDevice, ...] = ()
    restarted_at: str | None = None
    """Time of the last restart that the operator asked for. Another one needs another container; None needs none."""


def encode(spec: ContainerSpec) -> bytes:
    """Return the canonical JSON of `spec`, with sorted keys and without defaults. Equal specs have equal bytes."""
    return msgspec.json.encode(without_defaults(spec), order="sorted")


def decode(raw: bytes) -> ContainerSpec:
    """Return the spec in the JSON of this or of another version. Raises Invalid if this version cannot read all of it.

    A field of a later version must be empty, as by its default.
    """
    try:
        spec = msgspec.json.decode(raw, type=ContainerSpec)
        more = _has_more(msgspec.json.decode(raw), msgspec.to_builtins(spec))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"not a container spec: {error}") from error
    if more:
        raise Invalid("not a container spec of this version: written by another version, or by hand")
    return spec


def _has_more(found: Any, known: Any) -> bool:
    """Return True if the JSON value `found` contains something that `known` lacks."""
    if isinstance(found, dict):
        return any(_has_more(each, (known or {}).get(name)) for name, each in found.items())
    if isinstance(found, list):
        return any(_has_more(*each) for each in zip_longest(found, known or ()))
    return bool(found) and found != known


def spec_hash(spec: ContainerSpec) -> str:
    """Return the SHA-256 of the canonical form in hex, the name of the spec in etcd and in the container's label."""
    return hashlib.sha256(encode(spec)).hexdigest()


def with_digest(spec: ContainerSpec, known: Mapping[str, str]) -> ContainerSpec:
    """Return the spec with the digest of its image in `known` (tag -> digest), if there is one."""
    digest = known.get(spec.image)
    return replace(spec, image=f"{spec.image}@{digest}") if digest else spec


def registry_of(reference: str) -> str:
    """Return the registry of an image: host, and port if given. To Docker a small word without dot is no host."""
    first, slash, _ = reference.partition("/")
    if not slash or not ({*".:"} & {*first} or first == "localhost" or first != first.lower()):
        return HUB
    return HUB if first == "index.docker.io" else first


def why_alone(spec: ContainerSpec) -> str:
    """Return the reason why a host cannot run two containers of the spec at the same time; empty: it can."""
    if any(port.published is not None for port in spec.ports):
        return "it publishes a port of the host"
    if spec.network_mode == "host":
        return "it has the network of the host"
    fixed = any(each.ipv4_address for each in spec.networks)
    return "its address is fixed" if fixed else ""


def without_defaults(value: Any) -> Any:
    """Return a record in types of JSON, without each field that has its default; any other value as it is."""
    if isinstance(value, tuple):
        return [without_defaults(each) for each in value]
    if not dataclasses.is_dataclass(value):
        return value
    content = ((each.name, getattr(value, each.name), each.default) for each in dataclasses.fields(value))
    return {name: without_defaults(found) for name, found, default in content if found != default}
