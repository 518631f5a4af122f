"""The commands on running replicas: `logs`, `exec`, `restart`. agent.cli.app adds them to the others."""

# ruff: noqa: PLC0415 - as in agent.cli.app

import re
from typing import Annotated

import typer

from agent.cli.completion import names_of
from agent.cli.options import Access, Change, PlanOption, SinceOption, checked_name

replica_commands = typer.Typer()

_REPLICAS, _EITHER, _HOSTS = names_of("replica"), names_of("service", "replica"), names_of("host")
_Name = Annotated[str, typer.Argument(metavar="REPLICA", help="As web-1.", autocompletion=_REPLICAS)]
_Host = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="NAME",
        help="The replica on this host.",
        callback=checked_name,
        autocompletion=_HOSTS,
    ),
]


def _tail(value: str) -> str:
    if not re.fullmatch(r"all|[0-9]{1,9}", value):
        raise typer.BadParameter(f"{value!r} is no number of lines: write for example 100, or all")
    return value


@replica_commands.command(short_help="Print the output of replicas on all hosts.")
def logs(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE|REPLICA...]", help="Only of these, as web or web-1.", autocompletion=_EITHER
        ),
    ] = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C, also with replicas that come later.")
    ] = False,
    since: SinceOption = None,
    tail: Annotated[
        str,
        typer.Option("--tail", "-n", metavar="LINES", help="The last lines of each container.", parser=_tail),
    ] = "all",
    timestamps: Annotated[
        bool, typer.Option("--timestamps", "-t", help="Show the time of each line.")
    ] = False,
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host", metavar="NAME", help="Only of this host; may be repeated.", autocompletion=_HOSTS
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Leave control characters as they are on a terminal, too.")
    ] = False,
    at: Access,
) -> None:
    """Print the output of replicas on all hosts, in the order of its times.

    Reads docker on the hosts, through ssh if it is another one. A host that cannot be reached is named, the others are
    read, and the exit code is 3. On a terminal, control characters but colours are escaped.
    """
    import time

    from agent.cli.logs import Logs, Wish
    from agent.cli.options import since_ns
    from agent.cli.reach import reaching

    wish = Wish(
        names=names or [],
        hosts=host or [],
        follow=follow,
        since_ns=since_ns(since, time.time()) if since is not None else 0,
        tail=tail,
        timestamps=timestamps,
        raw=raw,
    )
    with at.connected() as connection, reaching(connection, at.config) as reach:
        raise typer.Exit(Logs(connection, reach, wish).run())


@replica_commands.command(
    "exec", short_help="Run a command in a replica.", context_settings={"allow_interspersed_args": False}
)
def exec_(
    replica: _Name,
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="The command and its arguments.")
    ],
    *,
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Pass standard input on.")] = False,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Give the command a terminal.")] = False,
    host: _Host = None,
    at: Access,
) -> None:
    """Run a command in the container of a replica, wherever it runs. The exit code is that of the command.

    Options stand before REPLICA. Needs the docker command on this machine, and ssh for another host.
    """
    from agent.cli.on_replica import run_in
    from agent.cli.reach import reaching

    options = [option for option, chosen in (("-i", interactive), ("-t", tty)) if chosen]
    with at.connected() as connection, reaching(connection, at.config) as reach:
        raise typer.Exit(run_in(connection, reach, replica, command, options, host or ""))


@replica_commands.command(short_help="Restart a service by a rollout, or one replica.")
def restart(
    name: Annotated[
        str, typer.Argument(metavar="SERVICE|REPLICA", help="As web or web-1.", autocompletion=_EITHER)
    ],
    *,
    host: _Host = None,
    plan: PlanOption = False,
    at: Change,
) -> None:
    """Restart a service: set its `x-restarted-at` in the accepted document, so that a rollout replaces its replicas.

    A single replica is restarted at once by docker on its host, through ssh if that is another one.
    """
    from agent.cli import verbs

    wish = at.wish(f"restart {name}", plan_only=plan)
    with at.connected() as connection:
        if verbs.is_service(connection, name):
            if host:
                raise typer.BadParameter(
                    f"--host is for one replica: the rollout of {name} is on all its hosts"
                )
            raise typer.Exit(verbs.restart(connection, wish, name.removeprefix("service/")))
        if plan:
            raise typer.BadParameter(f"--plan is for a service: docker restarts {name} alone, at once")
        from agent.cli.on_replica import restart_one
        from agent.cli.reach import reaching

        with reaching(connection, at.config) as reach:
            restart_one(connection, reach, name, host or "", ask=not at.yes)
