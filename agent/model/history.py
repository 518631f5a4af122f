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
from agent.model.records import Verdict, decode
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
        expanding = zlib.decompressobj()
        try:
            raw = expanding.decompress(self.document, MOST_EXPANDED + 1)
            text = raw.decode()
        except (zlib.error, UnicodeDecodeError) as error:
            raise Invalid(f"the document of revision {self.revision} is damaged: {error}") from error
        if len(raw) > MOST_EXPANDED or sha256(raw).hexdigest() != self.sha256:
            raise Invalid(f"the document of revision {self.revision} is damaged: its hash is another one")
        return text


class Event(Frozen):
    """An outcome of an accepted document. `at` is when the leader saw it, in RFC 3339."""

    at: str
    why: str = ""


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
