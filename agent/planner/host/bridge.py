"""Plan of docker_gwbridge on this host: when the bridge may change, and the reason while it waits."""

from dataclasses import replace

from agent.diff.bridge import attached_by_hand, bridge_differences, bridge_is_right, is_begun, to_move
from agent.model.host_state import HostState, describe, other_swarm
from agent.model.intent import Intent
from agent.model.observed import ClusterState, HostView, Observed
from agent.model.plan import Blocked, Plan, blocked_plan, waiting_plan
from agent.model.status import Phase
from agent.model.steps import BRIDGE, AcquireDisruption, ReleaseDisruption
from agent.planner.host import bridge_swap

# ---- `method: rejoin`: leave the swarm, create docker_gwbridge, join again
#
# The order of steps loses nothing: the leader demotes the host (leader/nodes.py) and orders it to leave
# (leader/membership_orders.py); the replicas stop, the host leaves, the bridge is created, the host joins in its
# declared role, and the replicas start. A container that runs while its host leaves loses its networks for good
# (docs/gwbridge.md), so nothing begins while an unmanaged container is on an overlay.


def _obstacles(intent: Intent, host: HostState) -> Plan:
    """Report what prevents the change, as unmanaged containers that would lose their networks if this host left."""
    blocked = bridge_swap.swap_obstacles(intent, host)
    if blocked != Plan() or intent.gwbridge.method != "rejoin":
        return blocked
    ours = {each.id for each in host.containers}
    theirs = sorted(
        each.name
        for each in host.attached
        if each.running
        and each.id not in ours
        and any(found.driver == "overlay" for name in each.networks if (found := host.network_of(each, name)))
    )
    if not theirs:
        return Plan()
    reason = f"method rejoin: {', '.join(theirs)} would lose its networks if this host left the swarm"
    return blocked_plan(BRIDGE, "foreign", reason)


def blocked_outside(intent: Intent, host: HostState) -> tuple[Blocked, ...]:
    """Faults that would block docker_gwbridge after this host left its swarm, so that it could not join again."""
    by_hand = attached_by_hand(host)
    # The swarm's networks disappear with the leave, and so do the gateways of containers on them.
    rest = tuple(
        replace(each, endpoints=tuple(end for end in each.endpoints if end[1] in by_hand))
        for each in host.networks
        if each.scope != "swarm"
    )
    return bridge_swap.plan_bridge_outside(
        intent, replace(host, networks=rest, swarm=replace(host.swarm, pool=()))
    ).blocked


def plan_bridge(intent: Intent, observed: HostView) -> Plan:
    """Plan to bring docker_gwbridge to its declaration: now if that disrupts nothing, else in the disruption slot."""
    host, cluster = observed.host, observed.cluster
    if intent.host(observed.me) is None:
        plan = _plan_removed_host(intent, observed.me, host, cluster)
    elif host.swarm.local == "inactive":
        return Plan() if observed.stale else bridge_swap.plan_bridge_outside(intent, host)
    elif host.swarm.local != "active":
        wrong = describe(bridge_differences(intent.gwbridge, host))
        waits = f"{wrong}; waits while the engine's membership is {host.swarm.local}"
        return waiting_plan(BRIDGE, waits) if wrong else Plan()
    else:
        plan = _plan_live(intent, observed.me, host, cluster)
    return _without_etcd(intent, host, plan) if observed.stale else plan


def bridge_phase(intent: Intent, me: str, host: HostState, cluster: ClusterState) -> Phase:
    """The phase of a host's bridge change, which its status reports to the leader."""
    if host.swarm.local != "active" or intent.host(me) is None:
        return ""
    if bridge_is_right(intent, host):
        return "right"
    plan = _plan_live(intent, me, host, cluster)
    if plan.blocked:
        return "held"
    return "waiting" if plan.waiting else "moving"


def phase_of(observed: Observed) -> Phase:
    """`bridge_phase` of this host; empty while the engine, etcd or the intent is not known."""
    host, cluster = observed.host, observed.cluster
    if host is None or cluster is None or cluster.accepted is None:
        return ""
    return bridge_phase(cluster.accepted, observed.me, host, cluster)


def is_ready_to_join(plan: Plan) -> bool:
    """Return True if the bridge has its declared form, or keeps one that works because docker refused that."""
    return not plan.steps and not plan.waiting and all(each.kind == "unsupported" for each in plan.blocked)


def _plan_live(intent: Intent, me: str, host: HostState, cluster: ClusterState) -> Plan:
    if refused := bridge_swap.stays_refused(intent, host):
        return _plan_live(refused[0], me, host, cluster) + refused[1]
    disruption, revision = cluster.disruption, cluster.disruption_revision
    mine = disruption is not None and disruption.host == me
    if bridge_is_right(intent, host):
        return _release(me, cluster)
    if (cluster.record is None or cluster.record.swarm_id is None) and not is_begun(host):
        # The swarm may be another cluster's, and its bridge, too.
        wrong = describe(bridge_differences(intent.gwbridge, host)) or "containers without a gateway"
        return waiting_plan(BRIDGE, f"{wrong}; waits until the cluster's swarm is recorded", "leader/")
    if not bridge_swap.needs_disruption(intent, host):
        return bridge_swap.plan_swap(intent, host, "")
    if (blocked := _in_other_swarm(host, cluster)) != Plan():
        return _release(me, cluster, "this host is in another swarm") + blocked
    if (blocked := _obstacles(intent, host)) != Plan():
        # If nothing has begun, another host may have the slot first.
        return blocked if is_begun(host) else _release(me, cluster, "it cannot be changed now") + blocked
    if disruption and mine and disruption.state == "acquired":
        if intent.gwbridge.method == "rejoin":
            demoted = "the leader demotes this host before it leaves"
            then = demoted if host.swarm.is_manager else "waits for the leader's order to leave"
            return waiting_plan(BRIDGE, f"method rejoin: {then}")
        return bridge_swap.plan_swap(intent, host, _describe_quorum(host))
    reason = _waiting_reason(intent, host, cluster)
    waits = waiting_plan(BRIDGE, reason, f"host/{disruption.host}" if disruption and not mine else "")
    if disruption and mine and disruption.state == "granted":
        acquire = AcquireDisruption(disruption=disruption, revision=revision, reason=disruption.reason)
        return Plan((acquire,)) + waits
    return waits


def _in_other_swarm(host: HostState, cluster: ClusterState) -> Plan:
    """Report a host in another swarm: the leader cannot see the effects of a change there."""
    other = other_swarm(cluster.record, host.swarm)
    if not other or is_begun(host):
        return Plan()
    return blocked_plan(BRIDGE, "foreign", f"not changed while this host is in {other}")


def _plan_removed_host(intent: Intent, me: str, host: HostState, cluster: ClusterState) -> Plan:
    """Plan for a host that the intent does not name: a change that has begun is completed, else nothing is changed."""
    if not is_begun(host):
        return _release(me, cluster, f"the intent does not name {me}")
    if host.bridges or host.swarm.local != "active":
        return bridge_swap.plan_retreat(host)
    return bridge_swap.plan_swap(intent, host, "")


def _without_etcd(intent: Intent, host: HostState, plan: Plan) -> Plan:
    """Reduce the plan while etcd does not answer: repair and complete, but begin no change of a working bridge."""
    steps = tuple(step for step in plan.steps if step.resource == BRIDGE)
    if not steps or is_begun(host) or not bridge_swap.needs_disruption(intent, host):
        return plan._replace(steps=steps)
    wrong = describe(bridge_differences(intent.gwbridge, host))
    return waiting_plan(BRIDGE, f"{wrong}; waits for etcd", "store/")


def _release(me: str, cluster: ClusterState, reason: str = "docker_gwbridge is as declared") -> Plan:
    disruption, revision = cluster.disruption, cluster.disruption_revision
    if disruption is None or disruption.host != me or disruption.state == "released":
        return Plan()
    return Plan((ReleaseDisruption(disruption=disruption, revision=revision, reason=reason),))


def _waiting_reason(intent: Intent, host: HostState, cluster: ClusterState) -> str:
    wrong = describe(bridge_differences(intent.gwbridge, host))
    slot = f"{cluster.disruption.host} has it" if cluster.disruption else "the leader grants it"
    effect = "it affects no container"
    if named := [f"{e.name} ({', '.join(e.ports)})" if e.ports else e.name for e in to_move(host)]:
        effect = f"it will affect {', '.join(named)}, ports unreachable for about 0.3 s in all"
    return f"{wrong}; waits for the disruption slot ({slot}); {effect}"


def _describe_quorum(host: HostState) -> str:
    """Describe the reachable managers; a change of the bridge is local and does not change them."""
    if host.swarm.nodes is None:
        return "" if not host.swarm.is_manager else "the swarm has no raft leader, and needs none for this"
    managers = [each for each in host.swarm.nodes if each.role == "manager"]
    reached = sum(bool(each.reachable) for each in managers)
    return f"{reached} of {len(managers)} managers reachable, before and after"
