"""The swarm, as the dockerd of a host tells of it: how that host is in it, and its nodes."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Literal

from agent.model.records import SwarmRecord, Tokens
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
