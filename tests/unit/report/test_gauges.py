from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any, get_args

import pytest

from agent.model.host_state import SwarmState
from agent.model.intent import GWBRIDGE
from agent.model.observed import Observed
from agent.model.plan import Blocked, BlockedKind, Plan
from agent.model.records import SwarmRecord
from agent.model.status import Waiting
from agent.model.steps import StartContainer
from agent.model.store import Upkeep
from agent.report.definitions import Series
from agent.report.gauges import NOTHING_YET, gauges
from tests.support.scenes import (
    BRIDGE_FOUND,
    FENCE,
    OVERLAY,
    OVERLAY_FOUND,
    SWARM,
    cluster,
    container,
    host,
    intent,
    node,
    observed,
)

START = StartContainer(name="prod-order-1", reason="exited with 1")


def shown(seen: Observed, plan: Plan | None = None, **more: Any) -> dict[str, Series]:
    return gauges(replace(NOTHING_YET, observed=seen, plan=plan or Plan(), **more), {})


def one(series: Series) -> str | None:
    """The label value of the one series that is 1, of those that exclude each other."""
    chosen = [labels[0] for labels, value in series.items() if value == 1]
    assert len(chosen) <= 1
    return chosen[0] if chosen else None


def test_before_the_first_pass_every_finite_series_is_there_at_zero() -> None:
    shown = gauges(NOTHING_YET, {})

    assert set(shown["blocked"]) == {(kind,) for kind in get_args(BlockedKind)}
    assert set(shown["swarm_state"]) == {("inactive",), ("pending",), ("active",), ("locked",), ("error",)}
    for name in ("blocked", "mode", "swarm_state", "swarm_nodes", "actions_pending"):
        assert set(shown[name].values()) == {0}, name
    assert shown["intent_valid"] == {(): 1}


def test_the_accepted_mode_is_one_of_three() -> None:
    assert one(shown(observed(cluster=cluster(accepted=intent("paused"))))["mode"]) == "paused"


def test_a_manager_shows_its_swarm() -> None:
    nodes = (node(1), node(2, reachable=False, state="down"), node(3), node(4, role="worker", reachable=None))
    seen = shown(observed(host=host(swarm=replace(SWARM, nodes=nodes))))

    assert one(seen["swarm_state"]) == "active"
    assert one(seen["swarm_role"]) == "manager"
    assert seen["swarm_control_available"] == {(): 1}
    assert seen["swarm_managers_declared"] == {(): 3}
    assert seen["swarm_managers_reachable"] == {(): 2}
    assert seen["swarm_nodes"] == {("ready",): 3, ("down",): 1, ("unknown",): 0, ("disconnected",): 0}


@pytest.mark.parametrize(
    ("reached", "of", "quorum"), [(3, 3, 1), (2, 3, 1), (1, 3, 0), (1, 2, 0), (2, 4, 0), (3, 4, 1), (1, 1, 1)]
)
def test_quorum_is_more_than_half_of_the_managers(reached: int, of: int, quorum: int) -> None:
    nodes = tuple(node(number, reachable=number < reached) for number in range(of))

    assert shown(observed(host=host(swarm=replace(SWARM, nodes=nodes))))["swarm_quorum"] == {(): quorum}


def test_a_manager_whose_swarm_does_not_answer_has_no_quorum() -> None:
    seen = shown(observed(host=host(swarm=replace(SWARM, nodes=None))))

    assert one(seen["swarm_role"]) == "manager"
    assert (seen["swarm_quorum"], seen["swarm_control_available"]) == ({(): 0}, {(): 0})


def test_an_engine_that_is_away_has_neither_state_nor_role() -> None:
    seen = shown(observed(host=None))

    assert (one(seen["swarm_state"]), one(seen["swarm_role"]), seen["docker_up"]) == (None, None, {(): 0})


def test_an_engine_outside_a_swarm_has_no_role() -> None:
    seen = shown(observed(host=host(swarm=SwarmState(local="inactive"))))

    assert (one(seen["swarm_state"]), one(seen["swarm_role"])) == ("inactive", None)


def test_a_stale_view_of_etcd_is_not_up_but_still_shown() -> None:
    seen = shown(observed(stale=True))

    assert seen["store_up"] == {(): 0}
    assert seen["intent_revision"][("accepted",)] == 7


def test_where_the_assignment_is_from_and_how_old_it_is_is_shown() -> None:
    seen = shown(observed(stale=True, source="disk", seen_at=17.0, state_fault="no space"))
    assert one(seen["assignment_source"]) == "disk"
    assert seen["assignment_seen_timestamp_seconds"] == {(): 17}
    assert seen["state_kept"] == {(): 0}

    assert one(shown(observed())["assignment_source"]) == "etcd"
    assert one(gauges(NOTHING_YET, {})["assignment_source"]) is None


def test_the_holder_of_the_lock_leads() -> None:
    assert shown(observed(fence=FENCE))["leader"] == {(): 1}
    assert shown(observed())["leader"] == {(): 0}


def test_resources_that_wait_are_counted_and_are_not_blocked() -> None:
    waits = Waiting(resource="rollout/order", reason="order-1 is in its monitor window")
    seen = shown(observed(), Plan(waiting=(waits, waits, replace(waits, resource="drain/node-b"))))

    assert seen["waiting"] == {(): 2}
    assert set(seen["blocked"].values()) == {0}


def test_steps_planned_and_in_flight_are_pending_once() -> None:
    pending = shown(observed(), Plan((START,)), in_flight=(START,))["actions_pending"]

    assert pending[("container",)] == 1
    assert pending[("swarm",)] == 0


def test_reasons_for_being_blocked_are_shown_by_kind() -> None:
    held = Blocked(resource="swarm", reason="why", kind="locked")
    blocked = shown(observed(), Plan((), (held, held)))["blocked"]

    assert one(blocked) == "locked"


def test_networks_are_shown_as_found() -> None:
    other = replace(BRIDGE_FOUND, name="somebody-elses")
    odd = replace(OVERLAY_FOUND, subnet=None, gateway=None)
    seen = shown(observed(host=host(networks=(BRIDGE_FOUND, odd, other))))

    assert seen["network_info"] == {
        (GWBRIDGE, "172.21.0.0/20", "172.21.0.1"): 1,
        (OVERLAY, "", ""): 1,
    }


def test_a_wrong_bridge_is_not_ok() -> None:
    wrong = replace(BRIDGE_FOUND, subnet=IPv4Network("172.18.0.0/16"))

    assert shown(observed())["gwbridge_ok"] == {(): 1}
    assert shown(observed(host=host(networks=(wrong, OVERLAY_FOUND))))["gwbridge_ok"] == {(): 0}


@pytest.mark.parametrize(
    ("networks", "recorded", "ok"),
    [
        ((BRIDGE_FOUND, OVERLAY_FOUND), (), 1),
        ((BRIDGE_FOUND,), (OVERLAY,), 1),
        ((BRIDGE_FOUND,), (), 0),
        ((BRIDGE_FOUND, replace(OVERLAY_FOUND, driver="")), (OVERLAY,), 0),
    ],
)
def test_an_overlay_is_there_when_it_is_seen_or_the_leader_says_so(
    networks: Any, recorded: tuple[str, ...], ok: int
) -> None:
    record = SwarmRecord(claimed_by="node-b", swarm_id="swarm1", networks=recorded)
    seen = observed(host=host(networks=networks), cluster=cluster(record=record))

    assert shown(seen)["overlay_ok"] == {(): ok}


def test_an_overlay_reaches_nobody_outside_the_swarm() -> None:
    assert shown(observed(host=host(swarm=SwarmState(local="inactive"))))["overlay_ok"] == {(): 0}


def test_replicas_are_counted_by_service() -> None:
    seen = shown(
        observed(host=host(containers=(container(1, health="unhealthy"), container(2, status="exited"))))
    )

    assert seen["service_replicas_desired"] == {("order",): 2}
    assert seen["service_replicas_running"] == {("order",): 1}
    assert seen["service_replicas_healthy"] == {("order",): 0}


@pytest.mark.parametrize(("health", "healthy"), [("", 2), ("healthy", 2), ("starting", 1), ("unhealthy", 1)])
def test_a_replica_without_a_check_counts_as_healthy(health: str, healthy: int) -> None:
    seen = shown(observed(host=host(containers=(container(1, health=health), container(2)))))

    assert seen["service_replicas_healthy"] == {("order",): healthy}


def test_a_replica_that_is_not_assigned_here_makes_up_for_none() -> None:
    seen = shown(observed(host=host(containers=(container(1), container(9)))))

    assert seen["service_replicas_running"] == {("order",): 1}


def test_how_many_replicas_run_is_not_claimed_while_dockerd_is_away() -> None:
    seen = shown(observed(host=None))

    assert seen["service_replicas_desired"] == {("order",): 2}
    assert "service_replicas_running" not in seen


def test_the_database_of_etcd_is_shown_as_far_as_it_is_known() -> None:
    seen = replace(observed(), upkeep=Upkeep(size=3_000, in_use=2_000))
    assert shown(seen)["store_database_bytes"] == {("size",): 3_000, ("in_use",): 2_000}
    told = replace(observed(), upkeep=Upkeep(quota=9_000))
    assert shown(told)["store_database_bytes"] == {("quota",): 9_000}
    assert shown(observed())["store_database_bytes"] == {}
