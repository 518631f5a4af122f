"""Swarm's autolock: a manager whose dockerd was started anew opens what it knows of the swarm with a key only."""

from dataclasses import dataclass, field

MOST_KEYS = 3
"""How many keys are kept. A manager that was down while the key was changed is locked with the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlockKeys:
    """The unlock keys of a swarm, as the leader publishes them. In etcd they are always sealed."""

    swarm_id: str
    on: bool
    """Whether autolock is on by our doing. The keys stay when it is off: who was down meanwhile is still locked."""
    keys: tuple[str, ...] = field(default=(), repr=False)
    """The one that is good now first; empty while they are sealed."""
    sealed: str = field(default="", repr=False)
    """All of them, sealed with a key of the hosts."""
