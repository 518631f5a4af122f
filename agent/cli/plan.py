"""`plan`: what would be done, for the whole cluster, with nothing done."""

import json
from dataclasses import replace
from typing import Any

import typer

from agent.cli.validate import counted, painted, parse
from agent.model.plan import Blocked, ClusterState, Step
from agent.planner.dry_run.cluster import ClusterPlan, HostPlan, plan_cluster
from agent.yamldoc.faultlist import printable


def in_mind(cluster: ClusterState, name: str, raw: bytes) -> ClusterState:
    """`cluster` as it would be had this document just been put. Raises Invalid, after printing its faults."""
    # The next revision is the one it gets, as long as nobody else writes in between.
    document = parse(name, raw, revision=cluster.revision + 1, to_stderr=True)
    return replace(cluster, document=document)


def show_plan(cluster: ClusterState, *, as_json: bool, reveal: bool = False) -> ClusterPlan:
    """Print the plan for `cluster` and return it; `reveal`: with values that can be secret.

    Raises Invalid when a host's status makes no sense.
    """
    plan = plan_cluster(cluster, reveal=reveal)
    if as_json:
        typer.echo(json.dumps(plan_as_data(plan, cluster), indent=2))
    else:
        show_plan_lines(plan)
    return plan


def plan_as_data(plan: ClusterPlan, cluster: ClusterState) -> dict[str, Any]:
    """The plan in JSON's types. `text` of a step is word for word what the agent will log."""
    return {
        "revision": cluster.document.revision if cluster.document else 0,
        "settled": plan.settled,
        "hosts": [
            {
                "name": host.name,
                "leads": host.leads,
                "notes": list(host.notes),
                "steps": [_step(each) for each in host.steps],
                "blocked": [_blocked(each) for each in host.blocked],
            }
            for host in plan.hosts
        ],
        "everywhere": [_blocked(each) for each in plan.everywhere],
    }


def _step(step: Step) -> dict[str, str]:
    return {"text": str(step), "verb": step.verb, "resource": step.resource, "reason": step.reason}


def _blocked(blocked: Blocked) -> dict[str, str]:
    return {"resource": blocked.resource, "reason": blocked.reason, "kind": blocked.kind}


_VERBS = {"remove": "red", "stop": "red", "withdraw": "red", "disconnect": "red"}


def show_plan_lines(plan: ClusterPlan) -> None:
    """Print the plan by host, each step as the agent's log will say it, and a sentence that sums it up."""
    for host in plan.hosts:
        _show_host(host)
    if plan.everywhere:
        typer.echo(painted("on every host", bold=True))
        for each in plan.everywhere:
            typer.echo(f"  {_blocked_line(each)}")
    if plan.hosts:
        typer.echo()
    typer.echo(summary(plan))


def summary(plan: ClusterPlan) -> str:
    """One sentence for the whole plan."""
    if not plan.hosts:
        return "There is no intent, and no agent has reported yet: nothing to plan."
    if not plan.steps and not plan.blocked:
        return "Nothing to do: the cluster is as the intent says."
    hosts = sum(1 for host in plan.hosts if host.steps)
    steps = f"{counted(len(plan.steps), 'step')} on {counted(hosts, 'host')}" if plan.steps else "No step"
    blocked = f"; {len(plan.blocked)} blocked" if plan.blocked else ""
    more = "" if plan.settled else "; it would go on, without coming to an end: please report this"
    return f"{steps}{blocked}{more}."


def _show_host(host: HostPlan) -> None:
    leads = painted(" (leads)", dim=True) if host.leads else ""
    typer.echo(f"{painted(host.name, bold=True)}{leads}")
    for note in host.notes:
        typer.echo(f"  {painted(f'({note})', dim=True)}")
    for step in host.steps:
        typer.echo(f"  {_step_line(step)}")
    for each in host.blocked:
        typer.echo(f"  {_blocked_line(each)}")
    if not host.steps and not host.blocked:
        typer.echo(f"  {painted('nothing to do', dim=True)}")


def _step_line(step: Step) -> str:
    """The same text as `str(step)`, with a colour."""
    return painted(step.verb, _VERBS.get(step.verb, "green")) + printable(str(step).removeprefix(step.verb))


def _blocked_line(blocked: Blocked) -> str:
    return painted(blocked, "yellow")
