"""Plans as lines. Colours reach terminals only, and not those of people who set NO_COLOR."""

import os

import typer

from agent.model.steps import Blocked, Step
from agent.planner.whole_cluster import ClusterPlan, HostPlan
from agent.yamldoc.words import printable

_VERBS = {"remove": "red", "stop": "red", "withdraw": "red", "disconnect": "red"}


def painted(text: object, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """`text`, be it anybody's words, for a terminal; `typer.echo` takes the colours away again where there is none."""
    shown = printable(str(text))
    if os.environ.get("NO_COLOR"):
        return shown
    return typer.style(shown, fg=colour, bold=bold or None, dim=dim or None)


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 step`, `2 steps`."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def show_plan_lines(plan: ClusterPlan) -> None:
    """Print the plan by host, each step as the agent's log will say it, and a sentence that sums it up."""
    for host in plan.hosts:
        _show_host(host)
    if plan.everywhere:
        typer.echo(painted("on every host", bold=True))
        for each in plan.everywhere:
            typer.echo(f"  {_blocked(each)}")
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
        typer.echo(f"  {_step(step)}")
    for each in host.blocked:
        typer.echo(f"  {_blocked(each)}")
    if not host.steps and not host.blocked:
        typer.echo(f"  {painted('nothing to do', dim=True)}")


def _step(step: Step) -> str:
    """The same text as `str(step)`, with a colour."""
    return painted(step.verb, _VERBS.get(step.verb, "green")) + printable(str(step).removeprefix(step.verb))


def _blocked(blocked: Blocked) -> str:
    return painted(blocked, "yellow")
