"""The one table: every field of ContainerSpec, in the order of the dataclass."""

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


# ---- What of a spec needs a new container when it changes, and what is put right on the one that runs


_FIXED: tuple[FieldMapping, ...] = tuple(row for row in TABLE if row.repair == "replace")
"""Rows of what no container can change."""
_DROPPED: tuple[FieldMapping, ...] = tuple(row for row in TABLE if row.repair != "replace" and row.lossy)
"""Rows of what a container can change, and what its engine may have dropped."""


def shape(spec: ContainerSpec) -> str:
    """A hash of all of `spec` that cannot change without a new container; on the container's label.

    Another spelling of the same value has the same shape: it is made of what a container would be compared by. Of the
    networks it has the first, which the engine keeps as the container's mode, and which of them have a fixed address:
    while a container runs, an address that is no longer wanted cannot be told from one that was given out. A pinned one
    is no part of it: the leader gives it to nobody else while a container has it. And it has whether something is said
    that an engine may drop: in a container that has none of it, nobody can tell what was dropped from what was never
    asked for.
    """
    made = _as_put(spec)
    said = {row.field: row.found(made) for row in _FIXED if _is_said(row, spec)}
    said |= {row.field: True for row in _DROPPED if _is_said(row, spec)}
    first = [each.network for each in spec.networks[:1]]
    fixed = [each.network for each in spec.networks if each.ipv4_address]
    canonical = json.dumps([said, first, fixed], sort_keys=True, default=sorted, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _is_said(row: FieldMapping, spec: ContainerSpec) -> bool:
    """Said and the same as a default is not unsaid: an image may have something else."""
    return bool(getattr(spec, row.field) != ContainerSpec.__dataclass_fields__[row.field].default)


def _as_put(spec: ContainerSpec) -> Found:
    body: Body = {"HostConfig": {}}
    for row in _FIXED:
        row.put(spec, body)
    tree: dict[str, Any] = {"HostConfig": body.pop("HostConfig"), "Config": body}
    return Found(tree)
