"""States that look well at first sight: the cluster is not converged, and the condition says why."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest

from agent.conditions import ClusterConditions, Condition, conditions_of
from agent.conditions.reports import REASONS
from agent.model.observed import ClusterState
from agent.model.plan import BlockedKind
from agent.model.records import Disruption, MembershipOrder, Rollout
from agent.model.spec import spec_hash
from agent.model.status import HostStatus
from tests.support.cluster_states import (
    BILLING,
    CLUSTERS,
    HEALTHY,
    NODES,
    NOW_S,
    ORDER,
    REVISION,
    WEB,
    A,
    B,
    C,
    absent,
    blocked,
    cluster,
    declared,
    document,
    listed,
    on,
    on_all,
    replica,
    report,
    step,
    waiting,
    with_replica,
    without_replicas,
)

D = "node-234"


def left_over(*, running: bool = True, **more: Any) -> ClusterState:
    """Return the state with a container of `order` on a host that the document does not declare."""
    status = report(D, replica(ORDER, 9), state="inactive", nodes=None, is_manager=False, **more)
    present = {**HEALTHY.present, D: status.instance} if running else HEALTHY.present
    return replace(HEALTHY, present=present, statuses={**HEALTHY.statuses, D: status})


def ordered(what: Any) -> ClusterState:
    order = MembershipOrder(state="active", node_id="id-node-232", what=what, reason="why")
    return replace(HEALTHY, membership_orders={B: order})


def of(host: str) -> HostStatus:
    return HEALTHY.statuses[host]


def every(found: ClusterConditions) -> Iterator[Condition]:
    yield from (found.store, found.document, found.quorum, found.leader)
    yield from (each.condition for each in found.hosts)
    yield from (each.condition for each in found.services)
    yield from (each.condition for each in found.replicas)


NEXT_BILLING = replace(replica(BILLING, 1), name="prod-billing-1-next", status="created")

STATES: dict[str, tuple[ClusterState, str]] = {
    "nodes that no leader lists": (on_all(HEALTHY, nodes=()), f"host/{B} Progressing/Joining"),
    "an agent that cannot report": (replace(HEALTHY, unreported={B: "now"}), f"host/{B} Unknown/ReportOld"),
    "a container too many": (
        on(HEALTHY, A, replicas=(*of(A).replicas, replica(ORDER, 9))),
        f"host/{A} Progressing/Steps",
    ),
    "a container too many that cannot be removed": (
        on(HEALTHY, B, blocked=blocked("container/prod-order-9", "error", "device is busy")),
        f"host/{B} Degraded/Error",
    ),
    "a volume that cannot be created": (
        on(HEALTHY, B, blocked=blocked("volume/data", "error", "no space left")),
        f"host/{B} Degraded/Error",
    ),
    "a bridge whose change fails": (
        on(HEALTHY, B, blocked=blocked("network/docker_gwbridge", "error", "has active endpoints")),
        f"host/{B} Degraded/Error",
    ),
    "an unhealthy replica, told twice": (
        on(
            with_replica(HEALTHY, A, "web", 1, health="unhealthy"),
            A,
            blocked=blocked("container/prod-web-1", "unhealthy", "its health check fails: refused"),
        ),
        "replica/web-1 Degraded/Unhealthy",
    ),
    "a new container beside the old one that cannot start": (
        on(
            HEALTHY,
            B,
            replicas=(*of(B).replicas, NEXT_BILLING),
            blocked=blocked(f"container/{NEXT_BILLING.name}", "error", "no such device"),
        ),
        "replica/billing-1 Degraded/StartFailed",
    ),
    "a declared check without a result": (
        with_replica(HEALTHY, A, "web", 1, health=""),
        "replica/web-1 Progressing/Monitoring",
    ),
    "an undeclared host with a container": (left_over(), f"host/{D} Progressing/Steps"),
    "an undeclared host with a container, its dockerd away": (
        left_over(engine_up=False),
        f"host/{D} Degraded/EngineDown",
    ),
    "an undeclared host whose removal waits, its dockerd away": (
        on(left_over(engine_up=False), A, blocked=blocked(f"host/{D}", "removal", "it is still a manager")),
        f"host/{D} Degraded/EngineDown",
    ),
    "an undeclared host in the swarm without a container, its dockerd away": (
        on(left_over(engine_up=False), D, replicas=(), state="active"),
        f"host/{D} Degraded/EngineDown",
    ),
    "an undeclared host whose agent starts": (
        replace(left_over(), statuses=HEALTHY.statuses),
        f"host/{D} Unknown/NotReported",
    ),
    "an undeclared host, its dockerd away from the start": (
        on(left_over(engine_up=False), D, replicas=(), state="unknown"),
        f"host/{D} Degraded/EngineDown",
    ),
    "an undeclared host with a container, unreachable": (
        left_over(running=False),
        f"host/{D} Unknown/Unreachable",
    ),
    "hosts of the time before a rollback of etcd": (
        replace(on_all(HEALTHY, epoch=0, revision=REVISION + 5), epoch=1),
        f"host/{A} Progressing/Steps",
    ),
    "a manager that raft does not reach": (
        listed(HEALTHY, B, reachable=False),
        f"host/{B} Degraded/NodeDown",
    ),
    "a node that is to become a worker": (
        listed(HEALTHY, B, role="worker", reachable=None),
        f"host/{B} Progressing/ChangingRole",
    ),
    "an order to leave": (ordered("leave"), f"host/{B} Progressing/Joining"),
    "an order to keep still": (ordered("quarantine"), f"host/{B} Blocked/Duplicate"),
    "a leader that does not report": (replace(HEALTHY, leader=D), "leader/ Unknown/NeverSeen"),
    "a leader that cannot list the nodes": (
        on(HEALTHY, A, nodes=None, blocked=blocked("nodes", "quorum", "no quorum")),
        "leader/ Degraded/NoLeader",
    ),
    "a disruption slot that cannot be written": (
        on(HEALTHY, A, blocked=blocked("disruption/node-232", "error", "refused")),
        "leader/ Degraded/Error",
    ),
    "more replicas assigned than declared": (
        replace(HEALTHY, accepted=document(WEB, replace(ORDER, replicas=2), BILLING)),
        "service/order Progressing/Moving",
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_it_is_not_converged_and_the_condition_says_why(name: str) -> None:
    state, expected = STATES[name]
    found = conditions_of(state, now_s=NOW_S)
    assert expected in [f"{each.key} {each.state}/{each.reason}" for each in every(found)]
    assert not found.converged
    assert found.code != 0


def test_a_clock_that_is_a_little_ahead_is_no_fault() -> None:
    assert conditions_of(on(HEALTHY, B, at="2026-11-29T12:12:00Z"), now_s=NOW_S).converged


def test_every_kind_of_blocked_resource_has_a_reason() -> None:
    assert set(get_args(BlockedKind)) == REASONS.keys()


# ---- What waits for something is led to its cause


def _host(found: ClusterConditions, name: str) -> Condition:
    return next(each.condition for each in found.hosts if each.condition.name == name)


def test_the_leader_that_becomes_a_worker_waits_for_the_manager_that_is_absent() -> None:
    hosts = (declared(A, role="worker"), declared(B), declared(C))
    found = conditions_of(absent(cluster(document(hosts=hosts)), B), now_s=NOW_S)
    assert _host(found, A).cause == f"host/{B}"


@pytest.mark.parametrize(
    "unable",
    [
        {"state": "inactive", "is_manager": False, "swarm_id": None},
        {"is_manager": False},
        {"swarm_id": "another"},
        {"engine_up": False},
    ],
    ids=["outside the swarm", "a worker", "in another swarm", "its dockerd is away"],
)
def test_the_leader_that_becomes_a_worker_waits_for_the_manager_that_cannot_lead(
    unable: dict[str, Any],
) -> None:
    hosts = (declared(A, role="worker"), declared(B), declared(C))
    waits = waiting(f"node/id-{A}", "another declared manager must become the leader first", "leader/")
    state = on(cluster(document(hosts=hosts)), A, waiting=waits)
    assert _host(conditions_of(state, now_s=NOW_S), A).cause == ""
    assert _host(conditions_of(on(state, C, **unable), now_s=NOW_S), A).cause == f"host/{C}"


def test_a_bridge_that_waits_for_its_slot_without_a_leader_follows_from_that() -> None:
    state = on(HEALTHY, B, bridge=replace(of(B).bridge, phase="waiting"))
    found = conditions_of(replace(state, leader=None), now_s=NOW_S)
    (problem,) = found.problems
    assert problem.condition.key == "leader/"
    assert f"host/{B}" in [each.key for each in problem.consequences]


def test_a_host_that_keeps_the_slot_follows_from_what_the_leader_waits_for() -> None:
    state = with_replica(HEALTHY, B, "billing", 1, status="exited", exit_code=1)
    state = on(state, A, waiting=waiting(f"disruption/{B}", "billing-1 is exited", "replica/billing-1"))
    assert _host(conditions_of(state, now_s=NOW_S), B).cause == "replica/billing-1"


def test_a_drained_host_that_is_off_is_a_problem_while_others_wait_for_its_disruption_slot() -> None:
    off = CLUSTERS["drained and off"]
    assert _host(conditions_of(off, now_s=NOW_S), C).state == "Ready"
    found = conditions_of(
        on(off, A, waiting=waiting(f"disruption/{C}", "it has it", f"host/{C}")), now_s=NOW_S
    )
    assert f"host/{C}" in [each.condition.key for each in found.problems]


def test_bridges_that_wait_for_their_slot_until_the_quorum_is_back_follow_from_that() -> None:
    slot = Disruption(host=B, state="released", reason="why", quorum=True)
    why = "the next host waits: the swarm lost its quorum during the disruption"
    state = replace(on_all(HEALTHY, nodes=None), disruption=slot)
    state = on(state, C, bridge=replace(of(C).bridge, phase="waiting"))
    state = on(state, C, waiting=waiting("network/docker_gwbridge", "subnet", f"host/{B}"))
    found = conditions_of(on(state, A, waiting=waiting(f"disruption/{B}", why, "leader/")), now_s=NOW_S)
    problem = next(each for each in found.problems if each.condition.key == "quorum/")
    assert {f"host/{B}", f"host/{C}"} <= {each.key for each in problem.consequences}


def test_a_replica_to_be_replaced_follows_from_the_one_that_is_to_join_its_overlay_first() -> None:
    state = with_replica(HEALTHY, B, "billing", 1, status="created", error="no address")
    state = with_replica(state, B, "web", 2, spec="another")
    state = on(state, B, waiting=waiting("container/prod-web-2", "waits for another", "replica/billing-1"))
    (problem,) = conditions_of(state, now_s=NOW_S).problems
    assert problem.condition.key == "service/billing"
    assert {"replica/web-2", "service/web"} <= {each.key for each in problem.consequences}


def test_a_rollout_follows_from_the_host_where_a_new_container_waits_beside_the_old_one() -> None:
    moving = Rollout(before="old", to=spec_hash(BILLING.spec))
    state = replace(listed(HEALTHY, B, state="down"), rollouts={"billing": moving})
    why = waiting("container/prod-billing-1", "no raft leader", "quorum/")
    found = conditions_of(
        on(state, B, nodes=None, replicas=(*of(B).replicas, NEXT_BILLING), waiting=why), now_s=NOW_S
    )
    (problem,) = found.problems
    assert problem.condition.key == f"host/{B}"
    assert {"replica/billing-1", "rollout/billing"} <= {each.key for each in problem.consequences}


def test_a_service_in_a_rollout_follows_from_what_the_next_container_waits_for() -> None:
    moving = Rollout(before="old", to=spec_hash(BILLING.spec))
    state = with_replica(listed(HEALTHY, B, state="down"), B, "billing", 1, spec="old")
    why = waiting("container/prod-billing-1", "network overlay is not ready yet", "network/overlay")
    state = replace(on(state, B, nodes=None, state="inactive", waiting=why), rollouts={"billing": moving})
    (problem,) = conditions_of(state, now_s=NOW_S).problems
    assert problem.condition.key == f"host/{B}"
    assert {"rollout/billing", "service/billing"} <= {each.key for each in problem.consequences}


def test_a_service_without_a_replica_is_critical_while_its_rollout_waits_for_a_host() -> None:
    moving = Rollout(before="old", to=spec_hash(BILLING.spec))
    why = waiting("container/prod-billing-1", "network overlay is not ready yet", "network/overlay")
    state = without_replicas(on(HEALTHY, B, state="inactive", waiting=why), B, ("billing", 1))
    (problem,) = conditions_of(replace(state, rollouts={"billing": moving}), now_s=NOW_S).problems
    assert problem.condition.key == f"host/{B}"
    assert problem.condition.critical


def test_a_created_replica_follows_from_the_host_that_is_cut_off() -> None:
    state = with_replica(listed(HEALTHY, B, state="down"), B, "billing", 1, status="created")
    state = on(state, B, nodes=None, waiting=waiting("container/prod-billing-1", "no raft leader", "quorum/"))
    found = conditions_of(state, now_s=NOW_S)
    (problem,) = found.problems
    assert problem.condition.key == f"host/{B}"
    assert "service/billing" in [each.key for each in problem.consequences]


def test_a_replica_where_it_is_not_declared_any_more_follows_from_the_leader() -> None:
    moved = replace(BILLING, placement=((C, 1),))
    state = replace(cluster(document(WEB, ORDER, moved, revision=8)), assignments=HEALTHY.assignments)
    state = replace(on_all(state, nodes=NODES), statuses=HEALTHY.statuses, leader=None)
    found = conditions_of(state, now_s=NOW_S)
    service = next(each.condition for each in found.services if each.condition.name == "billing")
    assert (service.state, service.cause) == ("Progressing", "leader/")


def test_a_manager_without_a_part_in_the_quorum_is_told_by_its_state() -> None:
    state = on(absent(HEALTHY, B), C, is_manager=False, nodes=None)
    found = conditions_of(on(state, A, nodes=None), now_s=NOW_S)
    assert f"{C} is a worker" in found.quorum.text


def test_hosts_that_wait_for_the_swarm_follow_from_the_host_that_the_leader_waits_for() -> None:
    assert HEALTHY.record is not None
    outside: dict[str, Any] = {"state": "inactive", "node_id": None, "is_manager": False, "nodes": None}
    state = replace(on_all(HEALTHY, **outside), record=replace(HEALTHY.record, swarm_id=None))
    why = "the dockerd of node-232 has not reported yet whether it is in a swarm"
    state = on(state, A, waiting=waiting("swarm-record", why, f"host/{B}"))
    found = conditions_of(on(state, B, engine_up=False), now_s=NOW_S)
    problem = next(each for each in found.problems if each.condition.key == f"host/{B}")
    assert {f"host/{A}", f"host/{C}"} <= {each.key for each in problem.consequences}


@pytest.mark.parametrize("old", [True, False])
def test_a_replica_whose_image_waits_for_a_dead_registry_follows_from_the_image_that_fails(old: bool) -> None:
    """An agent tries one image of a registry that does not answer; the pulls of the others only wait."""
    state = (
        with_replica(HEALTHY, B, "billing", 1, spec="another")
        if old
        else without_replicas(HEALTHY, B, ("billing", 1))
    )
    pulls = step(f"image/{BILLING.spec.image}", "pull", "pull")
    state = on(state, B, steps=pulls, blocked=blocked("image/registry.local/web:1.0.0", "error", "refused"))
    found = conditions_of(state, now_s=NOW_S)
    image = next(each for each in found.problems if each.condition.kind == "image")
    assert "service/billing" in [each.key for each in image.consequences]
