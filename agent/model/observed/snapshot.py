"""All of it at one moment, and what this agent knows of itself and of the time before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent.model.observed.cluster import ClusterState
from agent.model.observed.host import HostState
from agent.model.rollout import CopyKey, CopyWatch
from agent.model.store import Fence


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything a plan is made from."""

    me: str
    """This host's name in the intent."""
    host: HostState | None
    """None: dockerd does not answer."""
    cluster: ClusterState | None
    """None: etcd does not answer and nothing is known from before."""
    stale: bool = False
    """etcd does not answer; `cluster` is what it said last."""
    store_fault: str = ""
    """Why etcd could not be read, in words."""
    source: Literal["etcd", "disk"] = "etcd"
    """Where the assignment that counts is from; disk: what was kept there, by this run of the agent or before."""
    seen_at: float = 0.0
    """When etcd last said so, as far as is known, in seconds since the epoch; 0: never."""
    state_fault: str = ""
    """Why what is in force is not kept on this host's disk, in words; empty: it is."""
    engine_fault: str = ""
    """Why dockerd could not be read, in words."""
    engine_away_s: float = 0.0
    """How long dockerd has not answered, in seconds; 0: it does."""
    nodes_unseen_s: float = 0.0
    """How long this manager has not seen the swarm's nodes, in seconds; 0: it does, or it is none."""
    fence: Fence | None = None
    """None: not leading."""
    lock_unread: Fence | None = None
    """The leader lock that was ours when etcd was last read, while it cannot be read and the lease is ours still."""
    unread_s: float = 0.0
    """For how many seconds etcd has gone on renewing that lease since."""
    led_s: float = 0.0
    """For how many seconds this host has led; 0: it does not."""
    unled_s: float = 0.0
    """For how many seconds the leader lock has been seen free; 0: it is not, or that cannot be told."""
    lease: bool = False
    """Whether a lease is provably ours now: without one nobody may campaign."""
    in_flight: frozenset[str] = frozenset()
    """The resources that steps are working on: nothing more is planned for them meanwhile."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Resource -> why the last try of the step that is planned for it failed, in the words of the other side."""
    instance: str = ""
    """This run of the agent, as its presence names it."""
    boot_id: str = ""
    """This boot of the machine."""
    machine_id: str = ""
    """The machine, as long as nobody copies it."""
    advertise: str | None = None
    """The operator's own choice of address (agent.yaml); None: the one the intent declares."""
    watches: Mapping[CopyKey, CopyWatch] = field(default_factory=dict)
    """Of each assigned copy, what this leader has seen of it over time; empty on everybody else."""
    tokens_age_s: float = 0.0
    """How long this leader has seen the published join tokens as they are; 0 on everybody else."""
    reveals: bool = False
    """Whether reasons may hold values that can be secret: for an operator who asked for them, never for an agent."""
    lost_s: Mapping[str, float] = field(default_factory=dict)
    """Host -> for how many seconds this leader has seen it gone, its agent and its node, as
    `agent/diff/lost_hosts.py` tells that."""
