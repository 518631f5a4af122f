"""The leader's duties, in the order they depend on each other: the intent, the swarm, its networks, the copies."""

from agent.model.intent import Intent
from agent.model.observed import Observed
from agent.model.steps import Blocked, Plan
from agent.planner.assignments import plan_assignments
from agent.planner.overlays import plan_overlays
from agent.planner.recreate import plan_recreations
from agent.planner.swarm import plan_swarm
from agent.planner.turns import plan_turns
from agent.planner.verdict import plan_verdict


def plan_leading(observed: Observed) -> Plan:
    """What the holder of the leader lock does for the whole cluster. It touches only etcd and the manager API."""
    cluster = observed.cluster
    assert cluster is not None
    plan = plan_verdict(cluster)
    if cluster.accepted is None:
        return plan
    plan += plan_assignments(cluster.accepted, cluster) + _left_over(cluster.accepted, observed)
    plan += plan_turns(cluster.accepted, observed)
    if observed.host is None:
        return plan
    if cluster.record is None and cluster.record_revision:
        return plan + _record_held()
    plan += plan_swarm(cluster.accepted, observed) + plan_overlays(cluster.accepted, observed)
    return plan + plan_recreations(cluster.accepted, observed)


def _record_held() -> Plan:
    """Which swarm is the cluster's cannot be told: neither make one nor take the one at hand for it."""
    reason = "it cannot be read: nothing is done about the swarm until it is put right or deleted"
    return Plan(blocked=(Blocked(resource="swarm-record", reason=reason, kind="garbage"),))


def _left_over(intent: Intent, observed: Observed) -> Plan:
    """Hosts that were taken out of the intent keep what they run: removal is never a side effect."""
    assert observed.cluster is not None
    gone = sorted(name for name in observed.cluster.assignments if intent.host(name) is None)
    reason = "no longer in the intent: its copies and its membership are left as they are"
    return Plan(
        blocked=tuple(Blocked(resource=f"host/{name}", reason=reason, kind="removal") for name in gone)
    )
