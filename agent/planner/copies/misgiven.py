"""A container that the swarm gave an address which its own host has given away already.

A swarm whose managers lost what they knew last (the raft leader died, or was restored from a copy) gives an address a
second time. On another host than the first one both containers run (planner/addresses/doubles.py); on the same host
dockerd refuses the start. The swarm remembers the address by the id of the container, through every further start and
through a disconnect, so that only another container gets another one (docs/engine-quirks.md, measured).
"""

from agent.model.observed import ContainerState
from agent.model.records import Copy, CopyReport
from agent.model.spec import ContainerSpec
from agent.planner.copies.ports import IN_USE

MISGIVEN = "the swarm gave it an address that this host has given to another container"
_NOT_UP = ("created", "exited")


def is_misgiven(found: ContainerState | CopyReport, copy: Copy, spec: ContainerSpec) -> bool:
    """Whether no start of `found` will ever succeed, and one of a new container would.

    One that asks for its address, fixed in its `spec` or pinned for the `copy`, would only ask again. Placeholders say
    nothing of that, and need not have a value: a container that is there has been made with one.
    """
    refused = found.status in _NOT_UP and is_about_an_address(found.error)
    pinned = dict(copy.addresses)
    return refused and not any(each.ipv4_address or each.network in pinned for each in spec.networks)


def is_about_an_address(error: str) -> bool:
    """Whether docker refuses a start for the address on a network: of a port it says the same with more around it."""
    return error.strip().lower() == IN_USE
