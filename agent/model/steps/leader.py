"""Steps of the leader: the lock itself, the intent, the swarm's record and tokens, overlays, assignments."""

from dataclasses import dataclass, field

from agent.model.intent import Availability
from agent.model.records import Assignment, Ruling, SwarmRecord, UnlockKeys, Verdict
from agent.model.rollout import Rollout
from agent.model.spec import ContainerSpec, Pairs
from agent.model.steps.base import LEADER_BUDGET_S, BaseStep
from agent.model.steps.host import CreateNetwork
from agent.model.store import Fence


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(BaseStep):
    """Try to take the leader lock."""

    lane, verb, kind, resource, budget_s = "leader", "campaign for", "leadership", "leader", 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resign(BaseStep):
    """Give the leader lock back."""

    lane, verb, kind, resource, budget_s = "leader", "resign as", "leadership", "leader", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class LetGo(BaseStep):
    """Give back a lock that is ours still, as etcd goes on renewing it, while nothing else can be read there.

    Where etcd does not let us do that either, the lease is left to run out, and another one taken.
    """

    lock: Fence
    lane, verb, kind, resource, budget_s = "leader", "let go as", "leadership", "leader", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PutPresence(BaseStep):
    """Say anew that this agent is there, under the host's name."""

    insists: bool = False
    """Although another agent says so of itself."""
    verb, kind, resource = "put", "leadership", "presence"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishVerdict(BaseStep):
    """Say what came of the newest document; an accepted one is put in force in the same transaction."""

    verdict: Verdict
    document: str | None = field(default=None, repr=False)
    era: int = 0
    lane, verb, kind, resource, budget_s = "leader", "publish", "intent", "verdict", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimInit(BaseStep):
    """Claim the one `swarm init` of the cluster, or take the claim over from a host that is gone."""

    over: int = 0
    """mod_revision of the claim that is taken over; 0: there is none."""
    lane, verb, kind, resource, budget_s = "leader", "claim", "swarm", "swarm-record", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSwarm(BaseStep):
    record: SwarmRecord
    lane, verb, kind, resource, budget_s = "leader", "publish", "swarm", "swarm-record", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishTokens(BaseStep):
    swarm_id: str
    managers: bool = True
    """Whether hosts may join as managers now."""
    lane, verb, kind, resource, budget_s = "leader", "publish", "swarm", "tokens", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateTokens(BaseStep):
    lane, verb, kind, resource, budget_s = "leader", "rotate", "swarm", "tokens", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawTokens(BaseStep):
    lane, verb, kind, resource, budget_s = "leader", "withdraw", "swarm", "tokens", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRuling(BaseStep):
    """Give a host the leader's word on its membership."""

    host: str
    ruling: Ruling
    unlisted: str | None = None
    """The node id that the swarm must not know, asked once more before it is said: stopping copies rests upon it."""
    lane, verb, kind, budget_s = "leader", "rule on", "swarm", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"ruling/{self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawRuling(BaseStep):
    """Take the word back: what it was about is no longer so, or cannot be told any more."""

    host: str
    lane, verb, kind, budget_s = "leader", "withdraw", "swarm", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"ruling/{self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishAssignment(BaseStep):
    """Tell a host its copies; the specs it needs and etcd lacks are written in the same transaction."""

    host: str
    assignment: Assignment
    specs: tuple[ContainerSpec, ...] = field(repr=False)
    lane, verb, kind, budget_s = "leader", "publish", "intent", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"assignment/{self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRollout(BaseStep):
    """Note how far a service is on its way to another spec. Always before a copy is moved by it."""

    service: str
    rollout: Rollout
    lane, verb, kind, budget_s = "leader", "publish", "intent", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"rollout/{self.service}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawRollout(BaseStep):
    """Forget a rollout that is over."""

    service: str
    lane, verb, kind, budget_s = "leader", "withdraw", "intent", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"rollout/{self.service}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectSpecs(BaseStep):
    """Delete specs that no assignment names any more."""

    digests: tuple[str, ...]
    lane, verb, kind, resource, budget_s = "leader", "collect", "intent", "specs", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOverlay(CreateNetwork):
    """An overlay, for the whole swarm."""

    lane, kind, budget_s = "leader", "overlay", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOverlay(BaseStep):
    """Remove an overlay of ours that nobody is on, by its id: another one of that name is not meant."""

    network: str
    id: str
    lane, verb, kind, budget_s = "leader", "remove", "overlay", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"network/{self.network}"


# ----
# Steps of the leader on the nodes of the swarm: roles, availability, labels, and records of nodes that are
# gone.


@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeStep(BaseStep):
    node_id: str
    host: str
    """Whose node it is, or was."""
    lane, kind, budget_s = "leader", "swarm", LEADER_BUDGET_S

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetHost(BaseStep):
    """Delete the keys of a host that the intent named before, and that is empty and outside the swarm."""

    host: str
    lane, verb, kind, budget_s = "leader", "forget", "swarm", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"host/{self.host}"


# ---- Steps of Swarm's autolock: the leader switches it and publishes the key, a locked host unlocks itself


@dataclass(frozen=True, slots=True, kw_only=True)
class _AutolockStep(BaseStep):
    known: UnlockKeys
    """What is published of this swarm; off and without a key when nothing is."""
    lane, kind, resource, budget_s = "leader", "swarm", "autolock", LEADER_BUDGET_S


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


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockHost(BaseStep):
    """Unlock this host's manager. The keys are tried in turn."""

    keys: tuple[str, ...] = field(repr=False)
    verb, kind, resource, barrier, budget_s = "unlock", "swarm", "swarm", True, 30.0
