"""What `apply --wait` waits for, and when it gives up."""

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from agent.conditions import Goal, Progress, conditions_of, goal_of, progress_to
from agent.conditions.condition import (
    ClusterConditions,
    Condition,
    HostCondition,
    Problem,
    ReplicaCondition,
    ServiceCondition,
)
from agent.model.intent import Constraint, Intent, NetworkIntent, Where
from agent.model.observed import ClusterState
from agent.model.records import Assignment
from agent.model.spec import Attachment
from tests.support.builders import document, intent, order, service
from tests.support.cluster_states import (
    BILLING,
    HEALTHY,
    NOW_S,
    ORDER,
    REVISION,
    STATES,
    WEB,
    A,
    B,
    C,
    declared,
    on,
)
from tests.support.cluster_states import document as wanted

BEFORE = intent(service("a", on={"h1": 1}), service("b", on={"h1": 1}), hosts="h1 h2", revision=5)
AFTER = replace(
    intent(service("a", on={"h1": 1}, spec=order("2")), service("b", on={"h1": 1}), hosts="h1 h2"),
    revision=9,
)
GOAL = Goal(revision=9, keys=frozenset({"service/a"}))
ASSIGNED = {name: Assignment(revision=9, project="prod") for name in ("h1", "h2")}
STATE = ClusterState(revision=20, document=document(AFTER), accepted=AFTER, assignments=ASSIGNED)


def condition(
    key: str, state: Any = "Ready", reason: Any = "Ready", text: str = "", revision: int = 9
) -> Condition:
    kind, _, name = key.partition("/")
    return Condition(kind=kind, name=name, state=state, reason=reason, text=text, revision=revision)  # type: ignore[arg-type]


def of_service(found: Condition) -> ServiceCondition:
    return ServiceCondition(condition=found, desired=2, running=2, ready=1, updated=1, unknown=0)


def of_replica(found: Condition, *, updated: bool = True) -> ReplicaCondition:
    return ReplicaCondition(condition=found, service="a", slot=1, updated=updated)


def of_host(found: Condition, steps: int = 0) -> HostCondition:
    return HostCondition(condition=found, declared="manager", open_steps=steps)


def conditions(**more: Any) -> ClusterConditions:
    """A cluster in which all is well; other conditions by keyword."""
    well = {name: condition(f"{name}/") for name in ("cluster", "store", "document", "leader", "quorum")}
    services = (of_service(condition("service/a")), of_service(condition("service/b")))
    hosts = (of_host(condition("host/h1")), of_host(condition("host/h2")))
    return ClusterConditions(**{**well, "converged": True, "services": services, "hosts": hosts, **more})


def progress(goal: Goal = GOAL, state: ClusterState = STATE, **more: Any) -> Progress:
    return progress_to(goal, state, conditions(**more))


# ---- The goal of an edit


def keys(after: Intent, before: Intent | None = BEFORE) -> set[str]:
    return set(goal_of(9, after, before, whole=False).keys)


def test_only_what_an_edit_changes_is_waited_for() -> None:
    assert keys(AFTER) == {"service/a"}
    assert keys(BEFORE) == set()
    assert keys(BEFORE, before=None) == {"service/a", "service/b", "host/h1", "host/h2", "network/net"}


def test_a_removed_service_is_waited_for_until_nothing_of_it_is_reported() -> None:
    goal = goal_of(9, intent(service("a", on={"h1": 1}), hosts="h1 h2"), BEFORE, whole=False)

    assert (goal.keys, goal.removed) == (frozenset(), frozenset({"b"}))
    assert not progress(goal, removed=("b",)).done
    assert progress(goal, removed=("other",)).done


def test_a_change_of_the_bridge_or_of_a_host_is_waited_for() -> None:
    bridge = replace(BEFORE.gwbridge, subnet=IPv4Network("172.30.0.0/16"))
    drained = (replace(BEFORE.hosts[0], availability="drain"), BEFORE.hosts[1])

    assert keys(replace(BEFORE, gwbridge=bridge)) == {"host/h1", "host/h2"}
    assert keys(replace(BEFORE, hosts=drained)) == {"host/h1"}


def test_a_change_of_a_network_changes_the_services_on_it() -> None:
    net = NetworkIntent(key="net", name="net", driver="overlay")
    on_net = service("c", on={"h1": 1}, spec=replace(order(), networks=(Attachment(network="net"),)))
    before = replace(BEFORE, networks=(net,), services=(*BEFORE.services, on_net))
    after = replace(before, networks=(replace(net, attachable=False),))

    assert {"network/net", "service/c"} <= keys(after, before)


def test_replicas_that_the_scheduler_places_may_move_with_the_hosts() -> None:
    spread = replace(service("c", on={}), replicas=2)
    before = replace(BEFORE, services=(*BEFORE.services, spread))
    after = replace(before, hosts=before.hosts[:1])

    assert "service/c" in keys(after, before)


def test_a_host_that_may_not_run_a_service_does_not_change_it() -> None:
    only_a = Where(constraints=(Constraint(of="hostname", equal=True, value=A),))
    before = wanted(ORDER, replace(WEB, replicas=3, where=only_a))
    after = replace(before, hosts=(declared(A), declared(B), declared(C, availability="drain")))

    assert keys(after, before) == {"service/order", f"host/{C}"}


# ---- How far the cluster is


def test_it_is_done_when_every_changed_service_is_ready_at_the_revision() -> None:
    assert progress().done
    late = of_service(condition("service/a", revision=5))
    watched = of_service(condition("service/a", "Progressing", "Monitoring", "a-1: not watched for 5 s yet"))

    assert progress(services=(late,)).lines == {
        "a": "1 of 2 ready, 1 updated; has not reported at revision 9 yet"
    }
    assert progress(services=(watched,)).lines == {
        "a": "1 of 2 ready, 1 updated; a-1: not watched for 5 s yet"
    }
    assert not progress(services=(late,)).done
    assert not progress(services=(watched,)).done


@pytest.mark.parametrize(
    "state",
    [
        replace(STATE, accepted=BEFORE),
        replace(STATE, accepted=None),
        replace(STATE, assignments={**ASSIGNED, "h2": Assignment(revision=5, project="prod")}),
        replace(STATE, assignments={"h1": ASSIGNED["h1"]}),
    ],
)
def test_nothing_is_done_or_failed_before_the_leader_has_assigned_the_revision(state: ClusterState) -> None:
    paused = condition("rollout/a", "Blocked", "RolloutPaused", "of the document before")
    found = progress(state=state, rollouts=(paused,))

    assert (found.done, found.failed) == (False, ())
    assert list(found.lines) == ["leader"]


@pytest.mark.parametrize("reason", ["RolloutPaused", "RollingBack", "RolledBack"])
def test_a_rollout_that_pauses_or_goes_back_ends_the_wait(reason: str) -> None:
    stopped = condition("rollout/a", "Blocked", reason, "because a-1 exited")
    other = replace(stopped, name="b")

    assert progress(rollouts=(other, stopped)).failed == (stopped,)
    assert progress(rollouts=(other, stopped)).causes == ("rollout of a: because a-1 exited",)
    assert not progress(rollouts=(stopped,)).done


@pytest.mark.parametrize("reason", ["CrashLoop", "Failed"])
def test_a_new_replica_that_keeps_ending_ends_the_wait_and_an_old_one_does_not(reason: str) -> None:
    ends = condition("replica/a-1", "Degraded", reason, "exits")

    assert progress(replicas=(of_replica(ends),)).failed == (ends,)
    assert progress(replicas=(of_replica(ends, updated=False),)).failed == ()
    assert progress(replicas=(of_replica(replace(ends, name="b-1")),)).failed == ()


def test_what_is_not_well_and_not_changed_is_named_and_fails_nothing() -> None:
    down = condition("service/b", "Degraded", "CrashLoop", "b-1 exits")
    going = condition("host/h2", "Progressing", "Steps", "1 step is open")
    found = progress(services=(of_service(condition("service/a")), of_service(down)), hosts=(of_host(going),))

    assert found.done
    assert found.others == ("b: b-1 exits",)


def test_a_changed_host_does_not_wait_for_services_that_are_not_changed() -> None:
    goal = replace(GOAL, keys=frozenset({"host/h1"}))
    behind = condition("host/h1", "Progressing", "Steps", "it has not carried out revision 9 in full yet")

    assert progress(goal, hosts=(of_host(behind),)).done
    assert not progress(goal, hosts=(of_host(behind, steps=1),)).done
    assert not progress(goal, hosts=(of_host(replace(behind, revision=5)),)).done
    assert not progress(goal, hosts=(of_host(replace(behind, reason="ChangingBridge")),)).done


def test_the_whole_cluster_has_to_converge_when_that_is_asked_for() -> None:
    whole = replace(GOAL, whole=True)
    paused = condition("rollout/b", "Blocked", "RolloutPaused", "paused")

    assert progress(whole).done
    assert not progress(whole, converged=False).done
    assert progress(whole, converged=False, rollouts=(paused,)).failed == (paused,)


def test_causes_are_the_problems_from_which_the_goal_suffers() -> None:
    pull = condition("image/x", "Degraded", "PullFailed", "the registry refuses")
    problems = (
        Problem(condition=pull, consequences=(condition("replica/a-1"),)),
        Problem(condition=condition("service/b", "Degraded", "Exited", "exited")),
    )

    assert progress(problems=problems).causes == ("image x: the registry refuses",)


def test_a_replica_that_ends_the_wait_is_named_once() -> None:
    ends = condition("replica/a-1", "Degraded", "CrashLoop", "exits")
    of = condition("service/a", "Degraded", "CrashLoop", "a-1 on h1: exits")

    assert progress(replicas=(of_replica(ends),)).causes == ("a-1: exits",)
    folded = (Problem(condition=of, consequences=(ends,)),)
    assert progress(replicas=(of_replica(ends),), problems=folded).causes == ("a: a-1 on h1: exits",)


def test_the_next_command_is_named_with_its_cause() -> None:
    unhealthy = condition("replica/a-1", "Degraded", "Unhealthy", "its check fails")
    problem = Problem(condition=replace(unhealthy, command="swarmkeeper logs a-1"))

    assert progress(problems=(problem,)).causes == ("a-1: its check fails; next: swarmkeeper logs a-1",)


# ---- The goal in named states of a whole cluster


def of_state(name: str, *services: str) -> Progress:
    state = STATES[name].cluster
    goal = Goal(revision=REVISION, keys=frozenset(f"service/{each}" for each in services))
    return progress_to(goal, state, conditions_of(state, now_s=NOW_S))


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("healthy rollout", "order"),
        ("newest revision not assigned", "order"),
        ("first start", "order"),
        ("registry away", "order"),
        ("monitor window runs", "billing"),
        ("host off for 6 minutes", "billing"),
    ],
)
def test_a_release_under_way_is_waited_for(name: str, service: str) -> None:
    found = of_state(name, service)

    assert (found.done, found.failed) == (False, ())
    assert found.lines


@pytest.mark.parametrize(
    ("name", "failed"),
    [
        ("rollout paused", "rollout/order"),
        ("rolled back", "rollout/order"),
        ("rollback paused", "rollout/order"),
        ("crash loop, exited", "replica/billing-1"),
        ("crash loop, between two exits", "replica/billing-1"),
    ],
)
def test_a_release_that_cannot_succeed_has_failed(name: str, failed: str) -> None:
    assert [each.key for each in of_state(name, "order", "billing").failed] == [failed]


def test_a_fault_elsewhere_does_not_fail_a_release() -> None:
    found = of_state("crash loop, exited", "order", "web")

    assert found.done
    assert [each.partition(":")[0] for each in found.others] == ["billing"]


def test_a_removed_service_is_done_when_no_container_of_it_is_left() -> None:
    goal = Goal(revision=REVISION, keys=frozenset(), removed=frozenset({"billing"}))
    left = replace(HEALTHY, accepted=wanted(WEB, ORDER))
    kept = tuple(each for each in left.statuses[B].replicas if each.service != BILLING.name)
    gone = on(left, B, replicas=kept)

    assert [progress_to(goal, each, conditions_of(each, now_s=NOW_S)).done for each in (left, gone)] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("key", "counts"),
    [
        ("service/a", True),
        ("replica/a-1", True),
        ("rollout/a", True),
        ("host/a", False),
        ("network/a", False),
        ("replica/b-1", False),
    ],
)
def test_only_its_replicas_and_its_rollout_belong_to_the_goal_with_a_service(key: str, counts: bool) -> None:
    assert GOAL.has(key) is counts
