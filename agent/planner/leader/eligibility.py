"""Eligibility for the leader lock: a declared manager that, once the swarm exists, is a manager of that swarm.

If no declared manager is in the swarm yet, an undeclared manager is interim leader: no other host could promote a
declared one. The same holds for the host that created the swarm and is declared a worker before it published the swarm.

A leader resigns if its dockerd does not answer for a while and another host could lead: it cannot see the swarm, and
each hanging call delays its work for the other hosts. It also resigns if its dockerd cannot list the nodes, as when
only the link to the other managers is cut. So does one that renews its lease but cannot read etcd.
"""

from collections.abc import Iterator

from agent.diff.claim import can_init
from agent.diff.networks import found_for, refused_names
from agent.diff.nodes import other_cluster
from agent.model.host_state import HostState, other_swarm
from agent.model.intent import Intent
from agent.model.leader_steps import Campaign, HandOver, Resign
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Plan, blocked_plan
from agent.model.status import HostStatus
from agent.planner.leader.disruption import rejoining_host

LEADS_BLIND_S = 30.0
"""Seconds for which a leader keeps the lock while it cannot see dockerd, the nodes or etcd. A dockerd restarts, a swarm
elects a raft leader and a slow link to etcd recovers sooner. It is also the usual deadline of one call, which
distinguishes a hanging dockerd from a slow one."""
INTERIM_LEADER_S = 300.0
"""Seconds for which a manager with an obstacle, as one that does not see the nodes, keeps the lock that it took.
A host without one left the lock free for LEADS_BLIND_S, so it may be unable to take it: the lock must not alternate."""
HANDOVER_S = 10.0
"""Seconds for which all others leave the lock that was handed over to the host that the document names."""


def plan_leadership(observed: Observed) -> Plan:
    """Campaign if the lock is free and this host is eligible; resign if it holds the lock and is ineligible."""
    cluster = observed.cluster
    if cluster is None or observed.stale:
        return _plan_unread(observed)
    reason, order = why_ineligible(observed, cluster), cluster.handover
    if observed.fence and order and not reason:
        asked = f"policy.handover of {order.at} names {order.to}"
        return Plan((HandOver(lock=observed.fence, reason=asked),))
    if observed.fence:
        return Plan((Resign(lock=observed.fence, reason=reason),)) if reason else Plan()
    declared = cluster.accepted and _declared_manager(observed.me, cluster, cluster.accepted)
    if declared and not cluster.may_lead:
        return blocked_plan(f"host/{observed.me}", "dependency", f"it is declared a manager, and {reason}")
    if reason or cluster.leader or not observed.lease:
        return Plan()
    if order and order.to != observed.me and observed.unled_s < HANDOVER_S:
        return Plan(requeue_after_s=HANDOVER_S - observed.unled_s)
    last = cluster.accepted.policy.handover if cluster.accepted else None
    return Plan((Campaign(not_before=last.at if last else "", reason="the leader lock is free"),))


def _plan_unread(observed: Observed) -> Plan:
    """Resign if etcd cannot be read: this leader does nothing, and no other can lead while it renews."""
    lock, unread_s = observed.lock_unread, observed.unread_s
    if lock is None or unread_s < LEADS_BLIND_S:
        return Plan()
    reason = f"etcd renews the lease but has answered no read for {unread_s:.0f} s"
    return Plan((Resign(lock=lock, reason=reason),))


def why_ineligible(observed: Observed, cluster: ClusterState) -> str:
    """Return why this host is ineligible; empty if it is eligible."""
    if not cluster.may_lead:
        extend = f"`swarmkeeper etcd-roles --host {observed.me} --may-lead`"
        return f"its role in etcd does not let it lead: {extend} prints the one that does"
    if unread := cluster.newer_format:
        return f"{unread[0]} is of a newer agent, and this one would overwrite what it cannot read"
    if cluster.accepted_doubt == "compacted" and cluster.refusal:
        return "this host cannot check the accepted document, and another one may have"
    if observed.host and (other := other_cluster(observed.host, cluster.record)):
        return f"this host is in the swarm of cluster {other}"
    # Before the first document is accepted, only the newest document can name a manager that may accept it.
    intent = cluster.accepted or (cluster.document.intent if cluster.document else None)
    if intent is None:
        return _ineligible_before_any(cluster)
    if rejoining_host(intent, cluster) == observed.me and _another_manages(observed, cluster):
        return "this host holds the disruption slot and rejoins the swarm"
    declared = _declared_manager(observed.me, cluster, intent)
    if not declared and not _is_interim_leader(observed, cluster, intent):
        return "the intent does not declare this host a manager"
    if observed.host is None:
        return _ineligible_blind(observed, cluster, intent)
    return _ineligible_engine(observed, cluster, observed.host, intent)


def _declared_manager(me: str, cluster: ClusterState, intent: Intent) -> bool:
    """Return True if the accepted document, or the newest one while that is unreadable, declares it a manager."""
    newest = cluster.document.intent if cluster.document and cluster.accepted_held else None
    hosts = (each.host(me) for each in (intent, newest) if each)
    return any(host is not None and host.role == "manager" for host in hosts)


def _ineligible_before_any(cluster: ClusterState) -> str:
    """Return why no host may lead without an intent; empty if the first document is invalid, to refuse it."""
    if cluster.document is None:
        return "no intent says who may lead"
    # Another host, as one with another version, may read the accepted document: that host must lead.
    unread = cluster.verdict is not None and cluster.verdict.accepted_revision
    return "a document is accepted that this host cannot read" if unread else ""


def _is_interim_leader(observed: Observed, cluster: ClusterState, intent: Intent) -> bool:
    """Return True if the swarm has no declared manager that could lead instead of this host."""
    record = cluster.record
    if record is None:
        return False
    if record.swarm_id is None:
        swarm = observed.host.swarm if observed.host else None  # None: its dockerd does not answer
        manages = (swarm.local == "active" and swarm.is_manager) if swarm else observed.fence is not None
        return record.claimed_by == observed.me and manages
    managers = tuple(each for each in intent.managers if each.name != rejoining_host(intent, cluster))
    if observed.fence:
        return not any(cluster.could_lead(each.name) for each in managers)
    # Only the leader reads the reports of the other hosts; a follower knows Swarm's node list.
    addresses, nodes = {str(each.address) for each in managers}, observed.nodes
    return nodes is not None and not any(each.reachable and each.address in addresses for each in nodes)


def _another_manages(observed: Observed, cluster: ClusterState) -> bool:
    """Return True if another host could lead while this host is outside the swarm."""
    if observed.fence:
        return any(cluster.could_lead(name) for name in cluster.present if name != observed.me)
    mine = observed.host.swarm.node_id if observed.host else None
    return any(each.reachable and each.id != mine for each in observed.nodes or ())


def _ineligible_blind(observed: Observed, cluster: ClusterState, intent: Intent) -> str:
    """Return why a host without an answer from dockerd is ineligible; a leader stays eligible for LEADS_BLIND_S."""
    if not observed.fence:
        return "dockerd does not answer"
    unanswered_s, record = observed.engine_away_s, cluster.record
    begun = record is not None and record.swarm_id is None and record.claimed_by == observed.me
    # dockerd may still execute an init, and a second host must not create a second swarm. The claim is passed on first.
    if unanswered_s < LEADS_BLIND_S or begun:
        return ""
    if record is None or record.swarm_id is None:
        reports = (cluster.status_of(each.name) for each in intent.managers if each.name != observed.me)
        able = (each for each in reports if each and each.engine_up and not each.other_cluster)
        others = any(each.state in ("inactive", "active") for each in able)
    else:
        others = _another_manages(observed, cluster)
    return f"dockerd has not answered for {unanswered_s:.0f} s, and another host could lead" if others else ""


def _ineligible_engine(observed: Observed, cluster: ClusterState, host: HostState, intent: Intent) -> str:
    swarm, record = host.swarm, cluster.record
    if record and record.swarm_id:
        if swarm.local == "active" and not swarm.is_manager:
            return "this host's engine is a worker"
        if swarm.local == "active" and (other := other_swarm(record, swarm)):
            return f"this host is in {other}"
        if swarm.local == "active" or (observed.fence and swarm.local == "pending"):
            without_nodes = _ineligible_without_nodes(observed, cluster, host, intent)
            return without_nodes or _ineligible_for_a_name(observed, cluster, host, intent)
        return f"this host's engine is {swarm.local}, not a manager of swarm {record.swarm_id}"
    if swarm.local == "active":
        return "" if swarm.is_manager else "this host's engine is a worker"
    if swarm.local == "pending" and record and record.claimed_by == observed.me:
        return ""  # the claimed init is running
    if swarm.local != "inactive":
        return f"this host's engine is {swarm.local}"
    return _ineligible_outside(observed.me, cluster, host, intent)


def _ineligible_outside(me: str, cluster: ClusterState, host: HostState, intent: Intent) -> str:
    """Return why a host outside any swarm is ineligible while no swarm is recorded."""
    # An existing swarm is adopted; only one of its managers can do that.
    if elsewhere := host_with_a_swarm(me, cluster, intent):
        return f"{elsewhere} is in a swarm already and has to lead"
    # Only the leader inits, and only on its own claim: a claimant that lost the lock in between must acquire it again.
    if claimant := _claimant_that_can(me, cluster, intent):
        return f"{claimant} claimed the init and has to lead"
    others = (each.name for each in intent.managers if each.name != me)
    able = next((each for each in others if can_init(each, cluster)), None)
    return f"this host's engine supports no swarm, and {able} can create it" if host.no_swarm and able else ""


def _ineligible_for_a_name(observed: Observed, cluster: ClusterState, host: HostState, intent: Intent) -> str:
    """Return why this engine cannot create an overlay, if another host that could lead has no such obstacle.

    It takes a lock that the other one leaves free, and keeps it for a while, to report the obstacle with its remedy.
    """
    if observed.unled_s >= LEADS_BLIND_S and observed.led_s < INTERIM_LEADER_S:
        return ""
    overlays = (each for each in intent.networks if each.driver == "overlay")
    missing = {each.name for each in overlays if not found_for(each, host, cluster.record)}
    if not (refused := missing & refused_names(host)):
        return ""
    for other, status in _others_that_could_lead(observed.me, cluster, intent):
        local = {each.name for each in status.networks if each.scope != "swarm" or each.left_behind}
        if missing.isdisjoint(local):
            own = f"dockerd has a network of its own named {min(refused)}"
            return f"{own}, and {other} can create that overlay"
    return ""


def _others_that_could_lead(
    me: str, cluster: ClusterState, intent: Intent
) -> Iterator[tuple[str, HostStatus]]:
    """Yield the other declared managers that could lead, with their reports."""
    rejoining = rejoining_host(intent, cluster)
    for each in intent.managers:
        status = cluster.status_of(each.name)
        if status and each.name not in (me, rejoining) and cluster.could_lead(each.name):
            yield each.name, status


def _ineligible_without_nodes(
    observed: Observed, cluster: ClusterState, host: HostState, intent: Intent
) -> str:
    """Return why a manager that cannot list the nodes is ineligible; empty if no other host reports that it can.

    Otherwise it may lead, to judge documents. While the lock is free, it reads the reports like a leader.
    """
    others = _others_that_could_lead(observed.me, cluster, intent)
    other = next((name for name, status in others if status.nodes is not None), None)
    if not host.swarm.leaderless or other is None:
        return ""
    if not observed.fence:
        may_lead_soon = observed.unled_s < LEADS_BLIND_S
        return f"{other} sees the swarm's nodes, and this host does not" if may_lead_soon else ""
    blind_s, led_s = observed.nodes_unseen_s, observed.led_s
    took_it_blind = blind_s > led_s
    if blind_s < LEADS_BLIND_S or (took_it_blind and led_s < INTERIM_LEADER_S):
        return ""
    return f"this host has not seen the swarm's nodes for {blind_s:.0f} s, and {other} sees them"


def _claimant_that_can(me: str, cluster: ClusterState, intent: Intent) -> str | None:
    """Return another declared manager that claimed the init, has not done it, and reports that it can."""
    record = cluster.record
    if record is None or record.swarm_id or record.claimed_by == me:
        return None
    declared, status = intent.host(record.claimed_by), cluster.status_of(record.claimed_by)
    if declared is None or declared.role != "manager" or status is None:
        return None
    able = status.engine_up and status.state in ("inactive", "pending")
    return record.claimed_by if able else None


def host_with_a_swarm(me: str, cluster: ClusterState, intent: Intent) -> str | None:
    """Return another host that reports a swarm it manages: a declared manager, or the claimant of an open init."""
    claimed = cluster.record.claimed_by if cluster.record and not cluster.record.swarm_id else None
    for name in sorted(cluster.statuses):
        status, declared = cluster.status_of(name), intent.host(name)
        entitled = name == claimed or (declared is not None and declared.role == "manager")
        if name != me and status and entitled and status.is_manager and not status.other_cluster:
            return name
    return None
