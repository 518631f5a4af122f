"""What is different: between a container and its spec, and between two specs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from agent.diff.container.row import Found, Row
from agent.diff.container.table import TABLE
from agent.diff.container.words import words
from agent.model.observed import Difference
from agent.model.spec import ContainerSpec

_SHOWN = frozenset(
    {"image", "restart", "memory_limit_bytes", "memory_reservation_bytes", "nano_cpus", "pids_limit"}
)
"""Fields whose values fit into a sentence; of the others it is said that they changed."""


def differences(
    wanted: ContainerSpec, inspect: Mapping[str, Any], image: Mapping[str, Any] | None
) -> tuple[Difference, ...]:
    """In what the container is not as `wanted` (placeholders filled in); empty: it is.

    `inspect` is GET /containers/{id}/json; `image` is GET /images/{id}/json of the image it was made from, or None when
    that is gone: then what the spec does not say and an image could is not compared.
    """
    found = Found(inspect, image)
    return tuple(each for row in TABLE for each in row.compare(wanted, found))


def describe_change(old: ContainerSpec, new: ContainerSpec, *, reveal: bool = False) -> str:
    """What changes from `old` to `new`, for the reason of a replacement.

    Of what may be secret no value is told, unless `reveal` says so: then that is for the operator's eyes alone.
    """
    return "; ".join(text for row in TABLE for text in _change(row, old, new, reveal=reveal))


def _change(row: Row, old: ContainerSpec, new: ContainerSpec, *, reveal: bool) -> Iterator[str]:
    before, after = getattr(old, row.field), getattr(new, row.field)
    if before == after:
        return
    if row.secret and reveal:
        yield from _revealed(row.called, before, after)
    elif row.field in _SHOWN:
        yield f"{row.called} {_shown(row, before)} -> {_shown(row, after)}"
    elif isinstance(before, tuple) and isinstance(after, tuple) and not row.ordered:
        yield from _entries(row.called, before, after)
    else:
        yield f"{row.called} changed"


def _revealed(field: str, before: Any, after: Any) -> Iterator[str]:
    """Both values; of a mapping, and of what has parts, only those that differ."""
    old, new = (_parts(each) for each in (before, after))
    for part in sorted({*old, *new}):
        if old.get(part) != new.get(part):
            yield f"{f'{field} {part}'.rstrip()}: {words(old.get(part))} -> {words(new.get(part))}"


def _parts(value: Any) -> Mapping[str, Any]:
    """A secret field's value by its parts; by nothing where it has none."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key: part for name, each in asdict(value).items() for key, part in _named(name, each)}
    pairs = isinstance(value, tuple) and all(isinstance(each, tuple) for each in value)
    return dict(value) if pairs else {"": value}


def _named(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    pairs = isinstance(value, tuple) and value and all(isinstance(each, tuple) for each in value)
    yield from ((f"{name}.{key}", each) for key, each in value) if pairs else [(name, value)]


def _shown(row: Row, value: Any) -> str:
    return row.show(value) if isinstance(value, int | None) else words(getattr(value, "name", value))


def _entries(field: str, before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterator[str]:
    if all(isinstance(each, tuple) for each in (*before, *after)):
        names = sorted({key for key, _ in set(before) ^ set(after)})
        yield f"{field} {', '.join(names)} changed"
        return
    added, removed = len(set(after) - set(before)), len(set(before) - set(after))
    told = [f"{count} {field} {verb}" for count, verb in ((added, "added"), (removed, "removed")) if count]
    yield ", ".join(told) or f"{field} in another order"
