"""What the leader says of a host's membership: only what its list of nodes proves."""

from dataclasses import replace
from typing import Any

import pytest

from agent.diff.nodes import HOST_LABEL
from agent.model.host_state import NodeState
from agent.model.leader_steps import IssueMembershipOrder
from agent.model.plan import Plan
from agent.model.records import Assignment, Disruption, MembershipOrder, Replica
from agent.model.status import BridgeReport, HostStatus, JoinedReport, ReplicaReport
from agent.planner.leader.membership_orders import plan_membership_orders
from tests.support import builders
from tests.support.builders import SWARM, cluster, host, intent, node, observed, status, told

WANTED = intent(hosts="h1 h2 h3:worker")
MANAGERS = (node("h1"), node("h2"))
LABELS = ((HOST_LABEL, "h3"),)
ALL = (*MANAGERS, node("h3", "worker"))
KNOWN = (("node-h1", "10.0.0.1:2377"),)


def worker(**more: Any) -> HostStatus:
    """What h3 reports, as a worker of the swarm."""
    said = status("h3", is_manager=False, swarm_id=None, managers=KNOWN, swarm_address="10.0.0.3")
    return replace(said, **more)


def rule(
    nodes: tuple[NodeState, ...] | None,
    *,
    wanted: Any = WANTED,
    present: dict[str, str] | None = None,
    membership_orders: dict[str, MembershipOrder] | None = None,
    assignments: dict[str, Assignment] | None = None,
    disruption: Disruption | None = None,
    **reports: HostStatus,
) -> Plan:
    """What h1, the leader, says when it lists `nodes` and the others report so."""
    told = {"h1": status("h1"), "h2": status("h2", swarm_address="10.0.0.2"), **reports}
    there = present if present is not None else {name: each.instance for name, each in told.items()}
    etcd: dict[str, Any] = {
        "membership_orders": membership_orders or {},
        "assignments": assignments or {},
        "disruption": disruption,
    }
    state = cluster(wanted, statuses=told, present=there, **etcd)
    swarm = replace(builders.member("h1"), nodes=nodes)
    seen = observed(state, host(swarm=swarm), leads=True)
    return plan_membership_orders(wanted, seen)


def test_of_members_as_they_should_be_nothing_is_said() -> None:
    assert rule(ALL, h3=worker()) == Plan()


def test_who_was_told_to_leave_and_has_no_node_any_more_is_told_again_until_it_is_out() -> None:
    before = MembershipOrder(
        state="active", node_id="node-h3", what="leave", reason="the document no longer declares the host"
    )
    half_out = worker(node_id=None)

    assert told(rule(ALL, membership_orders={"h3": before}, h3=half_out)) == [
        "issue membership-order/h3: leave: the document no longer declares the host"
    ]
    assert rule(ALL, membership_orders={"h3": replace(before, node_id=None)}, h3=half_out) == Plan()


def test_an_engine_that_has_no_node_yet_and_was_told_nothing_is_left_alone() -> None:
    assert rule(ALL, h3=worker(node_id=None)) == Plan()


# ---- removed by force, or the swarm recreated


@pytest.mark.parametrize("state", ["active", "pending"])
def test_a_worker_that_the_swarm_does_not_know_any_more_shall_leave(state: Any) -> None:
    plan = rule(MANAGERS, h3=worker(state=state))
    assert told(plan) == ["issue membership-order/h3: leave: the swarm no longer has node node-h3"]
    (step,) = plan.steps
    assert isinstance(step, IssueMembershipOrder)
    assert step.membership_order == MembershipOrder(
        state=state, node_id="node-h3", what="leave", reason="the swarm no longer has node node-h3"
    )


def test_that_the_swarm_does_not_know_a_node_is_asked_once_more_before_it_is_said() -> None:
    (step,) = rule(MANAGERS, h3=worker()).steps
    assert isinstance(step, IssueMembershipOrder)
    assert step.unlisted == "node-h3"


def test_a_worker_whose_certificate_names_the_swarm_is_ours_whoever_managed_it_then() -> None:
    strangers = (("node-before", "10.0.0.9:2377"),)
    assert rule(MANAGERS, h3=worker(managers=strangers)) == Plan()
    assert rule(MANAGERS, h3=worker(managers=strangers, swarm_id=builders.SWARM)).steps


def test_a_worker_of_a_swarm_that_our_own_hosts_have_left_shall_leave() -> None:
    before = (("node-before", "10.0.0.2:2377"), ("node-older", "10.0.0.1:2377"))
    assert told(rule(MANAGERS, h3=worker(managers=before))) == [
        "issue membership-order/h3: leave: all managers of the swarm of its node node-h3 have left that swarm"
    ]


@pytest.mark.parametrize(
    "managers",
    [
        (),
        (("node-before", "10.0.0.2:2377"), ("node-theirs", "10.0.0.9:2377")),
        (("node-before", "10.0.0.9:2377"),),
    ],
)
def test_a_worker_of_a_swarm_that_may_still_be_managed_elsewhere_is_left_in_it(managers: Any) -> None:
    assert rule(MANAGERS, h3=worker(managers=managers)) == Plan()


def test_a_worker_of_a_swarm_that_one_of_our_hosts_still_manages_is_left_in_it() -> None:
    theirs = status("h2", node_id="node-x", swarm_id="swarm-of-others", swarm_address="10.0.0.2")
    assert rule((node("h1"),), h2=theirs, h3=worker(managers=(("node-x", "10.0.0.2:2377"),))) == Plan()


def test_a_manager_that_sees_the_nodes_of_a_swarm_is_never_told_to_leave_it() -> None:
    assert rule(MANAGERS, h3=worker(is_manager=True, nodes=MANAGERS)) == Plan()


def test_a_join_under_way_is_left_alone() -> None:
    assert rule(MANAGERS, h3=worker(state="pending", node_id=None)) == Plan()


def test_what_an_agent_said_that_is_away_or_in_an_earlier_run_counts_for_nothing() -> None:
    others = {"h1": "run-h1", "h2": "run-h2"}
    assert rule(MANAGERS, h3=worker(), present=others) == Plan()
    assert rule(MANAGERS, h3=worker(), present={**others, "h3": "a later run"}) == Plan()
    assert rule(MANAGERS, h3=worker(engine_up=False)) == Plan()


# ---- a join that failed


def failed(**more: Any) -> HostStatus:
    said = worker(state="error", node_id=None, managers=(), swarm_error="no route", joining=builders.SWARM)
    return replace(said, **more)


def test_an_engine_whose_join_failed_shall_leave_and_try_again() -> None:
    assert told(rule(MANAGERS, h3=failed())) == [
        "issue membership-order/h3: leave: its join failed, and dockerd does not retry: no route"
    ]


@pytest.mark.parametrize("joining", [None, "swarm-of-others"])
def test_an_engine_in_error_that_our_join_did_not_bring_there_keeps_what_is_on_its_disk(joining: Any) -> None:
    assert rule(MANAGERS, h3=failed(joining=joining)) == Plan()
    manager = node("h3", reachable=False, state="down", labels=LABELS)
    assert rule((*MANAGERS, manager), h3=failed(joining=joining)) == Plan()


def test_an_engine_in_error_that_was_a_worker_of_ours_shall_leave_and_join_again() -> None:
    before = node("h3", "worker", state="down", labels=LABELS)
    assert told(rule((*MANAGERS, before), h3=failed(joining=None))) == [
        "issue membership-order/h3: leave: its engine cannot resume its worker node: no route"
    ]


def test_an_engine_in_error_that_became_a_manager_in_vain_shall_leave_once_its_node_is_down() -> None:
    before = node("h3", "manager", reachable=None, state="down", labels=LABELS)
    assert told(rule((*MANAGERS, before), h3=failed(joining=None))) == [
        "issue membership-order/h3: leave: its engine cannot resume its worker node: no route"
    ]
    assert rule((*MANAGERS, replace(before, state="ready")), h3=failed(joining=None)) == Plan()


def test_an_undeclared_engine_in_error_is_left_alone() -> None:
    assert rule(MANAGERS, wanted=intent(hosts="h1 h2"), h3=failed()) == Plan()


def test_an_engine_in_error_whose_node_of_ours_is_gone_shall_leave_once_that_is_confirmed() -> None:
    ours = JoinedReport(node_id="node-h3", through="", engine="bridge-1", swarm=SWARM)
    (step,) = rule(MANAGERS, h3=failed(joining=None, joined=ours)).steps
    assert isinstance(step, IssueMembershipOrder)
    assert (step.membership_order.what, step.unlisted) == ("leave", "node-h3")
    for other in (replace(ours, swarm=None), replace(ours, swarm="swarm-of-others")):
        assert rule(MANAGERS, h3=failed(joining=None, joined=other)) == Plan()


# ---- another address


OUT = "h2 is not in the swarm, or its dockerd does not answer"


def waits(why: str) -> str:
    return f"waiting membership-order/h3: its change of address waits: {why}"


def moved(name: str = "h3", **more: Any) -> HostStatus:
    said = worker(instance=f"run-{name}", node_id=f"node-{name}", swarm_address="10.0.0.99")
    return replace(said, **more)


def test_a_worker_that_shall_have_another_address_shall_leave() -> None:
    plan = rule(ALL, h3=moved())
    assert told(plan) == ["issue membership-order/h3: leave: address: 10.0.0.3 wanted, 10.0.0.99 found"]
    (step,) = plan.steps
    assert isinstance(step, IssueMembershipOrder)
    assert step.unlisted is None


def test_the_address_of_agent_yaml_comes_before_the_declared_one() -> None:
    assert rule(ALL, h3=moved(advertise="10.0.0.99")) == Plan()


def test_a_manager_keeps_its_address() -> None:
    assert rule((*MANAGERS, node("h3")), h3=moved(is_manager=True)) == Plan()


def test_hosts_change_their_address_one_after_the_other() -> None:
    wanted = intent(hosts="h1 h2:worker h3:worker")
    nodes = (node("h1"), node("h2", "worker"), node("h3", "worker"))
    both = rule(nodes, wanted=wanted, h2=moved("h2"), h3=moved())
    assert [each.resource for each in both.steps] == ["membership-order/h2"]
    assert told(both)[1:] == [waits("h2 moves first")]
    under_way = replace(moved("h2"), state="inactive", node_id=None)
    assert told(rule(nodes, wanted=wanted, h2=under_way, h3=moved())) == [waits(OUT)]


@pytest.mark.parametrize("there", [True, False])
def test_the_next_does_not_move_while_the_last_one_is_out_and_does_not_say_so_now(there: bool) -> None:
    wanted = intent(hosts="h1 h2:worker h3:worker")
    nodes = (node("h1"), node("h2", "worker", state="down"), node("h3", "worker"))
    before = JoinedReport(node_id="node-h2", through="", engine="bridge-1")
    out = replace(
        moved("h2"),
        joined=before,
        **({"engine_up": False, "state": "unknown"} if there else {"state": "inactive"}),
    )
    present = {"h1": "run-h1", "h3": "run-h3"} | ({"h2": "run-h2"} if there else {})

    assert told(rule(nodes, wanted=wanted, present=present, h2=out, h3=moved())) == [waits(OUT)]


def test_no_host_moves_while_it_is_anothers_disruption_slot_or_another_needs_one() -> None:
    needs = status("h2", swarm_address="10.0.0.2", bridge=BridgeReport(phase="waiting", revision=7))
    assert told(rule(ALL, h2=needs, h3=moved())) == [waits("h2 waits for the disruption slot")]

    taken = Disruption(host="h2", state="acquired", reason="r", quorum=True)
    at_it = status("h2", swarm_address="10.0.0.2", bridge=BridgeReport(phase="moving", revision=7))
    assert told(rule(ALL, disruption=taken, h2=at_it, h3=moved())) == [
        waits("h2 first: it has the disruption slot")
    ]
    unwell = waits("h2 first: docker_gwbridge of h2 is not as declared")
    assert told(rule(ALL, disruption=replace(taken, state="released"), h2=at_it, h3=moved())) == [unwell]

    own = replace(taken, host="h3")
    assert rule(ALL, disruption=own, h3=moved()).steps


def test_who_was_told_to_move_goes_on_with_it_when_another_needs_the_disruption_slot_meanwhile() -> None:
    needs = status("h2", swarm_address="10.0.0.2", bridge=BridgeReport(phase="waiting", revision=7))
    why = "address: 10.0.0.3 wanted, 10.0.0.99 found"
    said = MembershipOrder(state="active", node_id="node-h3", what="leave", reason=why)
    assert rule(ALL, membership_orders={"h3": said}, h2=needs, h3=moved()) == Plan()


# ---- taken out of the intent


def test_a_host_that_was_taken_out_shall_leave_when_nothing_of_ours_is_left_on_it() -> None:
    gone, none = intent(hosts="h1 h2"), {"h3": Assignment(revision=7, project="prod")}
    assert told(rule(ALL, wanted=gone, h3=worker(), assignments=none)) == [
        "issue membership-order/h3: leave: the document no longer declares the host"
    ]
    replicas = (Replica(service="order", slot=1, spec="x"),)
    assigned = Assignment(revision=7, project="prod", replicas=replicas)
    assert rule(ALL, wanted=gone, h3=worker(), assignments={"h3": assigned}) == Plan()
    running = ReplicaReport(service="order", slot=1, spec="x", id="c", name="n", status="running")
    assert rule(ALL, wanted=gone, h3=worker(replicas=(running,)), assignments=none) == Plan()
    assert rule((*MANAGERS, node("h3")), wanted=gone, h3=worker(is_manager=True), assignments=none) == Plan()


def test_a_member_that_the_intent_never_named_is_left_alone() -> None:
    assert rule(ALL, wanted=intent(hosts="h1 h2"), h3=worker()) == Plan()


# ---- two hosts, one node


@pytest.mark.parametrize("listed", ["10.0.0.2", "10.0.0.3", "10.0.0.9"])
def test_of_two_hosts_that_say_they_are_one_node_the_one_without_its_address_is_quarantined(
    listed: str,
) -> None:
    """The swarm lists the address of the one that spoke to a manager last, which may be the clone."""
    copied = worker(instance="run-h2", node_id="node-h3")
    nodes = (*MANAGERS, replace(node("h3", "worker"), address=listed))
    why = (
        "node node-h3 is h3's, and h2 reports the same node id: "
        "one of the two machines is a clone of the other"
    )
    assert told(rule(nodes, h2=copied, h3=worker())) == [f"issue membership-order/h2: quarantine: {why}"]


def test_while_nobody_can_tell_which_of_two_hosts_is_the_clone_neither_gets_an_order_to_leave() -> None:
    of_neither = worker(swarm_address="10.0.0.9")
    assert rule(ALL, h2=replace(of_neither, instance="run-h2"), h3=of_neither) == Plan()


# ---- afterwards


def test_a_word_is_said_once_and_taken_back_when_it_is_no_longer_so() -> None:
    said = MembershipOrder(
        state="active", node_id="node-h3", what="leave", reason="the swarm no longer has node node-h3"
    )
    assert rule(MANAGERS, membership_orders={"h3": said}, h3=worker()) == Plan()
    left = worker(state="inactive", node_id=None)
    assert told(rule(MANAGERS, membership_orders={"h3": said}, h3=left)) == [
        "revoke membership-order/h3: its cause is cleared or cannot be verified"
    ]


def test_without_a_list_of_nodes_nothing_is_said_and_every_word_taken_back() -> None:
    said = MembershipOrder(state="active", node_id="node-h3", what="leave", reason="r")
    assert [each.verb for each in rule(None, membership_orders={"h3": said}, h3=worker()).steps] == ["revoke"]
    assert rule(None, h3=worker()) == Plan()
