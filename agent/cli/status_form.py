"""The JSON form of `status`, which is stable: docs/status.md says what may change. And its JSON Schema."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from agent.conditions import ClusterConditions
from agent.model.records import timestamp

VERSION: Literal[1] = 1
"""Raised by a change after which a correct reader of the form before could go wrong."""

Source = Literal["etcd", "agent"]


def status_form(
    name: str, found: object, *, now_s: float, accepted: int = 0, page: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return what was found of the cluster called `name` in JSON's types, as its conditions.

    `accepted` is the revision of the accepted document, 0 if none is or it is not known.
    `page` is the report of the agent of this host, if etcd did not answer.
    """
    head = _Head(
        version=VERSION,
        name=name,
        read_at=timestamp(now_s),
        source="agent" if page else "etcd",
        accepted_revision=accepted,
    )
    agent = {"agent": page} if page else {}
    return {**as_json(head), **as_json(found), **agent}


def status_schema() -> dict[str, Any]:
    """Return the JSON Schema of the form. It permits further properties, which a later release may add."""
    (head, conditions), definitions = msgspec.json.schema_components(
        (_Head, ClusterConditions), ref_template="#/$defs/{name}"
    )
    parts = [definitions.pop(each["$ref"].rpartition("/")[2]) for each in (head, conditions)]
    agent = {
        "type": "object",
        "description": "The report of the agent of this host; only if `source` is agent.",
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "swarmkeeper status",
        "description": parts[1]["description"],
        "type": "object",
        "properties": {**parts[0]["properties"], **parts[1]["properties"], "agent": agent},
        # The form has every property, also one with its default.
        "required": [*parts[0]["properties"], *parts[1]["properties"]],
        "$defs": {
            key: {**each, "required": list(each["properties"])} for key, each in sorted(definitions.items())
        },
    }
    return as_json(schema)


def as_json(found: Any) -> dict[str, Any]:
    """Return `found` in JSON's types: `to_builtins` leaves tuples, which no schema takes for arrays."""
    return dict(msgspec.json.decode(msgspec.json.encode(found, enc_hook=str)))  # str: of an IP address


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    version: Literal[1]
    name: str
    """Name of the cluster."""
    read_at: str
    """Time of the reading, by the clock of the reader, RFC 3339."""
    source: Source
    """agent: etcd did not answer, and only the host of the reader is known."""
    accepted_revision: int
    """Revision of the accepted document; 0: none, or not known."""
