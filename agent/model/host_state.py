"""One host, as its dockerd and its kernel tell of it: the swarm, networks and containers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from typing import Literal

from agent.model.intent import GWBRIDGE
from agent.model.phrases import differs
from agent.model.records import Replica, SwarmRecord, Tokens
from agent.model.spec import Pairs

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
    version: int = field(default=0, compare=False)
    """Goes up with every change of the node, by whomever (not with a heartbeat): what is asked of it is held to it."""

    @property
    def has_no_vote(self) -> bool:
        """Whether it is not in the raft, and will not be: as a worker, or as one whose promotion came to nothing."""
        return self.reachable is None and (self.role == "worker" or self.state == "down")


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
    made_here: bool = False
    """Whether it says of itself that an agent of this cluster made it. Managers only."""
    joined_through: str | None = None
    """address:port of the manager that this run of the agent had it join through; empty: it made the swarm; None: not
    known. dockerd asks there again when it shall become a manager, until it is restarted."""
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


def other_swarm(record: SwarmRecord | None, swarm: SwarmState) -> str:
    """Which other swarm this host is in, in words; empty when it is in the recorded one, or that cannot be told.

    A worker does not know the id of its swarm (GET /info says it to managers only), nor does a manager while the swarm
    has no leader; but both know who manages it.
    """
    if record is None:
        return ""
    if swarm.swarm_id:
        return f"swarm {swarm.swarm_id}" if record.swarm_id not in (None, swarm.swarm_id) else ""
    known, recorded = {node for node, _ in swarm.managers}, {node for node, _ in record.managers}
    strangers = known and recorded and not known & recorded
    return f"the swarm managed by {', '.join(sorted(known))}" if strangers else ""


GivenOut = tuple[tuple[str, str, str], ...]
"""(address, what, node id): who the swarm has given an address on an overlay, and where."""


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
    """An overlay that replicas here are on: addresses of the hosts on it that this one has heard of, its own among
    them. Empty: not looked at."""
    users: Pairs = ()
    """An overlay of ours, seen by the leader: (what, node id) of all that keeps the swarm from removing it; containers
    by id, services (without a node) as `service <name>`."""
    holders: GivenOut | None = None
    """An overlay that addresses are pinned on, seen by the leader: (address, what, node id) of all addresses that the
    swarm has given out, with `what` as above. None: not looked at, or it could not be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """A network device as the kernel has it."""

    address: IPv4Interface | None
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field of a running replica that is not as its spec says: changed by hand, or lost."""

    field: str
    wanted: str
    found: str
    repair: Literal["replace", "update", "reconnect", "none"]
    """replace: needs a new container; update: `docker update`; reconnect: leave and join the network `subject`; none:
    this engine or kernel cannot do it and dropped it, so nothing helps."""
    subject: str = ""

    def __str__(self) -> str:
        return differs(self.field, self.wanted, self.found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """A container that carries our labels for this cluster."""

    id: str
    name: str
    replica: Replica
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
    grace_s: float | None = None
    """How long its stop may take, as it was made; None: that was not said, or is not known."""
    crashes: int = 0
    """How often in a row it ended soon after its start, as far as this run of the agent has seen."""
    restart_backoff_s: float = 0.0
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


GOSSIP = "7946/tcp"
"""Where the dockerds of a swarm tell each other who is on which overlay (docs.docker.com: swarm mode, open ports)."""


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
    settling: frozenset[str] = frozenset()
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
    """What processes listen on, in the form of `Attached.ports`; None: not looked, as no start has failed for it or
    for a network and the host is in a swarm."""
    addresses: tuple[tuple[IPv4Interface, str], ...] = ()
    """(address, device) of every device that has one, up or down: a device that is down has no route."""

    @property
    def gossip_port_in_use(self) -> bool:
        """Whether somebody listens where dockerd will talk to the other hosts about overlays once it is in a swarm."""
        return any(f":{each}".endswith(f":{GOSSIP}") for each in self.listening or ())

    @property
    def gossip_not_listening(self) -> bool:
        """Whether the host is in a swarm and nobody is seen to listen there; not so while nobody has looked."""
        return self.swarm.local == "active" and self.listening is not None and not self.gossip_port_in_use

    def network(self, name: str) -> NetworkState | None:
        """The network of that name; of several (engine 20.10 allows it) the first."""
        return next((each for each in self.networks if each.name == name), None)

    @property
    def bridges(self) -> tuple[NetworkState, ...]:
        """Every network named docker_gwbridge: there should be one at most."""
        return tuple(each for each in self.networks if each.name == GWBRIDGE)
