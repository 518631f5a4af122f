"""One assigned copy, with all that is needed to decide upon it."""

from dataclasses import dataclass

from agent.diff.container import FillContext, fill
from agent.diff.replicas import STOPPABLE, container_name
from agent.model import records, steps
from agent.model.host_state import ContainerState
from agent.model.plan import Step
from agent.model.spec import ContainerSpec

# ---- How a container of ours is stopped: which ones can be, and how long they get


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
    return (steps.StopContainer(name=name, id=found.id, grace_s=within_s, reason=reason),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A copy as it shall be on this host; `spec` still has its placeholders."""

    copy: records.Copy
    project: str
    spec: ContainerSpec
    context: FillContext
    called: str = ""
    """What its container is called while another one has its name; empty: by its name."""

    @property
    def name(self) -> str:
        """The name of its container."""
        return self.called or container_name(self.project, self.copy)

    @property
    def resource(self) -> str:
        """What the steps on its container are steps on."""
        return f"container/{self.name}"

    @property
    def filled(self) -> ContainerSpec:
        """The spec with the placeholders of this copy filled in. Raises Invalid when one has no value yet."""
        return fill(self.spec, self.context)

    @property
    def grace_s(self) -> float:
        """How long a stop may take before the engine kills."""
        return grace_s(self.spec)
