"""Which copy a container is: a few labels, and nothing else, make it ours."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.diff.container.network import aliases
from agent.diff.container.process import PREFIX
from agent.diff.container.row import Body
from agent.diff.container.table import TABLE, shape
from agent.model.records import Copy
from agent.model.spec import Attachment, ContainerSpec, Key

CLUSTER = f"{PREFIX}cluster"
PROJECT = f"{PREFIX}project"
SERVICE = f"{PREFIX}service"
NUMBER = f"{PREFIX}copy"
SPEC = f"{PREFIX}spec"
SHAPE = f"{PREFIX}shape"
"""What of the spec cannot change in place: see shape.py."""
_ASIDE = r"(-[0-9a-f]{12})?"
"""Behind the name of a copy while another container has that."""


def labels(copy: Copy, project: str, cluster: str) -> dict[str, str]:
    """The labels that make a container this copy of this cluster. The project is there for people."""
    return {
        CLUSTER: cluster,
        PROJECT: project,
        SERVICE: copy.service,
        NUMBER: str(copy.number),
        SPEC: copy.spec,
    }


def is_called_so(found: Mapping[str, str], names: Iterable[str]) -> bool:
    """Whether a container with those labels has the name of the copy that they say, or one that an agent gave it."""
    own = re.escape(f"{found.get(PROJECT)}-{found.get(SERVICE)}-{found.get(NUMBER)}")
    return any(re.fullmatch(f"{own}{_ASIDE}", each) for each in names)


def are_copied(found: Mapping[str, str], image: Mapping[str, str]) -> bool:
    """Whether the labels of a container are those of its `image`: `docker commit` puts those of a copy there."""
    return all(found.get(each) == image.get(each) for each in (CLUSTER, SERVICE, NUMBER, SPEC))


def identity(found: Mapping[str, str]) -> Copy | None:
    """Which copy those labels say it is; None when they say none, or not well."""
    service, number, spec = (found.get(each, "") for each in (SERVICE, NUMBER, SPEC))
    if not service or not spec or not (number.isascii() and number.isdigit()):
        return None
    return Copy(service=service, number=int(number), spec=spec)


def by_number(copies: Iterable[Copy]) -> dict[Key, Copy]:
    """Copies by service and number."""
    return {copy.key: copy for copy in copies}


# ---- A spec as the engine takes it


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
