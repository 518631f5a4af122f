"""The conditions: findings with their resource and its numbers, as every reader of them gets them."""

from collections.abc import Iterator
from typing import Literal

from agent.conditions.finding import SEVERITY, Finding, Reason, State
from agent.model import Frozen
from agent.model.intent import Role
from agent.model.phrases import MOST_TEXT, shorten
from agent.model.spec import Pairs

Kind = Literal[
    "cluster", "store", "document", "quorum", "key", "leader",
    "host", "network", "image", "rollout", "service", "replica",
]  # fmt: skip
"""From what concerns more to what concerns less."""


class Condition(Frozen):
    """The condition of one resource."""

    kind: Kind
    name: str
    """The declared name; of a replica `<service>-<slot>`, of the leader its host; empty for the other single kinds."""
    state: State
    reason: Reason
    text: str = ""
    """State, cause and remedy, without the resource's name; at most 1,000 characters; empty for a plain Ready."""
    command: str = ""
    """The next command for the operator, as typed; empty: none."""
    since: str = ""
    """Start of the condition, RFC 3339; empty: not known."""
    revision: int = 0
    """Accepted revision that the report behind this condition refers to; 0: not known."""
    cause: str = ""
    """Key of the resource whose condition this one follows from; empty: it has its own cause."""
    attempts: int = 0
    """Failed attempts in a row of the step behind this condition; 0: none, or not known."""
    critical: bool = False
    """True if a declared service has no ready replica for it, or the cluster lost its quorum."""

    @classmethod
    def of(cls, kind: Kind, name: str, found: Finding, *, revision: int = 0) -> "Condition":
        """Return the condition of a resource from what was found."""
        short = found._replace(text=shorten(found.text, MOST_TEXT))
        return cls(kind=kind, name=name, revision=revision, **short._asdict())

    @property
    def key(self) -> str:
        """`<kind>/<name>`; `leader/` for every host that is the leader."""
        return f"{self.kind}/{self.name}" if self.kind != "leader" else "leader/"

    @property
    def is_fault(self) -> bool:
        """Return True if the state needs a repair: progress is no fault."""
        return SEVERITY[self.state] > SEVERITY["Progressing"]


class ReplicaCondition(Frozen):
    """A replica of the accepted document: its condition, and what its host reports of it."""

    condition: Condition
    service: str
    slot: int
    host: str = ""
    """Host of the assignment; empty: not assigned yet."""
    updated: bool = False
    """True if a current report shows a container with the spec that the document asks for."""
    running: bool = False
    """True if a current report says that a container of it runs."""
    ready: bool = False
    """True if a current report shows it at work, with the declared spec or an earlier one."""
    health: str = ""
    restarts: int = 0
    ports: Pairs = ()
    """(port of the container, port of the host) for each port of the host that the engine chose."""
    output: tuple[str, ...] = ()
    """Last lines of output of a replica that keeps ending."""


class ServiceCondition(Frozen):
    """A service of the accepted document, with the numbers of its replicas. `unknown` ones are in no other number."""

    condition: Condition
    desired: int
    running: int
    ready: int
    """Replicas at work, with the declared spec or an earlier one."""
    updated: int
    """Replicas that have the spec that the document asks for."""
    unknown: int
    image: str = ""
    """Image that the document asks for, with its resolved digest."""


class HostCondition(Frozen):
    """A declared host, or one that etcd knows and the document does not declare."""

    condition: Condition
    declared: Role | None
    """Declared role; None: the document does not declare the host."""
    address: str = ""
    """Address of the document, else the last reported one; empty: not known."""
    role: str = ""
    """manager or worker as last reported; empty outside a swarm, or not known."""
    drained: bool = False
    leader: bool = False
    current: bool = False
    """True if the report is that of the running agent, and not too old."""
    reported_at: str = ""
    """Time of the last report, RFC 3339; empty: none."""
    agent_version: str = ""
    """As last reported, like the version of the engine; empty: not known."""
    engine_version: str = ""
    engine_up: bool = False
    subnet: str = ""
    """Subnet of docker_gwbridge as last reported; empty: none."""
    desired: int = 0
    """Replicas assigned to the host."""
    running: int | None = None
    """Assigned replicas that run; None: not known."""
    ready: int | None = None
    revision: int = 0
    """Accepted revision that the host has carried out in full."""
    open_steps: int = 0
    """Steps of the host that are planned or in flight."""
    notes: tuple[str, ...] = ()
    """Facts that need no action at once."""


class Problem(Frozen):
    """A condition with its own cause, most severe first in a list, and the conditions that follow from it."""

    condition: Condition
    consequences: tuple[Condition, ...] = ()


class ClusterConditions(Frozen):
    """Every condition of one cluster at one moment. All tuples are in the document's order."""

    cluster: Condition
    """Its `text` is the first line of `status`: "the state of the cluster, and the first thing to repair"."""
    converged: bool
    """True only if the cluster is Ready: see docs/conditions.md for the full list."""
    store: Condition
    document: Condition
    leader: Condition
    """Its name is the leader's host, if there is one."""
    quorum: Condition
    hosts: tuple[HostCondition, ...] = ()
    networks: tuple[Condition, ...] = ()
    images: tuple[Condition, ...] = ()
    """Images that a host cannot pull."""
    keys: tuple[Condition, ...] = ()
    """Unreadable keys in etcd; the name is the key without the prefix of the cluster."""
    services: tuple[ServiceCondition, ...] = ()
    rollouts: tuple[Condition, ...] = ()
    """Rollouts that are under way, paused, or ended with a rollback."""
    replicas: tuple[ReplicaCondition, ...] = ()
    removed: tuple[str, ...] = ()
    """Services that the document does not declare and that a current report still shows."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    """Warnings on settings and the document, which need no action at once."""
    code: Literal[0, 1, 2, 3] = 3
    """Exit code of `status --check`, as of a Nagios plugin.

    0 converged; 1 progress, or a fault while every service has a ready replica; 2 a service without a ready replica, no
    quorum, or no accepted document; 3 not known.
    """

    def every(self) -> Iterator[Condition]:
        """Yield the condition of each resource, without that of the cluster."""
        yield from (self.store, self.document, self.quorum, self.leader, *self.keys)
        yield from (each.condition for each in self.hosts)
        yield from (*self.networks, *self.images, *self.rollouts)
        yield from (each.condition for each in self.services)
        yield from (each.condition for each in self.replicas)

    @property
    def declared(self) -> tuple[HostCondition, ...]:
        """The hosts that the document declares."""
        return tuple(each for each in self.hosts if each.declared)

    @property
    def none_reports(self) -> bool:
        """True if hosts are declared, and none of them has a current report."""
        return bool(self.declared) and not any(each.current for each in self.declared)
