"""What aliases make large, although the document is not: the lines to be split, and what goes into etcd."""

import msgspec

from agent.model.intent import ServiceIntent
from agent.model.spec import ContainerSpec
from agent.yamldoc import Cursor
from agent.yamldoc.nodes import Scalar

MOST_SPLIT = 500_000
"""Characters of all commands and entrypoints that are lines: splitting one takes long, and its words take twenty times
the memory."""
LARGEST_SPEC = 1_500_000
"""Bytes of a service as it is kept, in JSON. etcd refuses a request of more than 1.5 MiB (--max-request-bytes)."""
MOST_OF_SPECS = 6_000_000
"""The same for all services together. An agent that leads needs about ten times that much memory for them."""

_DEFAULTS = len(msgspec.json.encode(ContainerSpec(image="")))
"""Bytes of what is left out when a spec is kept. Its canonical form would say the same, and takes longer."""


def check_lines(services: Cursor) -> bool:
    """Whether the services can be read in a bearable time; notes a fault when not."""
    left = MOST_SPLIT
    for _, service in services.entries() if services.is_mapping else ():
        for key in ("command", "entrypoint"):
            # Where the key is missing this is the service itself, a mapping.
            place = service.at(key)
            if isinstance(place.node, Scalar):
                left -= len(place.node.text)
            if left < 0:
                problem = f"more than {MOST_SPLIT} characters of commands that are lines, aliases expanded"
                place.hidden().fault(problem, "write them as lists")
                return False
    return True


def check_specs(root: Cursor, services: tuple[ServiceIntent, ...]) -> None:
    """Note a fault for each service that no key of etcd can hold, and when all are too much for it and the agents."""
    whole = 0
    for each in services:
        size = len(msgspec.json.encode(each.spec)) - _DEFAULTS
        if size > LARGEST_SPEC:
            _refuse(root.at("services", each.name), "has", size, LARGEST_SPEC)
        whole += size
    if whole > MOST_OF_SPECS:
        _refuse(root.at("services"), "have", whole, MOST_OF_SPECS)


def _refuse(place: Cursor, has: str, size: int, most: int) -> None:
    place.hidden().fault(f"{has} {size} bytes as JSON, aliases expanded", f"{most} are the most")
