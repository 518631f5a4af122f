"""What every step has, and the steps of a host on itself. Those of the leader: leader_steps.py.

A step is data that a person can read. HostStep at the end and LeaderStep there are the lists of all steps: what carries
them out (agent/apply.py) and what predicts them (agent/planner/dry_run) fails the type check if it leaves one out.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import ClassVar, Literal

from agent.model.intent import GWBRIDGE, BridgeIntent, NetworkIntent, VolumeIntent
from agent.model.records import Digests, Disruption, Replica
from agent.model.spec import Attachment, ContainerSpec, Pairs, registry_of

Lane = Literal["host", "leader", "pull"]
"""Whose work a step is. The lanes do not wait for each other: a leader whose own host is busy goes on leading."""

LEADER_BUDGET_S = 5.0
"""Short enough to fit between two renewals of the lease, with the default timings."""

BRIDGE = f"network/{GWBRIDGE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseStep(ABC):
    """What every step has. Steps of one resource run in order; those of different resources side by side."""

    reason: str
    lane: ClassVar[Lane] = "host"
    verb: ClassVar[str]
    kind: ClassVar[str]
    """For the metrics, and for more: `leadership` is planned in modes observe and paused, too; after a step of kind
    `swarm` the host is read afresh; steps of kind `network` that several replicas need are planned once.
    """
    barrier: ClassVar[bool] = False
    """Runs alone in its lane: nothing of the lane starts before it is done."""
    budget_s: ClassVar[float] = 10.0
    """How long it may take. A leader step starts only if its budget ends before the lease could."""

    @property
    @abstractmethod
    def resource(self) -> str:
        """What it works on, as `container/prod-api-1`."""

    @property
    def circuit(self) -> str:
        """What it has to come through beside others: while that does not answer, one of them tries it at a time."""
        return ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutPresence(BaseStep):
    """Say again that this agent is there, under the host's name."""

    insists: bool = False
    """Although another agent says so of itself."""
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
    # The call takes 0.6 s; the budget is what must be left of the lease, so that nobody else can init meanwhile.
    verb, budget_s = "init", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpInit(_MembershipStep):
    """Give back the claim on the one `swarm init`, so that another host can make the swarm.

    The claimant's own step, on the resource of the init itself: never while one is under way.
    """

    over: int
    """mod_revision of the claim."""
    verb, budget_s = "give up the init of", 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSwarm(_MembershipStep):
    """Join through one of `remotes`, the first that answers. The token is read when it is needed."""

    role: Literal["manager", "worker"]
    advertise: str
    remotes: tuple[str, ...]
    token: str = field(repr=False)
    verb = "join"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveSwarm(_MembershipStep):
    """Leave the swarm. Only ever by the leader's membership order, as a worker, with nothing running on an overlay.

    No force.
    """

    verb = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class DissolveSwarm(_MembershipStep):
    """Leave a swarm that came to nothing: made here for the cluster, recorded by nobody, and empty.

    Its only node can leave it by force alone, so the engine's client looks once more whether it is such a one.
    """

    swarm_id: str
    verb = "dissolve"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockHost(_MembershipStep):
    """Unlock this host's manager. The keys are tried in turn."""

    keys: tuple[str, ...] = field(repr=False)
    verb = "unlock"


# ---- Its docker_gwbridge, also under running containers, and the disruption slot (docs/gwbridge.md)


@dataclass(frozen=True, slots=True, kw_only=True)
class _BridgeStep(BaseStep):
    kind, resource, barrier = "gwbridge", BRIDGE, True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBridge(_BridgeStep):
    bridge: BridgeIntent
    verb = "create"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBridge(_BridgeStep):
    """Remove a docker_gwbridge that is not as agreed. Only ever on a host outside a swarm."""

    id: str
    verb = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateParking(_BridgeStep):
    network: NetworkIntent
    verb = "prepare"

    def __str__(self) -> str:
        return f"prepare network/{self.network.name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _ParkingStep(_BridgeStep):
    container: str
    name: str
    network: str
    budget_s = 30.0

    def __str__(self) -> str:
        return f"{self.verb} container/{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Park(_ParkingStep):
    """Attach a container to the temporary network: its gateway leaves docker_gwbridge."""

    verb = "park"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapBridge(_BridgeStep):
    """Take the ingress sandbox off the old bridge, remove it and make the agreed one."""

    bridge: BridgeIntent
    old: tuple[str, ...]
    """Ids of every network named docker_gwbridge."""
    release: Pairs
    """(network id, endpoint) that are no running container's."""
    verb, budget_s = "swap", 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpark(_ParkingStep):
    """Take a container off the temporary network: its gateway comes back onto docker_gwbridge."""

    verb = "unpark"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveParking(_BridgeStep):
    network: str
    verb = "clear"

    def __str__(self) -> str:
        return f"clear network/{self.network}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _DisruptionStep(BaseStep):
    disruption: Disruption
    revision: int
    kind, resource = "gwbridge", "disruption"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquireDisruption(_DisruptionStep):
    """Acquire the disruption slot that the leader granted as of `revision`."""

    verb = "acquire"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDisruption(_DisruptionStep):
    """Say that the host is as it should be again."""

    verb = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetwork(BaseStep):
    """A network of this host alone."""

    network: NetworkIntent
    verb, kind = "create", "network"

    @property
    def resource(self) -> str:
        return f"network/{self.network.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume(BaseStep):
    volume: VolumeIntent
    verb, kind = "create", "volume"

    @property
    def resource(self) -> str:
        return f"volume/{self.volume.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveDigests(BaseStep):
    """Ask the registries which bytes tags are, through the leader's engine, and note it for this document.

    A leader's step in the lane of pulls: a registry may take its time, and the leader's other duties do not wait.
    """

    images: tuple[str, ...]
    known: Digests
    """What was noted before, less what no longer counts: the answers are added to it."""
    over: int
    """mod_revision of the digests that are there; 0: none are."""
    lane, verb, kind, resource, budget_s = "pull", "resolve", "image", "digests", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PullImage(BaseStep):
    """Pulls touch no network and take their time: they wait for nobody's barrier, and have a limit of their own."""

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
    """The container's name, `<project>-<service>-<slot>`, or what it is called now."""
    kind = "container"

    @property
    def resource(self) -> str:
        return f"container/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateContainer(_ContainerStep):
    """`spec` has its placeholders filled in already; `replica` goes onto the labels."""

    replica: Replica
    project: str
    spec: ContainerSpec
    under: str = ""
    """The name it is made under while another container has its own; empty: its own."""
    verb, budget_s = "create", 30.0

    @property
    def made_as(self) -> str:
        return self.under or self.name


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
    """After this long the engine kills it."""
    verb, budget_s = "stop", 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveContainer(_ContainerStep):
    """Remove a stopped container of ours; its named volumes stay."""

    id: str
    verb, budget_s = "remove", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameContainer(_ContainerStep):
    """Give the container `id` its name. The id may be what it is called, where the id itself is not known yet."""

    id: str
    verb = "rename"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateContainer(_ContainerStep):
    """Put limits and restart policy right in place (`docker update`)."""

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
    verb, budget_s = "disconnect", 60.0


MembershipStep = InitSwarm | GiveUpInit | JoinSwarm | LeaveSwarm | DissolveSwarm | UnlockHost
BridgeStep = CreateBridge | RemoveBridge | CreateParking | Park | SwapBridge | Unpark | RemoveParking
ContainerStep = (
    CreateContainer | StartContainer | UnpauseContainer | StopContainer | RemoveContainer | RenameContainer
    | UpdateContainer | ConnectNetwork | DisconnectNetwork
)  # fmt: skip
HostStep = (
    PutPresence | MembershipStep | BridgeStep | AcquireDisruption | ReleaseDisruption | CreateNetwork | CreateVolume
    | ResolveDigests | PullImage | ContainerStep
)  # fmt: skip
