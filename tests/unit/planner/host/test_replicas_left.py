"""Containers of which containerd has kept a task: recreated if it is empty, and left as they are if it may be alive."""

from typing import Any

import pytest

from agent.diff.replicas import EMPTY_TASK
from agent.model.host_state import ContainerState
from agent.model.intent import Intent
from agent.model.records import Assignment
from agent.model.spec import spec_hash
from agent.planner.host.replicas import plan_replicas
from tests.support.builders import cluster, container, host, intent, observed, order, service, told

ONE = intent(service())
NEWER = order("1.0.1")
NOWHERE = Assignment(revision=7, project="prod")


def down(left_task: str, **fields: Any) -> ContainerState:
    found = container(1)
    error = f"task {found.id}: already exists"
    return container(1, **{"status": "exited", "error": error, "left_task": left_task, **fields})


def plan(wanted: Intent, *found: ContainerState, **etcd: Any) -> list[str]:
    return told(plan_replicas(wanted, observed(cluster(wanted, **etcd), host(*found))))


def blocked(name: str = "prod-order-1") -> list[str]:
    what = "docker reports it as exited, but containerd has kept its task, and processes of it may run"
    cure = f"`pkill --full 'containerd-shim.* -id {down('alive').id}'` and `docker start {name}`"
    return [f"blocked container/{name}: {what}: run {cure} on this host"]


def test_a_task_that_may_be_deleted_any_moment_lets_the_container_be_started_again() -> None:
    found = down("")
    assert plan(ONE, found) == [f"start container/prod-order-1: {found.error}"]


def test_a_container_with_an_empty_task_is_recreated() -> None:
    lines = plan(ONE, down("empty"))
    assert [line.partition(":")[0] for line in lines] == [
        "create container/prod-order-1",
        "rename container/prod-order-1",
        "rename container/prod-order-1",
        "start container/prod-order-1",
        "remove container/prod-order-1",
    ]
    assert lines[0] == f"create container/prod-order-1: {EMPTY_TASK}"


def test_a_container_with_processes_is_reported_and_nothing_is_done() -> None:
    assert plan(ONE, down("alive")) == blocked()


def test_neither_an_edit_nor_a_container_beside_it_starts_another_one_on_its_data() -> None:
    specs = {spec_hash(each): each for each in (order(), NEWER)}
    edited = intent(service(spec=NEWER))
    made = container(1, of=NEWER, id="fedcba9876543210", name="prod-order-1-new", status="created")

    assert plan(edited, down("alive"), specs=specs) == blocked()
    assert plan(edited, down("alive"), made, specs=specs) == blocked()


@pytest.mark.parametrize("wanted", [ONE, intent(service("billing"))])
def test_it_stays_when_it_is_not_assigned_any_more(wanted: Intent) -> None:
    assert plan(wanted, down("alive"), assignment=NOWHERE) == blocked()


def test_one_under_another_name_holds_its_replica_too() -> None:
    assert plan(ONE, down("alive", name="renamed")) == blocked("renamed")


def test_others_go_on_beside_it() -> None:
    lines = plan(intent(service(), service("billing")), down("alive"))
    assert lines[:1] == ["create container/prod-billing-1: billing replica 1 is assigned here"]
    assert lines[-1:] == blocked()
