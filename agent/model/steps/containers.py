"""Steps on the containers of a host."""

from dataclasses import dataclass

from agent.model.records import Copy
from agent.model.spec import Attachment, ContainerSpec
from agent.model.steps.base import BaseStep


@dataclass(frozen=True, slots=True, kw_only=True)
class _ContainerStep(BaseStep):
    name: str
    """The container's name, `<project>-<service>-<number>`, or what it is called now."""
    kind = "container"

    @property
    def resource(self) -> str:
        return f"container/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateContainer(_ContainerStep):
    """`spec` has its placeholders filled in already; `copy` goes onto the labels."""

    copy: Copy
    project: str
    spec: ContainerSpec
    under: str = ""
    """The name it is made under while another container has its own; empty: its own."""
    verb, budget_s = "create", 30.0

    @property
    def made_as(self) -> str:
        return self.under or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer(_ContainerStep):
    verb, budget_s = "start", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpauseContainer(_ContainerStep):
    id: str
    verb = "unpause"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopContainer(_ContainerStep):
    id: str
    grace_s: float
    """After this long the engine kills it."""
    verb, budget_s = "stop", 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveContainer(_ContainerStep):
    """Remove a stopped container of ours; its named volumes stay."""

    id: str
    verb, budget_s = "remove", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameContainer(_ContainerStep):
    """Give the container `id` its name. The id may be what it is called, where the id itself is not known yet."""

    id: str
    verb = "rename"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateContainer(_ContainerStep):
    """Put limits and restart policy right in place (`docker update`)."""

    id: str
    spec: ContainerSpec
    verb = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectNetwork(_ContainerStep):
    id: str
    attachment: Attachment
    aliases: tuple[str, ...]
    verb, budget_s = "connect", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectNetwork(_ContainerStep):
    id: str
    network: str
    verb, budget_s = "disconnect", 60.0
