"""A container that becomes another spec without being made anew."""

from collections.abc import Callable, Iterable, Mapping

from agent.diff.container.fill import FillContext, fill
from agent.diff.container.identity import SHAPE
from agent.diff.container.network import endpoint
from agent.diff.container.request import create_request
from agent.diff.container.row import Found
from agent.diff.container.shape import shape
from agent.diff.container.table import TABLE
from agent.errors import Invalid
from agent.model.observed import Difference
from agent.model.records import Copy
from agent.model.spec import ContainerSpec

FillFor = Callable[[Copy], FillContext]


def regarded(
    copy: Copy,
    labels: Mapping[str, str],
    assigned: Mapping[tuple[str, int], Copy],
    specs: Mapping[str, ContainerSpec],
    fill_for: FillFor,
) -> Copy:
    """Which copy a container with these `labels` is to be compared as.

    `copy` is what its labels say it was made as. If the spec that is assigned to it now asks for nothing that would
    need another container, it is that one: what differs is put right in place, and its labels stay as they were.
    `assigned` by service and number.
    """
    wanted = assigned.get((copy.service, copy.number), copy)
    spec = specs.get(wanted.spec)
    if wanted.made_as == copy or spec is None:
        return copy
    try:
        fits = labels.get(SHAPE) == shape(fill(spec, fill_for(wanted)))
    except Invalid:
        return copy
    return wanted.made_as if fits else copy


def by_number(copies: Iterable[Copy]) -> dict[tuple[str, int], Copy]:
    """Copies by service and number."""
    return {(copy.service, copy.number): copy for copy in copies}


def in_place(old: ContainerSpec, new: ContainerSpec, copy: Copy) -> tuple[Difference, ...] | None:
    """In what a container made as `old` will be found to differ from `new`; None: `new` needs another container."""
    if shape(old) != shape(new):
        return None
    made = _as_made(old, copy)
    return tuple(each for row in TABLE if row.repair != "replace" for each in row.compare(new, made))


def differing(old: ContainerSpec, new: ContainerSpec, copy: Copy) -> tuple[Difference, ...]:
    """In what a container made as `old` will be found to differ from `new`: one spec, otherwise filled in."""
    made = _as_made(old, copy)
    told = {each.field for row in TABLE for each in row.compare(old, made)}
    return tuple(each for row in TABLE for each in row.compare(new, made) if each.field not in told)


def _as_made(spec: ContainerSpec, copy: Copy) -> Found:
    """The container as far as it follows from its spec, and what the engine adds to fields that change in place."""
    request = create_request(spec, copy, project="", cluster="", name="")
    host = {"MemorySwap": 2 * (spec.memory_limit_bytes or 0), **request.body.pop("HostConfig")}
    endpoints = request.body.pop("NetworkingConfig", {}).get("EndpointsConfig", {})
    more = {each.network: endpoint(each, each.aliases) for each in request.more}
    return Found(
        {
            "Id": "",
            "Config": request.body,
            "HostConfig": host,
            "NetworkSettings": {"Networks": {**endpoints, **more}},
            "State": {"Status": "running"},
        }
    )
