"""The nodes of the swarm, from the leader's side: roles, availability, labels, and records of nodes that are gone.

Of a node's labels those are ours that the intent names, and those it named before: which these are is noted in a label,
too. All others are somebody else's and stay.
"""

from collections.abc import Iterator

from agent.diff.nodes import HOST_LABEL, NodeOwners, etcd_of, gone_nodes, removed_hosts
from agent.model.host_state import NodeState
from agent.model.intent import Availability, HostIntent, Intent
from agent.model.leader_steps import ForgetHost, RemoveNode, UpdateNode
from agent.model.observed import Observed
from agent.model.phrases import differs
from agent.model.plan import Blocked, Plan, blocked_plan
from agent.model.spec import Pairs
from agent.model.status import HostStatus
from agent.planner.leader.roles import plan_roles

LABELS_LABEL = "io.swarmkeeper.labels"
"""On a node: the names of those of its labels that the intent set, with a space between."""


def plan_nodes(intent: Intent, observed: Observed, node_owners: NodeOwners) -> Plan:
    """Hold every node of ours to what the intent says of its host, and remove the records of those that are gone."""
    cluster = etcd_of(observed)
    plan = Plan()
    gone = gone_nodes(intent, observed, node_owners)
    for each in intent.hosts:
        if node := node_owners.now.get(each.name):
            plan += _plan_node(node, each.name, each.availability, _labels(each, observed))
    for name in removed_hosts(intent, cluster):
        node = node_owners.now.get(name)
        if node and node.id not in {each.node.id for each in gone}:
            plan += _plan_node(node, name, "drain", dict(node.labels) | _whose(name, observed))
    plan += plan_roles(intent, observed, node_owners)
    for left in gone:
        if left.node.has_no_vote:
            reason = f"{left.reason}, and this one is down"
            plan += Plan((RemoveNode(node_id=left.node.id, host=left.host, reason=reason),))
    return plan + Plan(blocked=tuple(_claimed(node, names) for node, names in node_owners.claimed))


def _plan_node(node: NodeState, host: str, availability: Availability, wanted: dict[str, str]) -> Plan:
    found = dict(node.labels)
    without = tuple(name for name in _record_only(node) if name not in wanted)
    labels = tuple(sorted((name, value) for name, value in wanted.items() if found.get(name) != value))
    drained = node.availability != availability
    if not drained and not labels and not without:
        return Plan()
    faults = [
        *([differs("availability", availability, node.availability)] if drained else []),
        *_label_faults(labels, without, found),
    ]
    step = UpdateNode(
        node_id=node.id,
        host=host,
        version=node.version,
        availability=availability if drained else None,
        labels=labels,
        without=without,
        reason=f"{host}: {'; '.join(faults)}",
    )
    return Plan((step,))


def _labels(host: HostIntent, observed: Observed) -> dict[str, str]:
    """The labels that its node shall have, besides those of others."""
    names = " ".join(sorted(name for name, _ in host.labels))
    noted = {LABELS_LABEL: names} if names else {}
    return {**dict(host.labels), **noted, **_whose(host.name, observed)}


def _whose(host: str, observed: Observed) -> dict[str, str]:
    """The note on a node whose it is: only by the word of its own agent, and not by an old one."""
    known = host == observed.me or etcd_of(observed).status_of(host) is not None
    return {HOST_LABEL: host} if known else {}


def _record_only(node: NodeState) -> tuple[str, ...]:
    """Names of the labels that were set by an intent, and of the note that says so."""
    noted = dict(node.labels).get(LABELS_LABEL)
    return () if noted is None else (*noted.split(), LABELS_LABEL)


def _label_faults(labels: Pairs, without: tuple[str, ...], found: dict[str, str]) -> Iterator[str]:
    for name, value in labels:
        if name == HOST_LABEL:
            yield "it says that it is this node"
            continue
        yield differs(f"label {name}", value or "nothing", found.get(name) or "nothing")
    for name in without:
        yield f"label {name}: not wanted any more"


def _claimed(node: NodeState, names: tuple[str, ...]) -> Blocked:
    reason = f"{' and '.join(names)} both say that they are this node: nothing is done to it"
    return Blocked(resource=f"node/{node.id}", reason=reason, kind="foreign")


# ---- Hosts that the intent does not name any more: emptied, drained, demoted, out of the swarm, forgotten
#
# The leader empties their assignments (assignments.py), drains and demotes their nodes and removes the
# records of those (nodes.py); the host itself removes its replicas and leaves the swarm. What is done here is
# the end: the keys of the host.


def plan_removals(intent: Intent, observed: Observed, node_owners: NodeOwners | None) -> Plan:
    """Forget the removed hosts that are empty and out; say what the others wait for. `node owners` None.

    Not known now.
    """
    plan = Plan()
    for name in removed_hosts(intent, etcd_of(observed)):
        if node_owners is None:
            plan += _blocked(name, "who is in the swarm cannot be told now")
        elif nodes := _nodes(node_owners, name):
            plan += _blocked(name, _waits_for(name, nodes[0], observed))
        else:
            plan += _plan_keys(intent, name, observed)
    return plan


def _nodes(node_owners: NodeOwners, name: str) -> tuple[NodeState, ...]:
    now = node_owners.now.get(name)
    return (*((now,) if now else ()), *node_owners.previous_of(name))


def _waits_for(name: str, node: NodeState, observed: Observed) -> str:
    status = etcd_of(observed).status_of(name)
    if name not in etcd_of(observed).present and node.state != "down":
        return f"its agent is away and its node is {node.state}: start the agent, or switch the host off"
    if node.reachable is not None or node.role == "manager":
        return "it is a manager still"
    if status and status.replicas:
        return f"{len(status.replicas)} of its replicas are left"
    if status and status.state != "inactive":
        return "it is to leave the swarm"
    return (
        "its node is down and goes"
        if node.state == "down"
        else f"its node is {node.state}, and goes when it is down"
    )


def _plan_keys(intent: Intent, name: str, observed: Observed) -> Plan:
    cluster = etcd_of(observed)
    status, assignment = cluster.statuses.get(name), cluster.assignments[name]
    if assignment.replicas or assignment.revision != intent.revision:
        return _blocked(name, "its replicas are taken away first")
    if status is None and name not in cluster.present:
        return _forget(name, "it never reported")
    if status and _is_empty(status):
        if _may_be_joining(name, status, intent, observed):
            return _blocked(name, "it may be on its way into the swarm still")
        return _forget(name, "it is empty, and in no swarm")
    if status and (other := _other_name(status, name, observed)):
        return _forget(name, f"it is called {other} now")
    if name in cluster.present:
        return _blocked(name, "it does not say yet that it is empty and in no swarm")
    # Its agent is away for good, or will be told by these keys, when it is back, to clear up.
    return Plan()


def _is_empty(status: HostStatus) -> bool:
    return status.engine_up and status.state == "inactive" and not status.replicas


def _may_be_joining(name: str, status: HostStatus, intent: Intent, observed: Observed) -> bool:
    """Whether what it says may be older than a join that it began while it was still named.

    Of one whose agent is away the last word counts: when it is back, it reads that it is not named any more.
    """
    if status.joining:
        return True
    if name not in etcd_of(observed).present:
        return False
    return etcd_of(observed).status_of(name) is None or status.bridge.revision != intent.revision


def _other_name(status: HostStatus, name: str, observed: Observed) -> str:
    """Under which name the engine of an old report says now that it is there; empty when it does not."""
    for other in sorted(etcd_of(observed).present):
        said = etcd_of(observed).status_of(other)
        if other != name and said and said.node_id and said.node_id == status.node_id:
            return other
    return ""


def _forget(name: str, why: str) -> Plan:
    return Plan((ForgetHost(host=name, reason=f"no longer in the intent, and {why}"),))


def _blocked(name: str, why: str) -> Plan:
    return blocked_plan(f"host/{name}", "removal", f"no longer in the intent: {why}")
