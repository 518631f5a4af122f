"""The first line of `status`: the state of the cluster, and the first thing to repair."""

from agent.conditions.condition import ClusterConditions, Condition, Problem
from agent.conditions.hosts import in_short
from agent.conditions.reports import Reports
from agent.model.phrases import counted

MOST = 200
"""Characters of the first line."""
_SHOWN_FIRST = ("Joining", "ChangingRole", "ChangingBridge", "Draining", "WaitsForSlot")
"""Reasons of progress that are shown before the number of ready replicas."""
_TITLES = {
    "store": "etcd",
    "document": "document",
    "quorum": "quorum",
    "leader": "leader",
    "network": "network {}",
    "image": "image {}",
    "rollout": "rollout of {}",
    "key": "key {}",
}


def headline(found: ClusterConditions, reports: Reports) -> str:
    """Return the first line, at most MOST characters."""
    if found.converged:
        return _converged(found)
    mode = reports.mode
    if found.none_reports and not reports.store_error:
        hosts = (
            f"{each.condition.name} {in_short(each.condition, reports.now_s)}" for each in found.declared
        )
        return _cut(f"not known: no agent reports ({', '.join(hosts)})", "")
    others = [each for each in found.problems if not _is_mode(each)]
    if not found.problems:
        return _cut(_progress(found), "")
    if not others:
        text = "nothing is changed" if mode == "paused" else "steps are only reported"
        return f"{mode}: {text} until x-cluster.policy.mode is enforce"
    more = f" (+{len(others) - 1} more)" if len(others) > 1 else ""
    return _cut(f"{f'{mode}: ' if mode else ''}{_problem(others[0], found, reports)}", more)


def title(condition: Condition) -> str:
    """Return the resource of a condition as a sentence names it."""
    return _TITLES.get(condition.kind, "{}").format(condition.name)


def _is_mode(problem: Problem) -> bool:
    return problem.condition.reason in ("Paused", "ObserveMode") and problem.condition.kind == "document"


def _cut(text: str, more: str) -> str:
    """Return the text with `more` at its end in at most MOST characters, cut between two of its parts if possible."""
    most = MOST - len(more)
    if len(text) <= most:
        return f"{text}{more}"
    whole = text[: most + 1].rpartition("; ")[0]
    return f"{whole or f'{text[: most - 3]}...'}{more}"


def _converged(found: ClusterConditions) -> str:
    numbers = (
        counted(len(found.declared), "host"),
        counted(len(found.services), "service"),
        counted(len(found.replicas), "replica"),
    )
    return f"converged: {', '.join(numbers)}"


def _problem(problem: Problem, found: ClusterConditions, reports: Reports) -> str:
    condition = problem.condition
    down = [each.name for each in problem.consequences if each.kind == "service" and each.critical]
    without = f"{', '.join(down)} {'has' if len(down) == 1 else 'have'} no ready replica" if down else ""
    match condition.kind:
        case "quorum":
            return f"quorum{' lost' if condition.reason == 'QuorumLost' else ''}: {condition.text}"
        case "host":
            if without:
                return f"{condition.name} {in_short(condition, reports.now_s)}: {without}"
            colon = "" if condition.reason == "Unreachable" else ":"
            return f"{condition.name}{colon} {condition.text}"
        case "service":
            row = next(each for each in found.services if each.condition.key == condition.key)
            ready = f"{row.ready} of {counted(row.desired, 'replica')} ready"
            return f"{condition.name}: {ready}; {condition.text}"
        case "store":
            return condition.text
        case "document":
            return f"document: {condition.text}"
        case _:
            tail = f"; {without}" if without else ""
            return f"{title(condition)}: {condition.text}{tail}"


def _progress(found: ClusterConditions) -> str:
    if found.document.state == "Progressing":
        return f"document: {found.document.text}"
    if found.rollouts:
        more = f" (+{len(found.rollouts) - 1} more)" if len(found.rollouts) > 1 else ""
        return f"rollout of {found.rollouts[0].name}: {found.rollouts[0].text}{more}"
    for each in (found.quorum, *(each.condition for each in found.declared)):
        if each.state == "Progressing" and each.reason in _SHOWN_FIRST:
            return f"in progress: {f'{each.name} ' if each.kind == 'host' else ''}{each.text}"
    desired = sum(each.desired for each in found.services)
    ready = sum(each.ready for each in found.services)
    services, hosts = (each.condition for each in found.services), (each.condition for each in found.hosts)
    rest = (*services, *found.networks, *hosts, found.leader)
    first = next((each for each in rest if each.state == "Progressing"), None)
    text = f"; {title(first)}{' ' if first.kind == 'host' else ': '}{first.text}" if first else ""
    return f"in progress: {ready} of {desired} replicas ready{text}"
