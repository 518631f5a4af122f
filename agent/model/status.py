"""What a host says of itself."""

from dataclasses import dataclass, field
from typing import Literal

from agent.model.spec import Key, Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedReport:
    resource: str
    reason: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceReport:
    """A field of a running replica that is not as its spec says, word for word as the host observed it."""

    field: str
    wanted: str
    found: str
    repair: Literal["replace", "update", "reconnect", "none"]
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaReport:
    """A replica as last seen on its host."""

    service: str
    slot: int
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
    """As the accepted assignment on its host says: should etcd lose that, the leader can read it here."""
    differences: tuple[DifferenceReport, ...] = ()
    image: str = ""
    """Id of the image it was made from."""
    image_now: str = ""
    """Id of what its image's tag means on this host now, where that is another one."""
    crashes: int = 0
    """How often in a row it ended soon after its start."""
    output: tuple[str, ...] = field(default=(), repr=False)
    """The last lines it wrote before it ended last, while it goes on doing that."""

    @property
    def key(self) -> Key:
        return self.service, self.slot


Phase = Literal["", "right", "waiting", "moving", "held"]


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
    phase: Phase = ""
    """right: as agreed, and every container has its gateway on it; waiting: for the disruption slot; held: blocked, and
    not by others; moving: all else. Empty: nothing is agreed yet, or the host is outside the swarm."""
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
    """Of an overlay that replicas here are on: addresses of the hosts on it that this one has heard of."""
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

    `agent/diff/reported.py` makes an observation of it again. What nobody would decide upon is left out,
    so that the record changes only when something worth telling does.
    """

    instance: str
    """The run of the agent that wrote it: a status of an earlier run says nothing about now."""
    at: str
    agent_version: str
    engine_version: str = ""
    engine_up: bool = False
    engine_error: str = ""
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
    epoch: int | None = None
    """Of what it goes by, as in Accepted; None: it does not say so."""
    revision: int = 0
    """The accepted revision this host has carried out in full; 0: none yet."""
    bridge: BridgeReport = BridgeReport()
    networks: tuple[NetworkReport, ...] = ()
    images: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    foreign_names: tuple[str, ...] = ()
    """Containers that are not ours but have a name that replicas of this project could get: `<project>-...`."""
    routes: Pairs = ()
    """(destination, device), only while docker_gwbridge is not as agreed: a new one must not overlap them."""
    addresses: Pairs = ()
    """(address/prefix, device) of every device, only while docker_gwbridge is not as agreed, as above."""
    attached: tuple[AttachedReport, ...] = ()
    """While docker_gwbridge is not as agreed: every container here, whom its change may touch. Else those that are on
    an overlay: whom a change of that, or of docker_gwbridge, would touch."""
    replicas: tuple[ReplicaReport, ...] = ()
    steps: tuple[str, ...] = ()
    """What is still to be done."""
    blocked: tuple[BlockedReport, ...] = ()
