"""The commands on the accepted document and on earlier ones. agent.cli.app adds them to the others."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.completion import names_of
from agent.cli.options import (
    ClusterOption,
    ConfigOption,
    EndpointOption,
    MessageOption,
    SecretsOption,
    SinceOption,
    TokenOption,
    YesOption,
)
from agent.cli.output import Output, OutputOption

if TYPE_CHECKING:
    from agent.cli.connect import Connection

# ruff: noqa: PLC0415 - as in agent.cli.app

documents = typer.Typer()


def _connected(
    config: Path | None, endpoint: list[str] | None, cluster: str | None
) -> AbstractContextManager["Connection"]:
    from agent.cli.connect import connected

    return connected(config, endpoint, cluster)


_REVISIONS, _HOSTS, _SERVICES = names_of("revision"), names_of("host"), names_of("service")
Revision = Annotated[
    int | None,
    typer.Argument(
        metavar="[REVISION]", min=1, help="One of `history`.", show_default=False, autocompletion=_REVISIONS
    ),
]
Hosts = Annotated[
    list[str], typer.Argument(metavar="HOST...", help="Names in the document.", autocompletion=_HOSTS)
]
_A_HELP = "A file, - for standard input, or a revision."
_SERVICES_HELP = "Names in the document; without: all uneven ones."


@documents.command(short_help="List the last documents and what became of each.")
def history(
    *,
    config: ConfigOption = None,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the last 50 documents, the newest first: when, who, and what became of each. * is the accepted one."""
    from agent.cli.history import show_history

    with _connected(config, endpoint, cluster) as connection:
        show_history(connection, output)


@documents.command(short_help="List what changed, and what leaders ordered.")
def events(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="host/node-1, web, ...")
    ] = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new ones, until Ctrl-C.")
    ] = False,
    since: SinceOption = None,
    config: ConfigOption = None,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List conditions that came, changed and went, documents, elections and orders of leaders, the oldest first.

    etcd keeps the last 64 kB of them. Times are of the leader's clock. What hosts did is in their journals.
    """
    from agent.cli.events import show_events

    with _connected(config, endpoint, cluster) as connection:
        show_events(connection, output, names or (), since=since, follow=follow)


@documents.command(short_help="Print the accepted document.")
def get(
    revision: Revision = None,
    *,
    config: ConfigOption = None,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
) -> None:
    """Print the accepted document, or an earlier one, byte for byte, with its secrets."""
    from agent.cli import verbs

    with _connected(config, endpoint, cluster) as connection:
        verbs.get(connection, revision)


@documents.command(short_help="Show what differs between two documents.")
def diff(
    before: Annotated[
        str | None, typer.Argument(metavar="[A]", help=_A_HELP, autocompletion=_REVISIONS)
    ] = None,
    after: Annotated[
        str | None, typer.Argument(metavar="[B]", help="The same.", autocompletion=_REVISIONS)
    ] = None,
    *,
    config: ConfigOption = None,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    output: OutputOption = Output.TABLE,
    show_secrets: SecretsOption = False,
) -> None:
    """Show what differs by meaning from A to B, without comments, quotes and order.

    A alone is compared with the accepted document: a file as what would follow it, a revision as what was before it.
    Without A, the document to which `rollback` would return is compared with the accepted one. Two files need no etcd.
    The exit code is 0 whether or not they differ.
    """
    from agent.cli.history import chosen, show_differences

    names, raws = chosen(_connected(config, endpoint, cluster), before, after)
    show_differences(names, raws, output, show_secrets=show_secrets)


@documents.command(short_help="Put an earlier document again.")
def rollback(  # noqa: PLR0913 - one parameter for each option
    revision: Revision = None,
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Show the plan alone.")] = False,
    config: ConfigOption = None,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    yes: YesOption = False,
    confirm: TokenOption = "",
    message: MessageOption = "",
    output: OutputOption = Output.TABLE,
    show_secrets: SecretsOption = False,
) -> None:
    """Put an earlier document again: the last one that was carried out before the accepted one, or a revision.

    If the newest document is refused, that is the accepted one. If the newest document has no verdict yet, or another
    operator changes it meanwhile, nothing is written.
    """
    from agent.cli import verbs
    from agent.cli.apply import confirming

    wish = verbs.Wish(
        command=confirming(str(revision or ""), config, endpoint, cluster, command="rollback"),
        ask=not yes,
        message=message,
        confirm=confirm,
        output=output,
        show_secrets=show_secrets,
        plan_only=plan,
    )
    with _connected(config, endpoint, cluster) as connection:
        raise typer.Exit(verbs.rollback(connection, wish, revision))


_LEFT = "and leave the rest of its text as it is."


@documents.command(
    "drain",
    short_help="Move the replicas off hosts.",
    help=f"Set `availability: drain` of hosts in the accepted document, {_LEFT}\n\nChange your file too: the next"
    " `apply` of a file without it ends the drain, and says so.",
)
@documents.command(
    "undrain",
    short_help="Let hosts have replicas again.",
    help=f"Set `availability: active` of hosts in the accepted document, {_LEFT}",
)
def set_availability(
    context: typer.Context,
    hosts: Hosts,
    *,
    config: ConfigOption = None,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    yes: YesOption = False,
    message: MessageOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Set the availability that the name of the command says."""
    from agent.cli import verbs

    wish = verbs.Wish(
        command=f"{context.info_name} {' '.join(hosts)}", ask=not yes, message=message, output=output
    )
    with _connected(config, endpoint, cluster) as connection:
        value = "drain" if context.info_name == "drain" else "active"
        raise typer.Exit(verbs.drain(connection, wish, hosts, value))


@documents.command(
    "pause",
    short_help="Stop the agents from changing anything.",
    help=f"Set `x-cluster.policy.mode: paused` in the accepted document, {_LEFT} Containers go on running; agents"
    " change nothing.",
)
@documents.command(
    "resume",
    short_help="Let the agents go on.",
    help=f"Set `x-cluster.policy.mode: enforce` in the accepted document, {_LEFT}",
)
def set_mode(
    context: typer.Context,
    *,
    config: ConfigOption = None,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    yes: YesOption = False,
    message: MessageOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Set the mode that the name of the command says."""
    from agent.cli import verbs

    wish = verbs.Wish(command=context.info_name or "", ask=not yes, message=message, output=output)
    with _connected(config, endpoint, cluster) as connection:
        raise typer.Exit(
            verbs.set_mode(connection, wish, "paused" if context.info_name == "pause" else "enforce")
        )


@documents.command(short_help="Spread the replicas of services evenly again.")
def rebalance(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SERVICE...]", help=_SERVICES_HELP, autocompletion=_SERVICES),
    ] = None,
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Show the plan alone.")] = False,
    config: ConfigOption = None,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    yes: YesOption = False,
    message: MessageOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Move replicas until the hosts have equally many of a service, or one more, as far as placement allows it.

    Sets `x-rebalanced-at` of the services in the accepted document. For each time that is new there, the leader moves
    the fewest replicas that it takes, one of a service at a time, as off a drained host.
    """
    from agent.cli import verbs

    command = " ".join(("rebalance", *(services or ())))
    wish = verbs.Wish(command=command, ask=not yes, message=message, output=output, plan_only=plan)
    with _connected(config, endpoint, cluster) as connection:
        raise typer.Exit(verbs.rebalance(connection, wish, services or ()))


@documents.command(short_help="Confirm the edit that waits.")
def confirm(
    token: Annotated[str, typer.Argument(metavar="[TOKEN]", help="The token of the verdict.")] = "",
    *,
    config: ConfigOption = None,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    yes: YesOption = False,
    message: MessageOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Put the newest document, which `deletion_guard` stops, again with its token. --yes needs the token."""
    from agent.cli import verbs

    wish = verbs.Wish(command="confirm", ask=not yes, message=message, output=output)
    with _connected(config, endpoint, cluster) as connection:
        raise typer.Exit(verbs.confirm(connection, wish, token))


@documents.command(short_help="Edit the accepted document in $EDITOR.")
def edit(
    *,
    config: ConfigOption = None,
    endpoint: EndpointOption = None,
    cluster: ClusterOption = None,
    yes: YesOption = False,
    confirm: TokenOption = "",
    message: MessageOption = "",
    show_secrets: SecretsOption = False,
) -> None:
    """Open the accepted document in $VISUAL, $EDITOR or vi; then check it, show its plan, and apply it.

    A text that is not applied stays in a file.
    """
    from agent.cli import verbs
    from agent.cli.apply import confirming

    wish = verbs.Wish(
        command=confirming("", config, endpoint, cluster, command="edit"),
        ask=not yes,
        message=message,
        confirm=confirm,
        show_secrets=show_secrets,
    )
    with _connected(config, endpoint, cluster) as connection:
        raise typer.Exit(verbs.edit(connection, wish))
