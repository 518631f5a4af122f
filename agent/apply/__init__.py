"""Carries out one step: no decisions here. Every call tolerates having happened already."""

from agent.apply.doors import Doors
from agent.apply.host import act
from agent.apply.leader import lead
from agent.model.plan import Step

__all__ = ["Doors", "apply"]


def apply(doors: Doors, step: Step) -> None:
    """Carry out `step`. Raises what the doors raise; LeadershipLost when a leader's step is not safe any more."""
    if step.lane == "leader":
        lead(doors, step)
    else:
        act(doors, step)
