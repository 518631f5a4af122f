"""The status record that each host writes."""

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal

from agent.model import Deriving, Frozen
from agent.model.host_state import Attached, ContainerFacts, NetworkFacts, NodeState, Remembered
from agent.model.intent import NO_MACHINE, Machine
from agent.model.records import MembershipOrder
from agent.model.spec import Key, Pairs

UP = ("running", "paused", "restarting")
"""Docker's statuses of a container that runs or may start by itself."""


class BlockedReport(Frozen):
    resource: str
    reason: str
    kind: str
    order: MembershipOrder | None = None
    """The leader's order that the host cannot obey."""
    attempts: int = 0
    """Failed attempts of its step in a row; 0: no step failed."""


class Waiting(Frozen):
    """A resource whose difference ends by itself: an operation of Swarmkeeper is under way, or its cause is elsewhere.

    It is no fault. If its cause is a fault, `on` names the resource that has it.
    """

    resource: str
    reason: str
    on: str = ""
    """Condition key of the resource it waits for, as `host/node-2`, `service/db`, `replica/db-1`; empty: none."""

    def __str__(self) -> str:
        return f"waiting {self.resource}: {self.reason}"


class StepReport(Frozen):
    """A step that is planned or in flight."""

    resource: str
    verb: str
    text: str
    """The line of the log, with the progress of a pull."""
    leads: bool = False
    """True for a step that the host does as the leader, for the cluster."""


class ReplicaReport(ContainerFacts):
    """A replica as last seen on its host.

    `network_ids` has only those of networks of others that have the name of a declared overlay. `volumes` stay on the
    host when the replica moves. `steady` is by the clock of its host.
    """

    service: str
    slot: int
    spec: str
    reserved: Pairs = ()
    """Reserved addresses in the accepted assignment on the host. The leader recovers them from here if etcd loses
    them."""
    image_now: str = ""
    """Id of the image that the tag names on this host now; empty: the same."""
    removed: bool = False
    """True if the replica has finished and its container was removed since: the report is of its last state."""

    @property
    def key(self) -> Key:
        return self.service, self.slot


Phase = Literal["", "right", "waiting", "moving", "held"]


class BridgeReport(Frozen):
    """docker_gwbridge as docker and the kernel report it; empty strings if it does not exist."""

    subnet: str = ""
    gateway: str = ""
    options: Pairs = ()
    device: bool = False
    """True if the kernel has the device."""
    address: str = ""
    up: bool = False
    mesh: bool = True
    """True if the swarm's ingress sandbox has its gateway on the bridge; else the routing mesh of this host is down."""
    phase: Phase = ""
    """right: as declared, with the gateway of every container; waiting: for the disruption slot; held: blocked, but not
    by other hosts; moving: every other state; empty: no bridge is declared yet, or the host is outside the swarm."""
    revision: int = 0
    """Accepted revision to which `phase` refers."""


class NetworkReport(NetworkFacts):
    """A network of the host.

    `labels` has all labels if an agent of this cluster created the network, else only those of Swarmkeeper. `users` has
    those that no agent reports. `endpoints` is empty while docker_gwbridge is as declared. `peers` is empty unless the
    host has the disruption slot.
    """

    unseen: tuple[str, ...] = ()
    """The host with the disruption slot, if another one does not have its address among the peers."""

    subnet: str = ""
    gateway: str = ""


class JoinedReport(Frozen):
    """The join of the host as its present node, which decides through which manager it can be promoted."""

    node_id: str
    through: str | None
    """address:port of the manager that a promotion needs; empty: any manager; None: not known."""
    engine: str
    """Id of the engine's network `bridge`, which changes whenever dockerd starts."""
    swarm: str | None = None
    """Id of the swarm of that node; None: not known, as on a worker whose agent cannot read the certificate."""
    at: str = ""
    """Time at which the agent first saw that node, RFC 3339; empty: not known."""


class HostStatus(Deriving):
    """The last report of a host, sufficient for `status` and for planning its steps on another host.

    `agent/diff/reported.py` turns the report back into an observation. The record omits what no decision needs, so that
    it changes seldom.
    """

    PACKED: ClassVar = ("attached", "images", "networks", "nodes", "replicas")
    """The large fields, which etcd has compressed."""
    instance: str
    """Id of the run of the agent that wrote the status. A status of an earlier run is out of date."""
    at: str
    """Time of the last change, RFC 3339. The presence of the agent tells whether the status still holds."""
    agent_version: str
    host: str = ""
    """Name of the host. A status under the name of another one does not count. Empty: not reported."""
    engine_version: str = ""
    engine_up: bool = False
    engine_error: str = ""
    """Error of the last read of dockerd; empty: dockerd answers."""
    live_restore: bool = False
    machine: Machine = NO_MACHINE
    state: Literal["inactive", "pending", "active", "error", "locked", "unknown"] = "unknown"
    swarm_error: str = ""
    joining: str | None = None
    """Id of the swarm that the agent is joining or failed to join; None: none."""
    node_id: str | None = None
    swarm_id: str | None = None
    is_manager: bool = False
    other_cluster: str = ""
    """Name of the other cluster to which the swarm of the host belongs; empty: it may be this one's."""
    swarm_address: str | None = None
    """Address that the node advertises."""
    autolock: bool | None = None
    """Managers only: True if the manager is locked after its dockerd starts."""
    advertise: str | None = None
    """Address that agent.yaml sets; None: the one that the intent declares."""
    admission: str = ""
    """The admission policy in agent.yaml: JSON of the level and of what differs from it. Empty: not reported."""
    managers: Pairs = ()
    """(node id, address:port) of the managers this node knows."""
    joined: JoinedReport | None = None
    """Of the present or last node of the host; None: no agent has seen the host as a node."""
    pool: tuple[str, ...] = ()
    """Address pool for the subnets of overlays."""
    nodes: tuple[NodeState, ...] | None = None
    """Managers only, without `version`; None: not a manager, or the swarm did not answer. Empty: it answers, but
    another host is the leader, and no host has a membership order."""
    leading: bool = False
    epoch: int | None = None
    """Epoch of the accepted document that the host uses; None: not reported."""
    revision: int = 0
    """Accepted revision that this host has carried out in full; 0: none yet."""
    bridge: BridgeReport = BridgeReport()
    networks: tuple[NetworkReport, ...] = ()
    images: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    volume_drivers: Pairs = ()
    """(volume, driver) of the declared volumes whose driver is not `local`."""
    left_volumes: tuple[Remembered, ...] = ()
    """Anonymous volumes of replicas that are not on the host any more. No agent removes them."""
    foreign_names: tuple[str, ...] = ()
    """Names of unmanaged containers that a replica of this project could need: `<project>-...`."""
    routes: Pairs = ()
    """(destination, device), only while docker_gwbridge is not as declared: its new subnet must not overlap them."""
    addresses: Pairs = ()
    """(address/prefix, device) of every device, only while docker_gwbridge is not as declared, for the same check."""
    attached: tuple[Attached, ...] = ()
    """Containers that a change of docker_gwbridge or of an overlay can disrupt: all of the host while docker_gwbridge
    is not as declared, else those on an overlay; and unmanaged ones that publish ports."""
    replicas: tuple[ReplicaReport, ...] = ()
    steps: tuple[StepReport, ...] = ()
    """Steps that are planned or in flight."""
    blocked: tuple[BlockedReport, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    stopped: bool = False
    """True in the last report of an agent that was stopped by SIGTERM."""
    unreachable: Pairs = ()
    """Leader only: (host, RFC 3339) for each declared host without presence, and since when, as far as known."""
    refreshed: bool = False
    """True if the agent is of format 1, which also writes an unchanged status, every 300 s."""
    cut: tuple[str, ...] = ()
    """Parts that were left out, because etcd takes at most 1.5 MiB. Empty: nothing."""

    @cached_property
    def by_key(self) -> Mapping[Key, tuple[ReplicaReport, ...]]:
        """Return the reports of each replica, of which there may be several."""
        found: dict[Key, tuple[ReplicaReport, ...]] = {}
        for each in self.replicas:
            found[each.key] = (*found.get(each.key, ()), each)
        return found

    @cached_property
    def up(self) -> Mapping[str, frozenset[int]]:
        """Return service -> slots that have a container which runs or may start."""
        found: dict[str, frozenset[int]] = {}
        for each in self.replicas:
            if each.status in UP:
                found[each.service] = found.get(each.service, frozenset()) | {each.slot}
        return found

    @cached_property
    def running_at(self) -> Pairs:
        """Return (network, address) of the replicas that run."""
        running = (each for each in self.replicas if each.status == "running")
        return tuple(pair for each in running for pair in each.addresses if pair[1])

    @cached_property
    def specs(self) -> frozenset[str]:
        """Return the hashes of the specs of its replicas."""
        return frozenset(each.spec for each in self.replicas)

    @property
    def left(self) -> tuple[BlockedReport | Waiting, ...]:
        """The resources that differ and have no step."""
        return (*self.blocked, *self.waiting)
