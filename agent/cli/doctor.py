"""`doctor` and `config check`. agent.cli.app adds them to the other commands."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli import CONFIG
from agent.cli.exit_codes import REFUSED
from agent.cli.options import ClusterOption, ConfigOption, EndpointOption
from agent.cli.output import Output, OutputOption, print_data, shown_if_slow

if TYPE_CHECKING:
    from agent.doctor.checks import Finding

# ruff: noqa: PLC0415 - as in agent.cli.app

VERSION = 1
"""Version of the JSON of `doctor`."""
_COLOURS = {"OK": "green", "SKIP": None, "WARN": "yellow", "FAIL": "red"}
_ALL, _PARALLEL, _HOST_S = "all", 32, 180.0
"""The name for every host; how many are checked in parallel; seconds within which each must answer."""

checks = typer.Typer()


@checks.command(short_help="Check this host and what it needs of others.")
def doctor(
    *,
    config: ConfigOption = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Check this host instead, by ssh; may be repeated; all: every host."
        ),
    ] = None,
    probe: Annotated[
        str,
        typer.Option(
            metavar="IMAGE",
            help="Run this image, which has sh and ping, for seconds on each overlay, to reach other hosts.",
        ),
    ] = "",
    output: OutputOption = Output.TABLE,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
) -> None:
    """Check this host, and what it needs of etcd, dockerd, the kernel and other hosts. Run it as root.

    It works before the agent has ever run, and on a live cluster, and changes nothing. Each line is OK, WARN, FAIL, or
    SKIP for what was not checked, with cause and remedy. The exit code is 1 if one is FAIL.
    """
    from agent.doctor.checks import Level
    from agent.doctor.examine import examine

    if host:
        by_host = _on_hosts(host, config, endpoint, cluster, probe)
    elif endpoint or cluster:
        raise typer.BadParameter("--endpoint and --cluster only serve to find the hosts of --host")
    else:
        by_host = {"": examine(config or CONFIG, probe)}
    result = max((each.level for found in by_host.values() for each in found), key=[*Level].index)
    if output.is_data:
        named = ((name, each) for name, found in by_host.items() for each in found)
        listed = [each._asdict() | {"level": str(each.level), "host": name} for name, each in named]
        print_data({"version": VERSION, "result": str(result), "findings": listed}, output)
    for name, found in () if output.is_data else by_host.items():
        if name:
            typer.secho(f"{name}:", bold=True)
        for each in found:
            _print(*each)
        counts = ((level, sum(each.level is level for each in found)) for level in Level)
        typer.echo(", ".join(f"{count} {level}" for level, count in counts if count))
    raise typer.Exit(REFUSED if result is Level.FAIL else 0)


def _on_hosts(
    wanted: list[str], config: Path | None, endpoint: list[str] | None, cluster: str | None, image: str
) -> dict[str, list["Finding"]]:
    """Return the findings of `doctor` on each host. Raises Invalid for a host that is not known."""
    from concurrent.futures import ThreadPoolExecutor

    from agent.cli.connect import connected
    from agent.cli.reach import Reach
    from agent.clients.ssh import run
    from agent.doctor import collect
    from agent.doctor.checks import FAIL, Finding, findings_in
    from agent.doctor.examine import examine
    from agent.errors import Invalid, SwarmkeeperError

    with connected(config, endpoint, cluster) as etcd:
        reach, intent = Reach(etcd.keys.cluster, config), None
        try:
            intent = collect.document(collect.cluster(etcd.store, etcd.keys, reach.own))
            where = (
                "the document declares" if intent else "etcd has no valid document yet, and cli.yaml names"
            )
        except SwarmkeeperError as error:  # a reason to run doctor
            where = f"{error}, and cli.yaml names"
    declared = [each.name for each in intent.hosts] if intent else []
    if _ALL in wanted and not declared:
        raise Invalid(f"{where} not all hosts: name each")
    names = [*dict.fromkeys(declared if _ALL in wanted else wanted)]
    if unknown := sorted({*names} - ({*declared, *reach.settings.hosts, reach.own} - {""})):
        raise Invalid(f"{where} no host {unknown[0]!r}: see `swarmkeeper hosts` and docs/operate/logs.md")
    script = f'[ "$(id -u)" = 0 ] || set -- sudo -n; exec "$@" swarmkeeper doctor -o json --probe {shlex.quote(image)}'

    def look(host: str) -> list[Finding]:
        if host == reach.own:
            return examine(config or CONFIG, image)
        target = reach.target(host, intent)
        try:
            output, message = run(target, shlex.join(("sh", "-c", script)), _HOST_S)
        except SwarmkeeperError as error:
            remedy = f"run `{shlex.join(('ssh', *target, 'true'))}`, and see docs/operate/logs.md"
            return [Finding(FAIL, str(error), remedy, "ssh")]
        text = f"doctor does not run there: {message or 'its findings cannot be read'}"
        remedy = "install swarmkeeper there; enter as root, or let sudo run it without a password"
        return findings_in(output) or [Finding(FAIL, text, remedy, "ssh")]

    with ThreadPoolExecutor(_PARALLEL) as pool, shown_if_slow(f"checking {len(names)} hosts"):
        return dict(zip(names, pool.map(look, names), strict=True))


def _print(level: str, text: str, remedy: str, check: str) -> None:
    from agent.cli.validate import painted

    head, *more = text.split("\n")  # agent.yaml may have several faults, one in each line
    shown = painted(f"{level:<5}", _COLOURS[level], bold=level == "FAIL")
    typer.echo(f"{shown} {painted(f'{check:<11} {head}')}")
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
