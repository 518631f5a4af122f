"""docker_gwbridge changed the old way, where the intent asks for it: leave the swarm, make the bridge, come back.

In the order that loses nothing: the leader demotes the host (swarm/roles.py) and lets it leave (swarm/rulings.py), its
copies are stopped, it leaves, the bridge is made, it joins by its declared role, the copies start. A container that
runs while its host leaves loses its networks for good (docs/gwbridge.md), so nothing is begun with somebody else's on
an overlay.
"""

from dataclasses import replace

from agent.diff.bridge import attached_by_hand
from agent.model.intent import HostIntent, Intent, Role
from agent.model.observed import Attached, ClusterState, HostState
from agent.model.steps import BRIDGE, Blocked, Plan, untouched
from agent.planner.bridge.agreed import plan_bridge_outside


def rejoining_host(intent: Intent, cluster: ClusterState) -> str | None:
    """Whose turn it is to leave and come back; None: nobody's."""
    turn = cluster.disruption
    if intent.gwbridge.method != "rejoin" or turn is None or turn.state != "taken":
        return None
    return turn.host if intent.host(turn.host) else None


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


def _on_overlays(host: HostState) -> list[Attached]:
    overlays = {each.name for each in host.networks if each.driver == "overlay"}
    return [each for each in host.attached if each.running and overlays & set(each.networks)]
