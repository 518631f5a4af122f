"""Membership orders: the leader orders a host to leave the swarm, or puts it in quarantine.

Docker does not inform a worker that its node was removed or that its swarm was re-created: the engine reports "active"
until dockerd restarts, and "pending" indefinitely after that. Only a manager's node list shows the removal.
"""

from collections import defaultdict
from typing import Literal

from agent.diff.nodes import LeaderView, NodeOwners, quorum
from agent.model import leader_steps, records
from agent.model.host_state import NodeState
from agent.model.intent import Intent
from agent.model.phrases import differs
from agent.model.plan import Plan, Step
from agent.model.status import HostStatus, Waiting
from agent.planner.leader.disruption import has_to_leave, rejoining_host, why_unwell


def plan_membership_orders(intent: Intent, observed: LeaderView) -> Plan:
    """Issue the order that each host needs, and revoke orders whose cause is cleared or cannot be verified."""
    cluster = observed.cluster
    reports = _Reports(intent, observed, observed.node_owners) if observed.node_owners else None
    wanted = reports.membership_orders() if reports else {}
    steps: list[Step] = [
        leader_steps.RevokeMembershipOrder(host=name, reason="its cause is cleared or cannot be verified")
        for name in sorted(cluster.membership_orders.keys() - wanted.keys())
    ]
    if reports is None:
        return Plan(tuple(steps))
    for name, order in sorted(wanted.items()):
        if cluster.membership_orders.get(name) != order:
            about, reason = reports.node_of(name), f"{order.what}: {order.reason}"
            unlisted = about if about not in reports.nodes else None
            steps.append(
                leader_steps.IssueMembershipOrder(
                    host=name, membership_order=order, unlisted=unlisted, reason=reason
                )
            )
    waiting = (
        Waiting(resource=f"membership-order/{name}", reason=f"its change of address waits: {why}", on=on)
        for name, (why, on) in reports.waits().items()
        if name not in wanted
    )
    return Plan(tuple(steps), waiting=tuple(waiting))


_Order = tuple[Literal["leave", "force", "quarantine"], str]
"""(what the host must do, reason)"""


class _Reports:
    """Compares the reports of all hosts with the node list. Has no state of its own."""

    def __init__(self, intent: Intent, observed: LeaderView, node_owners: NodeOwners) -> None:
        self.intent, self.observed, self.node_owners = intent, observed, node_owners
        self.cluster, self.nodes = observed.cluster, node_owners.listed
        statuses = {name: self.cluster.status_of(name) for name in sorted(self.cluster.statuses)}
        self.reports = {name: status for name, status in statuses.items() if status and status.engine_up}
        self._names: defaultdict[str | None, list[str]] = defaultdict(list)
        """Node id -> the hosts that report it."""
        for name, status in self.reports.items():
            self._names[status.node_id].append(name)

    def membership_orders(self) -> dict[str, records.MembershipOrder]:
        found = {}
        for name, status in self.reports.items():
            if name != self.observed.me and (order := self._order(name, status)):
                assert status.state in ("active", "pending", "error")
                found[name] = records.MembershipOrder(
                    state=status.state, node_id=status.node_id, what=order[0], reason=order[1]
                )
        return found

    def _order(self, name: str, status: HostStatus) -> _Order | None:
        if namesakes := self._namesakes(name, status):
            return self._of_one_node(name, status, namesakes)
        if status.state == "error":
            return self._failed(name, status)
        if status.state == "active" and status.node_id is None:
            return self._half_out(name)
        if status.node_id is None or status.state not in ("active", "pending"):
            return None
        if status.is_manager:
            return self._cut_off(name, status)
        node_state = self.nodes.get(status.node_id)
        if node_state is None:
            return self._unlisted(name, status)
        return self._listed(name, status, node_state) if status.state == "active" else None

    def _namesakes(self, name: str, status: HostStatus) -> list[str]:
        return [each for each in self._names[status.node_id] if each != name] if status.node_id else []

    def _of_one_node(self, name: str, status: HostStatus, namesakes: list[str]) -> _Order | None:
        # The node list shows the address of the machine that contacted a manager last. The address in the engine's
        # own state was cloned with its identity, so it is the original machine's.
        owner = next((each for each in namesakes if self._address(each) == status.swarm_address), None)
        if owner is None or self._address(name) == status.swarm_address:
            return None
        node = f"node {status.node_id} is {owner}'s, and {name} reports the same node id"
        return "quarantine", f"{node}: one of the two machines is a clone of the other"

    def _failed(self, name: str, status: HostStatus) -> _Order | None:
        """Return a leave for an engine in state error if its agent began the join or it was a worker of this swarm."""
        error = f": {status.swarm_error}" if status.swarm_error else ""
        if not self._is_ours(name):
            return None
        if status.joining and status.joining == self._swarm_id:
            return "leave", f"its join failed, and dockerd does not retry{error}"
        before = self.node_owners.previous_of(name)
        if before and all(each.has_no_vote for each in before):
            return "leave", f"its engine cannot resume its worker node{error}"
        joined = status.joined
        if not before and joined and joined.swarm == self._swarm_id and joined.node_id not in self.nodes:
            why = f"the swarm no longer has node {joined.node_id}, and its engine cannot resume it{error}"
            return "leave", why
        return None

    def node_of(self, name: str) -> str | None:
        status = self.reports[name]
        last = status.joined.node_id if status.state == "error" and status.joined else None
        return status.node_id or last

    def _is_ours(self, name: str) -> bool:
        """Return True for a declared host, and for a removed one."""
        return self.intent.host(name) is not None or name in self.cluster.assignments

    def _cut_off(self, name: str, status: HostStatus) -> _Order | None:
        """Return a leave by force for a manager that the swarm has removed and that finds no raft leader.

        Its swarm must be this one, and the managers that it knows must not be able to form a majority without the
        nodes that answer this leader: force must end no quorum.
        """
        if status.nodes is not None or status.node_id in self.nodes or not self._is_ours(name):
            return None
        others = {node for node, _ in status.managers} - {status.node_id}
        here = {each for each in others if each in self.nodes and self.nodes[each].state == "ready"}
        could_be_reached = len(others) + 1 - len(here)
        if not here or could_be_reached >= quorum(len(others) + 1):
            return None
        if status.swarm_id not in (None, self._swarm_id):
            return None
        why = f"the swarm no longer has node {status.node_id}, and Docker lets such a manager leave by force only"
        return "force", why

    def _half_out(self, name: str) -> _Order | None:
        """Return the leave again for an engine that is active without a node: its first leave took more than 15 s.

        The state does not change by itself, and a second leave succeeds immediately (docs/engine-quirks.md).
        """
        given = self.cluster.membership_orders.get(name)
        return ("leave", given.reason) if given and given.what == "leave" else None

    def _unlisted(self, name: str, status: HostStatus) -> _Order | None:
        node = f"node {status.node_id}"
        if status.swarm_id == self._swarm_id or {each for each, _ in status.managers} & self.nodes.keys():
            return "leave", f"the swarm no longer has {node}"
        if self.intent.host(name) and self._is_gone(status):
            return "leave", f"all managers of the swarm of its {node} have left that swarm"
        return None

    def _is_gone(self, status: HostStatus) -> bool:
        """Return True if each manager that the host knows is a host that now reports another node, or none."""
        managers = [(node, address.rpartition(":")[0]) for node, address in status.managers]
        return bool(managers) and all(self._has_left(node, address) for node, address in managers)

    def _has_left(self, node_id: str, address: str) -> bool:
        at_it = [each for name, each in self.reports.items() if self._address(name) == address]
        known = all(each.state in ("active", "inactive") and each.node_id != node_id for each in at_it)
        return bool(at_it) and known and not any(each.node_id == node_id for each in self.reports.values())

    def _listed(self, name: str, status: HostStatus, node: NodeState) -> _Order | None:
        if node.role == "manager":
            return None
        if self.intent.host(name) is None:
            return self._removed(name, status)
        if rejoining_host(self.intent, self.cluster) == name and has_to_leave(name, self.cluster):
            return "leave", "method rejoin: its docker_gwbridge is recreated outside the swarm"
        if not self._moves(name) or self._why_move_waits(name):
            return None
        return "leave", differs("address", self._address(name), status.swarm_address)

    def _removed(self, name: str, status: HostStatus) -> _Order | None:
        assignment = self.cluster.assignments.get(name)
        if assignment is None or assignment.replicas or status.replicas:
            return None
        return "leave", "the document no longer declares the host"

    def waits(self) -> dict[str, tuple[str, str]]:
        """Return the hosts whose change of address waits, with the reason and the condition key of the cause."""
        found = {name: self._why_move_waits(name) for name in self.reports if self._moves(name)}
        return {name: why for name, why in found.items() if why}

    def _why_move_waits(self, name: str) -> tuple[str, str] | None:
        """Return why a host cannot change its address yet, and the condition key of the cause; None: it can.

        One host at a time, all others in the swarm, the slot free.
        """
        if out := [each.name for each in self.intent.hosts if each.name != name and self._is_out(each.name)]:
            return f"{', '.join(out)} is not in the swarm, or its dockerd does not answer", f"host/{out[0]}"
        disruption = self.cluster.disruption
        if disruption and disruption.host != name:
            unwell: tuple[str, ...] = ("it has the disruption slot",)
            if disruption.state == "released":
                unwell = why_unwell(self.intent, self.observed, disruption)
            if unwell:
                return f"{disruption.host} first: {'; '.join(unwell)}", f"host/{disruption.host}"
        given = self.cluster.membership_orders.get(name)
        if given and given.what == "leave":
            return None  # the host may be leaving: the disruption slot waits for it
        phases = {name: each.bridge.phase for name, each in self.reports.items()}
        if needs := [each.name for each in self.intent.hosts if phases.get(each.name) == "waiting"]:
            return f"{', '.join(needs)} waits for the disruption slot", f"host/{needs[0]}"
        first = next((each for each in self.reports if self._moves(each)), name)
        return None if first == name else (f"{first} moves first", f"host/{first}")

    def _is_out(self, name: str) -> bool:
        """Return True if a host reports that it is outside the swarm, or joined once and is not known to be active."""
        status = self.cluster.statuses.get(name)
        if status is None:
            return False
        outside = name in self.reports and status.state in ("inactive", "pending", "error")
        return outside or (status.state != "active" and status.joined is not None)

    def _moves(self, name: str) -> bool:
        status, wanted = self.reports[name], self._address(name)
        node = self.nodes.get(status.node_id or "")
        worker = node is not None and node.role == "worker" and status.state == "active"
        elsewhere = wanted is not None and status.swarm_address not in (None, wanted)
        return bool(self.intent.host(name)) and worker and elsewhere and not self._namesakes(name, status)

    def _address(self, name: str) -> str | None:
        """Return the address that the host must have in the swarm."""
        declared = self.intent.host(name)
        status = self.cluster.statuses.get(name)
        if status and status.advertise:
            return status.advertise
        return str(declared.address) if declared else None

    @property
    def _swarm_id(self) -> str | None:
        return self.cluster.record.swarm_id if self.cluster.record else None
