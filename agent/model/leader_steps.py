"""Steps of the leader: its lock, the intent, the swarm and its nodes, overlays, and what it tells the hosts."""

from dataclasses import dataclass, field
from typing import ClassVar

from agent.model.intent import Availability
from agent.model.records import Assignment, MembershipOrder, Rollout, SwarmRecord, UnlockKeys, Verdict
from agent.model.spec import ContainerSpec, Pairs
from agent.model.steps import LEADER_BUDGET_S, BaseStep, CreateNetwork
from agent.model.store import Fence


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeaderStep(BaseStep):
    lane, budget_s = "leader", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class _StepForHost(_LeaderStep):
    host: str
    about: ClassVar[str]
    """The resource is this of the host."""

    @property
    def resource(self) -> str:
        return f"{self.about}/{self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(_LeaderStep):
    verb, kind, resource = "campaign for", "leadership", "leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resign(_LeaderStep):
    verb, kind, resource = "resign as", "leadership", "leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonLock(_LeaderStep):
    """Give back a lock that is ours still, as etcd goes on renewing it, while nothing else can be read there.

    Where etcd does not let us do that either, the lease is left to run out, and another one taken.
    """

    lock: Fence
    verb, kind, resource = "let go as", "leadership", "leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishVerdict(_LeaderStep):
    """Say what came of the newest document; an accepted one is put accepted in the same transaction."""

    verdict: Verdict
    document: str | None = field(default=None, repr=False)
    epoch: int = 0
    verb, kind, resource = "publish", "intent", "verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishAssignment(_StepForHost):
    """Tell a host its replicas; the specs it needs and etcd lacks are written in the same transaction."""

    assignment: Assignment
    specs: tuple[ContainerSpec, ...] = field(repr=False)
    verb, kind, about = "publish", "intent", "assignment"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectSpecs(_LeaderStep):
    """Delete specs that no assignment names any more."""

    digests: tuple[str, ...]
    verb, kind, resource = "collect", "intent", "specs"


@dataclass(frozen=True, slots=True, kw_only=True)
class _RolloutStep(_LeaderStep):
    service: str
    kind = "intent"

    @property
    def resource(self) -> str:
        return f"rollout/{self.service}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRollout(_RolloutStep):
    """Note how far a service is on its way to another spec. Always before a replica is moved by it."""

    rollout: Rollout
    verb = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawRollout(_RolloutStep):
    """Forget a rollout that is over."""

    verb = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantDisruption(_StepForHost):
    """Let one host be disturbed; `over` is the mod_revision of the disruption slot that is over, 0: there was none."""

    quorum: bool
    over: int
    verb, kind, about = "grant", "gwbridge", "disruption"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeDisruption(_StepForHost):
    """Nobody is disturbed any more; `over` is the mod_revision of the disruption slot that is over."""

    over: int
    verb, kind, about = "revoke", "gwbridge", "disruption"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueMembershipOrder(_StepForHost):
    """Give a host the leader's word on its membership."""

    membership_order: MembershipOrder
    unlisted: str | None = None
    """The node id that the swarm must not know, asked once more before it is said: stopping replicas rests upon it."""
    verb, kind, about = "issue", "swarm", "membership-order"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeMembershipOrder(_StepForHost):
    """Take the word back: what it was about is no longer so, or cannot be told any more."""

    verb, kind, about = "revoke", "swarm", "membership-order"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetHost(_StepForHost):
    """Delete the keys of a host that the intent named before, and that is empty and outside the swarm."""

    verb, kind, about = "forget", "swarm", "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimInit(_LeaderStep):
    """Claim the one `swarm init` of the cluster, or take the claim over from a host that is gone."""

    over: int = 0
    """mod_revision of the claim that is taken over; 0: there is none."""
    verb, kind, resource = "claim", "swarm", "swarm-record"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSwarm(_LeaderStep):
    record: SwarmRecord
    verb, kind, resource = "publish", "swarm", "swarm-record"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishTokens(_LeaderStep):
    swarm_id: str
    managers: bool = True
    """Whether hosts may join as managers now."""
    verb, kind, resource = "publish", "swarm", "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateTokens(_LeaderStep):
    verb, kind, resource = "rotate", "swarm", "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawTokens(_LeaderStep):
    verb, kind, resource = "withdraw", "swarm", "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOverlay(CreateNetwork):
    """An overlay, for the whole swarm."""

    lane, kind, budget_s = "leader", "overlay", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOverlay(_LeaderStep):
    """Remove an overlay of ours that nobody is on, by its id: another one of that name is not meant."""

    network: str
    id: str
    verb, kind = "remove", "overlay"

    @property
    def resource(self) -> str:
        return f"network/{self.network}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeStep(_LeaderStep):
    node_id: str
    host: str
    """Whose node it is, or was."""
    kind = "swarm"

    @property
    def resource(self) -> str:
        return f"node/{self.node_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeChange(_NodeStep):
    version: int = field(compare=False)
    """The node's, when this was decided: it is not carried out on any other. Another version makes no other step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteNode(_NodeChange):
    """Ask for a manager. The node becomes one a moment later, by itself."""

    verb = "promote"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoteNode(_NodeChange):
    """Ask for a worker. The raft leader hands over by itself before it is one."""

    verb = "demote"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateNode(_NodeChange):
    """Set the availability (None: as it is) and labels, and take the labels named in `without` away."""

    availability: Availability | None = None
    labels: Pairs = ()
    without: tuple[str, ...] = ()
    verb = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNode(_NodeStep):
    """Take the record of a node that is down out of the swarm. Never forced."""

    verb = "remove"


# ---- Its autolock: the leader switches it and publishes the key; a locked host unlocks itself


@dataclass(frozen=True, slots=True, kw_only=True)
class _AutolockStep(_LeaderStep):
    known: UnlockKeys
    """What is published of this swarm; off and without a key when nothing is."""
    kind, resource = "swarm", "autolock"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnAutolockOn(_AutolockStep):
    """Have the swarm make an unlock key, and publish it at once: no manager can be unlocked without."""

    verb = "turn on"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishUnlockKey(_AutolockStep):
    verb = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnAutolockOff(_AutolockStep):
    """The keys stay published, for managers that are down and do not hear of it."""

    verb = "turn off"


NodeStep = PromoteNode | DemoteNode | UpdateNode | RemoveNode
AutolockStep = TurnAutolockOn | PublishUnlockKey | TurnAutolockOff
LeaderStep = (
    Campaign | Resign | AbandonLock
    | PublishVerdict | PublishAssignment | CollectSpecs | PublishRollout | WithdrawRollout
    | GrantDisruption | RevokeDisruption | IssueMembershipOrder | RevokeMembershipOrder | ForgetHost
    | ClaimInit | PublishSwarm | PublishTokens | RotateTokens | WithdrawTokens
    | CreateOverlay | RemoveOverlay | NodeStep | AutolockStep
)  # fmt: skip
