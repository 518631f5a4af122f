from dataclasses import replace
from typing import Any

import pytest

from agent.model.host_state import ContainerState
from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.records import Assignment
from agent.model.spec import Restart, spec_hash
from agent.model.status import HostStatus, ReplicaReport
from agent.planner.dry_run.cluster import plan_cluster
from agent.planner.host.replicas import plan_replicas
from agent.planner.leader.assignments import assign, plan_assignments, with_dependencies
from tests.support.builders import cluster, container, document, host, intent, observed, order, service, told

HEALTHY, STARTED, COMPLETED = "service_healthy", "service_started", "service_completed_successfully"
WEB_SPEC, DB_SPEC = order("web"), order("db")
DB = service("db", {"h1": 1, "h2": 1}, DB_SPEC)


def shop(
    condition: str = HEALTHY, web: dict[str, int] | None = None, db: dict[str, int] | None = None
) -> Intent:
    front = replace(service("web", web or {"h2": 1}, WEB_SPEC), depends_on=(("db", condition),))
    return intent(front, replace(DB, placement=tuple((db or {"h1": 1, "h2": 1}).items())), hosts="h1 h2 h3")


def report(slot: int, name: str = "db", **more: Any) -> ReplicaReport:
    spec = spec_hash(DB_SPEC if name == "db" else WEB_SPEC)
    fields = {"status": "running", "started_at": "t", "health": "healthy", **more}
    return ReplicaReport(service=name, slot=slot, spec=spec, id=name, name=name, **fields)


def status(*replicas: ReplicaReport, **more: Any) -> HostStatus:
    return HostStatus(
        instance="run", at="", agent_version="", **{"engine_up": True, "replicas": replicas, **more}
    )


def state(*statuses: HostStatus | None, **more: Any) -> ClusterState:
    """etcd with what h1, h2, ... say of themselves; an agent that is away says nothing."""
    named = {f"h{slot}": each for slot, each in enumerate(statuses, 1) if each}
    return cluster(intent(), statuses=named, present=dict.fromkeys(named, "run"), **more)


def waits(what: Intent, found: ClusterState, current: dict[str, Assignment] | None = None) -> dict[str, str]:
    """For what each replica has to wait."""
    before = current or {}
    held = with_dependencies(what, assign(what, before), before, found)
    return {
        f"{replica.service}-{replica.slot}": replica.waits
        for _, each in sorted(held.items())
        for replica in each.replicas
        if replica.waits
    }


@pytest.mark.parametrize(
    ("condition", "first", "second", "why"),
    [
        (STARTED, report(1, health=""), report(2, health=""), ""),
        (
            STARTED,
            report(1),
            report(2, status="created", started_at=""),
            "db-2 on h2 has to be started first",
        ),
        (STARTED, report(1, status="exited"), report(2), ""),
        (HEALTHY, report(1), report(2), ""),
        (HEALTHY, report(1, health="starting"), report(2), "db-1 on h1 has to be healthy first"),
        (
            HEALTHY,
            report(1),
            report(2, health="unhealthy"),
            "db-2 on h2 has to be healthy first, and its health check fails",
        ),
        (
            HEALTHY,
            report(1),
            report(2, status="exited", exit_code=3),
            "db-2 on h2 has to be healthy first, and it exited with 3",
        ),
        (
            HEALTHY,
            report(1),
            report(2, status="exited", exit_code=3, crashes=18),
            "db-2 on h2 has to be healthy first, and it keeps exiting with 3",
        ),
        (
            STARTED,
            report(1),
            report(2, status="created", started_at="", error="no such device"),
            "db-2 on h2 has to be started first, and its start fails: no such device",
        ),
        (
            HEALTHY,
            report(1, health=""),
            report(2),
            "db-1 on h1 has to be healthy first, and the service has no health check",
        ),
        (COMPLETED, report(1, status="exited"), report(2, status="exited"), ""),
        (COMPLETED, report(1, status="exited"), report(2), "db-2 on h2 has to complete first"),
        (
            COMPLETED,
            report(1, status="exited"),
            report(2, status="exited", interrupted=True),
            "db-2 on h2 has to complete first",
        ),
        (
            COMPLETED,
            report(1, status="exited", exit_code=3),
            report(2, status="exited"),
            "db-1 on h1 has to complete first, and it exited with 3",
        ),
        (
            COMPLETED,
            replace(report(1, status="exited"), spec="older"),
            report(2, status="exited"),
            "db-1 on h1 has to complete first",
        ),
    ],
)
def test_a_replica_waits_until_every_replica_it_depends_on_is_as_far(
    condition: str, first: ReplicaReport, second: ReplicaReport, why: str
) -> None:
    found = waits(shop(condition), state(status(first), status(second)))
    assert found == ({"web-1": f"depends on db: {why}"} if why else {})


def test_nothing_was_said_yet_so_all_wait() -> None:
    assert waits(shop(), state(status(), status(), status())) == {
        "web-1": "depends on db: db-1 on h1 has to be healthy first (and 1 more)"
    }


def test_a_replica_on_a_host_that_is_away_holds_nobody_up_while_another_one_is_as_far() -> None:
    assert waits(shop(), state(status(report(1)), None)) == {}
    assert waits(shop(), state(status(report(1)), status(report(2), engine_up=False))) == {}


def test_when_all_hosts_of_a_dependency_are_away_its_dependents_do_not_start_for_the_first_time() -> None:
    assert waits(shop(db={"h1": 1}), state(None, status())) == {
        "web-1": "depends on db: db-1 on h1 has to be healthy first, and h1 does not report it: no agent seen yet"
    }


def test_a_service_without_replicas_holds_nobody_up() -> None:
    assert waits(shop(db={"h1": 0}), state(status(), status())) == {}


def test_a_replica_that_was_let_start_is_never_held_up_again() -> None:
    what = shop()
    before = assign(what, {})
    sick = state(status(report(1, health="unhealthy")), status(report(2, status="exited")))
    assert waits(what, sick, before) == {}
    held = with_dependencies(what, before, {}, sick)
    assert waits(what, sick, held) == {
        "web-1": "depends on db: db-1 on h1 has to be healthy first (and 1 more), and its health check fails"
    }


def test_nor_on_another_host_where_its_number_goes() -> None:
    before, moved = assign(shop(web={"h2": 1}), {}), shop(web={"h3": 1})
    assert waits(moved, state(status(), status(), status()), before) == {}


def test_a_new_replica_beside_it_waits_by_itself() -> None:
    before, more = assign(shop(web={"h2": 1}), {}), shop(web={"h2": 2})
    assert list(waits(more, state(status(), status()), before)) == ["web-2"]


def test_what_runs_although_etcd_has_lost_that_it_may_is_not_held_up() -> None:
    assert waits(shop(), state(status(), status(report(1, "web")))) == {}


def test_the_leader_tells_a_host_what_waits_and_that_it_waits_no_more() -> None:
    what = shop()
    first = plan_assignments(what, state(status(), status()))
    assert (
        "publish assignment/h2: revision 7: 2 new, web-1 waits: depends on db: db-1 on h1 has to be healthy"
        in ("\n".join(told(first)))
    )
    before = with_dependencies(what, assign(what, {}), {}, state(status(), status()))
    specs = frozenset(spec_hash(each.spec) for each in what.services)
    well = state(status(report(1)), status(report(2)), assignments=before, stored_specs=specs)
    assert told(plan_assignments(what, well))[0] == (
        "publish assignment/h2: revision 7: web-1 no longer waits"
    )


# ---- the host

WHY = "depends on db: db-1 on h2 has to be healthy first"
WEB = intent(service("web", {"h1": 1}, WEB_SPEC))


def on_host(*containers: ContainerState, images: tuple[str, ...] = (), **more: Any) -> list[str]:
    """What h1 does about a replica of web that waits."""
    (replica,) = assign(WEB, {})["h1"].replicas
    mine = Assignment(revision=7, project="prod", replicas=(replace(replica, waits=WHY),))
    state = cluster(WEB, assignment=mine)
    return told(plan_replicas(WEB, observed(state, host(*containers, images=frozenset(images)), **more)))


def test_the_image_is_pulled_while_the_replica_waits() -> None:
    assert on_host() == ["pull image/order:web: wanted by prod-web-1", f"waiting container/prod-web-1: {WHY}"]
    assert on_host(images=("order:web",)) == [f"waiting container/prod-web-1: {WHY}"]


def test_without_etcd_it_goes_on_waiting() -> None:
    assert on_host(images=("order:web",), stale=True) == [f"waiting container/prod-web-1: {WHY}"]


@pytest.mark.parametrize("stale", [False, True])
def test_a_container_that_is_there_is_started_whatever_was_said(stale: bool) -> None:
    ended = container(1, of=WEB_SPEC, service="web", status="exited", exit_code=1)
    assert on_host(ended, images=("order:web",), stale=stale) == ["start container/prod-web-1: exited with 1"]


# ---- the plan for the whole cluster


def test_plan_shows_what_starts_after_what() -> None:
    job = replace(service("job", {"h1": 1}, replace(order("job"), restart=Restart(name="no"))))
    db = replace(service("db", {"h1": 1}, DB_SPEC), depends_on=(("job", COMPLETED),))
    web = replace(service("web", {"h1": 1}, WEB_SPEC), depends_on=(("db", HEALTHY),))
    plan = plan_cluster(ClusterState(revision=1, document=document(intent(web, db, job))))

    steps = [str(each) for each in plan.steps]
    starts = [each.split()[1].rstrip(":") for each in steps if each.startswith("start container")]
    assert starts == ["container/prod-job-1", "container/prod-db-1", "container/prod-web-1"]
    assert plan.settled
    assert plan.blocked == ()
