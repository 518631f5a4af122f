"""The plan for the whole cluster, from the first boot to the last small change."""

from dataclasses import replace
from typing import Any

from agent.model.host_state import HostState
from agent.model.intent import GWBRIDGE, PolicyIntent
from agent.model.observed import ClusterState, Observed
from agent.model.records import Verdict
from agent.model.status import HostStatus
from agent.planner import make_plan
from agent.planner.dry_run.cluster import ClusterPlan, HostPlan, plan_cluster
from agent.planner.host.bridge import phase_of
from agent.planner.leader.assignments import assign
from agent.report.status import UNLED_S, host_status
from tests.support.builders import (
    BRIDGE,
    cluster,
    container,
    document,
    host,
    intent,
    member,
    node,
    order,
    outside,
    record,
    service,
)

NODES = (node("h1"), node("h2"))
MANAGERS = (("node-h1", "10.0.0.1:2377"), ("node-h2", "10.0.0.2:2377"))
WANTED = intent(service(on={"h1": 1, "h2": 1}), hosts="h1 h2")
CHANGED = intent(service(on={"h1": 2, "h2": 1}, spec=order("1.0.1")), hosts="h1 h2", revision=9)


def report(name: str, seen: HostState | None) -> HostStatus:
    """What the agent of that host wrote, in the run that is there now."""
    said = Observed(me=name, host=seen, cluster=None, instance=f"run-{name}", engine_error="no such socket")
    said = replace(said, unled_s=UNLED_S if name == "h1" else 0.0)  # it alone lists the nodes
    return host_status(
        said, make_plan(said), (), {}, None, "2024-05-01T00:00:00Z", "0.1.0", phase=phase_of(said)
    )


def running(**more: Any) -> ClusterState:
    """Both hosts have carried the intent out; more of etcd by keyword."""
    hosts = {
        "h1": host(container(1), swarm=member("h1", of=NODES)),
        "h2": host(container(2), swarm=member("h2", of=NODES)),
    }
    etcd = {
        "record": record(managers=MANAGERS),
        "verdict": Verdict(revision=7, accepted=True, accepted_revision=7),
        "assignments": assign(WANTED, {}),
        "statuses": {name: report(name, each) for name, each in hosts.items()},
        "present": {name: f"run-{name}" for name in hosts},
    }
    return cluster(WANTED, **{**etcd, **more})


def lines_of(host: HostPlan) -> list[str]:
    """Return the title of a host, and what it has to do."""
    title = f"{host.name} (leader)" if host.is_leader else host.name
    parts = (*(f"({note})" for note in host.notes), *host.steps, *host.blocked, *host.waiting)
    return [title, *(f"  {each}" for each in parts or ("nothing to do",))]


def lines(plan: ClusterPlan) -> list[str]:
    everywhere = (*plan.everywhere, *plan.waiting_everywhere)
    return [*(line for host in plan.hosts for line in lines_of(host)), *map(str, everywhere)]


def test_a_cluster_that_is_as_it_should_be_has_nothing_to_do() -> None:
    plan = plan_cluster(running())

    assert lines(plan) == ["h1 (leader)", "  nothing to do", "h2", "  nothing to do"]
    assert plan.settled


def test_a_first_boot_is_planned_to_its_end_before_any_agent_runs() -> None:
    plan = plan_cluster(ClusterState(revision=1, document=document(WANTED)))

    assert lines(plan) == [
        "h1 (leader)",
        "  (no agent seen yet: planned for an empty engine)",
        "  campaign for leader: the leader lock is free",
        "  publish verdict: revision 7 is accepted",
        "  publish assignment/h1: revision 7: 1 new",
        "  publish assignment/h2: revision 7: 1 new",
        "  claim swarm-record: there is no swarm yet",
        "  create network/docker_gwbridge: there is no docker_gwbridge",
        "  init swarm: no swarm yet, and this host has the claim",
        "  pull image/order:1.0.0: wanted by prod-order-1",
        "  publish swarm-record: swarm (new swarm) is created",
        "  publish tokens: h2 not joined yet",
        "  create container/prod-order-1: order replica 1 is assigned here",
        "  publish swarm-record: managers or networks changed",
        "  rotate tokens: every declared host has joined",
        "  withdraw tokens: every declared host has joined",
        "  create network/net: declared, and missing in the swarm",
        "  update node/(node h1): h1: its agent reports this node id",
        "  update node/(node h2): h2: its agent reports this node id",
        "  publish swarm-record: managers or networks changed",
        "  start container/prod-order-1: created, but never started",
        "h2",
        "  (no agent seen yet: planned for an empty engine)",
        "  create network/docker_gwbridge: there is no docker_gwbridge",
        "  pull image/order:1.0.0: wanted by prod-order-2",
        "  create container/prod-order-2: order replica 2 is assigned here",
        "  join swarm: declared a manager of swarm (new swarm)",
        "  start container/prod-order-2: created, but never started",
    ]


def test_a_changed_document_is_planned_from_its_verdict_to_the_last_replica() -> None:
    state = replace(running(), document=document(CHANGED))

    assert lines(plan_cluster(state)) == [
        "h1 (leader)",
        "  publish verdict: revision 9 is accepted",
        "  publish rollout/order: order:1.0.0 -> order:1.0.1",
        "  publish assignment/h1: revision 9: 1 new",
        "  publish assignment/h2: revision 9: no replica changed yet",
        "  create container/prod-order-3: order replica 3 is assigned here",
        "  start container/prod-order-3: order replica 3 is assigned here",
        "  publish assignment/h1: revision 9: 1 changed (order-1 is moved)",
        "  create container/prod-order-1: image order:1.0.0 -> order:1.0.1",
        "  stop container/prod-order-1: image order:1.0.0 -> order:1.0.1",
        "  rename container/prod-order-1: kept until the new one has started",
        "  rename container/prod-order-1: image order:1.0.0 -> order:1.0.1",
        "  start container/prod-order-1: image order:1.0.0 -> order:1.0.1",
        "  remove container/prod-order-1: the new one has started",
        "  publish assignment/h2: revision 9: 1 changed (order-2 is moved)",
        "  withdraw rollout/order: all replicas have order:1.0.1",
        "  collect specs: no replica uses them",
        "h2",
        "  create container/prod-order-2: image order:1.0.0 -> order:1.0.1",
        "  stop container/prod-order-2: image order:1.0.0 -> order:1.0.1",
        "  rename container/prod-order-2: kept until the new one has started",
        "  rename container/prod-order-2: image order:1.0.0 -> order:1.0.1",
        "  start container/prod-order-2: image order:1.0.0 -> order:1.0.1",
        "  remove container/prod-order-2: the new one has started",
    ]


def test_what_docker_can_change_on_a_container_is_planned_as_that() -> None:
    limited = intent(
        service(on={"h1": 1, "h2": 1}, spec=order(memory_limit_bytes=64 << 20)), hosts="h1 h2", revision=9
    )
    plan = plan_cluster(replace(running(), document=document(limited)))

    assert plan.settled
    assert lines(plan) == [
        "h1 (leader)",
        "  publish verdict: revision 9 is accepted",
        "  publish rollout/order: order:1.0.0 as before (466c5f742cca) -> order:1.0.0",
        "  publish assignment/h1: revision 9: 1 changed (order-1 is moved)",
        "  update container/prod-order-1: memory: 64 MiB wanted, no limit found",
        "  publish assignment/h2: revision 9: 1 changed (order-2 is moved)",
        "  withdraw rollout/order: all replicas have order:1.0.0",
        "  collect specs: no replica uses them",
        "h2",
        "  update container/prod-order-2: memory: 64 MiB wanted, no limit found",
    ]


def test_the_cluster_that_was_asked_about_is_not_changed() -> None:
    state = replace(running(), document=document(CHANGED))
    before = repr(state)

    plan_cluster(state)

    assert repr(state) == before


def test_a_container_that_was_stopped_by_hand_is_all_that_is_planned() -> None:
    stopped = host(container(2, status="exited", exit_code=137), swarm=member("h2", of=NODES))
    state = running()

    plan = plan_cluster(replace(state, statuses={**state.statuses, "h2": report("h2", stopped)}))

    assert [str(step) for step in plan.steps] == ["start container/prod-order-2: exited with 137"]


def test_a_host_that_is_added_gets_tokens_and_joins() -> None:
    wanted = intent(service(on={"h1": 1, "h2": 1}), hosts="h1 h2 h3:worker", revision=9)
    plan = plan_cluster(replace(running(), document=document(wanted)))

    assert lines(plan)[-4:] == [
        "h3",
        "  (no agent seen yet: planned for an empty engine)",
        "  create network/docker_gwbridge: there is no docker_gwbridge",
        "  join swarm: declared a worker of swarm swarm-1",
    ]
    assert "publish tokens: h3 not joined yet" in [str(step) for step in plan.steps]


def test_an_agent_that_is_away_is_planned_for_and_said_to_be_away() -> None:
    plan = plan_cluster(running(present={"h1": "run-h1"}))

    assert plan.hosts[1].notes == (
        "its agent is unreachable: planned from its last report, of 2024-05-01T00:00:00Z",
    )


def test_an_agent_that_has_just_started_is_said_to_have() -> None:
    plan = plan_cluster(running(present={"h1": "run-h1", "h2": "a later run"}))

    assert plan.hosts[1].notes == (
        "its agent has just started: planned from its last report, of 2024-05-01T00:00:00Z",
    )


def test_a_lock_that_nobody_holds_is_taken_by_an_agent_that_is_there() -> None:
    state = running(leader=None, present={"h2": "run-h2"})
    plan = plan_cluster(state)

    assert [host.name for host in plan.hosts if host.is_leader] == ["h2"]


def test_a_host_whose_dockerd_is_away_is_blocked_for_its_own_reason() -> None:
    state = running()
    plan = plan_cluster(replace(state, statuses={**state.statuses, "h2": report("h2", None)}))

    assert lines(plan)[2:] == ["h2", "  blocked engine: no such socket"]


def test_what_is_blocked_on_every_host_alike_is_said_once() -> None:
    garbled = ("/swarmkeeper/c/tokens", "not a Tokens: not a JSON object")
    plan = plan_cluster(running(unreadable=(garbled,)))

    assert lines(plan)[-1] == "blocked /swarmkeeper/c/tokens: not a Tokens: not a JSON object"
    assert plan.hosts[0].blocked == ()


def test_a_live_bridge_that_has_to_change_is_changed_on_one_host_after_the_other() -> None:
    options = (("com.docker.network.bridge.enable_icc", "true"), ("com.docker.network.bridge.name", GWBRIDGE))
    wanted = replace(WANTED, revision=9, gwbridge=replace(BRIDGE, options=options))
    plan = plan_cluster(replace(running(), document=document(wanted)))

    assert not plan.blocked
    verbs = [step.verb for host in plan.hosts for step in host.steps if step.kind == "gwbridge"]
    assert verbs.count("swap") == verbs.count("acquire") == verbs.count("release") == verbs.count("grant")
    assert verbs.count("swap") == len(plan.hosts)


def test_in_mode_observe_everything_is_shown_as_what_would_be_done() -> None:
    wanted = replace(CHANGED, policy=PolicyIntent(mode="observe"))
    plan = plan_cluster(replace(running(), document=document(wanted)))

    assert [str(step) for step in plan.steps] == ["publish verdict: revision 9 is accepted"]
    assert lines(plan)[2:4] == [
        "  blocked rollout/order: mode observe: would publish rollout/order: order:1.0.0 -> order:1.0.1",
        "  blocked assignment/h1: mode observe: would publish assignment/h1: revision 9: 1 new",
    ]


def test_engines_that_are_in_swarms_of_their_own_are_left_in_them() -> None:
    alone = host(swarm=member("h2", swarm_id="swarm-of-others"))
    state = running()
    plan = plan_cluster(replace(state, statuses={**state.statuses, "h2": report("h2", alone)}))

    assert "blocked swarm: in swarm swarm-of-others, while the cluster's is swarm-1" in [
        str(each) for each in plan.hosts[1].blocked
    ]
    assert not any(step.resource == "swarm" for step in plan.steps)


def test_without_any_intent_nothing_is_planned_for_a_host_that_reported() -> None:
    idle = host(swarm=outside(), networks=(), bridge_link=None)
    state = ClusterState(revision=1, statuses={"h1": report("h1", idle)}, present={"h1": "run-h1"})

    assert lines(plan_cluster(state)) == ["h1", "  waiting host: no intent accepted yet"]
