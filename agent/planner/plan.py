"""The plan of one pass: the host's own steps and, on the leader, the steps for the cluster."""

from dataclasses import replace

from agent.diff.nodes import LeaderView, other_cluster
from agent.diff.replicas import must_not_act
from agent.model.intent import Intent
from agent.model.observed import HostView, Observed, narrowed
from agent.model.plan import Blocked, Plan, blocked_plan, waiting_plan
from agent.planner.host.bridge import is_ready_to_join, plan_bridge
from agent.planner.host.doubted_order import plan_doubted
from agent.planner.host.membership import membership_order_for, plan_leave, plan_membership, plan_namesake
from agent.planner.host.replicas import plan_replicas
from agent.planner.host.strangers import plan_strangers
from agent.planner.leader.eligibility import plan_leadership
from agent.planner.leader.leading import plan_leading

_OTHER_CLUSTER = (
    "this swarm is cluster {other}'s, so this agent changes nothing on the host; "
    "set `cluster: {other}` in agent.yaml, or take the host out of that swarm"
)
_ALWAYS = ("verdict", "history")
"""Resources of the steps that tell of a document, in every mode."""
_NO_PAGE = (
    "the agent works without its pages and tries again: free the port, or set http.listen in agent.yaml"
)


def make_plan(observed: Observed) -> Plan:
    """Plan this host's next steps and, on the leader, the cluster's; list each blocked resource with its reason.

    Pure, total and deterministic. A step that depends on the outcome of another one is planned once that outcome has
    been observed.
    """
    plan = _faults(observed) + plan_namesake(observed)
    if must_not_act(observed):
        return plan
    plan += plan_leadership(observed)
    leader = None if observed.stale else narrowed(observed, LeaderView)
    if leader and not leader.cluster.newer_format:
        plan += plan_leading(leader)
    if host := narrowed(observed, HostView):
        plan += _plan_host(host)
    return _by_policy(observed.accepted, plan)


def _plan_host(observed: HostView) -> Plan:
    cluster, host = observed.cluster, observed.host
    if cluster.store_rolled_back:
        observed = replace(observed, stale=True)
    if other := other_cluster(host, cluster.record):
        return blocked_plan("swarm", "foreign", _OTHER_CLUSTER.format(other=other))
    if not cluster.accepted:
        return waiting_plan("host", "no intent accepted yet", "document/")
    membership_order = membership_order_for(observed)
    doubted = plan_doubted(cluster.accepted, observed, membership_order) if membership_order else Plan()
    if doubted != Plan():
        membership_order = None
    if membership_order and membership_order.what == "quarantine":
        return blocked_plan("swarm", "foreign", membership_order.reason)
    replicas = plan_strangers(cluster.accepted, observed) + plan_replicas(cluster.accepted, observed)
    bridge = doubted + plan_bridge(cluster.accepted, observed)
    if observed.stale:
        return bridge + replicas
    if membership_order:
        leave = plan_leave(cluster.accepted, observed, membership_order)
        if not leave.steps:
            return bridge + leave + replicas
        # While the host leaves a swarm, images are pulled, and nothing else is done for replicas.
        return leave + Plan(tuple(step for step in replicas.steps if step.lane == "pull"))
    ready = is_ready_to_join(bridge)
    return bridge + plan_membership(cluster.accepted, observed, bridge_ready=ready) + replicas


def _faults(observed: Observed) -> Plan:
    plan = Plan()
    if observed.host is None:
        plan += blocked_plan("engine", "engine", observed.engine_error or "dockerd does not answer")
    cluster, accepted = observed.cluster, observed.accepted
    if cluster is None or observed.stale:
        what = (
            f"holding revision {accepted.revision} as last read" if accepted else "no earlier state is known"
        )
        plan += blocked_plan("store", "store", f"{observed.store_error or 'etcd does not answer'}; {what}")
    elif cluster.store_rolled_back:
        known = f"holding revision {accepted.revision}" if accepted else "no revision is known"
        state = f"etcd was rolled back, {cluster.store_rolled_back}; {known}"
        plan += blocked_plan("store", "confirm", f"{state}; nothing is removed until a document is put")
    if observed.state_fault:
        plan += blocked_plan("state", "disk", observed.state_fault)
    if observed.lock_fault:
        plan += blocked_plan("leader", "lock", observed.lock_fault)
    if observed.page_fault:
        plan += blocked_plan("page", "port", f"{observed.page_fault}; {_NO_PAGE}")
    for key, why in cluster.unreadable if cluster else ():
        untrusted = cluster and key in cluster.untrusted
        plan += blocked_plan(key, "untrusted" if untrusted else "unreadable", why)
    return plan


def _by_policy(intent: Intent | None, plan: Plan) -> Plan:
    """Apply `x-cluster.policy.mode`: observe and paused keep only the steps on leadership and the verdict."""
    if intent is None or intent.policy.mode == "enforce":
        return plan
    kept = tuple(step for step in plan.steps if step.kind == "leadership" or step.resource in _ALWAYS)
    blocked = tuple(
        Blocked(resource=step.resource, reason=f"mode {intent.policy.mode}: would {step}", kind="mode")
        for step in plan.steps
        if step not in kept
    )
    return plan._replace(steps=kept, blocked=plan.blocked + blocked)
