"""`history`, and the text of an earlier document for `get`, `diff` and `rollback`."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import typer

from agent.cli import STDIN
from agent.cli.connect import Connection
from agent.cli.layout import Column, table, text
from agent.cli.output import Output, print_data
from agent.errors import Compacted, Invalid
from agent.model.history import OUTCOMES, Entry, Event, Outcome
from agent.model.phrases import MISUSED, short_id, shorten
from agent.model.records import Accepted, decode, seconds_of
from agent.model.store import KeyRange, Snapshot

VERSION = 1
"""Version of the JSON of `history`."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A document in the history."""

    revision: int
    entry: Entry | None = None
    """None: it is unreadable, or no leader has written it yet."""
    problem: str = ""
    """Reason why the entry is unreadable."""
    events: Mapping[Outcome, Event] = field(default_factory=dict)
    newest: bool = False
    is_accepted: bool = False

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
    newest_text: str = field(repr=False)

    def before(self) -> Kept:
        """Return the document to roll back to: the accepted one if the newest is not, else the last carried out before.

        Raises Invalid if there is none.
        """
        held = self.accepted.revision if self.accepted else 0
        hashes = {each.revision: each.entry.sha256 for each in self.kept if each.entry}
        for each in self.kept:
            refused = each.revision == held != self.newest
            earlier = each.revision < held and each.entry and each.entry.sha256 != hashes.get(held)
            if refused or (earlier and "carried-out" in each.events):
                return each
        raise Invalid(
            "the history has no earlier document that was carried out: name one of `swarmkeeper history`"
        )


def read_history(connection: Connection) -> History:
    """Read what etcd keeps of the last documents. An unreadable entry hides no other. Raises Unreachable, Refused."""
    keys = connection.keys
    ranges = KeyRange(key=keys.intent), KeyRange(key=keys.accepted), KeyRange(key=keys.history, prefix=True)
    found = connection.store.read(ranges)
    accepted, _ = _record(found, keys.accepted, Accepted)
    document = found.get(keys.intent)
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
                newest=revision == newest,
                is_accepted=accepted is not None and revision == accepted.revision,
            )
        )
    raw = document.value if document else b""
    return History(
        kept=tuple(kept), accepted=accepted, newest=newest, newest_text=raw.decode(errors="replace")
    )


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


def chosen(
    connection: Connection, before: str | None, after: str | None
) -> tuple[tuple[str, str], tuple[bytes, bytes]]:
    """Return the names and the texts of the documents that `diff` compares. Raises Invalid, Unreachable, OSError."""
    history = read_history(connection)

    def of(operand: str) -> tuple[str, bytes]:
        if operand.isdecimal():
            found, unproven = document_at(connection, history, int(operand))
            if unproven:
                typer.echo(f"warning: {unproven}", err=True)
            return f"revision {operand}", found.encode()
        return operand, sys.stdin.buffer.read() if operand == STDIN else Path(operand).read_bytes()

    if before and after:
        pair = of(before), of(after)
    else:
        if history.accepted is None:
            raise Invalid("no document is accepted to compare with: name two")
        accepted = f"revision {history.accepted.revision}", history.accepted.document.encode()
        earlier = before or str(history.before().revision)
        # A file is what may come next; a revision was before.
        pair = (of(earlier), accepted) if earlier.isdecimal() else (accepted, of(earlier))
    (one, first), (other, second) = pair
    return (one, other), (first, second)


# ---- As table and as data


def show_history(connection: Connection, output: Output) -> None:
    """Print the documents, the newest first."""
    history = read_history(connection)
    if output.is_data:
        print_data({"version": VERSION, "documents": [_as_data(each) for each in history.kept]}, output)
        return
    if not history.kept:
        typer.echo("etcd has no document and no history.")
    for line in table(_columns(history.kept, wide=output is Output.WIDE), None):
        typer.echo(line.plain.rstrip())


def _as_data(kept: Kept) -> dict[str, Any]:
    entry = kept.entry
    return {
        "revision": kept.revision,
        "at": entry.at if entry else "",
        "author": entry.author if entry else "",
        "message": entry.message if entry else "",
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
    return [Column(head=head, cells=[text(row[n]) for row in rows]) for n, head in enumerate(heads)]


def _row(kept: Kept, *, wide: bool) -> tuple[str, ...]:
    entry, after = kept.entry, kept.after_s
    cut = (lambda each: each) if wide else shorten
    outcome = kept.result.replace("-", " ") + (f" after {after:.0f} s" if after else "")
    return (
        f"{kept.revision}{' *' if kept.is_accepted else ''}",
        entry.at if entry else "",
        cut((entry.author if entry else "") or "unknown"),
        short_id(entry.sha256) if entry else "",
        cut(f"{outcome}: {kept.why}" if kept.why else outcome),
        cut(entry.message if entry else ""),
    )
