"""Identity of a container: its labels alone make it a replica of this cluster."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.diff.container.network import aliases
from agent.diff.container.process import PREFIX
from agent.diff.container.row import Body
from agent.diff.container.storage import with_carried
from agent.diff.container.table import TABLE, shape
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec, Key, Pairs

CLUSTER = f"{PREFIX}cluster"
PROJECT = f"{PREFIX}project"
SERVICE = f"{PREFIX}service"
SLOT = f"{PREFIX}slot"
SPEC = f"{PREFIX}spec"
SHAPE = f"{PREFIX}shape"
"""The label with the hash of the fields that cannot change in place: see `shape` in table.py."""
CREATION = f"{PREFIX}creation"
"""The label of an overlay with a value that no other overlay has, not even a later one of the same name. A prune of
networks takes labels and no ids."""
_ASIDE = r"(-[0-9a-f]{12})?"
"""Suffix of a container's name while another container has the name of its replica."""


def labels(replica: Replica, project: str, cluster: str) -> dict[str, str]:
    """The labels that make a container this replica of this cluster. The project is for people only."""
    return {
        CLUSTER: cluster,
        PROJECT: project,
        SERVICE: replica.service,
        SLOT: str(replica.slot),
        SPEC: replica.spec,
    }


def is_called_so(found: Mapping[str, str], names: Iterable[str]) -> bool:
    """Return True if `names` has the name of the labels' replica, or one that an agent gave the container."""
    own = re.escape(f"{found.get(PROJECT)}-{found.get(SERVICE)}-{found.get(SLOT)}")
    return any(re.fullmatch(f"{own}{_ASIDE}", each) for each in names)


def are_copied(found: Mapping[str, str], image: Mapping[str, str]) -> bool:
    """Return True if a container has its labels from its `image`: `docker commit` writes those of a replica there."""
    return all(found.get(each) == image.get(each) for each in (CLUSTER, SERVICE, SLOT, SPEC))


def identity(found: Mapping[str, str]) -> Replica | None:
    """The replica that the labels name; None if they name none or are malformed."""
    service, slot, spec = (found.get(each, "") for each in (SERVICE, SLOT, SPEC))
    if not service or not spec or not (slot.isascii() and slot.isdigit()):
        return None
    return Replica(service=service, slot=int(slot), spec=spec)


def by_slot(replicas: Iterable[Replica]) -> dict[Key, Replica]:
    return {replica.key: replica for replica in replicas}


# ---- The engine's create request of a spec


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """POST /containers/create, and the networks to connect between it and the start."""

    name: str
    replica: Replica
    body: Body = field(repr=False)
    """JSON of the request; not shown, because it has the environment."""
    more: tuple[Attachment, ...] = ()
    """Attachments with complete aliases, including the service's name."""


def create_request(
    spec: ContainerSpec, replica: Replica, project: str, cluster: str, name: str, carried: Pairs = ()
) -> CreateRequest:
    """The request that creates `replica` under `name`, from a `spec` with its placeholders filled in.

    `replica.spec` is the hash of the unfilled spec. `carried` has the anonymous volumes of the container before.
    """
    body: Body = {"HostConfig": {}, "Labels": {**labels(replica, project, cluster), SHAPE: shape(spec)}}
    for row in TABLE:
        row.put(with_carried(spec, carried), body)
    more = tuple(_named(each, replica.service) for each in spec.networks[1:])
    return CreateRequest(name=name, replica=replica, body=body, more=more)


def _named(attachment: Attachment, service: str) -> Attachment:
    return replace(attachment, aliases=aliases(attachment, service))
