"""The hash of a document: what an operator confirms a large edit by."""

import json
from hashlib import sha256
from typing import Any

from agent.yamldoc.nodes import Mapping, Node, Scalar

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
