"""`plan`: what the whole cluster would do, summed up and step by step."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import typer

from agent.cli.output import Output, print_data, shown_if_slow
from agent.cli.validate import painted, parse
from agent.intent.guard import guarding
from agent.model.observed import ClusterState
from agent.model.phrases import counted, first_of
from agent.model.plan import Blocked, Step
from agent.planner.dry_run.cluster import ClusterPlan, HostPlan, plan_cluster
from agent.planner.dry_run.summary import Grouped, blocked_groups, is_bookkeeping, summarize, waiting_groups

VERSION = 1
"""Version of the JSON of `plan`."""
_MOST_NAMED = 8
"""Resources in one line."""
_REMOVING = frozenset({"remove", "stop", "withdraw", "disconnect"})


def with_document(cluster: ClusterState, name: str, raw: bytes) -> ClusterState:
    """Return `cluster` with this document as the newest. Raises Invalid, after printing its faults."""
    # etcd gives it the next revision, unless another client writes in between.
    document = parse(name, raw, revision=cluster.revision + 1, to_stderr=True)
    return replace(cluster, document=document)


def show_plan(
    cluster: ClusterState,
    *,
    output: Output = Output.TABLE,
    every_step: bool = False,
    show_secrets: bool = False,
    confirming: str = "",
) -> ClusterPlan:
    """Print the plan for `cluster` and return it; `show_secrets` prints values that can be secret.

    `confirming` is the command that confirms an edit, with `{}` for the token; empty: no hint is printed. Raises
    Invalid when the status of a host contains an invalid value.
    """
    with shown_if_slow("planning"):
        plan = plan_cluster(cluster, show_secrets=show_secrets)
    if output.is_data:
        print_data(plan_as_data(plan, cluster, confirming), output)
        return plan
    _show_lines(plan, cluster, every_step=every_step or output is Output.WIDE)
    if confirming and (guarded := guarding(cluster)):
        token, removed = guarded
        typer.echo(painted(f"This edit removes {removed}. No step is taken before you confirm it:", "yellow"))
        typer.echo(painted(f"  {confirming.replace('{}', token)}", "yellow"))
    return plan


def has_work(plan: ClusterPlan) -> bool:
    """Return True if the plan has a step, not counting the bookkeeping of an edit that is blocked."""
    held = plan.blocked or plan.waiting
    return any(not is_bookkeeping(each) for each in plan.steps) if held else bool(plan.steps)


# ---- As data


def plan_as_data(plan: ClusterPlan, cluster: ClusterState, confirming: str) -> dict[str, Any]:
    """Return the plan in JSON's types (docs/operate/release.md). `text` of a step is the line that the agent logs."""
    guarded = guarding(cluster)
    return {
        "version": VERSION,
        "revision": cluster.document.revision if cluster.document else 0,
        "settled": plan.settled,
        "summary": [line._asdict() for line in summarize(cluster, plan)],
        "confirmation": guarded
        and {"token": guarded[0], "removes": guarded[1], "command": confirming.replace("{}", guarded[0])},
        "hosts": [
            {
                "name": host.name,
                "leader": host.is_leader,
                "notes": list(host.notes),
                "steps": [_step(each) for each in host.steps],
                "blocked": _blocked(host.blocked),
                "waiting": [asdict(each) for each in host.waiting],
                "waits": [asdict(each) for each in host.waits],
            }
            for host in plan.hosts
        ],
        "everywhere": {
            "blocked": _blocked(plan.everywhere),
            "waiting": [asdict(each) for each in plan.waiting_everywhere],
        },
    }


def _blocked(blocked: Iterable[Blocked]) -> list[dict[str, str]]:
    return [{"resource": each.resource, "reason": each.reason, "kind": each.kind} for each in blocked]


def _step(step: Step) -> dict[str, str | bool]:
    return {
        "text": str(step),
        **{name: getattr(step, name) for name in ("verb", "resource", "reason")},
        "bookkeeping": is_bookkeeping(step),
    }


# ---- As lines


def _show_lines(plan: ClusterPlan, cluster: ClusterState, *, every_step: bool) -> None:
    for line in summarize(cluster, plan):
        typer.echo(f"{painted(line.title, bold=True)}: {painted(line.text)}")
    for title, colour, groups in (
        ("blocked", "yellow", blocked_groups(plan)),
        ("waiting", "cyan", waiting_groups(plan)),
    ):
        for group in groups:
            typer.echo(f"{painted(title, colour)} {painted(_held(group))}")
    if plan.hosts:
        typer.echo()
    for host in plan.hosts:
        _show_host(host, every_step=every_step)
    if plan.hosts:
        typer.echo()
    typer.echo(_totals(plan, every_step=every_step))


def _held(group: Grouped) -> str:
    resources = ", ".join(first_of(group.resources, _MOST_NAMED, "{} more"))
    hosts = f" on {', '.join(first_of(group.hosts, _MOST_NAMED, '{} more'))}" if group.hosts else ""
    cause = f" for {group.on}" if group.on else ""
    return f"{resources}{hosts}{cause}" + (f": {group.reason}" if group.reason else "")


def _show_host(host: HostPlan, *, every_step: bool) -> None:
    leader = painted(" (leader)", dim=True) if host.is_leader else ""
    every = ((each.verb, str(each)) for each in host.steps)
    steps = [*(every if every_step else _folded(host.steps))]
    typer.echo(f"{painted(host.name, bold=True)}{leader}")
    for note in host.notes:
        typer.echo(f"  {painted(f'({note})', dim=True)}")
    for verb, text in steps:
        typer.echo(f"  {painted(text, 'red' if verb in _REMOVING else 'green')}")
    if not steps:
        typer.echo(f"  {painted('nothing to do', dim=True)}")


def _folded(steps: Iterable[Step]) -> Iterable[tuple[str, str]]:
    """Yield (first verb, line) for the steps with one reason, in the order of the first ones, without bookkeeping."""
    lines: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for step in steps:
        if not is_bookkeeping(step):
            verbs, names = lines.setdefault(step.reason, ({}, {}))
            verbs[step.verb] = names[step.subject] = None
    for reason, (verbs, names) in lines.items():
        yield (
            next(iter(verbs)),
            f"{', '.join(verbs)} {', '.join(first_of([*names], _MOST_NAMED, '{} more'))}: {reason}",
        )


def _totals(plan: ClusterPlan, *, every_step: bool) -> str:
    """Return the last line of a plan."""
    if not plan.hosts:
        return "Nothing to plan: etcd has no document and no report of a host."
    blocked = f"{len(plan.blocked)} blocked" if plan.blocked else ""
    waiting = f"{len(plan.waiting)} waiting" if plan.waiting else ""
    if not plan.steps and not blocked and not waiting:
        return "Nothing to do: the cluster matches the document."
    on = [host.name for host in plan.hosts for each in host.steps if every_step or not is_bookkeeping(each)]
    steps = f"{counted(len(on), 'step')} on {counted(len(set(on)), 'host')}" if on else "No step"
    hidden = len(plan.steps) - len(on)
    folded = f"{hidden} more for records in etcd and labels: --all shows them" if hidden else ""
    defect = "" if plan.settled else "the plan did not come to an end: please report this"
    return f"{'; '.join(filter(None, (steps, folded, blocked, waiting, defect)))}."
