"""Steps of the leader: its lock, the intent, the swarm and its nodes, overlays, and its orders to hosts."""

from dataclasses import field

from agent.model.history import Note, Outcome
from agent.model.intent import Availability
from agent.model.records import (
    Assignment,
    Disruption,
    MembershipOrder,
    Rollout,
    SwarmRecord,
    Trial,
    UnlockKeys,
    Verdict,
)
from agent.model.spec import ContainerSpec, Pairs
from agent.model.steps import LEADER_BUDGET_S, BaseStep, CreateNetwork
from agent.model.store import Fence


class _LeaderStep(BaseStep, lane="leader", budget_s=LEADER_BUDGET_S):
    pass


class _StepForHost(_LeaderStep):
    host: str


class Campaign(_LeaderStep, verb="campaign for", kind="leadership", about="leader"):
    """Acquire the leader lock if it is free."""

    not_before: str = ""
    """Time before which the lock must not be of, by whatever clock: an order until then counts as carried out."""


class Resign(_LeaderStep, verb="resign as", kind="leadership", about="leader"):
    """Release the leader lock, even if etcd renews its lease and lets the leader read or write nothing else.

    If etcd refuses that too, the session lets the lease expire and takes another one.
    """

    lock: Fence


class HandOver(Resign, barrier=True):
    """Do the same once no other step of the leader runs: an operator asked for another leader."""


class PublishVerdict(_LeaderStep, verb="publish", kind="intent", about="verdict"):
    """Write the verdict on the newest document, and in the same transaction the document of its `accepted_revision`."""

    verdict: Verdict
    document: str | None = field(default=None, repr=False)
    epoch: int = 0
    forget_earlier: bool = False
    """True if with `document` the keys go that only agents before format 2 read: no such agent reports."""


class BeginTrial(_LeaderStep, verb="prepare", kind="intent", about="verdict"):
    """Record that this leader begins the trial of the newest document."""

    trial: Trial


class RecordHistory(_LeaderStep, verb="record", kind="intent", about="history"):
    """Write an entry of the history, an outcome of the accepted document, or both; delete what is beyond its bounds."""

    verdict: Verdict | None
    """Of the document that gets an entry; None: none does."""
    text: str = field(default="", repr=False)
    note: Note | None = None
    revision: int
    """Of the accepted document."""
    outcome: tuple[Outcome, str] | None
    """With its reason."""
    gone: tuple[str, ...]
    """Names below `history/`."""


class PublishAssignment(_StepForHost, verb="publish", kind="intent", about="assignment/{self.host}"):
    """Write the assignment of a host, preceded by the specs that it names and etcd lacks."""

    assignment: Assignment
    specs: tuple[ContainerSpec, ...] = field(repr=False)


class CollectSpecs(_LeaderStep, verb="collect", kind="intent", about="specs"):
    """Delete specs that no assignment names any more."""

    digests: tuple[str, ...]


class _RolloutStep(_LeaderStep, kind="intent", about="rollout/{self.service}"):
    service: str


class PublishRollout(_RolloutStep, verb="publish"):
    """Write the state of a rollout. This precedes every update of a replica by the rollout."""

    rollout: Rollout


class WithdrawRollout(_RolloutStep, verb="withdraw"):
    """Delete the record of a rollout that has ended."""


class GrantDisruption(_StepForHost, verb="grant", kind="gwbridge", about="disruption/{self.host}"):
    """Grant the disruption slot to a host. `over` is the mod_revision of the slot that ended; 0: there was none."""

    quorum: bool
    over: int
    address: str = ""

    @property
    def slot(self) -> Disruption:
        return Disruption(
            host=self.host, state="granted", reason=self.reason, quorum=self.quorum, address=self.address
        )


class RevokeDisruption(_StepForHost, verb="revoke", kind="gwbridge", about="disruption/{self.host}"):
    """Delete the disruption slot. `over` is its mod_revision, `seen` that of the key of its host."""

    over: int
    seen: int = 0


class IssueMembershipOrder(_StepForHost, verb="issue", kind="swarm", about="membership-order/{self.host}"):
    """Write the membership order for a host."""

    membership_order: MembershipOrder
    unlisted: str | None = None
    """Node id that the swarm must not list. The step checks that once more: the host stops replicas on this order."""


class RevokeMembershipOrder(_StepForHost, verb="revoke", kind="swarm", about="membership-order/{self.host}"):
    """Delete a membership order whose cause has ended, or is not known any more."""


class ForgetHost(_StepForHost, verb="forget", kind="swarm", about="host/{self.host}"):
    """Delete the keys of a removed host that is empty and outside the swarm."""


class ClaimInit(_LeaderStep, verb="claim", kind="swarm", about="swarm-record"):
    """Claim the only `swarm init` of the cluster, or take over the claim of an unreachable host."""

    over: int = 0
    """mod_revision of the claim that is taken over; 0: none exists."""
    unable: Pairs = ()
    """As in the record of that claim."""


class PassClaim(_LeaderStep, verb="pass on", kind="swarm", about="swarm-record"):
    """Write the claim of a host that can create the swarm over the claim of this host, which cannot."""

    record: SwarmRecord
    over: int
    """mod_revision of this host's claim."""


class PublishSwarm(_LeaderStep, verb="publish", kind="swarm", about="swarm-record"):
    record: SwarmRecord


class PublishTokens(_LeaderStep, verb="publish", kind="swarm", about="tokens"):
    swarm_id: str
    managers: bool = True
    """True if hosts may join as managers now."""


class RotateTokens(_LeaderStep, verb="rotate", kind="swarm", about="tokens"):
    pass


class WithdrawTokens(_LeaderStep, verb="withdraw", kind="swarm", about="tokens"):
    pass


class CreateOverlay(CreateNetwork, kind="overlay", lane="leader", budget_s=LEADER_BUDGET_S):
    """Create an overlay for all hosts of the swarm."""


class RemoveOverlay(_LeaderStep, verb="remove", kind="overlay", about="network/{self.network}"):
    """Remove a managed overlay without users. The id excludes another network of that name."""

    network: str
    id: str


class _NodeStep(_LeaderStep, kind="swarm", about="node/{self.node_id}"):
    node_id: str
    host: str
    """Host to which the node belongs or belonged."""


class _NodeChange(_NodeStep):
    version: int = field(compare=False)
    """Version index of the node at planning time; at any other index the step is stale. It does not distinguish
    steps."""


class PromoteNode(_NodeChange, verb="promote"):
    """Set the node's role to manager. The swarm carries that out a moment later."""


class DemoteNode(_NodeChange, verb="demote"):
    """Set the node's role to worker. A raft leader transfers its leadership first."""


class UpdateNode(_NodeChange, verb="update"):
    """Set the availability (None: unchanged) and labels, and remove the labels in `without`."""

    availability: Availability | None = None
    labels: Pairs = ()
    without: tuple[str, ...] = ()


class RemoveNode(_NodeStep, verb="remove"):
    """Remove a down node from the swarm, never by force."""


# ---- Autolock: the leader switches it and publishes the key; a locked host unlocks itself


class _AutolockStep(_LeaderStep, kind="swarm", about="autolock"):
    known: UnlockKeys
    """The published keys of this swarm; off and without a key if none are published."""


class TurnAutolockOn(_AutolockStep, verb="turn on"):
    """Enable autolock and publish the unlock key immediately: no manager can be unlocked without it."""


class PublishUnlockKey(_AutolockStep, verb="publish"):
    pass


class TurnAutolockOff(_AutolockStep, verb="turn off"):
    """Disable autolock. The keys stay published for managers that are down, which stay locked with them."""


NodeStep = PromoteNode | DemoteNode | UpdateNode | RemoveNode
AutolockStep = TurnAutolockOn | PublishUnlockKey | TurnAutolockOff
LeaderStep = (
    Campaign | Resign
    | BeginTrial | PublishVerdict | RecordHistory | PublishAssignment | CollectSpecs
    | PublishRollout | WithdrawRollout
    | GrantDisruption | RevokeDisruption | IssueMembershipOrder | RevokeMembershipOrder | ForgetHost
    | ClaimInit | PassClaim | PublishSwarm | PublishTokens | RotateTokens | WithdrawTokens
    | CreateOverlay | RemoveOverlay | NodeStep | AutolockStep
)  # fmt: skip
