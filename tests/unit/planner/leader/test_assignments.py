from dataclasses import replace
from typing import Any

from agent.model.intent import Intent, ServiceIntent
from agent.model.leader_steps import CollectSpecs, PublishAssignment
from agent.model.observed import ClusterState
from agent.model.records import Assignment, Replica
from agent.model.spec import spec_hash
from agent.model.status import HostStatus, ReplicaReport
from agent.planner.leader.assignments import assign, plan_assignments
from tests.support.builders import REVISION, cluster, intent, order, service, status, told


def assigned(wanted: Intent, current: dict[str, Assignment] | None = None) -> dict[str, list[str]]:
    """Host -> its replicas as `order-1`."""
    return {
        host: [f"{replica.service}-{replica.slot}" for replica in each.replicas]
        for host, each in assign(wanted, current or {}).items()
    }


def later(*services: ServiceIntent, hosts: str = "h1 h2") -> Intent:
    return intent(*services, hosts=hosts, revision=REVISION + 1)


def test_numbers_follow_the_order_of_the_document() -> None:
    wanted = intent(service(on={"h2": 2, "h1": 1}), hosts="h1 h2")

    assert assigned(wanted) == {"h1": ["order-3"], "h2": ["order-1", "order-2"]}


def test_every_declared_host_has_an_assignment_even_an_empty_one() -> None:
    assert assigned(intent(hosts="h1 h2")) == {"h1": [], "h2": []}


def test_a_replica_keeps_its_number_and_host_when_another_is_added() -> None:
    before = assign(intent(service(on={"h1": 1, "h2": 1}), hosts="h1 h2"), {})

    assert assigned(later(service(on={"h1": 2, "h2": 1})), before) == {
        "h1": ["order-1", "order-3"],
        "h2": ["order-2"],
    }


def test_the_highest_number_of_a_host_goes_first_when_it_runs_fewer() -> None:
    before = assign(intent(service(on={"h1": 3}), hosts="h1 h2"), {})

    assert assigned(later(service(on={"h1": 1})), before) == {"h1": ["order-1"], "h2": []}


def test_a_number_that_became_free_is_given_again() -> None:
    before = {
        "h2": Assignment(revision=1, project="prod", replicas=(Replica(service="order", slot=2, spec="x"),))
    }

    assert assigned(later(service(on={"h1": 2, "h2": 1})), before) == {
        "h1": ["order-1", "order-3"],
        "h2": ["order-2"],
    }


def test_a_host_that_left_the_intent_has_no_replicas_and_its_numbers_are_free() -> None:
    before = assign(intent(service(on={"h3": 1}), hosts="h1 h3"), {})

    assert assigned(later(service(on={"h1": 1}), hosts="h1"), before) == {"h1": ["order-1"], "h3": []}


def test_a_host_that_left_the_intent_is_emptied_also_when_its_assignment_is_damaged() -> None:
    """Else its replicas would stay for good, and so would the word that the key cannot be read."""
    key = "/swarmkeeper/prod/assignments/h2"
    wanted = intent(hosts="h1")
    kept = assign(wanted, {})
    state = cluster(wanted, "h1", assignments=kept, unreadable=((key, "not a Assignment"),))

    assert told(plan_assignments(wanted, state)) == [
        f"publish assignment/h2: revision {REVISION}: no replica changed"
    ]


def test_a_replica_keeps_its_number_when_its_spec_changes() -> None:
    before = assign(intent(service(on={"h1": 2}), hosts="h1 h2"), {})
    after = assign(later(service(on={"h1": 2}, spec=order("1.0.1"))), before)

    assert [replica.slot for replica in after["h1"].replicas] == [1, 2]
    assert {replica.spec for replica in after["h1"].replicas} == {spec_hash(order("1.0.1"))}


def test_a_first_document_is_published_to_every_host_with_its_counts() -> None:
    wanted = intent(service(on={"h1": 2}), hosts="h1 h2")

    assert told(plan_assignments(wanted, cluster(wanted))) == [
        "publish assignment/h1: revision 7: 2 new",
        "publish assignment/h2: revision 7: no replica changed",
    ]


def test_nothing_is_published_again() -> None:
    wanted = intent(service(on={"h1": 1}), hosts="h1 h2")

    assert told(plan_assignments(wanted, cluster(wanted, assignments=assign(wanted, {})))) == []


def test_a_changed_document_says_what_it_changes_for_each_host() -> None:
    before = assign(
        intent(service(on={"h1": 2, "h2": 1}), service("billing", on={"h2": 1}), hosts="h1 h2"), {}
    )
    wanted = later(service(on={"h1": 1, "h2": 2}, spec=order("1.0.1")))

    assert told(plan_assignments(wanted, cluster(wanted, assignments=before))) == [
        "publish assignment/h1: revision 8: 1 changed, 1 dropped",
        "publish assignment/h2: revision 8: 1 new, 1 changed, 1 dropped",
    ]


def test_an_assignment_has_the_revision_since_which_its_host_is_drained() -> None:
    """Without interruption: what the host reports as of an earlier drain says nothing of what it started since."""
    asked = intent(service(on={"h1": 1}), hosts="h1 h2", revision=7)
    drains = replace(asked, hosts=(replace(asked.hosts[0], availability="drain"), asked.hosts[1]))
    found: list[tuple[int, int]] = []
    before: dict[str, Assignment] = {}
    for revision, each in enumerate((drains, drains, asked, drains), start=7):
        before = assign(replace(each, revision=revision), before)
        found.append((before["h1"].drained, before["h2"].drained))

    assert found == [(7, 0), (7, 0), (0, 0), (10, 0)]


def test_only_specs_that_etcd_lacks_are_written_with_an_assignment() -> None:
    wanted = intent(service(), service("billing", spec=order("1.0.1")))
    state = cluster(wanted, stored_specs=frozenset({spec_hash(order())}))
    (step,) = plan_assignments(wanted, state).steps

    assert isinstance(step, PublishAssignment)
    assert step.specs == (order("1.0.1"),)


def test_specs_that_no_replica_has_any_more_are_collected_once_all_is_assigned() -> None:
    wanted = intent(service())
    stored = frozenset({spec_hash(order()), spec_hash(order("0.9.0"))})
    state = cluster(wanted, assignments=assign(wanted, {}), stored_specs=stored)

    assert told(plan_assignments(wanted, state)) == ["collect specs: no replica uses them"]


def test_specs_are_collected_all_at_once_when_no_host_runs_an_old_one_any_more() -> None:
    wanted = intent(service())
    old, older = spec_hash(order("0.9.0")), spec_hash(order("0.8.0"))
    running = ReplicaReport(service="order", slot=1, spec=old, id="x", name="prod-order-1", status="running")
    state = cluster(
        wanted,
        assignments=assign(wanted, {}),
        stored_specs=frozenset({spec_hash(order()), old, older}),
        statuses={"h1": status("h1", replicas=(running,))},
    )

    assert told(plan_assignments(wanted, state)) == []

    done = replace(state, statuses={"h1": status("h1")})
    (step,) = plan_assignments(wanted, done).steps
    assert isinstance(step, CollectSpecs)
    assert set(step.digests) == {old, older}


def test_specs_that_were_lost_are_written_again_with_an_assignment_that_did_not_change() -> None:
    wanted = intent(service(on={"h1": 1, "h2": 1}), hosts="h1 h2")
    assignments = assign(wanted, {})
    state = cluster(wanted, assignments=assignments, stored_specs=frozenset())

    plan = plan_assignments(wanted, state)

    assert told(plan) == [
        "publish assignment/h1: revision 7: re-publish specs missing in etcd",
        "publish assignment/h2: revision 7: re-publish specs missing in etcd",
    ]
    assert all(isinstance(step, PublishAssignment) and step.specs == (order(),) for step in plan.steps)


# ---- etcd was rolled back


def runs(name: str, *slots: int) -> HostStatus:
    replicas = tuple(
        ReplicaReport(service="order", slot=each, spec="old", id="", name="", status="running")
        for each in slots
    )
    return status(name, replicas=replicas)


def lost(**more: Any) -> ClusterState:
    state = cluster(intent(service(on={"h1": 1, "h2": 2}), hosts="h1 h2"), epoch=1, assignments={})
    said = {"h1": runs("h1", 3), "h2": runs("h2", 1, 2)}
    there = {name: each.instance for name, each in said.items()}
    return replace(state, **{"statuses": said, "present": there, **more})


def slots(state: ClusterState) -> dict[str, list[int]]:
    assert state.accepted is not None
    steps = [
        each for each in plan_assignments(state.accepted, state).steps if isinstance(each, PublishAssignment)
    ]
    assert all(each.assignment.epoch == state.epoch for each in steps)
    return {each.host: [replica.slot for replica in each.assignment.replicas] for each in steps}


def test_what_etcd_has_lost_is_taken_from_what_the_hosts_run() -> None:
    assert slots(lost()) == {"h1": [3], "h2": [1, 2]}


def test_an_assignment_of_an_earlier_epoch_is_as_good_as_lost() -> None:
    old = {
        "h1": Assignment(revision=7, project="prod", replicas=(Replica(service="order", slot=9, spec="x"),))
    }
    assert slots(lost(assignments=old)) == {"h1": [3], "h2": [1, 2]}


def test_a_number_that_two_hosts_say_they_run_stays_with_one() -> None:
    twice = lost()
    assert slots(replace(twice, statuses={**twice.statuses, "h2": runs("h2", 3, 1)})) == {
        "h1": [3],
        "h2": [1, 2],
    }


def test_a_host_that_is_there_and_says_nothing_yet_is_waited_for() -> None:
    silent = lost()
    silent = replace(silent, statuses={"h1": silent.statuses["h1"]})
    assert silent.accepted is not None
    assert told(plan_assignments(silent.accepted, silent)) == [
        "waiting assignments: h2 did not report its replicas yet, and etcd has lost its assignment"
    ]
    assert slots(replace(silent, present={"h1": "run-h1"})) == {"h1": [3], "h2": [1, 2]}
