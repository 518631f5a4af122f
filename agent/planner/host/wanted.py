"""One assigned copy, with all that is needed to decide upon it."""

from dataclasses import dataclass

from agent.diff.container import FillContext, fill
from agent.diff.replicas import container_name
from agent.model.records import Copy
from agent.model.spec import ContainerSpec
from agent.planner.host.stopping import grace_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A copy as it shall be on this host; `spec` still has its placeholders."""

    copy: Copy
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
