"""The content of `status` as plain data, computed from etcd, for the table and for JSON."""

from dataclasses import dataclass
from typing import Literal

from agent.diff.bridge import bridge_differences
from agent.diff.reported import host_of
from agent.errors import Invalid
from agent.model import observed, phrases
from agent.model.intent import HostIntent, Intent
from agent.model.status import HostStatus, ReplicaReport
from agent.yamldoc.faultlist import printable

CRASH_LOOP = 2
"""Consecutive ends that count as a crash loop; an operator may have caused a single one."""
_NO_MESH = (
    "Swarm services published with mode ingress do not answer on this host, because docker_gwbridge was replaced; "
    "if you use them, restart dockerd"
)
_UNSEALED = "join tokens are not sealed: anyone who can read etcd can join the swarm; set tokens.key_file"
Judgement = Literal["accepted", "refused", "waits for a confirmation", "no verdict yet", "none"]
Presence = Literal["leader", "up", "starting", "unreachable", "never seen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicasView:
    """Numbers of a host's replicas; `checked` counts the running ones with a health check."""

    wanted: int = 0
    running: int = 0
    healthy: int = 0
    checked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """The last report of one host."""

    name: str
    agent: Presence
    reported_at: str = ""
    engine_up: bool = False
    state: str = ""
    """The swarm state that dockerd reports."""
    role: str = ""
    """manager or worker; empty outside a swarm."""
    role_wanted: str = ""
    """Declared role; empty: the intent does not declare the host."""
    node: str = ""
    subnet: str = ""
    """Subnet of docker_gwbridge; empty: there is none."""
    bridge_faults: tuple[str, ...] = ()
    replicas: ReplicasView = ReplicasView()
    applied: int = 0
    """Revision that the host has carried out in full; 0: none yet."""
    to_do: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    crashing: tuple[str, ...] = ()
    """Replicas in a crash loop, each with its last output on further lines."""
    notes: tuple[str, ...] = ()
    """Facts about the host that need no action at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentView:
    """The newest document and its verdict. Revisions are etcd's; 0: none."""

    seen: int = 0
    accepted_revision: int = 0
    judgement: Judgement = "none"
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    cluster: str
    leader: str | None
    swarm: str | None
    intent: IntentView
    hosts: tuple[HostView, ...] = ()
    disruption: str = ""
    """The host that holds the disruption slot, and why; empty: the slot is free."""
    unreadable: tuple[str, ...] = ()
    """Unreadable keys in etcd, each with the reason."""
    warnings: tuple[str, ...] = ()
    """Dangers that the operator's settings permit."""

    @property
    def converged(self) -> bool:
        """True if the agent of every declared host is up and has carried out the newest document."""
        declared = [host for host in self.hosts if host.role_wanted]
        return bool(declared) and all(
            host.applied == self.intent.seen and host.agent in ("leader", "up") for host in declared
        )


def view_of(name: str, cluster: observed.ClusterState) -> ClusterView:
    """Return the view of the cluster called `name`: declared hosts in declared order, then others."""
    intent, disruption = _intent_of(cluster), cluster.disruption
    declared = [host.name for host in intent.hosts] if intent else []
    known = sorted({*cluster.statuses, *cluster.present, *cluster.assignments})
    return ClusterView(
        cluster=name,
        leader=cluster.leader,
        swarm=cluster.record.swarm_id if cluster.record else None,
        intent=_intent(cluster),
        hosts=tuple(_host(host, cluster) for host in dict.fromkeys((*declared, *known))),
        disruption=f"{disruption.host} ({disruption.state}): {disruption.reason}" if disruption else "",
        unreadable=tuple(f"{key}: {why}" for key, why in cluster.unreadable),
        warnings=(_UNSEALED,) if cluster.tokens and not cluster.tokens.sealed else (),
    )


def _intent_of(cluster: observed.ClusterState) -> Intent | None:
    """Return the accepted intent, or the newest one while none is accepted."""
    return cluster.accepted or (cluster.document.intent if cluster.document else None)


def _intent(cluster: observed.ClusterState) -> IntentView:
    accepted_revision = cluster.accepted.revision if cluster.accepted else 0
    if cluster.document is None:
        return IntentView(accepted_revision=accepted_revision)
    seen, verdict = cluster.document.revision, cluster.verdict
    if verdict is None or verdict.revision != seen:
        return IntentView(seen=seen, accepted_revision=accepted_revision, judgement="no verdict yet")
    refused: Judgement = "waits for a confirmation" if verdict.confirm else "refused"
    return IntentView(
        seen=seen,
        accepted_revision=accepted_revision,
        judgement="accepted" if verdict.accepted else refused,
        errors=verdict.errors,
        warnings=verdict.warnings,
    )


def _host(name: str, cluster: observed.ClusterState) -> HostView:
    intent, status = _intent_of(cluster), cluster.statuses.get(name)
    declared = intent.host(name) if intent else None
    wanted = declared.role if declared else ""
    if status is None:
        presence: Presence = "starting" if name in cluster.present else "never seen"
        return HostView(
            name=name,
            agent=presence,
            role_wanted=wanted,
            replicas=ReplicasView(wanted=_wanted(name, cluster)),
        )
    role = "manager" if status.is_manager else "worker"
    return HostView(
        name=name,
        agent=_presence(name, cluster, status),
        reported_at=status.at,
        engine_up=status.engine_up,
        state=status.state,
        role=role if status.state == "active" else "",
        role_wanted=wanted,
        node=status.node_id or "",
        subnet=status.bridge.subnet,
        bridge_faults=_bridge_faults(intent, status),
        replicas=_replicas(_wanted(name, cluster), status.replicas),
        applied=status.revision,
        to_do=tuple(each.text for each in status.steps),
        blocked=tuple(f"{each.resource}: {each.reason}" for each in status.blocked),
        crashing=tuple(_crashing(each) for each in status.replicas if each.crashes >= CRASH_LOOP),
        notes=_notes(declared, status),
    )


def _notes(declared: HostIntent | None, status: HostStatus) -> tuple[str, ...]:
    notes = (*(() if status.bridge.mesh else (_NO_MESH,)), *filter(None, map(_outdated, status.replicas)))
    if declared is None or declared.availability != "drain" or not status.engine_up:
        return notes
    left = ", ".join(sorted(each.name for each in status.replicas))
    return (*notes, f"drained; replicas left on it: {left}" if left else "drained; no replica is left on it")


def _crashing(replica: ReplicaReport) -> str:
    ended = f"{printable(replica.name)} exited {replica.crashes} times in a row soon after its start"
    end = f", last with exit code {replica.exit_code}" if replica.status in ("exited", "restarting") else ""
    return "\n".join((f"{ended}{end}", *(f"  | {printable(line)}" for line in replica.output)))


def _outdated(replica: ReplicaReport) -> str:
    if not replica.image_now:
        return ""
    was, now = map(phrases.short_id, (replica.image, replica.image_now))
    return f"{replica.name} runs image {was}; its tag points to {now} on this host now"


def _presence(name: str, cluster: observed.ClusterState, status: HostStatus) -> Presence:
    instance = cluster.present.get(name)
    if instance is None:
        return "unreachable"
    if cluster.leader == name:
        return "leader"
    return "up" if instance == status.instance else "starting"


def _bridge_faults(intent: Intent | None, status: HostStatus) -> tuple[str, ...]:
    if intent is None:
        return ()
    try:
        host = host_of(status)
    except Invalid as error:
        return (str(error),)
    return tuple(map(str, bridge_differences(intent.gwbridge, host))) if host else ()


def _wanted(name: str, cluster: observed.ClusterState) -> int:
    if assignment := cluster.assignments.get(name):
        return len(assignment.replicas)
    intent = _intent_of(cluster)
    return sum(service.replicas_on(name) for service in intent.services) if intent else 0


def _replicas(wanted: int, found: tuple[ReplicaReport, ...]) -> ReplicasView:
    running = [each for each in found if each.status == "running"]
    return ReplicasView(
        wanted=wanted,
        running=len(running),
        healthy=sum(1 for each in running if each.health == "healthy"),
        checked=sum(1 for each in running if each.health),
    )
