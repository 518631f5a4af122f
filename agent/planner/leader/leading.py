"""The leader's duties, in the order they depend on each other: intent, copies, the swarm, its networks, its nodes."""

from agent.diff.nodes import take_census
from agent.model.plan import Observed, Plan, untouched
from agent.planner.leader.assignments import plan_assignments
from agent.planner.leader.digests import plan_digests, resolved
from agent.planner.leader.disruption import plan_turns
from agent.planner.leader.doubles import plan_doubles
from agent.planner.leader.membership_orders import plan_rulings
from agent.planner.leader.nodes import plan_nodes, plan_removals
from agent.planner.leader.recreate import plan_overlays, plan_recreations
from agent.planner.leader.rollout import chart
from agent.planner.leader.scheduler import placing_of
from agent.planner.leader.swarm import plan_autolock, plan_swarm
from agent.planner.leader.verdict import plan_verdict


def plan_leading(observed: Observed) -> Plan:
    """What the holder of the leader lock does for the whole cluster. It touches only etcd and the manager API."""
    cluster = observed.cluster
    assert cluster is not None
    plan = plan_verdict(cluster)
    if cluster.accepted is None or cluster.went_back:
        return plan
    census = take_census(cluster.accepted, observed)
    plan += plan_digests(observed)
    if (intent := resolved(observed)) is not None:
        placing = placing_of(intent, observed)
        courses = chart(intent, observed, placing)
        plan += plan_assignments(intent, cluster, courses, observed.host, placing)
    plan += plan_removals(cluster.accepted, observed, census)
    plan += plan_turns(cluster.accepted, observed)
    plan += plan_doubles(cluster)
    if observed.host is None:
        return plan
    if cluster.record_held:
        return plan + _record_held()
    plan += plan_swarm(cluster.accepted, observed)
    if cluster.record is None or cluster.record.swarm_id is None:
        return plan  # another may be recorded yet: this one is to hold nothing before
    if observed.host.swarm.leaderless:
        plan += _nodes_unseen()
    plan += plan_overlays(cluster.accepted, observed)
    plan += plan_autolock(cluster.accepted, cluster, observed.host)
    plan += plan_recreations(cluster.accepted, observed)
    plan += plan_rulings(cluster.accepted, observed, census)
    return plan + plan_nodes(cluster.accepted, observed, census) if census else plan


def _nodes_unseen() -> Plan:
    reason = "the swarm does not list them to this manager, which leads: no role, label, overlay or join is seen to"
    return untouched("nodes", "quorum", reason)


def _record_held() -> Plan:
    """Which swarm is the cluster's cannot be told: neither make one nor take the one at hand for it."""
    reason = "it cannot be read: nothing is done about the swarm until it is put right or deleted"
    return untouched("swarm-record", "garbage", reason)
