"""The condition of each host: its agent, its dockerd, its membership in the swarm, its address and its bridge."""

from collections.abc import Iterator, Sequence

from agent.conditions.condition import Condition, HostCondition, ReplicaCondition
from agent.conditions.finding import READY, Blocked, Degraded, Finding, Progressing, Ready, Reason, severest
from agent.conditions.membership import SWARM, address_findings, membership_findings
from agent.conditions.reports import LEADERS, Reports, because, blocked_of, duration, seconds_since
from agent.model.intent import HostIntent
from agent.model.phrases import and_more, counted, short_id
from agent.model.status import BlockedReport, HostStatus
from agent.model.steps import BRIDGE

_NO_REPORT = HostStatus(instance="", at="", agent_version="")
_NO_MESH = (
    "swarm services published with mode ingress do not answer on this host, because docker_gwbridge was replaced: "
    "restart dockerd"
)


def host_condition(name: str, reports: Reports) -> Condition:
    """Return the condition of a host, declared or only known to etcd, for every reader alike."""
    declared, status = reports.declared(name), reports.cluster.statuses.get(name)
    found = _finding(declared, reports) if declared else _undeclared(name, reports)
    revision = status.bridge.revision if declared and status else 0
    return Condition.of("host", name, found, revision=revision)


def _finding(declared: HostIntent, reports: Reports) -> Finding:
    unknown = reports.why_unknown(declared.name)
    if unknown:
        return _drained_and_off(declared, reports, unknown)
    status = reports.cluster.statuses[declared.name]
    if not status.engine_up:
        return engine_down(status)
    found = severest(
        (
            *address_findings(declared, status, reports),
            *membership_findings(declared, status, reports),
            *_bridge(declared.name, status, reports),
            *_blocked(declared, status, reports),
            *_progress(declared, status, reports),
        )
    )
    if found == READY and declared.availability == "drain":
        return Ready("Drained", "drained: no replica is left on it")
    return found


def engine_down(status: HostStatus) -> Finding:
    """Return the finding for a host whose dockerd does not answer."""
    error = status.engine_error or "dockerd does not answer"
    text = f"{error}; the state of its containers is not known: start dockerd on that host"
    return Degraded("EngineDown", text, "systemctl start docker")


# ---- A drained host may be off: the operator declared its absence


def _drained_and_off(declared: HostIntent, reports: Reports, unknown: Finding) -> Finding:
    if declared.availability != "drain" or unknown.reason not in ("Unreachable", "AgentStopped", "NeverSeen"):
        return unknown
    status = reports.cluster.statuses.get(declared.name)
    assignment = reports.cluster.assignments.get(declared.name)
    # What the host started before it read that it is drained, it may never have reported.
    seen = status and assignment and 0 < assignment.drained <= reports.carried_out(status)
    if not seen or (status and status.replicas) or (assignment and assignment.replicas):
        return unknown._replace(text=f"drained, and no report shows it empty: {unknown.text}")
    if any(each.resource == f"disruption/{declared.name}" for each in reports.leader_waiting()):
        return unknown
    vote = "; it is a manager, so the quorum lacks it meanwhile" if declared.role == "manager" else ""
    return Ready("Drained", f"drained, and its agent does not run{vote}", since=unknown.since)


# ---- docker_gwbridge


def _bridge(name: str, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    phase = status.bridge.phase
    waits, on = reports.waits(status, BRIDGE)
    granting, held_by = reports.waits(status, f"disruption/{name}")
    if phase == "held":
        why = next((each.reason for each in blocked_of(status) if each.resource == BRIDGE), "")
        yield Blocked("BridgeBlocked", f"docker_gwbridge is not as declared{because(why)}")
    elif phase == "waiting":
        yield Progressing(
            "WaitsForSlot",
            f"waits to change docker_gwbridge{because(waits)}",
            cause=on or held_by or _slot_holder(name, reports),
        )
    elif phase == "moving":
        yield Progressing("ChangingBridge", f"changes docker_gwbridge{because(waits)}", cause=on)
    elif phase == "" and status.state == "active":
        yield Progressing("Steps", "has not compared docker_gwbridge with the document yet")
    elif granting and held_by != f"host/{name}":
        yield Progressing("WaitsForSlot", f"keeps the disruption slot: {granting}", cause=held_by)


def _slot_holder(name: str, reports: Reports) -> str:
    """Return the key of the other host that has the disruption slot, or of the leader, which grants it."""
    slot = reports.cluster.disruption
    held = slot is not None and slot.host != name and slot.state != "released"
    return f"host/{slot.host}" if slot and held else "leader/"


# ---- What else is blocked or under way


def _blocked(declared: HostIntent, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    order = reports.cluster.membership_orders.get(declared.name)
    quarantined = order is not None and order.what == "quarantine"
    for each in blocked_of(status):
        if _concerns(declared.name, each, status, reports):
            found = reports.finding(each)
            if each.resource not in (SWARM, f"host/{declared.name}", "engine", "state"):
                found = found._replace(text=f"{each.resource}: {found.text}")
            yield found._replace(reason="Duplicate") if quarantined and each.resource == SWARM else found
    if order and not any(each.resource == SWARM for each in status.blocked):
        if quarantined:
            yield Blocked("Duplicate", f"is quarantined: {order.reason}")
        else:
            yield Progressing("Joining", f"is ordered to leave the swarm and to join again: {order.reason}")
    mine = (f"node/{status.node_id}", f"membership-order/{declared.name}")
    for each in reports.leader_blocked():
        if each.resource in mine:
            found = reports.finding(each)
            yield found._replace(reason="Duplicate") if each.kind == "foreign" else found


_OTHERS = LEADERS | {
    "image", "registry", "store", "intent", "leader", "node", "drain", "membership-order", "placement", "rollout",
}  # fmt: skip
"""Kinds of resources that have a condition of their own. A registry that does not answer has that of its images."""


def _concerns(host: str, blocked: BlockedReport, status: HostStatus, reports: Reports) -> bool:
    """Return True for the host's own faults, and for what has no condition of its own."""
    kind, _, name = blocked.resource.partition("/")
    if kind == "host":
        return name in ("", host)
    if blocked.resource == SWARM:
        return status.state == "active"
    if blocked.resource == BRIDGE:
        return status.bridge.phase != "held"
    if kind == "network":
        return reports.intent is None or name not in [each.name for each in reports.intent.networks]
    if kind == "container":
        return not reports.is_assigned(host, name)
    return kind not in _OTHERS


def _progress(declared: HostIntent, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    left = sorted(each.name for each in status.replicas)
    if declared.availability == "drain" and left:
        waits, on = reports.waits(status, *(f"placement/{each.service}" for each in status.replicas))
        yield Progressing(
            "Draining",
            f"drains: {', '.join(left[:5])} {'are' if len(left) > 1 else 'is'} left{because(waits)}",
            cause=on,
        )
    if extra := reports.unassigned(declared.name):
        text = f"has containers that are not assigned to it: {', '.join(extra[:5])}{and_more(len(extra[4:]))}"
        yield Progressing("Steps", text, cause=reports.assigner)
    if steps := open_steps(status):
        yield Progressing("Steps", f"has {counted(steps, 'open step')}")
    if not 0 < reports.accepted_revision <= reports.carried_out(status):
        yield _behind(declared.name, reports)


def _behind(host: str, reports: Reports) -> Finding:
    accepted = reports.accepted_revision
    if not accepted:
        return Progressing("Steps", "waits for an accepted document", cause="document/")
    assignment = reports.cluster.assignments.get(host)
    if assignment is None or assignment.revision < accepted:
        return Progressing(
            "NotAssigned", f"waits for the assignment of revision {accepted}", cause=reports.assigner
        )
    if assignment.pending:
        services = ", ".join(assignment.pending)
        return Progressing(
            "Rollout", f"waits for the rollout of {services}", cause=f"rollout/{assignment.pending[0]}"
        )
    return Progressing("Steps", f"has not carried out revision {accepted} in full yet")


def open_steps(status: HostStatus) -> int:
    """Return the number of open steps that are not the leader's."""
    return sum(not each.leads for each in status.steps)


# ---- The row of a host, with its numbers


def host_row(
    name: str, condition: Condition, reports: Reports, replicas: Sequence[ReplicaCondition]
) -> HostCondition:
    """Return the condition of a host with the numbers of its replicas."""
    declared, status = reports.declared(name), reports.cluster.statuses.get(name, _NO_REPORT)
    current = reports.current(name)
    known = current is not None and current.engine_up
    return HostCondition(
        condition=condition,
        declared=declared.role if declared else None,
        address=str(declared.address) if declared else status.swarm_address or "",
        role=("manager" if status.is_manager else "worker") if status.state == "active" else "",
        drained=declared is not None and declared.availability == "drain",
        leader=reports.cluster.leader == name,
        current=current is not None,
        reported_at=reports.reported_at(name),
        agent_version=status.agent_version,
        engine_version=status.engine_version,
        engine_up=known,
        subnet=status.bridge.subnet,
        desired=len(replicas),
        running=sum(each.running for each in replicas) if known else None,
        ready=sum(each.ready for each in replicas) if known else None,
        revision=status.revision,
        open_steps=open_steps(current) if current else 0,
        notes=_notes(current, reports) if current else (),
    )


def _notes(status: HostStatus, reports: Reports) -> tuple[str, ...]:
    outdated = (
        f"{each.name} runs image {short_id(each.image)}; its tag points to {short_id(each.image_now)} on this host now"
        for each in status.replicas
        if each.image_now
    )
    left = (
        f"volume {short_id(name)} of {each.service}-{each.slot} ({path}) stayed here; no agent removes it"
        for each in status.left_volumes
        for path, name in each.volumes
    )
    chosen = (
        f"{each.name} publishes {target} on port {port} of this host"
        for each in status.replicas
        for target, port in each.ports
    )
    # A task of a swarm service with ports in mode ingress is attached to the network of that name.
    attached = (each for other in reports.cluster.statuses.values() for each in other.attached)
    lacks_mesh = not status.bridge.mesh and any("ingress" in each.networks for each in attached)
    return (*((_NO_MESH,) if lacks_mesh else ()), *outdated, *chosen, *left)


def _undeclared(name: str, reports: Reports) -> Finding:
    status = reports.cluster.statuses.get(name)
    stuck = next((each for each in reports.leader_blocked() if each.resource == f"host/{name}"), None)
    left = tuple(sorted(each.name for each in status.replicas)) if status else ()
    unknown, runs = reports.why_unknown(name), name in reports.cluster.present
    leaves = bool(left) or (runs and status is not None and status.state == "active")
    if status and leaves and (runs or not stuck) and (unknown or not status.engine_up):
        found = unknown or engine_down(status)
        shows = f"{', '.join(left[:5])}{and_more(len(left[4:]))}" if left else "it in the swarm"
        return found._replace(text=f"not declared, and its last report shows {shows}: {found.text}")
    if runs:
        if leaves:
            return Progressing("Steps", f"not declared, it leaves{because(stuck.reason if stuck else '')}")
        down = engine_down(status) if status and not status.engine_up else None
        fault = (unknown or down) if reports.intent else None  # without a document, that is the fault
        return fault or Ready("Ready", "its agent runs, and the document does not declare it")
    if stuck:
        return Blocked("NotRemoved", stuck.reason)
    return Ready("Ready", "not declared; its last keys are still in etcd")


SHORT: dict[Reason, str] = {
    "NeverSeen": "never seen",
    "AgentStopped": "agent stopped",
    "Unreachable": "unreachable",
    "NotReported": "starting",
    "ReportOld": "report too old",
    "EngineDown": "dockerd does not answer",
    "SwarmError": "error in the swarm",
    "NotInSwarm": "not in the swarm",
    "Locked": "swarm locked",
    "NodeDown": "node down",
    "OtherAddress": "other address",
    "StoreUnreachable": "not known",
}


def in_short(condition: Condition, now_s: float) -> str:
    """Return the fault of a host in a few words, with its duration where that is known."""
    if not condition.is_fault:
        return "ready"
    text = SHORT.get(condition.reason, "blocked")
    seconds = seconds_since(condition.since, now_s)
    timed = seconds is not None and condition.reason in ("Unreachable", "AgentStopped", "ReportOld")
    return f"{text} for {duration(seconds or 0.0)}" if timed else text
