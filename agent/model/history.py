"""The history of documents: what etcd keeps of each document that a leader judged, and what became of it.

An entry is at `history/<revision>`. The outcomes of an accepted document are at `history/<revision>/<outcome>`, so that
a leader knows from the names alone what is written: no content of a key can stop it.
"""

import re
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import field
from hashlib import sha256
from typing import Literal, get_args

from agent.errors import Invalid
from agent.model import Frozen
from agent.model.keys import Keys
from agent.model.records import Accepted, Verdict, decode, expanded, seconds_of
from agent.model.store import Snapshot

Outcome = Literal["carried-out", "paused", "rolled-back"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

MOST_DOCUMENTS = 50
LARGEST_NOTE = 20_000
"""Bytes of a note that is read."""
MOST_BYTES = 160_000
"""Compressed bytes of a document that is kept: 8 MB in all. Of a larger one only the rest of its entry is kept."""
MOST_EXPANDED = 1_400_000
"""Bytes of the largest document (agent.yamldoc.MAX_BYTES). Of an entry that has more the rest is not expanded."""
LONGEST_MESSAGE = 500
"""Characters of a message, of an author, and of a reason."""

_REVISION = re.compile(r"[1-9][0-9]{0,18}")


class Note(Frozen):
    """Author and message of a document. It counts if it was written in one transaction with the document."""

    author: str
    message: str = ""


class Entry(Frozen):
    """A judged document. `at` is when the leader wrote the entry, in RFC 3339."""

    revision: int
    at: str
    result: Literal["accepted", "waits", "refused"]
    why: str = ""
    """The first error of the verdict; empty: the document is accepted."""
    author: str = ""
    """Empty: not known, as after a plain `etcdctl put`."""
    message: str = ""
    sha256: str = ""
    """Of the text, as sha256sum prints it; empty: the document is no UTF-8, or has more bytes than any may have."""
    size: int = 0
    """Bytes of the text."""
    document: bytes = field(default=b"", repr=False)
    """The text, compressed with zlib; empty: it is too large to be kept."""

    def text(self) -> str:
        """Return the document. Raises Invalid if it was not kept, or is not the one that the entry describes."""
        if not self.document:
            raise Invalid(f"revision {self.revision} was too large, or no text, and only its entry was kept")
        try:
            text = expanded(self.document, MOST_EXPANDED).decode()
        except (Invalid, UnicodeDecodeError) as error:
            raise Invalid(f"the document of revision {self.revision} is damaged: {error}") from error
        if sha256(text.encode()).hexdigest() != self.sha256:
            raise Invalid(f"the document of revision {self.revision} is damaged: its hash is another one")
        return text


class Event(Frozen):
    """An outcome of an accepted document. `at` is when the leader saw it, in RFC 3339."""

    at: str
    why: str = ""


NO_NOTE = Note(author="")


class Kept(Frozen):
    """A document in the history."""

    revision: int
    entry: Entry | None = None
    """None: it is unreadable, or no leader has written it yet."""
    problem: str = ""
    """Reason why the entry is unreadable."""
    note: Note = NO_NOTE
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


class History(Frozen):
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


def note_of(snapshot: Snapshot, keys: Keys) -> Note | None:
    """Return the note of the newest document. One that is unreadable, or of another document, is none."""
    found, document = snapshot.get(keys.note), snapshot.get(keys.intent)
    if not found or not document or found.mod_revision != document.mod_revision:
        return None
    with suppress(Invalid):  # it is for people: no note of a newer version may stop a leader
        return decode(Note, found.value) if len(found.value) <= LARGEST_NOTE else None
    return None


def entry_of(verdict: Verdict, text: str, note: Note | None, at: str) -> Entry:
    """Return the entry of a document that has its verdict. `text` is empty if the document is no text."""
    raw = text.encode()
    packed = zlib.compress(raw, 9) if raw else b""
    result: Literal["accepted", "waits", "refused"] = "waits" if verdict.confirm else "refused"
    return Entry(
        revision=verdict.revision,
        at=at,
        result="accepted" if verdict.accepted else result,
        why=verdict.errors[0][:LONGEST_MESSAGE] if verdict.errors else "",
        author=note.author[:LONGEST_MESSAGE] if note else "",
        message=note.message[:LONGEST_MESSAGE] if note else "",
        sha256=sha256(raw).hexdigest() if raw else "",
        size=len(raw),
        document=packed if len(packed) <= MOST_BYTES else b"",
    )


def outcomes_by_revision(names: Iterable[str]) -> Mapping[int, frozenset[Outcome]]:
    """Return the outcomes of each entry, by the names below `history/`. A name of another form is left out."""
    found: dict[int, set[Outcome]] = {}
    for each in names:
        revision, _, outcome = each.partition("/")
        if _REVISION.fullmatch(revision):
            if outcome in OUTCOMES:
                found.setdefault(int(revision), set()).add(outcome)
            elif each == revision:
                found.setdefault(int(revision), set())
    return {revision: frozenset(each) for revision, each in found.items()}


def surplus(names: Iterable[str], newest: int) -> tuple[str, ...]:
    """Return the names below `history/` to delete: all but the last documents up to revision `newest`."""
    names = sorted(names)
    kept = sorted(each for each in outcomes_by_revision(names) if each <= newest)[-MOST_DOCUMENTS:]
    known = {str(each) for each in kept}
    known |= {f"{each}/{outcome}" for each in kept for outcome in OUTCOMES}
    return tuple(each for each in names if each not in known)
