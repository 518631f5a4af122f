"""A host leaves its swarm on the leader's word: replicas first, nothing of others harmed, never by force."""

from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network
from typing import Any, Literal

import pytest

from agent.model.host_state import Attached, ContainerState, HostState, NetworkState, NodeState, SwarmState
from agent.model.plan import Plan
from agent.model.records import Disruption, MembershipOrder
from agent.model.spec import ContainerSpec, Restart, spec_hash
from agent.model.steps import AbandonNode, LeaveSwarm, StartContainer, StopContainer
from agent.planner import make_plan
from tests.support import builders
from tests.support.builders import (
    LOCAL,
    bridge_network,
    cluster,
    container,
    host,
    intent,
    node,
    observed,
    order,
    outside,
    overlay_network,
    service,
    status,
    told,
)

WANTED = intent(service(on={"h3": 1}), hosts="h1 h2 h3:worker")
WHY = "the swarm no longer has node node-h3"
UNLISTED = MembershipOrder(state="active", node_id="node-h3", what="leave", reason=WHY)
ON_OVERLAY = (("net", "10.10.0.5"),)
BRIDGED = NetworkState(
    id="local-id", name="local", driver="bridge", scope="local", subnet=LOCAL.subnet, gateway=None
)


def a_worker(
    *containers: ContainerState, local: Literal["active", "pending"] = "active", **more: Any
) -> HostState:
    swarm = replace(builders.worker("h3"), local=local)
    bridge = bridge_network(endpoints=(("t", "gateway_t"),))
    networks = (bridge, BRIDGED, overlay_network())
    return host(*containers, **{"swarm": swarm, "networks": networks, **more})


def reports(**nodes: tuple[NodeState, ...] | None) -> dict[str, Any]:
    """What each manager reports of the nodes; None: it lists none."""
    statuses = {name: replace(status(name), nodes=each) for name, each in nodes.items()}
    return {"statuses": statuses, "present": {name: each.instance for name, each in statuses.items()}}


LISTED, WITHOUT = tuple(map(node, ("h1", "h2", "h3"))), tuple(map(node, ("h1", "h2")))
"""The nodes that a manager reports."""


def plan(
    seen: HostState, *, membership_order: MembershipOrder | None = UNLISTED, wanted: Any = WANTED, **etcd: Any
) -> Plan:
    """The plan of h3, whose node no manager lists unless the test says otherwise."""
    etcd = {**reports(h1=WITHOUT, h2=WITHOUT), **etcd}
    return make_plan(
        observed(cluster(wanted, "h3", membership_order=membership_order, **etcd), seen, me="h3")
    )


def test_the_replicas_on_an_overlay_are_stopped_before_the_host_leaves() -> None:
    running = container(addresses=ON_OVERLAY)
    assert told(plan(a_worker(running))) == [f"stop container/prod-order-1: the host leaves the swarm: {WHY}"]

    stopped = container(status="exited", addresses=(("net", ""),))
    assert told(plan(a_worker(stopped))) == [f"leave swarm: {WHY}"]


def test_a_replica_on_a_network_of_the_host_runs_on() -> None:
    assert told(plan(a_worker(container(addresses=(("local", "10.20.0.2"),))))) == [f"leave swarm: {WHY}"]


def test_no_replica_is_started_on_what_is_about_to_go_but_images_are_pulled() -> None:
    assert told(plan(a_worker())) == [f"leave swarm: {WHY}"]
    assert told(plan(a_worker(images=frozenset()))) == [
        f"leave swarm: {WHY}",
        "pull image/order:1.0.0: wanted by prod-order-1",
    ]


@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_a_job_is_stopped_as_a_service_is(restart: Any) -> None:
    job = ContainerSpec(image="order:1.0.0", restart=Restart(name=restart), stop_grace_period_s=3.0)
    running = container(of=job, addresses=ON_OVERLAY)
    (stop,) = plan(a_worker(running), specs={spec_hash(job): job, spec_hash(order()): order()}).steps
    assert isinstance(stop, StopContainer)
    assert stop.grace_s == 3.0


def test_where_somebody_else_runs_on_an_overlay_nothing_is_touched() -> None:
    theirs = Attached(id="t", name="database", networks=("net",))
    ours = container(addresses=ON_OVERLAY)
    held = plan(a_worker(ours, attached=(theirs,)))
    assert told(held) == [f"blocked swarm: {WHY}; but database would lose its overlay if the host left"]
    assert [each.order for each in held.blocked] == [UNLISTED]


def test_the_task_of_a_service_is_somebody_elses_whatever_network_it_is_on() -> None:
    task = Attached(id="t", name="web.1.x", task=True)
    assert "web.1.x would lose" in str(plan(a_worker(attached=(task,))))
    assert told(plan(a_worker(attached=(replace(task, running=False),)))) == [f"leave swarm: {WHY}"]


def test_containers_of_others_elsewhere_or_at_rest_do_not_matter() -> None:
    elsewhere = Attached(id="a", name="a", networks=("local",))
    at_rest = Attached(id="b", name="b", networks=("net",), running=False)
    assert told(plan(a_worker(attached=(elsewhere, at_rest)))) == [f"leave swarm: {WHY}"]


def test_a_word_on_what_is_no_longer_so_means_nothing() -> None:
    for other in (
        replace(UNLISTED, node_id="node-before"),
        replace(UNLISTED, state="pending"),
        replace(UNLISTED, state="error", node_id=None),
    ):
        assert not any(
            isinstance(each, LeaveSwarm) for each in plan(a_worker(), membership_order=other).steps
        )


def test_a_manager_never_leaves() -> None:
    manager = host(swarm=builders.member("h3"))
    assert not any(isinstance(each, LeaveSwarm) for each in plan(manager).steps)


def test_while_etcd_is_away_no_word_counts() -> None:
    state = cluster(WANTED, "h3", membership_order=UNLISTED)
    steps = make_plan(observed(state, a_worker(), me="h3", stale=True)).steps
    assert not any(isinstance(each, LeaveSwarm) for each in steps)


def test_an_engine_that_waits_for_a_swarm_that_does_not_know_it_leaves_too() -> None:
    membership_order = replace(UNLISTED, state="pending")
    assert told(plan(a_worker(local="pending"), membership_order=membership_order)) == [f"leave swarm: {WHY}"]


def test_after_a_failed_join_the_engine_leaves_and_joins_again() -> None:
    failed = MembershipOrder(state="error", node_id=None, what="leave", reason="its join failed")
    wanted = intent(hosts="h1 h2 h3:worker")
    assert told(
        plan(host(swarm=outside("error", "no route to host")), membership_order=failed, wanted=wanted)
    ) == ["leave swarm: its join failed"]
    assert told(
        plan(host(swarm=outside()), membership_order=failed, wanted=wanted, tokens=builders.tokens())
    ) == ["join swarm: declared a worker of swarm swarm-1"]


def test_a_host_does_not_move_to_an_address_it_does_not_have() -> None:
    move = replace(UNLISTED, reason="address: 10.0.0.3 wanted, 10.0.0.9 found")
    running = container(addresses=ON_OVERLAY)
    away = a_worker(running, addresses=((IPv4Interface("10.0.0.9/24"), "eth0"),))
    assert told(plan(away, membership_order=move)) == [
        (
            "blocked swarm: address: 10.0.0.3 wanted, 10.0.0.9 found; "
            "but this host does not have the address 10.0.0.3"
        )
    ]
    there = a_worker(addresses=((IPv4Interface("10.0.0.3/24"), "eth0"),))
    assert isinstance(plan(there, membership_order=move).steps[0], LeaveSwarm)


def test_a_host_whose_bridge_could_not_be_made_outside_stays_in_and_its_replicas_run_on() -> None:
    """Outside it would wait for its bridge for good, with its replicas stopped."""
    move = replace(UNLISTED, reason="address: 10.0.0.3 wanted, 10.0.0.9 found")
    wrong = bridge_network(gateway="172.21.0.9", endpoints=(("t", "gateway_t"), ("x", "theirs")))
    networks = (wrong, overlay_network())
    running = container(addresses=ON_OVERLAY)
    begins = "blocked swarm: address: 10.0.0.3 wanted, 10.0.0.9 found; but this host could not join again: "

    by_hand = plan(a_worker(running, networks=networks), membership_order=move)
    assert not by_hand.steps
    assert begins + "gateway: 172.21.0.1 wanted, 172.21.0.9 found, but it is in use by theirs" in told(
        by_hand
    )

    alone = (replace(wrong, endpoints=(("t", "gateway_t"),)), overlay_network())
    route = (IPv4Network("172.21.4.0/24"), "eth1")
    overlaps = plan(a_worker(running, networks=alone, routes=(route,)), membership_order=move)
    assert not overlaps.steps
    assert begins + "172.21.0.0/20 overlaps the route 172.21.4.0/24 dev eth1" in told(overlaps)


def test_what_goes_with_the_swarm_keeps_nobody_in_it() -> None:
    overlapping = overlay_network(subnet=IPv4Network("172.21.0.0/16"))
    seen = a_worker(networks=(bridge_network(gateway="172.21.0.9"), overlapping))
    pool = replace(seen.swarm, pool=(IPv4Network("172.16.0.0/12"),))
    assert isinstance(plan(replace(seen, swarm=pool)).steps[0], LeaveSwarm)


def test_a_copied_machine_does_nothing_at_all() -> None:
    hold = MembershipOrder(
        state="active", node_id="node-h3", what="quarantine", reason="node node-h3 is h2's"
    )
    copied = replace(builders.worker("h3"), address="10.0.0.2")
    assert told(plan(a_worker(swarm=copied), membership_order=hold)) == [
        "blocked swarm: node node-h3 is h2's"
    ]
    manager = host(
        swarm=replace(builders.member("h3"), address="10.0.0.2"),
        networks=(bridge_network(gateway="172.21.0.9"), overlay_network()),
    )
    assert told(plan(manager, membership_order=hold)) == ["blocked swarm: node node-h3 is h2's"]


# ---- taken out of the intent

GONE = intent(hosts="h1 h2")
REMOVED = replace(UNLISTED, reason="the document no longer declares the host")


def test_a_host_that_was_taken_out_leaves_and_its_bridge_stays_as_it_is() -> None:
    there = a_worker(networks=(bridge_network(gateway="172.21.0.9"),))
    assert told(plan(there, membership_order=REMOVED, wanted=GONE)) == [
        "leave swarm: the document no longer declares the host"
    ]
    left = replace(there, swarm=SwarmState(local="inactive"))
    assert told(plan(left, membership_order=REMOVED, wanted=GONE)) == [
        "blocked host/h3: the intent does not name h3: nothing is changed on this host"
    ]


def test_a_host_that_stays_out_does_not_leave_a_container_without_the_overlay_it_needs_to_start() -> None:
    at_rest = Attached(id="b", name="database", networks=("net",), running=False)
    seen = a_worker(attached=(at_rest,))
    assert "database would lose its overlay" in str(plan(seen, membership_order=REMOVED, wanted=GONE))
    task = replace(at_rest, task=True)
    assert isinstance(
        plan(a_worker(attached=(task,)), membership_order=REMOVED, wanted=GONE).steps[0],
        LeaveSwarm,
    )


# ---- an order is obeyed only if it can be believed without trust in who wrote it


def held(plan: Plan) -> str:
    """Return why the host does not believe an order; its replicas run on."""
    assert not any(isinstance(each, LeaveSwarm | StopContainer | AbandonNode) for each in plan.steps)
    (blocked,) = [each for each in plan.blocked if each.kind == "untrusted"]
    assert (blocked.resource, blocked.order is not None) == ("membership-orders/h3", True)
    return blocked.reason


RUNNING = container(addresses=ON_OVERLAY)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ({"h1": LISTED, "h2": LISTED}, "h1 lists its node, h2 lists its node"),
        ({"h1": LISTED, "h2": WITHOUT}, "h1 lists its node"),
        ({"h1": None, "h2": WITHOUT}, "h1 does not report the nodes"),
        ({"h2": WITHOUT}, "h1 does not report the nodes"),
        ({}, "h1 does not report the nodes, h2 does not report the nodes"),
    ],
)
@pytest.mark.parametrize("local", ["active", "pending"])
def test_an_order_that_most_managers_do_not_confirm_stops_no_replica_and_is_named(
    nodes: dict[str, tuple[NodeState, ...] | None], why: str, local: Any
) -> None:
    given = replace(UNLISTED, state=local)
    reason = held(plan(a_worker(RUNNING, local=local), membership_order=given, **reports(**nodes)))
    assert f"leave: {WHY}; but {why}: this host does not obey" in reason
    assert "docker swarm leave" in reason
    assert "change the agents' credentials" in reason


def test_the_report_of_an_earlier_run_or_of_the_host_itself_confirms_nothing() -> None:
    known = reports(h1=WITHOUT, h2=WITHOUT)
    assert held(plan(a_worker(RUNNING), **{**known, "present": {"h1": "run-h1", "h2": "another"}}))
    wanted = intent(service(on={"h3": 1}), hosts="h1 h2:worker h3")
    assert held(plan(a_worker(RUNNING), wanted=wanted, **reports(h1=LISTED, h3=WITHOUT)))
    alone = intent(service(on={"h3": 1}), hosts="h3")
    assert "no other host of the document is a manager of its swarm" in held(
        plan(a_worker(RUNNING), wanted=alone)
    )


def listing(*names: str, local: Literal["active", "pending"] = "active") -> HostState:
    """h3, whose engine lists these hosts as the managers of its swarm."""
    managers = tuple((f"node-{each}", f"{builders.ADDRESSES[each]}:2377") for each in names)
    seen = a_worker(RUNNING, local=local)
    return replace(seen, swarm=replace(seen.swarm, managers=managers))


ONLY_H3 = intent(service(on={"h3": 1}), hosts="h1:worker h2:worker h3")
"""The document in which the host with the order is the only manager."""


@pytest.mark.parametrize("local", ["active", "pending"])
@pytest.mark.parametrize("names", [("h1",), ("h1", "h2")])
def test_without_a_declared_manager_those_that_the_engine_lists_confirm_an_order(
    names: tuple[str, ...], local: Any
) -> None:
    """They are to become workers once this host, which they lack, is a manager: it could not become one."""
    given = replace(UNLISTED, state=local)
    seen = listing(*names, local=local)
    found = plan(seen, membership_order=given, wanted=ONLY_H3)
    assert isinstance(found.steps[0], StopContainer)
    stopped = replace(seen, containers=(container(status="exited", addresses=(("net", ""),)),))
    assert isinstance(plan(stopped, membership_order=given, wanted=ONLY_H3).steps[0], LeaveSwarm)


@pytest.mark.parametrize(
    ("names", "nodes", "why"),
    [
        (("h1",), {"h1": LISTED, "h2": WITHOUT}, "h1 lists its node"),
        (("h1", "h2"), {"h1": WITHOUT, "h2": LISTED}, "h2 lists its node"),
        (("h1",), {"h2": WITHOUT}, "h1 does not report the nodes"),
        ((), {"h1": WITHOUT, "h2": WITHOUT}, "no other host of the document is a manager of its swarm"),
        (("h3",), {"h3": WITHOUT}, "no other host of the document is a manager of its swarm"),
    ],
    ids=["lists it", "not most", "reports nothing", "not listed", "itself"],
)
def test_a_host_declared_a_worker_confirms_no_order_unless_the_engine_lists_it_and_most_agree(
    names: tuple[str, ...], nodes: dict[str, tuple[NodeState, ...] | None], why: str
) -> None:
    assert why in held(plan(listing(*names), wanted=ONLY_H3, **reports(**nodes)))


def test_a_host_that_the_document_does_not_name_confirms_no_order() -> None:
    wanted = intent(service(on={"h3": 1}), hosts="h2:worker h3")
    assert "no other host of the document" in held(plan(listing("h1"), wanted=wanted, **reports(h1=WITHOUT)))


def test_where_a_declared_manager_is_in_the_swarm_no_other_host_confirms_an_order() -> None:
    wanted = intent(service(on={"h3": 1}), hosts="h1 h2:worker h3")
    known = reports(h1=LISTED, h2=WITHOUT)
    assert "h1 lists its node" in held(plan(listing("h1", "h2"), wanted=wanted, **known))
    outside = replace(status("h1"), is_manager=False, state="inactive", nodes=None)
    known["statuses"]["h1"] = outside
    assert isinstance(plan(listing("h1", "h2"), wanted=wanted, **known).steps[0], StopContainer)


def test_a_declared_manager_outside_the_swarm_need_not_confirm_an_order() -> None:
    outside = replace(status("h2"), is_manager=False, state="inactive", nodes=None)
    known = reports(h1=WITHOUT)
    known["statuses"]["h2"], known["present"]["h2"] = outside, outside.instance
    assert isinstance(plan(a_worker(), **known).steps[0], LeaveSwarm)


def test_a_manager_is_abandoned_only_if_most_managers_confirm_it_whatever_its_address() -> None:
    order = MembershipOrder(state="active", node_id="node-h3", what="force", reason="removed")
    swarm = replace(builders.member("h3"), nodes=None, address="10.0.0.9")
    wanted = intent(service(on={"h3": 1}), hosts="h1 h2 h3")
    assert "h1 lists its node" in held(
        plan(host(swarm=swarm), membership_order=order, wanted=wanted, **reports(h1=LISTED, h2=WITHOUT))
    )
    there = plan(host(swarm=swarm), membership_order=order, wanted=wanted)
    assert isinstance(there.steps[0], AbandonNode)


def test_an_engine_in_state_error_leaves_what_no_manager_lists_as_up_or_what_it_never_joined() -> None:
    failed = MembershipOrder(state="error", node_id=None, what="leave", reason="it cannot resume")
    engine = host(swarm=outside("error", "certificate expired"))
    assert held(plan(engine, membership_order=failed, **reports(h1=LISTED, h2=LISTED)))
    down = (*WITHOUT, replace(node("h3", id="earlier"), state="down"))
    assert isinstance(plan(engine, membership_order=failed, **reports(h1=down, h2=down)).steps[0], LeaveSwarm)
    known = reports(h1=LISTED, h2=LISTED, h3=None)
    known["statuses"]["h3"] = replace(known["statuses"]["h3"], joining="swarm-1")
    assert isinstance(plan(engine, membership_order=failed, **known).steps[0], LeaveSwarm)


def test_a_host_that_has_the_slot_leaves_to_change_its_bridge_only_if_the_document_asks_for_that() -> None:
    order = replace(UNLISTED, reason="method rejoin")
    slot = Disruption(host="h3", state="acquired", reason="forged", quorum=True)
    known = reports(h1=LISTED, h2=LISTED)
    wrong = (bridge_network(gateway="172.21.0.9", endpoints=(("t", "gateway_t"),)), overlay_network())
    rejoins = replace(WANTED, gwbridge=replace(WANTED.gwbridge, method="rejoin"))
    seen = a_worker(networks=wrong)
    asked = plan(seen, membership_order=order, wanted=rejoins, disruption=slot, **known)
    assert isinstance(asked.steps[0], LeaveSwarm)
    for wanted, networks, holder in (
        (WANTED, wrong, "h3"),
        (rejoins, (bridge_network(), overlay_network()), "h3"),
        (rejoins, wrong, "h2"),
    ):
        given = plan(
            a_worker(RUNNING, networks=networks),
            membership_order=order,
            wanted=wanted,
            disruption=replace(slot, host=holder),
            **known,
        )
        assert held(given)


def test_a_forged_quarantine_is_named_and_a_replica_that_is_down_starts() -> None:
    hold = MembershipOrder(state="active", node_id="node-h3", what="quarantine", reason="forged")
    found = plan(a_worker(container(status="exited")), membership_order=hold)
    assert "this engine has the declared address" in held(found)
    assert any(isinstance(each, StartContainer) for each in found.steps)
