"""A swarm as the leader's agent sees it: its nodes, and what the hosts say that they are."""

from dataclasses import replace
from typing import Any

from agent.model.host_state import NodeState
from agent.model.intent import Intent
from agent.model.records import Assignment
from agent.model.status import HostStatus, JoinedReport
from agent.planner.leader.assignments import assign
from tests.support.builders import Seen, cluster, host, intent, member, node, observed, status

REVISION = 7


def nodes_of(hosts: str) -> tuple[NodeState, ...]:
    """A node for each host, written as in `intent`; the first is the raft leader."""
    named = [each.partition(":") for each in hosts.split()]
    made = tuple(node(name, role or "manager") for name, _, role in named)
    return (replace(made[0], leader=True), *made[1:])


def said_by(nodes: tuple[NodeState, ...]) -> dict[str, HostStatus]:
    """What hosts report that agree with the nodes of their names."""
    return {
        each.hostname: status(
            each.hostname,
            node_id=each.id,
            is_manager=each.role == "manager",
            swarm_address=each.address,
            joined=JoinedReport(node_id=each.id, through="", engine="bridge-1"),
        )
        for each in nodes
    }


def seen(wanted: str | Intent, nodes: str | tuple[NodeState, ...], me: str = "h1", **etcd: Any) -> Seen:
    """What the leader `me` sees when all hosts of `nodes` are there, and say that they are what their nodes are.

    More of etcd by keyword; `statuses` and `present` are changes to that, `removed` names hosts that were taken out.
    """
    declared = intent(hosts=wanted) if isinstance(wanted, str) else wanted
    listed = nodes_of(nodes) if isinstance(nodes, str) else nodes
    statuses = {name: each for name, each in (said_by(listed) | etcd.pop("statuses", {})).items() if each}
    gone = etcd.pop("away", ())
    present = {name: f"run-{name}" for name in statuses if name not in gone}
    removed = etcd.pop("removed", "").split()
    empty = Assignment(revision=REVISION, project="prod")
    assignments = assign(declared, {}) | dict.fromkeys(removed, empty)
    in_flight = etcd.pop("in_flight", frozenset())
    state = cluster(
        declared,
        **{"assignments": assignments, "statuses": statuses, "present": present, "leader": me, **etcd},
    )
    return observed(state, host(swarm=member(me, of=listed)), me=me, leads=True, in_flight=in_flight)
