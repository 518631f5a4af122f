"""The base of every step, and the steps of a host on itself. leader_steps.py has the steps of the leader.

A step is data, and its `str` is text for the operator. HostStep and LeaderStep list all steps: the type check fails if
agent/apply.py or agent/planner/dry_run does not handle one of them.
"""

from dataclasses import field
from ipaddress import IPv4Network
from typing import ClassVar, Literal, TypedDict, Unpack

from agent.model import Frozen
from agent.model.intent import GWBRIDGE, PARKING, BridgeIntent, NetworkIntent, VolumeIntent
from agent.model.records import Digests, Disruption, Replica
from agent.model.spec import Attachment, ContainerSpec, Pairs, registry_of

Lane = Literal["host", "leader", "pull"]
"""The worker pool of a step. No lane waits for another, so the leader goes on while its host is changed."""

LEADER_BUDGET_S = 5.0
"""Budget of a leader's step. By default it fits between two renewals of the lease."""

BRIDGE, _PARKING = f"network/{GWBRIDGE}", f"network/{PARKING}"


class _Form(TypedDict, total=False):
    """The arguments of a step's class, which are class variables of BaseStep."""

    verb: str
    kind: str
    about: str
    part: str
    lane: Lane
    barrier: bool
    budget_s: float


class BaseStep(Frozen):
    """The base of every step. Steps of one resource run in order; those of different resources run side by side."""

    reason: str
    verb: ClassVar[str]
    kind: ClassVar[str]
    """A label of the metrics. Steps of kind `leadership` are planned in the modes observe and paused too. A step of
    kind `swarm` makes the agent read the host again. Replicas that need the same step of kind `network` share it."""
    about: ClassVar[str]
    """Form of `resource`: `container/{self.name}` has the name of the step."""
    part: ClassVar[str] = ""
    """Form of `subject`; empty: that of `resource`."""
    lane: ClassVar[Lane] = "host"
    barrier: ClassVar[bool] = False
    """True: the step runs alone in its lane; no other step of the lane starts before its end."""
    budget_s: ClassVar[float] = 10.0
    """Most seconds that the step may take. A leader's step starts only if the lease outlasts the budget."""

    def __init_subclass__(cls, **form: Unpack[_Form]) -> None:
        for name, value in form.items():
            setattr(cls, name, value)

    @property
    def resource(self) -> str:
        """Return the resource that the step changes, as `container/prod-api-1`."""
        return self.about.format(self=self)

    @property
    def circuit(self) -> str:
        """Return the circuit that the step shares with others; empty: none. While it is open, one step is the probe."""
        return ""

    @property
    def subject(self) -> str:
        """Return the resource that texts name: the part of `resource` that the step changes."""
        return (self.part or self.about).format(self=self)

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}: {self.reason}"


class PutPresence(BaseStep, verb="put", kind="leadership", about="presence"):
    """Write the presence of this agent again."""

    insists: bool = False
    """True: overwrite the presence of another agent under the same host name."""


class _MembershipStep(BaseStep, kind="swarm", about="swarm", barrier=True, budget_s=30.0):
    pass


class InitSwarm(_MembershipStep, verb="init", budget_s=LEADER_BUDGET_S):
    # The call takes 0.6 s. The lease must last for the whole budget, so that no other host can init meanwhile.
    advertise: str
    pool: tuple[IPv4Network, ...]
    mask_length: int
    data_path_port: int | None


class GiveUpInit(_MembershipStep, verb="give up the init of", budget_s=10.0):
    """Delete the claim of this host on the only `swarm init`, so that another host can initialise the swarm."""

    over: int
    """mod_revision of the claim."""


class JoinSwarm(_MembershipStep, verb="join"):
    """Join through the first of `remotes` that answers. The token is read at execution time."""

    role: Literal["manager", "worker"]
    advertise: str
    remotes: tuple[str, ...]
    token: str = field(repr=False)


class LeaveSwarm(_MembershipStep, verb="leave"):
    """Obey a membership order to leave, without force. The host is then a worker with no container on an overlay."""


class AbandonNode(_MembershipStep, verb="leave by force"):
    """Leave the swarm by force: it has removed this manager, which finds no raft leader. Both are checked again."""

    node_id: str


class DissolveSwarm(_MembershipStep, verb="dissolve"):
    """Leave, by force, a swarm that an agent initialised here and never recorded. It is checked again to be empty."""

    swarm_id: str


class UnlockHost(_MembershipStep, verb="unlock"):
    """Unlock the manager of this host with the first of the keys that fits."""

    keys: tuple[str, ...] = field(repr=False)


# ---- Changes of docker_gwbridge, even while containers run, and the disruption slot (docs/gwbridge.md)


class _BridgeStep(BaseStep, kind="gwbridge", about=BRIDGE, barrier=True):
    pass


class CreateBridge(_BridgeStep, verb="create"):
    bridge: BridgeIntent
    before: BridgeIntent | None = None  # as in SwapBridge
    mark: str = ""


class RemoveBridge(_BridgeStep, verb="remove"):
    """Remove a docker_gwbridge that is not as declared. Only a host outside a swarm does so."""

    id: str


class CreateParking(_BridgeStep, verb="prepare", part=_PARKING):
    network: NetworkIntent


class _ParkingStep(_BridgeStep, part="container/{self.name}", budget_s=30.0):
    container: str
    name: str
    network: str


class Park(_ParkingStep, verb="park"):
    """Connect a container to the parking network, which moves its gateway away from docker_gwbridge."""


class SwapBridge(_BridgeStep, verb="swap", budget_s=30.0):
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


class Unpark(_ParkingStep, verb="unpark"):
    """Disconnect a container from the parking network, which moves its gateway back to docker_gwbridge."""


class RemoveParking(_BridgeStep, verb="clear", part=_PARKING):
    network: str


class DisruptionStep(BaseStep, kind="gwbridge", about="disruption"):
    disruption: Disruption
    revision: int


class AcquireDisruption(DisruptionStep, verb="acquire"):
    """Acquire the disruption slot that the leader granted at `revision`."""


class ReleaseDisruption(DisruptionStep, verb="release"):
    """Release the disruption slot: the host is as declared and healthy again."""


class CreateNetwork(BaseStep, verb="create", kind="network", about="network/{self.network.name}"):
    """Create a network that exists on this host alone."""

    network: NetworkIntent


class RemoveLeftover(BaseStep, verb="remove", kind="network", about="network/{self.network}", budget_s=60.0):
    """Remove an overlay that the swarm no longer has from this host's engine."""

    network: str
    id: str
    creation: str


class CreateVolume(BaseStep, verb="create", kind="volume", about="volume/{self.volume.name}"):
    volume: VolumeIntent


class ResolveDigests(
    BaseStep, verb="resolve", kind="image", about="digests", lane="pull", budget_s=LEADER_BUDGET_S
):
    """Resolve tags to digests at the registries, through the leader's engine, and record them for this document.

    Its lane is not the leader's: a slow registry must not delay the other duties of the leader.
    """

    images: tuple[str, ...]
    known: Digests
    """Digests that were recorded before and are still valid; the new ones are added."""
    over: int
    """mod_revision of the recorded digests; 0: none exist."""


class PullImage(
    BaseStep, verb="pull", kind="image", about="image/{self.image}", lane="pull", budget_s=3600.0
):
    """Pull an image. A pull takes long and changes no network, so its lane has its own limit and no barrier."""

    image: str
    platform: str = ""
    """os/arch[/variant]; empty: that of the engine."""

    @property
    def circuit(self) -> str:
        return f"registry/{registry_of(self.image)}"


class _ContainerStep(BaseStep, kind="container", about="container/{self.name}"):
    name: str
    """Name of the container, `<project>-<service>-<slot>` or the name that it has now."""


class _NamingStep(_ContainerStep):
    under: str = ""
    """Name for the time in which another container of the replica has `name`; empty: the container gets `name`."""

    @property
    def becomes(self) -> str:
        return self.under or self.name


class CreateContainer(_NamingStep, verb="create", budget_s=30.0):
    """Create a container of `replica`, with labels that identify it. `spec` has its placeholders filled in."""

    replica: Replica
    project: str
    spec: ContainerSpec
    carried: Pairs = ()
    """(path in the container, name) of the anonymous volumes that the replica had and that this container mounts."""


class StartContainer(_ContainerStep, verb="start", budget_s=60.0):
    spec: ContainerSpec | None = field(default=None, repr=False)  # None: not known, and never started


class UnpauseContainer(_ContainerStep, verb="unpause"):
    id: str
    spec: ContainerSpec | None = field(default=None, repr=False)  # as in StartContainer


class StopContainer(_ContainerStep, verb="stop", budget_s=120.0):
    id: str
    grace_s: float
    """Seconds after which the engine kills the container."""


class RemoveContainer(_ContainerStep, verb="remove", budget_s=60.0):
    """Remove a stopped managed container. All its volumes stay."""

    id: str


class RenameContainer(_NamingStep, verb="rename"):
    """Rename the container `id` to `name`. While the id is not known yet, `id` is the name that it has now."""

    id: str


class UpdateContainer(_ContainerStep, verb="update"):
    """Repair limits and restart policy in place (`docker update`)."""

    id: str
    spec: ContainerSpec


class ConnectNetwork(_ContainerStep, verb="connect", budget_s=60.0):
    id: str
    attachment: Attachment
    aliases: tuple[str, ...]


class DisconnectNetwork(_ContainerStep, verb="disconnect", budget_s=60.0):
    id: str
    network: str
    network_id: str = ""
    """Id of the network to leave if it has the name of another one; empty: the name identifies it."""


StepWithSpec = CreateContainer | StartContainer | UnpauseContainer | UpdateContainer
"""Those with which a container gets something of the host, or begins to run."""
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
