"""The document as JSON Schema, for editors and linters: made from the tables that the readers use.

It says less than they do: what hangs together over several keys only `swarmkeeper validate` knows. What it refuses
they refuse too.
"""

from collections.abc import Mapping
from typing import Any, get_args

from agent.diff.container import TABLE
from agent.intent import checks, cluster, deploy, files, forms, networks, placement
from agent.intent.forms import Form
from agent.intent.refused import SERVICE_REFUSED, TOP_REFUSED
from agent.intent.service import FIELDS, OTHER_KEYS, PULLS, Field
from agent.model.intent import Availability, BridgeMethod, Mode, Role, Rotation, Unmanaged

TOP_KEYS = ("name", "x-cluster", "networks", "volumes", "secrets", "configs", "services")
_REPAIRS = {
    "update": "Changed on the container that runs.",
    "reconnect": "Changed on the container that runs, by leaving and joining networks.",
    "replace": "A change needs a new container.",
}
OTHERS: Mapping[str, Form] = {
    "x-hosts": placement.FORM,
    "deploy": deploy.FORM,
    "depends_on": checks.FORM,
    "pull_policy": forms.choice(list(PULLS)),
    "secrets": files.FORM,
    "configs": files.FORM,
}
"""Keys of a service that are no field of a container."""


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 7) of the document that an operator puts."""
    top: Mapping[str, Form] = {
        "name": {"type": ["string", "number"], "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
        "x-cluster": _cluster(),
        "networks": _named(forms.either(networks.NETWORK, forms.NOTHING)),
        "volumes": _named(forms.either(networks.VOLUME, forms.NOTHING)),
        "secrets": _named(files.TOP_FORM),
        "configs": _named(files.TOP_FORM),
        "services": {
            "type": "object",
            "propertyNames": {"pattern": forms.NAME_KEYS},
            "additionalProperties": _service(),
        },
    }
    document = forms.section(top, ("name", "x-cluster", "services"), TOP_REFUSED)
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Swarmkeeper intent", **document}


def _named(form: Form) -> Form:
    """A section of the top level, which may also be left empty."""
    return {
        "type": ["object", "null"],
        "propertyNames": {"pattern": forms.NAME_KEYS},
        "additionalProperties": form,
    }


def _service() -> Form:
    known = {key: {**field.form, "description": _description(field)} for key, field in FIELDS.items()}
    return forms.section({**known, **forms.of(OTHER_KEYS, OTHERS)}, ["image"], SERVICE_REFUSED)


def _description(field: Field) -> str:
    rows = {row.field: row for row in TABLE}
    if field.attribute is None:
        return _REPAIRS["replace"]
    row = rows[field.attribute]
    return f"In the engine: {row.at}. {_REPAIRS[row.repair]}"


def _cluster() -> Form:
    host = forms.section(
        forms.of(
            cluster.HOST_KEYS,
            {
                "address": forms.ADDRESS,
                "role": forms.choice(get_args(Role)),
                "availability": forms.choice(get_args(Availability)),
                "labels": forms.PAIRS,
            },
        ),
        ("address", "role"),
        extensions=False,
    )
    bridge = forms.section(
        forms.of(
            cluster.BRIDGE_KEYS,
            {
                "subnet": forms.NETWORK,
                "gateway": forms.ADDRESS,
                "driver_opts": forms.PAIRS,
                "method": forms.choice(get_args(BridgeMethod)),
            },
        ),
        ["subnet"],
        cluster.BRIDGE_REFUSED,
        extensions=False,
    )
    sections: Mapping[str, Form] = {
        "version": {"enum": [cluster.VERSION, str(cluster.VERSION)]},
        "hosts": {"type": "object", "minProperties": 1, "additionalProperties": host},
        "swarm": _swarm(),
        "gwbridge": bridge,
        "policy": _policy(),
    }
    return forms.section(forms.of(cluster.KEYS, sections), ("version", "hosts", "gwbridge"), extensions=False)


def _swarm() -> Form:
    tokens = {"rotate": forms.choice(get_args(Rotation)), "ttl": forms.DURATION}
    known: Mapping[str, Form] = {
        "default_addr_pool": forms.list_of(forms.NETWORK, 1),
        "default_addr_pool_mask_length": forms.integer(8, 29),
        "data_path_port": forms.integer(1024, 49151),
        "join_tokens": forms.section(forms.of(cluster.TOKEN_KEYS, tokens), extensions=False),
        "autolock": forms.BOOLEAN,
    }
    return forms.section(forms.of(cluster.SWARM_KEYS, known), refused=cluster.SWARM_REFUSED, extensions=False)


def _policy() -> Form:
    known: Mapping[str, Form] = {
        "mode": forms.choice(get_args(Mode)),
        "unmanaged": forms.choice(get_args(Unmanaged)),
        "max_unavailable_hosts": forms.integer(1, 1),
        "deletion_guard": {"type": "string", "pattern": "^(100|[1-9]?[0-9])%$"},
        "confirm": {"type": ["string", "integer", "number"]},
        "allow_network_recreate": forms.BOOLEAN,
        "resolve_digests": forms.BOOLEAN,
        "pin_addresses": forms.BOOLEAN,
        "reschedule_after": forms.DURATION,
    }
    return forms.section(forms.of(cluster.POLICY_KEYS, known), extensions=False)
