"""The plan: steps in order, and blocked resources. And the outcome of a step."""

from typing import Literal, NamedTuple, TypeVar

from agent.model import Frozen
from agent.model.leader_steps import LeaderStep
from agent.model.status import BlockedReport, Waiting
from agent.model.steps import HostStep

Step = HostStep | LeaderStep
S = TypeVar("S")

BlockedKind = Literal[
    "quorum", "overlap", "guard", "dependency", "locked", "port", "name", "foreign", "role", "removal",
    "engine", "store", "disk", "confirm", "unreadable", "mode", "error", "unsupported", "rollout",
    "placement",
    "crash", "unhealthy", "refused", "admission", "untrusted", "lock",
]  # fmt: skip
"""Kinds of blocked resources, a label of the metric."""


class Blocked(BlockedReport):
    """A resource whose difference the agent sees and deliberately leaves."""

    kind: BlockedKind

    def __str__(self) -> str:
        return f"blocked {self.resource}: {self.reason}"


def soonest(*times: float | None) -> float:
    """Return the least of some times in seconds, of which 0 and None mean never."""
    return min((each for each in times if each), default=0.0)


class Plan(NamedTuple):
    """The result of the planner."""

    steps: tuple[Step, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    requeue_after_s: float = 0.0
    """Seconds until time alone may change the plan; 0: never."""

    def __str__(self) -> str:
        return "\n".join(str(each) for each in (*self.steps, *self.blocked, *self.waiting))

    def __add__(self, other: object) -> "Plan":
        if not isinstance(other, Plan):
            return NotImplemented
        return Plan(
            (*self.steps, *other.steps),
            (*self.blocked, *other.blocked),
            (*self.waiting, *other.waiting),
            soonest(self.requeue_after_s, other.requeue_after_s),
        )

    @property
    def left(self) -> tuple[Blocked | Waiting, ...]:
        """The resources that differ and have no step."""
        return (*self.blocked, *self.waiting)

    def of(self, kind: type[S]) -> tuple[S, ...]:
        """Return the steps of that class."""
        return tuple(each for each in self.steps if isinstance(each, kind))

    def without(self, resources: frozenset[str]) -> "Plan":
        """Return the plan without the steps of `resources`: those that are in flight."""
        return self._replace(steps=tuple(each for each in self.steps if each.resource not in resources))


def blocked_plan(resource: str, kind: BlockedKind, reason: str) -> Plan:
    """Return a plan that only blocks `resource`, with the reason."""
    return Plan(blocked=(Blocked(resource=resource, reason=reason, kind=kind),))


def waiting_plan(resource: str, reason: str, on: str = "") -> Plan:
    """Return a plan in which only `resource` waits, with the reason; `on` is the condition key of its cause."""
    return Plan(waiting=(Waiting(resource=resource, reason=reason, on=on),))


class Failure(Frozen):
    """The last error of a resource, the number of failed attempts in a row, and the time of the next one."""

    error: str
    attempts: int
    retry_at: float
    """Time of the next attempt, in seconds on the clock of the caller."""
    task: str
    """The failed task. Another task for the resource is not delayed."""


class Outcome(Frozen):
    step: Step
    seconds: float
    error: str = ""
    """Empty: the step succeeded or was stale."""
    unexpected: BaseException | None = None
    """A defect of the agent, logged with its traceback; None: no error, or an expected one."""
    failure: Failure | None = None
    """The failure with its backoff; None: the step did not fail."""
    stale: str = ""
    """Change that made the step stale; empty: none. The next pass plans again without delay."""

    @property
    def succeeded(self) -> bool:
        return not self.error and not self.stale
