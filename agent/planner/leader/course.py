"""What is decided of one service whose copies are to have one spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.model.rollout import Rollout

Place = tuple[str, int]
"""(host, number)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is decided of one service."""

    target: str
    """Hash of the spec that its copies are to have."""
    stays: Mapping[Place, str] = field(default_factory=dict)
    """Those that keep the spec they have for now, with its hash."""
    record: Rollout | None = None
    """What etcd is to hold of it."""
    moves: tuple[Place, ...] = ()
    """Those that are moved now."""
    total: int = 0
    moved: int = 0
    """Copies that have the target's spec, or get it now."""
    waits: str = ""
    """What it waits for, in words; empty when it waits for nothing."""
    again_s: float = 0.0
    """In how many seconds something may be different although nothing tells; 0: not by time alone."""
