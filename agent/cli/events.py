"""`events`: what the leaders saw change, and what they ordered."""

import os
import threading
import time
from collections.abc import Sequence
from functools import partial

import typer
from rich.console import Console

from agent.cli.connect import RECHECK_S, Connection, refuse_unknown
from agent.cli.layout import Column, table, text
from agent.cli.options import since_ns
from agent.cli.output import Output, print_data
from agent.cli.status_form import as_json
from agent.errors import SwarmkeeperError
from agent.model.events import Event, EventLog
from agent.model.observed import ClusterState
from agent.model.records import seconds_of
from agent.model.store import KeyRange
from agent.observe.look import read_events

VERSION = 1
"""Version of the JSON of `events`."""
_LEAST = 20
"""Width of a column, so that lines that are printed later are mostly in the same columns."""


def _is_wanted(event: Event, since_s: float, names: Sequence[str]) -> bool:
    kind, _, name = event.resource.partition("/")
    # The replicas of a service are called <service>-<slot>.
    service = name.rpartition("-")[0] if kind == "replica" else name
    called = {event.resource, name, service}
    return (seconds_of(event.at) or 0.0) >= since_s and (not names or not called.isdisjoint(names))


def show_events(
    connection: Connection, output: Output, names: Sequence[str], *, since: str | None, follow: bool
) -> None:
    """Print the events of these names, or all; with `follow` also each new one, until the operator presses ^C.

    Raises Invalid if they are unreadable, or etcd has no such cluster; Unreachable, Refused. Once it follows, a read
    that fails is named, and what happens meanwhile comes later.
    """
    wanted = partial(
        _is_wanted, since_s=since_ns(since, time.time()) / 1e9 if since is not None else 0.0, names=names
    )
    log = _read(connection)
    shown = [each for each in log.events if wanted(each)]
    if output.is_data and not follow:
        rows = [as_json(each) for each in shown]
        print_data({"version": VERSION, "dropped_at": log.dropped_at, "events": rows}, output)
        return
    _print(shown, output, log.dropped_at, again=False if follow else None)
    if not follow:
        if not shown:
            typer.echo("No such event is kept.", err=True)
        return
    changed, error, known = threading.Event(), "", log
    watch = connection.store.watch([KeyRange(key=connection.keys.events)], lambda _: changed.set())
    changed.set()  # for what came before the watch
    try:
        while True:
            if not changed.wait(RECHECK_S) and not error and watch.healthy:
                continue
            changed.clear()
            try:
                log = _read(connection)
            except SwarmkeeperError as failed:
                if not error:
                    typer.secho(f"{text(str(failed)).plain}\nWaiting for etcd.", err=True, fg="yellow")
                error = str(failed)
                changed.clear()  # a broken watch wakes often
                continue
            if error:
                typer.echo("etcd answers again.", err=True)
            error, seen, last = "", frozenset(known.events), known.events[-1].at if known.events else ""
            new = [each for each in log.events if each not in seen and wanted(each)]
            _print(new, output, log.dropped_at if log.dropped_at > last else "", again=True)
            known = log
    except KeyboardInterrupt:
        return
    finally:
        watch.close()


def _read(connection: Connection) -> EventLog:
    log = read_events(connection.store, connection.keys)
    if not log.events:
        refuse_unknown(connection.store, connection.keys, ClusterState(revision=0))
    return log


def _print(events: Sequence[Event], output: Output, dropped_at: str, *, again: bool | None) -> None:
    """Print events; the head of the table unless `again`; None: no more follow. `dropped_at` as in a log."""
    if dropped_at:
        typer.echo(f"Events up to {text(dropped_at).plain} were dropped: the last 64 kB are kept.", err=True)
    if output.is_data:
        for each in events:
            print_data(as_json(each), output, stream=True)
        return
    console = Console(highlight=False)
    sized = output is not Output.WIDE and (console.is_terminal or os.environ.get("COLUMNS"))
    rows = [(each.at, each.resource, *each.described) for each in events]
    columns = [
        Column(
            head=head.ljust(0 if again is None else _LEAST),
            cells=[text(row[n]) for row in rows],
            least=8 if n else 0,
        )
        for n, head in enumerate(("Time", "Resource", "Event", "Text"))
    ]
    for line in table(columns, console.width if sized else None)[1 if again else 0 :]:
        console.print(line, soft_wrap=True)
