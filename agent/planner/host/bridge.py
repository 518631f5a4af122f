"""docker_gwbridge on a host that is in a swarm: when it may be changed, and what is said meanwhile."""

from dataclasses import replace

from agent.diff.bridge import attached_by_hand, bridge_faults, bridge_is_right, is_begun
from agent.model.host_state import Attached, HostState, other_swarm
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Observed
from agent.model.plan import Blocked, Plan, blocked_plan
from agent.model.status import Phase
from agent.model.steps import BRIDGE, AcquireDisruption, ReleaseDisruption
from agent.planner.host import bridge_swap

# ---- docker_gwbridge changed the old way, where the intent asks for it: leave the swarm, make the bridge, come back.
#
# In the order that loses nothing: the leader demotes the host (leader/roles.py) and lets it leave
# (leader/membership_orders.py), its replicas are stopped, it leaves, the bridge is made, it joins by its
# declared role, the replicas start. A container that runs while its host leaves loses its networks for good
# (docs/gwbridge.md), so nothing is begun with somebody else's on an overlay.


def why_not_rejoin(host: HostState) -> Plan:
    """What would be lost if this host left, asked before the disruption slot; empty when nothing would."""
    ours = {each.id for each in host.containers}
    theirs = sorted(each.name for each in _on_overlays(host) if each.id not in ours)
    if not theirs:
        return Plan()
    reason = f"method rejoin: {', '.join(theirs)} would lose its networks if this host left the swarm"
    return blocked_plan(BRIDGE, "foreign", reason)


def held_outside(intent: Intent, host: HostState) -> tuple[Blocked, ...]:
    """What would keep docker_gwbridge from becoming as agreed if this host left its swarm now: it would stay out."""
    by_hand = attached_by_hand(host)
    # What is the swarm's goes with it, and so do the gateways of those that run on it.
    rest = tuple(
        replace(each, endpoints=tuple(end for end in each.endpoints if end[1] in by_hand))
        for each in host.networks
        if each.scope != "swarm"
    )
    return bridge_swap.plan_bridge_outside(
        intent, replace(host, networks=rest, swarm=replace(host.swarm, pool=()))
    ).blocked


def plan_rejoin(host: HostState) -> Plan:
    """What a host waits for while it holds the disruption slot: the way out is the leader's membership order."""
    if host.swarm.is_manager:
        return blocked_plan(BRIDGE, "waiting", "method rejoin: the leader demotes this host before it leaves")
    return blocked_plan(BRIDGE, "waiting", "method rejoin: the leader lets this host leave")


def _on_overlays(host: HostState) -> list[Attached]:
    overlays = {each.name for each in host.networks if each.driver == "overlay"}
    return [each for each in host.attached if each.running and overlays & set(each.networks)]


def plan_bridge(intent: Intent, observed: Observed) -> Plan:
    """Bring docker_gwbridge to the agreed form.

    At once where that disturbs nobody, else in this host's disruption slot.
    """
    host, cluster = observed.host, observed.cluster
    assert host is not None
    assert cluster is not None
    if intent.host(observed.me) is None:
        plan = _let_go(intent, observed.me, host, cluster)
    elif host.swarm.local == "inactive":
        return Plan() if observed.stale else bridge_swap.plan_bridge_outside(intent, host)
    elif host.swarm.local != "active":
        return _unsettled(intent, host)
    else:
        plan = _plan_live(intent, observed.me, host, cluster)
    return _without_etcd(intent, host, plan) if observed.stale else plan


def bridge_phase(intent: Intent, me: str, host: HostState, cluster: ClusterState) -> Phase:
    """Where a host stands with its bridge, for the leader to see (records.BridgeReport)."""
    if host.swarm.local != "active" or intent.host(me) is None:
        return ""
    if bridge_is_right(intent, host):
        return "right"
    blocked = _plan_live(intent, me, host, cluster).blocked
    if not blocked:
        return "moving"
    return "waiting" if all(each.kind == "waiting" for each in blocked) else "held"


def phase_of(observed: Observed) -> Phase:
    """`bridge_phase` of this host; empty while there is no engine, no etcd or no intent to speak of."""
    host, cluster = observed.host, observed.cluster
    if host is None or cluster is None or cluster.accepted is None:
        return ""
    return bridge_phase(cluster.accepted, observed.me, host, cluster)


def _plan_live(intent: Intent, me: str, host: HostState, cluster: ClusterState) -> Plan:
    disruption, revision = cluster.disruption, cluster.disruption_revision
    mine = disruption is not None and disruption.host == me
    if bridge_is_right(intent, host):
        return _give_back(me, cluster)
    if not bridge_swap.needs_disruption(intent, host):
        return bridge_swap.plan_swap(intent, host, "")
    if (held := _why_elsewhere(host, cluster)) != Plan():
        return _give_back(me, cluster, "this host is in another swarm") + held
    if (held := _why_held(intent, host)) != Plan():
        # Where nothing was begun yet others may go first.
        return held if is_begun(host) else _give_back(me, cluster, "it cannot be changed now") + held
    if disruption and mine and disruption.state == "acquired":
        if intent.gwbridge.method == "rejoin":
            return plan_rejoin(host)
        return bridge_swap.plan_swap(intent, host, quorum(host))
    reason = _waits(intent, host, cluster)
    waits = blocked_plan(BRIDGE, "waiting", reason)
    if disruption and mine and disruption.state == "granted":
        return (
            Plan((AcquireDisruption(disruption=disruption, revision=revision, reason=disruption.reason),))
            + waits
        )
    return waits


def _why_elsewhere(host: HostState, cluster: ClusterState) -> Plan:
    """Nothing that works is disturbed in another swarm: nobody here could see what comes of it."""
    other = other_swarm(cluster.record, host.swarm)
    if not other or is_begun(host):
        return Plan()
    return blocked_plan(BRIDGE, "foreign", f"left as it is in {other}")


def _why_held(intent: Intent, host: HostState) -> Plan:
    held = bridge_swap.why_held(intent, host)
    return held if held != Plan() or intent.gwbridge.method != "rejoin" else why_not_rejoin(host)


def _let_go(intent: Intent, me: str, host: HostState, cluster: ClusterState) -> Plan:
    """A host that the intent does not name is left as it is; but what was begun there is brought to an end."""
    if not is_begun(host):
        return _give_back(me, cluster, f"the intent does not name {me}")
    return (
        bridge_swap.plan_retreat(host)
        if host.bridges or host.swarm.local != "active"
        else bridge_swap.plan_swap(intent, host, "")
    )


def _without_etcd(intent: Intent, host: HostState, plan: Plan) -> Plan:
    """What is broken is repaired and what was begun is brought to an end; nothing that works is begun to be changed."""
    steps = tuple(step for step in plan.steps if step.resource == BRIDGE)
    if not steps or is_begun(host) or not bridge_swap.needs_disruption(intent, host):
        return Plan(steps, plan.blocked)
    wrong = "; ".join(bridge_faults(intent.gwbridge, host))
    return blocked_plan(BRIDGE, "waiting", f"{wrong}; waits for etcd")


def _give_back(me: str, cluster: ClusterState, reason: str = "docker_gwbridge is as agreed") -> Plan:
    disruption = cluster.disruption
    if disruption is None or disruption.host != me or disruption.state == "released":
        return Plan()
    return Plan(
        (ReleaseDisruption(disruption=disruption, revision=cluster.disruption_revision, reason=reason),)
    )


def _waits(intent: Intent, host: HostState, cluster: ClusterState) -> str:
    wrong = "; ".join(bridge_faults(intent.gwbridge, host))
    who = f"{cluster.disruption.host} has it" if cluster.disruption else "the leader grants it"
    whom = bridge_swap.touched(host)
    disturbs = (
        f"; it will touch {whom}, ports away for about 0.3 s in all" if whom else "; it touches no container"
    )
    return f"{wrong}; waits for the disruption slot ({who}){disturbs}"


def quorum(host: HostState) -> str:
    """How the managers stand, in words; a change of the bridge is local and leaves it so."""
    if host.swarm.nodes is None:
        return "" if not host.swarm.is_manager else "the swarm has no leader, and needs none for this"
    managers = [each for each in host.swarm.nodes if each.role == "manager"]
    reached = sum(bool(each.reachable) for each in managers)
    return f"{reached} of {len(managers)} managers reachable, before and after"


def _unsettled(intent: Intent, host: HostState) -> Plan:
    wrong = bridge_faults(intent.gwbridge, host)
    if not wrong:
        return Plan()
    reason = f"{'; '.join(wrong)}; waits while the engine's membership is {host.swarm.local}"
    return blocked_plan(BRIDGE, "waiting", reason)
