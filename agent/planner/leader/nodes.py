"""The nodes of the swarm, from the leader's side: roles, availability, labels, and removal of ghosts.

The leader manages only the node labels that an intent set; one more label lists their names. All other labels stay.
"""

from collections.abc import Iterator

from agent.diff.nodes import HOST_LABEL, NodeOwners, etcd_of, gone_nodes, removed_hosts
from agent.model.host_state import Difference, NodeState, describe
from agent.model.intent import Availability, HostIntent, Intent
from agent.model.leader_steps import ForgetHost, RemoveNode, UpdateNode
from agent.model.observed import Observed
from agent.model.plan import Plan, blocked_plan
from agent.model.spec import Pairs
from agent.model.status import HostStatus
from agent.planner.leader.roles import plan_roles

LABELS_LABEL = "io.swarmkeeper.labels"
"""Node label: the names of the labels that the intent set, separated by spaces."""
_CLAIMED = (
    "both report this node id: the leader changes nothing on the node. "
    "On the clone: `systemctl stop docker`, remove /var/lib/docker/swarm, and start docker"
)


def plan_nodes(intent: Intent, observed: Observed, node_owners: NodeOwners) -> Plan:
    """Update every node to its host's declaration, and remove the records of ghosts."""
    plan, gone = Plan(), gone_nodes(intent, observed, node_owners)
    for each in intent.hosts:
        if node := node_owners.now.get(each.name):
            plan += _plan_node(node, each.name, each.availability, _labels(each, observed))
    for name in removed_hosts(intent, etcd_of(observed)):
        node = node_owners.now.get(name)
        if node and node.id not in {each.node.id for each in gone}:
            plan += _plan_node(node, name, "drain", dict(node.labels) | _host_label(name, observed))
    plan += plan_roles(intent, observed, node_owners)
    for left in gone:
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
    differences += _label_differences(labels, without, found)
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


def _labels(host: HostIntent, observed: Observed) -> dict[str, str]:
    """Return the labels that the leader manages on the host's node, with their values."""
    names = " ".join(sorted(name for name, _ in host.labels))
    marker = {LABELS_LABEL: names} if names else {}
    return {**dict(host.labels), **marker, **_host_label(host.name, observed)}


def _host_label(host: str, observed: Observed) -> dict[str, str]:
    """Return the label that names the node's host; empty unless the host's running agent reported."""
    known = host == observed.me or etcd_of(observed).status_of(host) is not None
    return {HOST_LABEL: host} if known else {}


def _label_differences(
    labels: Pairs, without: tuple[str, ...], found: dict[str, str]
) -> Iterator[Difference]:
    for name, value in labels:
        text = "its agent reports this node id" if name == HOST_LABEL else ""
        yield _differs(f"label {name}", value, found.get(name), text)
    for name in without:
        yield _differs(f"label {name}", "", found.get(name), f"label {name}: no longer declared")


def _differs(field: str, wanted: str, found: str | None, text: str = "") -> Difference:
    return Difference.of(field, wanted or "nothing", found or "nothing", "update", text)


# ---- Removed hosts: emptied, drained, demoted, out of the swarm, keys deleted
#
# The leader empties their assignments (assignments.py), drains and demotes their nodes, and removes the node records.
# The host itself removes its replicas and leaves the swarm. The last part follows here: the keys of the host.


def plan_removals(intent: Intent, observed: Observed, node_owners: NodeOwners | None) -> Plan:
    """Forget the removed hosts that are empty and outside the swarm; block the others with the reason.

    `node_owners` None: the node list is unknown now.
    """
    plan = Plan()
    for name in removed_hosts(intent, etcd_of(observed)):
        if node_owners is None:
            plan += _blocked(name, "the node list is unknown now")
        elif nodes := [*filter(None, [node_owners.now.get(name)]), *node_owners.previous_of(name)]:
            plan += _blocked(name, _waits_for(name, nodes[0], observed))
        else:
            plan += _plan_keys(intent, name, observed)
    return plan


def _waits_for(name: str, node: NodeState, observed: Observed) -> str:
    status = etcd_of(observed).status_of(name)
    if name not in etcd_of(observed).present and node.state != "down":
        return f"its agent does not run and its node is {node.state}: start the agent or power off the host"
    if node.reachable is not None or node.role == "manager":
        return "it is still a manager"
    if status and status.replicas:
        return f"{len(status.replicas)} of its replicas remain"
    if status and status.state != "inactive":
        return "it has not left the swarm yet"
    once = "" if node.state == "down" else " once it is down"
    return f"its node is {node.state} and will be removed{once}"


def _plan_keys(intent: Intent, name: str, observed: Observed) -> Plan:
    cluster = etcd_of(observed)
    status, assignment = cluster.statuses.get(name), cluster.assignments[name]
    if assignment.replicas or assignment.revision != intent.revision:
        return _blocked(name, "its assignment is not empty yet")
    if status is None and name not in cluster.present:
        return _forget(name, "it never reported")
    if status and status.engine_up and status.state == "inactive" and not status.replicas:
        if _may_be_joining(name, status, intent, observed):
            return _blocked(name, "it may still be joining the swarm")
        return _forget(name, "it is empty and in no swarm")
    if status and (other := _other_name(status, name, observed)):
        return _forget(name, f"its name is {other} now")
    if name in cluster.present:
        return _blocked(name, "it has not reported yet that it is empty and in no swarm")
    # Its agent is off permanently, or will read from these keys on its return that it must clean up.
    return Plan()


def _may_be_joining(name: str, status: HostStatus, intent: Intent, observed: Observed) -> bool:
    """Return True if the host may have begun a join, while still declared, after its last report.

    False if the agent does not run: on its return the agent reads that its host was removed.
    """
    if status.joining:
        return True
    if name not in etcd_of(observed).present:
        return False
    return etcd_of(observed).status_of(name) is None or status.bridge.revision != intent.revision


def _other_name(status: HostStatus, name: str, observed: Observed) -> str:
    """Return the name under which a running agent reports the node of this old status; empty if none does."""
    for other in sorted(etcd_of(observed).present):
        report = etcd_of(observed).status_of(other)
        if other != name and report and report.node_id and report.node_id == status.node_id:
            return other
    return ""


def _forget(name: str, why: str) -> Plan:
    return Plan((ForgetHost(host=name, reason=f"no longer in the intent, and {why}"),))


def _blocked(name: str, why: str) -> Plan:
    return blocked_plan(f"host/{name}", "removal", f"no longer in the intent: {why}")
