"""The plan: what is to be done, in order, and what is blocked; and what comes of a step."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from agent.model.leader_steps import LeaderStep
from agent.model.steps import HostStep

Step = HostStep | LeaderStep

BlockedKind = Literal[
    "quorum", "overlap", "guard", "dependency", "locked", "port", "name", "foreign", "role", "removal",
    "waiting", "engine", "store", "disk", "confirm", "unreadable", "mode", "error", "unsupported", "rollout",
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


def blocked_plan(resource: str, kind: BlockedKind, reason: str) -> Plan:
    """The plan that leaves `resource` as it is, and says why."""
    return Plan(blocked=(Blocked(resource=resource, reason=reason, kind=kind),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong last with a resource, how often in a row, and when it may be tried again."""

    error: str
    attempts: int
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
    stale: str = ""
    """Why it was not carried out, although nothing failed: the next pass replans, at once."""

    @property
    def succeeded(self) -> bool:
        return not self.error and not self.stale
