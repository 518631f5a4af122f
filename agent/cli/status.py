"""`status`: the last report of every host, and the verdict on the document."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Protocol

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.cli.connect import RECHECK_S, Connection
from agent.cli.view import ClusterView, HostView, view_of
from agent.errors import Unreachable
from agent.model.phrases import short_id
from agent.yamldoc.faultlist import printable

# ---- The hosts as a table, a shorter table, or on a narrow terminal one block for each

_NO_TERMINAL = 160
"""Characters in a line of output that does not go to a terminal, such as a log."""

_AGENT = {"leader": "green", "up": "green", "starting": "yellow", "unreachable": "red", "never seen": "red"}
_GAP = 2
"""Spaces that Rich puts between two columns."""
_HEADERS = ("Host", "Agent", "Role", "Node", "Bridge", "Replicas", "Healthy", "Revision", "To do", "Blocked")
_SHORT = tuple(number for number, head in enumerate(_HEADERS) if head not in ("Node", "Healthy"))
"""Positions in _HEADERS of the columns that the shorter table has."""

Cells = tuple[Text, ...]


def make_console() -> Console:
    """Return a console on standard output, as wide as the terminal, else $COLUMNS, else _NO_TERMINAL."""
    console = Console(highlight=False)
    if console.is_terminal or os.environ.get("COLUMNS"):
        return console
    return Console(highlight=False, width=_NO_TERMINAL)


def render(view: ClusterView, width: int, fault: str = "") -> RenderableType:
    """Render the cluster in lines of `width` characters. `fault` is the error of the last read; empty: none."""
    rows = [tuple(map(Text, _HEADERS)), *(_cells(each) for each in view.hosts)]
    short = [tuple(row[column] for column in _SHORT) for row in rows]
    fitting = next((table for table in (rows, short) if _table_width(table) <= width), None)
    hosts = _table(fitting) if fitting else Group(*map(_block, rows[1:]))
    lines = [*_intent_lines(view), *_host_lines(view)]
    if fault:
        lines.append(_text(fault, style="red"))
    return Group(_text(_title(view), style="bold"), hosts, *lines)


def _text(text: str, style: str = "") -> Text:
    """Return `text` with control characters escaped: an intruder on one host may have written it to etcd."""
    return Text(printable(text), style)


def _title(view: ClusterView) -> str:
    leader = f"leader {view.leader}" if view.leader else "no leader"
    converged = "converged" if view.converged else "not converged"
    return f"Cluster {view.cluster}: {converged}, {leader}, {f'swarm {view.swarm}' if view.swarm else 'no swarm'}"


def _table(rows: list[Cells]) -> Table:
    table = Table(*(head.plain for head in rows[0]), box=None, pad_edge=False, header_style="dim")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _table_width(rows: list[Cells]) -> int:
    """Return how many characters wide the table is without a line break."""
    return sum(max(map(len, column)) for column in zip(*rows, strict=True)) + _GAP * (len(rows[0]) - 1)


def _block(row: Cells) -> Text:
    name, *cells = row
    lines = (
        Text.assemble((f"  {head:<9}", "dim"), cell) for head, cell in zip(_HEADERS[1:], cells, strict=True)
    )
    return Text("\n").join((name, *lines))


def _cells(host: HostView) -> Cells:
    replicas, due = host.replicas, bool(host.to_do)
    return (
        _text(host.name, style="bold"),
        _text(host.agent, style=_AGENT[host.agent]),
        _role(host),
        _text(short_id(host.node) or "-"),
        _bridge(host),
        _text(
            f"{replicas.running}/{replicas.wanted}",
            style="green" if replicas.running == replicas.wanted else "red",
        ),
        _healthy(host),
        _text(str(host.applied or "-")),
        _text(str(len(host.to_do)), style="yellow" if due else ""),
        _text(str(len(host.blocked)), style="red" if host.blocked else ""),
    )


def _role(host: HostView) -> Text:
    if not host.engine_up:
        return _text(
            "dockerd unreachable" if host.reported_at else "-", style="red" if host.reported_at else ""
        )
    found = host.role or host.state
    if found == host.role_wanted:
        return _text(found)
    wanted = f"{host.role_wanted} wanted" if host.role_wanted else "not in the intent"
    return _text(f"{found} ({wanted})", style="yellow")


def _bridge(host: HostView) -> Text:
    if not host.engine_up:
        return _text("-")
    if host.bridge_faults:
        return _text(f"{host.subnet or 'none'} (wrong)" if host.subnet else "none", style="red")
    return _text(host.subnet or "-", style="green")


def _healthy(host: HostView) -> Text:
    replicas = host.replicas
    if not replicas.checked:
        return _text("-")
    return _text(
        f"{replicas.healthy}/{replicas.checked}",
        style="green" if replicas.healthy == replicas.checked else "red",
    )


def _intent_lines(view: ClusterView) -> list[Text]:
    intent = view.intent
    accepted = (
        f"; revision {intent.accepted_revision} is accepted"
        if intent.accepted_revision not in (0, intent.seen)
        else ""
    )
    newest = f"revision {intent.seen}, {intent.judgement}" if intent.seen else intent.judgement
    style = {"refused": "red", "accepted": "green"}.get(intent.judgement, "yellow")
    lines = [_text(""), Text.assemble("Intent: ", _text(f"{newest}{accepted}", style))]
    lines += [_text(f"  {error}", style="red") for error in intent.errors]
    return lines + [_text(f"  warning: {warning}", style="yellow") for warning in intent.warnings]


def _host_lines(view: ClusterView) -> list[Text]:
    lines = [_text(f"unreadable {each}", style="red") for each in view.unreadable]
    lines += [_text(f"warning: {each}", style="yellow") for each in view.warnings]
    if view.disruption:
        lines.append(_text(f"Disruption slot: {view.disruption}", style="yellow"))
    for host in view.hosts:
        lines += [_text(f"{host.name}: to do: {step}", style="yellow") for step in host.to_do]
        lines += [_text(f"{host.name}: blocked {each}", style="red") for each in host.blocked]
        for each in host.crashing:
            first, *output = each.split("\n")
            lines += [_text(f"{host.name}: {first}", "red"), *(_text(line, "red") for line in output)]
        lines += [_text(f"{host.name}: note: {note}", style="dim") for note in host.notes]
        if host.agent in ("unreachable", "starting") and host.reported_at:
            lines.append(_text(f"{host.name}: note: last report at {host.reported_at}", style="dim"))
    return lines


class _Shower(Protocol):
    def __call__(self, view: ClusterView, fault: str = "") -> None: ...


def show_status(connection: Connection, *, as_json: bool) -> None:
    """Print the status once. Raises Unreachable, Refused."""
    show = _print_json if as_json else _print
    show(_look(connection))


def watch_status(connection: Connection, *, as_json: bool) -> None:
    """Show the status whenever something changes in etcd, until the operator presses ^C.

    Raises Unreachable only if the first read fails. Later, the last view stays on the screen while etcd is unreachable.
    """
    changed = threading.Event()
    watch = connection.store.watch(connection.everything, lambda _: changed.set())
    try:
        view = _look(connection)
        with _shower(as_json=as_json) as show:
            show(view)
            while True:
                view = _look_again(connection, changed, view, show)
    except KeyboardInterrupt:
        return
    finally:
        watch.close()


def _look(connection: Connection) -> ClusterView:
    return view_of(connection.keys.cluster, connection.read())


def _look_again(
    connection: Connection, changed: threading.Event, last: ClusterView, show: _Shower
) -> ClusterView:
    """Wait for a change, then show and return the view. If etcd does not answer, keep the last view and retry soon."""
    changed.wait()
    changed.clear()
    try:
        view = _look(connection)
    except Unreachable as error:
        show(last, str(error))
        changed.wait(RECHECK_S)
        changed.set()
        return last
    show(view)
    return view


@contextmanager
def _shower(*, as_json: bool) -> Iterator[_Shower]:
    """Yield a function that shows a view. A table on a terminal replaces the last view; other output follows it."""
    console = make_console()
    if as_json or not console.is_terminal:
        yield _print_json if as_json else _print
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:

        def show(view: ClusterView, fault: str = "") -> None:
            live.update(render(view, console.width, fault), refresh=True)

        yield show


def _print_json(view: ClusterView, fault: str = "") -> None:
    if not fault:
        typer.echo(json.dumps({**asdict(view), "converged": view.converged}))


def _print(view: ClusterView, fault: str = "") -> None:
    console = make_console()
    console.print(render(view, console.width, fault), soft_wrap=not console.is_terminal)
