"""One host, as its dockerd and its kernel tell of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network

from agent.model.intent import GWBRIDGE
from agent.model.observed.container import Attached, ContainerState
from agent.model.observed.network import LinkState, NetworkState
from agent.model.observed.swarm import SwarmState
from agent.model.spec import Pairs

GOSSIP = "7946/tcp"
"""Where the dockerds of a swarm tell each other who is on which overlay (docs.docker.com: swarm mode, open ports)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """One host: its engine and its kernel."""

    engine_version: str
    live_restore: bool
    swarm: SwarmState
    settles_in_s: float = 0.0
    """How long ago the host came into the swarm is too short by so much for its first step onto an overlay."""
    networks: tuple[NetworkState, ...] = ()
    containers: tuple[ContainerState, ...] = ()
    foreign_names: Pairs = ()
    """(name, id) of the containers that are not ours."""
    attached: tuple[Attached, ...] = ()
    """Every container of the engine, by name."""
    doubtful: frozenset[str] = frozenset()
    """Ids of those that lack their gateway, but not for long: one that ends has lost it before docker says so. And of
    those that have one and do not run, but not for long: one that starts has it before docker says so."""
    images: frozenset[str] = frozenset()
    """Those of the wanted image references that are here, and other tags of their repositories: a step back to one
    of those pulls nothing, and a plan should know."""
    image_ids: Pairs = ()
    """(reference, id) of the wanted image references that are here, sorted."""
    pulled: Mapping[str, float] = field(default_factory=dict)
    """Image reference -> how long ago this run of the agent last pulled it, in seconds."""
    volumes: frozenset[str] = frozenset()
    bridge_link: LinkState | None = None
    """The device docker_gwbridge; None when the kernel has none."""
    routes: tuple[tuple[IPv4Network, str], ...] = ()
    """(destination, device), without the default route."""
    listening: tuple[str, ...] | None = None
    """What processes listen on, in the form of `Attached.ports`; None: not looked, as no start has failed for it or
    for a network and the host is in a swarm."""
    addresses: tuple[tuple[IPv4Interface, str], ...] = ()
    """(address, device) of every device that has one, up or down: a device that is down has no route."""

    @property
    def gossip_is_taken(self) -> bool:
        """Whether somebody listens where dockerd will talk to the other hosts about overlays once it is in a swarm."""
        return any(f":{each}".endswith(f":{GOSSIP}") for each in self.listening or ())

    @property
    def gossip_is_silent(self) -> bool:
        """Whether the host is in a swarm and nobody is seen to listen there; not so while nobody has looked."""
        return self.swarm.local == "active" and self.listening is not None and not self.gossip_is_taken

    def network(self, name: str) -> NetworkState | None:
        """The network of that name; of several (engine 20.10 allows it) the first."""
        return next((each for each in self.networks if each.name == name), None)

    @property
    def bridges(self) -> tuple[NetworkState, ...]:
        """Every network named docker_gwbridge: there should be one at most."""
        return tuple(each for each in self.networks if each.name == GWBRIDGE)
