"""The JSON Schema of the document, for editors and linters, made from the tables of the readers.

It checks less than the readers: only `swarmkeeper validate` checks keys against each other. The readers refuse
everything that the schema refuses.
"""

from collections.abc import Mapping
from typing import Any

from agent.diff.container import TABLE
from agent.intent import cluster, forms, mounts, networks
from agent.intent.refused import SERVICE_REFUSED, TOP_REFUSED
from agent.intent.service import FIELDS, OTHERS, Field

_REPAIRS = {
    "update": "Changed on the running container.",
    "reconnect": "Changed on the running container, by leaving and joining networks.",
    "replace": "A change requires a new container.",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of the intent."""
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
    """Return the form of a top-level section, which may be empty."""
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
