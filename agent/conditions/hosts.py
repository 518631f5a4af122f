"""The condition of each host: its agent, its dockerd, its membership in the swarm, its address and its bridge."""

from collections.abc import Iterator

from agent.conditions.condition import (
    READY,
    Condition,
    Finding,
    HostCondition,
    Reason,
    is_fault,
    most_severe,
)
from agent.conditions.reports import Reports, blocked_of, duration, seconds_since
from agent.model.intent import HostIntent
from agent.model.phrases import short_id
from agent.model.status import BlockedReport, HostStatus
from agent.model.steps import BRIDGE

SWARM = "swarm"
"""Resource of the membership of a host in its own report."""
_NO_ADDRESSES = ("", "0.0.0.0", "127.0.0.1")  # noqa: S104 - what Swarm may list for a node that went down
_OF_LEADER = ("node", "drain", "membership-order")
"""Kinds of resources that the leader reports for another host."""
_NO_MESH = (
    "swarm services published with mode ingress do not answer on this host, because docker_gwbridge was replaced: "
    "restart dockerd"
)


def host_condition(declared: HostIntent, reports: Reports) -> Condition:
    """Return the condition of a declared host, for every reader alike."""
    return Condition.of(
        "host", declared.name, _finding(declared, reports), revision=_observed(declared.name, reports)
    )


def _observed(host: str, reports: Reports) -> int:
    status = reports.cluster.statuses.get(host)
    return status.bridge.revision if status else 0


def _finding(declared: HostIntent, reports: Reports) -> Finding:
    unknown = reports.why_unknown(declared.name)
    if unknown:
        return _drained_and_off(declared, reports, unknown) or unknown
    status = reports.cluster.statuses[declared.name]
    if not status.engine_up:
        return engine_down(status)
    found = most_severe(
        (
            *_address(declared, status, reports),
            *_membership(declared, status, reports),
            *_bridge(status, reports),
            *_blocked(declared, status, reports),
            *_progress(declared, status, reports),
        )
    )
    if found == READY and declared.availability == "drain":
        return Finding("Ready", "Drained", "drained: no replica is left on it")
    return found


def engine_down(status: HostStatus) -> Finding:
    """Return the finding for a host whose dockerd does not answer."""
    error = f" ({status.engine_error})" if status.engine_error else ""
    text = f"dockerd does not answer{error}: the state of its containers is not known; start it on that host"
    return Finding("Degraded", "EngineDown", text, "systemctl start docker")


# ---- A drained host may be off: the operator declared its absence


def _drained_and_off(declared: HostIntent, reports: Reports, unknown: Finding) -> Finding | None:
    if declared.availability != "drain" or unknown.reason not in ("Unreachable", "AgentStopped", "NeverSeen"):
        return None
    status = reports.cluster.statuses.get(declared.name)
    assignment = reports.cluster.assignments.get(declared.name)
    if (status and status.replicas) or (assignment and assignment.replicas):
        return None
    vote = "; it is a manager, so the quorum lacks it meanwhile" if declared.role == "manager" else ""
    return Finding("Ready", "Drained", f"drained, and its agent does not run{vote}", since=unknown.since)


# ---- The swarm


def _membership(declared: HostIntent, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    error = f": {status.swarm_error}" if status.swarm_error else ""
    if status.state == "locked":
        yield (
            Finding(
                "Blocked",
                "Locked",
                "its swarm is locked: unlock it with the unlock key",
                "docker swarm unlock",
            )
            if not _works_on(status, SWARM)
            else Finding("Progressing", "Joining", "unlocks its swarm")
        )
        return
    if status.state == "error":
        yield Finding(
            "Degraded",
            "SwarmError",
            f"docker reports an error of its swarm{error or ', without a message'}; "
            "`systemctl restart docker` on that host often ends it",
            "systemctl restart docker",
        )
        return
    if status.state != "active":
        yield _outside(status, reports, error)
        return
    if not reports.is_ours(status):
        yield Finding("Degraded", "NotInSwarm", f"it is in another swarm, {status.swarm_id}")
        return
    if reports.lister is not None:
        yield from _node(declared, status, reports)
    if status.is_manager != (declared.role == "manager"):
        found = "manager" if status.is_manager else "worker"
        waits = _waits(status, reports, SWARM, f"node/{status.node_id}")
        cause = waits[1] or "quorum/"
        yield Finding(
            "Progressing",
            "ChangingRole",
            f"is a {found}, {declared.role} is declared{_because(waits[0])}",
            cause=cause,
        )


def _outside(status: HostStatus, reports: Reports, error: str) -> Finding:
    faults = [each for each in blocked_of(status) if each.resource == SWARM]
    if any(each.kind == "unreadable" and each.resource.endswith("/tokens") for each in status.blocked):
        return Finding(
            "Degraded", "NotInSwarm", "it cannot read the join tokens to join the swarm", cause="key/tokens"
        )
    if faults:
        return Finding("Degraded", "NotInSwarm", f"it is not in the swarm: {faults[0].reason}")
    waits, on = _waits(status, reports, SWARM)
    if waits or status.joining or status.state == "pending" or _works_on(status, SWARM):
        return Finding("Progressing", "Joining", f"joins the swarm{_because(waits)}", cause=on or "quorum/")
    if reports.cluster.record is None or reports.cluster.record.swarm_id is None:
        return Finding(
            "Progressing", "Joining", "waits for the swarm, which does not exist yet", cause="leader/"
        )
    if status.steps:
        return Finding("Progressing", "Joining", "prepares to join the swarm")
    return Finding("Degraded", "NotInSwarm", f"it is not in the swarm (docker says {status.state}){error}")


def _node(declared: HostIntent, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    node, lister = reports.node_of(declared.name), reports.lister
    if node is None:
        assert lister is not None
        if lister.at < status.at:
            yield Finding("Progressing", "Joining", "joins the swarm: the managers do not list its node yet")
        else:
            yield Finding("Degraded", "NotInSwarm", "the managers do not list its node any more")
        return
    if node.state != "ready":
        yield Finding(
            "Degraded",
            "NodeDown",
            f"the managers list its node as {node.state}, although its dockerd answers: "
            "check the ports 2377 and 7946 between the hosts",
        )
    if node.availability != declared.availability:
        reason: Reason = "Draining" if declared.availability == "drain" else "Steps"
        yield Finding(
            "Progressing",
            reason,
            f"changes its availability from {node.availability} to {declared.availability}",
            cause="quorum/",
        )


def _address(declared: HostIntent, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    if status.state != "active":
        return
    wanted, node = status.advertise or str(declared.address), reports.node_of(declared.name)
    known = (node.address if node else "", status.swarm_address or "")
    if found := next((each for each in known if each not in (wanted, *_NO_ADDRESSES)), ""):
        order = reports.cluster.membership_orders.get(declared.name)
        text = f"the swarm has the address {found} for it, {wanted} is declared"
        if order and order.what == "leave":
            yield Finding("Progressing", "Joining", f"leaves the swarm and joins again: {text}")
        else:
            yield Finding(
                "Degraded",
                "OtherAddress",
                f"{text}: correct the address in the document or on the host",
            )
    devices = [(address.partition("/")[0], device) for address, device in status.addresses]
    if node and node.state != "ready" and devices and wanted not in dict(devices):
        has = ", ".join(f"{address} ({device})" for address, device in devices[:3])
        yield Finding(
            "Degraded", "OtherAddress", f"no device of it has the declared address {wanted}: it has {has}"
        )


# ---- docker_gwbridge


def _bridge(status: HostStatus, reports: Reports) -> Iterator[Finding]:
    phase = status.bridge.phase
    waits, on = _waits(status, reports, BRIDGE)
    if phase == "held":
        why = next((each.reason for each in blocked_of(status) if each.resource == BRIDGE), "")
        yield Finding("Blocked", "BridgeBlocked", f"docker_gwbridge is not as declared{_because(why)}")
    elif phase == "waiting":
        yield Finding(
            "Progressing",
            "WaitsForSlot",
            f"waits to change docker_gwbridge{_because(waits)}",
            cause=on or _slot_holder(reports, status),
        )
    elif phase == "moving" or (phase == "" and status.state == "active"):
        yield Finding("Progressing", "ChangingBridge", f"changes docker_gwbridge{_because(waits)}", cause=on)


def _slot_holder(reports: Reports, status: HostStatus) -> str:
    disruption = reports.cluster.disruption
    mine = reports.cluster.statuses.get(disruption.host) is status if disruption else True
    return f"host/{disruption.host}" if disruption and not mine and disruption.state != "released" else ""


# ---- What else is blocked or under way


def _blocked(declared: HostIntent, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    order = reports.cluster.membership_orders.get(declared.name)
    quarantined = order is not None and order.what == "quarantine"
    for each in blocked_of(status):
        if _concerns(declared.name, each, status):
            found = reports.finding(each)
            yield found._replace(reason="Duplicate") if quarantined and each.resource == SWARM else found
    mine = (f"node/{status.node_id}", f"membership-order/{declared.name}")
    for each in reports.leader_blocked():
        if each.resource in mine:
            found = reports.finding(each)
            yield found._replace(reason="Duplicate") if each.kind == "foreign" else found


def _concerns(host: str, blocked: BlockedReport, status: HostStatus) -> bool:
    """Return True for the host's own faults; replicas, networks, the bridge and the leader's have other conditions."""
    kind, _, name = blocked.resource.partition("/")
    if kind == "host":
        return name in ("", host)
    if blocked.resource == SWARM:
        return status.state == "active"
    return kind in ("engine", "state", "presence", "disruption") and not name


def _progress(declared: HostIntent, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    left = sorted(each.name for each in status.replicas)
    if declared.availability == "drain" and left:
        waits, on = _waits(status, reports, f"drain/{declared.name}")
        yield Finding(
            "Progressing",
            "Draining",
            f"drains: {', '.join(left[:5])} {'are' if len(left) > 1 else 'is'} left{_because(waits)}",
            cause=on,
        )
    if steps := open_steps(status):
        yield Finding("Progressing", "Steps", f"has {steps} open {'step' if steps == 1 else 'steps'}")
    if not 0 < reports.accepted_revision <= status.revision:
        yield _behind(declared.name, reports)


def _behind(host: str, reports: Reports) -> Finding:
    accepted = reports.accepted_revision
    if not accepted:
        return Finding("Progressing", "Steps", "waits for an accepted document", cause="document/")
    assignment = reports.cluster.assignments.get(host)
    if assignment is None or assignment.revision < accepted:
        return Finding(
            "Progressing",
            "NotAssigned",
            f"waits for the assignment of revision {accepted}",
            cause=reports.assigner,
        )
    if assignment.pending:
        services = ", ".join(assignment.pending)
        return Finding(
            "Progressing",
            "Rollout",
            f"waits for the rollout of {services}",
            cause=f"rollout/{assignment.pending[0]}",
        )
    return Finding("Progressing", "Steps", f"has not carried out revision {accepted} in full yet")


def open_steps(status: HostStatus) -> int:
    """Return the number of open steps that are not the leader's."""
    return sum(not each.leads for each in status.steps)


def _works_on(status: HostStatus, resource: str) -> bool:
    return any(each.resource == resource for each in status.steps)


def _waits(status: HostStatus, reports: Reports, *resources: str) -> tuple[str, str]:
    """Return (reason, condition key of the cause) of the first of the resources that waits; empty: none does."""
    of_leader = (each for each in reports.leader_waiting() if each.resource.partition("/")[0] in _OF_LEADER)
    for each in (*status.waiting, *of_leader):
        if each.resource in resources:
            return each.reason, each.on
    return "", ""


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


# ---- The row of a host, with its numbers


def host_row(
    name: str, condition: Condition, reports: Reports, counts: tuple[int, int, int]
) -> HostCondition:
    """Return the condition of a host with the numbers of its replicas: (assigned, running, ready)."""
    intent, status = reports.intent, reports.cluster.statuses.get(name)
    declared = intent.host(name) if intent else None
    current = reports.current(name)
    known = current is not None and current.engine_up
    desired, running, ready = counts
    return HostCondition(
        condition=condition,
        declared=declared.role if declared else None,
        role=_role(status),
        drained=declared is not None and declared.availability == "drain",
        leader=reports.cluster.leader == name,
        current=current is not None,
        reported_at=status.at if status else "",
        engine_up=current is not None and current.engine_up,
        subnet=status.bridge.subnet if status else "",
        desired=desired,
        running=running if known else None,
        ready=ready if known else None,
        revision=status.revision if status else 0,
        open_steps=open_steps(current) if current else 0,
        notes=_notes(current, reports) if current else (),
    )


def _role(status: HostStatus | None) -> str:
    if status is None or status.state != "active":
        return ""
    return "manager" if status.is_manager else "worker"


def _notes(status: HostStatus, reports: Reports) -> tuple[str, ...]:
    outdated = (
        f"{each.name} runs image {short_id(each.image)}; its tag points to {short_id(each.image_now)} on this host now"
        for each in status.replicas
        if each.image_now
    )
    return (*((_NO_MESH,) if not status.bridge.mesh and _uses_mesh(reports) else ()), *outdated)


def _uses_mesh(reports: Reports) -> bool:
    """Return True if a report shows a task of a swarm service with ports in mode ingress."""
    statuses = reports.cluster.statuses.values()
    return any("ingress" in each.networks for status in statuses for each in status.attached)


def undeclared_condition(name: str, reports: Reports) -> Condition:
    """Return the condition of a host that etcd knows and the document does not declare."""
    status = reports.cluster.statuses.get(name)
    stuck = next((each for each in reports.leader_blocked() if each.resource == f"host/{name}"), None)
    if name in reports.cluster.present:
        left = len(status.replicas) if status else 0
        if left or (status and status.state == "active"):
            why = _because(stuck.reason if stuck else "")
            return Condition.of(
                "host", name, Finding("Progressing", "Steps", f"not declared, it leaves{why}")
            )
        text = "its agent runs, and the document does not declare it"
        return Condition.of("host", name, Finding("Ready", "Ready", text))
    if stuck:
        return Condition.of("host", name, Finding("Blocked", "NotRemoved", stuck.reason))
    return Condition.of(
        "host", name, Finding("Ready", "Ready", "not declared; its last keys are still in etcd")
    )


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
    if not is_fault(condition.state):
        return "ready"
    text = SHORT.get(condition.reason, "blocked")
    seconds = seconds_since(condition.since, now_s) if condition.since else None
    timed = seconds is not None and condition.reason in ("Unreachable", "AgentStopped", "ReportOld")
    return f"{text} for {duration(seconds or 0.0)}" if timed else text
