"""The document as JSON Schema, for editors and linters: made from the tables that the readers use.

It says less than they do: what hangs together over several keys only `swarmkeeper validate` knows. What it refuses
they refuse too.
"""

from collections.abc import Mapping
from typing import Any

from agent.diff.container import TABLE
from agent.intent import cluster, forms, mounts, networks
from agent.intent.refused import SERVICE_REFUSED, TOP_REFUSED
from agent.intent.service import FIELDS, OTHERS, Field

_REPAIRS = {
    "update": "Changed on the container that runs.",
    "reconnect": "Changed on the container that runs, by leaving and joining networks.",
    "replace": "A change needs a new container.",
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 7) of the document that an operator puts."""
    top: Mapping[str, forms.Form] = {
        "name": {"type": ["string", "number"], "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
        "x-cluster": cluster.CLUSTER.form,
        "networks": _named(forms.either(networks.NETWORK.form, forms.NOTHING)),
        "volumes": _named(forms.either(networks.VOLUME.form, forms.NOTHING)),
        "secrets": _named(mounts.FILE.form),
        "configs": _named(mounts.FILE.form),
        "services": {**_named(_service()), "type": "object"},
    }
    document = forms.Section(top, ("name", "x-cluster", "services"), TOP_REFUSED)
    about = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Swarmkeeper intent"}
    return {**about, **document.form}


def _named(form: forms.Form) -> forms.Form:
    """A section of the top level, which may also be left empty."""
    return {
        "type": ["object", "null"],
        "propertyNames": {"pattern": forms.NAME_KEYS},
        "additionalProperties": form,
    }


def _service() -> forms.Form:
    known = {key: {**field.form, "description": _description(field)} for key, field in FIELDS.items()}
    return forms.Section({**known, **OTHERS}, ("image",), SERVICE_REFUSED).form


def _description(field: Field) -> str:
    if field.attribute is None:
        return _REPAIRS["replace"]
    row = next(row for row in TABLE if row.field == field.attribute)
    return f"In the engine: {row.at}. {_REPAIRS[row.repair]}"
