"""Differences between a container and its spec, and between two specs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from itertools import chain
from typing import Any

from agent.diff.container.fill import FillContext, fill
from agent.diff.container.network import endpoint
from agent.diff.container.process import RESTARTED
from agent.diff.container.row import NOTHING, FieldMapping, Found, as_text
from agent.diff.container.table import SHAPE, TABLE, create_request, shape
from agent.errors import Invalid
from agent.model.host_state import Difference
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec, Key

NONE = "(none)"
"""Stands for a value that the document does not set."""

# ---- Changing a container to another spec without recreating it

FillFor = Callable[[Replica], FillContext]


def regarded(
    replica: Replica,
    labels: Mapping[str, str],
    assigned: Mapping[Key, Replica],
    specs: Mapping[str, ContainerSpec],
    fill_for: FillFor,
) -> Replica:
    """Return the replica that a container with these `labels` is compared with.

    `replica` is the one that its labels name. If the spec assigned now differs only in fields that can change in place,
    the result is the assigned replica: the differences are repaired in place, and the labels stay unchanged.
    `assigned` is by service and slot.
    """
    wanted = assigned.get(replica.key, replica)
    spec = specs.get(wanted.spec)
    if wanted.made_as == replica or spec is None:
        return replica
    try:
        restarted = spec.restarted_at in (None, labels.get(RESTARTED))
        fits = restarted and labels.get(SHAPE) == shape(fill(spec, fill_for(wanted)))
    except Invalid:
        return replica
    return wanted.made_as if fits else replica


def in_place(old: ContainerSpec, new: ContainerSpec, replica: Replica) -> tuple[Difference, ...] | None:
    """Differences of a container created from `old` to `new`; None: `new` needs another container."""
    if shape(old) != shape(new) or new.restarted_at not in (None, old.restarted_at):
        return None
    made = _as_made(old, replica)
    return tuple(each for row in TABLE if row.repair != "replace" for each in row.compare(new, made))


def differing(old: ContainerSpec, new: ContainerSpec, replica: Replica) -> tuple[Difference, ...]:
    """Differences of a container created from `old` to `new`, where both are one spec with other placeholder values."""
    made = _as_made(old, replica)
    known = {each.field for row in TABLE for each in row.compare(old, made)}
    return tuple(each for row in TABLE for each in row.compare(new, made) if each.field not in known)


def _as_made(spec: ContainerSpec, replica: Replica) -> Found:
    """The container that the engine creates from `spec`, with the engine's values of fields that change in place."""
    request = create_request(spec, replica, project="", cluster="", name="")
    host = {"MemorySwap": 2 * (spec.memory_limit_bytes or 0), **request.body.pop("HostConfig")}
    endpoints = request.body.pop("NetworkingConfig", {}).get("EndpointsConfig", {})
    more = {each.network: endpoint(each, each.aliases) for each in request.more}
    return Found(
        {
            "Id": "",
            "Config": request.body,
            "HostConfig": host,
            "NetworkSettings": {"Networks": {**endpoints, **more}},
            "State": {"Status": "running"},
        }
    )


def differences(
    wanted: ContainerSpec, inspect: Mapping[str, Any], image: Mapping[str, Any] | None
) -> tuple[Difference, ...]:
    """Differences of the container from `wanted`, whose placeholders are filled in.

    `inspect` is GET /containers/{id}/json. `image` is GET /images/{id}/json of the container's image, or None if that
    image is gone: then fields that the spec leaves to the image are not compared.
    """
    found = Found(inspect, image)
    return tuple(each for row in TABLE for each in row.compare(wanted, found))


def describe_change(old: ContainerSpec, new: ContainerSpec, *, show_secrets: bool = False) -> str:
    """Describe the change from `old` to `new` with both values, for the reason of a replacement.

    Values of secret fields are left out unless `show_secrets` is set: then the text is for the operator alone.
    """
    made = _as_made(old, Replica(service="", slot=0, spec=""))
    changes = (_change(row, old, new, made, show_secrets=show_secrets) for row in TABLE)
    return "; ".join(chain.from_iterable(changes))


def _change(
    row: FieldMapping, old: ContainerSpec, new: ContainerSpec, made: Found, *, show_secrets: bool
) -> Iterator[str]:
    before, after = getattr(old, row.field), getattr(new, row.field)
    if before == after:
        return
    if row.secret:
        yield from (_both_values if show_secrets else _names)(row.called, before, after)
        return
    if row.field == "networks":
        had, has = frozenset(map(_attachment, before)), frozenset(map(_attachment, after))
        came, went = as_text(has - had), as_text(had - has)
        found = [Difference(field=row.called, wanted=came, found=went, repair="none")]
    else:
        found = [*row.compare(new, made)]
    several = isinstance(before, tuple) and not row.ordered
    yield from (_values(each, was_set=before not in (None, ()), several=several) for each in found)
    if not found:  # one of the two is left to the image or the engine
        simple = all(isinstance(each, str | int | None) for each in (before, after))
        values = (NONE if each is None else row.show(each) for each in (before, after))
        yield f"{row.called} {' -> '.join(values) if simple else 'changed'}"


def _values(change: Difference, *, was_set: bool, several: bool) -> str:
    """Return both values of a field; of a field with `several` entries, those that come or go."""
    if several and NOTHING in (change.found, change.wanted):
        verb, value = ("added", change.wanted) if change.found == NOTHING else ("removed", change.found)
        return f"{change.field} {verb}" if value == NOTHING else f"{change.field} {verb} {value}"
    before = change.found if was_set or change.found.startswith("no ") else NONE
    return f"{change.field} {before} -> {NONE if change.wanted == NOTHING else change.wanted}"


def _attachment(attached: Attachment) -> str:
    names = f" as {', '.join(attached.aliases)}" if attached.aliases else ""
    return f"{attached.network}{names}" + (f" at {attached.address}" if attached.address else "")


def _names(field: str, before: Any, after: Any) -> Iterator[str]:
    """Yield the names of the entries that differ; of a value without names, only that it differs."""
    entries = (*before, *after) if isinstance(before, tuple) and isinstance(after, tuple) else ()
    pairs = all(isinstance(each, tuple) for each in entries)
    names = sorted({key for key, _ in set(before) ^ set(after)}) if entries and pairs else []
    yield f"{field} {', '.join(names)} changed" if names else f"{field} changed"


def _both_values(field: str, before: Any, after: Any) -> Iterator[str]:
    """Yield the old and the new value; of a value with parts, only the parts that differ."""
    old, new = (_parts(each) for each in (before, after))
    for part in sorted({*old, *new}):
        if old.get(part) != new.get(part):
            yield f"{f'{field} {part}'.rstrip()}: {as_text(old.get(part))} -> {as_text(new.get(part))}"


def _parts(value: Any) -> Mapping[str, Any]:
    """The parts of a secret field's value, by name; a value without parts is under the empty name."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key: part for name, each in asdict(value).items() for key, part in _named(name, each)}
    pairs = isinstance(value, tuple) and all(isinstance(each, tuple) for each in value)
    return dict(value) if pairs else {"": value}


def _named(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    pairs = isinstance(value, tuple) and value and all(isinstance(each, tuple) for each in value)
    yield from ((f"{name}.{key}", each) for key, each in value) if pairs else [(name, value)]
