"""The plan: what is to be done, in order, each step with its resource and its reason, as data a person can read."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import ClassVar, Literal, NamedTuple

from agent.model.intent import GWBRIDGE, BridgeIntent, NetworkIntent, VolumeIntent
from agent.model.records import Assignment, Copy, SwarmRecord, Verdict
from agent.model.spec import Attachment, ContainerSpec

Lane = Literal["host", "leader", "pull"]
"""Whose work a step is. The lanes do not wait for each other: a leader whose own host is busy goes on leading."""

LEADER_BUDGET_S = 5.0
"""Short enough to fit between two renewals of the lease (config.py refuses timings that do not leave this much)."""

BRIDGE = f"network/{GWBRIDGE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What every step has. Steps of one resource run in order; those of different resources side by side."""

    reason: str
    lane: ClassVar[Lane] = "host"
    verb: ClassVar[str]
    kind: ClassVar[str]
    """For the metrics: swarm, gwbridge, overlay, container, image, volume, leadership or intent."""
    barrier: ClassVar[bool] = False
    """Runs alone in its lane: nothing of the lane starts before it is done."""
    budget_s: ClassVar[float] = 10.0
    """How long it may take. A leader step starts only if its budget ends before the lease could."""

    @property
    def resource(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(_Step):
    """Try to take the leader lock."""

    lane, verb, kind, resource, budget_s = "leader", "campaign for", "leadership", "leader", 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resign(_Step):
    """Give the leader lock back."""

    lane, verb, kind, resource, budget_s = "leader", "resign as", "leadership", "leader", LEADER_BUDGET_S


# ---- the host's own swarm membership and bridge


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBridge(_Step):
    bridge: BridgeIntent
    verb, kind, resource, barrier = "create", "gwbridge", BRIDGE, True


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBridge(_Step):
    """Remove a docker_gwbridge that is not as agreed. Only ever on a host outside a swarm."""

    id: str
    verb, kind, resource, barrier = "remove", "gwbridge", BRIDGE, True


@dataclass(frozen=True, slots=True, kw_only=True)
class InitSwarm(_Step):
    advertise: str
    pool: tuple[IPv4Network, ...]
    mask_length: int
    data_path_port: int | None
    # The call takes 0.6 s; the budget is what must be left of the lease, so that nobody else can init meanwhile.
    verb, kind, resource, barrier, budget_s = "init", "swarm", "swarm", True, LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSwarm(_Step):
    """Join through one of `remotes`, the first that answers. The token is read when it is needed."""

    role: Literal["manager", "worker"]
    advertise: str
    remotes: tuple[str, ...]
    token: str = field(repr=False)
    verb, kind, resource, barrier, budget_s = "join", "swarm", "swarm", True, 30.0


# ---- networks, volumes, images


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetwork(_Step):
    """A network of this host alone."""

    network: NetworkIntent
    verb, kind = "create", "network"

    @property
    def resource(self) -> str:
        return f"network/{self.network.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOverlay(CreateNetwork):
    """An overlay, for the whole swarm."""

    lane, kind, budget_s = "leader", "overlay", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume(_Step):
    volume: VolumeIntent
    verb, kind = "create", "volume"

    @property
    def resource(self) -> str:
        return f"volume/{self.volume.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullImage(_Step):
    """Pulls touch no network and take their time: they wait for nobody's barrier, and have a limit of their own."""

    image: str
    lane, verb, kind, budget_s = "pull", "pull", "image", 3600.0

    @property
    def resource(self) -> str:
        return f"image/{self.image}"


# ---- containers


@dataclass(frozen=True, slots=True, kw_only=True)
class _ContainerStep(_Step):
    name: str
    """The container's name, `<project>-<service>-<number>`, or what it is called now."""
    kind = "container"

    @property
    def resource(self) -> str:
        return f"container/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateContainer(_ContainerStep):
    """`spec` has its placeholders filled in already; `copy` goes onto the labels."""

    copy: Copy
    project: str
    spec: ContainerSpec
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
    """After this long the engine kills it."""
    verb, budget_s = "stop", 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveContainer(_ContainerStep):
    """Remove a stopped container of ours; its named volumes stay."""

    id: str
    verb, budget_s = "remove", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameContainer(_ContainerStep):
    """Give the container `id` its name back."""

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


# ---- the leader's


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishVerdict(_Step):
    """Say what came of the newest document; an accepted one is put in force in the same transaction."""

    verdict: Verdict
    document: str | None = field(default=None, repr=False)
    lane, verb, kind, resource, budget_s = "leader", "publish", "intent", "verdict", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimInit(_Step):
    """Claim the one `swarm init` of the cluster, or take the claim over from a host that is gone."""

    over: int = 0
    """mod_revision of the claim that is taken over; 0: there is none."""
    lane, verb, kind, resource, budget_s = "leader", "claim", "swarm", "swarm-record", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSwarm(_Step):
    record: SwarmRecord
    lane, verb, kind, resource, budget_s = "leader", "publish", "swarm", "swarm-record", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishTokens(_Step):
    swarm_id: str
    lane, verb, kind, resource, budget_s = "leader", "publish", "swarm", "tokens", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateTokens(_Step):
    lane, verb, kind, resource, budget_s = "leader", "rotate", "swarm", "tokens", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawTokens(_Step):
    lane, verb, kind, resource, budget_s = "leader", "withdraw", "swarm", "tokens", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishAssignment(_Step):
    """Tell a host its copies; the specs it needs and etcd lacks are written in the same transaction."""

    host: str
    assignment: Assignment
    specs: tuple[ContainerSpec, ...] = field(repr=False)
    lane, verb, kind, budget_s = "leader", "publish", "intent", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"assignment/{self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectSpecs(_Step):
    """Delete specs that no assignment names any more."""

    digests: tuple[str, ...]
    lane, verb, kind, resource, budget_s = "leader", "collect", "intent", "specs", LEADER_BUDGET_S


Step = (
    Campaign | Resign | CreateBridge | RemoveBridge | InitSwarm | JoinSwarm | CreateNetwork | CreateOverlay
    | CreateVolume | PullImage | CreateContainer | StartContainer | UnpauseContainer | StopContainer
    | RemoveContainer | RenameContainer | UpdateContainer | ConnectNetwork | DisconnectNetwork | PublishVerdict
    | ClaimInit | PublishSwarm | PublishTokens | RotateTokens | WithdrawTokens | PublishAssignment | CollectSpecs
)  # fmt: skip

BlockedKind = Literal[
    "quorum", "overlap", "guard", "dependency", "locked", "port", "name", "foreign", "bridge", "role", "removal",
    "waiting", "engine", "store", "garbage", "mode", "error",
]  # fmt: skip
"""Why nothing is done, in one word for the metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Seen as not as it should be, and deliberately not touched."""

    resource: str
    reason: str
    kind: BlockedKind

    def __str__(self) -> str:
        return f"blocked {self.resource}: {self.reason}"


class Plan(NamedTuple):
    """Drift is a plan that is not empty, or blocked."""

    steps: tuple[Step, ...] = ()
    blocked: tuple[Blocked, ...] = ()

    def __str__(self) -> str:
        return "\n".join(str(each) for each in (*self.steps, *self.blocked))

    def __add__(self, other: object) -> "Plan":
        if not isinstance(other, Plan):
            return NotImplemented
        return Plan((*self.steps, *other.steps), (*self.blocked, *other.blocked))

    def without(self, resources: frozenset[str]) -> "Plan":
        """The plan less the steps of `resources`: those that are in flight."""
        return Plan(tuple(each for each in self.steps if each.resource not in resources), self.blocked)
