"""ContainerSpec and the engine: one table says how each field is created, read back, compared and repaired. No I/O."""

from agent.diff.container.compare import describe_change, differences, differing, in_place, regarded
from agent.diff.container.fill import FillContext, fill, overlays_in
from agent.diff.container.limits import update_request
from agent.diff.container.network import aliases, chosen_ports, endpoint
from agent.diff.container.process import leaves_entrypoint, with_entrypoint
from agent.diff.container.row import familiar, split
from agent.diff.container.storage import CONFIGS, carried_volumes, is_anonymous, with_carried
from agent.diff.container.table import (
    CLUSTER,
    CREATION,
    SHAPE,
    TABLE,
    CreateRequest,
    are_copied,
    by_slot,
    create_request,
    identity,
    is_called_so,
)

__all__ = [
    "CLUSTER", "CONFIGS", "CREATION", "SHAPE", "TABLE", "CreateRequest", "FillContext", "aliases", "are_copied",
    "by_slot", "carried_volumes", "chosen_ports", "create_request", "describe_change", "differences", "differing",
    "endpoint", "familiar", "fill", "identity", "in_place", "is_anonymous", "is_called_so", "leaves_entrypoint",
    "overlays_in", "regarded", "split", "update_request", "with_carried", "with_entrypoint",
]  # fmt: skip
