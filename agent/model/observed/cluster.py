"""What etcd held, as far as this agent reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.model.autolock import UnlockKeys
from agent.model.faults import Fault
from agent.model.intent import Intent
from agent.model.records import (
    Assignment,
    Digests,
    Disruption,
    HostStatus,
    Presence,
    Ruling,
    SwarmRecord,
    Tokens,
    Verdict,
)
from agent.model.rollout import Rollout
from agent.model.spec import ContainerSpec, Pairs


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
    """What is in force: what etcd says, unless this host knows something newer."""
    era: int = 0
    """Of what is in force: how often an operator has confirmed an etcd that had gone back."""
    in_force_held: bool = False
    """Whether etcd has that no more, or nothing that can be read: not everybody may know it."""
    went_back: str = ""
    """What in etcd is older than what this host knows to be accepted, in words; empty: nothing."""
    confirmed: bool = False
    """Whether an operator has put `document` since that was noticed, or it is what is in force anyway."""
    verdict: Verdict | None = None
    leader: str | None = None
    """Host name of the holder of the leader lock."""
    record: SwarmRecord | None = None
    record_held: bool = False
    """Whether the record in etcd cannot be read: `record` is the last one that could be, if any."""
    record_revision: int = 0
    """mod_revision of the record; 0: there is none."""
    tokens: Tokens | None = None
    tokens_exposed: bool = False
    """Whether they are there unsealed, though this host has a key to seal them with."""
    tokens_locked: bool = False
    """Whether they are sealed with a key that this host does not have."""
    unlock: UnlockKeys | None = None
    unlock_aged: bool = False
    """Whether they are sealed otherwise than this host would seal them now."""
    unlock_locked: bool = False
    """Whether they are there and this host cannot open them."""
    can_seal: bool = True
    """Whether this host has a key to seal with."""
    disruption: Disruption | None = None
    disruption_revision: int = 0
    """mod_revision of the disruption; 0: there is none."""
    assignment: Assignment | None = None
    """This host's own."""
    assignment_held: bool = False
    """Whether it is not in etcd like that any more."""
    ruling: Ruling | None = None
    """Of this host's membership."""
    presence: Presence | None = None
    """Whichever agent is there under this host's name."""
    presence_lost: bool = False
    """Whether there is none, though this agent holds the lease that it has put its own on."""
    specs: Mapping[str, ContainerSpec] = field(default_factory=dict)
    """By hash: those this host's assignment and containers name."""
    garbage: Pairs = ()
    """(key, problem) of the keys of ours that could not be read: they are held, never guessed at."""
    newer: tuple[str, ...] = ()
    """Of those, the keys that a newer agent has written as leader."""
    # The leader's own reading; empty on everybody else.
    assignments: Mapping[str, Assignment] = field(default_factory=dict)
    stored_specs: frozenset[str] = frozenset()
    rulings: Mapping[str, Ruling] = field(default_factory=dict)
    statuses: Mapping[str, HostStatus] = field(default_factory=dict)
    present: Mapping[str, str] = field(default_factory=dict)
    """Host -> the agent instance that is there now."""
    digests: Digests | None = None
    digests_revision: int = 0
    """mod_revision of the digests; 0: there are none."""
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    """By service: those that are under way or did not come out as the intent says."""

    def status_of(self, host: str) -> HostStatus | None:
        """What a host says of itself, if it says it in this run of its agent."""
        status = self.statuses.get(host)
        return status if status and self.present.get(host) == status.instance else None
