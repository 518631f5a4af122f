"""The commands that show resources: `ps`, `services`, `hosts`, `describe`. agent/cli/app.py takes them over.

As in that module, what a command needs is imported when it runs.
"""

# ruff: noqa: PLC0415 - see above

from collections.abc import Callable
from typing import Annotated

import typer

from agent.cli.completion import names_of
from agent.cli.options import Access
from agent.cli.output import Output, OutputOption

RESOURCE_COMMANDS = (
    ("ps", "[SERVICE...]", "List the replicas of all hosts. A ? marks an old report of an unreachable host."),
    ("services", "[SERVICE...]", "List the services and what is wrong with them."),
    ("hosts", "[HOST...]", "List the hosts and what is wrong with them."),
    ("describe", "RESOURCE", "Show one resource: desired, observed, differences, conditions."),
)
"""(name, argument, help) of each command."""
_KEY = (
    "service/web, replica/web-1, host/node-1, network/front, rollout/web; or a bare name that only one has."
)


def resource_command(name: str, metavar: str, summary: str) -> Callable[..., None]:
    """Return the function of a command."""
    about = _KEY if name == "describe" else "Show only these."
    every = names_of("service", "replica", "host", "rollout", keyed=True)
    completed = {"hosts": names_of("host"), "describe": every}.get(name, names_of("service"))

    def command(
        names: Annotated[
            list[str] | None, typer.Argument(metavar=metavar, help=about, autocompletion=completed)
        ] = None,
        *,
        at: Access,
        output: OutputOption = Output.TABLE,
    ) -> None:
        chosen = names or []
        if name == "describe" and len(chosen) != 1:
            raise typer.BadParameter("name one resource, as service/web")
        from agent.cli.describe import show_description
        from agent.cli.resources import show_rows
        from agent.cli.status import look
        from agent.errors import Invalid
        from agent.model.events import EventLog
        from agent.observe.look import read_events
        from agent.yamldoc.faultlist import printable

        with at.connected() as connection:
            found = look(connection)
            events = EventLog()
            try:
                events = read_events(connection.store, connection.keys) if name == "describe" else events
            except Invalid as error:
                typer.secho(printable(str(error)), err=True, fg="yellow")
        if name == "describe":
            show_description(chosen[0], found, events, output)
        else:
            show_rows(name, found, chosen, output)

    command.__name__, command.__doc__ = name, summary
    return command
