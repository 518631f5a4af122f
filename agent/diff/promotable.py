"""Whether a worker can become a manager: its dockerd has to find another one to ask.

A dockerd that was told to join through some manager asks just there again when it shall become one itself, as long as
it runs, whoever else manages the swarm by then. If nobody manages it there any more the promotion fails, and with it
the node: it is off the overlays until a manager is there again, or dockerd is started anew (docs/engine-quirks.md).
"""

from collections.abc import Iterable

from agent.model.observed import HostState, NodeState
from agent.model.records import HostStatus, JoinedReport

_ANY = ""
_REMEDY = "start that dockerd anew first"


def note_join(known: JoinedReport | None, host: HostState) -> JoinedReport | None:
    """What a host is to report of its joining; `known` is what it reported last, also in an earlier run."""
    swarm, network = host.swarm, host.network("bridge")
    if swarm.local != "active" or swarm.node_id is None:
        return known  # also outside: a dockerd that starts says so of itself for a moment
    engine = network.id if network else ""
    if known is None or known.node_id != swarm.node_id:
        return JoinedReport(node_id=swarm.node_id, through=swarm.joined_through, engine=engine)
    if known.engine != engine:
        return JoinedReport(node_id=swarm.node_id, through=_ANY, engine=engine)
    return known


def why_not_promotable(node: NodeState, status: HostStatus | None, nodes: Iterable[NodeState]) -> str:
    """Why the promotion of a worker would fail, in words; empty when it should not."""
    if node.state != "ready":
        return f"its node is {node.state}"
    joined = status.joined if status and status.joined and status.joined.node_id == node.id else None
    through = joined.through if joined else None
    others = [each for each in nodes if each.id != node.id]
    if through is None and any(each.state == "down" for each in others):
        return f"its dockerd might ask one of the nodes that are down to let it in; {_REMEDY}"
    if through and through not in [each.manager_address for each in others if each.reachable]:
        return (
            f"its dockerd would ask at {through}, as when it joined, and no manager is there now; {_REMEDY}"
        )
    return ""
