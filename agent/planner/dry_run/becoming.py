"""What a host will observe of its containers once other copies are assigned to it: some need not be made anew."""

from collections.abc import Mapping
from dataclasses import replace

from agent.diff.container import by_number, differing, fill, in_place
from agent.diff.replicas import fill_context
from agent.errors import Invalid
from agent.model.intent import Intent
from agent.model.observed import ContainerState, HostState
from agent.model.records import Assignment, Copy
from agent.model.spec import ContainerSpec


def with_assignment(
    host: HostState,
    me: str,
    assignment: Assignment | None,
    specs: Mapping[str, ContainerSpec],
    intent: Intent | None,
) -> HostState:
    """The host with each container told as the engine's reader will tell it then (agent/diff/container/in_place.py)."""
    wanted = by_number(assignment.copies) if assignment else {}

    def regarded(found: ContainerState) -> ContainerState:
        copy = wanted.get((found.copy.service, found.copy.number))
        if copy is None or (copy.made_as == found.copy and not copy.addresses):
            return found
        return _become(found, copy)

    def _become(found: ContainerState, copy: Copy) -> ContainerState:
        old, new = specs.get(found.copy.spec), specs.get(copy.spec)
        if old is None or new is None:
            return found
        has = tuple((network, dict(found.addresses).get(network) or pin) for network, pin in copy.addresses)
        try:
            before = fill(old, fill_context(intent, me, host.swarm, replace(copy, addresses=has)))
            after = fill(new, fill_context(intent, me, host.swarm, copy))
        except Invalid:
            return found
        same = copy.spec == found.copy.spec
        changes = differing(before, after, copy) if same else in_place(before, after, copy)
        if changes is None:
            return found
        told = {each.field for each in changes}
        kept = tuple(each for each in found.differences if each.field not in told)
        return replace(found, copy=copy.made_as, differences=(*kept, *changes))

    return replace(host, containers=tuple(map(regarded, host.containers)))
