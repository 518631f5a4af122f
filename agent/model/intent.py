"""The intent: what the operator's document says the cluster shall be, checked, with every default filled in."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from agent.model.spec import ContainerSpec, Pairs

GWBRIDGE = "docker_gwbridge"
PARKING = "swarmkeeper_parking"
"""The temporary network beside docker_gwbridge while that is changed (docs/gwbridge.md)."""
HOST_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?"
"""What a host may be called, as a regular expression: it is part of a key in etcd, and what a hostname may be."""

Role = Literal["manager", "worker"]
Availability = Literal["active", "pause", "drain"]
Rotation = Literal["after-join", "never"]
Mode = Literal["enforce", "observe", "paused"]
Unmanaged = Literal["ignore"]
BridgeMethod = Literal["parking", "rejoin"]
NetworkDriver = Literal["overlay", "bridge"]
UpdateOrder = Literal["stop-first", "start-first"]
Pull = Literal["missing", "never", "always", "daily", "weekly"]
FailureAction = Literal["pause", "continue", "rollback"]

LABEL = "labels."


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIntent:
    """A member of the cluster; `name` is its agent's host name, `address` what others reach it by."""

    name: str
    address: IPv4Address
    role: Role
    availability: Availability = "active"
    labels: Pairs = ()

    def feature(self, of: str) -> str | None:
        """Return its `hostname`, `role` or `labels.<name>`; None for a label that it does not have."""
        if of.startswith(LABEL):
            return dict(self.labels).get(of.removeprefix(LABEL))
        return self.name if of == "hostname" else self.role


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """`node.<of> == value`, or `!=`. Upper and lower case are the same in values, as in Swarm."""

    of: str
    """hostname, role, or labels.<name>"""
    equal: bool
    value: str

    def met_by(self, host: HostIntent) -> bool:
        """Whether it holds for a host; a label that is not there is equal to nothing."""
        found = host.feature(self.of)
        return (found is not None and found.casefold() == self.value.casefold()) == self.equal

    def __str__(self) -> str:
        return f"node.{self.of} {'==' if self.equal else '!='} {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What `deploy.placement` says: where replicas may run whose hosts the leader chooses."""

    constraints: tuple[Constraint, ...] = ()
    spread: tuple[str, ...] = ()
    """`labels.<name>`, `hostname` or `role`: the replicas are spread over its values; the first one counts most."""
    most_per_host: int | None = None
    """Replicas of the service on one host; None: any number."""

    def unmet(self, host: HostIntent) -> Constraint | None:
        """The first constraint that does not hold for a host; None: it may run replicas."""
        return next((each for each in self.constraints if not each.met_by(host)), None)


ANYWHERE = Where()


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeIntent:
    """docker_gwbridge, the same on every host; `options` always name the bridge."""

    subnet: IPv4Network
    gateway: IPv4Address
    options: Pairs
    method: BridgeMethod = "parking"
    """How it is changed on a host that is in the swarm: under the running containers, or by leaving and coming back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmIntent:
    """How the swarm is made. The address pool can only be given at init."""

    default_addr_pool: tuple[IPv4Network, ...]
    mask_length: int = 24
    data_path_port: int | None = None
    rotate_tokens: Rotation = "after-join"
    """after-join: join tokens are rotated when the last declared host is in."""
    token_ttl_s: float = 900.0
    """How long published join tokens may stay before they are rotated."""
    autolock: bool | None = None
    """None: as it is found, and off again if it was declared before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyIntent:
    """How boldly the document is carried out."""

    mode: Mode = "enforce"
    unmanaged: Unmanaged = "ignore"
    max_unavailable_hosts: int = 1
    deletion_guard_percent: int | None = None
    """An edit that drops more than this share of the replicas, or most managers, waits for a word; None: none does."""
    confirm: str = ""
    """That word: which edit the operator has confirmed (agent/intent/guard.py)."""
    allow_network_recreate: bool = False
    """Whether an overlay that is declared otherwise than it is may be recreated, and all on it restarted for that."""
    resolve_digests: bool = False
    """Whether the leader asks once for each document which bytes its tags are, so that all hosts run the same."""
    pin_addresses: bool = False
    """Whether every replica keeps its address on each overlay; without it, those that use {{.Overlay.IP}} do."""
    reschedule_after_s: float = 60.0
    """How long a host has to be gone before the replicas that may run elsewhere move away from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkIntent:
    """A network; `key` is its name in the document, `name` in Docker."""

    key: str
    name: str
    driver: NetworkDriver
    attachable: bool = True
    subnet: IPv4Network | None = None
    gateway: IPv4Address | None = None
    options: Pairs = ()
    external: bool = False
    """Made by somebody else: it is used, never created or removed."""
    internal: bool = False
    labels: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeIntent:
    """A named volume; `key` is its name in the document, `name` in Docker."""

    key: str
    name: str
    driver: str = "local"
    options: Pairs = field(default=(), repr=False)
    """They may hold passwords, of a share of the network."""
    external: bool = False
    labels: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """How a change of the service is rolled out; the defaults are Swarm's."""

    parallelism: int = 1
    """Replicas changed at a time; 0 is all at once."""
    order: UpdateOrder = "stop-first"
    failure_action: FailureAction = "pause"
    monitor_s: float = 5.0
    delay_s: float = 0.0
    max_failure_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceIntent:
    """A service: what one replica is, and how many replicas each host runs, or how many there are at all."""

    name: str
    spec: ContainerSpec
    placement: tuple[tuple[str, int], ...] = ()
    """(host, replicas) in the document's order, which is also the order of the replicas' slots. Empty where the leader
    chooses the hosts."""
    replicas: int | None = None
    """How many replicas there are, on hosts that the leader chooses; None: `placement` says which."""
    everywhere: bool = False
    """Whether `placement` names every host that may run one, instead of those that the document asks for by name."""
    where: Where = ANYWHERE
    """Which hosts may run replicas. A `placement` names no others."""
    update: Update = Update()
    rollback: Update | None = None
    """How a rollback is rolled out; None: like a change."""
    pull: Pull = "missing"
    depends_on: tuple[tuple[str, str], ...] = ()
    """(service, service_started | service_healthy | service_completed_successfully), sorted."""

    @property
    def replica_count(self) -> int:
        """How many replicas there are to be."""
        return sum(count for _, count in self.placement) if self.replicas is None else self.replicas

    def replicas_on(self, host: str) -> int:
        """How many replicas `host` runs; 0 for a host that is not named, or when the leader chooses the hosts."""
        return dict(self.placement).get(host, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The whole truth about one cluster. `revision` is the etcd mod_revision the document was read at."""

    project: str
    revision: int
    hosts: tuple[HostIntent, ...]
    gwbridge: BridgeIntent
    swarm: SwarmIntent
    policy: PolicyIntent = PolicyIntent()
    networks: tuple[NetworkIntent, ...] = ()
    volumes: tuple[VolumeIntent, ...] = ()
    services: tuple[ServiceIntent, ...] = ()
    digest: str = ""
    """Hash of what the document says, without the word that confirms it."""

    @property
    def managers(self) -> tuple[HostIntent, ...]:
        """The hosts that shall be managers, in the document's order."""
        return tuple(each for each in self.hosts if each.role == "manager")

    def host(self, name: str) -> HostIntent | None:
        return next((each for each in self.hosts if each.name == name), None)

    def service(self, name: str) -> ServiceIntent | None:
        return next((each for each in self.services if each.name == name), None)

    def network(self, name: str) -> NetworkIntent | None:
        """Return the network that Docker knows by `name`, or None."""
        return next((each for each in self.networks if each.name == name), None)

    def volume(self, name: str) -> VolumeIntent | None:
        """Return the volume that Docker knows by `name`, or None."""
        return next((each for each in self.volumes if each.name == name), None)
