"""`get`, `edit`, `rollback`, and the verbs that change one value of the accepted document."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from pathlib import Path

import typer

from agent.cli.apply import Order, run_apply
from agent.cli.connect import Connection
from agent.cli.document_diff import show_differences
from agent.cli.history import document_at, read_history
from agent.cli.output import Output
from agent.cli.plan import show_plan, with_document
from agent.cli.validate import painted
from agent.errors import Invalid
from agent.intent.guard import guarding
from agent.intent.rewrite import rewritten
from agent.model.observed import ClusterState
from agent.model.phrases import first_of

_MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options that all verbs have."""

    command: str
    """The command line, with `{}` for the token of a guarded edit."""
    ask: bool = True
    message: str = ""
    confirm: str = ""
    output: Output = Output.TABLE
    show_secrets: bool = False


def get(connection: Connection, revision: int | None) -> None:
    """Print the accepted document, or that of a revision, byte for byte. Raises Invalid if there is none."""
    history = read_history(connection)
    if revision is None and history.accepted is None:
        raise Invalid("no document is accepted: apply one; `swarmkeeper history` lists those that were put")
    at = revision if revision is not None else history.accepted.revision if history.accepted else 0
    text, unproven = document_at(connection, history, at)
    if unproven:
        typer.echo(painted(f"warning: {unproven}", "yellow"), err=True)
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def rollback(connection: Connection, wish: Wish, revision: int | None, *, plan_only: bool) -> int:
    """Put an earlier document again, after its plan and a question; return the exit code of `apply`."""
    history = read_history(connection)
    at = history.before().revision if revision is None else revision
    text, unproven = document_at(connection, history, at)
    name = f"revision {at}"
    quiet = wish.output.is_data
    if unproven:
        typer.echo(painted(f"warning: {unproven}: read what it changes", "yellow"), err=True)
    if not quiet and history.accepted:
        typer.echo(f"From revision {history.accepted.revision}, the accepted one, to {name}:")
        raws = history.accepted.document.encode(), text.encode()
        names = f"revision {history.accepted.revision}", name
        show_differences(names, raws, Output.TABLE, show_secrets=wish.show_secrets)
        typer.echo()
    if plan_only:
        planned = with_document(connection.read(), name, text.encode())
        show_plan(planned, output=wish.output, show_secrets=wish.show_secrets, confirming=wish.command)
        return 0
    wish = replace(wish, message=wish.message or f"rollback to {name}")
    return run_apply(connection, _order(wish, name, text.encode(), history.newest))


def _order(wish: Wish, name: str, raw: bytes, over: int) -> Order:
    return Order(
        name=name,
        raw=raw,
        ask=wish.ask,
        confirm=wish.confirm,
        command=wish.command,
        output=wish.output,
        show_secrets=wish.show_secrets,
        message=wish.message,
        over=over,
    )


# ---- Verbs that change one value


def drain(connection: Connection, wish: Wish, hosts: Sequence[str], availability: str) -> int:
    """Set the availability of hosts. Raises Invalid for a host that the document does not declare."""
    cluster = connection.read()
    declared = [each.name for each in cluster.accepted.hosts] if cluster.accepted else []
    if unknown := [each for each in hosts if each not in declared]:
        names = ", ".join(first_of(declared, _MOST_NAMED, "{} more")) or "no host"
        raise Invalid(f"the accepted document does not declare {', '.join(unknown)}: it declares {names}")
    paths = [("x-cluster", "hosts", each, "availability") for each in hosts]
    return _change(connection, cluster, wish, paths, availability)


def set_mode(connection: Connection, wish: Wish, mode: str) -> int:
    """Set `x-cluster.policy.mode`."""
    return _change(connection, connection.read(), wish, [("x-cluster", "policy", "mode")], mode)


def _change(
    connection: Connection, cluster: ClusterState, wish: Wish, paths: Iterable[tuple[str, ...]], value: str
) -> int:
    text, newest = _accepted_text_of(cluster)
    raw = text.encode()
    for path in paths:
        raw = rewritten(raw, path, value)
    wish = replace(wish, message=wish.message or wish.command.partition(" --confirm {}")[0])
    if not wish.output.is_data:
        if newest != (cluster.accepted.revision if cluster.accepted else 0):
            waits = f"revision {newest} is not accepted: this changes the accepted document, and replaces that one"
            typer.echo(painted(f"warning: {waits}", "yellow"))
        _show_lines(text, raw.decode())
    order = _order(wish, "the accepted document", raw, newest)
    return run_apply(connection, replace(order, intended=True))


def _accepted_text_of(cluster: ClusterState) -> tuple[str, int]:
    """Return the accepted document, and the revision of the newest one. Raises Invalid if there is none."""
    if cluster.accepted is None or cluster.document is None:
        raise Invalid("no document is accepted: apply one")
    return cluster.accepted_text, cluster.document.revision


def _show_lines(before: str, after: str) -> None:
    """Print the changed lines alone: those around them may have secrets."""
    lines = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    for each in [*lines][2:]:
        colour = {"-": "red", "+": "green"}.get(each[0], "cyan")
        typer.echo(painted(each, colour))
    typer.echo()


def confirm(connection: Connection, wish: Wish, token: str) -> int:
    """Put the newest document again with the token that it waits for. Raises Invalid if it waits for none."""
    cluster = connection.read()
    guarded = guarding(cluster)
    if guarded is None or cluster.document is None:
        raise Invalid("the newest document waits for no confirmation: see `swarmkeeper status`")
    needed, removed = guarded
    if token and token != needed:
        raise Invalid(f"{token} does not confirm this edit, which removes {removed}; its token is {needed}")
    if not token and not wish.ask:
        raise Invalid(
            f"--yes needs the token, as nobody reads what is removed: {removed}; the token is {needed}"
        )
    if not wish.output.is_data:
        typer.echo(painted(f"This edit removes {removed}.", "yellow"))
    name = f"revision {cluster.document.revision}"
    order = _order(wish, name, cluster.document.text.encode(), cluster.document.revision)
    return run_apply(connection, replace(order, confirm=needed))


# ---- The whole document in an editor


def edit(connection: Connection, wish: Wish) -> int:
    """Open the accepted document in the operator's editor, and apply what comes back.

    Whatever fails after the editor ended, the edited text stays in a file, which the error names.
    """
    text, newest = _accepted_text_of(connection.read())
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    descriptor, name = tempfile.mkstemp(prefix="swarmkeeper-", suffix=".yaml")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
        ended = subprocess.run([*shlex.split(editor), name], check=False).returncode  # noqa: S603 - the operator's own
        if ended:
            raise Invalid(f"{editor} ended with {ended}; nothing was applied")
        raw = path.read_bytes()
        if raw == text.encode():
            typer.echo("The document was not changed.")
            path.unlink()
            return 0
        names = "the accepted document", "your edit"
        show_differences(names, (text.encode(), raw), Output.TABLE, show_secrets=wish.show_secrets)
        code = run_apply(connection, replace(_order(wish, name, raw, newest), intended=True))
    except BaseException:
        typer.echo(f"Your text is in {name}.", err=True)
        raise
    if code:
        typer.echo(f"Your text is in {name}.", err=True)
    else:
        path.unlink()
    return code
