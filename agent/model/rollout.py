"""A service on its way from one spec to another: what the leader keeps of it in etcd, and what it measures itself."""

from dataclasses import dataclass
from typing import Literal

RolloutState = Literal["moving", "paused", "rolling-back", "rollback-paused", "rolled-back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The content of `rollouts/<service>`. It outlives the leader; how long a copy has been well does not."""

    before: str
    """Hash of the spec that ran before, and that a rollback goes to."""
    to: str
    """Hash of the spec the intent asks for: a record about another one is of the past."""
    state: RolloutState = "moving"
    already: tuple[int, ...] = ()
    """Numbers of the copies that had the spec they are to have when this way began: they say nothing about it."""
    failed: tuple[int, ...] = ()
    """Numbers of the copies that failed on this way."""
    why: str = ""
    """What failed, in words."""

    @property
    def back(self) -> bool:
        """Whether it goes, or went, back to the spec before."""
        return self.state in ("rolling-back", "rollback-paused", "rolled-back")


CopyKey = tuple[str, str, int]
"""(host, service, number)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyWatch:
    """What this leader has seen of one copy since it leads."""

    steady_s: float = 0.0
    """How long its host has said the same of it, or has been away."""
    ended: bool = False
    """Whether it was seen running with the spec it is to have, and ended since, however it looks now."""
