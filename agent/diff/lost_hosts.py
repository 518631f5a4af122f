"""Which hosts are gone, by two witnesses: etcd has lost the presence of the agent, and the swarm calls the node down.

An agent that is away alone proves nothing: it may have been cut off from etcd, or stopped, and its containers run on.
Nor does a node that is down: the way between the managers and it may be cut. While the swarm lists no nodes, nobody is
gone.
"""

from agent.diff.node_owners import Census, take_census
from agent.model.intent import Intent
from agent.model.observed import Observed


def lost_hosts(observed: Observed) -> frozenset[str]:
    """Names of the declared hosts that are gone, as the leader sees it now; none for who does not lead."""
    cluster = observed.cluster
    if (
        cluster is None
        or cluster.accepted is None
        or cluster.went_back
        or not observed.fence
        or observed.stale
    ):
        return frozenset()
    census = take_census(cluster.accepted, observed)
    return _lost(cluster.accepted, observed, census) if census else frozenset()


def _lost(intent: Intent, observed: Observed, census: Census) -> frozenset[str]:
    assert observed.cluster is not None
    away = (each.name for each in intent.hosts if each.name not in observed.cluster.present)
    return frozenset(name for name in away if name != observed.me and _is_down(name, observed, census))


def _is_down(name: str, observed: Observed, census: Census) -> bool:
    """Whether the swarm calls its node down; one that neither etcd nor the swarm ever heard of is as good as that."""
    assert observed.cluster is not None
    if node := census.now.get(name):
        return node.state == "down"
    return name not in observed.cluster.statuses and not census.former_of(name)
