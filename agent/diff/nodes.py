"""Node owners: the host that each node of the swarm belongs to.

Each host reports its node. The leader writes the host's name to a label of the node, so that the owner is known after
the host's report is gone. A hostname proves nothing: two machines may have the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from agent.model import Deriving, Frozen
from agent.model.host_state import HostState, NodeState
from agent.model.intent import HostIntent, Intent
from agent.model.observed import ClusterState, Observed, narrowed
from agent.model.phrases import short_id
from agent.model.records import SwarmRecord
from agent.model.spec import Pairs
from agent.model.status import HostStatus, JoinedReport
from agent.model.store import Fence

HOST_LABEL = "io.swarmkeeper.host"
"""Label of a node: the name of its host."""
NO_ADDRESSES = ("", "0.0.0.0", "127.0.0.1")  # noqa: S104 - what is read, not where to listen
"""Addresses that Swarm may list for a node that was raft leader when it went down (moby #32754)."""


def other_cluster(host: HostState, record: SwarmRecord | None) -> str:
    """Return the name of the other cluster to which the swarm of a host belongs; empty: it may be this one's.

    The label of the swarm decides, and only managers see it. Where no agent made the swarm, or on a worker, the label
    of an overlay decides, unless the swarm is recorded as this cluster's.
    """
    swarm = host.swarm
    if swarm.local != "active" or swarm.made_here:
        return ""
    if swarm.cluster or (record and record.swarm_id and record.swarm_id == swarm.swarm_id):
        return swarm.cluster
    overlays = [each for each in host.networks if each.scope == "swarm" and each.cluster]
    return "" if any(each.ours for each in overlays) else min((each.cluster for each in overlays), default="")


def quorum(managers: int) -> int:
    """Return how many of `managers` are the smallest majority. Any two majorities share a manager."""
    return managers // 2 + 1


def tolerated(managers: int) -> int:
    """Return how many of `managers` may fail. An even number tolerates no more than the odd number below it."""
    return managers - quorum(managers)


def listed_managers(intent: Intent, listed: Pairs, me: str) -> tuple[HostIntent, ...]:
    """Return the other declared hosts, of whatever role, that are among the managers `listed` by the engine of `me`."""
    addresses = {address.rpartition(":")[0] for _, address in listed}
    return tuple(each for each in intent.hosts if each.name != me and str(each.address) in addresses)


def why_absent(name: str, cluster: ClusterState) -> str:
    """Return why a host does not report its dockerd now; empty if it does."""
    last = cluster.statuses.get(name)
    if name not in cluster.present:
        if last is None:
            return "no agent seen yet"
        return "its agent was stopped" if last.stopped else "unreachable"
    status = cluster.status_of(name)
    if status is None:
        return "its agent is starting"
    return "" if status.engine_up else "dockerd does not answer"


def lacking_managers(intent: Intent, cluster: ClusterState, me: str) -> dict[str, str]:
    """Return the declared managers that cannot take part in a quorum, with the reason. `me` has reported just now."""
    return {
        each.name: why
        for each in intent.managers
        if each.name != me and (why := why_absent(each.name, cluster) or _why_outside(each.name, cluster))
    }


def _why_outside(name: str, cluster: ClusterState) -> str:
    """Return why the engine of a host that reports is no working manager; empty if it is one."""
    status = cluster.statuses[name]
    if status.state != "active":
        return f"its swarm state is {status.state}"
    return "" if status.is_manager else "its engine is a worker"


class NodeOwners(Frozen):
    """The nodes of the swarm by owner."""

    now: Mapping[str, NodeState]
    """Host -> the node in its report: that of the running agent, or the last one of an unreachable agent."""
    previous: tuple[tuple[str, NodeState], ...]
    """(host, node) of nodes that no host reports and that belonged to a declared or a removed host."""
    claimed: tuple[tuple[NodeState, tuple[str, ...]], ...]
    """Nodes that several hosts report, with those hosts; such a node has no owner."""
    listed: Mapping[str, NodeState]
    """Id -> node, for all nodes."""

    def previous_of(self, host: str) -> tuple[NodeState, ...]:
        return tuple(node for name, node in self.previous if name == host)


class Gone(Frozen):
    """A ghost: the record of a down node to which no host will return. The leader may remove it."""

    host: str
    node: NodeState
    reason: str


class LeaderView(Observed, Deriving):
    """The input of the leader's plan: the state of etcd is known, and dockerd may not answer."""

    cluster: ClusterState
    fence: Fence

    @cached_property
    def node_owners(self) -> NodeOwners | None:
        """The owners of the nodes; None: no document is accepted, or this manager does not list the recorded swarm."""
        return _find_node_owners(self, self.accepted) if self.accepted else None

    @cached_property
    def gone(self) -> tuple[Gone, ...]:
        """The ghosts: nodes that are down and whose host is another node now or was removed from the intent."""
        owners, intent = self.node_owners, self.accepted
        return _gone_nodes(self, intent, owners) if intent and owners else ()


def removed_hosts(intent: Intent, cluster: ClusterState) -> tuple[str, ...]:
    """Names of the hosts that have an assignment, even an empty one, and are not in the accepted intent."""
    return tuple(sorted(name for name in cluster.assignments if intent.host(name) is None))


def _find_node_owners(observed: LeaderView, intent: Intent) -> NodeOwners | None:
    cluster, host = observed.cluster, observed.host
    if host is None or host.swarm.nodes is None or not host.swarm.swarm_id:
        return None
    if cluster.record is None or cluster.record.swarm_id != host.swarm.swarm_id:
        return None
    reported = {name: each.node_id for name, each in cluster.statuses.items()}
    claims = _claims({**reported, observed.me: host.swarm.node_id})
    owners = {node_id: _owner(observed, names) for node_id, names in claims.items()}
    listed = {each.id: each for each in host.swarm.nodes}
    now = {owner: listed[node_id] for node_id, owner in owners.items() if owner and node_id in listed}
    unclaimed = [each for each in host.swarm.nodes if each.id not in claims]
    hosts = (*(each.name for each in intent.hosts), *removed_hosts(intent, cluster)) if unclaimed else ()
    addresses = {address: name for name in reversed(hosts) for address in _addresses(intent, cluster, name)}
    names = {node.hostname: name for name, node in now.items()} if unclaimed else {}
    previous = [(_previous_owner(each, addresses, names), each) for each in unclaimed]
    return NodeOwners(
        now=now,
        previous=tuple((name, node) for name, node in previous if name in hosts),
        claimed=tuple(
            (listed[node_id], claims[node_id])
            for node_id, owner in sorted(owners.items())
            if owner is None and node_id in listed
        ),
        listed=listed,
    )


def _gone_nodes(observed: LeaderView, intent: Intent, node_owners: NodeOwners) -> tuple[Gone, ...]:
    cluster = observed.cluster
    gone = []
    for name, node in node_owners.previous:
        if node.state == "down" and intent.host(name) and (other := node_owners.now.get(name)):
            status = cluster.status_of(name)
            if name == observed.me or (status and status.state == "active" and status.node_id == other.id):
                gone.append(Gone(host=name, node=node, reason=f"{name} is node {short_id(other.id)} now"))
    for name in removed_hosts(intent, cluster):
        nodes = (*node_owners.previous_of(name), node_owners.now.get(name))
        reason = f"{name} is no longer in the intent"
        gone += [
            Gone(host=name, node=each, reason=reason)
            for each in nodes
            if each and each.state == "down" and _is_out(cluster, name)
        ]
    return tuple(gone)


def unresumable_managers(cluster: ClusterState, node_owners: NodeOwners) -> tuple[tuple[str, NodeState], ...]:
    """(host, node) of unreachable managers whose engine is in state error: it cannot resume them, and has to leave.

    Docker's certificates last 90 days: the engine of a manager that was off for longer ends in that state.
    """
    return tuple(
        (name, node)
        for name, node in node_owners.previous
        if (node.role, node.state, node.reachable) == ("manager", "down", False)
        and (status := cluster.status_of(name))
        and (status.engine_up, status.state) == (True, "error")
    )


def _is_out(cluster: ClusterState, name: str) -> bool:
    """Return True if a removed host has left the swarm, or its agent is unreachable and cannot leave."""
    if name not in cluster.present:
        return True
    status = cluster.status_of(name)
    return status is not None and status.state == "inactive"


def _claims(reported: Mapping[str, str | None]) -> dict[str, tuple[str, ...]]:
    """Return node id -> the hosts that report it."""
    claims: dict[str, tuple[str, ...]] = {}
    for name, node_id in sorted(reported.items()):
        if node_id:
            claims[node_id] = (*claims.get(node_id, ()), name)
    return claims


def _owner(observed: LeaderView, names: tuple[str, ...]) -> str | None:
    """The only claimant, or the only one that reports now: a renamed host leaves the report of its old name behind."""
    if len(names) == 1:
        return names[0]
    now = [name for name in names if name == observed.me or observed.cluster.status_of(name)]
    return now[0] if len(now) == 1 else None


def _previous_owner(node: NodeState, addresses: Mapping[str, str], names: Mapping[str, str]) -> str:
    label = dict(node.labels).get(HOST_LABEL)
    if label is not None:
        return label
    if node.address in NO_ADDRESSES:
        return names.get(node.hostname, "")
    return addresses.get(node.address, "")


def _addresses(intent: Intent, cluster: ClusterState, name: str) -> tuple[str, ...]:
    declared, status = intent.host(name), cluster.statuses.get(name)
    advertised = status.swarm_address if status else None
    return (*([str(declared.address)] if declared else ()), *([advertised] if advertised else ()))


# ---- Promotion of a worker: its dockerd must reach the manager it joined through
#
# Until it restarts, dockerd contacts for its promotion only the manager address it joined through, even if the
# swarm has other managers. If no manager has that address any more, the promotion fails and the node loses its
# overlays until a manager has the address again or dockerd restarts (docs/engine-quirks.md).

_ANY = ""
_REMEDY = "restart that dockerd first"


def note_join(known: JoinedReport | None, host: HostState, now: str = "") -> JoinedReport | None:
    """The join that a host reports; `known` is its last report, also from an earlier run of the agent."""
    swarm, network = host.swarm, host.network("bridge")
    if swarm.local != "active" or swarm.node_id is None:
        return known  # a dockerd that starts reports "inactive" for a moment
    engine = network.id if network else ""
    if known is None or known.node_id != swarm.node_id:
        through = swarm.joined_through
        return JoinedReport(
            node_id=swarm.node_id, through=through, engine=engine, swarm=swarm.swarm_id, at=now
        )
    if known.engine != engine:
        known = replace(known, through=_ANY, engine=engine)
    return replace(known, swarm=swarm.swarm_id or known.swarm)


def promotion_obstacle(node: NodeState, status: HostStatus | None, nodes: Iterable[NodeState]) -> str:
    """Cause for which the promotion of a worker would fail; empty: none is known."""
    if node.state != "ready":
        return f"its node is {node.state}"
    joined = status.joined if status and status.joined and status.joined.node_id == node.id else None
    through = joined.through if joined else None
    others = [each for each in nodes if each.id != node.id]
    if through is None and any(each.state == "down" for each in others):
        return f"its dockerd might contact a manager that is down; {_REMEDY}"
    if through and through not in [each.manager_address for each in others if each.reachable]:
        return f"its dockerd would contact {through}, where it joined, and no manager has that address; {_REMEDY}"
    return ""


# ---- Lost hosts: the agent's presence is gone from etcd, and the swarm calls the node down
#
# A missing presence alone proves nothing: the agent may be stopped or cut off from etcd while its containers
# run. Nor does a node that is down: the network between it and the managers may be cut. While the swarm lists no
# nodes, no host is lost.


def lost_hosts(observed: Observed) -> frozenset[str]:
    """Names of the declared hosts that the leader sees as lost; empty on every other host."""
    led = None if observed.stale else narrowed(observed, LeaderView)
    if led is None or led.cluster.store_rolled_back or led.accepted is None:
        return frozenset()
    absent = {each.name for each in led.accepted.hosts} - led.cluster.present.keys() - {led.me}
    owners = led.node_owners if absent else None  # at rest no host is absent
    return frozenset(name for name in absent if owners and _is_down(name, led.cluster, owners))


def _is_down(name: str, cluster: ClusterState, node_owners: NodeOwners) -> bool:
    """Return True if the swarm calls the host's node down, or neither etcd nor the swarm ever knew the host."""
    if node := node_owners.now.get(name):
        return node.state == "down"
    return name not in cluster.statuses and not node_owners.previous_of(name)
