from dataclasses import replace
from typing import Any

import pytest

from agent.diff.bridge import OURS
from agent.diff.reported import host_of
from agent.model.host_state import Attached, Difference, HostState, NetworkState, SwarmState
from agent.model.intent import GWBRIDGE, PARKING
from agent.model.leader_steps import CollectSpecs
from agent.model.observed import Observed
from agent.model.plan import Blocked, Failure, Plan
from agent.model.records import Assignment, Disruption, MembershipOrder, decode, encode
from agent.model.status import HostStatus, StepReport
from agent.model.steps import BRIDGE, PullImage, StartContainer
from agent.planner import make_plan
from agent.planner.host.bridge import phase_of
from agent.report.status import MOST_NAMES, host_status
from tests.support.builders import node
from tests.support.scenes import (
    BRIDGE_FOUND,
    FENCE,
    INTENT,
    OVERLAY,
    OVERLAY_FOUND,
    SWARM,
    cluster,
    container,
    host,
    observed,
)

START = StartContainer(name="prod-order-1", reason="exited with 1")
TOLD = StepReport(resource="container/prod-order-1", verb="start", text=str(START))
PULL = PullImage(image="somecom/order:1.0.1", reason="wanted by prod-order-1")


def status_of(
    seen: Observed,
    plan: Plan | None = None,
    *,
    in_flight: tuple[StartContainer | PullImage, ...] = (),
    failures: dict[str, Failure] | None = None,
    previous: HostStatus | None = None,
) -> HostStatus:
    plan = make_plan(seen) if plan is None else plan
    return host_status(
        seen, plan, in_flight, failures or {}, previous, "2026-01-01T00:00:00Z", "1.0", phase=phase_of(seen)
    )


def said(revision: int) -> HostStatus:
    return HostStatus(instance="run-0", at="", agent_version="0.9", revision=revision)


def test_a_host_that_is_as_its_intent_says_has_carried_it_out() -> None:
    status = status_of(observed(), previous=said(6))

    assert (status.revision, status.steps, status.blocked) == (7, (), ())
    assert (status.instance, status.agent_version, status.at) == ("run-1", "1.0", "2026-01-01T00:00:00Z")


def test_a_host_with_a_step_to_do_stays_at_the_revision_before() -> None:
    seen = observed(host=host(containers=(container(1),)))

    status = status_of(seen, previous=said(6))

    assert status.revision == 6
    assert ("container/prod-order-2", "create") in [(step.resource, step.verb) for step in status.steps]


def test_a_step_in_flight_is_not_done_yet() -> None:
    status = status_of(observed(), in_flight=(START,), previous=said(6))

    assert status.revision == 6
    assert status.steps == (TOLD,)


def test_a_pull_in_flight_is_not_done_yet() -> None:
    assert status_of(observed(), in_flight=(PULL,), previous=said(6)).revision == 6


def test_a_step_that_is_planned_and_in_flight_is_told_once() -> None:
    assert status_of(observed(), Plan((START,)), in_flight=(START,)).steps == (TOLD,)


def test_the_leaders_own_work_does_not_keep_its_host_from_being_done() -> None:
    tidying = CollectSpecs(digests=("0" * 64,), reason="no replica uses them")
    held = Blocked(resource="assignment/node-x", reason="node-x left the intent", kind="removal")

    status = status_of(observed(fence=FENCE), Plan((tidying,), (held,)), previous=said(6))

    assert status.revision == 7
    assert status.leading
    assert [(each.verb, each.leads) for each in status.steps] == [(tidying.verb, True)]


def test_the_leader_is_told_which_order_a_host_cannot_obey() -> None:
    order = MembershipOrder(state="active", node_id="n", what="leave", reason="r")
    held = Blocked(resource="swarm", reason="r; but it is in use", kind="foreign", order=order)
    status = decode(HostStatus, encode(status_of(observed(), Plan((), (held,)))))

    assert [each.order for each in status.blocked] == [order]


def test_a_wrong_bridge_that_is_left_alone_keeps_the_host_from_being_done() -> None:
    held = Blocked(resource=BRIDGE, reason="subnet differs", kind="foreign")

    assert status_of(observed(), Plan((), (held,)), previous=said(6)).revision == 6


def test_a_wrong_overlay_is_the_leaders_business() -> None:
    held = Blocked(resource=f"network/{OVERLAY}", reason="subnet differs", kind="foreign")

    assert status_of(observed(), Plan((), (held,))).revision == 7


def test_a_host_waits_for_the_assignment_of_the_accepted_revision() -> None:
    old = Assignment(revision=6, project="prod", replicas=cluster().assignment.replicas)  # type: ignore[union-attr]

    assert status_of(observed(cluster=cluster(assignment=old)), previous=said(6)).revision == 6


def test_an_intent_key_without_an_accepted_document_changes_no_revision() -> None:
    assert status_of(observed(cluster=cluster(accepted=None)), previous=said(6)).revision == 6


def test_a_new_etcd_starts_at_its_own_revisions() -> None:
    seen = observed(host=host(containers=(container(1),)))

    assert status_of(seen, previous=said(4000)).revision == 0


def test_while_dockerd_is_away_the_engines_part_stays_as_last_seen() -> None:
    before = status_of(observed())

    status = status_of(observed(host=None, engine_error="dockerd cannot be read: refused"), previous=before)

    assert (status.engine_up, status.state) == (False, "unknown")
    assert status.engine_error == "dockerd cannot be read: refused"
    assert (status.replicas, status.node_id, status.is_manager) == (before.replicas, "node1", True)
    assert status.revision == 7


def test_dockers_own_words_stand_in_the_status_with_the_number_of_tries() -> None:
    failure = Failure(error="port is already allocated", attempts=3, retry_at=1234.5, task="start")

    (blocked,) = status_of(observed(), failures={"container/prod-order-1": failure}).blocked

    assert blocked.resource == "container/prod-order-1"
    assert blocked.reason == "port is already allocated (3 attempts, will retry)"
    assert blocked.kind == "error"


def test_the_wait_before_the_next_try_does_not_change_the_status() -> None:
    failures = [Failure(error="no", attempts=2, retry_at=at, task="start") for at in (10.0, 11.0)]

    one, other = (status_of(observed(), failures={"container/x": each}) for each in failures)

    assert one == other


def test_a_plan_can_be_made_from_the_status_as_from_the_host() -> None:
    wrong = Difference(field="image", wanted="a", found="b", repair="replace")
    seen = observed(
        host=host(
            containers=(container(1, differences=(wrong,)), container(2, status="paused")),
            foreign_names=(("prod-billing-1", "id-x"),),
            volumes=frozenset({"data"}),
        )
    )
    status = decode(HostStatus, encode(status_of(seen)))

    again = host_of(status)

    assert again is not None
    assert str(make_plan(replace(seen, host=again))) == str(make_plan(seen))
    assert again.swarm == replace(SWARM, nodes=())  # this host is not the leader


def test_names_of_other_peoples_containers_stay_out_of_etcd() -> None:
    seen = observed(host=host(foreign_names=(("prod-x-1", "id-1"), ("somebody-elses", "id-2"))))

    assert status_of(seen).foreign_names == ("prod-x-1",)


def test_names_that_others_choose_are_bounded_and_the_rest_is_counted() -> None:
    many = tuple(f"{number:04}" for number in range(MOST_NAMES + 20))
    wanted = "registry/app:zzz"
    theirs = tuple(
        NetworkState(id=f"n{name}", name=name, driver="bridge", scope="local", subnet=None, gateway=None)
        for name in many
    )
    seen = host(
        images=frozenset({wanted, *(f"registry/app:{name}" for name in many)}),
        image_ids=((wanted, "sha256:a"),),
        foreign_names=tuple((f"prod-{name}", name) for name in many),
    )
    seen = replace(seen, networks=(*theirs, *seen.networks))

    found = status_of(observed(host=seen))

    assert found.cut == ("20 other images", "20 networks of others", "20 foreign names")
    assert wanted in found.images
    assert {each.name for each in host().networks} <= {each.name for each in found.networks}
    assert len(found.foreign_names) == MOST_NAMES
    assert status_of(observed(), previous=found).cut == ()


GUEST = Attached(id="c" * 64, name="theirs", networks=(OVERLAY,), ports=("80/tcp",))
ENDPOINTS = ((GUEST.id, "gateway_c"),)
LEFT_OVER = NetworkState(
    id="p",
    name=PARKING,
    driver="bridge",
    scope="local",
    subnet=None,
    gateway=None,
    labels=(*OURS, ("a", "b")),
)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, False),
        ({"gateway": "172.21.0.2"}, True),
        ({"endpoints": ()}, True),
    ],
    ids=["as agreed", "another gateway", "a container without a gateway"],
)
def test_more_than_whom_a_change_of_the_bridge_touches_is_told_only_while_it_is_not_as_agreed(
    change: dict[str, Any], told: bool
) -> None:
    bridge = replace(BRIDGE_FOUND, **{"endpoints": ENDPOINTS, **change})
    routes = ((INTENT.gwbridge.subnet, GWBRIDGE),)
    aside = Attached(id="a" * 64, name="aside", networks=("bridge",))
    seen = host(networks=(bridge, OVERLAY_FOUND), routes=routes, attached=(aside, GUEST))

    status = status_of(observed(host=seen))

    assert status.routes == ((("172.21.0.0/20", GWBRIDGE),) if told else ())
    assert status.networks[0].endpoints == (bridge.endpoints if told else ())
    # Who is on an overlay is told always: a plan for another bridge names them.
    assert [each.name for each in status.attached] == (["aside", "theirs"] if told else ["theirs"])


def test_a_container_of_others_that_rests_is_told_also_where_its_overlay_is_not_listed() -> None:
    """On a worker whose last running container has left it: recreated, the overlay would be lost to that one."""
    seen = host(networks=(BRIDGE_FOUND,), attached=(replace(GUEST, running=False),))

    assert [each.name for each in status_of(observed(host=seen)).attached] == ["theirs"]


@pytest.mark.parametrize(
    ("seen", "disruption", "phase"),
    [
        (host(), None, "right"),
        (host(swarm=SwarmState(local="inactive")), None, ""),
        (host(networks=(replace(BRIDGE_FOUND, gateway="172.21.0.2"), OVERLAY_FOUND)), None, "waiting"),
        (host(networks=(replace(BRIDGE_FOUND, gateway="172.21.0.2"), OVERLAY_FOUND)), "node-b", "waiting"),
        (host(networks=(replace(BRIDGE_FOUND, gateway="172.21.0.2"), OVERLAY_FOUND)), "node-a", "moving"),
        (host(bridge_link=None), None, "moving"),
        (host(networks=(BRIDGE_FOUND, OVERLAY_FOUND, LEFT_OVER)), None, "moving"),
        (
            host(networks=(replace(BRIDGE_FOUND, gateway="172.21.0.2"), OVERLAY_FOUND), live_restore=True),
            None,
            "held",
        ),
    ],
)
def test_the_leader_is_told_where_a_host_stands_with_its_bridge_and_by_which_intent(
    seen: HostState, disruption: str | None, phase: str
) -> None:
    granted = Disruption(host=disruption, state="acquired", reason="r", quorum=True) if disruption else None

    bridge = status_of(observed(host=seen, cluster=cluster(disruption=granted))).bridge

    assert (bridge.phase, bridge.revision) == (phase, 7)


def test_of_the_labels_of_networks_only_the_one_that_makes_it_ours_is_told() -> None:
    status = status_of(observed(host=host(networks=(BRIDGE_FOUND, OVERLAY_FOUND, LEFT_OVER))))

    assert {each.name: each.labels for each in status.networks if each.labels} == {PARKING: OURS}


def test_no_value_of_an_environment_stands_in_a_status() -> None:
    seen = observed(host=host(containers=()))

    assert b"hunter2" not in encode(status_of(seen))


def test_a_node_whose_version_alone_is_another_leaves_the_status_as_it_is() -> None:
    """Every change of a node raises it, and the status would wake every agent."""

    def told(version: int) -> bytes:
        swarm = replace(host().swarm, nodes=(replace(node("h1"), version=version),))
        return encode(status_of(observed(host=replace(host(), swarm=swarm))))

    assert told(1) == told(2)


# ---- the hosts that the leader does not reach


EARLIER, NOW = "2025-12-31T23:50:00Z", "2026-01-01T00:00:00Z"
LED = HostStatus(instance="run-1", at=EARLIER, agent_version="1.0", leading=True)
GONE = (("node-b", EARLIER),)


def unreachable(previous: HostStatus | None = None, *, leads: bool = True, **etcd: Any) -> dict[str, str]:
    """What node-a reports while node-b has no presence, if `etcd` does not say otherwise."""
    found = cluster(**{"present": {"node-a": "run-1"}, **etcd})
    seen = observed(fence=FENCE if leads else None, cluster=found)
    return dict(status_of(seen, previous=previous).unreachable)


def test_the_leader_dates_a_declared_host_without_presence() -> None:
    assert unreachable()["node-b"] == NOW
    assert unreachable(replace(LED, unreachable=GONE))["node-b"] == EARLIER
    assert unreachable(leads=False) == {}


def test_a_host_that_returns_is_removed_and_dated_anew_the_next_time() -> None:
    there = {"node-a": "run-1", "node-b": "run-2"}
    assert "node-b" not in unreachable(replace(LED, unreachable=GONE), present=there)
    assert unreachable(replace(LED, unreachable=()))["node-b"] == NOW


def test_a_new_leader_takes_over_the_times_of_the_last_one_only() -> None:
    older = replace(LED, instance="old", at="2025-12-01T00:00:00Z", unreachable=(("node-b", "long ago"),))
    last = replace(LED, instance="last", unreachable=GONE)
    statuses = {"node-x": older, "node-y": last}
    assert unreachable(statuses=statuses)["node-b"] == EARLIER
    assert unreachable(statuses={"node-x": older, "node-y": replace(last, unreachable=())})["node-b"] == NOW
    # An agent that led in an earlier run does not know who has led since.
    assert unreachable(replace(older, instance="run-0"), statuses=statuses)["node-b"] == EARLIER


def test_an_agent_that_was_stopped_is_away_since_its_last_report() -> None:
    stopped = HostStatus(instance="run-2", at=EARLIER, agent_version="1.0", stopped=True)
    assert unreachable(statuses={"node-b": stopped})["node-b"] == EARLIER
