"""Whose turn it is to leave and come back, and in which role: method rejoin (host/rejoin.py) from the leader's side."""

from agent.model.intent import HostIntent, Intent, Role
from agent.model.observed import ClusterState


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
