"""`apply --wait`: show the progress of a revision until its goal is reached, has failed, or time runs out."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.cli.connect import Connection
from agent.cli.validate import painted
from agent.conditions import Goal, Progress, conditions_of, progress_to
from agent.errors import Conflict
from agent.model.observed import ClusterState
from agent.model.phrases import first_of, shorten
from agent.yamldoc.faultlist import printable

MOST_CAUSES = 10
_LONGEST = 200
"""Characters of a line of progress."""
_SHOWN_PER_S = 4
_MARGIN = 4
"""Lines of the terminal that the progress leaves free."""

Result = Literal["ready", "converged", "failed", "timeout", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a wait."""

    result: Result
    seconds: float
    causes: tuple[str, ...] = ()
    """Reasons why the goal is not reached; empty if it is."""
    others: tuple[str, ...] = ()
    """Faults of what the revision does not change."""


def await_goal(
    connection: Connection,
    goal: Goal,
    timeout_s: float,
    *,
    to_stderr: bool = False,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> Outcome:
    """Wait until `goal` is reached or has failed, or `timeout_s` have passed, and show the progress.

    Raises Conflict when a newer document exists, Unreachable when etcd does not answer at the end of that time.
    """
    begin, last = clock(), [Progress(done=False, failed=(), lines={}, causes=(), others=())]
    console = console or Console(stderr=to_stderr, highlight=False)

    def found(cluster: ClusterState) -> Progress | None:
        check_newest(cluster, goal.revision)
        last[0] = progress_to(goal, cluster, conditions_of(cluster, now_s=now()))
        show(last[0].lines)
        return last[0] if last[0].done or last[0].failed else None

    result: Result = "timeout"
    try:
        with _shown(console, lambda: clock() - begin, to_stderr=to_stderr) as show:
            if connection.wait_for(found, timeout_s):
                result = "failed" if last[0].failed else "converged" if goal.whole else "ready"
    except KeyboardInterrupt:
        result = "interrupted"
    end = last[0]
    causes = () if end.done else end.causes or tuple(f"{name}: {text}" for name, text in end.lines.items())
    return Outcome(result=result, seconds=clock() - begin, causes=causes, others=end.others)


def check_newest(cluster: ClusterState, revision: int) -> None:
    """Raise Conflict if `revision` is not the newest document any more."""
    newest = cluster.document.revision if cluster.document else 0
    if newest != revision:
        state = f"revision {newest} has replaced it" if newest else "etcd has no document any more"
        raise Conflict(f"revision {revision} is not the newest document: {state}")


def show_outcome(outcome: Outcome, revision: int, *, to_stderr: bool = False) -> str:
    """Print the end of a wait. Returns the error of one that did not reach its goal; empty: it did."""
    for each in first_of(outcome.causes, MOST_CAUSES, "... and {} more: see `swarmkeeper status`"):
        typer.echo(painted(each, "red"), err=True)
    for each in first_of(outcome.others, MOST_CAUSES, "... and {} more: see `swarmkeeper status`"):
        typer.echo(
            painted(f"not changed by revision {revision}, and not ready: {each}", "yellow"), err=to_stderr
        )
    after = f"after {outcome.seconds:.1f} s"
    match outcome.result:
        case "ready":
            text = f"Every service that revision {revision} changes is ready, {after}."
        case "converged":
            text = f"The cluster has converged at revision {revision}, {after}."
        case "failed":
            return f"revision {revision} has failed {after}; the document stays applied"
        case "timeout":
            return f"revision {revision} is not ready {after}; the document stays applied, and the agents continue"
        case "interrupted":
            return f"the wait has ended {after}; revision {revision} stays applied, and the agents continue"
    typer.echo(painted(text, "green"), err=to_stderr)
    return ""


# ---- Progress: a table on a terminal, elsewhere one line for each change


@contextmanager
def _shown(
    console: Console, passed: Callable[[], float], *, to_stderr: bool
) -> Iterator[Callable[[Mapping[str, str]], None]]:
    lines: dict[str, str] = {}

    def print_changed(now: Mapping[str, str]) -> None:
        changed = {name: text for name, text in now.items() if lines.get(name) != text}
        changed |= {name: "ready" for name in lines if name not in now}
        for name, text in changed.items():
            line = shorten(printable(f"{name}: {text}"), _LONGEST)
            typer.echo(f"{passed():6.1f} s  {line}", err=to_stderr)
        keep(now)

    def keep(now: Mapping[str, str]) -> None:
        lines.clear()
        lines.update(now)

    if not console.is_terminal:
        yield print_changed
        return

    def table() -> Table:
        rows = Table.grid(padding=(0, 2))
        rows.add_row(Text("waiting", "bold"), Text(f"{passed():.0f} s"))
        names = first_of([*lines], max(console.height - _MARGIN, 1), "... and {} more")
        for name in names:
            text = Text(printable(lines.get(name, "")), no_wrap=True, overflow="ellipsis")
            rows.add_row(Text(printable(name)), text)
        return rows

    with Live(get_renderable=table, console=console, refresh_per_second=_SHOWN_PER_S, transient=True):
        yield keep
