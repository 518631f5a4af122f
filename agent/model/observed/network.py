"""A network of the engine, and a device of the kernel."""

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from agent.model.spec import Pairs

GivenOut = tuple[tuple[str, str, str], ...]
"""(address, what, node id): who the swarm has given an address on an overlay, and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """A network of the engine. An overlay that was created but never allocated has an empty driver."""

    id: str
    name: str
    driver: str
    scope: str
    subnet: IPv4Network | None
    gateway: str | None
    options: Pairs = ()
    attachable: bool = False
    internal: bool = False
    labels: Pairs = ()
    endpoints: Pairs = ()
    """(whose, name) of the endpoints on it, for docker_gwbridge and the temporary network beside it: whose is the id of
    a container, or `ingress-sbox`."""
    ours: bool = False
    """Whether it carries the label of this cluster: then an agent made it."""
    peers: tuple[str, ...] = ()
    """An overlay that copies here are on: addresses of the hosts on it that this one has heard of, its own among them.
    Empty: not looked at."""
    users: Pairs = ()
    """An overlay of ours, seen by the leader: (what, node id) of all that keeps the swarm from removing it; containers
    by id, services (without a node) as `service <name>`."""
    holders: GivenOut | None = None
    """An overlay that addresses are pinned on, seen by the leader: (address, what, node id) of all addresses that the
    swarm has given out, with `what` as above. None: not looked at, or it could not be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """A network device as the kernel has it."""

    address: IPv4Interface | None
    up: bool
