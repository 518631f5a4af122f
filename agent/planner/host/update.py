"""One container in the place of another: made first, under a name of its own, so that the old one runs meanwhile.

What dockerd refuses at create (a bad option, a file of the host that is missing, a wrong platform) costs the old one
nothing. Killed anywhere in between, the next pass finds two containers of one copy and goes on from there.
"""

from collections.abc import Iterable
from dataclasses import replace

from agent.model.observed import ContainerState, HostState
from agent.model.records import Copy
from agent.model.steps import (
    CreateContainer,
    Plan,
    RemoveContainer,
    RenameContainer,
    StartContainer,
    Step,
)
from agent.planner.host.stopping import DEFAULT_GRACE_S, stop
from agent.planner.host.wanted import Wanted

_SHORT = 12


def replacement(made: Plan, wanted: Wanted, old: ContainerState, reason: str) -> Plan:
    """`made`, which creates the new container, and then: the old one away, the new one into its name, and started."""
    rename = RenameContainer(name=wanted.name, id=_aside(wanted), reason=reason)
    start = StartContainer(name=wanted.name, reason=reason)
    rest = (*away(wanted.name, old, wanted.grace_s, reason), rename, start)
    return beside(made, wanted) + Plan(rest)


def beside(made: Plan, wanted: Wanted) -> Plan:
    """`made`, which creates the new container, under a name of its own."""
    aside = _aside(wanted)
    steps = tuple(
        replace(step, under=aside) if isinstance(step, CreateContainer) else step for step in made.steps
    )
    return Plan(steps, made.blocked)


def _aside(wanted: Wanted) -> str:
    return f"{wanted.name}-{wanted.copy.spec[:_SHORT]}"


def candidates(copy: Copy, host: HostState) -> list[ContainerState]:
    """Every container that claims to be that copy, of whatever spec."""
    key = (copy.service, copy.number)
    return [each for each in host.containers if (each.copy.service, each.copy.number) == key]


def best(found: Iterable[ContainerState], copy: Copy, name: str) -> ContainerState | None:
    """Of several containers that claim to be the same copy, the one to keep.

    As it shall be, running, with its `name`; of those that are alike in all that, the one with the lowest id.
    """
    return min(
        found,
        key=lambda each: (
            each.copy.spec != copy.spec, _is_to_go(each), each.status != "running", each.name != name, each.id
        ),
        default=None,
    )  # fmt: skip


def _is_to_go(found: ContainerState) -> bool:
    return found.status in ("dead", "removing") or any(each.repair == "replace" for each in found.differences)


def clear_away(others: Iterable[ContainerState], plan: Plan, wanted: Wanted) -> Plan:
    """`plan` for the container that is kept, with its `others` away first: of one copy there is one container.

    While the one that is kept waits for something, the others stay: one of them may still do its work.
    """
    others = tuple(others)
    gone = [each for each in others if _may_go(each)]
    waits = plan.blocked and not any(isinstance(step, StartContainer) for step in plan.steps)
    if waits or not gone:
        names = {each.name for each in others}
        free = (step for step in plan.steps if not (isinstance(step, RenameContainer) and step.name in names))
        return Plan(tuple(free), plan.blocked)
    reason = f"another container is {wanted.copy.service} copy {wanted.copy.number} now"
    steps = tuple(step for each in gone for step in away(wanted.name, each, wanted.grace_s, reason))
    return Plan(steps) + plan


def plan_surplus(host: HostState, assigned: frozenset[Copy], keep: set[str]) -> Plan:
    """Stop and remove what is ours and is no copy that is assigned here; `keep` are the ids of those that are."""
    numbers = {(copy.service, copy.number) for copy in assigned}
    plan = Plan()
    for found in host.containers:
        copy = found.copy
        if found.id not in keep and (copy.service, copy.number) not in numbers and _may_go(found):
            reason = f"{copy.service} copy {copy.number} is no longer assigned here"
            # Its service may be gone from the document, and its spec from etcd.
            grace_s = DEFAULT_GRACE_S if found.grace_s is None else found.grace_s
            plan += Plan(away(found.name, found, grace_s, reason))
    return plan


def away(name: str, found: ContainerState, grace_s: float, reason: str) -> tuple[Step, ...]:
    """Stop it, if it can be, and remove it. `name` is whose steps they are."""
    return (*stop(name, found, grace_s, reason), RemoveContainer(name=name, id=found.id, reason=reason))


def _may_go(found: ContainerState) -> bool:
    return not found.busy and found.status != "removing"
