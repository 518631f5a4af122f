"""One assigned replica, with all that is needed to decide upon it, and who has the name that it shall have."""

from collections.abc import Collection
from dataclasses import dataclass

from agent.diff.container import FillContext, fill
from agent.diff.replicas import STOPPABLE, container_name
from agent.model import records, steps
from agent.model.host_state import ContainerState, HostState
from agent.model.phrases import short_id
from agent.model.plan import Plan, Step, blocked_plan
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
    """A replica as it shall be on this host; `spec` still has its placeholders."""

    replica: records.Replica
    project: str
    spec: ContainerSpec
    context: FillContext
    called: str = ""
    """What its container is called while another one has its name; empty: by its name."""

    @property
    def name(self) -> str:
        """The name of its container."""
        return self.called or container_name(self.project, self.replica)

    @property
    def resource(self) -> str:
        """What the steps on its container are steps on."""
        return f"container/{self.name}"

    @property
    def filled(self) -> ContainerSpec:
        """The spec with the placeholders of this replica filled in. Raises Invalid when one has no value yet."""
        return fill(self.spec, self.context)

    @property
    def grace_s(self) -> float:
        """How long a stop may take before the engine kills."""
        return grace_s(self.spec)


# ---- Names: docker gives each to one container only, and people rename and swap ours by hand


class Names:
    """Who has which name on a host. `kept`: ids of the containers that are replicas assigned here."""

    def __init__(
        self, host: HostState, kept: Collection[str], project: str, assigned: Collection[records.Replica]
    ) -> None:
        self._foreign = frozenset(name for name, _ in host.foreign_names)
        replicas = {replica.key for replica in assigned}
        # What is surplus is removed before a container of its name is made: its steps are of the same resource. A
        # second container of a replica that is assigned may have to stay for a while.
        self._ours = {
            each.name: each
            for each in host.containers
            if each.id in kept or each.status == "removing" or each.replica.key in replicas
        }
        self._assigned = frozenset(container_name(project, replica) for replica in assigned)

    def plan(self, wanted: Wanted, found: ContainerState | None) -> Plan | None:
        """What to do while somebody else has the name that `wanted` shall have; None: nobody has.

        A container that in turn has the name of another replica steps aside, so that of several that wait for each
        other one always can go on.
        """
        holder = self._holder(wanted, found)
        if not holder:
            return None
        if self._goes(wanted):
            return Plan()
        if found and found.name in self._assigned:
            aside = f"{wanted.name}-{short_id(found.id)}"
            reason = f"it has the name of another replica, and {holder} has its own"
            return Plan((steps.RenameContainer(name=aside, id=found.id, reason=reason),))
        return blocked_plan(wanted.resource, "name", f"{holder} has this name")

    def _holder(self, wanted: Wanted, found: ContainerState | None) -> str:
        if wanted.name in self._foreign:
            return "a container that is not ours"
        holder = self._ours.get(wanted.name)
        if holder is None or holder is found or self._makes_way(holder, wanted):
            return ""
        going = ", which is being removed," if holder.status == "removing" else ""
        return f"replica {holder.replica.slot} of {holder.replica.service}{going}"

    def _goes(self, wanted: Wanted) -> bool:
        """Whether the one before it in this very place is being removed: its end is told, and nothing is to be said."""
        holder = self._ours.get(wanted.name)
        return bool(holder and holder.status == "removing" and holder.replica.key == wanted.replica.key)

    def _makes_way(self, holder: ContainerState, wanted: Wanted) -> bool:
        """Whether it is removed as the second container of this very replica, before its name is taken."""
        return holder.status != "removing" and holder.replica.key == wanted.replica.key
