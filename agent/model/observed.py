"""The input of the planner: the content of etcd, the state of the host, and what the agent remembers."""

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Literal, TypeVar

from agent.model import Frozen, records
from agent.model.faults import Fault
from agent.model.history import Note
from agent.model.host_state import HostState, NodeState
from agent.model.intent import Handover, Intent
from agent.model.spec import ContainerSpec, Key, Pairs
from agent.model.status import HostStatus
from agent.model.store import Fence, Upkeep

ReplicaKey = tuple[str, str, int]
"""(host, service, slot)"""


Doubt = Literal["", "forged", "compacted"]
"""The fault of an accepted document in etcd: etcd's history of `intent` does not have it, or is compacted."""


class ReplicaTimers(Frozen):
    """Condition timers of one replica since this agent became the leader."""

    steady_s: float = 0.0
    """Seconds for which the report of its host has been the same, or its host unreachable."""
    ended: bool = False
    """True if the replica ran with its desired spec and has ended since, whatever its state is now."""


class Document(Frozen):
    """The operator's document in etcd, parsed, or with its faults."""

    revision: int
    intent: Intent | None
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()
    text: str = field(default="", repr=False)


class ClusterState(Frozen):
    """The content of etcd at `revision` that this agent reads."""

    revision: int
    root: str = ""
    """Beginning of the keys of the cluster."""
    document: Document | None = None
    """The newest document, accepted or not; None: no key `intent` exists."""
    accepted: Intent | None = None
    """The accepted document: the one in etcd, or a newer one on the disk of this host."""
    epoch: int = 0
    """Epoch of the accepted document: number of rollbacks of the store that operators have confirmed."""
    accepted_held: bool = False
    """True if etcd has lost the accepted document or its value is unreadable: other hosts may not know it."""
    accepted_text: str = field(default="", repr=False)
    """The source of `accepted`."""
    accepted_doubt: Doubt = ""
    """Reason against the accepted document in etcd; empty: it counts, or is absent or unreadable."""
    store_rolled_back: str = ""
    """Description of what in etcd is older than the accepted state on this host; empty: nothing."""
    confirmed: bool = False
    """True if an operator has applied `document` since the rollback was detected, or it equals the accepted one."""
    verdict: records.Verdict | None = None
    trial: records.Trial | None = None
    """Leader only: the trial of a document that no leader has finished."""
    leader: str | None = None
    """Host name of the leader; None: no host has the leader lock."""
    last_leader: records.LeaderRecord | None = None
    """The leader lock or, while it is free, the last one that this agent has seen; None: none."""
    record: records.SwarmRecord | None = None
    record_held: bool = False
    """True if the record in etcd is unreadable: `record` is the last readable one, if any, without ids of overlays."""
    record_revision: int = 0
    """mod_revision of the record; 0: no record exists."""
    tokens: records.Tokens | None = None
    tokens_exposed: bool = False
    """True if the leader must seal the tokens again: they are not sealed as this host does, or are earlier ones."""
    tokens_locked: bool = False
    """True if the tokens are sealed with a key that this host does not have."""
    tokens_sealed_at: int = 0
    """Time at which `tokens` were sealed, in seconds since 1970; 0: they are not sealed, or not opened."""
    unlock: records.UnlockKeys | None = None
    unlock_aged: bool = False
    """True if the leader must seal the unlock keys again: with its first key, or because they are earlier ones."""
    unlock_locked: bool = False
    """True if unlock keys are published and this host cannot open them."""
    can_seal: bool = True
    """True if this host has a sealing key."""
    disruption: records.Disruption | None = None
    disruption_revision: int = 0
    """mod_revision of the leader's key of the disruption slot; 0: no slot exists."""
    slot_revision: int = 0
    """mod_revision of the key with which the host of the slot acquires and releases it; 0: there is none."""
    may_lead: bool = True
    """False if the role of this agent in etcd does not let it read what a leader reads."""
    assignment: records.Assignment | None = None
    """Assignment of this host; None: none is known."""
    assigned_at: int = 0
    """Revision of the document from which on none asks something else of this host; 0: the accepted one does."""
    assignment_held: bool = False
    """True if etcd does not have that assignment any more."""
    refused: Mapping[Key, str] = field(default_factory=dict)
    """The reason why the accepted document does not allow what the assignment in etcd has of a replica."""
    membership_order: records.MembershipOrder | None = None
    """Membership order for this host; None: none was issued."""
    presence: records.Presence | None = None
    """Presence under this host's name, by this agent or another one; None: none exists."""
    presence_lost: bool = False
    """True if etcd lost the presence although this agent's lease, which carries it, is alive."""
    specs: Mapping[str, ContainerSpec] = field(default_factory=dict)
    """Hash -> spec, for the specs that the assignment and the containers of this host name."""
    unreadable: Pairs = ()
    """(key, problem) of the unreadable keys of this cluster. The last value that was read stays valid."""
    untrusted: frozenset[str] = frozenset()
    """The unreadable keys whose secrets are not sealed, or are earlier ones, or whose value no leader writes."""
    newer_format: tuple[str, ...] = ()
    """The unreadable keys that a newer agent wrote as leader."""
    # Leader only; empty on every other host. While a host has a membership order: statuses of itself and of managers.
    assignments: Mapping[str, records.Assignment] = field(default_factory=dict)
    stored_specs: frozenset[str] = frozenset()
    note: Note | None = None
    """Author and message of `document`; None: it was written without them."""
    history: frozenset[str] = frozenset()
    """Names below `history/`."""
    membership_orders: Mapping[str, records.MembershipOrder] = field(default_factory=dict)
    statuses: Mapping[str, HostStatus] = field(default_factory=dict)
    present: Mapping[str, str] = field(default_factory=dict)
    """Host -> instance of the agent in its presence."""
    unreported: Mapping[str, str] = field(default_factory=dict)
    """Present host -> time since which its agent has not been able to report, RFC 3339. Its status is not current."""
    digests: records.Digests | None = None
    digests_revision: int = 0
    """mod_revision of the digests; 0: no digests exist."""
    rollouts: Mapping[str, records.Rollout] = field(default_factory=dict)
    """Service -> rollout that has not ended, or ended otherwise than the intent asks."""

    @property
    def refusal(self) -> records.Verdict | None:
        """Return the verdict that refuses the newest document or lets it wait; None: there is none."""
        verdict, document = self.verdict, self.document
        refused = verdict and document and verdict.revision == document.revision and not verdict.accepted
        return verdict if refused else None

    @property
    def handover(self) -> Handover | None:
        """Return the accepted order to hand the leader lock over if it is newer than the lock; None: there is none."""
        order, last = self.accepted.policy.handover if self.accepted else None, self.last_leader
        return order if order and last and order.at > last.since and order.to != last.host else None

    def status_of(self, host: str) -> HostStatus | None:
        """Return the status of a host; None: its present agent has not written one."""
        status = self.statuses.get(host)
        return status if status and self.present.get(host) == status.instance else None

    def could_lead(self, host: str) -> bool:
        """Return True if the running agent of a host reports that it is a manager of the recorded swarm."""
        status, record = self.status_of(host), self.record
        if record is None or status is None:
            return False
        manages = status.is_manager and status.swarm_id == record.swarm_id
        return status.engine_up and status.state == "active" and manages


class Observed(Frozen):
    """The complete input of the planner."""

    me: str
    """Name of this host in the intent."""
    host: HostState | None
    """None: dockerd does not answer."""
    cluster: ClusterState | None
    """None: etcd does not answer and no saved state exists."""
    stale: bool = False
    """True if etcd does not answer; `cluster` is its last answer or the saved state."""
    store_error: str = ""
    """Error of the last read of etcd; empty: etcd answers."""
    upkeep: Upkeep = Upkeep()
    """The alarm and the database of etcd, at most half a minute old."""
    source: Literal["etcd", "disk"] = "etcd"
    """Origin of the assignment in use; disk: the saved state, from this run of the agent or an earlier one."""
    seen_at: float = 0.0
    """Time of the last answer of etcd, in seconds since the epoch; 0: not known."""
    state_fault: str = ""
    """Errors of saving and reading the state on the disk of this host, with effect and remedy; empty: there is none."""
    page_fault: str = ""
    """Error of the HTTP server, which the agent starts again and again; empty: it serves."""
    engine_error: str = ""
    """Error of the last read of dockerd; empty: dockerd answers."""
    engine_away_s: float = 0.0
    """Seconds since dockerd last answered; 0: it answers."""
    nodes_unseen_s: float = 0.0
    """Seconds since this manager last listed the nodes; 0: it lists them, or is no manager."""
    pending_s: float = 0.0
    """Seconds for which dockerd has reported the swarm as pending; 0: it does not."""
    fence: Fence | None = None
    """The leader lock of this host; None: this host is not the leader."""
    lock_fault: str = ""
    """The fault of the leader lock, which any host may have, and the remedy; empty: none."""
    lock_unread: Fence | None = None
    """The leader lock of this host at the last read of etcd, while etcd is unreadable and the lease is alive."""
    unread_s: float = 0.0
    """Seconds for which etcd has renewed the lease since that read."""
    led_s: float = 0.0
    """Seconds since this host became the leader; 0: it is not the leader."""
    unled_s: float = 0.0
    """Seconds for which no host has had the leader lock, or had it before this one; 0: another has it, or not known."""
    lease: bool = False
    """True if the lease of this agent is certainly alive. An agent without one must not campaign."""
    in_flight: frozenset[str] = frozenset()
    """Resources of the steps in flight. The planner leaves them out."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Resource -> error of the last attempt of its step, in the text of dockerd, etcd or the registry."""
    instance: str = ""
    """Id of this run of the agent, as in its presence."""
    boot_id: str = ""
    """Kernel's id of this boot of the machine."""
    machine_id: str = ""
    """Content of /etc/machine-id. A cloned machine has the same id."""
    advertise: str | None = None
    """Address that agent.yaml sets; None: the one that the intent declares."""
    watches: Mapping[ReplicaKey, ReplicaTimers] = field(default_factory=dict)
    """Leader only: condition timers of each assigned replica; else empty."""
    tokens_age_s: float = 0.0
    """Leader only: seconds since the published join tokens last changed; else 0."""
    show_secrets: bool = False
    """True if reasons may contain values that may be secret: on an operator's request, never in an agent."""
    lost_s: Mapping[str, float] = field(default_factory=dict)
    """Leader only: host -> seconds for which it has been lost, by the rule of `agent/diff/nodes.py`."""

    @property
    def accepted(self) -> Intent | None:
        return self.cluster.accepted if self.cluster else None

    @property
    def assignment(self) -> records.Assignment | None:
        return self.cluster.assignment if self.cluster else None

    @property
    def nodes(self) -> tuple[NodeState, ...] | None:
        """The nodes of the swarm as this manager lists them; None: it lists none now, or is no manager."""
        return self.host.swarm.nodes if self.host else None


class HostView(Observed):
    """The input of a host's plan for itself: dockerd answers, and the state of etcd is known."""

    host: HostState
    cluster: ClusterState


View = TypeVar("View", bound=Observed)


def narrowed(observed: Observed, view: type[View]) -> View | None:
    """Return the observation as a `view`; None: one of the parts that this class declares is not known."""
    parts = {each.name: getattr(observed, each.name) for each in fields(observed)}
    return None if any(parts[each] is None for each in view.__annotations__) else view(**parts)
