"""The one table: every field of ContainerSpec, in the order of the dataclass."""

from agent.diff.container import isolation, limits, network, process, storage, usage
from agent.diff.container.row import Row
from agent.model.spec import ContainerSpec

_BY_NAME = {
    row.field: row for part in (process, network, storage, limits, usage, isolation) for row in part.ROWS
}

TABLE: tuple[Row, ...] = tuple(_BY_NAME[name] for name in ContainerSpec.__dataclass_fields__)
