"""What a plan is made of: any step, what is blocked, and the plan itself."""

from dataclasses import dataclass
from typing import NamedTuple

from agent.model.steps.base import Blocked, BlockedKind
from agent.model.steps.containers import (
    ConnectNetwork,
    CreateContainer,
    CreateParking,
    DisconnectNetwork,
    EndTurn,
    GiveBackTurn,
    OfferTurn,
    Park,
    RemoveContainer,
    RemoveParking,
    RenameContainer,
    StartContainer,
    StopContainer,
    SwapBridge,
    TakeTurn,
    Unpark,
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
    DemoteNode,
    ForgetHost,
    LetGo,
    PromoteNode,
    PublishAssignment,
    PublishRollout,
    PublishRuling,
    PublishSwarm,
    PublishTokens,
    PublishUnlockKey,
    PublishVerdict,
    PutPresence,
    RemoveNode,
    RemoveOverlay,
    Resign,
    RotateTokens,
    TurnAutolockOff,
    TurnAutolockOn,
    UnlockHost,
    UpdateNode,
    WithdrawRollout,
    WithdrawRuling,
    WithdrawTokens,
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


# ---- What came of a step, and what is remembered of a failed one


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong last with a resource, how often in a row, and when it may be tried again."""

    error: str
    tries: int
    retry_at: float
    """On the clock of the caller, in seconds."""
    task: str
    """What was tried; another task is tried at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one step."""

    step: Step
    seconds: float
    error: str = ""
    """Empty: it succeeded."""
    unexpected: BaseException | None = None
    """A fault of ours, not of the other side: worth a traceback."""
    failure: Failure | None = None
    """When it failed: how often by now, and when it is tried again."""
    overtaken: str = ""
    """Why it was not carried out, although nothing failed: the next pass decides anew, at once."""

    @property
    def succeeded(self) -> bool:
        return not self.error and not self.overtaken
