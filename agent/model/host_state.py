"""The state of one host as its dockerd and its kernel report it: swarm, networks and containers."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import cached_property
from ipaddress import IPv4Interface, IPv4Network
from typing import ClassVar, Literal

from agent.model import Deriving, Frozen
from agent.model.intent import GWBRIDGE, NO_MACHINE, Machine
from agent.model.phrases import differs
from agent.model.records import Replica, SwarmRecord, Tokens
from agent.model.spec import Key, Pairs

LocalState = Literal["inactive", "pending", "active", "error", "locked"]


class NodeState(Frozen):
    """A node as a swarm manager lists it."""

    id: str
    hostname: str
    role: Literal["manager", "worker"]
    availability: Literal["active", "pause", "drain"]
    state: str
    """ready, down, unknown or disconnected: Swarm's words."""
    address: str
    leader: bool = False
    reachable: bool | None = None
    """Managers only: True if raft reaches the node; None on a worker."""
    manager_address: str = ""
    """Managers only: address:port through which a host can join."""
    labels: Pairs = ()
    version: int = field(default=0, compare=False)
    """Swarm's version index. Every change of the node increments it, a heartbeat does not. An update names it."""

    @property
    def has_no_vote(self) -> bool:
        """Return True if the node is not in the raft group and will not be: a worker, or down before its promotion."""
        return self.reachable is None and (self.role == "worker" or self.state == "down")


class SwarmState(Frozen):
    """The swarm membership of the host. `local` and `error` are Docker's words."""

    local: LocalState
    error: str = ""
    node_id: str | None = None
    swarm_id: str | None = None
    """Known on managers, and on workers from their node certificate; None: not known."""
    is_manager: bool = False
    address: str | None = None
    managers: Pairs = ()
    """(node id, address:port) of the managers this node knows."""
    nodes: tuple[NodeState, ...] | None = None
    """Managers only; None: not read, or the swarm has no raft leader."""
    pool: tuple[IPv4Network, ...] = ()
    """Address pool for the subnets of overlays, as given at init. On a worker it is from the recorded swarm."""
    made_here: bool = False
    """Managers only: True if the swarm is marked as made by an agent of this cluster."""
    cluster: str = ""
    """Managers only: name of the cluster in the label of the swarm; empty: no agent made it."""
    joined_through: str | None = None
    """address:port of the manager through which this run of the agent joined the host; empty: it made the swarm; None:
    not known. Until dockerd restarts, it asks that manager again when the node is promoted."""
    tokens: Tokens | None = field(default=None, repr=False)
    """Leader only: the join tokens that the swarm accepts now. None: not read, as no tokens are published."""
    autolock: bool | None = None
    """True if a manager is locked after its dockerd starts; None: not known, as on a worker."""
    unlock_key: str = field(default="", repr=False)
    """Leader only: the current unlock key, while autolock is declared and on; else empty."""

    @property
    def leaderless(self) -> bool:
        """Return True if this manager gets no answer from a raft leader. No container can join a new overlay then."""
        return self.local == "active" and self.is_manager and self.nodes is None

    @property
    def cut_off(self) -> bool:
        """Return True if this manager finds no raft leader, also while its dockerd starts."""
        return self.leaderless or (self.local == "pending" and self.is_manager)

    @property
    def unsettled(self) -> bool:
        """Return True if the membership may change at any moment. dockerd sends no event for such a change."""
        return self.local in ("pending", "locked") or self.leaderless


def other_swarm(record: SwarmRecord | None, swarm: SwarmState) -> str:
    """Return a description of the other swarm that this host is in; empty: the recorded swarm, or not known.

    GET /info reports the swarm's id to managers only, and not while the swarm has no raft leader. Every node knows the
    managers of its swarm.
    """
    if record is None:
        return ""
    if swarm.swarm_id:
        return f"swarm {swarm.swarm_id}" if record.swarm_id not in (None, swarm.swarm_id) else ""
    known, recorded = {node for node, _ in swarm.managers}, {node for node, _ in record.managers}
    strangers = known and recorded and not known & recorded
    return f"the swarm managed by {', '.join(sorted(known))}" if strangers else ""


GivenOut = tuple[tuple[str, str, str], ...]
"""(address, user, node id) of each address that the swarm has allocated on an overlay."""


class NetworkFacts(Frozen):
    """The fields that the observation of a network and a report of it share."""

    id: str
    name: str
    driver: str
    """Empty: an overlay that was created and never allocated."""
    scope: str
    options: Pairs = ()
    attachable: bool = False
    internal: bool = False
    labels: Pairs = ()
    endpoints: Pairs = ()
    """docker_gwbridge and the parking network only: (owner, name) of each endpoint. The owner is the id of a container,
    or `ingress-sbox`."""
    ours: bool = False
    """True if the network carries the label of this cluster: an agent made it."""
    cluster: str = ""
    """Name of the cluster in its label, which may be another cluster; empty: it has no such label."""
    peers: tuple[str, ...] = ()
    """Overlays with replicas of this host only: addresses of the hosts on the overlay that gossip has reported, this
    host included. Empty: not read."""
    own_address: str = ""
    """The same overlays only: address of this host's own endpoint. No manager lists it."""
    users: Pairs = ()
    """Managed overlays, leader only: (user, node id) of everything that keeps the swarm from removing the overlay. A
    user is the id of a container, or `service <name>` with an empty node id."""
    left_behind: bool = False
    """True: an overlay that this engine has, while the swarm no longer has it. Only managers see the difference."""


class NetworkState(NetworkFacts):
    subnet: IPv4Network | None
    gateway: str | None
    address_users: GivenOut | None = None
    """Overlays with reserved addresses, leader only: every address that the swarm has allocated. None: not read, or not
    known."""
    duplicates: tuple[str, ...] = ()  # of OverlayPeers, while an order is about an address


class VolumeState(Frozen):
    name: str
    driver: str = "local"
    options: Pairs = field(default=(), repr=False)
    """Options of the driver. They may contain the password of a network share."""
    labels: Pairs = ()
    of_cluster: str = ""
    """Name of another cluster that is in its label."""


class LinkState(Frozen):
    """A network device as the kernel reports it."""

    address: IPv4Interface | None
    up: bool


Repair = Literal["replace", "update", "reconnect", "none"]


class Difference(Frozen):
    """A field of a container, a network, docker_gwbridge or a node that differs from its declaration."""

    field: str
    """A word of few values: a metric has it as a label."""
    wanted: str
    found: str
    repair: Repair
    """replace: with a new container, network or bridge; update: in place; reconnect: leave the network `subject` and
    join it again; none: it stays, as the agent changes no local network, or this engine or kernel dropped the field."""
    subject: str = ""
    text: str = ""
    """The difference as a sentence, if its two values alone do not tell it."""

    @classmethod
    def of(cls, field: str, wanted: object, found: object, repair: Repair, text: str = "") -> "Difference":
        """Return the difference between two values; a `found` of None is none."""
        shown = "none" if found is None else str(found)
        return cls(field=field, wanted=str(wanted), found=shown, repair=repair, text=text)

    def __str__(self) -> str:
        return self.text or differs(self.field, self.wanted, self.found)


def describe(differences: Iterable[Difference]) -> str:
    """Return the differences as one line, for the reason of a step or of a blocked resource."""
    return "; ".join(map(str, differences))


class ContainerFacts(Frozen):
    """The fields that the observation of a managed container and a report of it share."""

    id: str
    name: str
    status: Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
    health: str = ""
    """starting, healthy, unhealthy; empty: the image has no check."""
    exit_code: int = 0
    error: str = ""
    """Docker's error of the last failed start."""
    interrupted: bool = False
    """True if this host's agent stopped its last run. Such a run has not finished, whatever its exit code."""
    started_at: str = ""
    restarts: int = 0
    addresses: Pairs = ()
    """(network, IPv4 address) of every network of the container; the address is empty while it does not run."""
    network_ids: Pairs = ()
    """(network, id) of its endpoints: a host may have several networks of one name. Empty before its first start."""
    ports: Pairs = ()
    """(port of the container, port of the host) for each port of the host that the engine chose, as (`80/tcp`,
    `49153`)."""
    steady: bool = False
    """True if the container has run since its last start for the `monitor` of its service."""
    image: str = ""
    """Id of the image of the container; empty: not known."""
    volumes: Pairs = ()
    """(path in the container, name) of its anonymous volumes, also of those that the image declares; sorted."""
    crashes: int = 0
    """Number of starts in a row after which the container soon ended, as seen by this run of the agent."""
    output: tuple[str, ...] = field(default=(), repr=False)
    """The last lines of output before the last end, while the container keeps ending. Known secrets are removed."""
    differences: tuple[Difference, ...] = ()
    """Differences from the spec that the label names."""


class ContainerState(ContainerFacts):
    """A container with the labels of this cluster."""

    replica: Replica
    """The replica that the labels of the container name."""
    health_output: str = field(default="", repr=False)
    """Output of the last failed health check, at most 1,000 characters. Known secrets are removed."""
    finished_at: str = ""
    up_s: float = 0.0
    """Seconds for which this agent has seen the container run since its last start."""
    steady_in_s: float = 0.0
    """Seconds until the running container becomes steady; 0: it is, or it does not run."""
    shape: str = ""
    """Value of the label with the hash of what cannot change in place; empty: not known."""
    grace_s: float | None = None
    """Stop timeout of the container in seconds; None: not set, or not known."""
    restart_backoff_s: float = 0.0
    """Seconds until the agent starts the ended container again."""
    left_task: Literal["", "empty", "alive"] = ""
    """The task that containerd has kept of the last run, against any start: without processes, or maybe with some."""
    locked_by_engine: bool = False
    """True while dockerd works on the container and answers no inspect of it. Most other fields are not known then."""


class FinishedRun(Frozen):
    """A run that ended and is not to be repeated. Its container may be removed since."""

    spec: str
    shape: str
    """Value of the container's label with the hash of what cannot change in place."""
    id: str
    name: str
    exit_code: int = 0
    started_at: str = ""
    finished_at: str = ""
    restarts: int = 0
    error: ClassVar[str] = ""
    status: ClassVar[Literal["exited"]] = "exited"
    interrupted: ClassVar[bool] = False


class Remembered(Frozen):
    """Facts about a replica that outlive its container: its anonymous volumes and its finished run."""

    service: str
    slot: int
    volumes: Pairs = ()
    """(path in the container, name of the volume) of its anonymous volumes on this host, sorted."""
    run: FinishedRun | None = None
    """None: the replica has not finished, or is not assigned to this host."""

    @property
    def key(self) -> Key:
        return self.service, self.slot


class Attached(Frozen):
    """A container, managed or not, and its networks, of which it joins those of a stopped container at its start."""

    id: str
    name: str
    running: bool = True
    """True also for a paused container, which keeps its networks."""
    networks: tuple[str, ...] = ()
    """Names, sorted."""
    network_ids: Pairs = ()
    """(network, id) for the names that several networks of the host have."""
    ports: tuple[str, ...] = ()
    """Published ports, as `8080/tcp` or, on one address only, `10.0.0.1:8080/tcp`; sorted."""
    task: bool = False
    """True for a task of a swarm service, which the swarm creates and removes."""


GOSSIP, RAFT = "7946/tcp", "2377/tcp"
"""Ports of every dockerd in a swarm, and of managers only (docs.docker.com: swarm mode, open ports)."""


class HostState(Deriving):
    """One host: its engine and its kernel."""

    engine_version: str
    live_restore: bool
    swarm: SwarmState
    machine: Machine = NO_MACHINE
    no_swarm: str = ""
    """The reason why the engine refuses init and join, with the remedy; empty: it does not."""
    settles_in_s: float = 0.0
    """Seconds until the host has been in the swarm for long enough to start its first container on an overlay."""
    networks: tuple[NetworkState, ...] = ()
    containers: tuple[ContainerState, ...] = ()
    stuck: tuple[ContainerState, ...] = ()
    """Managed containers, in no other list, that docker has failed to remove for a while. Only the names are known."""
    stuck_in_s: float = 0.0
    """Seconds until the next container counts as stuck; 0: docker removes none now."""
    foreign_names: Pairs = ()
    """(name, id) of the containers that are not managed."""
    attached: tuple[Attached, ...] = ()
    """Every container of the engine, by name."""
    settling: frozenset[str] = frozenset()
    """Ids of containers that have lacked their gateway for a moment only, and of stopped ones that have had one for a
    moment only: docker reports the end and the start of a container later."""
    images: frozenset[str] = frozenset()
    """Wanted image references that the engine has, and other tags of their repositories: a rollback to one of those
    pulls nothing, and `plan` must know that."""
    image_ids: Pairs = ()
    """(reference, id) of the wanted images that the engine has, sorted."""
    pulled: Mapping[str, float] = field(default_factory=dict)
    """Image reference -> seconds since this run of the agent last pulled it."""
    volumes: frozenset[str] = frozenset()
    """Names of the volumes, read if the document or the memory of the host names one."""
    declared_volumes: tuple[VolumeState, ...] = ()
    """The volumes that the document declares and the engine has."""
    image_volumes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Wanted image reference -> paths of the volumes that the image declares, for the images of replicas with
    remembered volumes."""
    remembered: tuple[Remembered, ...] = ()
    """Replicas with a finished run, or with anonymous volumes on this host, by service and slot."""
    bridge_link: LinkState | None = None
    """The device docker_gwbridge; None when the kernel has none."""
    bridge_seen_s: float = 0.0
    """Seconds for which this run of the agent has seen the present docker_gwbridge."""
    routes: tuple[tuple[IPv4Network, str], ...] = ()
    """(destination, device), without the default route."""
    listening: tuple[str, ...] | None = None
    """Ports on which processes listen, in the form of `Attached.ports`. None: not read, because no start has failed for
    a port or a network, none is to come on a port, and the host is in a swarm."""
    runtimes: frozenset[str] = frozenset()
    """Runtimes of the engine; empty: not known."""
    no_sysctls: frozenset[str] = frozenset()
    """Sysctls of assigned specs that the kernel does not have."""
    admission: str = ""
    """The admission policy in agent.yaml, as the host reports it; empty: not known."""
    most_replicas: int | None = None
    """Most replicas that the policy admits; None: any number."""
    not_admitted: Mapping[str, str] = field(default_factory=dict)
    """Hash of a spec -> what the admission policy of this host refuses of it, with the settings that would admit it."""
    addresses: tuple[tuple[IPv4Interface, str], ...] = ()
    """(address, device) of every device with an address, up or down: a device that is down has no route."""

    def volume(self, name: str) -> VolumeState | None:
        """Return the declared volume that Docker knows by `name`, or None."""
        return next((each for each in self.declared_volumes if each.name == name), None)

    @cached_property
    def by_key(self) -> Mapping[Key, tuple[ContainerState, ...]]:
        """Return the containers of each replica, of any spec."""
        found: dict[Key, tuple[ContainerState, ...]] = {}
        for each in self.containers:
            found[each.replica.key] = (*found.get(each.replica.key, ()), each)
        return found

    def memory_of(self, key: Key) -> Remembered | None:
        """Return what the host remembers of a replica; None: nothing."""
        return next((each for each in self.remembered if each.key == key), None)

    def has_listener(self, port: str) -> bool:
        """Return True if a process is known to listen on `port`, like `2377/tcp`, on all addresses or on one."""
        return any(f":{each}".endswith(f":{port}") for each in self.listening or ())

    @property
    def gossip_not_listening(self) -> bool:
        """Return True if the host is in a swarm and the gossip port is known to be free."""
        return self.swarm.local == "active" and self.listening is not None and not self.has_listener(GOSSIP)

    def network(self, name: str) -> NetworkState | None:
        """Return the network of that name; of several the first. For a declared one use `found_for`."""
        return next((each for each in self.networks if each.name == name), None)

    def network_of(self, found: Attached, name: str) -> NetworkState | None:
        """Return the network `name` on which the container is; None: the host does not list it."""
        named = [each for each in self.networks if each.name == name]
        if (network_id := dict(found.network_ids).get(name)) is not None:
            return next((each for each in named if each.id == network_id), None)
        return named[0] if named else None

    @property
    def bridges(self) -> tuple[NetworkState, ...]:
        """Return every network named docker_gwbridge. More than one is a fault of the engine."""
        return tuple(each for each in self.networks if each.name == GWBRIDGE)
