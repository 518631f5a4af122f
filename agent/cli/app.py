"""The commands, their options and their help.

Each command imports its own module when it runs. Shell completion and `validate` load neither gRPC nor the Docker
client. The daemon, which `run` starts, never loads the tables.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from agent.cli import CONFIG
from agent.cli.completion import Shell, script_of
from agent.cli.doctor import checks
from agent.cli.documents import documents
from agent.cli.exit_codes import CHANGES, EXIT_CODES, HELD, Group
from agent.cli.options import (
    Access,
    ClusterOption,
    ConfigOption,
    Document,
    EnvFilesOption,
    EveryStepOption,
    FilesOption,
    MessageOption,
    SecretsOption,
    checked_name,
    given,
    name_of,
    needed,
    seconds,
    with_groups,
)
from agent.cli.output import Output, OutputOption
from agent.cli.replica_commands import replica_commands
from agent.cli.resource_commands import RESOURCE_COMMANDS, resource_command

# ruff: noqa: PLC0415 - each command imports its own module when it runs


HELP = (
    "Keep a Docker Swarm cluster, its docker_gwbridge and its containers as one document in etcd declares.\n\n"
    "An agent runs on every host (`run`). The operator checks a document (`validate`, `plan`), applies it"
    " (`apply`) and watches the hosts (`status`), from any machine that reaches etcd."
)

app = typer.Typer(
    name="swarmkeeper",
    cls=Group,
    help=HELP,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from agent import __version__

        typer.echo(f"swarmkeeper {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before a command; Group reads `debug` when a command fails."""


@app.command()
def run(config: ConfigOption = None) -> None:
    """Run the agent of this host. The systemd unit starts this command; SIGTERM ends it."""
    from agent.daemon.main import run_agent

    raise typer.Exit(run_agent(config or CONFIG))


@app.command()
def validate(
    document: Document = None,
    *,
    file: FilesOption = None,
    env_file: EnvFilesOption = None,
    against: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(
            "--against",
            metavar="FILE",
            help="The accepted document. Also check whether replacing it by the first FILE needs a confirmation.",
        ),
    ] = None,
    against_cluster: Annotated[
        bool, typer.Option("--against-cluster", help="The same in etcd. Also print what hosts do not admit.")
    ] = False,
    at: Access,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check a document and print every fault with line and column. Needs no Docker, and no etcd by itself."""
    from agent.cli.validate import accepted, show_validity

    if against and against_cluster:
        raise typer.BadParameter("--against and --against-cluster exclude each other")
    found, known = needed(given(document, file, env_file)), None
    if against_cluster:
        with at.connected() as connection:
            known = connection.read()
    elif against:
        known = accepted(name_of(against), against.read(), output)
    show_validity(found.name, found.raw, known, output)


@app.command("compile")
def compile_(
    file: FilesOption = None,
    *,
    env_file: EnvFilesOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the document to this file.")
    ] = None,
) -> None:
    """Make one document of Compose files, and check it. Needs neither etcd nor Docker.

    One of the files must have an `x-cluster`; `swarmkeeper init` prints one.
    """
    from agent.cli.compile import write_compiled

    if not file:
        raise typer.BadParameter("name Compose files with --file")
    write_compiled(file, env_file or (), output)


@app.command(short_help="Print the part of a document that names the hosts.")
def init(
    hosts: Annotated[
        list[str], typer.Argument(metavar="NAME=ADDRESS...", help="Every host, managers first.")
    ],
) -> None:
    """Print the part of a document that Compose has no word for: the hosts of the cluster, and docker_gwbridge."""
    from agent.cli.compile import show_cluster

    show_cluster(hosts)


@app.command(short_help="Print the JSON Schema of the document or the status.")
def schema(
    *, of: Annotated[Literal["document", "status"], typer.Option("--of", help="The form.")] = "document"
) -> None:
    """Print the JSON Schema of the document, for completion and checks in an editor, or of `status -o json`."""
    from agent.cli.output import print_data

    if of == "status":
        from agent.cli.status_form import status_schema as schema_of
    else:
        from agent.intent import json_schema as schema_of
    print_data(schema_of(), Output.JSON)


@app.command(short_help="Show what would happen to services and hosts.")
def plan(
    document: Annotated[
        typer.FileBinaryRead | None,
        typer.Argument(
            metavar="[FILE]", help="Plan this document, not the one in etcd; - for standard input."
        ),
    ] = None,
    *,
    file: FilesOption = None,
    env_file: EnvFilesOption = None,
    at: Access,
    output: OutputOption = Output.TABLE,
    show_secrets: SecretsOption = False,
    every_step: EveryStepOption = False,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code",
            help="Exit with 4 if there is something to do, 5 if there is nothing to do but something is blocked or"
            " waits.",
        ),
    ] = False,
) -> None:
    """Sum up what would happen to every service and host, then show the steps. Changes nothing.

    The plan runs the code of the agents on the last report of every host.
    Ids in parentheses are not known yet: they belong to a new swarm or node.
    """
    from agent.cli.apply import confirming
    from agent.cli.plan import has_work, show_plan, with_document

    chosen = given(document, file, env_file)
    with at.connected() as connection:
        found = connection.read()
    if chosen:
        found = with_document(found, chosen.name, chosen.raw)
    command = confirming(chosen.arguments if chosen else "FILE", *at.named)
    shown = show_plan(
        found, output=output, every_step=every_step, show_secrets=show_secrets, confirming=command
    )
    held = HELD if shown.blocked or shown.waiting else 0
    raise typer.Exit((CHANGES if has_work(shown) else held) if exit_code else 0)


class _Apply(TyperCommand):
    """A command with an option whose value may be left out: `--wait` is `--wait=services`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        given = ["--wait=services" if each == "--wait" else each for each in args[:end]]
        return super().parse_args(ctx, given + args[end:])


@app.command(cls=_Apply, short_help="Check a document and write it to etcd.")
def apply(  # noqa: PLR0913 - one parameter for each option
    document: Document = None,
    *,
    file: FilesOption = None,
    env_file: EnvFilesOption = None,
    at: Access,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Apply the document without asking.")] = False,
    confirm: Annotated[
        str,
        typer.Option(
            "--confirm",
            metavar="TOKEN",
            help="Confirm an edit that deletion_guard stops, with the token from the plan or the verdict.",
        ),
    ] = "",
    output: OutputOption = Output.TABLE,
    show_secrets: SecretsOption = False,
    every_step: EveryStepOption = False,
    wait: Annotated[
        Literal["none", "services", "cluster"],
        typer.Option(
            "--wait",
            metavar="[=services|cluster]",
            help="Wait until every service that the document changes is ready (--wait), or until the whole cluster has"
            " converged (--wait=cluster). Exit with 1 as soon as a rollout pauses or a replica keeps ending.",
            show_default=False,
        ),
    ] = "none",
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            parser=seconds,
            metavar="SECONDS",
            help="Longest wait.",
            show_default="60 for the verdict, 600 with --wait",
        ),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the verdict.")] = False,
    message: MessageOption = "",
) -> None:
    """Check a document, show its plan, write it to etcd, and wait for the leader's verdict.

    If another operator changes the document in etcd after the plan, nothing is written. Ctrl-C ends a wait; the
    document stays applied.
    """
    from agent.cli.apply import Order, confirming, run_apply

    found = needed(given(document, file, env_file))
    if found.from_stdin and not yes:
        raise typer.BadParameter("a document from standard input needs --yes: no answer can be read")
    if no_wait and wait != "none":
        raise typer.BadParameter("--no-wait and --wait exclude each other")
    more = ["--yes"] if yes else []
    more += [f"--wait={wait}"] if wait != "none" else []
    more += [f"--timeout={timeout:g}"] if timeout is not None else []
    order = Order(
        name=found.name,
        raw=found.raw,
        ask=not yes,
        confirm=confirm,
        command=confirming(found.arguments, *at.named, *more),
        output=output,
        show_secrets=show_secrets,
        every_step=every_step,
        verdict=not no_wait,
        wait="" if wait == "none" else wait,
        timeout_s=timeout,
        message=message,
    )
    with at.connected() as connection:
        raise typer.Exit(run_apply(connection, order))


@app.command(short_help="Show whether the cluster is as declared.")
def status(
    *,
    at: Access,
    output: OutputOption = Output.TABLE,
    everything: Annotated[
        bool, typer.Option("--all", help="Show all services, hosts and problems, however many there are.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh on every change.")] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Print one line and exit as a Nagios plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
        ),
    ] = False,
) -> None:
    """Show whether the cluster is as declared, and if not, what to repair first: services, hosts, problems.

    Reads etcd only. If etcd does not answer, shows what the agent of this host knows. The exit code is 0 if there is an
    answer, also a bad one; --check tells them apart.
    """
    from agent.cli.status import Wish, check_status, show_status, watch_status

    if check and (watch or everything or output is not Output.TABLE):
        raise typer.BadParameter("--check prints one line: --output, --all and --watch cannot change it")
    wish = Wish(output=output, everything=everything)
    if check:
        raise typer.Exit(check_status(*at.named))
    with at.connected() as connection:
        if watch:
            watch_status(connection, wish)
        else:
            show_status(connection, wish, at.config)


for _each in RESOURCE_COMMANDS:
    app.command()(resource_command(*_each))


@app.command(short_help="Print the commands that create etcd roles.")
def etcd_roles(
    *,
    config: ConfigOption = None,
    cluster: ClusterOption = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Print the role of this host alone.", callback=checked_name),
    ] = None,
    may_lead: Annotated[bool, typer.Option("--may-lead", help="The host may become the leader.")] = False,
) -> None:
    """Print the etcdctl commands that create etcd roles: for operators and all agents, or for one host.

    Operators may write the intent only; agents may write everything else, a host with a role of its own what it needs.
    This command changes nothing. To create the roles, run `swarmkeeper etcd-roles | sh` as an etcd user with that
    right.
    """
    from agent.cli.etcd_roles import show_roles

    if may_lead and host is None:
        raise typer.BadParameter("--may-lead needs --host")
    show_roles(config or CONFIG, cluster, host, may_lead=may_lead)


@app.command(short_help="Print the completion of a shell.")
def completion(shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="The shell.")]) -> None:
    """Print what makes a shell complete commands, options, and the names of services, replicas, hosts and revisions.

    Names are read from etcd by the options on the line, else by the configuration. The Debian package installs this.
    """
    typer.echo(script_of(shell))


app.registered_commands += (
    *documents.registered_commands,
    *replica_commands.registered_commands,
    *checks.registered_commands,
)
for _command in app.registered_commands:
    _command.callback = with_groups(_command.callback) if _command.callback else None
app.registered_groups += checks.registered_groups


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    # Python has None for a stream that is closed, as by `<&-`, and a connection would take its number.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - open until the process ends
    app(prog_name="swarmkeeper")


if __name__ == "__main__":
    main()
