"""Steps of the leader on the nodes of the swarm: roles, availability, labels, and records of nodes that are gone."""

from dataclasses import dataclass, field

from agent.model.intent import Availability
from agent.model.spec import Pairs
from agent.model.steps.base import LEADER_BUDGET_S, BaseStep


@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeStep(BaseStep):
    node_id: str
    host: str
    """Whose node it is, or was."""
    lane, kind, budget_s = "leader", "swarm", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"node/{self.node_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeChange(_NodeStep):
    version: int = field(compare=False)
    """The node's, when this was decided: it is not carried out on any other. Another version makes no other step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteNode(_NodeChange):
    """Ask for a manager. The node becomes one a moment later, by itself."""

    verb = "promote"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoteNode(_NodeChange):
    """Ask for a worker. The raft leader hands over by itself before it is one."""

    verb = "demote"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateNode(_NodeChange):
    """Set the availability (None: as it is) and labels, and take the labels named in `without` away."""

    availability: Availability | None = None
    labels: Pairs = ()
    without: tuple[str, ...] = ()
    verb = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNode(_NodeStep):
    """Take the record of a node that is down out of the swarm. Never forced."""

    verb = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetHost(BaseStep):
    """Delete the keys of a host that the intent named before, and that is empty and outside the swarm."""

    host: str
    lane, verb, kind, budget_s = "leader", "forget", "swarm", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"host/{self.host}"
