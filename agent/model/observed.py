"""What was seen: one snapshot of the host and of etcd, which the planner decides upon and nobody changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from typing import Literal

from agent.model.autolock import UnlockKeys
from agent.model.faults import Fault
from agent.model.intent import GWBRIDGE, Intent
from agent.model.records import (
    Assignment,
    Copy,
    Digests,
    Disruption,
    HostStatus,
    Presence,
    Ruling,
    SwarmRecord,
    Tokens,
    Verdict,
)
from agent.model.rollout import CopyKey, CopyWatch, Rollout
from agent.model.spec import ContainerSpec, Pairs
from agent.model.store import Fence

GOSSIP = "7946/tcp"
"""Where the dockerds of a swarm tell each other who is on which overlay (docs.docker.com: swarm mode, open ports)."""

GivenOut = tuple[tuple[str, str, str], ...]
"""(address, what, node id): who the swarm has given an address on an overlay, and where."""

LocalState = Literal["inactive", "pending", "active", "error", "locked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A node as a swarm manager lists it."""

    id: str
    hostname: str
    role: Literal["manager", "worker"]
    availability: Literal["active", "pause", "drain"]
    state: str
    """ready, down, unknown or disconnected, as the swarm calls it."""
    address: str
    leader: bool = False
    reachable: bool | None = None
    """Managers only: whether raft reaches it."""
    manager_address: str = ""
    """Managers only: address:port to join at."""
    labels: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmState:
    """The host's own swarm membership. `local` and `error` are Docker's words."""

    local: LocalState
    error: str = ""
    node_id: str | None = None
    swarm_id: str | None = None
    """Known on managers, and on workers from their node certificate; None when it cannot be told."""
    is_manager: bool = False
    address: str | None = None
    managers: Pairs = ()
    """(node id, address:port) of the managers this node knows."""
    nodes: tuple[NodeState, ...] | None = None
    """Managers only; None when not asked, or when the swarm has no leader to answer."""
    pool: tuple[IPv4Network, ...] = ()
    """What the swarm was made with to take the subnets of overlays from. A worker has it from the recorded swarm."""
    joined_through: str | None = None
    """address:port of the manager that this run of the agent had it join through; empty: it made the swarm; None: not
    known. dockerd asks there again when it shall become a manager, until it is started anew."""
    tokens: Tokens | None = field(default=None, repr=False)
    """The join tokens that are good now; known only to who leads, and while there are published ones to compare."""
    autolock: bool | None = None
    """Whether a manager is locked when its dockerd starts; None: not known, as on a worker."""
    unlock_key: str = field(default="", repr=False)
    """What unlocks it; known only to who leads, and while autolock is declared and on."""

    @property
    def leaderless(self) -> bool:
        """Whether this manager gets no answer from a leader: nothing new can step onto an overlay meanwhile."""
        return self.local == "active" and self.is_manager and self.nodes is None

    @property
    def unsettled(self) -> bool:
        """Whether it may change any moment, of which dockerd sends no event."""
        return self.local in ("pending", "locked") or self.leaderless


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """A network of the engine. An overlay that was created but never allocated has an empty driver."""

    id: str
    name: str
    driver: str
    scope: str
    subnet: IPv4Network | None
    gateway: str | None
    options: Pairs = ()
    attachable: bool = False
    internal: bool = False
    labels: Pairs = ()
    endpoints: Pairs = ()
    """(whose, name) of the endpoints on it, for docker_gwbridge and the temporary network beside it: whose is the id of
    a container, or `ingress-sbox`."""
    ours: bool = False
    """Whether it carries the label of this cluster: then an agent made it."""
    peers: tuple[str, ...] = ()
    """An overlay that copies here are on: addresses of the hosts on it that this one has heard of, its own among them.
    Empty: not looked at."""
    users: Pairs = ()
    """An overlay of ours, seen by the leader: (what, node id) of all that keeps the swarm from removing it; containers
    by id, services (without a node) as `service <name>`."""
    holders: GivenOut | None = None
    """An overlay that addresses are pinned on, seen by the leader: (address, what, node id) of all addresses that the
    swarm has given out, with `what` as above. None: not looked at, or it could not be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field of a running copy that is not as its spec says: changed by hand, or lost."""

    field: str
    wanted: str
    found: str
    repair: Literal["replace", "update", "reconnect", "none"]
    """replace: needs a new container; update: `docker update`; reconnect: leave and join the network `subject`; none:
    this engine or kernel cannot do it and dropped it, so nothing helps."""
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.wanted} wanted, {self.found} found"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """A container that carries our labels for this cluster."""

    id: str
    name: str
    copy: Copy
    """What its labels say it is."""
    status: Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
    health: str = ""
    """starting, healthy, unhealthy, or empty when the image has no check."""
    exit_code: int = 0
    error: str = ""
    """Docker's own words when it could not be started."""
    started_at: str = ""
    finished_at: str = ""
    restarts: int = 0
    addresses: Pairs = ()
    """(network, IPv4 address) of every network it belongs to; no address while it does not run."""
    up_s: float = 0.0
    """How long this agent has seen it run since it was started last."""
    image: str = ""
    """Id of the image it was made from; empty: not known."""
    crashes: int = 0
    """How often in a row it ended soon after its start, as far as this run of the agent has seen."""
    rests_s: float = 0.0
    """How long the agent leaves it ended before it starts it again, from now on."""
    output: tuple[str, ...] = field(default=(), repr=False)
    """The last lines it wrote before it ended last, while it goes on doing that; without what is known to be secret."""
    busy: bool = False
    """dockerd is working on it, and answers for it only when that is done: little else is known then."""
    differences: tuple[Difference, ...] = ()
    """Against the spec its label names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A container, ours or not, and the networks it is on, or will be on when it is started."""

    id: str
    name: str
    running: bool = True
    """Or paused: it has its networks now."""
    networks: tuple[str, ...] = ()
    """Their names, sorted."""
    ports: tuple[str, ...] = ()
    """What it publishes on the host, as `8080/tcp` or, on one address only, `10.0.0.1:8080/tcp`; sorted."""
    task: bool = False
    """Of a swarm service: the swarm made it, and takes it away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """A network device as the kernel has it."""

    address: IPv4Interface | None
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """One host: its engine and its kernel."""

    engine_version: str
    live_restore: bool
    swarm: SwarmState
    settles_in_s: float = 0.0
    """How long ago the host came into the swarm is too short by so much for its first step onto an overlay."""
    networks: tuple[NetworkState, ...] = ()
    containers: tuple[ContainerState, ...] = ()
    foreign_names: Pairs = ()
    """(name, id) of the containers that are not ours."""
    attached: tuple[Attached, ...] = ()
    """Every container of the engine, by name."""
    doubtful: frozenset[str] = frozenset()
    """Ids of those that lack their gateway, but not for long: one that ends has lost it before docker says so. And of
    those that have one and do not run, but not for long: one that starts has it before docker says so."""
    images: frozenset[str] = frozenset()
    """Those of the wanted image references that are here, and other tags of their repositories: a step back to one
    of those pulls nothing, and a plan should know."""
    image_ids: Pairs = ()
    """(reference, id) of the wanted image references that are here, sorted."""
    pulled: Mapping[str, float] = field(default_factory=dict)
    """Image reference -> how long ago this run of the agent last pulled it, in seconds."""
    volumes: frozenset[str] = frozenset()
    bridge_link: LinkState | None = None
    """The device docker_gwbridge; None when the kernel has none."""
    routes: tuple[tuple[IPv4Network, str], ...] = ()
    """(destination, device), without the default route."""
    listening: tuple[str, ...] | None = None
    """What processes listen on, in the form of `Attached.ports`; None: not looked, as no start has failed for it and
    the host is in a swarm."""
    addresses: tuple[tuple[IPv4Interface, str], ...] = ()
    """(address, device) of every device that has one, up or down: a device that is down has no route."""

    @property
    def gossip_is_taken(self) -> bool:
        """Whether somebody listens where dockerd will talk to the other hosts about overlays once it is in a swarm."""
        return any(f":{each}".endswith(f":{GOSSIP}") for each in self.listening or ())

    def network(self, name: str) -> NetworkState | None:
        """The network of that name; of several (engine 20.10 allows it) the first."""
        return next((each for each in self.networks if each.name == name), None)

    @property
    def bridges(self) -> tuple[NetworkState, ...]:
        """Every network named docker_gwbridge: there should be one at most."""
        return tuple(each for each in self.networks if each.name == GWBRIDGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The operator's document as found in etcd: parsed, or what is wrong with it."""

    revision: int
    intent: Intent | None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """What etcd held at `revision`, as far as this agent reads it."""

    revision: int
    document: Document | None = None
    """The newest, accepted or not; None: there is no intent key."""
    accepted: Intent | None = None
    """What is in force: what etcd says, unless this host knows something newer."""
    era: int = 0
    """Of what is in force: how often an operator has confirmed an etcd that had gone back."""
    went_back: str = ""
    """What in etcd is older than what this host knows to be accepted, in words; empty: nothing."""
    confirmed: bool = False
    """Whether an operator has put `document` since that was noticed, or it is what is in force anyway."""
    verdict: Verdict | None = None
    leader: str | None = None
    """Host name of the holder of the leader lock."""
    record: SwarmRecord | None = None
    record_revision: int = 0
    """mod_revision of the record; 0: there is none."""
    tokens: Tokens | None = None
    tokens_exposed: bool = False
    """Whether they are there unsealed, though this host has a key to seal them with."""
    tokens_locked: bool = False
    """Whether they are sealed with a key that this host does not have."""
    unlock: UnlockKeys | None = None
    unlock_aged: bool = False
    """Whether they are sealed otherwise than this host would seal them now."""
    unlock_locked: bool = False
    """Whether they are there and this host cannot open them."""
    can_seal: bool = True
    """Whether this host has a key to seal with."""
    disruption: Disruption | None = None
    disruption_revision: int = 0
    """mod_revision of the disruption; 0: there is none."""
    assignment: Assignment | None = None
    """This host's own."""
    assignment_held: bool = False
    """Whether it is not in etcd like that any more."""
    ruling: Ruling | None = None
    """Of this host's membership."""
    presence: Presence | None = None
    """Whichever agent is there under this host's name."""
    specs: Mapping[str, ContainerSpec] = field(default_factory=dict)
    """By hash: those this host's assignment and containers name."""
    garbage: Pairs = ()
    """(key, problem) of the keys of ours that could not be read: they are held, never guessed at."""
    newer: tuple[str, ...] = ()
    """Of those, the keys that a newer agent has written as leader."""
    # The leader's own reading; empty on everybody else.
    assignments: Mapping[str, Assignment] = field(default_factory=dict)
    stored_specs: frozenset[str] = frozenset()
    rulings: Mapping[str, Ruling] = field(default_factory=dict)
    statuses: Mapping[str, HostStatus] = field(default_factory=dict)
    present: Mapping[str, str] = field(default_factory=dict)
    """Host -> the agent instance that is there now."""
    digests: Digests | None = None
    digests_revision: int = 0
    """mod_revision of the digests; 0: there are none."""
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    """By service: those that are under way or did not come out as the intent says."""

    def status_of(self, host: str) -> HostStatus | None:
        """What a host says of itself, if it says it in this run of its agent."""
        status = self.statuses.get(host)
        return status if status and self.present.get(host) == status.instance else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything a plan is made from."""

    me: str
    """This host's name in the intent."""
    host: HostState | None
    """None: dockerd does not answer."""
    cluster: ClusterState | None
    """None: etcd does not answer and nothing is known from before."""
    stale: bool = False
    """etcd does not answer; `cluster` is what it said last."""
    store_fault: str = ""
    """Why etcd could not be read, in words."""
    source: Literal["etcd", "disk"] = "etcd"
    """Where the assignment that counts is from; disk: what was kept there, by this run of the agent or before."""
    seen_at: float = 0.0
    """When etcd last said so, as far as is known, in seconds since the epoch; 0: never."""
    state_fault: str = ""
    """Why what is in force is not kept on this host's disk, in words; empty: it is."""
    engine_fault: str = ""
    """Why dockerd could not be read, in words."""
    engine_away_s: float = 0.0
    """How long dockerd has not answered, in seconds; 0: it does."""
    fence: Fence | None = None
    """None: not leading."""
    lease: bool = False
    """Whether a lease is provably ours now: without one nobody may campaign."""
    in_flight: frozenset[str] = frozenset()
    """The resources that steps are working on: nothing more is planned for them meanwhile."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Resource -> why the last try of the step that is planned for it failed, in the words of the other side."""
    instance: str = ""
    """This run of the agent, as its presence names it."""
    boot_id: str = ""
    """This boot of the machine."""
    machine_id: str = ""
    """The machine, as long as nobody copies it."""
    advertise: str | None = None
    """The operator's own choice of address (agent.yaml); None: the one the intent declares."""
    watches: Mapping[CopyKey, CopyWatch] = field(default_factory=dict)
    """Of each assigned copy, what this leader has seen of it over time; empty on everybody else."""
    tokens_age_s: float = 0.0
    """How long this leader has seen the published join tokens as they are; 0 on everybody else."""
    reveals: bool = False
    """Whether reasons may hold values that can be secret: for an operator who asked for them, never for an agent."""
    lost_s: Mapping[str, float] = field(default_factory=dict)
    """Host -> for how many seconds this leader has seen it gone, its agent and its node, as
    `agent/planner/swarm/absence.py` tells that."""
