"""Changes nodes into other nodes. A new node has the place of the one that it stands for: faults point there."""

from collections.abc import Callable
from dataclasses import replace

from agent.yamldoc.compose import Mapping, Node, Scalar, Sequence

Entries = dict[str, tuple[Scalar, Node]]


def child(node: Node | None, *keys: str) -> Node | None:
    """Return the node below these keys; None if there is none."""
    for key in keys:
        found = node.entries.get(key) if isinstance(node, Mapping) else None
        node = found[1] if found else None
    return node


def text_of(node: Node | None) -> str:
    """Return the text of a scalar; empty for anything else."""
    return node.text if isinstance(node, Scalar) else ""


def names_of(node: Node | None) -> list[str]:
    """Return the names in a list, or the keys of a mapping; none for anything else."""
    if isinstance(node, Sequence):
        return [text_of(each) for each in node.items]
    return list(node.entries) if isinstance(node, Mapping) else []


def is_null(node: Node | None) -> bool:
    """Return True for a key that is there without a value."""
    return isinstance(node, Scalar) and node.is_null


def scalar(place: Node, text: str) -> Scalar:
    """Return `text` as a quoted scalar."""
    return Scalar(text=text, plain=False, line=place.line, column=place.column, file=place.file)


def no_value(place: Node) -> Scalar:
    return Scalar(text="", plain=True, line=place.line, column=place.column, file=place.file)


def sequence(place: Node, items: list[Node]) -> Sequence:
    return Sequence(line=place.line, column=place.column, file=place.file, items=items)


def mapping(place: Node, entries: Entries) -> Mapping:
    return Mapping(line=place.line, column=place.column, file=place.file, entries=entries)


def put(node: Mapping, key: str, value: Node) -> Mapping:
    """Return a mapping with this entry. An entry that is there keeps its key and its order."""
    at = node.entries[key][0] if key in node.entries else scalar(value, key)
    return replace(node, entries={**node.entries, key: (at, value)})


def without(node: Mapping, *keys: str) -> Mapping:
    return replace(node, entries={key: each for key, each in node.entries.items() if key not in keys})


def with_members(node: Mapping, key: str, change: Callable[[str, Mapping], Node]) -> Mapping:
    """Return a mapping in which each member of the mapping `key` that is a mapping is changed, by path and value."""
    found = child(node, key)
    if not isinstance(found, Mapping):
        return node
    entries = {
        name: (at, change(f"{key}.{name}", each) if isinstance(each, Mapping) else each)
        for name, (at, each) in found.entries.items()
    }
    return put(node, key, replace(found, entries=entries))


# ---- Values that have two forms


def pairs(node: Node) -> Node:
    """Return a list of `name=value` as a mapping; a name alone has no value. Anything else stays."""
    if not isinstance(node, Sequence):
        return node
    entries: Entries = {}
    for each in node.items:
        if not isinstance(each, Scalar):
            return node
        name, equals, value = each.text.partition("=")
        entries[name] = (scalar(each, name), scalar(each, value) if equals else no_value(each))
    return mapping(node, entries)


def named(value: Callable[[Scalar], Node]) -> Callable[[Node], Node]:
    """Return a function that makes a mapping of a list of names, each with what `value` makes of the name."""

    def convert(node: Node) -> Node:
        if not isinstance(node, Sequence) or not all(isinstance(each, Scalar) for each in node.items):
            return node
        return mapping(
            node, {each.text: (each, value(each)) for each in node.items if isinstance(each, Scalar)}
        )

    return convert


def listed(node: Node) -> Node:
    """Return a single value as a list of one. Anything else stays."""
    return sequence(node, [node]) if isinstance(node, Scalar) else node
