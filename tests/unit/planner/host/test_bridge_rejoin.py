"""docker_gwbridge changed by leaving and coming back: the order that loses nothing, and what holds it."""

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from agent.model.host_state import Attached, HostState, SwarmState
from agent.model.intent import Intent
from agent.model.observed import Observed
from agent.model.records import Disruption, MembershipOrder
from agent.model.status import BridgeReport, HostStatus
from agent.model.steps import LeaveSwarm, StopContainer
from agent.planner import make_plan
from agent.planner.leader.disruption import role_for_now
from agent.planner.leader.eligibility import why_ineligible
from tests.support import builders
from tests.support.builders import (
    BRIDGE,
    bridge_network,
    cluster,
    container,
    node,
    observed,
    overlay_network,
    service,
)

WRONG = bridge_network(id="old", subnet=IPv4Network("172.18.0.0/16"), gateway="172.18.0.1")
REPLICA = container(addresses=(("net", "10.10.0.5"),))
DISRUPTION = Disruption(host="h1", state="acquired", reason="r", quorum=True)


def wanted(hosts: str = "h1 h2 h3") -> Intent:
    return builders.intent(service(), hosts=hosts, gwbridge=replace(BRIDGE, method="rejoin"))


def running(swarm: SwarmState, **more: Any) -> HostState:
    """A host with a bridge that is not as declared and a replica on the overlay."""
    attached = (Attached(id=REPLICA.id, name=REPLICA.name, networks=("net",)),)
    networks = (WRONG, overlay_network())
    defaults = {"swarm": swarm, "networks": networks, "attached": attached, "containers": (REPLICA,)}
    return replace(builders.host(), **{**defaults, **more})


def scene(
    swarm: SwarmState, disruption: Disruption | None = DISRUPTION, hosts: str = "h1 h2 h3", **more: Any
) -> Observed:
    """What h1 sees while it holds the disruption slot."""
    return observed(
        cluster(wanted(hosts), disruption=disruption, disruption_revision=9), running(swarm, **more)
    )


def ruled(seen: Observed) -> Observed:
    """The leader lets it leave."""
    assert seen.cluster is not None
    membership_order = MembershipOrder(
        state="active", node_id="node-h1", what="leave", reason="method rejoin"
    )
    return replace(seen, cluster=replace(seen.cluster, membership_order=membership_order))


def test_a_manager_waits_until_it_is_demoted_and_nothing_of_it_stops_before() -> None:
    plan = make_plan(scene(builders.member()))

    assert not plan.steps
    assert "the leader demotes this host before it leaves" in str(plan)


def test_a_worker_waits_for_the_leaders_membership_order_and_goes_on_running() -> None:
    plan = make_plan(scene(builders.worker()))

    assert not plan.steps
    assert "waits for the leader's order to leave" in str(plan)


def test_with_the_membership_order_it_stops_its_replicas_first() -> None:
    (step,) = make_plan(ruled(scene(builders.worker()))).steps

    assert isinstance(step, StopContainer)
    assert step.name == "prod-order-1"


def test_and_leaves_when_none_of_them_runs_any_more() -> None:
    stopped = builders.container(status="exited", addresses=(("net", ""),))
    (step,) = make_plan(ruled(scene(builders.worker(), containers=(stopped,), attached=()))).steps

    assert isinstance(step, LeaveSwarm)


def test_without_the_disruption_slot_nothing_is_done() -> None:
    for disruption in (None, replace(DISRUPTION, host="h2"), replace(DISRUPTION, state="released")):
        assert not make_plan(scene(builders.worker(), disruption)).steps


def test_a_container_of_others_on_an_overlay_blocks_it_and_the_disruption_slot_is_released() -> None:
    attached = (Attached(id="x", name="theirs", networks=("net",)),)
    plan = make_plan(scene(builders.worker(), attached=attached))

    assert [step.verb for step in plan.steps if step.kind == "gwbridge"] == ["release"]
    assert "theirs would lose its networks if this host left the swarm" in str(plan)
    assert not any(isinstance(step, StopContainer | LeaveSwarm) for step in plan.steps)


def test_without_etcd_no_replica_is_stopped_and_no_swarm_is_left() -> None:
    plan = make_plan(replace(ruled(scene(builders.worker())), stale=True))

    assert not any(isinstance(step, StopContainer | LeaveSwarm) for step in plan.steps)


# ---- the leader's side


def told(name: str, phase: Any = "waiting", **more: Any) -> HostStatus:
    return builders.status(name, bridge=BridgeReport(phase=phase, revision=builders.REVISION), **more)


def role(name: str, hosts: str, phase: Any = "waiting", disruption: Disruption | None = DISRUPTION) -> str:
    """The role that a host shall have while h1 has the disruption slot."""
    intent = wanted(hosts)
    names = [each.name for each in intent.hosts]
    state = cluster(
        intent,
        disruption=disruption,
        statuses={each: told(each, phase) for each in names},
        present={each: f"run-{each}" for each in names},
    )
    declared = intent.host(name)
    assert declared is not None
    return role_for_now(declared, intent, state)


def test_the_host_with_the_disruption_slot_becomes_a_worker_until_its_bridge_is_as_agreed() -> None:
    assert role("h1", "h1 h2 h3") == "worker"
    assert role("h1", "h1 h2 h3", "right") == "manager"
    assert role("h2", "h1 h2 h3") == "manager"
    assert role("h1", "h1 h2 h3", disruption=replace(DISRUPTION, state="granted")) == "manager"


def test_a_host_whose_bridge_is_held_or_only_has_something_left_over_is_not_to_leave() -> None:
    assert role("h1", "h1 h2 h3", "held") == "manager"
    assert role("h1", "h1 h2 h3", "moving") == "manager"


def test_what_comes_between_the_membership_order_and_the_leave_keeps_the_host_in_and_releases_the_disruption_slot() -> (
    None
):
    route = ((BRIDGE.subnet, "eth1"),)
    plan = make_plan(ruled(scene(builders.worker(), routes=route)))

    assert [step.verb for step in plan.steps] == ["release"]
    assert "could not join again: 172.21.0.0/20 overlaps the route" in str(plan)


def test_another_stands_in_for_the_only_manager_as_long_as_the_disruption_slot_lasts() -> None:
    hosts = "h1 h2:worker h3:worker"

    assert [role(name, hosts) for name in ("h1", "h2", "h3")] == ["worker", "manager", "worker"]
    assert role("h2", hosts, "right") == "manager"
    assert role("h2", hosts, disruption=None) == "worker"


def test_the_leader_hands_over_before_its_own_disruption_slot_and_only_to_somebody_who_can() -> None:
    both = (node("h1", leader=True), node("h2"))
    alone = observed(cluster(wanted(), disruption=DISRUPTION), running(builders.member(of=both)), leads=True)
    other = cluster(
        wanted(), disruption=DISRUPTION, statuses={"h2": told("h2")}, present={"h1": "run-h1", "h2": "run-h2"}
    )

    assert alone.cluster is not None
    assert why_ineligible(alone, alone.cluster) == ""
    assert "the disruption slot to leave" not in why_ineligible(
        observed(other, alone.host), cluster(wanted())
    )
    assert (
        why_ineligible(replace(alone, cluster=other), other)
        == "this host holds the disruption slot and rejoins the swarm"
    )
