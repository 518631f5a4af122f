"""Which node of the swarm is which host's.

A host says itself which node it is; the leader notes it in a label of the node, so that it is still known when the host
cannot say it any more. A hostname proves nothing: two machines may have one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.model.host_state import HostState, NodeState
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Observed
from agent.model.phrases import short_id
from agent.model.status import HostStatus, JoinedReport

HOST_LABEL = "io.swarmkeeper.host"
"""On a node: whose it is."""
_NO_ADDRESSES = ("", "0.0.0.0", "127.0.0.1")  # noqa: S104 - what is read, not where to listen
"""What a node may be listed with that was raft leader when it went (moby #32754)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOwners:
    """The nodes by host."""

    now: Mapping[str, NodeState]
    """Host -> the node it says it is, in this run of its agent or, while that is away, in the last one."""
    former: tuple[tuple[str, NodeState], ...]
    """(host, node) of the nodes that were a declared host's, or a removed one's, and that nobody says he is."""
    claimed: tuple[tuple[NodeState, tuple[str, ...]], ...]
    """The nodes that several hosts say they are, with those hosts: nobody's."""

    def previous_of(self, host: str) -> tuple[NodeState, ...]:
        """The nodes that were that host's."""
        return tuple(node for name, node in self.former if name == host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A node that nobody will come back as: its record can go."""

    host: str
    node: NodeState
    reason: str


def removed_hosts(intent: Intent, cluster: ClusterState) -> tuple[str, ...]:
    """Hosts that had replicas assigned once, if only none, and that the accepted intent does not name."""
    return tuple(sorted(name for name in cluster.assignments if intent.host(name) is None))


def etcd_of(observed: Observed) -> ClusterState:
    """What etcd holds. Nobody plans for the cluster before it is known."""
    assert observed.cluster is not None
    return observed.cluster


def find_node_owners(intent: Intent, observed: Observed) -> NodeOwners | None:
    """Who is who in the swarm this host manages; None when the swarm does not answer, or is not the recorded one."""
    cluster, host = etcd_of(observed), observed.host
    if host is None or host.swarm.nodes is None or not host.swarm.swarm_id:
        return None
    if cluster.record is None or cluster.record.swarm_id != host.swarm.swarm_id:
        return None
    claims = _claims(observed)
    owners = {node_id: _owner(observed, names) for node_id, names in claims.items()}
    listed = {each.id: each for each in host.swarm.nodes}
    now = {owner: listed[node_id] for node_id, owner in owners.items() if owner and node_id in listed}
    hosts = (*(each.name for each in intent.hosts), *removed_hosts(intent, cluster))
    addresses = {address: name for name in reversed(hosts) for address in _addresses(intent, cluster, name)}
    names = {node.hostname: name for name, node in now.items()}
    former = [
        (_previous_owner(each, addresses, names), each) for each in host.swarm.nodes if each.id not in claims
    ]
    return NodeOwners(
        now=now,
        former=tuple((name, node) for name, node in former if name in hosts),
        claimed=tuple(
            (listed[node_id], claims[node_id])
            for node_id, owner in sorted(owners.items())
            if owner is None and node_id in listed
        ),
    )


def gone_nodes(intent: Intent, observed: Observed, node_owners: NodeOwners) -> tuple[Gone, ...]:
    """The nodes that are down and will stay so: their host is another node now, or was taken out of the intent."""
    cluster = etcd_of(observed)
    gone = []
    for name, node in node_owners.former:
        if node.state == "down" and intent.host(name) and (other := node_owners.now.get(name)):
            status = cluster.status_of(name)
            if name == observed.me or (status and status.state == "active" and status.node_id == other.id):
                gone.append(Gone(host=name, node=node, reason=f"{name} is node {short_id(other.id)} now"))
    for name in removed_hosts(intent, cluster):
        nodes = (
            *node_owners.previous_of(name),
            *([node_owners.now[name]] if name in node_owners.now else ()),
        )
        reason = f"{name} is no longer in the intent"
        gone += [
            Gone(host=name, node=each, reason=reason)
            for each in nodes
            if each.state == "down" and _is_out(observed, name)
        ]
    return tuple(gone)


def _is_out(observed: Observed, name: str) -> bool:
    """Whether a removed host has left, or cannot be waited for: its agent is away, too."""
    if name not in etcd_of(observed).present:
        return True
    status = etcd_of(observed).status_of(name)
    return status is not None and status.state == "inactive"


def _claims(observed: Observed) -> dict[str, tuple[str, ...]]:
    """Node id -> the hosts that say they are it."""
    cluster, host = etcd_of(observed), observed.host
    assert host is not None
    said = {name: status.node_id for name, status in cluster.statuses.items()}
    said[observed.me] = host.swarm.node_id
    claims: dict[str, tuple[str, ...]] = {}
    for name, node_id in sorted(said.items()):
        if node_id:
            claims[node_id] = (*claims.get(node_id, ()), name)
    return claims


def _owner(observed: Observed, names: tuple[str, ...]) -> str | None:
    """Of several the one that says it now: a host that got another name leaves its old report behind."""
    if len(names) == 1:
        return names[0]
    now = [name for name in names if name == observed.me or etcd_of(observed).status_of(name)]
    return now[0] if len(now) == 1 else None


def _previous_owner(node: NodeState, addresses: Mapping[str, str], names: Mapping[str, str]) -> str:
    noted = dict(node.labels).get(HOST_LABEL)
    if noted is not None:
        return noted
    if node.address in _NO_ADDRESSES:
        return names.get(node.hostname, "")
    return addresses.get(node.address, "")


def _addresses(intent: Intent, cluster: ClusterState, name: str) -> tuple[str, ...]:
    declared, status = intent.host(name), cluster.statuses.get(name)
    advertised = status.swarm_address if status else None
    return (*([str(declared.address)] if declared else ()), *([advertised] if advertised else ()))


# ---- Whether a worker can become a manager: its dockerd has to find another one to ask
#
# A dockerd that was told to join through some manager asks just there again when it shall become one itself,
# as long as it runs, whoever else manages the swarm by then. If nobody manages it there any more the
# promotion fails, and with it the node: it is off the overlays until a manager is there again, or dockerd is
# restarted (docs/engine-quirks.md).


_ANY = ""
_REMEDY = "restart that dockerd first"


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


# ----
# Which hosts are gone, by two witnesses: etcd has lost the presence of the agent, and the swarm calls the
# node down.
#
# An agent that is away alone proves nothing: it may have been cut off from etcd, or stopped, and its
# containers run on. Nor does a node that is down: the way between the managers and it may be cut. While the
# swarm lists no nodes, nobody is gone.


def lost_hosts(observed: Observed) -> frozenset[str]:
    """Names of the declared hosts that are gone, as the leader sees it now; none for who does not lead."""
    intent = led_by(observed)
    node_owners = find_node_owners(intent, observed) if intent else None
    return _lost(intent, observed, node_owners) if intent and node_owners else frozenset()


def led_by(observed: Observed) -> Intent | None:
    """The intent by which this host leads now; None while it does not lead, or by none."""
    cluster = observed.cluster
    if cluster is None or cluster.store_rolled_back or not observed.fence or observed.stale:
        return None
    return cluster.accepted


def _lost(intent: Intent, observed: Observed, node_owners: NodeOwners) -> frozenset[str]:
    away = (each.name for each in intent.hosts if each.name not in etcd_of(observed).present)
    return frozenset(name for name in away if name != observed.me and _is_down(name, observed, node_owners))


def _is_down(name: str, observed: Observed, node_owners: NodeOwners) -> bool:
    """Whether the swarm calls its node down; one that neither etcd nor the swarm ever heard of is as good as that."""
    if node := node_owners.now.get(name):
        return node.state == "down"
    return name not in etcd_of(observed).statuses and not node_owners.previous_of(name)
