"""The commands on the accepted document and on earlier ones. agent.cli.app adds them to the others."""

import inspect
from typing import Annotated, Any

import typer

from agent.cli.completion import names_of
from agent.cli.options import (
    Access,
    Change,
    MessageOption,
    PlanOption,
    SecretsOption,
    SinceOption,
    TokenOption,
    YesOption,
)
from agent.cli.output import Output, OutputOption

# ruff: noqa: PLC0415 - as in agent.cli.app

documents = typer.Typer()


_REVISIONS = names_of("revision")
Revision = Annotated[
    int | None,
    typer.Argument(
        metavar="[REVISION]", min=1, help="One of `history`.", show_default=False, autocompletion=_REVISIONS
    ),
]
_A_HELP = "A file, - for standard input, or a revision."


@documents.command(short_help="List the last documents and what became of each.")
def history(*, at: Access, output: OutputOption = Output.TABLE) -> None:
    """List the last 50 documents, the newest first: when, who, and what became of each. * is the accepted one."""
    from agent.cli.history import show_history

    with at.connected() as connection:
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
    at: Access,
    output: OutputOption = Output.TABLE,
) -> None:
    """List conditions that came, changed and went, documents, elections and orders of leaders, the oldest first.

    etcd keeps the last 64 kB of them. Times are of the leader's clock. What hosts did is in their journals.
    """
    from agent.cli.events import show_events

    with at.connected() as connection:
        show_events(connection, output, names or (), since=since, follow=follow)


@documents.command(short_help="Print the accepted document.")
def get(revision: Revision = None, *, at: Access) -> None:
    """Print the accepted document, or an earlier one, byte for byte, with its secrets."""
    from agent.cli import verbs

    with at.connected() as connection:
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
    at: Access,
    output: OutputOption = Output.TABLE,
    show_secrets: SecretsOption = False,
) -> None:
    """Show what differs by meaning from A to B, without comments, quotes and order.

    A alone is compared with the accepted document: a file as what would follow it, a revision as what was before it.
    Without A, the document to which `rollback` would return is compared with the accepted one. Two files need no etcd.
    The exit code is 0 whether or not they differ.
    """
    from agent.cli.history import chosen, show_differences

    names, raws = chosen(at.connected(), before, after)
    show_differences(names, raws, output, show_secrets=show_secrets)


@documents.command(short_help="Put an earlier document again.")
def rollback(
    revision: Revision = None,
    *,
    plan: PlanOption = False,
    at: Access,
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
        command=confirming(str(revision or ""), *at.named, command="rollback"),
        ask=not yes,
        message=message,
        confirm=confirm,
        output=output,
        show_secrets=show_secrets,
        plan_only=plan,
    )
    with at.connected() as connection:
        raise typer.Exit(verbs.rollback(connection, wish, revision))


_LEFT = "and leave the rest of its text as it is."
_VERBS = (
    ("drain", "HOST...", "Move the replicas off hosts.",
     (f"Set `availability: drain` of hosts in the accepted document, {_LEFT}\n\nChange your file too: the next"
     " `apply` of a file without it ends the drain, and says so.")),
    ("undrain", "HOST...", "Let hosts have replicas again.",
     f"Set `availability: active` of hosts in the accepted document, {_LEFT}"),
    ("pause", "", "Stop the agents from changing anything.",
     (f"Set `x-cluster.policy.mode: paused` in the accepted document, {_LEFT} Containers go on running; agents change"
     " nothing.")),
    ("resume", "", "Let the agents go on.",
     f"Set `x-cluster.policy.mode: enforce` in the accepted document, {_LEFT}"),
    ("rebalance", "[SERVICE...]", "Spread the replicas of services evenly again.",
     ("Move replicas until the hosts have equally many of a service, or one more, as far as placement allows it."
     " Without SERVICE, of every uneven one.\n\nSets `x-rebalanced-at` of the services in the accepted document. For"
     " each time that is new there, the leader moves the fewest replicas that it takes, one of a service at a time, as"
     " off a drained host.")),
    ("handover", "[HOST]", "Make another host the leader.",
     ("Make HOST the leader, or another manager that reports, and wait for that. No replica is touched.\n\nSets"
     " `x-cluster.policy.handover` in the accepted document. For each time that is new there, the leader ends its work"
     " and releases its lock for that host. After 10 s any manager may take it.")),
)  # fmt: skip
"""(name, argument, short help, help) of the commands that change some values of the accepted document."""


def _add_verb(name: str, metavar: str, short_help: str, text: str) -> None:
    """Add a command of `_VERBS`."""
    needs_one: Any = ... if metavar == "HOST..." else None
    complete = names_of("service" if name == "rebalance" else "host")

    def command(
        names: Annotated[
            list[str] | None,
            typer.Argument(metavar=metavar, help="In the document.", autocompletion=complete),
        ] = needs_one,
        *,
        plan: PlanOption = False,
        no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the leader.")] = False,
        at: Change,
    ) -> None:
        from agent.cli import verbs

        line = " ".join((name, *(names or ())))
        wish = at.wish(line, plan_only=plan, wait=not no_wait)
        with at.connected() as connection:
            raise typer.Exit(verbs.VERBS[name](connection, wish, names or ()))

    if not metavar:
        takes = inspect.signature(command)
        vars(command)["__signature__"] = takes.replace(parameters=[*takes.parameters.values()][1:])
    documents.command(name, short_help=short_help, help=text)(command)


for _each in _VERBS:
    _add_verb(*_each)


@documents.command(short_help="Confirm the edit that waits.")
def confirm(
    token: Annotated[str, typer.Argument(metavar="[TOKEN]", help="The token of the verdict.")] = "",
    *,
    at: Change,
) -> None:
    """Put the newest document, which `deletion_guard` stops, again with its token. --yes needs the token."""
    from agent.cli import verbs

    with at.connected() as connection:
        raise typer.Exit(verbs.confirm(connection, at.wish("confirm"), token))


@documents.command(short_help="Edit the accepted document in $EDITOR.")
def edit(
    *,
    at: Access,
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
        command=confirming("", *at.named, command="edit"),
        ask=not yes,
        message=message,
        confirm=confirm,
        show_secrets=show_secrets,
    )
    with at.connected() as connection:
        raise typer.Exit(verbs.edit(connection, wish))
