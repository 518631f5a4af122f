"""What one replica of a service must be, before placeholders are filled in: the content of `specs/<sha256>`.

Only plain immutable values live here, so that a spec has exactly one canonical JSON form and the hash of that
form names it. A mapping is a tuple of pairs sorted by key; a list whose order means nothing is sorted by the
parser. The default of a field means "not said": image and engine decide. Defaults are left out of the JSON,
therefore a field added later changes no hash.
"""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from agent.errors import Invalid

HUB = "docker.io"

Pairs = tuple[tuple[str, str], ...]
"""A mapping of strings: pairs, sorted by key, each key once."""
Key = tuple[str, int]
"""(service, slot): what names a replica, whatever its spec and its host."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of the container; published on the host when `published` is set."""

    target: int
    published: int | None = None
    protocol: Protocol = "tcp"
    host_ip: str = ""
    """The host's address to publish on; empty means every address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Something mounted at `target`; `source` is a host path (bind) or the real name of a Docker volume."""

    type: MountType
    target: str
    source: str | None = None
    """None: an anonymous volume, or a tmpfs."""
    read_only: bool = False
    propagation: str | None = None
    """Bind only: rprivate, rshared, ... as the engine knows them."""
    create_host_path: bool = False
    """Bind only: make the host's directory when it is missing."""
    relabel: Relabel | None = None
    """Bind only, with SELinux: z for a label that containers share, Z for one of its own."""
    nocopy: bool = False
    """Volume only: do not fill a new volume with what the image has at `target`."""
    tmpfs_size_bytes: int | None = None
    tmpfs_mode: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Membership in one Docker network, by its real name. The service's name is always an alias too."""

    network: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str | None = None
    pinned: str | None = None
    """The address that the leader has pinned for one replica.

    Filled in on its host, and never part of a stored spec.
    """

    @property
    def address(self) -> str | None:
        """The address that it asks for; None: any."""
        return self.ipv4_address or self.pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """What the engine does when the process ends."""

    name: RestartName
    max_retries: int = 0
    """on-failure only; 0 is without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """How health is found out; what is None is taken from the image, then from the engine."""

    test: tuple[str, ...] | None = None
    """In Docker's form: ("CMD", ...) or ("CMD-SHELL", text)."""
    interval_s: float | None = None
    timeout_s: float | None = None
    start_period_s: float | None = None
    retries: int | None = None
    disable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ulimit:
    """One resource limit; -1 is unlimited."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """Where the output goes; an empty driver is the engine's own choice."""

    driver: str = ""
    options: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device of the host, given to the container."""

    source: str
    target: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """Devices that a driver of the engine gives out: GPUs. `count` is how many, -1 all, 0 those in `device_ids`."""

    driver: str = ""
    count: int = -1
    device_ids: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ("gpu",)
    options: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlkioDevice:
    """A limit on the use of one block device: bytes or operations a second, or a weight from 10 to 1000."""

    limit: BlkioLimit
    path: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One replica of a service. What may hold passwords is kept out of `repr`."""

    image: str
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
    """Path in the container, and mount options (may be empty)."""
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
    """-1 is unlimited."""
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
    """Memory and swap together; -1 is unlimited swap."""
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    oom_score_adj: int | None = None
    cpu_shares: int | None = None
    cpuset: str | None = None
    """As the kernel lists them: `0-2,5`."""
    cpu_period_us: int | None = None
    cpu_quota_us: int | None = None
    blkio_weight: int | None = None
    blkio_devices: tuple[BlkioDevice, ...] = ()


def encode(spec: ContainerSpec) -> bytes:
    """Canonical JSON of `spec`: keys sorted, defaults left out, so that equal specs have equal bytes."""
    return msgspec.json.encode(_plain(spec), order="sorted")


def decode(raw: bytes) -> ContainerSpec:
    """Read what `encode` wrote. Raises Invalid for anything else, also for an unknown field."""
    try:
        spec = msgspec.json.decode(raw, type=ContainerSpec)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"not a container spec: {error}") from error
    if encode(spec) != raw:
        raise Invalid("not a canonical container spec: written by another version, or by hand")
    return spec


def spec_hash(spec: ContainerSpec) -> str:
    """SHA-256 of the canonical form, in hex: the name of the spec in etcd and on the container's label."""
    return hashlib.sha256(encode(spec)).hexdigest()


def registry_of(reference: str) -> str:
    """Who has the image: host, and port if one is said. A first part without a dot or a port is no host to Docker."""
    first, slash, _ = reference.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return HUB
    return HUB if first == "index.docker.io" else first


def why_alone(spec: ContainerSpec) -> str:
    """Why no second container can run like that on the same host at the same time; empty when one can."""
    if any(port.published is not None for port in spec.ports):
        return "it publishes a port of the host"
    if spec.network_mode == "host":
        return "it has the network of the host"
    fixed = any(each.ipv4_address for each in spec.networks)
    return "its address is fixed" if fixed else ""


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    told = ((each.name, getattr(value, each.name), each.default) for each in dataclasses.fields(value))
    return {name: _plain(content) for name, content, default in told if content != default}
