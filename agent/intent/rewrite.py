"""Writes one value into the text of a document, without any other change of it.

The text is changed at the place that the reader knows, and read again: if anything else has another meaning then, as
where the place is an alias, nothing is changed, and the error has what to write.
"""

import re
from functools import reduce
from typing import Any

from agent.errors import Invalid
from agent.model.faults import InvalidDocument
from agent.yamldoc import Cursor, open_document
from agent.yamldoc.compose import Mapping, Node, Scalar
from agent.yamldoc.faultlist import step

Path = tuple[str, ...]

_LINE_END = re.compile("\r\n|\r|\n")
_VALUE = re.compile(r"""(["']?)[A-Za-z0-9._:-]+\1""")


def plain(node: Node, without: Path = ()) -> Any:
    """Return the node in types of JSON. It omits the path `without`, and a mapping that is then empty."""
    if isinstance(node, Scalar):
        return None if node.is_null else node.text
    if not isinstance(node, Mapping):
        return [plain(each) for each in node.items]
    kept = {}
    for key, (_, value) in node.entries.items():
        further = without[1:] if without[:1] == (key,) else ()
        content = plain(value, further)
        if (key,) != without and not (further and content == {}):
            kept[key] = content
    return kept


def rewritten(raw: bytes, path: Path, value: str) -> bytes:
    """Return the valid document `raw` with `value`, a word, at `path`. One line is another, or is added.

    Raises Invalid, with the line to change, if that would change anything else.
    """
    root = open_document(raw)
    written = _written(raw.decode(), root, path, value).encode()
    if not _is_right(written, root.node, path, value):
        place = root.at(*path)
        raise Invalid(
            f"line {place.node.line}: {'.'.join(path)} cannot be changed without another change of the document:"
            f" write {'.'.join(path)}: {value} by hand, as with `swarmkeeper edit`"
        )
    return written


def _is_right(raw: bytes, before: Node, path: Path, value: str) -> bool:
    try:
        root = open_document(raw)
    except InvalidDocument:
        return False
    at = root.node
    for key in path:
        if not isinstance(at, Mapping) or key not in at.entries:
            return False
        at = at.entries[key][1]
    same = plain(root.node, path) == plain(before, path)
    return same and isinstance(at, Scalar) and at.text == value and not len(root.faults)


def _written(text: str, root: Cursor, path: Path, value: str) -> str:
    depths = range(len(path), -1, -1)
    depth = next(each for each in depths if root.at(*path[:each]).path == reduce(step, path[:each], ""))
    place = root.at(*path[:depth])
    if depth == len(path):
        start = _offset(text, place)
        previous = _VALUE.match(text, start)
        # With the quotes that it had: JSON stays JSON.
        return (
            f"{text[:start]}{previous[1]}{value}{previous[1]}{text[previous.end() :]}" if previous else text
        )
    if not place.is_mapping:
        return text
    *outer, last = path[depth:]
    # YAML takes a bare time for a time, and `compile` refuses that.
    in_flow, in_block = f'"{last}": "{value}"', f'{last}: "{value}"' if ":" in value else f"{last}: {value}"
    for key in reversed(outer):
        in_flow, in_block = f'"{key}": {{{in_flow}}}', f"{key}: {{{in_block}}}"
    return _with_entry(text, place, in_flow, in_block)


def _with_entry(text: str, mapping: Cursor, in_flow: str, in_block: str) -> str:
    """Return the text with one more entry at the beginning of the mapping."""
    start = _offset(text, mapping)
    if text[start : start + 1] == "{":
        more = "" if not list(mapping.entries()) else ", "
        return f"{text[: start + 1]}{in_flow}{more}{text[start + 1 :]}"
    end = _LINE_END.search(text)
    return f"{text[:start]}{in_block}{end[0] if end else ''}{' ' * (mapping.node.column - 1)}{text[start:]}"


def _offset(text: str, place: Cursor) -> int:
    ends = [0, *(each.end() for each in _LINE_END.finditer(text))]
    bom = 1 if text.startswith("\ufeff") and place.node.line == 1 else 0
    return ends[place.node.line - 1] + place.node.column - 1 + bom
