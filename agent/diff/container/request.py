"""A spec as the engine takes it."""

from dataclasses import dataclass, field, replace

from agent.diff.container.identity import SHAPE, labels
from agent.diff.container.network import aliases
from agent.diff.container.row import Body
from agent.diff.container.shape import shape
from agent.diff.container.table import TABLE
from agent.model.records import Copy
from agent.model.spec import Attachment, ContainerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """POST /containers/create, and the networks to connect to after it and before the start."""

    name: str
    copy: Copy
    body: Body = field(repr=False)
    """Has the environment in it, therefore not shown."""
    more: tuple[Attachment, ...] = ()
    """Their aliases are complete: the service's name is among them."""


def create_request(spec: ContainerSpec, copy: Copy, project: str, cluster: str, name: str) -> CreateRequest:
    """How to create `copy` under `name`. `spec` has its placeholders filled in; `copy.spec` names the unfilled one."""
    body: Body = {"HostConfig": {}, "Labels": {**labels(copy, project, cluster), SHAPE: shape(spec)}}
    for row in TABLE:
        row.put(spec, body)
    more = tuple(_named(each, copy.service) for each in spec.networks[1:])
    return CreateRequest(name=name, copy=copy, body=body, more=more)


def _named(attachment: Attachment, service: str) -> Attachment:
    return replace(attachment, aliases=aliases(attachment, service))
