"""Problems: the conditions that have their own cause, each with the conditions that follow from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from agent.conditions.condition import SEVERITY, Condition, Problem, is_fault

_FIRST = (
    "store",
    "document",
    "quorum",
    "key",
    "leader",
    "host",
    "network",
    "image",
    "rollout",
    "service",
    "replica",
)
"""Order of the kinds among problems of the same severity: what concerns more comes first."""
_RANK = {"Blocked": 0, "Degraded": 1, "Unknown": 2}


def problems_of(conditions: Sequence[Condition]) -> tuple[Problem, ...]:
    """Return the problems, most severe first. A problem is critical if one of its consequences is."""
    by_key = {each.key: each for each in conditions}
    roots = {each.key: root_of(each, by_key) for each in conditions if each.state != "Ready"}
    followers: dict[str, list[Condition]] = {}
    for each in conditions:
        root = roots.get(each.key)
        if root and root != each.key:
            followers.setdefault(root, []).append(each)
    found = []
    for each in conditions:
        if is_fault(each.state) and roots[each.key] == each.key:
            after = tuple(followers.get(each.key, ()))
            critical = each.critical or any(one.critical for one in after)
            found.append(Problem(condition=replace(each, critical=critical), consequences=after))
    return tuple(sorted(found, key=_order))


def root_of(condition: Condition, by_key: Mapping[str, Condition]) -> str:
    """Return the key of the first fault in the chain of causes; the condition's own if no cause of it is faulty.

    Progress explains no fault, so a cause that only progresses ends the chain. So does a cause that is there already.
    """
    root, seen, current = condition.key, {condition.key}, condition
    while current.cause and current.cause not in seen and (cause := by_key.get(current.cause)):
        seen.add(cause.key)
        if is_fault(cause.state):
            root = cause.key
        current = cause
    return root


def _order(problem: Problem) -> tuple[bool, int, int]:
    condition = problem.condition
    return not condition.critical, _FIRST.index(condition.kind), _RANK[condition.state]


def without_absent_causes(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Return the conditions without causes that are Ready or not among them."""
    every = tuple(conditions)
    by_key = {each.key: each for each in every}

    def holds(cause: str) -> bool:
        return cause in by_key and SEVERITY[by_key[cause].state] > 0

    return tuple(each if not each.cause or holds(each.cause) else replace(each, cause="") for each in every)
