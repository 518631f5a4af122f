"""`status`: whether the cluster is as declared, and if not, what to repair first."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from agent.cli.connect import RECHECK_S, Connection, connected, refuse_unknown
from agent.cli.layout import paragraph, screen, terminal, text
from agent.cli.local_agent import ask_local_agent, conditions_without_etcd, render_local
from agent.cli.output import Output, print_data
from agent.cli.render import EVERYTHING, Limits, Page, check_line, first_line, render
from agent.cli.status_form import status_form
from agent.conditions import ClusterConditions
from agent.conditions.reports import duration
from agent.errors import Denied, Invalid, SwarmkeeperError, Unreachable
from agent.observe.look import Look, look_at

UNKNOWN = 3
"""Exit code of a Nagios plugin that could not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The form that the operator wants."""

    output: Output = Output.TABLE
    everything: bool = False
    """True: no entry is only counted."""

    def page(self, width: int | None, now_s: float, limits: Limits) -> Page:
        """Return the page of that form; `limits` counts unless the operator wants everything."""
        wide = self.output is Output.WIDE
        return Page(
            width=width, now_s=now_s, limits=EVERYTHING if wide or self.everything else limits, wide=wide
        )


def look(connection: Connection, *, quiet: bool = False) -> Look:
    """Read the cluster, `quiet` while a screen is shown.

    Raises Unreachable, Refused; Invalid, with the existing ones, if etcd has no such cluster.
    """
    state = connection.read_quietly() if quiet else connection.read()
    refuse_unknown(connection.store, connection.keys, state)
    return look_at(connection.store, connection.keys, state)


def show_status(connection: Connection, wish: Wish, config: Path | None) -> None:
    """Print the status once. If etcd does not answer, or not to a worker, print what the agent of this host knows.

    `config` is None if no option names it. Raises Unreachable if that is not known either; Refused, Invalid.
    """
    try:
        found = look(connection)
    except (Unreachable, Denied) as error:
        _show_local(connection.keys.cluster, wish, config, error)
    else:
        _print(found, wish)


def check_status(config: Path | None, endpoints: Sequence[str] | None, cluster: str | None) -> int:
    """Print one line, and return the exit code, both as of a Nagios plugin. Any failure to tell is UNKNOWN.

    The parameters are those of `connected`.
    """
    try:
        with connected(config, endpoints, cluster) as connection:
            found = look(connection)
        conditions = found.conditions(found.read_s)
    except (SwarmkeeperError, OSError) as error:
        typer.echo(check_line("UNKNOWN", f"{cluster}: {error}" if cluster else str(error)))
        return UNKNOWN
    typer.echo(first_line(found.cluster, conditions))
    return conditions.code


def _show_local(cluster: str, wish: Wish, config: Path | None, error: SwarmkeeperError) -> None:
    try:
        agent = ask_local_agent(config, cluster)
    except Invalid as why:
        raise Unreachable(f"{error}\nNothing is known of the cluster {cluster} without it: {why}") from error
    if wish.output.is_data:
        found = conditions_without_etcd(agent.headline)
        print_data(status_form(cluster, found, now_s=time.time(), page=agent.page), wish.output)
        return
    console, width = terminal()
    page = Page(width=width, now_s=time.time())
    _put(console, [*render_local(agent, page), text(""), *paragraph(text(str(error), "dim"), page.width)])


# ---- Printing


def print_view(
    found: Look, wish: Wish, data: object, lines: Callable[[Page], list[Text]], *, stream: bool = False
) -> None:
    """Print `data` after the head that all forms have, or the `lines` for people."""
    if wish.output.is_data:
        form = status_form(found.cluster, data, now_s=found.read_s, accepted=found.accepted)
        print_data(form, wish.output, stream=stream)
        return
    console, width = terminal()
    shown = lines(wish.page(None if wish.output is Output.WIDE else width, found.read_s, Limits()))
    _put(console, shown or [text(f"None: {found.conditions(found.read_s).cluster.text}")])


def _print(found: Look, wish: Wish, *, stream: bool = False) -> None:
    conditions = found.conditions(found.read_s)
    lines = partial(render, found.cluster, conditions, accepted=found.accepted)
    print_view(found, wish, conditions, lines, stream=stream)


def _put(console: Console, lines: list[Text]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)


# ---- The watch

Shower = Callable[[Look, str], None]
"""Shows a reading, and the error of the attempt after it; empty: none."""


def watch_status(connection: Connection, wish: Wish) -> None:
    """Show the status whenever something changes in etcd, until the operator presses ^C.

    Raises Unreachable only if the first read fails. Later, the last view stays until etcd answers, marked with its age.
    """
    changed = threading.Event()
    watch = connection.store.watch(connection.everything, lambda _: changed.set())
    try:
        found, error = look(connection), ""
        with _shower(wish) as show:
            show(found, error)
            while True:
                if changed.wait(RECHECK_S) or error or not watch.healthy:
                    changed.clear()
                    try:
                        found, error = look(connection, quiet=True), ""
                    except Unreachable as failed:
                        error = str(failed)
                show(found, error)
                if error:
                    changed.clear()  # a broken watch wakes often: read every RECHECK_S
    except KeyboardInterrupt:
        return
    finally:
        watch.close()


@contextmanager
def _shower(wish: Wish) -> Iterator[Shower]:
    """Yield a function that shows a reading. On a terminal it replaces the last one; other output follows it."""
    console, _ = terminal()
    shown: list[ClusterConditions] = []

    def print_new(found: Look, error: str) -> None:
        # The state of a replica may become old without a new reading: that is printed too.
        conditions = found.conditions(time.time())
        if not error and conditions not in shown:
            shown[:] = [conditions]
            _print(found, wish, stream=True)

    if wish.output.is_data or not console.is_terminal:
        yield print_new
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:

        def show(found: Look, error: str) -> None:
            lines = watched(found, error, wish, now_s=time.time(), width=console.width, height=console.height)
            live.update(Text("\n").join(lines), refresh=True)

        yield show


def watched(found: Look, error: str, wish: Wish, *, now_s: float, width: int, height: int) -> list[Text]:
    """Return the lines of a screen. After an `error` the last view is shown without colours, marked with its age."""
    at_s = found.read_s if error else now_s
    page = wish.page(width, at_s, Limits.of_screen(height))
    lines = render(found.cluster, found.conditions(at_s), page, found.accepted)
    if error:
        mark = f"this was known {duration(now_s - found.read_s)} ago: {error}"
        old = [Text(line.plain, "dim", end="", no_wrap=True) for line in lines]
        lines = [*paragraph(text(mark, "bold red"), width), text(""), *old]
    return screen(lines, width, height)
