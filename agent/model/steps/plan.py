"""What a plan is made of: any step, what is blocked, and the plan itself."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from agent.model.steps.autolock import PublishUnlockKey, TurnAutolockOff, TurnAutolockOn, UnlockHost
from agent.model.steps.containers import (
    ConnectNetwork,
    CreateContainer,
    DisconnectNetwork,
    RemoveContainer,
    RenameContainer,
    StartContainer,
    StopContainer,
    UnpauseContainer,
    UpdateContainer,
)
from agent.model.steps.host import (
    CreateBridge,
    CreateNetwork,
    CreateVolume,
    DissolveSwarm,
    GiveUpInit,
    InitSwarm,
    JoinSwarm,
    LeaveSwarm,
    PullImage,
    RemoveBridge,
    ResolveDigests,
)
from agent.model.steps.leader import (
    Campaign,
    ClaimInit,
    CollectSpecs,
    CreateOverlay,
    LetGo,
    PublishAssignment,
    PublishRollout,
    PublishRuling,
    PublishSwarm,
    PublishTokens,
    PublishVerdict,
    PutPresence,
    RemoveOverlay,
    Resign,
    RotateTokens,
    WithdrawRollout,
    WithdrawRuling,
    WithdrawTokens,
)
from agent.model.steps.nodes import DemoteNode, ForgetHost, PromoteNode, RemoveNode, UpdateNode
from agent.model.steps.parking import (
    CreateParking,
    EndTurn,
    GiveBackTurn,
    OfferTurn,
    Park,
    RemoveParking,
    SwapBridge,
    TakeTurn,
    Unpark,
)

Step = (
    Campaign | LetGo | Resign | PutPresence | CreateBridge | RemoveBridge | InitSwarm | GiveUpInit | JoinSwarm
    | LeaveSwarm | DissolveSwarm
    | CreateNetwork | CreateOverlay | CreateVolume | PullImage | ResolveDigests | CreateContainer | StartContainer
    | UnpauseContainer | StopContainer | RemoveContainer
    | RenameContainer | UpdateContainer | ConnectNetwork | DisconnectNetwork | PublishVerdict
    | TakeTurn | GiveBackTurn | OfferTurn | EndTurn | CreateParking | Park | SwapBridge | Unpark | RemoveParking
    | ClaimInit | PublishSwarm | PublishTokens | RotateTokens | WithdrawTokens | PublishAssignment | CollectSpecs
    | PromoteNode | DemoteNode | UpdateNode | RemoveNode | ForgetHost | RemoveOverlay | PublishRuling
    | WithdrawRuling | PublishRollout | WithdrawRollout
    | TurnAutolockOn | PublishUnlockKey | TurnAutolockOff | UnlockHost
)  # fmt: skip

BlockedKind = Literal[
    "quorum", "overlap", "guard", "dependency", "locked", "port", "name", "foreign", "role", "removal",
    "waiting", "engine", "store", "disk", "confirm", "garbage", "mode", "error", "unsupported", "rollout",
    "placement",
    "crash",
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


def untouched(resource: str, kind: BlockedKind, reason: str) -> Plan:
    """The plan that leaves `resource` as it is, and says why."""
    return Plan(blocked=(Blocked(resource=resource, reason=reason, kind=kind),))
