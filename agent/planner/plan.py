"""The plan of one pass: what the host does for itself and, if it leads, for the cluster."""

from dataclasses import replace

from agent.diff.replicas import must_not_act
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Blocked, Plan, blocked_plan
from agent.planner.host.bridge import plan_bridge
from agent.planner.host.membership import membership_order_for, plan_leave, plan_membership, plan_namesake
from agent.planner.host.replicas import plan_replicas
from agent.planner.leader.eligibility import plan_leadership
from agent.planner.leader.leading import plan_leading


def make_plan(observed: Observed) -> Plan:
    """Everything that is to be done now on this host and, if it leads, for the cluster; and what is not, and why.

    Pure, total and deterministic. A plan only goes as far as can be seen: what depends on the outcome of a step
    is planned when that outcome has been observed.
    """
    plan = _faults(observed) + plan_namesake(observed)
    if must_not_act(observed):
        return plan
    plan += plan_leadership(observed)
    if observed.fence and not observed.stale and not (observed.cluster and observed.cluster.newer_format):
        plan += plan_leading(observed)
    return _by_policy(observed, plan + _plan_host(observed))


def _plan_host(observed: Observed) -> Plan:
    cluster, host = observed.cluster, observed.host
    if not cluster or not host:
        return Plan()
    if cluster.store_rolled_back:
        observed = replace(observed, stale=True)
    if not cluster.accepted:
        return blocked_plan("host", "waiting", "no intent accepted yet")
    membership_order = membership_order_for(observed)
    if membership_order and membership_order.what == "quarantine":
        return blocked_plan("swarm", "foreign", membership_order.reason)
    replicas = plan_replicas(cluster.accepted, observed)
    bridge = plan_bridge(cluster.accepted, observed)
    if observed.stale:
        return bridge + replicas
    if membership_order:
        leave = plan_leave(cluster.accepted, observed, membership_order)
        return leave + _pulls(replicas) if leave.steps else bridge + leave + replicas
    return bridge + plan_membership(cluster.accepted, observed, bridge_ready=bridge == Plan()) + replicas


def _pulls(replicas: Plan) -> Plan:
    """What of the replicas' plan can be done while the host leaves a swarm: none starts on what is about to go."""
    return Plan(tuple(step for step in replicas.steps if step.lane == "pull"))


def _faults(observed: Observed) -> Plan:
    plan = Plan()
    if observed.host is None:
        plan += blocked_plan("engine", "engine", observed.engine_error or "dockerd does not answer")
    if observed.cluster is None or observed.stale:
        held = observed.cluster.accepted if observed.cluster else None
        what = f"holding revision {held.revision} as kept" if held else "nothing known from before"
        plan += blocked_plan("store", "store", f"{observed.store_error or 'etcd does not answer'}; {what}")
    elif observed.cluster.store_rolled_back:
        plan += _store_rolled_back(observed.cluster)
    if observed.state_fault:
        reason = f"{observed.state_fault}; a start without etcd would begin with what was kept before"
        plan += blocked_plan("state", "disk", reason)
    for key, why in observed.cluster.unreadable if observed.cluster else ():
        plan += blocked_plan(key, "unreadable", why)
    return plan


def _store_rolled_back(cluster: ClusterState) -> Plan:
    held = f"holding revision {cluster.accepted.revision}" if cluster.accepted else "nothing is held"
    reason = f"etcd was rolled back, {cluster.store_rolled_back}; {held}, nothing is removed until a document is put"
    return blocked_plan("store", "confirm", reason)


def _by_policy(observed: Observed, plan: Plan) -> Plan:
    """`x-cluster.policy.mode`: observe and paused do nothing but keep the leader and its verdict."""
    intent = observed.cluster.accepted if observed.cluster else None
    if intent is None or intent.policy.mode == "enforce":
        return plan
    kept = tuple(step for step in plan.steps if step.kind == "leadership" or step.resource == "verdict")
    held = tuple(
        Blocked(resource=step.resource, reason=f"mode {intent.policy.mode}: would {step}", kind="mode")
        for step in plan.steps
        if step not in kept
    )
    return Plan(kept, plan.blocked + held)
