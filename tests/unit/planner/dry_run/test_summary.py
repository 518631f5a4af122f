"""What a plan does, in one line for each service, host, network and image."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from agent.model import leader_steps, steps
from agent.model.host_state import Attached
from agent.model.intent import Intent, Update
from agent.model.observed import ClusterState
from agent.model.plan import Blocked
from agent.model.spec import Port
from agent.model.status import Waiting
from agent.planner.dry_run.cluster import ClusterPlan, HostPlan, plan_cluster
from agent.planner.dry_run.summary import (
    Grouped,
    blocked_groups,
    is_bookkeeping,
    summarize,
    waiting_groups,
)
from tests.support.builders import container, document, host, intent, member, order, service
from tests.unit.planner.dry_run.test_cluster import CHANGED, NODES, WANTED, report, running


def said(wanted: Intent, state: ClusterState | None = None) -> list[str]:
    cluster = replace(state or running(), document=document(wanted))
    return [str(each) for each in summarize(cluster, plan_cluster(cluster))]


def edited(**update: Any) -> Intent:
    """Both replicas of order with another image."""
    changed = replace(service(on={"h1": 1, "h2": 1}, spec=order("1.0.1")), **update)
    return intent(changed, hosts="h1 h2", revision=9)


REPLACED = "image order:1.0.0 -> order:1.0.1"


def test_a_first_boot() -> None:
    cluster = ClusterState(revision=1, document=document(WANTED))

    assert [str(each) for each in summarize(cluster, plan_cluster(cluster))] == [
        "order: new, 2 replicas on h1, h2",
        "h1: docker_gwbridge created with 172.21.0.0/20; creates the swarm",
        "h2: docker_gwbridge created with 172.21.0.0/20; joins the swarm as manager",
        "image order:1.0.0: pulled on h1, h2",
        "network net: created",
    ]


def test_nothing_to_do_has_no_line() -> None:
    assert said(WANTED) == []


@pytest.mark.parametrize(
    ("update", "line"),
    [
        (Update(), "order: 2 replicas replaced one by one, each away for about 1 s"),
        (Update(parallelism=0), "order: 2 replicas replaced all at once, each away for about 1 s"),
        (
            Update(order="start-first"),
            "order: 2 replicas replaced one by one, each new one started before the old one stops",
        ),
    ],
)
def test_a_rollout_says_its_pace_and_for_how_long_each_replica_is_away(update: Update, line: str) -> None:
    assert said(edited(update=update))[0] == f"{line}; {REPLACED}"


def test_replicas_that_come_and_those_that_are_replaced_have_lines_of_their_own() -> None:
    assert said(CHANGED)[:2] == [
        f"order: 2 replicas replaced one by one, each away for about 1 s; {REPLACED}",
        "order: 1 replica added on h1",
    ]


def test_a_replica_with_host_ports_cannot_start_first() -> None:
    spec = order("1.0.1", ports=(Port(target=80, published=8080),))
    first = replace(service(on={"h1": 1}, spec=spec), update=Update(order="start-first"))
    wanted = intent(first, hosts="h1 h2", revision=9)

    assert said(wanted) == [
        f"order: 1 replica replaced, away for about 1 s; {REPLACED}; ports added 8080:80/tcp",
        "order: 1 replica removed from h2",
    ]


def test_a_removed_service_and_a_new_one() -> None:
    assert said(intent(service("web", on={"h1": 1, "h2": 2}), hosts="h1 h2", revision=9)) == [
        "web: new, 3 replicas on h1, h2",
        "order: removed, 2 replicas",
    ]


def test_a_change_in_place_replaces_nothing() -> None:
    limited = intent(
        service(on={"h1": 1, "h2": 1}, spec=order(memory_limit_bytes=64 << 20)), hosts="h1 h2", revision=9
    )

    assert said(limited) == [
        "order: 2 replicas changed in place on h1, h2; memory: 64 MiB wanted, no limit found"
    ]


def test_a_replica_that_another_host_gets_is_moved() -> None:
    assert "order: 1 replica moved from h1 to h2" in said(
        intent(service(on={"h2": 2}), hosts="h1 h2", revision=9)
    )


def test_another_subnet_of_the_bridge_is_named_with_the_one_that_it_has() -> None:
    bridge = replace(WANTED.gwbridge, subnet=IPv4Network("172.30.0.0/20"), gateway=IPv4Address("172.30.0.1"))
    moved = replace(WANTED, gwbridge=bridge, revision=9)

    assert [line for line in said(moved) if line.startswith("h2")] == [
        "h2: docker_gwbridge 172.21.0.0/20 -> 172.30.0.0/20"
    ]


def test_a_change_of_the_bridge_is_planned_for_every_host_in_turn() -> None:
    bridge = replace(WANTED.gwbridge, subnet=IPv4Network("172.30.0.0/20"), gateway=IPv4Address("172.30.0.1"))
    cluster = replace(running(), document=document(replace(WANTED, gwbridge=bridge, revision=9)))
    plan = plan_cluster(cluster)

    assert [str(each) for each in summarize(cluster, plan)] == [
        "h1: docker_gwbridge 172.21.0.0/20 -> 172.30.0.0/20",
        "h2: docker_gwbridge 172.21.0.0/20 -> 172.30.0.0/20",
    ]
    assert Grouped(
        resources=("network/docker_gwbridge",), hosts=("h1",), reason="", on="host/h2"
    ) in waiting_groups(plan)


def test_bookkeeping_is_what_changes_no_host_container_or_network() -> None:
    plan = plan_cluster(replace(running(), document=document(CHANGED)))
    kept = {str(each).split(":")[0] for each in plan.steps if is_bookkeeping(each)}

    assert kept == {
        "publish verdict",
        "publish rollout/order",
        "publish assignment/h1",
        "publish assignment/h2",
        "withdraw rollout/order",
        "collect specs",
    }
    labels = leader_steps.UpdateNode(node_id="n", host="h1", version=1, labels=(("a", "b"),), reason="")
    assert is_bookkeeping(labels)
    assert not is_bookkeeping(replace(labels, availability="drain"))
    assert not is_bookkeeping(steps.LeaveSwarm(reason=""))


# ---- What is blocked, and what waits


def blocked(resource: str, reason: str = "no space") -> Blocked:
    return Blocked(resource=resource, reason=reason, kind="error")


def test_equal_reasons_of_several_resources_and_hosts_are_one_line() -> None:
    plan = ClusterPlan(
        hosts=(
            HostPlan(name="h1", blocked=(blocked("container/a-1"), blocked("container/a-2"))),
            HostPlan(name="h2", blocked=(blocked("container/a-3"), blocked("swarm", "locked"))),
        ),
        everywhere=(blocked("network/net", "overlaps"),),
    )

    assert blocked_groups(plan) == (
        Grouped(resources=("network/net",), hosts=(), reason="overlaps"),
        Grouped(
            resources=("container/a-1", "container/a-2", "container/a-3"),
            hosts=("h1", "h2"),
            reason="no space",
        ),
        Grouped(resources=("swarm",), hosts=("h2",), reason="locked"),
    )


def test_what_waits_is_grouped_by_what_it_waits_for() -> None:
    def waiting(resource: str, on: str) -> Waiting:
        return Waiting(resource=resource, reason="db must be healthy first", on=on)

    plan = ClusterPlan(
        hosts=(
            HostPlan(name="h1", waits=(waiting("container/a-1", "service/db"),)),
            HostPlan(
                name="h2",
                waits=(waiting("container/a-2", "service/db"), waiting("container/a-3", "document/")),
                waiting=(waiting("container/b-1", "service/other"),),
            ),
        )
    )

    assert waiting_groups(plan) == (
        Grouped(
            resources=("container/b-1",), hosts=("h2",), reason="db must be healthy first", on="service/other"
        ),
        Grouped(
            resources=("container/a-1", "container/a-2"),
            hosts=("h1", "h2"),
            reason="",
            on="service/db",
        ),
    )


def test_a_wait_that_ends_within_the_plan_is_kept_for_its_host() -> None:
    plan = plan_cluster(ClusterState(revision=1, document=document(WANTED)))

    assert [(each.resource, each.on) for each in plan.hosts[1].waits if each.on.startswith("host/")] == [
        ("swarm", "host/h1")
    ]
    assert plan.waiting == ()


# ---- Ports


def with_stranger(*ports: str, running_: bool = True) -> ClusterState:
    """Both hosts as `running`; an unmanaged container of h2 publishes these ports."""
    stranger = Attached(id="s", name="stranger", running=running_, networks=("bridge",), ports=ports)
    seen = host(container(2), swarm=member("h2", of=NODES), attached=(stranger,))
    state = running()
    return replace(state, statuses={**state.statuses, "h2": report("h2", seen)})


def held(state: ClusterState, *ports: Port) -> list[str]:
    wanted = intent(
        service(on={"h1": 1, "h2": 1}, spec=order("1.0.1", ports=ports)), hosts="h1 h2", revision=9
    )
    return [str(each) for each in plan_cluster(replace(state, document=document(wanted))).blocked]


def test_a_port_that_an_unmanaged_container_publishes_is_foreseen() -> None:
    web = Port(target=80, published=8081)

    assert held(with_stranger("8081/tcp"), web) == [
        "blocked container/prod-order-2: port 8081/tcp is used by the container stranger"
    ]
    assert held(with_stranger("8081/tcp", running_=False), web) == []
    assert held(with_stranger("8081/udp", "8082/tcp", "10.0.0.1:8083/tcp"), web) == []
    assert len(held(with_stranger("10.0.0.1:8081/tcp"), web)) == 1


def test_a_port_that_a_replaced_replica_publishes_itself_is_free() -> None:
    ours = Attached(id="id-2", name="prod-order-2", networks=("net",), ports=("8081/tcp",))
    found = container(2)
    seen = host(found, swarm=member("h2", of=NODES), attached=(replace(ours, id=found.id),))
    state = running()
    state = replace(state, statuses={**state.statuses, "h2": report("h2", seen)})

    assert held(state, Port(target=80, published=8081)) == []
