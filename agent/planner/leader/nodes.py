"""The nodes of the swarm, from the leader's side: roles, availability, labels, and records of nodes that are gone.

Of a node's labels those are ours that the intent names, and those it named before: which these are is noted in a label,
too. All others are somebody else's and stay.
"""

from collections.abc import Iterator

from agent.diff.node_owners import HOST_LABEL, Census, fresh_status, gone_nodes, removed_hosts
from agent.model.intent import Availability, HostIntent, Intent
from agent.model.observed import NodeState, Observed
from agent.model.spec import Pairs
from agent.model.steps import Blocked, Plan, RemoveNode, UpdateNode
from agent.planner.leader.roles import plan_roles

LABELS_LABEL = "io.swarmkeeper.labels"
"""On a node: the names of those of its labels that the intent set, with a space between."""


def plan_nodes(intent: Intent, observed: Observed, census: Census) -> Plan:
    """Hold every node of ours to what the intent says of its host, and remove the records of those that are gone."""
    cluster = observed.cluster
    assert cluster is not None
    plan = Plan()
    gone = gone_nodes(intent, observed, census)
    for each in intent.hosts:
        if node := census.now.get(each.name):
            plan += _plan_node(node, each.name, each.availability, _labels(each, observed))
    for name in removed_hosts(intent, cluster):
        node = census.now.get(name)
        if node and node.id not in {each.node.id for each in gone}:
            plan += _plan_node(node, name, "drain", dict(node.labels) | _whose(name, observed))
    plan += plan_roles(intent, observed, census)
    for left in gone:
        if left.node.has_no_vote:
            reason = f"{left.reason}, and this one is down"
            plan += Plan((RemoveNode(node_id=left.node.id, host=left.host, reason=reason),))
    return plan + Plan(blocked=tuple(_claimed(node, names) for node, names in census.claimed))


def _plan_node(node: NodeState, host: str, availability: Availability, wanted: dict[str, str]) -> Plan:
    found = dict(node.labels)
    without = tuple(name for name in _noted(node) if name not in wanted)
    labels = tuple(sorted((name, value) for name, value in wanted.items() if found.get(name) != value))
    drained = node.availability != availability
    if not drained and not labels and not without:
        return Plan()
    faults = [
        *([f"availability: {availability} wanted, {node.availability} found"] if drained else []),
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
    known = host == observed.me or fresh_status(observed, host) is not None
    return {HOST_LABEL: host} if known else {}


def _noted(node: NodeState) -> tuple[str, ...]:
    """Names of the labels that were set by an intent, and of the note that says so."""
    noted = dict(node.labels).get(LABELS_LABEL)
    return () if noted is None else (*noted.split(), LABELS_LABEL)


def _label_faults(labels: Pairs, without: tuple[str, ...], found: dict[str, str]) -> Iterator[str]:
    for name, value in labels:
        if name == HOST_LABEL:
            yield "it says that it is this node"
            continue
        yield f"label {name}: {value or 'nothing'} wanted, {found.get(name) or 'nothing'} found"
    for name in without:
        yield f"label {name}: not wanted any more"


def _claimed(node: NodeState, names: tuple[str, ...]) -> Blocked:
    reason = f"{' and '.join(names)} both say that they are this node: nothing is done to it"
    return Blocked(resource=f"node/{node.id}", reason=reason, kind="foreign")
