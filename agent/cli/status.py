"""`status`: every host as it last reported itself, and what became of the intent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Protocol

import typer
from rich.live import Live

from agent.cli.connect import RECHECK_S, Connection
from agent.cli.tables import make_console, render
from agent.cli.view import ClusterView, view_of
from agent.errors import Unreachable


class _Shower(Protocol):
    def __call__(self, view: ClusterView, fault: str = "") -> None: ...


def show_status(connection: Connection, *, as_json: bool) -> None:
    """Print the status once. Raises Unreachable, Refused."""
    show = _print_json if as_json else _print
    show(_look(connection))


def watch_status(connection: Connection, *, as_json: bool) -> None:
    """Show the status whenever something changes in etcd, until the operator presses ^C.

    Raises Unreachable only when the first look fails: the last one stays on the screen while etcd is away.
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
    """Wait for a change and show it; what is on the screen already is not shown again."""
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
    """What shows a view: on a terminal in place of the last one, else after it."""
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
