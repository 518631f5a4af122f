"""Write the word that confirms an edit into a document, and leave all else of it as the operator wrote it."""

import re

from agent.errors import Invalid
from agent.intent.digest import WORD, document_hash
from agent.model.faults import InvalidDocument
from agent.yamldoc import Cursor, open_document

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
