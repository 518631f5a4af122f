"""A container of the engine: one of ours, or anybody's with its networks."""

from dataclasses import dataclass, field
from typing import Literal

from agent.model.records import Copy
from agent.model.spec import Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field of a running copy that is not as its spec says: changed by hand, or lost."""

    field: str
    wanted: str
    found: str
    repair: Literal["replace", "update", "reconnect", "none"]
    """replace: needs a new container; update: `docker update`; reconnect: leave and join the network `subject`; none:
    this engine or kernel cannot do it and dropped it, so nothing helps."""
    subject: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.wanted} wanted, {self.found} found"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """A container that carries our labels for this cluster."""

    id: str
    name: str
    copy: Copy
    """What its labels say it is."""
    status: Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
    health: str = ""
    """starting, healthy, unhealthy, or empty when the image has no check."""
    exit_code: int = 0
    error: str = ""
    """Docker's own words when it could not be started."""
    started_at: str = ""
    finished_at: str = ""
    restarts: int = 0
    addresses: Pairs = ()
    """(network, IPv4 address) of every network it belongs to; no address while it does not run."""
    up_s: float = 0.0
    """How long this agent has seen it run since it was started last."""
    image: str = ""
    """Id of the image it was made from; empty: not known."""
    grace_s: float | None = None
    """How long its stop may take, as it was made; None: that was not said, or is not known."""
    crashes: int = 0
    """How often in a row it ended soon after its start, as far as this run of the agent has seen."""
    rests_s: float = 0.0
    """How long the agent leaves it ended before it starts it again, from now on."""
    output: tuple[str, ...] = field(default=(), repr=False)
    """The last lines it wrote before it ended last, while it goes on doing that; without what is known to be secret."""
    busy: bool = False
    """dockerd is working on it, and answers for it only when that is done: little else is known then."""
    differences: tuple[Difference, ...] = ()
    """Against the spec its label names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A container, ours or not, and the networks it is on, or will be on when it is started."""

    id: str
    name: str
    running: bool = True
    """Or paused: it has its networks now."""
    networks: tuple[str, ...] = ()
    """Their names, sorted."""
    ports: tuple[str, ...] = ()
    """What it publishes on the host, as `8080/tcp` or, on one address only, `10.0.0.1:8080/tcp`; sorted."""
    task: bool = False
    """Of a swarm service: the swarm made it, and takes it away."""
