"""The differences between two documents by meaning, whatever their comments, quotes, order and spelling are."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from json import dumps
from typing import Any, NamedTuple

from agent.diff.container import TABLE
from agent.errors import Invalid
from agent.intent.rewrite import plain
from agent.intent.service import FIELDS
from agent.intent.vocabulary import Notes, normalised
from agent.model.faults import InvalidDocument
from agent.model.phrases import shorten
from agent.yamldoc import open_document
from agent.yamldoc.faultlist import step

_SECRET_ROWS = frozenset(row.field for row in TABLE if row.secret)
_PUBLIC = frozenset(
    key
    for key, field in FIELDS.items()
    if field.attribute is not None and (field.attribute or key) not in _SECRET_ROWS
) | {"deploy", "x-hosts", "x-rebalanced-at", "networks", "depends_on"}
"""Keys of a service whose values are no secrets."""
_PAIRS = frozenset({"environment", "labels", "annotations", "sysctls"})
_NAME = re.compile(r"[^\w./-]")
"""The end of a name in them: in `- PASSWORD: value` with quotes around it the value is part of the key."""
_HIDDEN_BELOW = frozenset({"labels", "driver_opts", "annotations", "content", "environment"})


class Change(NamedTuple):
    """A difference at one path; `before` and `after` are None for a value that may be a secret."""

    path: str
    what: str
    """added, removed, changed"""
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        known = [each for each in (self.before, self.after) if each is not None]
        return f"{self.path}: {self.what}" + (f" {shorten(' -> '.join(known))}" if known else "")


def meaning(name: str, raw: bytes) -> Any:
    """Return the document in types of JSON, each value in its usual spelling. Raises Invalid if it is no YAML."""
    try:
        return plain(normalised(open_document(raw), Notes()).node)
    except InvalidDocument as error:
        raise Invalid(f"{name}: {error.faults[0]}") from error


def differences(before: Any, after: Any, *, show_secrets: bool = False) -> tuple[Change, ...]:
    """Return what differs between two documents in types of JSON, in the order of the paths."""
    return tuple(_changes(before, after, (), show_secrets=show_secrets))


def _changes(before: Any, after: Any, path: tuple[str, ...], *, show_secrets: bool) -> Iterator[Change]:
    if path[-1:] and path[-1] in _PAIRS:
        before, after = _by_name(before), _by_name(after)
    if before == after:
        return
    at, shown = _text(path), partial(_shown, show_secrets=show_secrets)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            named = path[-1:] and path[-1] in _PAIRS and not show_secrets
            here = (*path, _NAME.split(key, maxsplit=1)[0] if named else key)
            if key not in after or key not in before:
                what, value = ("added", after[key]) if key not in before else ("removed", before[key])
                yield Change(
                    _text(here), what, None, None if isinstance(value, Mapping) else shown(value, here)
                )
            else:
                yield from _changes(before[key], after[key], here, show_secrets=show_secrets)
    elif isinstance(before, list) and isinstance(after, list) and (show_secrets or _is_public(path)):
        had, has = (Counter(map(_value, each)) for each in (before, after))
        texts = {_value(each): shown(each, path) for each in (*before, *after)}
        yield from (Change(at, "removed", texts[each]) for each in (had - has))
        yield from (Change(at, "added", None, texts[each]) for each in (has - had))
        if had == has:
            yield Change(at, "changed: the order of its entries")
    else:
        values = shown(before, path), shown(after, path)
        yield Change(at, "changed", *((None, None) if None in values else values))


def _shown(value: Any, path: tuple[str, ...], *, show_secrets: bool) -> str | None:
    """Return the value as text; None: it is a mapping, or has one, or may be a secret."""
    parts = value if isinstance(value, list) else [value]
    simple = not any(isinstance(each, Mapping | list) for each in parts)
    return _value(value) if show_secrets or (simple and _is_public(path)) else None


def _by_name(value: Any) -> Any:
    """Return a list of `name=value` as a mapping, which means the same; anything else as it is."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return {
            name: text if equals else None for name, equals, text in (each.partition("=") for each in value)
        }
    return value


def _text(path: tuple[str, ...]) -> str:
    at = ""
    for each in path:
        at = step(at, each)
    return at or "the document"


def _value(value: Any) -> str:
    return (
        value if isinstance(value, str) else "nothing" if value is None else dumps(value, ensure_ascii=False)
    )


def _is_public(path: tuple[str, ...]) -> bool:
    """Return True if no value at the path can be a secret. What is not known may be one."""
    if _HIDDEN_BELOW & {*path[2:]}:
        return path[:2] == ("x-cluster", "hosts") or path[2:4] == ("deploy", "placement")
    match path:
        case ("services", _, key, *_):
            return key in _PUBLIC
        case (("networks" | "volumes" | "services"), _):  # a key that slipped out of the mapping above it
            return False
        case (("name" | "x-cluster" | "networks" | "volumes" | "services"), *_):
            return True
    return False
