"""docker_gwbridge changed the old way, where the intent asks for it: leave the swarm, make the bridge, come back.

In the order that loses nothing: the leader demotes the host (leader/roles.py) and lets it leave
(leader/membership_orders.py), its copies are stopped, it leaves, the bridge is made, it joins by its declared role,
the copies start. A container that runs while its host leaves loses its networks for good (docs/gwbridge.md), so
nothing is begun with somebody else's on an overlay.
"""

from dataclasses import replace

from agent.diff.bridge import attached_by_hand
from agent.model.intent import Intent
from agent.model.observed import Attached, HostState
from agent.model.steps import BRIDGE, Blocked, Plan, untouched
from agent.planner.host.bridge_swap import plan_bridge_outside


def why_not_rejoin(host: HostState) -> Plan:
    """What would be lost if this host left, asked before its turn; empty when nothing would."""
    ours = {each.id for each in host.containers}
    theirs = sorted(each.name for each in _on_overlays(host) if each.id not in ours)
    if not theirs:
        return Plan()
    reason = f"method rejoin: {', '.join(theirs)} would lose its networks if this host left the swarm"
    return untouched(BRIDGE, "foreign", reason)


def held_outside(intent: Intent, host: HostState) -> tuple[Blocked, ...]:
    """What would keep docker_gwbridge from becoming as agreed if this host left its swarm now: it would stay out."""
    by_hand = attached_by_hand(host)
    # What is the swarm's goes with it, and so do the gateways of those that run on it.
    rest = tuple(
        replace(each, endpoints=tuple(end for end in each.endpoints if end[1] in by_hand))
        for each in host.networks
        if each.scope != "swarm"
    )
    return plan_bridge_outside(
        intent, replace(host, networks=rest, swarm=replace(host.swarm, pool=()))
    ).blocked


def plan_rejoin(host: HostState) -> Plan:
    """What a host waits for in its turn: the way out is the leader's ruling."""
    if host.swarm.is_manager:
        return untouched(BRIDGE, "waiting", "method rejoin: the leader demotes this host before it leaves")
    return untouched(BRIDGE, "waiting", "method rejoin: the leader lets this host leave")


def _on_overlays(host: HostState) -> list[Attached]:
    overlays = {each.name for each in host.networks if each.driver == "overlay"}
    return [each for each in host.attached if each.running and overlays & set(each.networks)]
