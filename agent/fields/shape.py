"""What of a spec needs a new container when it changes, and what is put right on the one that runs."""

from dataclasses import replace
from typing import Any

from agent.fields.table import TABLE
from agent.model.spec import Attachment, ContainerSpec, spec_hash

_UNSAID: dict[str, Any] = {
    row.field: ContainerSpec.__dataclass_fields__[row.field].default
    for row in TABLE
    if row.repair == "update"
}
_FIXED = "fixed"


def shape(spec: ContainerSpec) -> str:
    """A hash of all of `spec` that cannot change without a new container; on the container's label.

    Of the networks that is the first, which the engine keeps as the container's mode, and which of them have a fixed
    address: while a container runs, an address that is no longer wanted cannot be told from one that was given out.
    """
    first = tuple(Attachment(network=each.network) for each in spec.networks[:1])
    fixed = (
        Attachment(network=each.network, ipv4_address=_FIXED) for each in spec.networks if each.ipv4_address
    )
    return spec_hash(replace(spec, **_UNSAID, networks=(*first, *fixed)))
