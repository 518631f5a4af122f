"""The table of field mappings: every field of ContainerSpec, in the order of the dataclass."""

import hashlib
import json
from typing import Any

from agent.diff.container import isolation, limits, network, process, storage, usage
from agent.diff.container.row import Body, FieldMapping, Found
from agent.model.spec import ContainerSpec

_BY_NAME = {
    row.field: row for part in (process, network, storage, limits, usage, isolation) for row in part.ROWS
}

TABLE: tuple[FieldMapping, ...] = tuple(_BY_NAME[name] for name in ContainerSpec.__dataclass_fields__)


# ---- Fields whose change needs a new container, and fields that are repaired on the running one


_FIXED: tuple[FieldMapping, ...] = tuple(row for row in TABLE if row.repair == "replace")
"""Fields that no container can change."""
_DROPPED: tuple[FieldMapping, ...] = tuple(row for row in TABLE if row.repair != "replace" and row.lossy)
"""Fields that a container can change and that its engine may have dropped."""


def shape(spec: ContainerSpec) -> str:
    """Hash of everything in `spec` that cannot change without a new container; the value of the container's label.

    It covers normal forms, so another spelling of a value gives the same shape. Of the networks it covers the first,
    which the engine keeps as the container's network mode, and the names of those with a fixed address: while a
    container runs, an address removed from the spec looks the same as one that the swarm allocated. A reserved address
    is not covered, because the leader assigns it to nobody else while a container has it. The names of lossy fields are
    covered if declared: a container without the value does not show whether the engine dropped it or was never asked.
    """
    made = _as_put(spec)
    declared = {row.field: row.found(made) for row in _FIXED if _is_declared(row, spec)}
    declared |= {row.field: True for row in _DROPPED if _is_declared(row, spec)}
    first = [each.network for each in spec.networks[:1]]
    fixed = [each.network for each in spec.networks if each.ipv4_address]
    canonical = json.dumps([declared, first, fixed], sort_keys=True, default=sorted, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _is_declared(row: FieldMapping, spec: ContainerSpec) -> bool:
    """Return True if the spec has a value of its own, also one equal to the engine's: the image may have another."""
    return bool(getattr(spec, row.field) != ContainerSpec.__dataclass_fields__[row.field].default)


def _as_put(spec: ContainerSpec) -> Found:
    body: Body = {"HostConfig": {}}
    for row in _FIXED:
        row.put(spec, body)
    tree: dict[str, Any] = {"HostConfig": body.pop("HostConfig"), "Config": body}
    return Found(tree)
