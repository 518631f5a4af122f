"""What a plan is made from: what etcd held, and what this agent knows of itself and of the time before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent.model import records
from agent.model.faults import Fault
from agent.model.host_state import HostState
from agent.model.intent import Intent
from agent.model.spec import ContainerSpec, Pairs
from agent.model.status import HostStatus
from agent.model.store import Fence

ReplicaKey = tuple[str, str, int]
"""(host, service, slot)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaTimers:
    """What this leader has seen of one replica since it leads."""

    steady_s: float = 0.0
    """How long its host has said the same of it, or has been away."""
    ended: bool = False
    """Whether it was seen running with the spec it is to have, and ended since, however it looks now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The operator's document as found in etcd: parsed, or what is wrong with it."""

    revision: int
    intent: Intent | None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """What etcd held at `revision`, as far as this agent reads it."""

    revision: int
    document: Document | None = None
    """The newest, accepted or not; None: there is no intent key."""
    accepted: Intent | None = None
    """What is accepted: what etcd says, unless this host knows something newer."""
    epoch: int = 0
    """Of what is accepted: how often an operator has confirmed an etcd that had been rolled back."""
    accepted_held: bool = False
    """Whether etcd has that no more, or nothing that can be read: not everybody may know it."""
    store_rolled_back: str = ""
    """What in etcd is older than what this host knows to be accepted, in words; empty: nothing."""
    confirmed: bool = False
    """Whether an operator has put `document` since that was noticed, or it is what is accepted anyway."""
    verdict: records.Verdict | None = None
    leader: str | None = None
    """Host name of the holder of the leader lock."""
    record: records.SwarmRecord | None = None
    record_held: bool = False
    """Whether the record in etcd cannot be read: `record` is the last one that could be, if any."""
    record_revision: int = 0
    """mod_revision of the record; 0: there is none."""
    tokens: records.Tokens | None = None
    tokens_exposed: bool = False
    """Whether they are there unsealed, though this host has a key to seal them with."""
    tokens_locked: bool = False
    """Whether they are sealed with a key that this host does not have."""
    unlock: records.UnlockKeys | None = None
    unlock_aged: bool = False
    """Whether they are sealed otherwise than this host would seal them now."""
    unlock_locked: bool = False
    """Whether they are there and this host cannot open them."""
    can_seal: bool = True
    """Whether this host has a key to seal with."""
    disruption: records.Disruption | None = None
    disruption_revision: int = 0
    """mod_revision of the disruption; 0: there is none."""
    assignment: records.Assignment | None = None
    """This host's own."""
    assignment_held: bool = False
    """Whether it is not in etcd like that any more."""
    membership_order: records.MembershipOrder | None = None
    """Of this host's membership."""
    presence: records.Presence | None = None
    """Whichever agent is there under this host's name."""
    presence_lost: bool = False
    """Whether there is none, though this agent holds the lease that it has put its own on."""
    specs: Mapping[str, ContainerSpec] = field(default_factory=dict)
    """By hash: those this host's assignment and containers name."""
    unreadable: Pairs = ()
    """(key, problem) of the keys of ours that could not be read: they are held, never guessed at."""
    newer: tuple[str, ...] = ()
    """Of those, the keys that a newer agent has written as leader."""
    # The leader's own reading; empty on everybody else.
    assignments: Mapping[str, records.Assignment] = field(default_factory=dict)
    stored_specs: frozenset[str] = frozenset()
    membership_orders: Mapping[str, records.MembershipOrder] = field(default_factory=dict)
    statuses: Mapping[str, HostStatus] = field(default_factory=dict)
    present: Mapping[str, str] = field(default_factory=dict)
    """Host -> the agent instance that is there now."""
    digests: records.Digests | None = None
    digests_revision: int = 0
    """mod_revision of the digests; 0: there are none."""
    rollouts: Mapping[str, records.Rollout] = field(default_factory=dict)
    """By service: those that are under way or did not come out as the intent says."""

    def status_of(self, host: str) -> HostStatus | None:
        """What a host says of itself, if it says it in this run of its agent."""
        status = self.statuses.get(host)
        return status if status and self.present.get(host) == status.instance else None


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
    store_error: str = ""
    """Why etcd could not be read, in words."""
    source: Literal["etcd", "disk"] = "etcd"
    """Where the assignment that counts is from; disk: what was kept there, by this run of the agent or before."""
    seen_at: float = 0.0
    """When etcd last said so, as far as is known, in seconds since the epoch; 0: never."""
    state_fault: str = ""
    """Why what is accepted is not kept on this host's disk, in words; empty: it is."""
    engine_error: str = ""
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
    watches: Mapping[ReplicaKey, ReplicaTimers] = field(default_factory=dict)
    """Of each assigned replica, what this leader has seen of it over time; empty on everybody else."""
    tokens_age_s: float = 0.0
    """How long this leader has seen the published join tokens as they are; 0 on everybody else."""
    show_secrets: bool = False
    """Whether reasons may hold values that can be secret: for an operator who asked for them, never for an agent."""
    lost_s: Mapping[str, float] = field(default_factory=dict)
    """Host -> for how many seconds this leader has seen it gone, its agent and its node, as
    `agent/diff/nodes.py` tells that."""
