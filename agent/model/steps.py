"""The base of every step, and the steps of a host on itself. leader_steps.py has the steps of the leader.

A step is data, and its `str` is text for the operator. HostStep and LeaderStep list all steps: the type check fails if
agent/apply.py or agent/planner/dry_run does not handle one of them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import ClassVar, Literal

from agent.model.intent import GWBRIDGE, PARKING, BridgeIntent, NetworkIntent, VolumeIntent
from agent.model.records import Digests, Disruption, Replica
from agent.model.spec import Attachment, ContainerSpec, Pairs, registry_of

Lane = Literal["host", "leader", "pull"]
"""The worker pool of a step. No lane waits for another, so the leader goes on while its host is changed."""

LEADER_BUDGET_S = 5.0
"""Budget of a leader's step. By default it fits between two renewals of the lease."""

BRIDGE, _PARKING = f"network/{GWBRIDGE}", f"network/{PARKING}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseStep(ABC):
    """The base of every step. Steps of one resource run in order; those of different resources run side by side."""

    reason: str
    lane: ClassVar[Lane] = "host"
    verb: ClassVar[str]
    kind: ClassVar[str]
    """A label of the metrics. Steps of kind `leadership` are planned in the modes observe and paused too. A step of
    kind `swarm` makes the agent read the host again. Replicas that need the same step of kind `network` share it."""
    barrier: ClassVar[bool] = False
    """True: the step runs alone in its lane; no other step of the lane starts before its end."""
    budget_s: ClassVar[float] = 10.0
    """Most seconds that the step may take. A leader's step starts only if the lease outlasts the budget."""

    @property
    @abstractmethod
    def resource(self) -> str:
        """Return the resource that the step changes, as `container/prod-api-1`."""

    @property
    def circuit(self) -> str:
        """Return the circuit that the step shares with others; empty: none. While it is open, one step is the probe."""
        return ""

    @property
    def subject(self) -> str:
        """Return the resource that texts name: the part of `resource` that the step changes."""
        return self.resource

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutPresence(BaseStep):
    """Write the presence of this agent again."""

    insists: bool = False
    """True: overwrite the presence of another agent under the same host name."""
    verb, kind, resource = "put", "leadership", "presence"


@dataclass(frozen=True, slots=True, kw_only=True)
class _MembershipStep(BaseStep):
    kind, resource, barrier, budget_s = "swarm", "swarm", True, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InitSwarm(_MembershipStep):
    advertise: str
    pool: tuple[IPv4Network, ...]
    mask_length: int
    data_path_port: int | None
    # The call takes 0.6 s. The lease must last for the whole budget, so that no other host can init meanwhile.
    verb, budget_s = "init", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpInit(_MembershipStep):
    """Delete the claim of this host on the only `swarm init`, so that another host can initialise the swarm."""

    over: int
    """mod_revision of the claim."""
    verb, budget_s = "give up the init of", 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSwarm(_MembershipStep):
    """Join through the first of `remotes` that answers. The token is read at execution time."""

    role: Literal["manager", "worker"]
    advertise: str
    remotes: tuple[str, ...]
    token: str = field(repr=False)
    verb = "join"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveSwarm(_MembershipStep):
    """Obey a membership order to leave, without force. The host is then a worker with no container on an overlay."""

    verb = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonNode(_MembershipStep):
    """Leave the swarm by force: it has removed this manager, which finds no raft leader. Both are checked again."""

    node_id: str
    verb = "leave by force"


@dataclass(frozen=True, slots=True, kw_only=True)
class DissolveSwarm(_MembershipStep):
    """Leave, by force, a swarm that an agent initialised here and never recorded. It is checked again to be empty."""

    swarm_id: str
    verb = "dissolve"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockHost(_MembershipStep):
    """Unlock the manager of this host with the first of the keys that fits."""

    keys: tuple[str, ...] = field(repr=False)
    verb = "unlock"


# ---- Changes of docker_gwbridge, even while containers run, and the disruption slot (docs/gwbridge.md)


@dataclass(frozen=True, slots=True, kw_only=True)
class _BridgeStep(BaseStep):
    kind, resource, barrier = "gwbridge", BRIDGE, True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBridge(_BridgeStep):
    bridge: BridgeIntent
    before: BridgeIntent | None = None  # as in SwapBridge
    mark: str = ""
    verb = "create"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBridge(_BridgeStep):
    """Remove a docker_gwbridge that is not as declared. Only a host outside a swarm does so."""

    id: str
    verb = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateParking(_BridgeStep):
    network: NetworkIntent
    verb, subject = "prepare", _PARKING


@dataclass(frozen=True, slots=True, kw_only=True)
class _ParkingStep(_BridgeStep):
    container: str
    name: str
    network: str
    budget_s = 30.0

    @property
    def subject(self) -> str:
        return f"container/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Park(_ParkingStep):
    """Connect a container to the parking network, which moves its gateway away from docker_gwbridge."""

    verb = "park"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapBridge(_BridgeStep):
    """Disconnect the ingress sandbox from the old bridge, remove that bridge and create the declared one."""

    bridge: BridgeIntent
    old: tuple[str, ...]
    """Ids of every network named docker_gwbridge."""
    release: Pairs
    """(network id, endpoint) of the endpoints that belong to no running container."""
    before: BridgeIntent | None = None
    """The form that docker_gwbridge had. It is made again if docker refuses `bridge`; None: not known."""
    mark: str = ""
    """The mark of `bridge` that the old form gets as a label if docker refuses `bridge`."""
    verb, budget_s = "swap", 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpark(_ParkingStep):
    """Disconnect a container from the parking network, which moves its gateway back to docker_gwbridge."""

    verb = "unpark"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveParking(_BridgeStep):
    network: str
    verb, subject = "clear", _PARKING


@dataclass(frozen=True, slots=True, kw_only=True)
class _DisruptionStep(BaseStep):
    disruption: Disruption
    revision: int
    kind, resource = "gwbridge", "disruption"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquireDisruption(_DisruptionStep):
    """Acquire the disruption slot that the leader granted at `revision`."""

    verb = "acquire"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDisruption(_DisruptionStep):
    """Release the disruption slot: the host is as declared and healthy again."""

    verb = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetwork(BaseStep):
    """Create a network that exists on this host alone."""

    network: NetworkIntent
    verb, kind = "create", "network"

    @property
    def resource(self) -> str:
        return f"network/{self.network.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveLeftover(BaseStep):
    """Remove an overlay that the swarm no longer has from this host's engine."""

    network: str
    id: str
    creation: str
    verb, kind, budget_s = "remove", "network", 60.0

    @property
    def resource(self) -> str:
        return f"network/{self.network}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume(BaseStep):
    volume: VolumeIntent
    verb, kind = "create", "volume"

    @property
    def resource(self) -> str:
        return f"volume/{self.volume.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveDigests(BaseStep):
    """Resolve tags to digests at the registries, through the leader's engine, and record them for this document."""

    images: tuple[str, ...]
    known: Digests
    """Digests that were recorded before and are still valid; the new ones are added."""
    over: int
    """mod_revision of the recorded digests; 0: none exist."""
    # A slow registry must not delay the other duties of the leader.
    lane, verb, kind, resource, budget_s = "pull", "resolve", "image", "digests", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PullImage(BaseStep):
    """Pull an image. A pull takes long and changes no network, so its lane has its own limit and no barrier."""

    image: str
    lane, verb, kind, budget_s = "pull", "pull", "image", 3600.0

    @property
    def resource(self) -> str:
        return f"image/{self.image}"

    @property
    def circuit(self) -> str:
        return f"registry/{registry_of(self.image)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _ContainerStep(BaseStep):
    name: str
    """Name of the container, `<project>-<service>-<slot>` or the name that it has now."""
    kind = "container"

    @property
    def resource(self) -> str:
        return f"container/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _NamingStep(_ContainerStep):
    under: str = ""
    """Name for the time in which another container of the replica has `name`; empty: the container gets `name`."""

    @property
    def becomes(self) -> str:
        return self.under or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateContainer(_NamingStep):
    """Create a container of `replica`, with labels that identify it. `spec` has its placeholders filled in."""

    replica: Replica
    project: str
    spec: ContainerSpec
    carried: Pairs = ()
    """(path in the container, name) of the anonymous volumes that the replica had and that this container mounts."""
    verb, budget_s = "create", 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer(_ContainerStep):
    verb, budget_s = "start", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpauseContainer(_ContainerStep):
    id: str
    verb = "unpause"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopContainer(_ContainerStep):
    id: str
    grace_s: float
    """Seconds after which the engine kills the container."""
    verb, budget_s = "stop", 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveContainer(_ContainerStep):
    """Remove a stopped managed container. All its volumes stay."""

    id: str
    verb, budget_s = "remove", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameContainer(_NamingStep):
    """Rename the container `id` to `name`. While the id is not known yet, `id` is the name that it has now."""

    id: str
    verb = "rename"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateContainer(_ContainerStep):
    """Repair limits and restart policy in place (`docker update`)."""

    id: str
    spec: ContainerSpec
    verb = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectNetwork(_ContainerStep):
    id: str
    attachment: Attachment
    aliases: tuple[str, ...]
    verb, budget_s = "connect", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectNetwork(_ContainerStep):
    id: str
    network: str
    network_id: str = ""
    """Id of the network to leave if it has the name of another one; empty: the name identifies it."""
    verb, budget_s = "disconnect", 60.0


MembershipStep = InitSwarm | GiveUpInit | JoinSwarm | LeaveSwarm | AbandonNode | DissolveSwarm | UnlockHost
BridgeStep = CreateBridge | RemoveBridge | CreateParking | Park | SwapBridge | Unpark | RemoveParking
ContainerStep = (
    CreateContainer | StartContainer | UnpauseContainer | StopContainer | RemoveContainer | RenameContainer
    | UpdateContainer | ConnectNetwork | DisconnectNetwork
)  # fmt: skip
HostStep = (
    PutPresence | MembershipStep | BridgeStep | AcquireDisruption | ReleaseDisruption | CreateNetwork | RemoveLeftover
    | CreateVolume | ResolveDigests | PullImage | ContainerStep
)  # fmt: skip
