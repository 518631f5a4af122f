"""The nodes of the swarm, from the leader's side: roles, availability, labels, and removal of ghosts.

The leader manages only the node labels that an intent set; one more label lists their names. All other labels stay.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from agent.diff import nodes
from agent.diff.nodes import LeaderView
from agent.model.host_state import Difference, NodeState, describe
from agent.model.intent import Availability, HostIntent, Intent, Role
from agent.model.leader_steps import DemoteNode, ForgetHost, PromoteNode, RemoveNode, UpdateNode
from agent.model.observed import ClusterState
from agent.model.phrases import instead, short_id
from agent.model.plan import BlockedKind, Plan, blocked_plan, waiting_plan
from agent.model.status import HostStatus
from agent.planner.leader.disruption import rejoining_host, role_for_now

LABELS_LABEL = "io.swarmkeeper.labels"
"""Node label: the names of the labels that the intent set, separated by spaces."""
_CLAIMED = (
    "both report this node id: the leader changes nothing on the node. "
    "On the clone: `systemctl stop docker`, remove /var/lib/docker/swarm, and start docker"
)


def plan_nodes(intent: Intent, observed: LeaderView) -> Plan:
    """Update every node to its host's declaration, and remove the records of ghosts."""
    plan, node_owners = Plan(), observed.node_owners
    if node_owners is None:
        return plan
    for each in intent.hosts:
        if node := node_owners.now.get(each.name):
            plan += _plan_node(node, each.name, each.availability, _labels(each, observed))
    for name in nodes.removed_hosts(intent, observed.cluster):
        node = node_owners.now.get(name)
        if node and node.id not in {each.node.id for each in observed.gone}:
            plan += _plan_node(node, name, "drain", dict(node.labels) | _host_label(name, observed))
    plan += plan_roles(intent, observed, node_owners)
    for left in observed.gone:
        if left.node.has_no_vote:
            reason = f"{left.reason}, and this one is down"
            plan += Plan((RemoveNode(node_id=left.node.id, host=left.host, reason=reason),))
    for node, names in node_owners.claimed:
        plan += blocked_plan(f"node/{node.id}", "foreign", f"{' and '.join(names)} {_CLAIMED}")
    return plan


def _plan_node(node: NodeState, host: str, availability: Availability, wanted: dict[str, str]) -> Plan:
    found = dict(node.labels)
    # The labels that an intent set, and the one that lists them.
    marker = found.get(LABELS_LABEL)
    set_before = () if marker is None else (*marker.split(), LABELS_LABEL)
    without = tuple(name for name in set_before if name not in wanted)
    labels = tuple(sorted((name, value) for name, value in wanted.items() if found.get(name) != value))
    drained = node.availability != availability
    if not drained and not labels and not without:
        return Plan()
    differences = [_differs("availability", availability, node.availability)] if drained else []
    for name, value in labels:
        text = "its agent reports this node id" if name == nodes.HOST_LABEL else ""
        differences.append(_differs(f"label {name}", value, found.get(name), text))
    for name in without:
        text = f"label {name}: no longer declared"
        differences.append(_differs(f"label {name}", "", found.get(name), text))
    step = UpdateNode(
        node_id=node.id,
        host=host,
        version=node.version,
        availability=availability if drained else None,
        labels=labels,
        without=without,
        reason=f"{host}: {describe(differences)}",
    )
    return Plan((step,))


def _labels(host: HostIntent, observed: LeaderView) -> dict[str, str]:
    """Return the labels that the leader manages on the host's node, with their values."""
    names = " ".join(sorted(name for name, _ in host.labels))
    marker = {LABELS_LABEL: names} if names else {}
    return {**dict(host.labels), **marker, **_host_label(host.name, observed)}


def _host_label(host: str, observed: LeaderView) -> dict[str, str]:
    """Return the label that names the node's host; empty unless the host's running agent reported."""
    known = host == observed.me or observed.cluster.status_of(host) is not None
    return {nodes.HOST_LABEL: host} if known else {}


def _differs(field: str, wanted: str, found: str | None, text: str = "") -> Difference:
    return Difference.of(field, wanted or "nothing", found or "nothing", "update", text)


# ---- Removed hosts: emptied, drained, demoted, out of the swarm, keys deleted
#
# The leader empties their assignments (assignments.py), drains and demotes their nodes, and removes the node records.
# The host itself removes its replicas and leaves the swarm. The last part follows here: the keys of the host.


def plan_removals(intent: Intent, observed: LeaderView) -> Plan:
    """Forget the removed hosts that are empty and outside the swarm; block the others with the reason."""
    plan, cluster, node_owners = Plan(), observed.cluster, observed.node_owners
    for name in nodes.removed_hosts(intent, cluster):
        if node_owners is None:
            plan += _blocked(name, "the node list is unknown now")
        elif left := [*filter(None, [node_owners.now.get(name)]), *node_owners.previous_of(name)]:
            plan += _blocked(name, _waits_for(name, left[0], cluster))
        else:
            plan += _plan_keys(intent, name, cluster)
    return plan


def _waits_for(name: str, node: NodeState, cluster: ClusterState) -> str:
    status = cluster.status_of(name)
    if name not in cluster.present and node.state != "down":
        return f"its agent does not run and its node is {node.state}: start the agent or power off the host"
    if node.reachable is not None or node.role == "manager":
        return "it is still a manager"
    if status and status.replicas:
        return f"{len(status.replicas)} of its replicas remain"
    if status and status.state != "inactive":
        return "it has not left the swarm yet"
    once = "" if node.state == "down" else " once it is down"
    return f"its node is {node.state} and will be removed{once}"


def _plan_keys(intent: Intent, name: str, cluster: ClusterState) -> Plan:
    status, assignment = cluster.statuses.get(name), cluster.assignments[name]
    if assignment.replicas or assignment.revision != intent.revision:
        return _blocked(name, "its assignment is not empty yet")
    if status is None and name not in cluster.present:
        return _forget(name, "it never reported")
    if status and status.engine_up and status.state == "inactive" and not status.replicas:
        if _may_be_joining(name, status, intent, cluster):
            return _blocked(name, "it may still be joining the swarm")
        return _forget(name, "it is empty and in no swarm")
    if status and (other := _other_name(status, name, cluster)):
        return _forget(name, f"its name is {other} now")
    if name in cluster.present:
        return _blocked(name, "it has not reported yet that it is empty and in no swarm")
    # Its agent is off permanently, or will read from these keys on its return that it must clean up.
    return Plan()


def _may_be_joining(name: str, status: HostStatus, intent: Intent, cluster: ClusterState) -> bool:
    """Return True if the host may have begun a join, while still declared, after its last report.

    False if the agent does not run: on its return the agent reads that its host was removed.
    """
    if status.joining:
        return True
    if name not in cluster.present:
        return False
    return cluster.status_of(name) is None or status.bridge.revision != intent.revision


def _other_name(status: HostStatus, name: str, cluster: ClusterState) -> str:
    """Return the name under which a running agent reports the node of this old status; empty if none does."""
    for other in sorted(cluster.present):
        report = cluster.status_of(other)
        if other != name and report and report.node_id and report.node_id == status.node_id:
            return other
    return ""


def _forget(name: str, why: str) -> Plan:
    return Plan((ForgetHost(host=name, reason=f"no longer in the intent, and {why}"),))


def _blocked(name: str, why: str) -> Plan:
    return blocked_plan(f"host/{name}", "removal", f"no longer in the intent: {why}")


# ---- Roles: promote before demote, one change at a time, never below a quorum
#
# A swarm of n managers works while reachable(n) >= quorum(n) = n // 2 + 1. The rules that keep it:
#
# - promote, and demote a reachable manager, only if reachable(n) = n; n managers then stay certain for quorum(n + 1),
#   as a new manager counts before it answers, and n - 1 for quorum(n - 1);
# - demote an unreachable manager at any time: reachable stays the same, and quorum(n - 1) <= quorum(n).


Why = tuple[BlockedKind | Literal["waiting"], str, str]
"""(kind, reason, condition key of the cause). `waiting` is no fault: another change comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """A node with another role than the wanted one."""

    host: str
    node: NodeState
    role: Role
    """The wanted role."""
    reason: str

    @property
    def is_loss(self) -> bool:
        """True if the change demotes a reachable manager."""
        return self.role == "worker" and bool(self.node.reachable)

    def step(self) -> PromoteNode | DemoteNode:
        kind = PromoteNode if self.role == "manager" else DemoteNode
        return kind(node_id=self.node.id, host=self.host, version=self.node.version, reason=self.reason)


def plan_roles(intent: Intent, observed: LeaderView, node_owners: nodes.NodeOwners) -> Plan:
    """Change the next role, and block the other changes with the reason."""
    changes = sorted(_changes(intent, observed, node_owners), key=lambda each: _order(each, observed))
    chosen: _Change | None = None
    plan = Plan()
    for each in changes:
        why = _why_waits(each, intent, observed, node_owners.listed.values())
        if why is None and (moving := _role_in_transition(observed, node_owners, each.node.id)):
            why = ("waiting", *moving)
        if why is None and chosen:
            why = ("waiting", f"one role at a time, {chosen.host} first", f"host/{chosen.host}")
        if why is None:
            chosen = each
        else:
            kind, cause, on = why
            resource, reason = f"node/{each.node.id}", f"{each.reason}: {cause}"
            if kind == "waiting":
                plan += waiting_plan(resource, reason, on)
            else:
                plan += blocked_plan(resource, kind, reason)
    return Plan((chosen.step(),) if chosen else ()) + plan


def _changes(intent: Intent, observed: LeaderView, node_owners: nodes.NodeOwners) -> list[_Change]:
    wanted: list[tuple[str, NodeState, Role, str]] = []
    for each in intent.hosts:
        node, role = node_owners.now.get(each.name), role_for_now(each, intent, observed.cluster)
        if node:
            why = "" if role == each.role else " while another host rejoins"
            reason = f"{each.name}: {instead(role, node.role, why)}"
            wanted.append((each.name, node, role, reason))
    gone = {each.node.id: each for each in observed.gone}
    for name in nodes.removed_hosts(intent, observed.cluster):
        node = node_owners.now.get(name)
        if node and node.id not in gone:
            wanted.append((name, node, "worker", f"{name} is no longer in the intent"))
    # A node outside raft cannot be demoted; its record is removed as a worker's.
    wanted += [
        (each.host, each.node, "worker", f"{each.reason}, and this one is down")
        for each in gone.values()
        if each.node.reachable is not None
    ]
    wanted += [
        (name, node, "worker", f"{name}: its engine cannot resume this manager")
        for name, node in nodes.unresumable_managers(observed.cluster, node_owners)
        if node.id not in gone
    ]
    return [
        _Change(host=host, node=node, role=role, reason=reason)
        for host, node, role, reason in wanted
        if node.role != role
    ]


def _order(change: _Change, observed: LeaderView) -> tuple[int, bool, bool, str]:
    """Sort key: demote unreachable managers, promote, demote reachable ones; this host and the raft leader are last."""
    kind = 2 if change.is_loss else 0 if change.role == "worker" else 1
    mine = observed.host is not None and change.node.id == observed.host.swarm.node_id
    return (kind, mine, change.node.leader, change.host)


def _role_in_transition(
    observed: LeaderView, node_owners: nodes.NodeOwners, changed: str
) -> tuple[str, str] | None:
    """Return the role change that has not completed, and its condition key; None: every change has.

    The node `changed` itself may be changed back.
    """
    if any(each.startswith("node/") for each in observed.in_flight):
        return "another node is being updated", ""
    names = {node.id: name for name, node in node_owners.now.items()}
    for node in node_owners.listed.values():
        # A promoted node that is down gets no vote before it returns, so no other change waits for it.
        joining = node.role == "manager" and node.reachable is None and node.state == "ready"
        leaving = node.role == "worker" and node.reachable is not None
        if (joining or leaving) and node.id != changed:
            name = names.get(node.id)
            who = name or f"node {short_id(node.id)}"
            return f"{who} is becoming a {node.role}", f"host/{name}" if name else ""
    for name, node in node_owners.now.items():
        status = observed.cluster.status_of(name)
        if name == observed.me or status is None or not status.engine_up or node.state != "ready":
            continue
        if status.state == "active" and status.is_manager != (node.role == "manager"):
            return f"{name} has not reported yet that it is a {node.role}", f"host/{name}"
    return None


def _why_waits(
    change: _Change, intent: Intent, observed: LeaderView, listed: Collection[NodeState]
) -> Why | None:
    managers = [each for each in listed if each.reachable is not None]
    if change.role == "worker" and change.node.reachable is None:
        return "waiting", "its promotion has not completed, and Docker demotes only managers", ""
    if change.role == "worker" and not change.is_loss:
        return None
    if change.node.state != "ready" and change.role == "manager":
        return _why_unpromotable(change, observed.cluster, listed)
    unreached = [each.hostname for each in managers if not each.reachable]
    after = len(managers) + (1 if change.role == "manager" else -1)
    if change.is_loss and after == 0:
        return "quorum", "it is the only manager", ""
    if unreached:
        reached = len(managers) - len(unreached) - (1 if change.is_loss else 0)
        reason = (
            f"{after} managers need a quorum of {nodes.quorum(after)}, and only {reached} would surely be reachable; "
            f"no role changes while {', '.join(unreached)} cannot be reached"
        )
        return "quorum", reason, ""
    if change.role == "manager":
        return _why_unpromotable(change, observed.cluster, listed)
    if observed.host and change.node.id == observed.host.swarm.node_id:
        return "waiting", "another declared manager must become the leader first", "leader/"
    # While a host rejoins, there is one manager less than declared.
    if after < len(intent.managers) and change.host != rejoining_host(intent, observed.cluster):
        return "quorum", f"only {after} of the {len(intent.managers)} declared managers would remain", ""
    return None


def _why_unpromotable(change: _Change, cluster: ClusterState, listed: Collection[NodeState]) -> Why | None:
    why = nodes.promotion_obstacle(change.node, cluster.statuses.get(change.host), listed)
    return ("role", why, "") if why else None
