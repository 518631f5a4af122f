"""The membership of a host in the swarm: state, node, role and address, compared with its declaration."""

from collections.abc import Iterator

from agent.conditions.finding import Blocked, Degraded, Finding, Progressing, Reason
from agent.conditions.reports import OF_KEYS, Reports, because, blocked_of, seconds_since
from agent.diff.nodes import NO_ADDRESSES
from agent.model.intent import HostIntent
from agent.model.status import HostStatus

SWARM = "swarm"
"""Resource of the membership of a host in its own report."""
LISTED_WITHIN_S = 60.0
"""Seconds after a join within which the managers list the node as ready."""


def membership_findings(declared: HostIntent, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    """Yield the differences of the host's state, node and role in the swarm."""
    error = f": {status.swarm_error}" if status.swarm_error else ""
    if status.state == "locked":
        if _works_on(status, SWARM):
            yield Progressing("Joining", "unlocks its swarm")
        else:
            text = "its swarm is locked: unlock it with the unlock key"
            yield Blocked("Locked", text, "docker swarm unlock")
        return
    if status.state == "error":
        yield Degraded(
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
        yield Degraded("NotInSwarm", f"it is in another swarm, {status.swarm_id}")
        return
    if reports.lister is not None:
        yield from _node(declared, status, reports)
    elif reports.has_quorum and not reports.of_own:
        yield Progressing("Joining", "its node is not known: no leader lists the nodes yet", cause="leader/")
    if status.is_manager != (declared.role == "manager"):
        found = "manager" if status.is_manager else "worker"
        waits = reports.waits(status, SWARM, f"node/{status.node_id}")
        cause = _next_leader(declared.name, reports) or waits[1] or reports.swarm_work
        yield Progressing(
            "ChangingRole", f"is a {found}, {declared.role} is declared{because(waits[0])}", cause=cause
        )


def _next_leader(name: str, reports: Reports) -> str:
    """Return the key of a declared manager that cannot lead yet, if the leader is to become a worker."""
    cluster, intent = reports.cluster, reports.intent
    if cluster.leader != name or intent is None:
        return ""
    others = [each.name for each in intent.managers if each.name != name]
    absent = [each for each in others if reports.why_unknown(each)]
    unable = [each for each in others if not cluster.could_lead(each)]
    return next((f"host/{each}" for each in (*absent, *unable)), "")


def _outside(status: HostStatus, reports: Reports, error: str) -> Finding:
    faults = [each for each in blocked_of(status) if each.resource == SWARM]
    if any(each.resource.endswith("/tokens") for each in status.blocked if each.kind in OF_KEYS):
        return Degraded("NotInSwarm", "it cannot use the join tokens to join the swarm", cause="key/tokens")
    if faults:
        return Degraded("NotInSwarm", f"it is not in the swarm: {faults[0].reason}")
    waits, on = reports.waits(status, SWARM)
    if waits or status.joining or status.state == "pending" or _works_on(status, SWARM):
        return Progressing("Joining", f"joins the swarm{because(waits)}", cause=on or reports.swarm_work)
    if not reports.swarm_exists:
        return Progressing(
            "Joining", "waits for the swarm, which does not exist yet", cause=reports.swarm_work
        )
    if status.steps:
        return Progressing("Joining", "prepares to join the swarm")
    return Degraded("NotInSwarm", f"it is not in the swarm (docker says {status.state}){error}")


def _node(declared: HostIntent, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    node, lister = reports.node_of(declared.name), reports.lister
    age_s = seconds_since(status.joined.at if status.joined else "", reports.now_s)
    joins = age_s is not None and age_s < LISTED_WITHIN_S
    if node is None:
        if joins and lister and status.joined and lister.at < status.joined.at:
            yield Progressing("Joining", "joins the swarm: the managers do not list its node yet")
        else:
            yield Degraded("NotInSwarm", "the managers do not list its node any more")
        return
    if node.state == "unknown" and joins:
        yield Progressing("Joining", "joins the swarm: the managers list its node as unknown so far")
    elif node.state != "ready":
        yield Degraded(
            "NodeDown",
            f"the managers list its node as {node.state}, although its dockerd answers: "
            "check the ports 2377 and 7946 between the hosts",
        )
    elif node.role == "manager" and node.reachable is False:
        text = "the other managers do not reach it, so the quorum lacks it: check the port 2377 between the hosts"
        yield Degraded("NodeDown", text)
    if node.role != declared.role and status.is_manager == (declared.role == "manager"):
        yield Progressing("ChangingRole", f"its node becomes a {node.role}", cause=reports.swarm_work)
    if node.availability != declared.availability:
        reason: Reason = "Draining" if declared.availability == "drain" else "Steps"
        yield Progressing(
            reason,
            f"changes its availability from {node.availability} to {declared.availability}",
            cause=reports.swarm_work,
        )


def address_findings(declared: HostIntent, status: HostStatus, reports: Reports) -> Iterator[Finding]:
    """Yield the difference of the address that the swarm or the host has from the declared one."""
    if status.state != "active":
        return
    wanted, node = status.advertise or str(declared.address), reports.node_of(declared.name)
    known = (node.address if node else "", status.swarm_address or "")
    if found := next((each for each in known if each not in (wanted, *NO_ADDRESSES)), ""):
        order = reports.cluster.membership_orders.get(declared.name)
        text = f"the swarm has the address {found} for it, {wanted} is declared"
        if order and order.what == "leave":
            yield Progressing("Joining", f"leaves the swarm and joins again: {text}")
        else:
            yield Degraded("OtherAddress", f"{text}: correct the address in the document or on the host")
    devices = [(address.partition("/")[0], device) for address, device in status.addresses]
    if node and node.state != "ready" and devices and wanted not in dict(devices):
        has = ", ".join(f"{address} ({device})" for address, device in devices[:3])
        yield Degraded("OtherAddress", f"no device of it has the declared address {wanted}: it has {has}")


def _works_on(status: HostStatus, resource: str) -> bool:
    return any(each.resource == resource for each in status.steps)
