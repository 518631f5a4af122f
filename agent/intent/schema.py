"""The JSON Schema of the document, for editors and linters, made from the tables of the readers.

It checks less than the readers: only `swarmkeeper validate` checks keys against each other. The readers refuse
everything that the schema refuses.
"""

from copy import deepcopy
from typing import Any

from agent.diff.container import TABLE
from agent.intent import TOP
from agent.intent.forms import Field
from agent.intent.service import FIELDS

_REPAIRS = {
    "update": "Changed on the running container.",
    "reconnect": "Changed on the running container, by leaving and joining networks.",
    "replace": "A change requires a new container.",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of the intent, with a description of each key that the engine has."""
    about = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Swarmkeeper intent"}
    schema: dict[str, Any] = {**about, **deepcopy(TOP.form)}
    service = schema["properties"]["services"]["additionalProperties"]
    for key, field in FIELDS.items():
        service["properties"][key] = {**field.form, "description": _description(key, field)}
    return schema


def _description(key: str, field: Field) -> str:
    if field.attribute is None:
        return _REPAIRS["replace"]
    row = next(row for row in TABLE if row.field == (field.attribute or key))
    return f"In the engine: {row.at}. {_REPAIRS[row.repair]}"
