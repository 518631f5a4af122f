"""Who is there, who leads, what the swarm is, and what the leader says to hosts about it."""

from dataclasses import dataclass, field
from typing import Literal

from agent.model.spec import Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """An agent is there. Goes away with its lease."""

    instance: str
    boot_id: str
    version: str
    since: str
    machine_id: str = ""
    """What /etc/machine-id says: a copy of a machine has the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderRecord:
    host: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmRecord:
    """The one swarm of the cluster, or who is making it."""

    claimed_by: str
    swarm_id: str | None = None
    """None: claimed, not made yet."""
    managers: Pairs = ()
    """(node id, address:port) to join at."""
    networks: tuple[str, ...] = ()
    """Overlays that containers can join: a worker cannot see them for itself."""
    recreating: tuple[str, ...] = ()
    """Overlays that are about to be made anew: whoever has copies on one takes them off it."""
    pool: tuple[str, ...] = ()
    """The networks that the swarm takes the subnets of overlays from: only managers are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The leader's word on what a host's engine says of its membership. No host leaves a swarm without one.

    A worker cannot know by itself that its swarm removed it, or was made anew: only a manager's list of nodes tells.
    """

    state: Literal["pending", "active", "error"]
    node_id: str | None
    """With `state`, what the host said: the ruling means nothing to a host of which that is no longer true."""
    what: Literal["leave", "hold"]
    """leave: leave the swarm; hold: another host has this node's identity, so do nothing at all."""
    reason: str

    def held(self, why: str) -> str:
        """What the host says, of its swarm, when it cannot do so; the leader finds it again by how it begins."""
        return f"{self.reason}; but {why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Join tokens of the recorded swarm. Without one for managers all join as workers, to be promoted later."""

    swarm_id: str
    worker: str = field(repr=False)
    manager: str = field(repr=False)
    sealed: str = field(default="", repr=False)
    """Both of them, sealed with a key of the hosts; the fields above are empty then. Empty: they are not sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disruption:
    """The one host whose turn it is to be disturbed.

    The leader offers, the host takes and gives back, each by comparing what it last saw: so at no time two hosts act on
    a turn. It hangs on no lease: a host that dies in its turn keeps it, and goes on with it when it is back.
    """

    host: str
    state: Literal["offered", "taken", "done"]
    reason: str
    quorum: bool
    """Whether the swarm had a leader when the turn was offered."""
