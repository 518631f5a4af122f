"""One assigned copy, with all that is needed to decide upon it."""

from dataclasses import dataclass

from agent.fields import FillContext, fill
from agent.model.intent import Intent
from agent.model.records import Copy
from agent.model.spec import ContainerSpec

DEFAULT_GRACE_S = 10.0
"""Docker's own, when neither the service nor the image says how long a stop may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A copy as it shall be on this host; `spec` still has its placeholders."""

    copy: Copy
    project: str
    spec: ContainerSpec
    context: FillContext

    @property
    def name(self) -> str:
        """The name of its container."""
        return container_name(self.project, self.copy)

    @property
    def filled(self) -> ContainerSpec:
        """The spec with the placeholders of this copy filled in. Raises Invalid when one has no value yet."""
        return fill(self.spec, self.context)

    @property
    def grace_s(self) -> float:
        """How long a stop may take before the engine kills."""
        return DEFAULT_GRACE_S if self.spec.stop_grace_period_s is None else self.spec.stop_grace_period_s


def fill_context(intent: Intent | None, host: str, node_id: str | None, copy: Copy) -> FillContext:
    """What the placeholders of `copy` stand for on `host`."""
    declared = intent.host(host) if intent else None
    return FillContext(
        host=host,
        service=copy.service,
        number=copy.number,
        node_id=node_id,
        address=str(declared.address) if declared else None,
    )


def container_name(project: str, copy: Copy) -> str:
    """`<project>-<service>-<number>`, as Compose names its containers."""
    return f"{project}-{copy.service}-{copy.number}"
