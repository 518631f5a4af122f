"""`history`, and the text of an earlier document for `get`, `diff` and `rollback`."""

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import typer

from agent.cli import STDIN
from agent.cli.connect import Connection, refuse_unknown
from agent.cli.layout import Column, table, terminal, text
from agent.cli.output import Output, print_data
from agent.cli.validate import painted
from agent.errors import Compacted, Invalid
from agent.intent.document_diff import differences, meaning
from agent.model.history import History, Kept
from agent.model.observed import ClusterState
from agent.model.phrases import MISUSED, short_id, shorten
from agent.model.records import Verdict
from agent.observe import look

VERSION = 1
"""Version of the JSON of `history`."""
DIFF_VERSION = 1
"""Version of the JSON of `diff`."""


def refuse_unjudged(newest: int, accepted: int, refusal: Verdict | None) -> None:
    """Raise Invalid if the newest document has no verdict: one that is put over it would let it be lost."""
    if newest not in (0, accepted) and not refusal:
        raise Invalid(
            f"revision {newest}, the newest document, has no verdict yet, and this command would replace it:"
            " wait for the verdict (`swarmkeeper status`), or start the agents that may lead"
        )


def read_history(connection: Connection) -> History:
    """Read what etcd keeps of the last documents.

    Raises Invalid, with the existing ones, if etcd has no such cluster; Unreachable, Refused.
    """
    history = look.read_history(connection.store, connection.keys)
    if not history.kept:
        refuse_unknown(connection.store, connection.keys, ClusterState(revision=0))
    return history


def document_at(connection: Connection, history: History, revision: int) -> tuple[str, str]:
    """Return the document of a revision, and a warning if etcd's own history cannot prove it; "" if it does.

    Raises Invalid if nothing has it, if etcd's history has another one at that revision, or one that is not UTF-8.
    """
    kept = next((each for each in history.kept if each.revision == revision), None)
    text_kept, problem = None, f"the history has no revision {revision}: see `swarmkeeper history`"
    if history.accepted and history.accepted.revision == revision:
        text_kept = history.accepted.document
    elif kept and kept.entry:
        try:
            text_kept = kept.entry.text()
        except Invalid as error:
            problem = str(error)
    elif kept and kept.problem:
        problem = f"the entry of revision {revision} is unreadable: {kept.problem}"
    try:
        proven = connection.store.read_at(connection.keys.intent, revision)
    except Compacted:
        if text_kept is None:
            raise Invalid(f"{problem}; etcd has compacted that revision") from None
        return (
            text_kept,
            f"etcd has compacted revision {revision}: only the agents show that an operator put this",
        )
    if proven is None or proven.mod_revision != revision:
        raise Invalid(
            f"no operator put a document at revision {revision}; {problem if text_kept is None else MISUSED}"
        )
    if text_kept is not None and text_kept.encode() != proven.value:
        raise Invalid(
            f"the history has another document at revision {revision} than the operator put: {MISUSED}"
        )
    try:
        return proven.value.decode(), ""
    except UnicodeDecodeError as error:  # with other characters in their place, it would be another document
        at = f"byte {error.start} (0x{proven.value[error.start]:02x})"
        raise Invalid(
            f"the document of revision {revision} is not UTF-8: {at}; see `swarmkeeper history` for others"
        ) from None


def _is_revision(operand: str) -> bool:
    return operand.isascii() and operand.isdecimal() and len(operand) < 19  # noqa: PLR2004 - as in etcd


def _file(operand: str) -> tuple[str, bytes]:
    try:
        return (STDIN, sys.stdin.buffer.read()) if operand == "-" else (operand, Path(operand).read_bytes())
    except OSError as error:
        raise typer.BadParameter(f"{operand!r} is no revision, and as a file: {error.strerror}") from error


def chosen(
    connecting: AbstractContextManager[Connection], before: str | None, after: str | None
) -> tuple[tuple[str, str], tuple[bytes, bytes]]:
    """Return the names and the texts of the documents that `diff` compares. It connects unless both are files.

    Raises BadParameter for a file that cannot be read; Invalid, Unreachable, Refused.
    """
    if before == after == "-":
        raise typer.BadParameter("standard input can be one of the two documents only")
    if before and after and not _is_revision(before) and not _is_revision(after):
        pair = _file(before), _file(after)
    else:
        with connecting as connection:
            pair = _from_etcd(connection, before, after)
    (one, first), (other, second) = pair
    return (one, other), (first, second)


def _from_etcd(
    connection: Connection, before: str | None, after: str | None
) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    history = read_history(connection)

    def of(operand: str) -> tuple[str, bytes]:
        if not _is_revision(operand):
            return _file(operand)
        found, unproven = document_at(connection, history, int(operand))
        if unproven:
            typer.echo(f"warning: {unproven}", err=True)
        return f"revision {operand}", found.encode()

    if before and after:
        return of(before), of(after)
    if history.accepted is None:
        raise Invalid("no document is accepted to compare with: name two")
    accepted = f"revision {history.held}", history.accepted.document.encode()
    earlier = before or str(history.before().revision)
    # A file is what may come next; a revision was before.
    return (of(earlier), accepted) if _is_revision(earlier) else (accepted, of(earlier))


def show_differences(
    names: tuple[str, str], raws: tuple[bytes, bytes], output: Output, *, show_secrets: bool = False
) -> bool:
    """Print what differs from the first document to the second; True if something does. Raises Invalid."""
    before, after = (meaning(name, raw) for name, raw in zip(names, raws, strict=True))
    found = differences(before, after, show_secrets=show_secrets)
    if output.is_data:
        changes = [each._asdict() for each in found]
        print_data({"version": DIFF_VERSION, "from": names[0], "to": names[1], "changes": changes}, output)
        return bool(found)
    colours = {"added": "green", "removed": "red"}
    for each in found:
        typer.echo(painted(each, colours.get(each.what)))
    if not found:
        same = "are the same text" if raws[0] == raws[1] else "mean the same"
        typer.echo(f"{names[0]} and {names[1]} {same}.")
    return bool(found)


# ---- As table and as data


def show_history(connection: Connection, output: Output) -> None:
    """Print the documents, the newest first."""
    history = read_history(connection)
    if output.is_data:
        print_data({"version": VERSION, "documents": [_as_data(each) for each in history.kept]}, output)
        return
    if not history.kept:
        typer.echo("etcd has no document and no history.")
    wide = output is Output.WIDE
    for line in table(_columns(history.kept, wide=wide), None if wide else terminal()[1]):
        typer.echo(line.plain.rstrip())


def _as_data(kept: Kept) -> dict[str, Any]:
    entry = kept.entry
    return {
        "revision": kept.revision,
        "at": entry.at if entry else "",
        "author": kept.by.author,
        "message": kept.by.message,
        "sha256": entry.sha256 if entry else "",
        "size": entry.size if entry else 0,
        "accepted": kept.is_accepted,
        "result": kept.result,
        "after_s": kept.after_s,
        "why": kept.why,
        "outcomes": {name: {"at": each.at, "why": each.why} for name, each in kept.events.items()},
    }


def _columns(kept: Iterable[Kept], *, wide: bool) -> list[Column]:
    rows = [_row(each, wide=wide) for each in kept]
    heads = ("Revision", "Time", "Author", "Hash", "Outcome", "Message")
    omit, least = {"Author": 1, "Hash": 2}, {"Author": 10, "Outcome": 24, "Message": 10}
    return [
        Column(
            head=head, cells=[text(row[n]) for row in rows], omit=omit.get(head, 0), least=least.get(head, 0)
        )
        for n, head in enumerate(heads)
    ]


def _row(kept: Kept, *, wide: bool) -> tuple[str, ...]:
    entry, after = kept.entry, kept.after_s
    cut = (lambda each: each) if wide else shorten
    outcome = kept.result.replace("-", " ") + (f" after {after:.0f} s" if after else "")
    return (
        f"{kept.revision}{' *' if kept.is_accepted else ''}",
        entry.at if entry else "",
        cut(kept.by.author or ("unknown" if entry else "")),
        short_id(entry.sha256) if entry else "",
        cut(f"{outcome}: {kept.why}" if kept.why else outcome),
        cut(kept.by.message),
    )
