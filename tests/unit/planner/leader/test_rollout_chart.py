"""From one spec to another: what the leader decides, for a service of three replicas on three hosts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent.admission import encode
from agent.admission.policy import Policy, Rollback
from agent.model.intent import FailureAction, Intent, Update
from agent.model.leader_steps import PublishAssignment, PublishRollout
from agent.model.observed import ReplicaTimers
from agent.model.records import Assignment, Replica, Rollout
from agent.model.spec import Attachment, ContainerSpec, Restart, spec_hash
from agent.model.status import BlockedReport, HostStatus, ReplicaReport, Waiting
from agent.planner.leader.assignments import assign, plan_assignments
from agent.planner.leader.rollout import UNREACHABLE_S, plan_rollouts
from tests.support.builders import Seen, cluster, intent, observed, order, service, status, told

OLD, NEW, NEWEST = order("1.0.0"), order("1.0.1"), order("1.0.2")
HOSTS = "h1 h2 h3"
LONG = 1000.0
MOVING = Rollout(before=spec_hash(OLD), to=spec_hash(NEW))


def wanted(spec: ContainerSpec = NEW, **update: Any) -> Intent:
    """The intent with one replica on each host, rolled out like that."""
    on = dict.fromkeys(HOSTS.split(), 1)
    return intent(replace(service(on=on, spec=spec), update=Update(**update)), hosts=HOSTS, revision=8)


def assigned(*specs: ContainerSpec, asked: ContainerSpec | None = None) -> dict[str, Assignment]:
    """Replica 1 on h1, 2 on h2, 3 on h3, each with its spec, by the intent that has `asked` for one."""
    return {
        f"h{slot}": Assignment(
            revision=8,
            pending=() if spec == asked else ("order",),
            project="prod",
            replicas=(Replica(service="order", slot=slot, spec=spec_hash(spec)),),
        )
        for slot, spec in enumerate(specs, start=1)
    }


def report(slot: int, spec: ContainerSpec, **more: Any) -> ReplicaReport:
    name = f"prod-order-{slot}"
    said = ReplicaReport(
        service="order", slot=slot, spec=spec_hash(spec), id=f"id-{slot}", name=name, status="running"
    )
    return replace(said, **more)


def seen(
    asked: Intent,
    *specs: ContainerSpec,
    record: Rollout | None = MOVING,
    says: Mapping[int, Any] | None = None,
    for_s: Mapping[int, float] | None = None,
    ended: frozenset[int] = frozenset(),
    away: frozenset[str] = frozenset(),
    **more: Any,
) -> Seen:
    """Every replica runs as it is assigned, for long, but for what is said of it by number."""
    statuses: dict[str, HostStatus] = {}
    for slot, spec in enumerate(specs, start=1):
        said = (says or {}).get(slot, {})
        replicas = () if said is None else (report(slot, **{"spec": spec, **said}),)
        statuses[f"h{slot}"] = status(f"h{slot}", replicas=replicas)
    mine = assigned(*specs, asked=asked.services[0].spec)
    state = cluster(
        asked,
        assignments={name: replace(each, asks=asked.asks_of(name, {"order"})) for name, each in mine.items()},
        statuses=statuses,
        present={name: f"run-{name}" for name in statuses if name not in away},
        stored_specs=frozenset(map(spec_hash, (OLD, NEW))),
        specs={spec_hash(each): each for each in (OLD, NEW, NEWEST)},
        rollouts={"order": record} if record else {},
    )
    watches = {
        (f"h{slot}", "order", slot): ReplicaTimers(
            steady_s=(for_s or {}).get(slot, LONG), ended=slot in ended
        )
        for slot in range(1, len(specs) + 1)
    }
    return observed(replace(state, **more), None, leads=True, watches=watches)


def lines(view: Seen) -> list[str]:
    assert view.cluster is not None
    assert view.cluster.accepted is not None
    decisions = plan_rollouts(view.cluster.accepted, view)
    return told(plan_assignments(view.cluster.accepted, view.cluster, decisions))


def decision_for(view: Seen) -> Any:
    assert view.cluster is not None
    assert view.cluster.accepted is not None
    return plan_rollouts(view.cluster.accepted, view)["order"]


# ---- one after the other


def test_a_rollout_is_noted_in_etcd_before_the_first_replica_is_moved() -> None:
    assert lines(seen(wanted(), OLD, OLD, OLD, record=None)) == [
        "publish rollout/order: order:1.0.0 -> order:1.0.1"
    ]


def test_then_one_replica_is_moved_and_no_other() -> None:
    assert lines(seen(wanted(), OLD, OLD, OLD)) == [
        "publish assignment/h1: revision 8: 1 changed (order-1 is moved)"
    ]


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ({"spec": OLD}, "order-1 on h1: it is being replaced"),
        (None, "order-1 on h1: it is being replaced"),
        ({"status": "created"}, "order-1 on h1: it is created"),
        ({"health": "starting"}, "order-1 on h1: it is not healthy yet"),
    ],
    ids=["still the old one", "gone in between", "made", "its check runs"],
)
def test_the_next_waits_while_the_last_one_is(said: dict[str, Any] | None, waits: str) -> None:
    assert lines(seen(wanted(), NEW, OLD, OLD, says={1: said})) == [
        f"waiting rollout/order: 1 of 3 replicas moved to order:1.0.1; {waits}"
    ]


def test_the_next_waits_until_the_last_one_is_well_for_the_time_of_monitor() -> None:
    early = seen(wanted(monitor_s=30.0), NEW, OLD, OLD, for_s={1: 29.0})
    assert lines(early) == [
        "waiting rollout/order: 1 of 3 replicas moved to order:1.0.1; order-1 on h1 must stay healthy for 30 s"
    ]
    assert decision_for(early).again_s == 1.0

    assert lines(seen(wanted(monitor_s=30.0), NEW, OLD, OLD, for_s={1: 30.0})) == [
        "publish assignment/h2: revision 8: 1 changed (order-2 is moved)"
    ]


def test_a_delay_that_is_longer_than_monitor_is_waited_for_but_not_after_the_last_one() -> None:
    asked = wanted(monitor_s=5.0, delay_s=60.0)
    assert decision_for(seen(asked, NEW, OLD, OLD, for_s={1: 6.0})).again_s == 54.0
    assert lines(seen(asked, NEW, NEW, NEW, for_s={3: 6.0}))[0].startswith("withdraw rollout/order")


def test_as_many_as_parallelism_says_are_moved_at_a_time_and_all_of_them_with_zero() -> None:
    assert decision_for(seen(wanted(parallelism=2), OLD, OLD, OLD)).moves == (("h1", 1), ("h2", 2))
    assert decision_for(seen(wanted(parallelism=2), NEW, OLD, OLD, for_s={1: 0.0})).moves == (("h2", 2),)
    assert len(decision_for(seen(wanted(parallelism=0), OLD, OLD, OLD)).moves) == 3


def test_replicas_that_do_no_work_are_moved_at_once_and_a_sick_one_before_the_others() -> None:
    down = seen(wanted(), OLD, OLD, OLD, says={2: {"status": "exited"}, 3: {"status": "restarting"}})
    assert decision_for(down).moves == (("h2", 2), ("h3", 3))

    sick = seen(wanted(), OLD, OLD, OLD, says={3: {"health": "unhealthy"}})
    assert decision_for(sick).moves == (("h3", 3),)


def test_a_new_replica_has_the_new_spec_at_once_and_the_old_ones_wait_for_it() -> None:
    view = seen(wanted(), OLD, OLD, record=replace(MOVING))
    assert view.cluster is not None
    made = assign(wanted(), view.cluster.assignments, decisions={"order": decision_for(view)})
    assert [replica.spec for replica in made["h3"].replicas] == [spec_hash(NEW)]


def test_when_all_are_moved_and_well_the_record_goes_and_the_revision_is_carried_out() -> None:
    assert lines(seen(wanted(), NEW, NEW, NEW)) == [
        "withdraw rollout/order: all replicas have order:1.0.1",
    ]


def test_a_host_with_a_replica_that_is_to_be_moved_has_not_carried_the_intent_out() -> None:
    view = seen(wanted(), NEW, OLD, OLD)
    assert view.cluster is not None
    made = assign(wanted(), view.cluster.assignments, decisions={"order": decision_for(view)})
    assert {name: each.pending for name, each in made.items()} == {"h1": (), "h2": (), "h3": ("order",)}


def test_a_leader_that_is_new_watches_the_moved_ones_again_and_goes_on() -> None:
    assert decision_for(seen(wanted(), NEW, OLD, OLD, for_s={1: 0.0, 2: 0.0, 3: 0.0})).moves == ()
    assert decision_for(seen(wanted(), NEW, OLD, OLD, for_s={1: 5.0, 2: 5.0, 3: 5.0})).moves == (("h2", 2),)


def test_the_specs_of_a_rollout_are_not_collected() -> None:
    stored = frozenset(map(spec_hash, (OLD, NEW, NEWEST)))
    view = seen(wanted(), NEW, NEW, NEW, for_s={3: 0.0}, stored_specs=stored)
    assert view.cluster is not None
    plan = plan_assignments(wanted(), view.cluster, {"order": decision_for(view)})
    assert [getattr(step, "digests", ()) for step in plan.steps] == [(spec_hash(NEWEST),)]


def test_nothing_is_moved_while_the_record_cannot_be_read() -> None:
    key = "/swarmkeeper/prod/rollouts/order"
    assert lines(seen(wanted(), NEW, OLD, OLD, record=None, unreadable=((key, "not a Rollout"),))) == []


# ---- hosts that are away


def test_a_replica_whose_host_is_away_is_passed_over_and_follows_when_it_is_back() -> None:
    assert decision_for(seen(wanted(), OLD, OLD, OLD, away=frozenset({"h1"}))).moves == (("h2", 2),)

    left = seen(wanted(), OLD, NEW, NEW, away=frozenset({"h1"}))
    assert decision_for(left).waits == "order-1 waits until h1 is back: unreachable"
    assert decision_for(seen(wanted(), OLD, NEW, NEW)).moves == (("h1", 1),)


def test_a_replica_whose_host_went_away_while_it_was_moved_holds_its_place_for_a_while() -> None:
    gone = frozenset({"h1"})
    early = seen(wanted(), NEW, OLD, OLD, away=gone, for_s={1: UNREACHABLE_S - 1.0})
    assert decision_for(early).moves == ()
    assert decision_for(early).again_s == 1.0
    assert decision_for(seen(wanted(), NEW, OLD, OLD, away=gone, for_s={1: UNREACHABLE_S})).moves == (
        ("h2", 2),
    )


def test_a_host_whose_dockerd_is_away_counts_as_away() -> None:
    view = seen(wanted(), OLD, NEW, NEW)
    assert view.cluster is not None
    statuses = {**view.cluster.statuses, "h1": replace(view.cluster.statuses["h1"], engine_up=False)}
    down = replace(view, cluster=replace(view.cluster, statuses=statuses))
    assert decision_for(down).waits == "order-1 waits until h1 is back: dockerd does not answer"


def test_what_keeps_a_host_from_making_the_new_replica_is_said_and_is_no_failure() -> None:
    view = seen(wanted(failure_action="rollback"), NEW, OLD, OLD, says={1: {"spec": OLD}})
    assert view.cluster is not None
    held = (BlockedReport(resource="image/order:1.0.1", reason="manifest unknown", kind="error"),)
    statuses = {**view.cluster.statuses, "h1": replace(view.cluster.statuses["h1"], blocked=held)}
    told_so = replace(view, cluster=replace(view.cluster, statuses=statuses))
    assert decision_for(told_so).waits == "order-1 on h1: manifest unknown"
    assert decision_for(told_so).record == MOVING


# ---- what fails

BAD = {"status": "restarting", "exit_code": 1}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (BAD, "it keeps exiting with 1"),
        ({"status": "exited", "exit_code": 3}, "it exited with 3"),
        ({"status": "exited", "exit_code": 0}, "it exited with 0"),
        ({"health": "unhealthy"}, "it is unhealthy"),
        ({"status": "created", "error": "port is already allocated"}, "port is already allocated"),
    ],
    ids=["restarting", "exited", "exited without an error", "unhealthy", "not started"],
)
def test_a_replica_that_fails_pauses_the_rollout(said: dict[str, Any], why: str) -> None:
    view = seen(wanted(), NEW, OLD, OLD, says={1: said})
    assert lines(view)[0] == f"publish rollout/order: order:1.0.0 -> order:1.0.1 is paused: order-1: {why}"

    paused = seen(wanted(), NEW, OLD, OLD, says={1: said}, record=decision_for(view).record)
    assert lines(paused)[-1] == (
        f"blocked rollout/order: 1 of 3 replicas moved to order:1.0.1; paused: order-1: {why}"
    )


def test_a_replica_that_ended_and_was_started_again_failed_however_it_looks_now() -> None:
    view = seen(wanted(), NEW, OLD, OLD, ended=frozenset({1}))
    assert decision_for(view).record.state == "paused"


def test_a_job_that_is_done_is_well() -> None:
    job = order("1.0.1", restart=Restart(name="no"))
    done = {"status": "exited", "exit_code": 0, "started_at": "2026-01-01T00:00:00Z"}
    record = replace(MOVING, to=spec_hash(job))
    assert decision_for(seen(wanted(job), job, OLD, OLD, record=record, says={1: done})).moves == (("h2", 2),)


def test_a_replica_that_had_the_spec_before_says_nothing_about_the_rollout() -> None:
    record = replace(MOVING, already=(1,))
    assert decision_for(seen(wanted(), NEW, OLD, OLD, record=record, says={1: BAD})).moves == (("h2", 2),)


PAUSED = replace(MOVING, state="paused", failed=(1,), why="order-1: it exited with 1")


def test_a_paused_rollout_stays_so_though_the_replica_is_well_again() -> None:
    view = seen(wanted(), NEW, OLD, OLD, record=PAUSED)
    assert decision_for(view).moves == ()
    assert decision_for(view).record == PAUSED


@pytest.mark.parametrize(
    ("action", "state"), [("continue", "moving"), ("rollback", "rolling-back"), ("pause", "paused")]
)
def test_a_document_with_another_failure_action_goes_on_from_a_pause(
    action: FailureAction, state: str
) -> None:
    assert (
        decision_for(seen(wanted(failure_action=action), NEW, OLD, OLD, record=PAUSED)).record.state == state
    )


def test_with_continue_a_replica_that_failed_holds_nobody_up() -> None:
    asked = wanted(failure_action="continue")
    failed = replace(MOVING, failed=(1,), why="order-1: it exited with 1")
    assert decision_for(seen(asked, NEW, OLD, OLD, says={1: BAD})).record.failed == (1,)
    assert decision_for(seen(asked, NEW, OLD, OLD, says={1: BAD}, record=failed)).moves == (("h2", 2),)


def test_failures_up_to_the_ratio_are_borne() -> None:
    asked = wanted(max_failure_ratio=0.34)
    one, two = replace(MOVING, failed=(1,)), replace(MOVING, failed=(1, 2))
    assert decision_for(seen(asked, NEW, OLD, OLD, record=one)).moves == (("h2", 2),)
    assert decision_for(seen(asked, NEW, NEW, OLD, record=two)).record.state == "paused"


def test_another_spec_after_a_pause_starts_again_with_the_one_that_failed() -> None:
    begun = decision_for(seen(wanted(NEWEST), NEW, OLD, OLD, record=PAUSED, says={1: BAD})).record
    assert begun == Rollout(before=spec_hash(OLD), to=spec_hash(NEWEST))
    assert decision_for(seen(wanted(NEWEST), NEW, OLD, OLD, record=begun, says={1: BAD})).moves == (
        ("h1", 1),
    )


def test_the_old_document_put_back_moves_back_what_was_moved() -> None:
    begun = decision_for(seen(wanted(OLD), NEW, OLD, OLD, record=PAUSED, says={1: BAD})).record
    assert begun == Rollout(before=spec_hash(OLD), to=spec_hash(OLD), already=(2, 3))
    assert decision_for(seen(wanted(OLD), NEW, OLD, OLD, record=begun, says={1: BAD})).moves == (("h1", 1),)
    assert lines(seen(wanted(OLD), OLD, OLD, OLD, record=begun))[0] == (
        "withdraw rollout/order: all replicas have order:1.0.0"
    )


# ---- back

BACK = replace(MOVING, state="rolling-back", already=(2, 3), why="order-1: it exited with 1")


def test_a_failure_takes_the_moved_ones_back_to_the_spec_before() -> None:
    asked = wanted(failure_action="rollback")
    view = seen(asked, NEW, OLD, OLD, says={1: BAD})
    assert decision_for(view).record == replace(BACK, why="order-1: it keeps exiting with 1")

    assert lines(seen(asked, NEW, OLD, OLD, says={1: BAD}, record=BACK)) == [
        "publish assignment/h1: revision 8: 1 changed (order-1 is moved)"
    ]


def test_a_rollback_that_is_through_stays_and_says_why() -> None:
    asked = wanted(failure_action="rollback")
    done = decision_for(seen(asked, OLD, OLD, OLD, record=BACK)).record
    assert done == replace(BACK, state="rolled-back")
    assert lines(seen(asked, OLD, OLD, OLD, record=done)) == [
        "blocked rollout/order: 3 of 3 replicas moved to order:1.0.0; rolled back: order-1: it exited with 1"
    ]


def test_a_replica_that_comes_after_a_rollback_has_the_spec_before() -> None:
    done = replace(BACK, state="rolled-back")
    view = seen(wanted(failure_action="rollback"), OLD, OLD, record=done)
    assert view.cluster is not None
    made = assign(wanted(), view.cluster.assignments, decisions={"order": decision_for(view)})
    assert [replica.spec for replica in made["h3"].replicas] == [spec_hash(OLD)]


def test_a_record_that_was_deleted_after_a_rollback_lets_it_be_tried_again() -> None:
    assert lines(seen(wanted(), OLD, OLD, OLD, record=None)) == [
        "publish rollout/order: order:1.0.0 -> order:1.0.1"
    ]


def test_a_rollback_goes_as_rollback_config_says() -> None:
    asked = wanted(failure_action="rollback")
    (declared,) = asked.services
    faster = replace(asked, services=(replace(declared, rollback=Update(parallelism=2)),))
    back = replace(BACK, already=())
    assert decision_for(seen(faster, NEW, NEW, NEW, record=back)).moves == (("h1", 1), ("h2", 2))
    assert decision_for(seen(asked, NEW, NEW, NEW, record=back)).moves == (("h1", 1),)


def keeping(view: Seen, rollback: Rollback = "own_failures", blocked: tuple[str, ...] = ()) -> Seen:
    """The same cluster, whose hosts report that setting; h1 that it does not follow its assignment in these."""
    assert view.cluster is not None
    left = tuple(BlockedReport(resource=each, reason="it works", kind="foreign") for each in blocked)
    statuses = {
        name: replace(each, admission=encode(Policy(rollback=rollback)), blocked=left if name == "h1" else ())
        for name, each in view.cluster.statuses.items()
    }
    return replace(view, cluster=replace(view.cluster, statuses=statuses))


def test_a_rollback_takes_no_fixed_replica_back_that_works_and_ends_without_it() -> None:
    asked, back = wanted(failure_action="rollback"), replace(BACK, already=(3,))
    one = decision_for(keeping(seen(asked, NEW, NEW, OLD, record=back, says={2: BAD})))
    assert (one.moves, one.record) == ((("h2", 2),), back)
    for said in ({}, {"health": "starting"}):
        done = decision_for(keeping(seen(asked, NEW, OLD, OLD, record=back, says={1: said}))).record
        assert done == replace(back, state="rolled-back")
    for _ in range(3):
        same = decision_for(keeping(seen(asked, NEW, OLD, OLD, record=done)))
        assert (same.record, same.moves, same.target) == (done, (), spec_hash(OLD))
        assert same.stays["h1", 1] == spec_hash(NEW)
    assert decision_for(keeping(seen(asked, NEW, OLD, OLD, record=done, says={1: BAD}))).moves == (("h1", 1),)


@pytest.mark.parametrize("said", [{"spec": OLD}, {"status": "exited"}, None])
def test_a_rollback_takes_back_what_does_not_run_with_the_newer_spec_yet(said: Any) -> None:
    view = seen(wanted(failure_action="rollback"), NEW, OLD, OLD, record=BACK, says={1: said})
    assert decision_for(keeping(view)).moves == (("h1", 1),)


def test_where_rollbacks_of_the_cluster_count_and_before_that_setting_all_go_back() -> None:
    view = seen(wanted(failure_action="rollback"), NEW, OLD, OLD, record=BACK)
    assert decision_for(view).moves == decision_for(keeping(view, "cluster")).moves == (("h1", 1),)


def test_a_rollback_does_not_wait_for_a_host_that_does_not_follow_it() -> None:
    """The engine of the host shows it well although its reports looked like a failure."""
    asked, done = wanted(failure_action="rollback"), replace(BACK, state="rolled-back")
    ordered = seen(asked, OLD, OLD, OLD, record=BACK, says={1: {"spec": NEW}})
    assert decision_for(ordered).record == BACK
    view = keeping(ordered, blocked=("container/prod-order-1",))
    assert decision_for(view).record == done
    assert decision_for(keeping(ordered, blocked=("container/prod-order-2",))).record == BACK


def test_a_replica_without_fixed_hosts_goes_back_although_it_works() -> None:
    asked = wanted(failure_action="rollback")
    (fixed,) = asked.services
    placed = replace(asked, services=(replace(fixed, replicas=3, placement=()),))
    back = replace(BACK, already=())
    assert decision_for(keeping(seen(placed, NEW, NEW, NEW, record=back))).moves == (("h1", 1),)


def test_a_rollback_that_fails_too_is_paused() -> None:
    asked = wanted(failure_action="rollback")
    back = replace(BACK, already=(3,))
    view = seen(asked, OLD, NEW, OLD, record=back, says={1: BAD})
    assert decision_for(view).record.state == "rollback-paused"


def test_without_the_spec_before_there_is_no_way_back() -> None:
    asked = wanted(failure_action="rollback")
    lost = {spec_hash(NEW): NEW}
    view = seen(asked, NEW, OLD, OLD, says={1: BAD}, specs=lost, stored_specs=frozenset(lost))
    assert decision_for(view).record.state == "paused"


def test_a_service_that_is_gone_leaves_no_record() -> None:
    view = seen(wanted(), NEW, OLD, OLD)
    gone = intent(hosts=HOSTS, revision=9)
    assert view.cluster is not None
    plan = plan_assignments(gone, replace(view.cluster, accepted=gone), {})
    assert str(plan.steps[0]) == "withdraw rollout/order: removed from the document"


def test_records_come_before_assignments_in_a_plan() -> None:
    view = seen(wanted(), NEW, OLD, OLD, says={1: BAD})
    assert view.cluster is not None
    plan = plan_assignments(wanted(), view.cluster, plan_rollouts(wanted(), view))
    assert isinstance(plan.steps[0], PublishRollout)
    assert not any(isinstance(step, PublishAssignment) and step.host != "h1" for step in plan.steps)


@pytest.mark.parametrize("left", ["waiting", "blocked"])
def test_a_replica_whose_host_waits_with_its_start_has_not_failed_however_long_it_is_down(left: str) -> None:
    """As after a power cut, while the swarm has no leader."""
    view = seen(wanted(), NEW, OLD, OLD, says={1: {"status": "exited", "exit_code": 255}})
    assert view.cluster is not None
    resource, reason = "container/prod-order-1", "the swarm has no leader"
    waits = (Waiting(resource=resource, reason=reason),) if left == "waiting" else ()
    held = (BlockedReport(resource=resource, reason=reason, kind="dependency"),) if left == "blocked" else ()
    statuses = dict(view.cluster.statuses)
    statuses["h1"] = replace(statuses["h1"], waiting=waits, blocked=held)
    waiting = replace(view, cluster=replace(view.cluster, statuses=statuses))

    assert "is paused: order-1: it exited with 255" in str(lines(view))
    assert lines(waiting) == [
        "waiting rollout/order: 1 of 3 replicas moved to order:1.0.1; order-1 on h1: the swarm has no leader"
    ]


def test_a_replica_has_not_failed_while_the_swarm_gives_it_addresses_that_its_host_has_given_away() -> None:
    """It is recreated until it gets another one, at longer and longer intervals; no other spec would do better."""
    down = {1: {"status": "created", "error": "Address already in use"}}
    fixed = replace(NEW, networks=(Attachment(network="net", ipv4_address="10.10.0.7"),))
    moving = Rollout(before=spec_hash(OLD), to=spec_hash(fixed))

    assert lines(seen(wanted(), NEW, OLD, OLD, says=down)) == [
        "waiting rollout/order: 1 of 3 replicas moved to order:1.0.1; order-1 on h1: it is created"
    ]
    asks = seen(wanted(fixed), fixed, OLD, OLD, record=moving, says=down)
    assert "is paused: order-1: Address already in use" in str(lines(asks))


@pytest.mark.parametrize(
    "error",
    [
        "failed to set up container networking: adding interface veth1 to bridge docker_gwbridge failed",
        "Could not attach to network net: context deadline exceeded",
        "attaching to network failed, make sure your network options are correct: context deadline exceeded",
        "invalid cluster node while attaching to network",
        "network xyz not found",
    ],
)
def test_a_replica_has_not_failed_when_it_got_no_network_as_it_was_started(error: str) -> None:
    down = seen(wanted(), NEW, OLD, OLD, says={1: {"status": "created", "error": error}})
    other = seen(wanted(), NEW, OLD, OLD, says={1: {"status": "created", "error": "exec format error"}})

    assert lines(down) == [
        "waiting rollout/order: 1 of 3 replicas moved to order:1.0.1; order-1 on h1: it is created"
    ]
    assert "is paused: order-1: exec format error" in str(lines(other))
