"""The host that holds the disruption slot, from the leader's side.

One host at a time, and the next only when all is well.

Workers come first, then managers, the raft leader last. A disruption slot that was acquired ends only by its host's own
word: a host that dies while it holds the disruption slot keeps it, so the next is never disturbed before it is known
how the last one came out.
"""

from agent.diff.bridge import is_begun
from agent.diff.nodes import etcd_of
from agent.model import leader_steps, records
from agent.model.host_state import NodeState
from agent.model.intent import HostIntent, Intent, Role
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Blocked, Plan, blocked_plan
from agent.model.status import HostStatus
from agent.planner.leader.recreate import unseen_peers

# ----
# The host that holds the disruption slot to leave and come back, and in which role: method rejoin (host/rejoin.py) from
# the leader's side.


def rejoining_host(intent: Intent, cluster: ClusterState) -> str | None:
    """The host that holds the disruption slot to leave and come back; None: nobody's."""
    disruption = cluster.disruption
    if intent.gwbridge.method != "rejoin" or disruption is None or disruption.state != "acquired":
        return None
    return disruption.host if intent.host(disruption.host) else None


def role_for_now(declared: HostIntent, intent: Intent, cluster: ClusterState) -> Role:
    """The role a host in the swarm shall have now: as declared, but for one that is about to leave.

    Where that one is the only manager, another host stands in for it meanwhile.
    """
    name = declared.name
    leaving = rejoining_host(intent, cluster)
    if leaving is None:
        return declared.role
    if leaving == name:
        return "worker" if has_to_leave(name, cluster) else declared.role
    return "manager" if name == _stand_in(intent, leaving, cluster) else declared.role


def has_to_leave(name: str, cluster: ClusterState) -> bool:
    """Whether the host says that it is in the swarm, and that its bridge waits for it to leave.

    One that is held would be nothing but lost outside; what is left to do beside a bridge as agreed is done inside.
    """
    status = cluster.statuses.get(name)
    return status is not None and status.state == "active" and status.bridge.phase == "waiting"


def _stand_in(intent: Intent, leaving: str, cluster: ClusterState) -> str | None:
    if any(each.name != leaving for each in intent.managers):
        return None
    able = (each.name for each in intent.hosts if each.name != leaving and each.name in cluster.present)
    return next(able, None)


STARTING_S = 10.0
"""How long a new leader waits for agents that start together with its own, seconds."""


def plan_disruption(intent: Intent, observed: Observed) -> Plan:
    """Grant the disruption slot, and end one that is over."""
    cluster = etcd_of(observed)
    disruption = cluster.disruption
    if disruption is None:
        return Plan() if cluster.disruption_revision else _next(intent, observed)
    if disruption.state == "released":
        return _after(intent, observed, disruption)
    if disruption.host not in cluster.present:
        return _host_is_away(intent, observed, disruption)
    if disruption.state == "granted":
        needed = disruption.host in _waiting(intent, cluster)
        return (
            Plan() if needed else _end(observed, disruption, "it does not need the disruption slot any more")
        )
    return _under_way(cluster, disruption)


def _under_way(cluster: ClusterState, disruption: records.Disruption) -> Plan:
    """Whoever has the disruption slot ends it; that it cannot is said, as all others wait for it."""
    status = cluster.status_of(disruption.host)
    still = _is_quarantined(cluster, disruption.host)
    if status is None or (status.engine_up and status.bridge.phase != "held" and not still):
        return Plan()
    why = "what it began is held" if status.engine_up else "its dockerd does not answer"
    why = f"it is quarantined: {cluster.membership_orders[disruption.host].reason}" if still else why
    reason = f"{disruption.host} has the disruption slot ({disruption.reason}) and does not go on: {why}"
    return blocked_plan(f"disruption/{disruption.host}", "waiting", reason)


def _host_is_away(intent: Intent, observed: Observed, disruption: records.Disruption) -> Plan:
    if disruption.state == "granted" or intent.host(disruption.host) is None:
        return _end(observed, disruption, f"the agent of {disruption.host} is gone")
    reason = f"{disruption.host} went away with the disruption slot ({disruption.reason}): the next host waits for it"
    return blocked_plan(f"disruption/{disruption.host}", "waiting", reason)


def _after(intent: Intent, observed: Observed, disruption: records.Disruption) -> Plan:
    """The next one, once the host of the disruption slot is well.

    Itself first, when its bridge is not as agreed again.
    """
    cluster = etcd_of(observed)
    waiting = _waiting(intent, cluster)
    if disruption.host in waiting:
        return _offer(disruption.host, observed)
    if unwell := why_unwell(intent, observed, disruption):
        # Also while nobody waits: who does may not have said so yet, after a new intent or a start of its agent.
        reason = f"the next host waits: {'; '.join(unwell)}"
        held = Blocked(resource=f"disruption/{disruption.host}", reason=reason, kind="waiting")
        return Plan(blocked=(held,) if waiting else ())
    return (
        _next(intent, observed)
        if waiting
        else _end(observed, disruption, "nobody else needs the disruption slot")
    )


def why_unwell(intent: Intent, observed: Observed, disruption: records.Disruption) -> tuple[str, ...]:
    """What is not well after the disruption slot of a host, in words; the next one starts only when this is empty."""
    cluster, name = etcd_of(observed), disruption.host
    if intent.host(name) is None:
        return ()
    status = cluster.status_of(name)
    if status is None or not status.engine_up:
        return (f"{name} does not report",)
    if _is_elsewhere(status, cluster):
        return ()  # the swarm at hand says nothing of it
    faults = []
    if status.bridge.revision == intent.revision and status.bridge.phase not in ("right", "held"):
        faults.append(f"docker_gwbridge of {name} is not as agreed")
    faults += [
        f"{each.name} on {name} is {each.status}" for each in status.replicas if _is_down(each.name, status)
    ]
    nodes = observed.host.swarm.nodes if observed.host else None
    if nodes is None:
        # Lost before the disruption slot it is none of our doing, and the change needs none.
        return (*faults, "the swarm lost its leader meanwhile") if disruption.quorum else tuple(faults)
    return (*faults, *_node_faults(name, status, nodes), *_peer_faults(intent, cluster, name, nodes))


def _is_elsewhere(status: HostStatus, cluster: ClusterState) -> bool:
    recorded = cluster.record.swarm_id if cluster.record else None
    return None not in (status.swarm_id, recorded) and status.swarm_id != recorded


def _is_down(name: str, status: HostStatus) -> bool:
    """Whether something is still to be done for a replica, or cannot be: one that has done its work may rest."""
    resource = f"container/{name}"
    return any(each.resource == resource for each in status.blocked) or any(
        f" {resource}: " in step for step in status.steps
    )


def _node_faults(name: str, status: HostStatus, nodes: tuple[NodeState, ...]) -> tuple[str, ...]:
    node = next((each for each in nodes if each.id == status.node_id), None)
    if node is None or node.state != "ready":
        return (f"the swarm calls the node of {name} {node.state if node else 'unknown'}",)
    managers = [each for each in nodes if each.role == "manager"]
    reached = sum(bool(each.reachable) for each in managers)
    if 2 * reached <= len(managers) or (node.role == "manager" and not node.reachable):
        return (f"{reached} of {len(managers)} managers are reachable",)
    return ()


def _peer_faults(
    intent: Intent, cluster: ClusterState, name: str, nodes: tuple[NodeState, ...]
) -> tuple[str, ...]:
    """Whether the host and the others that are well have heard of each other on the overlays, both ways."""
    ready = {each.id for each in nodes if each.state == "ready"}
    known = {each.name: cluster.status_of(each.name) for each in intent.hosts}
    well = {
        host: status
        for host, status in known.items()
        if status and status.engine_up and (status.node_id in ready or host == name)
    }
    return unseen_peers(well, intent, around=name)


def _next(intent: Intent, observed: Observed) -> Plan:
    cluster = etcd_of(observed)
    waiting = sorted(_waiting(intent, cluster), key=lambda name: _order(name, observed))
    if not waiting:
        return Plan()
    if reason := _why_not_yet(intent, observed, cluster):
        return blocked_plan(f"disruption/{waiting[0]}", "waiting", reason)
    return _offer(waiting[0], observed)


def _why_not_yet(intent: Intent, observed: Observed, cluster: ClusterState) -> str:
    record = cluster.record
    if record and record.recreating:
        return f"it gets the disruption slot when {', '.join(record.recreating)} is recreated"
    if moving := [each.name for each in intent.hosts if _is_moving(cluster, each.name)]:
        return f"it gets the disruption slot when {', '.join(moving)} is through with its docker_gwbridge"
    if leaving := [each.name for each in intent.hosts if _is_leaving(cluster, each.name)]:
        return f"it gets the disruption slot when {', '.join(leaving)} is in the swarm again"
    # Who is first of all that need the disruption slot is known only when all have said whether they do.
    silent = [each.name for each in intent.hosts if _is_yet_to_say(intent, cluster, each.name)]
    silent += _may_be_starting(intent, observed, cluster)
    if len(silent) > 1:
        return f"{', '.join(silent)} are yet to say whether they need the disruption slot first"
    return f"{silent[0]} is yet to say whether it needs the disruption slot first" if silent else ""


def _may_be_starting(intent: Intent, observed: Observed, cluster: ClusterState) -> list[str]:
    """Declared hosts without an agent, while that of a node of the swarm may only be slower to start than this one."""
    nodes = observed.host.swarm.nodes if observed.host else None
    if nodes is None or observed.led_s >= STARTING_S:
        return []
    told = {status.node_id for each in intent.hosts if (status := cluster.status_of(each.name))}
    if all(each.state != "ready" or each.id in told for each in nodes):
        return []
    return [each.name for each in intent.hosts if each.name not in cluster.present]


def _is_moving(cluster: ClusterState, name: str) -> bool:
    """Whether a host is at work on its bridge without the disruption slot.

    It is broken there, or somebody has deleted the disruption slot.

    One that was quarantined is not, however much there is to do.
    """
    status = cluster.status_of(name)
    works = status is not None and status.engine_up and status.bridge.phase == "moving"
    return works and not _is_quarantined(cluster, name)


def _is_leaving(cluster: ClusterState, name: str) -> bool:
    """Whether a host is on its way out of the swarm by the leader's word, or back into it; one that is held is not."""
    status, membership_order = cluster.status_of(name), cluster.membership_orders.get(name)
    if status is None or not status.engine_up:
        return False
    if status.state == "active":
        return (
            membership_order is not None
            and membership_order.what == "leave"
            and not _is_held(status, membership_order)
        )
    return status.state in ("inactive", "pending") and status.joined is not None


def _is_held(status: HostStatus, membership_order: records.MembershipOrder) -> bool:
    """Whether the host says that something stands against that word (host/leaving.py)."""
    begins = membership_order.held("")
    return any(each.resource == "swarm" and each.reason.startswith(begins) for each in status.blocked)


def _is_yet_to_say(intent: Intent, cluster: ClusterState, name: str) -> bool:
    """Whether an agent is there that has not looked at its bridge since the intent; without dockerd it cannot."""
    if name not in cluster.present:
        return False
    status = cluster.status_of(name)
    return status is None or (status.engine_up and status.bridge.revision != intent.revision)


def _offer(name: str, observed: Observed) -> Plan:
    step = leader_steps.GrantDisruption(
        host=name,
        quorum=observed.host is not None and observed.host.swarm.nodes is not None,
        over=etcd_of(observed).disruption_revision,
        reason=f"docker_gwbridge of {name} is not as agreed",
    )
    return Plan((step,))


def _order(name: str, observed: Observed) -> tuple[bool, bool, bool, bool, str]:
    """What was begun first; workers, managers, the raft leader; without a node list this host, which leads, last."""
    status = etcd_of(observed).status_of(name)
    nodes = (observed.host.swarm.nodes if observed.host else None) or ()
    node = next((each for each in nodes if status and each.id == status.node_id), None)
    manager = node.role == "manager" if node else bool(status and status.is_manager)
    rests = status is None or not is_begun(status)
    return (rests, manager, bool(node and node.leader), name == observed.me, name)


def _waiting(intent: Intent, cluster: ClusterState) -> tuple[str, ...]:
    """Declared hosts that say, in this run of their agent and of the accepted intent.

    That they need the disruption slot.

    One that was quarantined, as its machine was copied, takes none.
    """
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


def _end(observed: Observed, disruption: records.Disruption, reason: str) -> Plan:
    return Plan(
        (
            leader_steps.RevokeDisruption(
                host=disruption.host, over=etcd_of(observed).disruption_revision, reason=reason
            ),
        )
    )
