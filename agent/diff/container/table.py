"""The table of all fields, and what is made of a spec by it: the shape, the labels and the create request.

The labels of a container alone make it a replica of this cluster.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import field, replace

from agent.diff.container import isolation, limits, network, process, storage
from agent.diff.container.network import aliases
from agent.diff.container.process import PREFIX
from agent.diff.container.row import Body, FieldMapping, Found
from agent.diff.container.storage import with_carried
from agent.model import Frozen, earlier
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec, Key, Pairs

_BY_NAME = {row.field: row for part in (process, network, storage, limits, isolation) for row in part.ROWS}

TABLE: tuple[FieldMapping, ...] = tuple(_BY_NAME[name] for name in ContainerSpec.__dataclass_fields__)


# ---- Fields whose change needs a new container, and fields that are repaired on the running one

_FIXED: tuple[FieldMapping, ...] = tuple(row for row in TABLE if row.repair == "replace" == row.unset)
"""Fields that no container can change."""
_DROPPED: tuple[FieldMapping, ...] = tuple(row for row in TABLE if row.repair != "replace" and row.lossy)
"""Fields that a container can change and that its engine may have dropped."""


def shape(spec: ContainerSpec) -> str:
    """Hash of everything in `spec` that cannot change without a new container; the value of the container's label.

    It covers normal forms, so another spelling of a value gives the same shape, and so does the engine's usual
    value, declared or not: where an engine is configured otherwise, the comparison with the container shows it. Of the
    networks it covers the first, which the engine keeps as the container's network mode, and the names of those with a
    fixed address: while a container runs, an address removed from the spec looks the same as one that the swarm
    allocated. A reserved address is not covered, because the leader assigns it to nobody else while a container has it.
    The names of lossy fields are covered if declared: a container without the value does not show whether the
    engine dropped it or was never asked.
    """
    body: Body = {"HostConfig": {}}
    for row in _FIXED:
        row.put(spec, body)
    made = Found({"HostConfig": body.pop("HostConfig"), "Config": body})
    declared = {
        row.field: value
        for row in _FIXED
        if _is_declared(row, spec) and (value := row.found(made)) != row.usual
    }
    declared |= {row.field: True for row in _DROPPED if _is_declared(row, spec)}
    first = [each.network for each in spec.networks[:1]]
    fixed = [each.network for each in spec.networks if each.ipv4_address]
    canonical = json.dumps([declared, first, fixed], sort_keys=True, default=sorted, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _is_declared(row: FieldMapping, spec: ContainerSpec) -> bool:
    return bool(getattr(spec, row.field) != ContainerSpec.__dataclass_fields__[row.field].default)


# ---- Identity: the labels of a container

CLUSTER = f"{PREFIX}cluster"
PROJECT = f"{PREFIX}project"
SERVICE = f"{PREFIX}service"
SLOT = f"{PREFIX}slot"
SPEC = f"{PREFIX}spec"
SHAPE = f"{PREFIX}shape"
"""The label with the hash of the fields that cannot change in place: see `shape`."""
CREATION = f"{PREFIX}creation"
"""The label of an overlay with a value that no other overlay has, not even a later one of the same name. A prune of
networks takes labels and no ids."""
_ASIDE = re.compile(r"(-[0-9a-f]{12})?")
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
    own = f"{found.get(PROJECT)}-{found.get(SERVICE)}-{_slot(found)}"
    return any(each.startswith(own) and _ASIDE.fullmatch(each, len(own)) for each in names)


def are_copied(found: Mapping[str, str], image: Mapping[str, str]) -> bool:
    """Return True if a container has its labels from its `image`: `docker commit` writes those of a replica there."""
    same = all(found.get(each) == image.get(each) for each in (CLUSTER, SERVICE, SPEC))
    return same and _slot(found) == _slot(image)


def identity(found: Mapping[str, str]) -> Replica | None:
    """The replica that the labels name; None if they name none or are malformed."""
    service, slot, spec = found.get(SERVICE, ""), _slot(found), found.get(SPEC, "")
    if not service or not spec or not (slot.isascii() and slot.isdigit()):
        return None
    return Replica(service=service, slot=int(slot), spec=spec)


def _slot(found: Mapping[str, str]) -> str:
    return found.get(SLOT, found.get(earlier.SLOT_LABEL, ""))


def by_slot(replicas: Iterable[Replica]) -> dict[Key, Replica]:
    return {replica.key: replica for replica in replicas}


# ---- The engine's create request of a spec


class CreateRequest(Frozen):
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
    more = tuple(replace(each, aliases=aliases(each, replica.service)) for each in spec.networks[1:])
    return CreateRequest(name=name, replica=replica, body=body, more=more)
