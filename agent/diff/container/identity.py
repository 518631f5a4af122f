"""Which replica a container is: a few labels, and nothing else, make it ours."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.diff.container.network import aliases
from agent.diff.container.process import PREFIX
from agent.diff.container.row import Body
from agent.diff.container.table import TABLE, shape
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec, Key

CLUSTER = f"{PREFIX}cluster"
PROJECT = f"{PREFIX}project"
SERVICE = f"{PREFIX}service"
SLOT = f"{PREFIX}slot"
SPEC = f"{PREFIX}spec"
SHAPE = f"{PREFIX}shape"
"""What of the spec cannot change in place: see shape.py."""
_ASIDE = r"(-[0-9a-f]{12})?"
"""Behind the name of a replica while another container has that."""


def labels(replica: Replica, project: str, cluster: str) -> dict[str, str]:
    """The labels that make a container this replica of this cluster. The project is there for people."""
    return {
        CLUSTER: cluster,
        PROJECT: project,
        SERVICE: replica.service,
        SLOT: str(replica.slot),
        SPEC: replica.spec,
    }


def is_called_so(found: Mapping[str, str], names: Iterable[str]) -> bool:
    """Whether a container with those labels has the name of the replica that they say, or one that an agent gave it."""
    own = re.escape(f"{found.get(PROJECT)}-{found.get(SERVICE)}-{found.get(SLOT)}")
    return any(re.fullmatch(f"{own}{_ASIDE}", each) for each in names)


def are_copied(found: Mapping[str, str], image: Mapping[str, str]) -> bool:
    """Whether the labels of a container are those of its `image`: `docker commit` puts those of a replica there."""
    return all(found.get(each) == image.get(each) for each in (CLUSTER, SERVICE, SLOT, SPEC))


def identity(found: Mapping[str, str]) -> Replica | None:
    """Which replica those labels say it is; None when they say none, or not well."""
    service, slot, spec = (found.get(each, "") for each in (SERVICE, SLOT, SPEC))
    if not service or not spec or not (slot.isascii() and slot.isdigit()):
        return None
    return Replica(service=service, slot=int(slot), spec=spec)


def by_slot(replicas: Iterable[Replica]) -> dict[Key, Replica]:
    """Replicas by service and slot."""
    return {replica.key: replica for replica in replicas}


# ---- A spec as the engine takes it


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """POST /containers/create, and the networks to connect to after it and before the start."""

    name: str
    replica: Replica
    body: Body = field(repr=False)
    """Has the environment in it, therefore not shown."""
    more: tuple[Attachment, ...] = ()
    """Their aliases are complete: the service's name is among them."""


def create_request(
    spec: ContainerSpec, replica: Replica, project: str, cluster: str, name: str
) -> CreateRequest:
    """How to create `replica` under `name`. `spec` has its placeholders filled in.

    `replica.spec` names the unfilled one.
    """
    body: Body = {"HostConfig": {}, "Labels": {**labels(replica, project, cluster), SHAPE: shape(spec)}}
    for row in TABLE:
        row.put(spec, body)
    more = tuple(_named(each, replica.service) for each in spec.networks[1:])
    return CreateRequest(name=name, replica=replica, body=body, more=more)


def _named(attachment: Attachment, service: str) -> Attachment:
    return replace(attachment, aliases=aliases(attachment, service))
