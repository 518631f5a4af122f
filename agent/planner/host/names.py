"""Names: docker gives each to one container only, and people rename and swap ours by hand."""

from collections.abc import Collection

from agent.diff.replicas import container_name
from agent.model import records, steps
from agent.model.host_state import ContainerState, HostState
from agent.model.phrases import short_id
from agent.model.plan import Plan, untouched
from agent.planner.host.wanted import Wanted


class Names:
    """Who has which name on a host. `kept`: ids of the containers that are copies assigned here."""

    def __init__(
        self, host: HostState, kept: Collection[str], project: str, assigned: Collection[records.Copy]
    ) -> None:
        self._foreign = frozenset(name for name, _ in host.foreign_names)
        copies = {copy.key for copy in assigned}
        # What is surplus is removed before a container of its name is made: its steps are of the same resource. A
        # second container of a copy that is assigned may have to stay for a while.
        self._ours = {
            each.name: each
            for each in host.containers
            if each.id in kept or each.status == "removing" or each.copy.key in copies
        }
        self._assigned = frozenset(container_name(project, copy) for copy in assigned)

    def plan(self, wanted: Wanted, found: ContainerState | None) -> Plan | None:
        """What to do while somebody else has the name that `wanted` shall have; None: nobody has.

        A container that in turn has the name of another copy steps aside, so that of several that wait for each
        other one always can go on.
        """
        holder = self._holder(wanted, found)
        if not holder:
            return None
        if self._goes(wanted):
            return Plan()
        if found and found.name in self._assigned:
            aside = f"{wanted.name}-{short_id(found.id)}"
            reason = f"it has the name of another copy, and {holder} has its own"
            return Plan((steps.RenameContainer(name=aside, id=found.id, reason=reason),))
        return untouched(wanted.resource, "name", f"{holder} has this name")

    def _holder(self, wanted: Wanted, found: ContainerState | None) -> str:
        if wanted.name in self._foreign:
            return "a container that is not ours"
        holder = self._ours.get(wanted.name)
        if holder is None or holder is found or self._makes_way(holder, wanted):
            return ""
        going = ", which is being removed," if holder.status == "removing" else ""
        return f"copy {holder.copy.number} of {holder.copy.service}{going}"

    def _goes(self, wanted: Wanted) -> bool:
        """Whether the one before it in this very place is being removed: its end is told, and nothing is to be said."""
        holder = self._ours.get(wanted.name)
        return bool(holder and holder.status == "removing" and holder.copy.key == wanted.copy.key)

    def _makes_way(self, holder: ContainerState, wanted: Wanted) -> bool:
        """Whether it is removed as the second container of this very copy, before its name is taken."""
        return holder.status != "removing" and holder.copy.key == wanted.copy.key
