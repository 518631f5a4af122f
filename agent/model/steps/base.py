"""What every step has."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

Lane = Literal["host", "leader", "pull"]
"""Whose work a step is. The lanes do not wait for each other: a leader whose own host is busy goes on leading."""

LEADER_BUDGET_S = 5.0
"""Short enough to fit between two renewals of the lease, with the default timings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseStep(ABC):
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
    @abstractmethod
    def resource(self) -> str:
        """What it works on, as `container/prod-api-1`."""

    @property
    def door(self) -> str:
        """What it has to come through beside others: while that does not answer, one of them tries it at a time."""
        return ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}: {self.reason}"


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
