"""Steps of the leader: its lock, the intent, the swarm and its nodes, overlays, and its orders to hosts."""

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
    """First part of the resource's name; the host is the second."""

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
    """Release the leader lock while etcd renews its lease and lets the leader read nothing else.

    If etcd refuses that too, the session lets the lease expire and takes another one.
    """

    lock: Fence
    verb, kind, resource = "abandon the lock as", "leadership", "leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishVerdict(_LeaderStep):
    """Write the verdict on the newest document, and in the same transaction an accepted document as `accepted`."""

    verdict: Verdict
    document: str | None = field(default=None, repr=False)
    epoch: int = 0
    verb, kind, resource = "publish", "intent", "verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishAssignment(_StepForHost):
    """Write the assignment of a host, preceded by the specs that it names and etcd lacks."""

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
    """Write the state of a rollout. This precedes every update of a replica by the rollout."""

    rollout: Rollout
    verb = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawRollout(_RolloutStep):
    """Delete the record of a rollout that has ended."""

    verb = "withdraw"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantDisruption(_StepForHost):
    """Grant the disruption slot to a host. `over` is the mod_revision of the slot that ended; 0: there was none."""

    quorum: bool
    over: int
    verb, kind, about = "grant", "gwbridge", "disruption"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeDisruption(_StepForHost):
    """Delete the disruption slot. `over` is its mod_revision."""

    over: int
    verb, kind, about = "revoke", "gwbridge", "disruption"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueMembershipOrder(_StepForHost):
    """Write the membership order for a host."""

    membership_order: MembershipOrder
    unlisted: str | None = None
    """Node id that the swarm must not list. The step checks that once more: the host stops replicas on this order."""
    verb, kind, about = "issue", "swarm", "membership-order"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeMembershipOrder(_StepForHost):
    """Delete a membership order whose cause has ended, or is not known any more."""

    verb, kind, about = "revoke", "swarm", "membership-order"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetHost(_StepForHost):
    """Delete the keys of a removed host that is empty and outside the swarm."""

    verb, kind, about = "forget", "swarm", "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimInit(_LeaderStep):
    """Claim the only `swarm init` of the cluster, or take over the claim of an unreachable host."""

    over: int = 0
    """mod_revision of the claim that is taken over; 0: none exists."""
    unable: Pairs = ()
    """As in the record of that claim."""
    verb, kind, resource = "claim", "swarm", "swarm-record"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassClaim(_LeaderStep):
    """Write the claim of a host that can create the swarm over the claim of this host, which cannot."""

    record: SwarmRecord
    over: int
    """mod_revision of this host's claim."""
    verb, kind, resource = "pass on", "swarm", "swarm-record"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSwarm(_LeaderStep):
    record: SwarmRecord
    verb, kind, resource = "publish", "swarm", "swarm-record"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishTokens(_LeaderStep):
    swarm_id: str
    managers: bool = True
    """True if hosts may join as managers now."""
    verb, kind, resource = "publish", "swarm", "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateTokens(_LeaderStep):
    verb, kind, resource = "rotate", "swarm", "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawTokens(_LeaderStep):
    verb, kind, resource = "withdraw", "swarm", "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOverlay(CreateNetwork):
    """Create an overlay for all hosts of the swarm."""

    lane, kind, budget_s = "leader", "overlay", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOverlay(_LeaderStep):
    """Remove a managed overlay without users. The id excludes another network of that name."""

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
    """Host to which the node belongs or belonged."""
    kind = "swarm"

    @property
    def resource(self) -> str:
        return f"node/{self.node_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeChange(_NodeStep):
    version: int = field(compare=False)
    """Version index of the node at planning time; at any other index the step is stale. It does not distinguish
    steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteNode(_NodeChange):
    """Set the node's role to manager. The swarm carries that out a moment later."""

    verb = "promote"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoteNode(_NodeChange):
    """Set the node's role to worker. A raft leader transfers its leadership first."""

    verb = "demote"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateNode(_NodeChange):
    """Set the availability (None: unchanged) and labels, and remove the labels in `without`."""

    availability: Availability | None = None
    labels: Pairs = ()
    without: tuple[str, ...] = ()
    verb = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNode(_NodeStep):
    """Remove a down node from the swarm, never by force."""

    verb = "remove"


# ---- Autolock: the leader switches it and publishes the key; a locked host unlocks itself


@dataclass(frozen=True, slots=True, kw_only=True)
class _AutolockStep(_LeaderStep):
    known: UnlockKeys
    """The published keys of this swarm; off and without a key if none are published."""
    kind, resource = "swarm", "autolock"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnAutolockOn(_AutolockStep):
    """Enable autolock and publish the unlock key immediately: no manager can be unlocked without it."""

    verb = "turn on"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishUnlockKey(_AutolockStep):
    verb = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnAutolockOff(_AutolockStep):
    """Disable autolock. The keys stay published for managers that are down, which stay locked with them."""

    verb = "turn off"


NodeStep = PromoteNode | DemoteNode | UpdateNode | RemoveNode
AutolockStep = TurnAutolockOn | PublishUnlockKey | TurnAutolockOff
LeaderStep = (
    Campaign | Resign | AbandonLock
    | PublishVerdict | PublishAssignment | CollectSpecs | PublishRollout | WithdrawRollout
    | GrantDisruption | RevokeDisruption | IssueMembershipOrder | RevokeMembershipOrder | ForgetHost
    | ClaimInit | PassClaim | PublishSwarm | PublishTokens | RotateTokens | WithdrawTokens
    | CreateOverlay | RemoveOverlay | NodeStep | AutolockStep
)  # fmt: skip
