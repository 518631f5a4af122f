"""`history`, and the text of an earlier document for `get`, `diff` and `rollback`."""

import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import typer

from agent.cli import STDIN
from agent.cli.connect import Connection, refuse_unknown
from agent.cli.layout import Column, table, terminal, text
from agent.cli.output import Output, print_data
from agent.errors import Compacted, Invalid
from agent.model.history import OUTCOMES, Entry, Event, Note, Outcome, note_of
from agent.model.observed import ClusterState
from agent.model.phrases import MISUSED, short_id, shorten
from agent.model.records import Accepted, Verdict, decode, seconds_of
from agent.model.store import KeyRange, Snapshot

VERSION = 1
"""Version of the JSON of `history`."""

_NO_NOTE = Note(author="")

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A document in the history."""

    revision: int
    entry: Entry | None = None
    """None: it is unreadable, or no leader has written it yet."""
    problem: str = ""
    """Reason why the entry is unreadable."""
    note: Note = _NO_NOTE
    """Author and message of the newest document."""
    events: Mapping[Outcome, Event] = field(default_factory=dict)
    newest: bool = False
    is_accepted: bool = False

    @property
    def by(self) -> Entry | Note:
        """Return the record that has the author and the message."""
        return self.entry or self.note

    @property
    def result(self) -> str:
        """The outcome of the document, in one word or two, as in JSON."""
        if self.entry is None:
            return "unreadable" if self.problem else "under way" if self.is_accepted else "not judged"
        if self.events:
            return max(self.events, key=lambda each: seconds_of(self.events[each].at) or 0.0)
        # A later verdict on the same document, as after another report, changes no entry.
        if self.entry.result == "accepted" or self.is_accepted:
            return "under way" if self.is_accepted else "replaced"
        return "replaced" if self.entry.result == "waits" and not self.newest else self.entry.result

    @property
    def why(self) -> str:
        event = self.events.get(self.result) if self.result in OUTCOMES else None
        of_entry = self.entry.why if self.entry and not self.is_accepted else ""
        return event.why if event else self.problem or of_entry

    @property
    def after_s(self) -> float | None:
        """Seconds from the entry to the outcome; None: there is no outcome."""
        event = self.events.get(self.result) if self.result in OUTCOMES else None
        begin, end = (seconds_of(each.at) if each else None for each in (self.entry, event))
        return None if begin is None or end is None else max(end - begin, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The documents that are kept, the newest first, and those that etcd has now."""

    kept: tuple[Kept, ...]
    accepted: Accepted | None
    newest: int
    """Revision of the newest document; 0: there is none."""
    refusal: Verdict | None = None
    """The verdict that refuses the newest document or lets it wait; None: there is none."""

    @property
    def held(self) -> int:
        """Revision of the accepted document; 0: there is none."""
        return self.accepted.revision if self.accepted else 0

    def before(self) -> Kept:
        """Return the document to roll back to: the accepted one if the newest is refused or waits.

        Else the last one that was carried out before the accepted one.

        Raises Invalid if there is none.
        """
        held = self.held
        hashes = {each.revision: each.entry.sha256 for each in self.kept if each.entry}
        for each in self.kept:
            refused = self.refusal and each.revision == held
            earlier = each.revision < held and each.entry and each.entry.sha256 != hashes.get(held)
            if refused or (earlier and "carried-out" in each.events):
                return each
        raise Invalid(
            "the history has no earlier document that was carried out: name one of `swarmkeeper history`"
        )


def refuse_unjudged(newest: int, accepted: int, refusal: Verdict | None) -> None:
    """Raise Invalid if the newest document has no verdict: one that is put over it would let it be lost."""
    if newest not in (0, accepted) and not refusal:
        raise Invalid(
            f"revision {newest}, the newest document, has no verdict yet, and this command would replace it:"
            " wait for the verdict (`swarmkeeper status`), or start the agents that may lead"
        )


def read_history(connection: Connection) -> History:
    """Read what etcd keeps of the last documents. An unreadable entry hides no other.

    Raises Invalid, with the existing ones, if etcd has no such cluster; Unreachable, Refused.
    """
    keys = connection.keys
    single = keys.intent, keys.note, keys.accepted, keys.verdict
    found = connection.store.read(
        [*(KeyRange(key=each) for each in single), KeyRange(key=keys.history, prefix=True)]
    )
    if not found.values:
        refuse_unknown(connection.store, keys, ClusterState(revision=found.revision))
    accepted, _ = _record(found, keys.accepted, Accepted)
    verdict, _ = _record(found, keys.verdict, Verdict)
    document, note = found.get(keys.intent), note_of(found, keys) or _NO_NOTE
    newest = document.mod_revision if document else 0
    names = [each.key.removeprefix(keys.history).partition("/")[0] for each in found.under(keys.history)]
    revisions = {int(each) for each in names if each.isascii() and each.isdigit() and len(each) < 20}  # noqa: PLR2004
    kept = []
    held = {each for each in (newest, accepted.revision if accepted else 0) if each}
    for revision in sorted(revisions | held, reverse=True):
        entry, problem = _record(found, f"{keys.history}{revision}", Entry)
        if entry is not None and entry.revision != revision:
            problem, entry = f"it is of revision {entry.revision}", None
        events = {each: _record(found, f"{keys.history}{revision}/{each}", Event)[0] for each in OUTCOMES}
        kept.append(
            Kept(
                revision=revision,
                entry=entry,
                problem=problem,
                events={name: each for name, each in events.items() if each},
                note=note if revision == newest else _NO_NOTE,
                newest=revision == newest,
                is_accepted=accepted is not None and revision == accepted.revision,
            )
        )
    refused = verdict and verdict.revision == newest and not verdict.accepted
    return History(kept=tuple(kept), accepted=accepted, newest=newest, refusal=verdict if refused else None)


def _record(found: Snapshot, key: str, kind: type[R]) -> tuple[R | None, str]:
    """Return the record at a key and "", or None and why it is unreadable; "" if there is none."""
    value = found.get(key)
    try:
        return (decode(kind, value.value) if value else None), ""
    except Invalid as error:
        return None, shorten(str(error))


def document_at(connection: Connection, history: History, revision: int) -> tuple[str, str]:
    """Return the document of a revision, and a warning if etcd's own history cannot prove it; "" if it does.

    Raises Invalid if nothing has it, or if etcd's history has another one at that revision.
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
    return proven.value.decode(errors="replace"), ""


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
    omit, least = {"Author": 1, "Hash": 2}, {"Author": 10, "Outcome": 20, "Message": 10}
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
