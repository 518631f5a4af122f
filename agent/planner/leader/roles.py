"""The roles of the nodes, from the leader's side: promote before demote, one change at a time, never below a quorum.

A swarm of n managers works while reachable(n) >= quorum(n) = n // 2 + 1 (agent/diff/nodes.py). The rules that keep it:

- promote, and demote a reachable manager, only if reachable(n) = n; n managers then stay certain for quorum(n + 1), as
  a new manager counts before it answers, and n - 1 for quorum(n - 1);
- demote an unreachable manager at any time: reachable stays the same, and quorum(n - 1) <= quorum(n).
"""

from dataclasses import dataclass
from typing import Literal

from agent.diff import nodes
from agent.model.host_state import NodeState
from agent.model.intent import Intent, Role
from agent.model.leader_steps import DemoteNode, PromoteNode
from agent.model.observed import Observed
from agent.model.phrases import instead, short_id
from agent.model.plan import BlockedKind, Plan, blocked_plan, waiting_plan
from agent.planner.leader.disruption import rejoining_host, role_for_now

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


def plan_roles(intent: Intent, observed: Observed, node_owners: nodes.NodeOwners) -> Plan:
    """Change the next role, and block the other changes with the reason."""
    changes = sorted(_changes(intent, observed, node_owners), key=lambda each: _order(each, observed))
    chosen: _Change | None = None
    plan = Plan()
    for each in changes:
        why = _why_waits(each, intent, observed)
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


def _changes(intent: Intent, observed: Observed, node_owners: nodes.NodeOwners) -> list[_Change]:
    wanted: list[tuple[str, NodeState, Role, str]] = []
    for each in intent.hosts:
        node, role = node_owners.now.get(each.name), role_for_now(each, intent, nodes.etcd_of(observed))
        if node:
            why = "" if role == each.role else " while another host rejoins"
            reason = f"{each.name}: {instead(role, node.role, why)}"
            wanted.append((each.name, node, role, reason))
    gone = {each.node.id: each for each in nodes.gone_nodes(intent, observed, node_owners)}
    for name in nodes.removed_hosts(intent, nodes.etcd_of(observed)):
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
        for name, node in nodes.unresumable_managers(observed, node_owners)
        if node.id not in gone
    ]
    return [
        _Change(host=host, node=node, role=role, reason=reason)
        for host, node, role, reason in wanted
        if node.role != role
    ]


def _order(change: _Change, observed: Observed) -> tuple[int, bool, bool, str]:
    """Sort key: demote unreachable managers, promote, demote reachable ones; this host and the raft leader are last."""
    kind = 2 if change.is_loss else 0 if change.role == "worker" else 1
    mine = observed.host is not None and change.node.id == observed.host.swarm.node_id
    return (kind, mine, change.node.leader, change.host)


def _role_in_transition(
    observed: Observed, node_owners: nodes.NodeOwners, changed: str
) -> tuple[str, str] | None:
    """Return the role change that has not completed, and its condition key; None: every change has.

    The node `changed` itself may be changed back.
    """
    if any(each.startswith("node/") for each in observed.in_flight):
        return "another node is being updated", ""
    names = {node.id: name for name, node in node_owners.now.items()}
    for node in _nodes(observed):
        # A promoted node that is down gets no vote before it returns, so no other change waits for it.
        joining = node.role == "manager" and node.reachable is None and node.state == "ready"
        leaving = node.role == "worker" and node.reachable is not None
        if (joining or leaving) and node.id != changed:
            name = names.get(node.id)
            who = name or f"node {short_id(node.id)}"
            return f"{who} is becoming a {node.role}", f"host/{name}" if name else ""
    for name, node in node_owners.now.items():
        status = nodes.etcd_of(observed).status_of(name)
        if name == observed.me or status is None or not status.engine_up or node.state != "ready":
            continue
        if status.state == "active" and status.is_manager != (node.role == "manager"):
            return f"{name} has not reported yet that it is a {node.role}", f"host/{name}"
    return None


def _why_waits(change: _Change, intent: Intent, observed: Observed) -> Why | None:
    managers = [each for each in _nodes(observed) if each.reachable is not None]
    if change.role == "worker" and change.node.reachable is None:
        return "waiting", "its promotion has not completed, and Docker demotes only managers", ""
    if change.role == "worker" and not change.is_loss:
        return None
    if change.node.state != "ready" and change.role == "manager":
        return _why_unpromotable(change, observed)
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
        return _why_unpromotable(change, observed)
    if observed.host and change.node.id == observed.host.swarm.node_id:
        return "waiting", "another declared manager must become the leader first", "leader/"
    # While a host rejoins, there is one manager less than declared.
    if after < len(intent.managers) and change.host != rejoining_host(intent, nodes.etcd_of(observed)):
        return "quorum", f"only {after} of the {len(intent.managers)} declared managers would remain", ""
    return None


def _why_unpromotable(change: _Change, observed: Observed) -> Why | None:
    status = nodes.etcd_of(observed).statuses.get(change.host)
    why = nodes.promotion_obstacle(change.node, status, _nodes(observed))
    return ("role", why, "") if why else None


def _nodes(observed: Observed) -> tuple[NodeState, ...]:
    assert observed.host is not None
    return observed.host.swarm.nodes or ()
