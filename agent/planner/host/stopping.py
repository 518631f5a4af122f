"""How a container of ours is stopped: which ones can be, and how long they get."""

from agent.diff.replicas import STOPPABLE
from agent.model.observed import ContainerState
from agent.model.spec import ContainerSpec
from agent.model.steps import Step, StopContainer

DEFAULT_GRACE_S = 10.0
"""Docker's own, when neither the service nor the image says how long a stop may take."""


def grace_s(spec: ContainerSpec | None) -> float:
    """How long a stop may take before the engine kills, by what its spec says; None: nobody knows that."""
    if spec is None or spec.stop_grace_period_s is None:
        return DEFAULT_GRACE_S
    return spec.stop_grace_period_s


def stop(name: str, found: ContainerState, within_s: float, reason: str) -> tuple[Step, ...]:
    """Stop it, if it can be. `name` is whose step that is."""
    if found.status not in STOPPABLE:
        return ()
    return (StopContainer(name=name, id=found.id, grace_s=within_s, reason=reason),)
