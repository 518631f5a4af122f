"""Who may lead: only a declared manager, and once there is a swarm only a manager of that swarm.

Where the swarm has no declared manager yet, one that it has leads until a declared one can: nobody else could promote
that one. So does the host that has made the swarm and is declared otherwise before it could say so.

A leader whose dockerd does not answer for long gives the lock back if somebody else could do better: it cannot see the
swarm, and each look at it that hangs delays all it does for the others. So does one whose dockerd answers and cannot
list the swarm's nodes, as when it is cut from the other managers alone; and one that renews its lease and cannot read
etcd lets go of the lock.
"""

from agent.model.host_state import HostState, other_swarm
from agent.model.intent import Intent
from agent.model.leader_steps import AbandonLock, Campaign, Resign
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Plan
from agent.planner.leader.disruption import rejoining_host

LEADS_BLIND_S = 30.0
"""A dockerd that restarts is back in seconds. It is also the usual deadline of one call: a dockerd that hangs is told
from one that is slow by the first that ends without an answer. A swarm that has lost its raft leader has another one
sooner; a link to etcd that is slow for a while is no reason either."""
INTERIM_LEADER_S = 300.0
"""For how long a manager that took the lock without seeing the nodes leads on, although another one sees them: that one
let the lock lie for LEADS_BLIND_S, so it may not be able to take it, and the lock must not go back and forth."""


def plan_leadership(observed: Observed) -> Plan:
    """Campaign when the lock is free and this host may lead; resign when it holds the lock and may not."""
    cluster = observed.cluster
    if cluster is None or observed.stale:
        return _plan_unread(observed)
    why_not = why_ineligible(observed, cluster)
    if observed.fence:
        return Plan((Resign(reason=why_not),)) if why_not else Plan()
    if why_not or cluster.leader or not observed.lease:
        return Plan()
    return Plan((Campaign(reason="nobody leads"),))


def _plan_unread(observed: Observed) -> Plan:
    """Who cannot read does nothing for the others, and as long as it renews the lock nobody else does either."""
    lock, unread_s = observed.lock_unread, observed.unread_s
    if lock is None or unread_s < LEADS_BLIND_S:
        return Plan()
    reason = f"etcd has renewed the lease for {unread_s:.0f} s, and lets nothing be read"
    return Plan((AbandonLock(lock=lock, reason=reason),))


def why_ineligible(observed: Observed, cluster: ClusterState) -> str:
    """Why this host may not lead, in words; empty when it may."""
    if cluster.newer_format:
        return (
            f"{cluster.newer_format[0]} is of a newer agent, and this one would overwrite what it cannot read"
        )
    # Before the first document was accepted there is nobody to accept it, unless the newest one says who may.
    intent = cluster.accepted or (cluster.document.intent if cluster.document else None)
    if intent is None:
        return _ineligible_before_any(cluster)
    if rejoining_host(intent, cluster) == observed.me and _another_manages(observed, cluster):
        return "this host holds the disruption slot to leave the swarm and come back"
    if not _declared_manager(observed.me, cluster, intent) and not _is_interim_leader(
        observed, cluster, intent
    ):
        return "the intent does not declare this host a manager"
    if observed.host is None:
        return _ineligible_blind(observed, cluster, intent)
    return _ineligible_engine(observed, cluster, observed.host, intent)


def _declared_manager(me: str, cluster: ClusterState, intent: Intent) -> bool:
    """Also by the newest document, where the managers of the accepted one may not know any more that they are."""
    newest = cluster.document.intent if cluster.document and cluster.accepted_held else None
    hosts = (each.host(me) for each in (intent, newest) if each)
    return any(host is not None and host.role == "manager" for host in hosts)


def _ineligible_before_any(cluster: ClusterState) -> str:
    """Who may lead where no intent says it: anybody, to say what is wrong with the first document."""
    if cluster.document is None:
        return "no intent says who may lead"
    # Others may be able to read it, as those that are yet to be upgraded: they have more to do than to judge.
    unread = cluster.verdict is not None and cluster.verdict.accepted_revision
    return "a document is accepted that this host cannot read" if unread else ""


def _is_interim_leader(observed: Observed, cluster: ClusterState, intent: Intent) -> bool:
    """Whether the swarm has no declared manager that could lead instead of this host."""
    record = cluster.record
    if record is None:
        return False
    if record.swarm_id is None:
        return record.claimed_by == observed.me and _manages_one(observed)
    managers = tuple(each for each in intent.managers if each.name != rejoining_host(intent, cluster))
    if observed.fence:
        return not any(_could_lead(each.name, cluster) for each in managers)
    # Only the leader reads what the others report; who follows knows the swarm's own list.
    nodes = observed.host.swarm.nodes if observed.host else None
    addresses = {str(each.address) for each in managers}
    return nodes is not None and not any(each.reachable and each.address in addresses for each in nodes)


def _manages_one(observed: Observed) -> bool:
    """Whether this host is in a swarm, as a manager; a leader whose dockerd is away is taken for one."""
    swarm = observed.host.swarm if observed.host else None
    return (swarm.local == "active" and swarm.is_manager) if swarm else observed.fence is not None


def _another_manages(observed: Observed, cluster: ClusterState) -> bool:
    """Whether somebody else could lead while this host is out of the swarm."""
    if observed.fence:
        return any(_could_lead(name, cluster) for name in cluster.present if name != observed.me)
    swarm = observed.host.swarm if observed.host else None
    nodes = (swarm.nodes if swarm else None) or ()
    return any(each.reachable for each in nodes if swarm and each.id != swarm.node_id)


def _could_lead(name: str, cluster: ClusterState) -> bool:
    """Whether a host says, in this run of its agent, that it manages the recorded swarm."""
    status, record = cluster.status_of(name), cluster.record
    if record is None or status is None:
        return False
    manages = status.is_manager and status.swarm_id == record.swarm_id
    return status.engine_up and status.state == "active" and manages


def _ineligible_blind(observed: Observed, cluster: ClusterState, intent: Intent) -> str:
    """Who leads keeps leading for a while, who does not waits for his engine."""
    if not observed.fence:
        return "dockerd does not answer"
    away_s, record = observed.engine_away_s, cluster.record
    begun = record is not None and record.swarm_id is None and record.claimed_by == observed.me
    # An init may be on its way into that dockerd: nobody else is to make one.
    if away_s < LEADS_BLIND_S or begun:
        return ""
    if record is None or record.swarm_id is None:
        others = any(_could_init(each.name, cluster) for each in intent.managers if each.name != observed.me)
    else:
        others = _another_manages(observed, cluster)
    return f"dockerd has not answered for {away_s:.0f} s, and another host could lead" if others else ""


def _could_init(name: str, cluster: ClusterState) -> bool:
    """Whether a host says, in this run of its agent, that its engine could make the swarm, or is in one."""
    status = cluster.status_of(name)
    return status is not None and status.engine_up and status.state in ("inactive", "active")


def _ineligible_engine(observed: Observed, cluster: ClusterState, host: HostState, intent: Intent) -> str:
    swarm, record = host.swarm, cluster.record
    if record and record.swarm_id:
        if swarm.local == "active" and not swarm.is_manager:
            return "this host's engine is a worker"
        if swarm.local == "active" and (other := other_swarm(record, swarm)):
            return f"this host is in {other}"
        if swarm.local == "active" or (observed.fence and swarm.local == "pending"):
            return _ineligible_unseeing(observed, cluster, host, intent)
        return f"this host's engine is {swarm.local}, not a manager of swarm {record.swarm_id}"
    if swarm.local == "active":
        return "" if swarm.is_manager else "this host's engine is a worker"
    if swarm.local == "pending" and record and record.claimed_by == observed.me:
        return ""  # the init that the claim was for
    if swarm.local != "inactive":
        return f"this host's engine is {swarm.local}"
    # A swarm that exists is adopted rather than a second one made; only one of its managers can do that.
    if elsewhere := host_with_a_swarm(observed.me, cluster, intent):
        return f"{elsewhere} is in a swarm already and has to lead"
    # Only the leader inits, and only on its own claim: a claimant that lost the lock in between has to get it back.
    if claimant := _claimant_that_can(observed.me, cluster, intent):
        return f"{claimant} claimed the init and has to lead"
    return ""


def _ineligible_unseeing(observed: Observed, cluster: ClusterState, host: HostState, intent: Intent) -> str:
    """A manager that does not see the swarm's nodes leaves the lead to one that does; else it leads, for the documents.

    Only who leads, or does not see them while nobody leads, reads what the others report.
    """
    if not host.swarm.leaderless or not (other := _who_sees_nodes(observed.me, cluster, intent)):
        return ""
    if not observed.fence:
        may_come = observed.unled_s < LEADS_BLIND_S
        return f"{other} sees the swarm's nodes, and this host does not" if may_come else ""
    blind_s, led_s = observed.nodes_unseen_s, observed.led_s
    took_it_blind = blind_s > led_s
    if blind_s < LEADS_BLIND_S or (took_it_blind and led_s < INTERIM_LEADER_S):
        return ""
    return f"it has not seen the swarm's nodes for {blind_s:.0f} s, and {other} sees them"


def _who_sees_nodes(me: str, cluster: ClusterState, intent: Intent) -> str | None:
    """Name of another declared manager that could lead and says that it sees the swarm's nodes."""
    disruption = rejoining_host(intent, cluster)
    for each in intent.managers:
        status = cluster.statuses.get(each.name)
        sees = status is not None and status.nodes is not None
        if each.name not in (me, disruption) and sees and _could_lead(each.name, cluster):
            return each.name
    return None


def _claimant_that_can(me: str, cluster: ClusterState, intent: Intent) -> str | None:
    """Name of another host that claimed the init, did not do it yet, and says in this run that it could."""
    record = cluster.record
    if record is None or record.swarm_id or record.claimed_by == me:
        return None
    declared, status = intent.host(record.claimed_by), cluster.status_of(record.claimed_by)
    if declared is None or declared.role != "manager" or status is None:
        return None
    able = status.engine_up and status.state in ("inactive", "pending")
    return record.claimed_by if able else None


def host_with_a_swarm(me: str, cluster: ClusterState, intent: Intent) -> str | None:
    """Name of another host that says, in this run of its agent, that it manages a swarm.

    It is a declared manager or, while no swarm is recorded, who claimed the init, whatever it is declared since.
    """
    claimed = cluster.record.claimed_by if cluster.record and not cluster.record.swarm_id else None
    for name in sorted(cluster.statuses):
        status, declared = cluster.status_of(name), intent.host(name)
        entitled = name == claimed or (declared is not None and declared.role == "manager")
        if name != me and status and entitled and status.is_manager:
            return name
    return None
