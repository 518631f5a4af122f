"""The intent: the operator's document after validation, with every default filled in."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

import msgspec

from agent.model import Deriving, Frozen
from agent.model.records import Assignment
from agent.model.spec import ContainerSpec, Pairs, spec_hash, without_defaults

GWBRIDGE = "docker_gwbridge"
DEFAULT_NETWORK = "default"
"""Compose's name for the network of services without `networks`."""
LOCAL_DRIVER = "local"
"""Docker's driver of volumes on the disk of the host, the default."""
PARKING = "swarmkeeper_parking"
"""The temporary network that serves as gateway while docker_gwbridge is changed (docs/gwbridge.md)."""
HOST_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?"
"""Regular expression of a host's name: it is part of a key in etcd, and must be a valid hostname."""

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
REPORTED = ("id", "platform.arch")
"""Features of a host that only the report of its engine tells: agent/diff/capacity.py compares them."""
_SYSTEM = "linux"


class HostIntent(Frozen):
    """A host of the cluster. `name` is the host name of its agent; other hosts reach it at `address`."""

    name: str
    address: IPv4Address
    role: Role
    availability: Availability = "active"
    labels: Pairs = ()
    _by_name: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The labels, filled at the first look-up: a document has up to a million constraints to check."""

    def feature(self, of: str) -> str | None:
        """Return a feature of the host that the document tells; None: the host has no such label."""
        if of.startswith(LABEL):
            if not self._by_name:
                self._by_name.update(self.labels)
            return self._by_name.get(of.removeprefix(LABEL))
        return {"hostname": self.name, "platform.os": _SYSTEM}.get(of, self.role)


class Machine(Frozen):
    """The report of an engine about its host. Empty and 0: not known, as from an agent of an earlier version."""

    platform: str = ""
    """As `linux/amd64`."""
    cpus: int = 0
    memory_bytes: int = 0


NO_MACHINE = Machine()


class Constraint(Frozen):
    """`node.<of> == value`, or `!=`. Values are compared without regard to case, as in Swarm."""

    of: str
    """hostname, role, platform.os, labels.<name>, or one of REPORTED"""
    equal: bool
    value: str

    def met_by(self, host: HostIntent) -> bool:
        """Return True if the constraint holds for a host. A missing label is equal to no value.

        One of REPORTED holds as far as the document tells.
        """
        if self.of in REPORTED:
            return True
        found = host.feature(self.of)
        return (found is not None and found.casefold() == self.value.casefold()) == self.equal

    def __str__(self) -> str:
        return f"node.{self.of} {'==' if self.equal else '!='} {self.value}"


class Where(Frozen):
    """The content of `deploy.placement`: which hosts may run the replicas that the scheduler places."""

    constraints: tuple[Constraint, ...] = ()
    spread: tuple[str, ...] = ()
    """`labels.<name>`, `hostname` or `role`: replicas are spread over the values; the first entry counts most."""
    most_per_host: int | None = None
    """Most replicas of the service on one host; None: any number."""

    def unmet(self, host: HostIntent) -> Constraint | None:
        """Return the first constraint that does not hold for a host; None: the host may run replicas."""
        return next((each for each in self.constraints if not each.met_by(host)), None)


ANYWHERE = Where()


class BridgeIntent(Frozen):
    """docker_gwbridge, equal on every host. `options` always name the bridge."""

    subnet: IPv4Network
    gateway: IPv4Address
    options: Pairs
    method: BridgeMethod = "parking"
    """Method of a change on a host in the swarm: under running containers (parking), or by rejoin."""


class SwarmIntent(Frozen):
    """Settings of the swarm. Only init can set the address pool."""

    default_addr_pool: tuple[IPv4Network, ...]
    mask_length: int = 24
    data_path_port: int | None = None
    rotate_tokens: Rotation = "after-join"
    """after-join: join tokens are rotated when the last declared host has joined."""
    token_ttl_s: float = 900.0
    """Seconds after which published join tokens are rotated."""
    autolock: bool | None = None
    """None: left as it is, or turned off if a document declared it before."""


class Handover(Frozen):
    """The order that another host becomes the leader. It is carried out once, by the leader elected before `at`."""

    at: str
    """Time of the order, RFC 3339 in UTC."""
    to: str


class PolicyIntent(Frozen):
    """The limits within which the document is carried out."""

    mode: Mode = "enforce"
    unmanaged: Unmanaged = "ignore"
    max_unavailable_hosts: int = 1
    deletion_guard_percent: int | None = None
    """An edit that removes a larger share of the replicas, or most managers, waits for a token; None: no guard."""
    confirm: str = ""
    """Confirmation token of the edit that the operator has confirmed (agent/intent/guard.py); empty: none."""
    allow_network_recreate: bool = False
    """True: an overlay that differs from the document may be recreated; all containers on it restart then."""
    resolve_digests: bool = False
    """True: the leader resolves every tag to a digest once for each document, so that all hosts run the same image."""
    reserve_addresses: bool = False
    """True: every replica has a reserved address on each overlay; False: only replicas that use {{.Overlay.IP}}."""
    reschedule_after_s: float = 60.0
    """Seconds for which a host must be lost before its replicas are rescheduled."""
    handover: Handover | None = None


class NetworkIntent(Frozen):
    """A network. `key` is its name in the document, `name` in Docker."""

    key: str
    name: str
    driver: NetworkDriver
    attachable: bool = True
    subnet: IPv4Network | None = None
    gateway: IPv4Address | None = None
    options: Pairs = ()
    external: bool = False
    """True: the network is used, and never created or removed by an agent."""
    internal: bool = False
    labels: Pairs = ()


class VolumeIntent(Frozen):
    """A named volume. `key` is its name in the document, `name` in Docker."""

    key: str
    name: str
    driver: str = LOCAL_DRIVER
    options: Pairs = field(default=(), repr=False)
    """Options of the driver. They may contain the password of a network share."""
    external: bool = False
    labels: Pairs = ()


class Update(Frozen):
    """Settings of a rollout; the defaults are Swarm's."""

    parallelism: int = 1
    """Most replicas that are updated at the same time; 0: all."""
    order: UpdateOrder = "stop-first"
    failure_action: FailureAction = "pause"
    monitor_s: float = 5.0
    delay_s: float = 0.0
    max_failure_ratio: float = 0.0


class ServiceIntent(Deriving):
    """A service: the spec of its replicas, and their number for each host or in total."""

    name: str
    spec: ContainerSpec
    placement: tuple[tuple[str, int], ...] = ()
    """(host, replicas) in the document's order, which also orders the slots. Empty if the scheduler picks the hosts."""
    replicas: int | None = None
    """Number of replicas on hosts that the scheduler picks; None: `placement` gives the hosts."""
    everywhere: bool = False
    """True if `placement` names every eligible host (mode global), False if the document names its hosts."""
    where: Where = ANYWHERE
    """Limits on the hosts that may run replicas. `placement` names no other hosts."""
    update: Update = Update()
    rollback: Update | None = None
    """Settings of a rollback; None: those of `update`."""
    pull: Pull = "missing"
    reserved_nano_cpus: int = 0
    """Billionths of a CPU that each replica reserves for the scheduler. The spec has the reserved memory."""
    rebalanced_at: str = ""
    """Time of the last order to spread the replicas evenly again, RFC 3339 in UTC; empty: there is none."""
    depends_on: tuple[tuple[str, str], ...] = ()
    """(service, service_started | service_healthy | service_completed_successfully), sorted."""

    @cached_property
    def spec_hash(self) -> str:
        """Return the hash of the spec."""
        return spec_hash(self.spec)

    @property
    def replica_count(self) -> int:
        """Return the desired number of replicas on all hosts."""
        return sum(count for _, count in self.placement) if self.replicas is None else self.replicas


class Intent(Deriving):
    """The desired state of one cluster. `revision` is the mod_revision of the document in etcd."""

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
    """Hash of the document without its confirmation token."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """Keys of the document that have no effect, one sentence each."""

    @property
    def managers(self) -> tuple[HostIntent, ...]:
        """Return the hosts that are declared managers, in the document's order."""
        return tuple(each for each in self.hosts if each.role == "manager")

    @property
    def made_volumes(self) -> tuple[VolumeIntent, ...]:
        """Return the volumes that agents make; the others are external."""
        return tuple(each for each in self.volumes if not each.external)

    @cached_property
    def jobs(self) -> frozenset[str]:
        """Return the names of the services that another service needs completed."""
        needs = (each for service in self.services for each in service.depends_on)
        return frozenset(name for name, condition in needs if condition == "service_completed_successfully")

    def host(self, name: str) -> HostIntent | None:
        return self._hosts.get(name)

    def service(self, name: str) -> ServiceIntent | None:
        return self._services.get(name)

    def counted(self, host: str, found: Assignment, epoch: int) -> Assignment:
        """Return the assignment of `host` as that of this document if it asks the same of the host, else as it is.

        `epoch`: that in which the document was accepted. Replicas of another spec are then `pending`.
        """
        if not found.asks or found.epoch != epoch or found.revision >= self.revision:
            return found
        same = found.asks == self.asks_of(host, found.by_service)
        return replace(found, revision=self.revision, pending=self.pending(found.specs)) if same else found

    def pending(self, specs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """Return the services that this document gives another spec than one of `specs`, each (service, its hash)."""
        services = ((self._services.get(name), spec) for name, spec in specs)
        return tuple(sorted({each.name for each, spec in services if each and each.spec_hash != spec}))

    def asks_of(self, host: str, services: Iterable[str]) -> str:
        """Return a hash of what the document asks of a host that has replicas of `services`, without their specs.

        A later document with the same hash asks nothing else of it until a rollout gives a replica its new spec. Empty:
        no other document is known to ask the same.
        """
        if self.policy.resolve_digests:  # the leader asks the registries again for each document
            return ""
        named = tuple(sorted({*services, *self._placed.get(host, ())}))
        if named not in self._asks:
            parts = (self._parts.get(each, b"") for each in ("", *named))
            self._asks[named] = hashlib.sha256(b"\n".join(parts)).hexdigest()[:16]
        return self._asks[named]

    @cached_property
    def _asks(self) -> dict[tuple[str, ...], str]:
        return {}

    @cached_property
    def _parts(self) -> Mapping[str, bytes]:
        """Return the JSON of each service but its spec, and under the empty name that of the rest.

        Without defaults: a later version of the agent, with more fields, has the same.
        """
        policy = replace(self.policy, handover=None)  # asks nothing of hosts
        rest = replace(self, revision=0, digest="", notes=(), services=(), policy=policy)
        every = {**self._services, "": rest}.items()
        plain = ((name, {**without_defaults(each), "spec": ""}) for name, each in every)
        return {name: msgspec.json.encode(each, enc_hook=str, order="sorted") for name, each in plain}

    @cached_property
    def _placed(self) -> Mapping[str, set[str]]:
        """Return the services that the document puts on each host."""
        placed: dict[str, set[str]] = {}
        for service in self.services:
            for host, _ in service.placement:
                placed.setdefault(host, set()).add(service.name)
        return placed

    @cached_property
    def _hosts(self) -> Mapping[str, HostIntent]:
        return {each.name: each for each in self.hosts}

    @cached_property
    def _services(self) -> Mapping[str, ServiceIntent]:
        return {each.name: each for each in self.services}

    def network(self, name: str) -> NetworkIntent | None:
        """Return the network that Docker knows by `name`, or None."""
        return next((each for each in self.networks if each.name == name), None)

    def volume(self, name: str) -> VolumeIntent | None:
        """Return the volume that Docker knows by `name`, or None."""
        return next((each for each in self.volumes if each.name == name), None)
