"""A container that the swarm gave an address which its own host has given away already.

A swarm whose managers lost what they knew last (the raft leader died, or was restored from a copy) gives an address a
second time. On another host than the first one both containers run (planner/addresses/doubles.py); on the same host
dockerd refuses the start. The swarm remembers the address by the id of the container, through every further start and
through a disconnect, so that only another container gets another one (docs/engine-quirks.md, measured).
"""

from agent.model.observed import ContainerState
from agent.model.records import Copy, CopyReport
from agent.model.spec import ContainerSpec

REFUSED = "address already in use"
"""All that docker says then, in lower case. A process of the host that has a port is told in more words (ports.py)."""
_NOT_UP = ("created", "exited")


def is_misgiven(found: ContainerState | CopyReport, copy: Copy, spec: ContainerSpec) -> bool:
    """Whether no start of `found` will ever succeed, and one of a new container would.

    One that asks for its address, fixed in its `spec` or pinned for the `copy`, would only ask again. Placeholders say
    nothing of that, and need not have a value: a container that is there has been made with one.
    """
    refused = found.status in _NOT_UP and found.error.strip().lower() == REFUSED
    pinned = dict(copy.addresses)
    return refused and not any(each.ipv4_address or each.network in pinned for each in spec.networks)
