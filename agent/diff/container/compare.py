"""Differences between a container and its spec, and between two specs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from agent.diff.container.fill import FillContext, fill
from agent.diff.container.identity import SHAPE, create_request
from agent.diff.container.network import endpoint
from agent.diff.container.row import FieldMapping, Found, as_text
from agent.diff.container.table import TABLE, shape
from agent.errors import Invalid
from agent.model.host_state import Difference
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, Key

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
        fits = labels.get(SHAPE) == shape(fill(spec, fill_for(wanted)))
    except Invalid:
        return replica
    return wanted.made_as if fits else replica


def in_place(old: ContainerSpec, new: ContainerSpec, replica: Replica) -> tuple[Difference, ...] | None:
    """Differences of a container created from `old` to `new`; None: `new` needs another container."""
    if shape(old) != shape(new):
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


_SHOWN = frozenset(
    {"image", "restart", "memory_limit_bytes", "memory_reservation_bytes", "nano_cpus", "pids_limit"}
)
"""Fields whose values fit into a sentence; of the others only the name is shown."""


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
    """Describe the change from `old` to `new`, for the reason of a replacement.

    Values of secret fields are left out unless `show_secrets` is set: then the text is for the operator alone.
    """
    return "; ".join(text for row in TABLE for text in _change(row, old, new, show_secrets=show_secrets))


def _change(
    row: FieldMapping, old: ContainerSpec, new: ContainerSpec, *, show_secrets: bool
) -> Iterator[str]:
    before, after = getattr(old, row.field), getattr(new, row.field)
    if before == after:
        return
    if row.secret and show_secrets:
        yield from _both_values(row.called, before, after)
    elif row.field in _SHOWN:
        yield f"{row.called} {_shown(row, before)} -> {_shown(row, after)}"
    elif isinstance(before, tuple) and isinstance(after, tuple) and not row.ordered:
        yield from _entries(row.called, before, after)
    else:
        yield f"{row.called} changed"


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


def _shown(row: FieldMapping, value: Any) -> str:
    return row.show(value) if isinstance(value, int | None) else as_text(getattr(value, "name", value))


def _entries(field: str, before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterator[str]:
    if all(isinstance(each, tuple) for each in (*before, *after)):
        names = sorted({key for key, _ in set(before) ^ set(after)})
        yield f"{field} {', '.join(names)} changed"
        return
    added, removed = len(set(after) - set(before)), len(set(before) - set(after))
    counts = [f"{count} {field} {verb}" for count, verb in ((added, "added"), (removed, "removed")) if count]
    yield ", ".join(counts) or f"{field} in another order"
