"""`x-cluster.policy.deletion_guard`: an edit that takes much away waits until the operator confirms this very edit.

It is counted by what the documents declare, not by what happens to run: a host that is away changes nothing about what
an edit means. The guard of either document counts, the stricter one: the edit that takes the guard away is under it.
"""

import json
import re
from hashlib import sha256
from typing import Any

from agent.errors import Invalid
from agent.model.faults import InvalidDocument
from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.phrases import first_of
from agent.yamldoc import Cursor, open_document
from agent.yamldoc.compose import Mapping, Node, Scalar

# ---- The hash of a document: what an operator confirms a large edit by

WORD = ("x-cluster", "policy", "confirm")
"""Where the document says that it is confirmed."""
DIGITS = 16
"""Of the hash, in hexadecimal: it guards against mistakes, and is to be copied by people."""


def document_hash(root: Node) -> str:
    """The hash of what the document says: comments, quotes and the word of confirmation itself make no other one."""
    hashed = sha256()
    # Piece by piece: the whole text is large where aliases stand for much.
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(_plain(root, WORD)):
        hashed.update(piece.encode())
    return hashed.hexdigest()[:DIGITS]


def shortened(text: str) -> str:
    """The first digits of the SHA-256 of a text."""
    return sha256(text.encode()).hexdigest()[:DIGITS]


def _plain(node: Node, without: tuple[str, ...] = ()) -> Any:
    """The node in JSON's types. What is at the path `without` is left out, and so is a mapping that is empty then."""
    if isinstance(node, Scalar):
        return None if node.is_null else node.text
    if not isinstance(node, Mapping):
        return [_plain(each) for each in node.items]
    told = {}
    for key, (_, value) in node.entries.items():
        further = without[1:] if without[:1] == (key,) else ()
        plain = _plain(value, further)
        if (key,) != without and not (further and plain == {}):
            told[key] = plain
    return told


# ---- Write the word that confirms an edit into a document, and leave all else of it as the operator wrote it

_LINE_END = re.compile("\r\n|\r|\n")
_TOKEN = re.compile(r"""["']?[0-9a-f]+["']?""")


def confirmed(raw: bytes, word: str) -> bytes:
    """The valid document `raw`, with `word` as its `x-cluster.policy.confirm`.

    Raises Invalid where that cannot be done without touching anything else, as where the section is an alias.
    """
    root = open_document(raw)
    written = _written(raw.decode(), root, word).encode()
    if not _is_confirmed(written, word, document_hash(root.node)):
        raise Invalid(f"the document has to be changed by hand: write {'.'.join(WORD)}: {word}")
    return written


def _is_confirmed(raw: bytes, word: str, digest: str) -> bool:
    try:
        root = open_document(raw)
    except InvalidDocument:
        return False
    found = root.at(*WORD)
    there = found.path == ".".join(WORD) and found.shown == f"'{word}'"
    return there and document_hash(root.node) == digest and not len(root.faults)


def _written(text: str, root: Cursor, word: str) -> str:
    cluster, policy, found = (root.at(*WORD[:depth]) for depth in (1, 2, 3))
    if found.path == ".".join(WORD):
        start = _offset(text, found)
        token = _TOKEN.match(text, start)
        return f"{text[:start]}{word}{text[token.end() :]}" if token else text
    if policy.path == ".".join(WORD[:2]) and policy.is_mapping:
        return _with_entry(text, policy, f'"{WORD[2]}": "{word}"', f"{WORD[2]}: {word}")
    inner = f'"{WORD[1]}": {{"{WORD[2]}": "{word}"}}'
    return _with_entry(text, cluster, inner, f"{WORD[1]}: {{{WORD[2]}: {word}}}")


def _with_entry(text: str, mapping: Cursor, in_flow: str, in_block: str) -> str:
    """The text with another entry at the beginning of the mapping."""
    start = _offset(text, mapping)
    if text[start : start + 1] == "{":
        more = "" if not list(mapping.entries()) else ", "
        return f"{text[: start + 1]}{in_flow}{more}{text[start + 1 :]}"
    return f"{text[:start]}{in_block}\n{' ' * (mapping.node.column - 1)}{text[start:]}"


def _offset(text: str, place: Cursor) -> int:
    """Where the place begins in the text, in characters."""
    ends = [0, *(each.end() for each in _LINE_END.finditer(text))]
    bom = 1 if text.startswith("\ufeff") and place.node.line == 1 else 0
    return ends[place.node.line - 1] + place.node.column - 1 + bom


_MOST_NAMED = 10
"""Services; a verdict is read by people."""


def what_it_takes(before: Intent | None, after: Intent) -> str:
    """What `after` takes away of what `before`, the accepted document, declares, in words; empty: nothing guarded."""
    allowed = [each.policy.deletion_guard_percent for each in (before, after) if each]
    percents = [each for each in allowed if each is not None]
    if before is None or not percents:
        return ""
    told = (*_replicas(before, after, min(percents)), *_managers(before, after))
    return " and ".join(told)


def confirmation(before: Intent, after: Intent) -> str:
    """The word that confirms the edit from one document to the other.

    It is a hash of both: put back later, when something else is accepted, a confirmed document waits again.
    """
    return shortened(f"{before.digest} {after.digest}")


def _replicas(before: Intent, after: Intent, percent: int) -> tuple[str, ...]:
    declared = _counts(before)
    # Another project is other containers and, worse, other volumes: nothing of the former one is left.
    left = _counts(after) if after.project == before.project else {}
    dropped = {
        name: count - left.get(name, 0) for name, count in declared.items() if count > left.get(name, 0)
    }
    total, lost = sum(declared.values()), sum(dropped.values())
    if not lost or lost * 100 <= percent * total:
        return ()
    named = [f"{name} {gone} of {declared[name]}" for name, gone in dropped.items()]
    services = ", ".join(first_of(named, _MOST_NAMED, "and of {} more"))
    return (f"{lost} of {total} replicas ({services}), which is more than the deletion_guard of {percent}%",)


def _managers(before: Intent, after: Intent) -> tuple[str, ...]:
    stay = {each.name for each in after.managers}
    gone = [each.name for each in before.managers if each.name not in stay]
    if 2 * len(gone) <= len(before.managers):
        return ()
    return (
        f"{len(gone)} of {len(before.managers)} managers ({', '.join(gone)}), which is a majority of them",
    )


def _counts(intent: Intent) -> dict[str, int]:
    return {each.name: each.replica_count for each in intent.services}


def guarding(cluster: ClusterState) -> tuple[str, str] | None:
    """What the newest document waits for (the word that confirms it, what it takes away); None: for nothing."""
    newest = cluster.document.intent if cluster.document else None
    if cluster.accepted is None or newest is None:
        return None
    taken, confirm = what_it_takes(cluster.accepted, newest), confirmation(cluster.accepted, newest)
    return (confirm, taken) if taken and newest.policy.confirm != confirm else None
