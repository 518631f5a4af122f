"""The commands, their options and their help. What they do is in the modules beside this one.

Those are imported by the command that needs them: shell completion and `validate` load neither gRPC nor the Docker
client, and the daemon, which is started by `run`, never loads the tables.
"""

import re
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from typer.core import TyperGroup

from agent.errors import SwarmkeeperError, Unreachable
from agent.yamldoc.faultlist import printable

# ---- How a command ends that fails: one clear line and an exit code; a traceback only for who asks

REFUSED = 1
UNREACHABLE = 3


class Group(TyperGroup):
    """The commands, with errors of the tree in agent/errors.py turned into exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever read the output has seen enough: typer ends quietly
        except (SwarmkeeperError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            said = "\n".join(map(printable, str(error).split("\n")))  # some name one fault on each line
            typer.secho(f"swarmkeeper: {said}", fg="red", err=True)
            raise typer.Exit(UNREACHABLE if isinstance(error, Unreachable) else REFUSED) from error


# ruff: noqa: PLC0415 - see above


CONFIG = Path("/etc/swarmkeeper/agent.yaml")
CHANGES = 4
STDIN = "<stdin>"

HELP = (
    "Keep a Docker Swarm cluster, its docker_gwbridge and its containers as one document in etcd says.\n\n"
    "An agent runs on every host (`run`). The operator writes the document (`validate`, `plan`, `apply`) and"
    " looks (`status`); that works from any machine that reaches etcd."
)

EXIT_CODES = (
    "Exit codes: 0 all went well; 1 invalid, refused, or changed by somebody else; 2 wrong usage;"
    " 3 no answer from etcd, or none in time; 4 there is something to do (only with `plan --exit-code`);"
    " 78 the configuration is faulty (only `run`: systemd does not start it again)."
)

app = typer.Typer(
    name="swarmkeeper",
    cls=Group,
    help=HELP,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _checked_cluster(name: str | None) -> str | None:
    """What the configuration would not take for a name is wrong usage, too: it becomes part of keys and roles."""
    from agent.config import CLUSTER_NAME, CLUSTER_NAME_RULE
    from agent.yamldoc.faultlist import quoted

    if name is not None and not re.fullmatch(CLUSTER_NAME, name):
        raise typer.BadParameter(f"{quoted(name)} is not {CLUSTER_NAME_RULE}")
    return name


ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", metavar="FILE", help="The agent's configuration: where etcd is, which cluster."
    ),
]
EndpointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="An etcd endpoint, instead of the configured ones; may be repeated. With --cluster, no"
        " configuration file is needed.",
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="NAME",
        help="The cluster, instead of the configured one.",
        callback=_checked_cluster,
    ),
]
Document = Annotated[
    typer.FileBinaryRead, typer.Argument(metavar="FILE", help="The document; - for standard input.")
]
SecretsOption = Annotated[
    bool,
    typer.Option(
        "--show-secrets",
        help="Show the values that change: of environment, command, entrypoint, healthcheck, labels, annotations and"
        " logging options. Else it is only said that they do.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


def _name_of(document: BinaryIO) -> str:
    return str(getattr(document, "name", STDIN))  # standard input may be a stream without a name


def _print_version(wanted: bool) -> None:
    if wanted:
        from agent import __version__

        typer.echo(f"swarmkeeper {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of every command; `debug` is read by the group when one fails."""


@app.command()
def run(config: ConfigOption = CONFIG) -> None:
    """Run the agent of this host. This is what the systemd unit starts; it ends on SIGTERM."""
    from agent.daemon.main import run_agent

    raise typer.Exit(run_agent(config))


@app.command()
def validate(
    document: Document,
    *,
    against: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(
            "--against",
            metavar="FILE",
            help="The accepted document: say, too, whether the change would wait.",
        ),
    ] = None,
) -> None:
    """Say everything that is wrong with a document, with line and column. Needs neither etcd nor Docker."""
    from agent.cli.validate import show_validity, show_whether_it_waits

    name, raw = _name_of(document), document.read()
    show_validity(name, raw)
    if against:
        show_whether_it_waits(name, raw, _name_of(against), against.read())


@app.command()
def schema() -> None:
    """Print the JSON Schema of the document, for editors that complete and check while one writes."""
    from agent.cli.validate import show_schema

    show_schema()


@app.command()
def plan(
    document: Annotated[
        typer.FileBinaryRead | None,
        typer.Argument(metavar="[FILE]", help="Plan as if this document were put; - for standard input."),
    ] = None,
    *,
    config: ConfigOption = CONFIG,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
    show_secrets: SecretsOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 4 when there is something to do.")
    ] = False,
) -> None:
    """Show what would be done on every host and why, and what is blocked. Nothing is changed, anywhere.

    What the hosts last reported is planned upon by the same code that the agents run, step after step.
    Ids that are not known yet, of a new swarm or node, stand in parentheses.
    """
    from agent.cli.connect import connected
    from agent.cli.plan import in_mind, show_plan

    with connected(config, endpoint, cluster) as connection:
        found = connection.read()
    if document:
        found = in_mind(found, _name_of(document), document.read())
    shown = show_plan(found, as_json=as_json, reveal=show_secrets)
    raise typer.Exit(CHANGES if exit_code and shown.steps else 0)


@app.command()
def apply(  # noqa: PLR0913 - what an operator may type
    document: Document,
    *,
    config: ConfigOption = CONFIG,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the document is put.")] = False,
    confirm: Annotated[
        str,
        typer.Option(
            "--confirm",
            metavar="WORD",
            help="Confirm what deletion_guard holds back, with the word that `plan` or the verdict gives.",
        ),
    ] = "",
    show_secrets: SecretsOption = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for an answer.")
    ] = 60.0,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Put the document and leave.")] = False,
    until_converged: Annotated[
        bool, typer.Option("--until-converged", help="Wait until every host has carried it out, too.")
    ] = False,
) -> None:
    """Check a document, show the plan, put it, and wait for the leader's verdict.

    It is put only if nobody else has changed the intent since the plan was made.
    """
    from agent.cli.connect import connected
    from agent.cli.plan import Applying

    if _name_of(document) == STDIN and not yes:
        raise typer.BadParameter("a document from standard input needs --yes: nobody can be asked")
    with connected(config, endpoint, cluster) as connection:
        applying = Applying(connection, wait_s=wait)
        revision = applying.put(
            _name_of(document), document.read(), ask=not yes, confirm=confirm, reveal=show_secrets
        )
        if not no_wait or until_converged:
            applying.await_verdict(revision)
        if until_converged:
            applying.await_convergence(revision)


@app.command()
def status(
    *,
    config: ConfigOption = CONFIG,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again whenever something changes.")
    ] = False,
) -> None:
    """Show every host as it last reported itself, and what became of the intent. Reads etcd only."""
    from agent.cli.connect import connected
    from agent.cli.status import show_status, watch_status

    with connected(config, endpoint, cluster) as connection:
        if watch:
            watch_status(connection, as_json=as_json)
        else:
            show_status(connection, as_json=as_json)


@app.command()
def etcd_roles(*, config: ConfigOption = CONFIG, cluster: ClusterOption = None) -> None:
    """Print the etcdctl commands that make the cluster's roles in etcd: one for operators, one for agents.

    An operator may write the intent and nothing else, an agent all the rest and not the intent. Nothing is changed:
    `swarmkeeper etcd-roles | sh`, as a user who may, makes them.
    """
    from agent.cli.etcd_roles import show_roles

    show_roles(config, cluster)


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    app(prog_name="swarmkeeper")


if __name__ == "__main__":
    main()
