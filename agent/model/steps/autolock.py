"""Steps of Swarm's autolock: the leader switches it and publishes the key, a locked host unlocks itself."""

from dataclasses import dataclass, field

from agent.model.autolock import UnlockKeys
from agent.model.steps.base import LEADER_BUDGET_S, BaseStep


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
