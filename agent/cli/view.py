"""What `status` tells, worked out from etcd's content: plain data, for the tables and for JSON alike."""

from dataclasses import dataclass
from typing import Literal

from agent.diff.bridge import bridge_faults
from agent.diff.reported import host_of
from agent.errors import Invalid
from agent.model import observed, phrases
from agent.model.intent import HostIntent, Intent
from agent.model.status import HostStatus, ReplicaReport
from agent.yamldoc.faultlist import printable

TOLD = 2
"""So many ends in a row are a loop; one may be somebody's doing."""
_NO_MESH = (
    "services published with mode ingress do not answer at this host before dockerd starts again "
    "(docker_gwbridge was changed)"
)
_UNSEALED = "join tokens lie in etcd unsealed: who can read it can join the swarm (remedy: tokens.key_file)"
Judgement = Literal["accepted", "refused", "waits for a confirmation", "not judged yet", "there is none"]
Presence = Literal["leads", "there", "starting", "away", "never seen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicasView:
    """Counts of a host's replicas; `checked` are those running whose image or service has a health check."""

    wanted: int = 0
    running: int = 0
    healthy: int = 0
    checked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """One host, as it last reported itself."""

    name: str
    agent: Presence
    reported_at: str = ""
    engine_up: bool = False
    state: str = ""
    """The engine's word for its swarm membership."""
    role: str = ""
    """manager, worker, or empty outside a swarm."""
    role_wanted: str = ""
    """Empty: the intent does not name the host."""
    node: str = ""
    subnet: str = ""
    """Of docker_gwbridge; empty: there is none."""
    bridge_faults: tuple[str, ...] = ()
    replicas: ReplicasView = ReplicasView()
    applied: int = 0
    """Revision carried out in full; 0: none yet."""
    to_do: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    crashing: tuple[str, ...] = ()
    """Replicas that end again and again, each with its last words, on lines of their own."""
    notes: tuple[str, ...] = ()
    """What is as it is, and good to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentView:
    """What became of the document. Revisions are etcd's; 0: none."""

    seen: int = 0
    accepted_revision: int = 0
    judgement: Judgement = "there is none"
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """The whole cluster."""

    cluster: str
    leader: str | None
    swarm: str | None
    intent: IntentView
    hosts: tuple[HostView, ...] = ()
    disruption: str = ""
    """The host that holds the disruption slot, and why; empty: nobody's."""
    unreadable: tuple[str, ...] = ()
    """Keys in etcd that nobody can read, and why."""
    warnings: tuple[str, ...] = ()
    """What is as it was asked for, and a danger."""

    @property
    def converged(self) -> bool:
        """Whether every declared host is there and has carried out the newest document."""
        declared = [host for host in self.hosts if host.role_wanted]
        return bool(declared) and all(
            host.applied == self.intent.seen and host.agent in ("leads", "there") for host in declared
        )


def view_of(name: str, cluster: observed.ClusterState) -> ClusterView:
    """What there is to tell of the cluster called `name`: declared hosts in declared order, then others."""
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
    """The accepted one; before there is one, the newest."""
    return cluster.accepted or (cluster.document.intent if cluster.document else None)


def _intent(cluster: observed.ClusterState) -> IntentView:
    accepted_revision = cluster.accepted.revision if cluster.accepted else 0
    if cluster.document is None:
        return IntentView(accepted_revision=accepted_revision)
    seen, verdict = cluster.document.revision, cluster.verdict
    if verdict is None or verdict.revision != seen:
        return IntentView(seen=seen, accepted_revision=accepted_revision, judgement="not judged yet")
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
        to_do=status.steps,
        blocked=tuple(f"{each.resource}: {each.reason}" for each in status.blocked),
        crashing=tuple(_crashing(each) for each in status.replicas if each.crashes >= TOLD),
        notes=_notes(declared, status),
    )


def _notes(declared: HostIntent | None, status: HostStatus) -> tuple[str, ...]:
    notes = (*(() if status.bridge.mesh else (_NO_MESH,)), *filter(None, map(_outdated, status.replicas)))
    if declared is None or declared.availability != "drain" or not status.engine_up:
        return notes
    left = ", ".join(sorted(each.name for each in status.replicas))
    return (*notes, f"is drained; still here: {left}" if left else "is drained, and empty")


def _crashing(replica: ReplicaReport) -> str:
    ended = f"{printable(replica.name)} ended {replica.crashes} times in a row soon after its start"
    end = f", last with exit code {replica.exit_code}" if replica.status in ("exited", "restarting") else ""
    return "\n".join((f"{ended}{end}", *(f"  | {printable(line)}" for line in replica.output)))


def _outdated(replica: ReplicaReport) -> str:
    if not replica.image_now:
        return ""
    was, now = map(phrases.short_id, (replica.image, replica.image_now))
    return f"{replica.name} runs image {was}; its tag means {now} on this host now"


def _presence(name: str, cluster: observed.ClusterState, status: HostStatus) -> Presence:
    instance = cluster.present.get(name)
    if instance is None:
        return "away"
    if cluster.leader == name:
        return "leads"
    return "there" if instance == status.instance else "starting"


def _bridge_faults(intent: Intent | None, status: HostStatus) -> tuple[str, ...]:
    if intent is None:
        return ()
    try:
        host = host_of(status)
    except Invalid as error:
        return (str(error),)
    return bridge_faults(intent.gwbridge, host) if host else ()


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
