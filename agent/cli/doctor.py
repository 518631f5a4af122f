"""`doctor` and `config check`. agent.cli.app adds them to the other commands."""

from pathlib import Path
from typing import Annotated

import typer

from agent.cli import CONFIG
from agent.cli.exit_codes import REFUSED
from agent.cli.options import ConfigOption
from agent.cli.output import Output, OutputOption, print_data

# ruff: noqa: PLC0415 - as in agent.cli.app

VERSION = 1
"""Version of the JSON of `doctor`."""
_COLOURS = {"OK": "green", "SKIP": None, "WARN": "yellow", "FAIL": "red"}

checks = typer.Typer()


@checks.command(short_help="Check this host and what it needs of others.")
def doctor(
    *,
    config: ConfigOption = None,
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Check ports and clocks of this other host only; may be repeated."),
    ] = None,
    probe: Annotated[
        str,
        typer.Option(
            metavar="IMAGE",
            help="Run this image, which has sh and ping, for seconds on each overlay, to reach other hosts.",
        ),
    ] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Check this host, and what it needs of etcd, dockerd, the kernel and other hosts. Run it as root.

    It works before the agent has ever run, and on a live cluster, and changes nothing. Each line is OK, WARN, FAIL, or
    SKIP for what was not checked, with cause and remedy. The exit code is 1 if one is FAIL.
    """
    from agent.doctor.checks import Level, worst
    from agent.doctor.examine import examine

    found = examine(config or CONFIG, host or (), probe)
    result = worst(found)
    if output.is_data:
        listed = [each._asdict() for each in found]
        print_data({"version": VERSION, "result": str(result), "findings": listed}, output)
    else:
        for each in found:
            _print(*each)
        counts = ((level, sum(each.level is level for each in found)) for level in Level)
        typer.echo(", ".join(f"{count} {level}" for level, count in counts if count))
    raise typer.Exit(REFUSED if result is Level.FAIL else 0)


def _print(level: str, text: str, remedy: str, check: str) -> None:
    from agent.cli.validate import painted

    head, *more = text.split("\n")  # agent.yaml may have several faults, one in each line
    typer.echo(f"{painted(f'{level:<5}', _COLOURS[level], bold=level == 'FAIL')} {check:<11} {painted(head)}")
    for each in (*more, *([f"remedy: {remedy}"] if remedy else [])):
        typer.echo(f"{'':18}{painted(each)}")


configuration = typer.Typer(
    name="config",
    no_args_is_help=True,
    help="Commands for agent.yaml.\n\nThe packaged file explains every option.",
)


@configuration.command(short_help="Check agent.yaml.")
def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The file to check.", show_default=str(CONFIG))
    ] = None,
) -> None:
    """Check agent.yaml and print every fault with line and column. Needs neither etcd nor Docker."""
    from agent.cli.validate import painted
    from agent.config import load_config

    found = load_config(file or CONFIG)
    typer.echo(f"{file or CONFIG}: {painted('valid', 'green')}: host {found.host} of cluster {found.cluster}")


checks.add_typer(configuration)
