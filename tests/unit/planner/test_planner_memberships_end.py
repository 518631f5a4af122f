"""Every state of an engine, with every role and record of its node, comes to an end.

The end is a step of the leader or of the host, a remedy in the words, or nothing that differs.
"""

import itertools
from dataclasses import replace
from typing import NamedTuple

import pytest

from agent.model.host_state import NodeState, SwarmState
from agent.model.leader_steps import IssueMembershipOrder, NodeStep
from agent.model.plan import Plan, Step
from agent.model.records import Assignment, MembershipOrder
from agent.model.spec import Pairs
from agent.model.status import HostStatus, JoinedReport
from agent.model.steps import MembershipStep
from agent.planner.host.membership import STUCK_S, membership_order_for, plan_leave, plan_membership
from agent.planner.leader.membership_orders import plan_membership_orders
from agent.planner.leader.nodes import plan_nodes
from tests.support import builders
from tests.support.builders import (
    REVISION,
    SWARM,
    cluster,
    host,
    intent,
    node,
    observed,
    record,
    status,
    tokens,
)

STATES = ("inactive", "pending", "pending, no node", "active", "active, no node", "error", "locked")
ROLES = ("manager", "worker")
RECORDS = ("there", "demoted", "gone", "another's")
DECLARED = ("declared", "taken out", "never named")


class Case(NamedTuple):
    state: str
    role: str
    record: str
    declared: str

    def __str__(self) -> str:
        return "; ".join(self)


ALL = [
    Case(*each)
    for each in itertools.product(STATES, ROLES, RECORDS, DECLARED)
    if each[1:3] != ("worker", "demoted")
]
ME = "h3"
KNOWN = (("node-h1", "10.0.0.1:2377"), ("node-h2", "10.0.0.2:2377"))


def local(case: Case) -> SwarmState:
    """The subject's swarm as its engine reports it: a manager is cut off while its record differs."""
    name = case.state.partition(",")[0]
    bare = builders.outside(name, "certificate expired" if name == "error" else "")  # type: ignore[arg-type]
    if case.state not in ("pending", "active"):
        return bare
    manager = case.role == "manager"
    address = "10.0.0.4" if case.record == "another's" else "10.0.0.3"
    nodes = listed(case) if manager and case.state == "active" and case.record == "there" else None
    return replace(
        bare, node_id=f"node-{ME}", is_manager=manager, address=address, managers=KNOWN, nodes=nodes
    )


def listed(case: Case) -> tuple[NodeState, ...]:
    """The nodes that the leader lists. Whoever is not active is down there."""
    others = (node("h1"), node("h2"))
    if case.record == "gone":
        return others
    role = "worker" if case.record == "demoted" else case.role
    taken_out = case.declared != "declared" and case.record != "another's"
    mine = node(ME, role, availability="drain" if taken_out else "active")
    if case.state != "active":
        mine = replace(mine, state="down", reachable=False if role == "manager" else None)
    if case.record == "another's":
        return (
            *others,
            replace(mine, hostname="h4", address="10.0.0.4", labels=(("io.swarmkeeper.host", "h4"),)),
        )
    return (*others, mine)


def report(case: Case) -> HostStatus:
    swarm = local(case)
    known = case.state != "inactive" and case.record != "another's"
    return status(
        ME,
        state=swarm.local,
        swarm_error=swarm.error,
        node_id=swarm.node_id,
        swarm_id=swarm.swarm_id,
        is_manager=swarm.is_manager,
        swarm_address=swarm.address,
        managers=swarm.managers,
        nodes=swarm.nodes,
        joined=JoinedReport(node_id=f"node-{ME}", through="", engine="e", swarm=SWARM) if known else None,
    )


def plans(case: Case, says: HostStatus | None = None) -> tuple[Plan, Plan]:
    """What the leader plans about the subject, and what the subject itself does after that."""
    wanted = intent(
        hosts=f"h1 h2 {ME}:{case.role} h4:worker" if case.declared == "declared" else "h1 h2 h4:worker"
    )
    reports = {"h1": status("h1"), "h2": status("h2"), ME: says or report(case)}
    if case.record == "another's":
        reports["h4"] = status("h4", node_id=f"node-{ME}", swarm_address="10.0.0.4", state="active")
    empty = Assignment(revision=REVISION, project="prod")
    assigned = {} if case.declared == "never named" else {ME: empty}
    state = cluster(
        wanted,
        statuses=reports,
        present={name: each.instance for name, each in reports.items()},
        assignments=assigned,
    )
    sees = observed(state, host(swarm=replace(builders.member("h1"), nodes=listed(case))), leads=True)
    assert sees.node_owners is not None
    leads = plan_membership_orders(wanted, sees) + plan_nodes(wanted, sees)
    order = next(
        (each.membership_order for each in leads.steps if isinstance(each, IssueMembershipOrder)), None
    )
    return leads, obeys(case, order)


def obeys(case: Case, order: MembershipOrder | None) -> Plan:
    wanted = intent(
        hosts=f"h1 h2 {ME}:{case.role} h4:worker" if case.declared == "declared" else "h1 h2 h4:worker"
    )
    kept = record(managers=KNOWN)
    mine = None if case.declared == "never named" else Assignment(revision=REVISION, project="prod")
    etcd = cluster(wanted, ME, membership_order=order, record=kept, tokens=tokens(), assignment=mine)
    seen = observed(etcd, replace(host(swarm=local(case)), addresses=()), me=ME, pending_s=STUCK_S)
    given = membership_order_for(seen)
    if given and given.what != "quarantine":
        return plan_leave(wanted, seen, given)
    return Plan() if given else plan_membership(wanted, seen, bridge_ready=True)


def ours(step: Step) -> bool:
    if isinstance(step, IssueMembershipOrder):
        return step.host == ME
    return isinstance(step, MembershipStep) or (isinstance(step, NodeStep) and step.host == ME)


def hop(case: Case) -> str:
    """What is done about the case now, or why nothing is; empty: neither."""
    leads, follows = plans(case)
    orders = [each.membership_order.what for each in leads.steps if isinstance(each, IssueMembershipOrder)]
    done = [each.verb for each in (*leads.steps, *follows.steps) if ours(each) and each.verb != "issue"]
    if orders:
        return {"leave": "leave", "leave by force": "force", "": orders[0]}[" ".join(done)]
    if done:
        return " ".join(done)
    about = ("swarm", f"node/node-{ME}")
    words = " ".join(each.reason for each in (*follows.left, *leads.left) if each.resource in about)
    if "the leader orders it to leave if it was" in words and case.state != "error":
        return "a promise that nothing keeps"
    if "`docker " in words or "`systemctl " in words:
        return "remedy"
    outside = " ".join(each.reason for each in follows.left)
    if "nothing is changed on this host" in outside or "no document has named it before" in outside:
        return "not ours"
    if case.declared == "declared" and (case.state, case.record) == ("active", "there") and not words:
        return "as declared"
    # The managers reach this node: its engine gives the role up by itself.
    return (
        "docker tells it" if (case.state, case.role, case.record) == ("active", "manager", "demoted") else ""
    )


def after(case: Case, done: str) -> Case | None:
    """The case when that is done; None: nothing was."""
    match done:
        case "join":
            return case._replace(state="active", record="there")
        case "leave" | "force":
            return case._replace(state="inactive")
        case "demote" if case.state == "active":  # the managers reach it, and its engine follows
            return case._replace(role="worker")
        case "demote":
            return case._replace(record="demoted")
        case "remove":
            return case._replace(record="gone")
    return None


def trail(case: Case) -> list[str]:
    """Everything that is done about the case, and the end that it comes to."""
    seen: list[Case] = []
    done: list[str] = []
    now: Case | None = case
    while now:
        assert now not in seen, (case, done)
        seen.append(now)
        done.append(hop(now))
        now = after(now, done[-1])
    return done


EXPECTED = {
    # state, role of the engine, record: (declared, taken out)
    ("inactive", "manager", "there"): ("join, as declared", "demote, remove, not ours"),
    ("inactive", "manager", "demoted"): ("join, as declared", "remove, not ours"),
    ("inactive", "manager", "gone"): ("join, as declared", "not ours"),
    ("inactive", "manager", "another's"): ("join, as declared", "not ours"),
    ("inactive", "worker", "there"): ("join, as declared", "remove, not ours"),
    ("inactive", "worker", "gone"): ("join, as declared", "not ours"),
    ("inactive", "worker", "another's"): ("join, as declared", "not ours"),
    ("pending", "manager", "there"): ("remedy", "demote, remedy"),
    ("pending", "manager", "demoted"): ("remedy", "remedy"),
    ("pending", "manager", "gone"): ("force, join, as declared", "force, not ours"),
    ("pending", "manager", "another's"): ("quarantine", "quarantine"),
    ("pending", "worker", "there"): ("remedy", "remedy"),
    ("pending", "worker", "gone"): ("leave, join, as declared", "leave, not ours"),
    ("pending", "worker", "another's"): ("quarantine", "quarantine"),
    ("pending, no node", "manager", "there"): ("remedy", "remedy"),
    ("pending, no node", "manager", "demoted"): ("remedy", "remedy"),
    ("pending, no node", "manager", "gone"): ("remedy", "remedy"),
    ("pending, no node", "manager", "another's"): ("remedy", "remedy"),
    ("pending, no node", "worker", "there"): ("remedy", "remedy"),
    ("pending, no node", "worker", "gone"): ("remedy", "remedy"),
    ("pending, no node", "worker", "another's"): ("remedy", "remedy"),
    ("active", "manager", "there"): ("as declared", "demote, leave, remove, not ours"),
    ("active", "manager", "demoted"): ("docker tells it", "remedy"),
    ("active", "manager", "gone"): ("force, join, as declared", "force, not ours"),
    ("active", "manager", "another's"): ("quarantine", "quarantine"),
    ("active", "worker", "there"): ("as declared", "leave, remove, not ours"),
    ("active", "worker", "gone"): ("leave, join, as declared", "leave, not ours"),
    ("active", "worker", "another's"): ("quarantine", "quarantine"),
    ("active, no node", "manager", "there"): ("remedy", "remedy"),
    ("active, no node", "manager", "demoted"): ("remedy", "remedy"),
    ("active, no node", "manager", "gone"): ("remedy", "remedy"),
    ("active, no node", "manager", "another's"): ("remedy", "remedy"),
    ("active, no node", "worker", "there"): ("remedy", "remedy"),
    ("active, no node", "worker", "gone"): ("remedy", "remedy"),
    ("active, no node", "worker", "another's"): ("remedy", "remedy"),
    ("error", "manager", "there"): ("demote, leave, join, as declared", "demote, leave, remove, not ours"),
    ("error", "manager", "demoted"): ("leave, join, as declared", "leave, remove, not ours"),
    ("error", "manager", "gone"): ("leave, join, as declared", "leave, not ours"),
    ("error", "manager", "another's"): ("remedy", "remedy"),
    ("error", "worker", "there"): ("leave, join, as declared", "leave, remove, not ours"),
    ("error", "worker", "gone"): ("leave, join, as declared", "leave, not ours"),
    ("error", "worker", "another's"): ("remedy", "remedy"),
    ("locked", "manager", "there"): ("remedy", "remedy"),
    ("locked", "manager", "demoted"): ("remedy", "remedy"),
    ("locked", "manager", "gone"): ("remedy", "remedy"),
    ("locked", "manager", "another's"): ("remedy", "remedy"),
    ("locked", "worker", "there"): ("remedy", "remedy"),
    ("locked", "worker", "gone"): ("remedy", "remedy"),
    ("locked", "worker", "another's"): ("remedy", "remedy"),
}


@pytest.mark.parametrize("case", ALL, ids=str)
def test_every_membership_comes_to_an_end(case: Case) -> None:
    found = trail(case)
    if case.declared == "never named":
        # Its agent leaves no swarm that has the node; of a worker that was removed nothing is lost.
        removed = case.state in ("pending", "active") and case[1:3] == ("worker", "gone")
        assert found in (["not ours"], ["quarantine"]) or (removed and found == ["leave", "not ours"])
    else:
        assert found == EXPECTED[case[:3]][case.declared == "taken out"].split(", "), plans(case)


def test_a_leave_by_force_needs_more_than_a_missing_record() -> None:
    case = Case("pending", "manager", "gone", "declared")
    gone = MembershipOrder(state="pending", node_id=f"node-{ME}", what="force", reason="r")

    assert [each.verb for each in obeys(case, gone).steps] == ["leave by force"]
    # Another node id, a raft leader, a worker: the order is not for them.
    for other in (
        obeys(case, replace(gone, node_id="node-h9")),
        obeys(Case("active", "manager", "there", "declared"), replace(gone, state="active")),
        obeys(Case("pending", "worker", "gone", "declared"), gone),
    ):
        assert not [each for each in other.steps if each.verb == "leave by force"]


@pytest.mark.parametrize(
    ("managers", "swarm_id", "force"),
    [
        (KNOWN, None, True),
        (KNOWN, SWARM, True),
        (KNOWN, "another swarm", False),
        ((), None, False),
        # With those that this swarm does not have, it could form a majority elsewhere.
        ((*KNOWN[:1], ("node-h8", "10.0.0.8:2377")), None, False),
        ((*KNOWN, ("node-h8", "10.0.0.8:2377"), ("node-h9", "10.0.0.9:2377")), None, False),
        ((*KNOWN, ("node-h8", "10.0.0.8:2377")), None, True),
    ],
)
def test_no_manager_leaves_by_force_that_could_have_a_majority_elsewhere(
    managers: Pairs, swarm_id: str | None, force: bool
) -> None:
    case = Case("pending", "manager", "gone", "declared")
    knows = replace(report(case), managers=managers, swarm_id=swarm_id)
    orders = [each for each in plans(case, knows)[0].steps if isinstance(each, IssueMembershipOrder)]

    assert [each.membership_order.what for each in orders] == (["force"] if force else [])
    assert [each.unlisted for each in orders] == ([f"node-{ME}"] if force else [])
