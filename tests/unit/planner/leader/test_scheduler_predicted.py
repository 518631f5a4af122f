"""`plan` tells of replicas that move: off a host that is drained, and away from one that is gone."""

from collections.abc import Mapping
from dataclasses import replace

from agent.model.host_state import HostState
from agent.model.intent import Intent
from agent.model.observed import ClusterState, Observed
from agent.model.records import Assignment, Verdict
from agent.model.spec import spec_hash
from agent.model.status import HostStatus
from agent.planner import make_plan
from agent.planner.dry_run.cluster import ClusterPlan, plan_cluster
from agent.planner.host.bridge import phase_of
from agent.planner.leader.assignments import assign
from agent.report.status import UNLED_S, host_status
from tests.support.builders import (
    cluster,
    container,
    document,
    host,
    intent,
    member,
    node,
    order,
    record,
    service,
)
from tests.unit.planner.dry_run.test_cluster import lines_of

NAMES = ("h1", "h2", "h3")
WANTED = intent(replace(service(on={}), replicas=2), service("billing", on={"h2": 1}), hosts="h1 h2 h3")
HELD: dict[str, tuple[tuple[int, str], ...]] = {
    "h1": ((1, "order"),),
    "h2": ((1, "billing"),),
    "h3": ((2, "order"),),
}
MANAGERS = tuple((f"node-{name}", f"10.0.0.{name[1:]}:2377") for name in NAMES)


def report(name: str, seen: HostState) -> HostStatus:
    said = Observed(me=name, host=seen, cluster=None, instance=f"run-{name}", unled_s=UNLED_S)
    return host_status(
        said, make_plan(said), (), {}, None, "2024-05-01T00:00:00Z", "0.1.0", phase=phase_of(said)
    )


def running(newest: Intent = WANTED, down: str = "") -> ClusterState:
    """Every host has what it is assigned; `down` is without power."""
    nodes = tuple(node(name, state="down" if name == down else "ready") for name in NAMES)
    seen = {
        name: host(*(container(n, service=of) for n, of in HELD[name]), swarm=member(name, of=nodes))
        for name in NAMES
    }
    assigned: Mapping[str, Assignment] = assign(WANTED, {})
    return cluster(
        WANTED,
        document=document(newest),
        record=record(managers=MANAGERS),
        verdict=Verdict(revision=7, accepted=True, accepted_revision=7),
        assignments=assigned,
        stored_specs=frozenset({spec_hash(order())}),
        statuses={name: report(name, each) for name, each in seen.items()},
        present={name: f"run-{name}" for name in NAMES if name != down},
    )


def of_host(plan: ClusterPlan, name: str) -> list[str]:
    (found,) = (each for each in plan.hosts if each.name == name)
    return lines_of(found)[1:]


def test_nothing_is_planned_for_replicas_that_are_where_they_belong() -> None:
    plan = plan_cluster(running())

    assert [of_host(plan, name) for name in NAMES] == [["  nothing to do"]] * len(NAMES)


def test_a_drain_is_planned_to_its_end() -> None:
    drained = replace(
        WANTED,
        revision=9,
        hosts=tuple(
            replace(each, availability="drain") if each.name == "h3" else each for each in WANTED.hosts
        ),
    )

    plan = plan_cluster(running(drained))

    assert plan.settled
    assert of_host(plan, "h3") == [
        "  stop container/prod-order-2: order replica 2 is no longer assigned here",
        "  remove container/prod-order-2: order replica 2 is no longer assigned here",
    ]
    assert of_host(plan, "h2") == [
        "  create container/prod-order-2: order replica 2 is assigned here",
        "  start container/prod-order-2: order replica 2 is assigned here",
    ]


def test_what_moves_away_from_a_host_that_is_gone_is_planned_and_what_that_does_when_it_comes_back() -> None:
    plan = plan_cluster(running(down="h3"))

    assert plan.settled
    assert of_host(plan, "h3") == [
        "  (its agent is unreachable: planned from its last report, of 2024-05-01T00:00:00Z)",
        "  stop container/prod-order-2: order replica 2 is no longer assigned here",
        "  remove container/prod-order-2: order replica 2 is no longer assigned here",
    ]
    assert [each for each in of_host(plan, "h2") if "order-2" in each] == [
        "  create container/prod-order-2: order replica 2 is assigned here",
        "  start container/prod-order-2: order replica 2 is assigned here",
    ]
