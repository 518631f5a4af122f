"""The lab as a command: `script/lab`."""

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from integration.lab import base as bases
from integration.lab import debootstrap, inside, route
from integration.lab.errors import LabError
from integration.lab.host import Host
from integration.lab.lab import HOSTS, Lab

app = typer.Typer(
    help="Real hosts on this machine: systemd, docker and an etcd cluster on a LAN of their own.",
    epilog="A HOST is a name (node-231), its number (231) or its address. Set SWARMKEEPER_LAB instead of --name.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Option("--name", envvar="SWARMKEEPER_LAB", help="Which lab.")]
HostArgument = Annotated[str, typer.Argument(metavar="HOST")]
COMMAND = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


@app.command()
def up(
    name: Name = "lab",
    host: Annotated[list[str], typer.Option(help="A host's name; repeat for more. [default: three]")] = [],  # noqa: B006
    disk: Annotated[str, typer.Option(help="Size of a disk image per host (2G); `lose` needs one.")] = "",
    base: Annotated[str, typer.Option(envvar=bases.CHOSEN, help="The hosts' distribution.")] = "",
    parallel: Annotated[int, typer.Option(help="How many hosts boot at a time; 0: all.")] = 0,
) -> None:
    """Bring the lab up; what is up stays as it is."""
    Lab(name, host or Lab.existing(name).known() or HOSTS, disk, base).up(parallel)
    ls(name)


@app.command()
def down(name: Name = "lab") -> None:
    """Remove the lab and everything in it."""
    Lab.existing(name).down()


@app.command()
def ls(name: Name = "lab") -> None:
    """List the hosts, each with its docker socket."""
    for host in Lab.existing(name):
        socket = f"unix://{host.socket}" if host.is_up else ""
        state = "up " if host.is_up else "off"
        typer.echo(f"{host.name}  {host.address}  {host.spec.base}  {state}  {socket}".rstrip())


@app.command(context_settings=COMMAND)
def exec(context: typer.Context, host: HostArgument, name: Name = "lab") -> None:  # noqa: A001  docker's word
    """Run a command in a host (default: a shell)."""
    command = [
        *Lab.existing(name)[host].enter_command(f"TERM={os.environ.get('TERM', 'dumb')}"),
        *context.args,
    ]
    sys.stdout.flush()
    os.execvp(command[0], command if context.args else [*command, "bash", "-l"])


@app.command(context_settings=COMMAND)
def lan(context: typer.Context, name: Name = "lab") -> None:
    """Run a command on the LAN, as a client of the hosts (default: a shell)."""
    command = [*Lab.existing(name).lan.enter_command(), *(context.args or ["bash"])]
    os.execvp(command[0], command)


@app.command()
def cut(
    host: HostArgument,
    other: Annotated[str, typer.Argument(help="Cut only the way to this host.")] = "",
    name: Name = "lab",
) -> None:
    """Pull a host's network cable."""
    lab = Lab.existing(name)
    lab[host].cut(lab[other] if other else None)


@app.command()
def heal(host: HostArgument, name: Name = "lab") -> None:
    """Undo every cut a host is part of."""
    Lab.existing(name)[host].heal()


@app.command()
def lose(host: HostArgument, name: Name = "lab") -> None:
    """Cut a host's power so that unsynced writes are lost, and switch it on again."""
    with route.locked(name):
        Lab.existing(name)[host].lose()


@app.command()
def push(
    service: str,
    tag: str,
    env: Annotated[list[str], typer.Option("--env", "-e", help="KEY=VALUE for the image.")] = [],  # noqa: B006
    name: Name = "lab",
) -> None:
    """Build one of integration/images under any tag and push it to the lab's registry."""
    variables = dict(entry.split("=", 1) for entry in env)
    typer.echo(Lab.existing(name).push(service, tag, variables))


@app.command()
def leaks(name: Name = "lab") -> None:
    """Count what the lab holds on this machine; exit 1 unless every number is zero."""
    found = Lab(name, hosts=()).leaks()
    typer.echo(str(found))
    raise typer.Exit(1 if found else 0)


@app.command()
def base(
    name: Annotated[str, typer.Argument(metavar="[BASE]")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Remove its tree.")] = False,
) -> None:
    """Make the tree of a base, or list what bases there are."""
    if not name:
        for each in bases.BASES:
            typer.echo(f"{each.name}  {each.root if debootstrap.is_made(each) else 'not made'}")
    elif remove:
        debootstrap.remove(bases.find(name))
    else:
        debootstrap.make(bases.find(name))


@app.command("inside", context_settings=COMMAND)
def run_inside(context: typer.Context, base_name: Annotated[str, typer.Argument(metavar="BASE")]) -> None:
    """Run a command in a base that is not booted, in this repository (default: a shell)."""
    inside.run(bases.find(base_name), context.args or ["bash"])


def _add(command: str, action: Callable[[Host], None], help_text: str) -> None:
    """A command that does one thing to one host."""

    def run(host: HostArgument, name: Name = "lab") -> None:
        with route.locked(name):
            action(Lab.existing(name)[host])

    app.command(command, help=help_text)(run)


_add("off", Host.off, "Cut a host's power: every process is killed at once.")
_add("boot", Host.boot, "Switch a host on and wait for its docker.")
_add("cycle", Host.cycle, "Power a host off and on again.")
_add("stop", Host.stop, "Shut a host down cleanly.")
_add("freeze", Host.freeze, "Stop every process of a host between two instructions.")
_add("thaw", Host.thaw, "Let a frozen host go on.")


def main() -> None:
    try:
        app(prog_name="script/lab")
    except (LabError, AssertionError) as error:
        raise SystemExit(f"lab: {error}") from error


if __name__ == "__main__":
    main()
