"""ContainerSpec and the engine: one table says how each field is created, read back, compared and put right. No I/O."""

from agent.fields.compare import describe_change, differences
from agent.fields.fill import FillContext, fill, uses_overlay_address
from agent.fields.identity import CLUSTER, are_copied, identity, is_called_so
from agent.fields.in_place import by_number, differing, in_place, regarded
from agent.fields.limits import update_request
from agent.fields.network import aliases, endpoint
from agent.fields.reference import familiar, split
from agent.fields.request import CreateRequest, create_request
from agent.fields.row import Row
from agent.fields.shape import shape
from agent.fields.table import TABLE

__all__ = [
    "CLUSTER",
    "TABLE",
    "CreateRequest",
    "FillContext",
    "Row",
    "aliases",
    "are_copied",
    "by_number",
    "create_request",
    "describe_change",
    "differences",
    "differing",
    "endpoint",
    "familiar",
    "fill",
    "identity",
    "in_place",
    "is_called_so",
    "regarded",
    "shape",
    "split",
    "update_request",
    "uses_overlay_address",
]
