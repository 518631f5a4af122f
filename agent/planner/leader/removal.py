"""Hosts that the intent does not name any more: emptied, drained, demoted, out of the swarm, forgotten.

The leader empties their assignments (assignments.py), drains and demotes their nodes and removes the records of
those (nodes.py); the host itself removes its copies and leaves the swarm. What is done here is the end: the keys of the
host.
"""

from agent.diff.node_owners import Census, fresh_status, removed_hosts
from agent.model.intent import Intent
from agent.model.observed import NodeState, Observed
from agent.model.records import HostStatus
from agent.model.steps import ForgetHost, Plan, untouched


def plan_removals(intent: Intent, observed: Observed, census: Census | None) -> Plan:
    """Forget the removed hosts that are empty and out; say what the others wait for. `census` None: not known now."""
    assert observed.cluster is not None
    plan = Plan()
    for name in removed_hosts(intent, observed.cluster):
        if census is None:
            plan += _blocked(name, "who is in the swarm cannot be told now")
        elif nodes := _nodes(census, name):
            plan += _blocked(name, _waits_for(name, nodes[0], observed))
        else:
            plan += _plan_keys(intent, name, observed)
    return plan


def _nodes(census: Census, name: str) -> tuple[NodeState, ...]:
    now = census.now.get(name)
    return (*((now,) if now else ()), *census.former_of(name))


def _waits_for(name: str, node: NodeState, observed: Observed) -> str:
    assert observed.cluster is not None
    status = fresh_status(observed, name)
    if name not in observed.cluster.present and node.state != "down":
        return f"its agent is away and its node is {node.state}: start the agent, or switch the host off"
    if node.reachable is not None or node.role == "manager":
        return "it is a manager still"
    if status and status.copies:
        return f"{len(status.copies)} of its copies are left"
    if status and status.state != "inactive":
        return "it is to leave the swarm"
    return (
        "its node is down and goes"
        if node.state == "down"
        else f"its node is {node.state}, and goes when it is down"
    )


def _plan_keys(intent: Intent, name: str, observed: Observed) -> Plan:
    cluster = observed.cluster
    assert cluster is not None
    status, assignment = cluster.statuses.get(name), cluster.assignments[name]
    if assignment.copies or assignment.revision != intent.revision:
        return _blocked(name, "its copies are taken away first")
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
    return status.engine_up and status.state == "inactive" and not status.copies


def _may_be_joining(name: str, status: HostStatus, intent: Intent, observed: Observed) -> bool:
    """Whether what it says may be older than a join that it began while it was still named.

    Of one whose agent is away the last word counts: when it is back, it reads that it is not named any more.
    """
    assert observed.cluster is not None
    if status.joining:
        return True
    if name not in observed.cluster.present:
        return False
    return fresh_status(observed, name) is None or status.bridge.revision != intent.revision


def _other_name(status: HostStatus, name: str, observed: Observed) -> str:
    """Under which name the engine of an old report says now that it is there; empty when it does not."""
    assert observed.cluster is not None
    for other in sorted(observed.cluster.present):
        said = fresh_status(observed, other)
        if other != name and said and said.node_id and said.node_id == status.node_id:
            return other
    return ""


def _forget(name: str, why: str) -> Plan:
    return Plan((ForgetHost(host=name, reason=f"no longer in the intent, and {why}"),))


def _blocked(name: str, why: str) -> Plan:
    reason = f"no longer in the intent: {why}"
    return untouched(f"host/{name}", "removal", reason)
