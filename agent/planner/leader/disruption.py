"""The disruption slot, from the leader's side: at most one host is disrupted at a time.

    sum over hosts of (granted or acquired) <= 1

There is one grant, and each write compares its revision. The leader grants the slot only while `may_grant` is true,
and only after the last host is healthy. Workers come first, then managers, the raft leader last. Only the host itself
releases an acquired slot: a host that fails keeps the slot until its agent is back or the document removes the host.
"""

from agent.diff.bridge import is_begun
from agent.diff.nodes import LeaderView, quorum, why_absent
from agent.model import leader_steps, records
from agent.model.host_state import NodeState
from agent.model.intent import HostIntent, Intent, Role
from agent.model.observed import ClusterState
from agent.model.plan import Plan, waiting_plan
from agent.model.status import HostStatus, ReplicaReport
from agent.planner.leader.recreate import unseen_peers

# ---- Method rejoin (host/bridge.py) from the leader's side: the rejoining host, and the roles meanwhile


def rejoining_host(intent: Intent, cluster: ClusterState) -> str | None:
    """Return the declared host that acquired the disruption slot to rejoin the swarm; None: there is none."""
    disruption = cluster.disruption
    if intent.gwbridge.method != "rejoin" or disruption is None or disruption.state != "acquired":
        return None
    return disruption.host if intent.host(disruption.host) else None


def role_for_now(declared: HostIntent, intent: Intent, cluster: ClusterState) -> Role:
    """Return the role that a host must have now: the declared one, unless a host rejoins.

    A rejoining host is a worker before it leaves. If it is the only manager, another host is manager meanwhile.
    """
    name = declared.name
    leaving = rejoining_host(intent, cluster)
    if leaving is None:
        return declared.role
    if leaving == name:
        return "worker" if has_to_leave(name, cluster) else declared.role
    alone = all(each.name == leaving for each in intent.managers)
    able = (each.name for each in intent.hosts if each.name != leaving and each.name in cluster.present)
    return "manager" if alone and name == next(able, None) else declared.role


def has_to_leave(name: str, cluster: ClusterState) -> bool:
    """Return True if the host reports that it is in the swarm and that its bridge waits for it to leave.

    A host with a blocked bridge stays, as it could not return. With a bridge as declared no leave is needed.
    """
    status = cluster.statuses.get(name)
    return status is not None and status.state == "active" and status.bridge.phase == "waiting"


STARTING_S = 10.0
"""Seconds for which a new leader waits for agents that start together with its own."""
_QUORUM_LOST = "the swarm lost its quorum during the disruption"


def may_grant(disruption: records.Disruption | None) -> bool:
    """Return True if no host holds the slot, granted or acquired: the check of the formula above."""
    return disruption is None or disruption.state == "released"


def plan_disruption(intent: Intent, observed: LeaderView) -> Plan:
    """Grant the disruption slot to the next host, or revoke a grant or a finished disruption."""
    cluster, disruption = observed.cluster, observed.cluster.disruption
    if disruption is None:
        return Plan() if cluster.disruption_revision else _next(intent, observed)
    if disruption.state == "released":
        return _after(intent, observed, disruption)
    if disruption.host not in cluster.present:
        return _host_is_unreachable(intent, observed, disruption)
    if disruption.state == "granted":
        if disruption.host in _waiting(intent, cluster):
            return Plan()
        return _revoke(observed, disruption, "the host no longer needs the disruption slot")
    return _plan_acquired(cluster, disruption)


def _plan_acquired(cluster: ClusterState, disruption: records.Disruption) -> Plan:
    """Block if the host that acquired the slot cannot finish: all other hosts wait for it."""
    status = cluster.status_of(disruption.host)
    quarantined = _is_quarantined(cluster, disruption.host)
    if status is None or (status.engine_up and status.bridge.phase != "held" and not quarantined):
        return Plan()
    why = "its bridge change is blocked" if status.engine_up else "its dockerd does not answer"
    why = f"it is quarantined: {cluster.membership_orders[disruption.host].reason}" if quarantined else why
    reason = f"{disruption.host} has the disruption slot ({disruption.reason}) and cannot finish: {why}"
    return waiting_plan(f"disruption/{disruption.host}", reason, f"host/{disruption.host}")


def _host_is_unreachable(intent: Intent, observed: LeaderView, disruption: records.Disruption) -> Plan:
    if disruption.state == "granted" or intent.host(disruption.host) is None:
        return _revoke(observed, disruption, f"the agent of {disruption.host} is not running")
    state = f"{disruption.host} became unreachable while it held the disruption slot"
    reason = f"{state} ({disruption.reason}): the next host waits for it"
    return waiting_plan(f"disruption/{disruption.host}", reason, f"host/{disruption.host}")


def _after(intent: Intent, observed: LeaderView, disruption: records.Disruption) -> Plan:
    """Grant the slot to the last host if it needs it again, else to the next once the last one is healthy."""
    cluster, waiting = observed.cluster, _waiting(intent, observed.cluster)
    if disruption.host in waiting:
        return _grant(disruption.host, observed)
    if unwell := why_unwell(intent, observed, disruption):
        # Also while no host waits: after a new document or an agent restart a host may not have reported its need yet.
        reason = f"the next host waits: {'; '.join(unwell)}"
        host = f"host/{disruption.host}" if unwell != (_QUORUM_LOST,) else "leader/"
        status = cluster.status_of(disruption.host)
        down = (each for each in status.replicas if _why_down(each, "", status)) if status else ()
        on = next((f"replica/{each.service}-{each.slot}" for each in down), host)
        held = waiting_plan(f"disruption/{disruption.host}", reason, on)
        return held if waiting else Plan()
    if waiting:
        return _next(intent, observed)
    return _revoke(observed, disruption, "no other host needs the disruption slot")


def why_unwell(intent: Intent, observed: LeaderView, disruption: records.Disruption) -> tuple[str, ...]:
    """Return the faults that are left after a host's disruption; the next grant waits until there are none."""
    cluster, name = observed.cluster, disruption.host
    if intent.host(name) is None:
        return ()
    if absent := why_absent(name, cluster):
        return (f"{name}: {absent}",)
    status, recorded = cluster.statuses[name], cluster.record.swarm_id if cluster.record else None
    if None not in (status.swarm_id, recorded) and status.swarm_id != recorded:
        return ()  # this swarm does not list that host's node
    faults = []
    if status.bridge.revision == intent.revision and status.bridge.phase not in ("right", "held"):
        faults.append(f"docker_gwbridge of {name} is not as declared")
    faults += filter(None, (_why_down(each, name, status) for each in status.replicas))
    nodes = observed.nodes
    if nodes is None:
        # A quorum that was lost before the grant was not lost by the disruption, and a bridge swap needs none.
        return (*faults, *([_QUORUM_LOST] if disruption.quorum else []))
    return (*faults, *_node_faults(name, status, nodes), *_peer_faults(intent, cluster, disruption, nodes))


def _why_down(replica: ReplicaReport, host: str, status: HostStatus) -> str:
    """Describe a replica for which the host has a step, or that waits or is blocked; empty: it is as declared."""
    resource = f"container/{replica.name}"
    state = f"{replica.name} on {host} is {replica.status}"
    # The disruption of a host does not make a check fail.
    unhealthy = [each for each in status.blocked if each.kind == "unhealthy"]
    left = [each for each in status.left if each.resource == resource and each not in unhealthy]
    if left:
        return f"{state}: {left[0].reason}"
    return state if any(each.resource == resource for each in status.steps) else ""


def _node_faults(name: str, status: HostStatus, nodes: tuple[NodeState, ...]) -> tuple[str, ...]:
    node = next((each for each in nodes if each.id == status.node_id), None)
    if node is None or node.state != "ready":
        return (f"the swarm calls the node of {name} {node.state if node else 'unknown'}",)
    managers = [each for each in nodes if each.role == "manager"]
    reached = sum(bool(each.reachable) for each in managers)
    if reached < quorum(len(managers)) or (node.role == "manager" and not node.reachable):
        return (f"{reached} of {len(managers)} managers are reachable",)
    return ()


def _peer_faults(
    intent: Intent, cluster: ClusterState, disruption: records.Disruption, nodes: tuple[NodeState, ...]
) -> tuple[str, ...]:
    """Return the overlays on which the host and another healthy host do not see each other, in either direction."""
    ready = {each.id for each in nodes if each.state == "ready"}
    known = {each.name: cluster.status_of(each.name) for each in intent.hosts}
    healthy = {
        host: status
        for host, status in known.items()
        if status and status.engine_up and (status.node_id in ready or host == disruption.host)
    }
    return unseen_peers(healthy, intent, disruption)


def _next(intent: Intent, observed: LeaderView) -> Plan:
    waiting = sorted(_waiting(intent, observed.cluster), key=lambda name: _order(name, observed))
    if not waiting:
        return Plan()
    if why := _why_next_waits(intent, observed):
        return waiting_plan(f"disruption/{waiting[0]}", *why)
    return _grant(waiting[0], observed)


def _why_next_waits(intent: Intent, observed: LeaderView) -> tuple[str, str] | None:
    """Return why no host gets the slot now, and the condition key of the cause; None: the next host gets it."""
    cluster, hosts = observed.cluster, [each.name for each in intent.hosts]
    waits = "waiting for the disruption slot"
    if cluster.record and (names := cluster.record.recreating):
        return f"{waits} until {', '.join(names)} is recreated", f"network/{names[0]}"
    reports = {name: cluster.status_of(name) for name in hosts if not _is_quarantined(cluster, name)}
    # A host changes its bridge without the slot after the key of the slot was deleted.
    if moving := [
        n for n, each in reports.items() if each and each.engine_up and each.bridge.phase == "moving"
    ]:
        return f"{waits}: {', '.join(moving)} changes its docker_gwbridge", f"host/{moving[0]}"
    if leaving := [name for name in hosts if _is_leaving(cluster, name)]:
        return f"{waits}: {', '.join(leaving)} is not back in the swarm", f"host/{leaving[0]}"
    # The order of the hosts is known only after all hosts have reported whether they need the disruption slot.
    silent = [name for name in hosts if _has_not_reported(intent, cluster, name)]
    silent += _may_be_starting(intent, observed)
    if not silent:
        return None
    do = "have not reported whether they need" if len(silent) > 1 else "has not reported whether it needs"
    return f"{', '.join(silent)} {do} the disruption slot", f"host/{silent[0]}"


def _may_be_starting(intent: Intent, observed: LeaderView) -> list[str]:
    """Return declared hosts without presence while STARTING_S lasts and the swarm has a ready node without a report."""
    cluster, nodes = observed.cluster, observed.nodes
    if nodes is None or observed.led_s >= STARTING_S:
        return []
    reported = {status.node_id for each in intent.hosts if (status := cluster.status_of(each.name))}
    if all(each.state != "ready" or each.id in reported for each in nodes):
        return []
    return [each.name for each in intent.hosts if each.name not in cluster.present]


def _is_leaving(cluster: ClusterState, name: str) -> bool:
    """Return True if a host leaves the swarm by a membership order or joins again; False if the leave is blocked."""
    status, membership_order = cluster.status_of(name), cluster.membership_orders.get(name)
    if status is None or not status.engine_up:
        return False
    if status.state == "active":
        if membership_order is None or membership_order.what == "quarantine":
            return False
        return all(each.order != membership_order for each in status.blocked)
    return status.state in ("inactive", "pending") and status.joined is not None


def _has_not_reported(intent: Intent, cluster: ClusterState, name: str) -> bool:
    """Return True if a running agent with dockerd has not checked its bridge against the accepted revision."""
    if name not in cluster.present:
        return False
    status = cluster.status_of(name)
    return status is None or (status.engine_up and status.bridge.revision != intent.revision)


def _grant(name: str, observed: LeaderView) -> Plan:
    cluster = observed.cluster
    assert may_grant(cluster.disruption)
    status, declared = cluster.statuses.get(name), observed.accepted and observed.accepted.host(name)
    known = (status.swarm_address or status.advertise) if status else ""
    step = leader_steps.GrantDisruption(
        host=name,
        quorum=observed.nodes is not None,
        address=known or (str(declared.address) if declared else ""),
        over=cluster.disruption_revision,
        reason=f"docker_gwbridge of {name} is not as declared",
    )
    return Plan((step,))


def _order(name: str, observed: LeaderView) -> tuple[bool, bool, bool, bool, str]:
    """Sort key: begun changes, workers, managers, raft leader; without a node list the leader's own host is last."""
    status = observed.cluster.status_of(name)
    node = next((each for each in observed.nodes or () if status and each.id == status.node_id), None)
    manager = node.role == "manager" if node else bool(status and status.is_manager)
    rests = status is None or not is_begun(status)
    return (rests, manager, bool(node and node.leader), name == observed.me, name)


def _waiting(intent: Intent, cluster: ClusterState) -> tuple[str, ...]:
    """Return the declared hosts, except in quarantine, that need the slot by a report of the accepted revision."""
    return tuple(
        each.name
        for each in intent.hosts
        if (status := cluster.status_of(each.name))
        and status.bridge.phase == "waiting"
        and status.bridge.revision == intent.revision
        and not _is_quarantined(cluster, each.name)
    )


def _is_quarantined(cluster: ClusterState, name: str) -> bool:
    membership_order = cluster.membership_orders.get(name)
    return membership_order is not None and membership_order.what == "quarantine"


def _revoke(observed: LeaderView, disruption: records.Disruption, reason: str) -> Plan:
    over, seen = observed.cluster.disruption_revision, observed.cluster.slot_revision
    revoke = leader_steps.RevokeDisruption(host=disruption.host, over=over, seen=seen, reason=reason)
    return Plan((revoke,))
