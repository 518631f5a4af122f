"""An overlay that is declared otherwise than it is: refused without the permission, recreated in order with it."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

import pytest

from agent.diff.networks import others_on
from agent.model.host_state import Attached, HostState, NetworkState
from agent.model.intent import Intent, PolicyIntent
from agent.model.leader_steps import PublishSwarm
from agent.model.observed import ClusterState
from agent.model.records import Disruption, SwarmRecord
from agent.model.spec import Port, spec_hash
from agent.model.status import BridgeReport, HostStatus, ReplicaReport
from agent.model.steps import StopContainer
from agent.planner import make_plan
from agent.planner.dry_run.cluster import plan_cluster
from agent.planner.host.bridge import phase_of
from agent.planner.leader.disruption import plan_disruption
from agent.planner.leader.recreate import POLICY, plan_recreations
from agent.planner.leader.swarm import plan_swarm
from agent.report.status import UNLED_S, host_status
from tests.support.builders import (
    OVERLAY,
    bridge_network,
    cluster,
    container,
    differs,
    document,
    host,
    intent,
    member,
    node,
    observed,
    order,
    overlay_network,
    record,
    service,
    status,
    told,
    worker,
)

MOVED = replace(OVERLAY, subnet=IPv4Network("10.99.0.0/16"), gateway=IPv4Address("10.99.0.1"))
WHY = "subnet: 10.99.0.0/16 wanted, 10.10.0.0/16 found; gateway: 10.99.0.1 wanted, 10.10.0.254 found"
PUBLISHING = order(ports=(Port(target=80, published=8080), Port(target=81)))
OURS = overlay_network(ours=True)


def wanted(*, allowed: bool, **more: Any) -> Intent:
    """Two hosts with a replica each, one of them publishing; the overlay moves."""
    return intent(
        service(on={"h1": 1, "h2": 1}, spec=PUBLISHING),
        hosts="h1 h2:worker",
        **{"networks": (MOVED,), "policy": PolicyIntent(allow_network_recreate=allowed), **more},
    )


def report(name: str, slot: int, *, on: bool = True, **more: Any) -> HostStatus:
    """A host with one replica, which belongs to the overlay unless it was taken off."""
    replica = ReplicaReport(
        service="order",
        slot=slot,
        spec=spec_hash(PUBLISHING),
        id=f"id-{slot}",
        name=f"prod-order-{slot}",
        status="running" if on else "exited",
        addresses=(("net", f"10.10.0.{slot}"),) if on else (),
    )
    return status(name, **{"replicas": (replica,), **more})


Hosts = Mapping[str, HostStatus]


def scene(
    hosts: Hosts | None = None,
    *,
    allowed: bool = True,
    recreating: tuple[str, ...] = (),
    intents: Intent | None = None,
) -> ClusterState:
    """etcd as the leader reads it; `hosts` are those that are otherwise than with one replica each on the overlay."""
    statuses = {"h1": report("h1", 1), "h2": report("h2", 2), **(hosts or {})}
    return cluster(
        intents or wanted(allowed=allowed),
        record=record(networks=() if recreating else ("net",), recreating=recreating),
        statuses=statuses,
        present={name: f"run-{name}" for name in statuses},
    )


THEIRS = (
    Attached(id="id-2", name="prod-order-2", networks=("net",)),
    Attached(id="w", name="their-web", running=False, networks=("net",)),
    Attached(id="d", name="their-db", networks=("elsewhere",)),
)
OFF: Hosts = {name: report(name, slot, on=False) for slot, name in enumerate(("h1", "h2"), 1)}


def seen(found: NetworkState = OURS) -> HostState:
    nodes = (node("h1"), node("h2", "worker"))
    return host(networks=(bridge_network(), found), swarm=member(of=nodes))


def leaders(state: ClusterState, found: NetworkState = OURS) -> list[str]:
    """What the leader does about the overlay."""
    assert state.accepted is not None
    return told(plan_recreations(state.accepted, observed(state, seen(found), leads=True)))


def announced(state: ClusterState, found: NetworkState = OURS) -> SwarmRecord:
    """The record that the leader would have."""
    assert state.accepted is not None
    plan = plan_swarm(state.accepted, observed(state, seen(found), leads=True))
    published = [step.record for step in plan.steps if isinstance(step, PublishSwarm)]
    assert state.record is not None
    return published[0] if published else state.record


# ---- without the word


def test_without_the_word_every_replica_host_and_port_it_would_touch_is_named_and_the_word() -> None:
    (said,) = leaders(scene(allowed=False))

    assert said == (
        f"blocked network/net: {WHY}: to recreate it with all its containers "
        "(on h1 prod-order-1 (publishes 8080/tcp); on h2 prod-order-2 (publishes 8080/tcp)), "
        f"set {POLICY}: true"
    )
    blocked = plan_recreations(
        wanted(allowed=False), observed(scene(allowed=False), seen(), leads=True)
    ).blocked
    assert [each.kind for each in blocked] == ["guard"]


def test_without_the_word_the_overlay_stays_in_use() -> None:
    after = announced(scene(allowed=False))

    assert (after.networks, after.recreating) == (("net",), ())


def test_an_overlay_without_a_replica_waits_for_the_word_too() -> None:
    empty = {name: status(name) for name in ("h1", "h2")}

    assert "(no containers)" in leaders(scene(empty, allowed=False))[0]


@pytest.mark.parametrize(
    "found",
    [
        overlay_network(ours=True, internal=True),
        overlay_network(ours=True, attachable=False),
        overlay_network(ours=True, options=(("encrypted", ""),)),
    ],
)
def test_whatever_differs_is_a_reason(found: NetworkState) -> None:
    (said,) = leaders(scene(allowed=False, intents=wanted(allowed=False, networks=(OVERLAY,))), found)

    assert f"set {POLICY}: true" in said


def test_an_overlay_that_is_as_declared_is_left_alone() -> None:
    right = overlay_network(ours=True, subnet=MOVED.subnet, gateway="10.99.0.1")

    assert leaders(scene(), right) == []
    assert announced(scene(), right).recreating == ()


# ---- with it


def test_with_the_word_the_leader_says_first_that_it_is_to_be_recreated() -> None:
    assert leaders(scene()) == []
    after = announced(scene())
    assert (after.networks, after.recreating) == ((), ("net",))


def test_then_it_waits_until_every_host_has_taken_its_replicas_off() -> None:
    state = scene({"h1": OFF["h1"]}, recreating=("net",))

    assert leaders(state) == [
        f"waiting network/net: {WHY}: recreation waits for its users to detach: prod-order-2 on h2"
    ]
    assert announced(state).recreating == ("net",)


def test_a_replica_that_is_stopped_and_still_belongs_to_it_is_on_it() -> None:
    stopped = ReplicaReport(
        service="order", slot=2, spec="x", id="id-2", name="prod-order-2", status="exited",
        addresses=(("net", ""),),
    )  # fmt: skip
    state = scene({"h1": OFF["h1"], "h2": report("h2", 2, replicas=(stopped,))}, recreating=("net",))

    assert "users to detach: prod-order-2 on h2" in leaders(state)[0]


def test_what_the_swarm_still_has_on_it_counts_although_the_reports_say_it_is_off() -> None:
    found = replace(OURS, users=(("id-2", "node-h2"),))

    assert "users to detach: id-2" in leaders(scene(OFF, recreating=("net",)), found)[0]


def test_when_nobody_is_on_it_any_more_it_is_removed_by_its_id() -> None:
    assert leaders(scene(OFF, recreating=("net",))) == [f"remove network/net: {WHY}"]


def test_it_is_not_removed_before_the_hosts_were_told() -> None:
    assert leaders(scene(OFF)) == []


def test_one_that_was_never_allocated_is_removed_without_asking() -> None:
    broken = overlay_network(ours=True, driver="", subnet=None, gateway=None)

    assert leaders(scene(allowed=False), broken) == [
        "remove network/net: driver: overlay wanted, none (never allocated) found"
    ]
    assert announced(scene(), broken).recreating == ()


# ---- what is in the way


def test_an_overlay_without_our_label_is_never_recreated() -> None:
    assert leaders(scene(), overlay_network()) == []
    assert announced(scene(), overlay_network()).recreating == ()
    assert "not managed by this cluster" in str(
        make_plan(observed(scene(), seen(overlay_network()), leads=True))
    )


def test_an_external_one_is_never_recreated_whoever_made_it() -> None:
    state = scene(intents=wanted(allowed=True, networks=(replace(MOVED, external=True),)))

    assert (leaders(state), announced(state).recreating) == ([], ())


def test_containers_of_others_are_named_and_nothing_is_stopped() -> None:
    theirs = report("h2", 2, attached=THEIRS)
    state = scene({"h2": theirs})

    assert leaders(state) == [
        f"blocked network/net: {WHY}: not recreated while unmanaged containers use it: their-web on h2"
    ]
    assert announced(state).recreating == ()
    assert "not managed: their-web on h2" in leaders(scene({"h2": theirs}, allowed=False))[0]


def test_a_service_and_a_container_on_a_node_without_an_agent_are_named_as_the_swarm_knows_them() -> None:
    found = replace(OURS, users=(("0123456789abcdef", "node-x"), ("id-1", "node-h1"), ("service web", "")))

    assert leaders(scene(), found)[0].endswith(": container 0123456789ab on node node-x, service web")


def test_a_container_that_has_just_come_to_a_host_with_an_agent_is_no_stranger_yet() -> None:
    """Its next report says whose it is."""
    found = replace(OURS, users=(("just-started", "node-h2"),))

    assert others_on(found, scene()) == ()
    assert announced(scene(), found).recreating == ("net",)


def test_a_host_whose_agent_is_away_is_waited_for_before_anything_is_stopped() -> None:
    state = replace(scene(), present={"h1": "run-h1"})

    assert leaders(state) == [
        f"waiting network/net: {WHY}: recreation waits for the agent of h2 (prod-order-2)"
    ]
    assert announced(state).recreating == ()


def test_an_agent_that_is_away_from_a_host_without_a_replica_is_not_waited_for() -> None:
    state = replace(scene({"h2": status("h2")}), present={"h1": "run-h1"})

    assert announced(state).recreating == ("net",)


def test_a_host_that_has_not_reported_yet_is_waited_for() -> None:
    state = replace(scene(), present={"h1": "run-h1", "h2": "run-h2", "h3": "run-h3"})

    assert "the first report of h3" in leaders(state)[0]


@pytest.mark.parametrize("state", ["granted", "acquired"])
def test_a_host_that_is_being_disturbed_releases_the_disruption_slot_first(
    state: Literal["granted", "acquired"],
) -> None:
    disruption = Disruption(
        host="h2", state=state, reason="docker_gwbridge of h2 is not as declared", quorum=True
    )
    busy = replace(scene(), disruption=disruption)

    assert leaders(busy)[0].endswith(
        "until h2 releases the disruption slot: docker_gwbridge of h2 is not as declared"
    )
    assert announced(busy).recreating == ()
    assert announced(replace(busy, disruption=replace(disruption, state="released"))).recreating == ("net",)


def test_no_host_gets_the_disruption_slot_before_the_overlay_is_recreated() -> None:
    waits = report("h2", 2, bridge=BridgeReport(phase="waiting", revision=7))
    state = scene({"h2": waits}, recreating=("net",))
    assert state.accepted is not None

    assert told(plan_disruption(state.accepted, observed(state, seen(), leads=True))) == [
        "waiting disruption/h2: waiting for the disruption slot until net is recreated"
    ]


def test_a_host_whose_dockerd_is_away_is_waited_for() -> None:
    assert "the dockerd of h2 (prod-order-2)" in leaders(scene({"h2": report("h2", 2, engine_up=False)}))[0]


def test_when_something_comes_into_the_way_the_replicas_come_back() -> None:
    """Nothing was removed yet: better the overlay as it was than none for as long as somebody is away."""
    state = replace(scene(recreating=("net",)), present={"h1": "run-h1"})

    after = announced(state)

    assert (after.networks, after.recreating) == (("net",), ())


def test_when_the_word_is_taken_back_the_replicas_come_back() -> None:
    after = announced(scene(allowed=False, recreating=("net",)))

    assert (after.networks, after.recreating) == (("net",), ())


def test_without_a_quorum_nothing_is_said_and_nothing_taken_back() -> None:
    silent = replace(seen(), swarm=replace(member(), nodes=None))
    state = scene(recreating=("net",))
    assert state.accepted is not None

    assert told(plan_recreations(state.accepted, observed(state, silent, leads=True))) == []
    assert plan_swarm(state.accepted, observed(state, silent, leads=True)).steps == ()


# ---- an overlay that no replica could join

UNUSABLE = (
    "attaching to network failed, make sure your network options are correct: context deadline exceeded"
)


def failed(name: str, slot: int, *, on: bool = True, error: str = UNUSABLE) -> HostStatus:
    """A host whose replica docker could not start on the overlay, still on it or taken off."""
    (replica,) = report(name, slot, on=False).replicas
    addresses = (("net", ""),) if on else ()
    return status(name, replicas=(replace(replica, error=error, addresses=addresses),))


def none_runs(*, on: bool = True, **more: Any) -> ClusterState:
    each = {name: failed(name, slot, on=on) for slot, name in enumerate(("h1", "h2"), 1)}
    return scene(each, allowed=False, **more)


def test_what_undoes_it_needs_no_word_as_nothing_runs_there() -> None:
    assert announced(none_runs()).recreating == ("net",)
    assert leaders(none_runs(recreating=("net",))) == [
        f"waiting network/net: {WHY}: recreation waits for its users to detach: prod-order-1 on h1, prod-order-2 on h2"
    ]
    assert leaders(none_runs(on=False, recreating=("net",))) == [f"remove network/net: {WHY}"]


def test_one_replica_that_runs_there_or_has_only_ended_needs_the_word() -> None:
    runs = {"h1": failed("h1", 1)}
    ended = {"h1": failed("h1", 1), "h2": failed("h2", 2, error="")}

    for each in (runs, ended):
        assert f"set {POLICY}: true" in leaders(scene(each, allowed=False))[0]
        assert announced(scene(each, allowed=False)).recreating == ()


def test_a_host_takes_a_replica_off_that_does_not_run_there_without_the_word() -> None:
    found = on_worker(status="exited", error=UNUSABLE, addresses=(("net", ""),))

    assert hosts(assigned(scene(allowed=False, recreating=("net",))), found) == [
        "disconnect container/prod-order-2: net is recreated"
    ]


# ---- a host's part


def hosts(state: ClusterState, found: HostState, *, stale: bool = False) -> list[str]:
    there = observed(state, found, me="h2", stale=stale)
    return [line for line in told(make_plan(there)) if "container/" in line]


def on_worker(*, spec: Any = PUBLISHING, **more: Any) -> HostState:
    replica = container(2, of=spec, **{"addresses": (("net", "10.10.0.2"),), **more})
    return host(replica, swarm=worker("h2"), networks=(bridge_network(), overlay_network()))


def assigned(state: ClusterState) -> ClusterState:
    assert state.accepted is not None
    return replace(state, assignment=cluster(state.accepted, "h2").assignment)


def test_a_replica_on_it_is_stopped_and_taken_off() -> None:
    assert hosts(assigned(scene(recreating=("net",))), on_worker()) == [
        "stop container/prod-order-2: net is recreated",
        "disconnect container/prod-order-2: net is recreated",
    ]


def test_a_recreation_of_what_the_host_finds_as_declared_stops_no_replica_and_is_named() -> None:
    """Any host that may lead can name the overlay in the record."""
    state = assigned(scene(recreating=("net", "local", "unknown")))
    right = overlay_network(subnet=MOVED.subnet, gateway=str(MOVED.gateway))
    local = NetworkState(id="l", name="local", driver="bridge", scope="local", subnet=None, gateway=None)
    found = on_worker(addresses=(("net", "10.10.0.2"), ("local", "10.20.0.2")))
    plan = make_plan(observed(state, replace(found, networks=(bridge_network(), right, local)), me="h2"))
    assert not plan.of(StopContainer)
    named = [each for each in plan.blocked if each.kind == "untrusted"]
    assert [(each.resource, each.reason.split()[0]) for each in named] == [
        ("swarm", "local"),
        ("swarm", "net"),
    ]
    assert "this host finds it as declared, so its replicas run on" in named[1].reason


@pytest.mark.parametrize("status", ["created", "exited"])
def test_a_replica_that_does_not_run_is_taken_off_too(status: str) -> None:
    found = on_worker(status=status, addresses=(("net", ""),))

    assert hosts(assigned(scene(recreating=("net",))), found) == [
        "disconnect container/prod-order-2: net is recreated"
    ]


def test_one_that_is_off_waits_whatever_else_it_lacks() -> None:
    off = on_worker(status="exited", addresses=(), differences=(differs("networks.net", "reconnect", "net"),))

    assert hosts(assigned(scene(recreating=("net",))), off) == [
        "waiting container/prod-order-2: network net is recreated"
    ]


def test_the_new_image_is_pulled_meanwhile() -> None:
    off = replace(on_worker(status="exited", addresses=()), images=frozenset())
    plan = make_plan(observed(assigned(scene(recreating=("net",))), off, me="h2"))

    assert [str(step) for step in plan.steps] == ["pull image/order:1.0.0: wanted by prod-order-2"]


def test_when_it_is_there_again_the_replica_is_connected_and_started() -> None:
    missing = differs("networks.net", "reconnect", "net")
    off = on_worker(status="exited", exit_code=143, addresses=(), differences=(missing,))

    assert hosts(assigned(scene()), off) == [
        f"connect container/prod-order-2: {missing}",
        "start container/prod-order-2: exited with 143",
    ]


def test_while_it_is_missing_the_replica_waits() -> None:
    missing = differs("networks.net", "reconnect", "net")
    off = on_worker(status="exited", addresses=(), differences=(missing,))
    gone = replace(scene(), record=record(networks=()))

    assert hosts(assigned(gone), replace(off, networks=(bridge_network(),))) == [
        "waiting container/prod-order-2: network net is not ready yet",
    ]


def test_while_etcd_is_away_no_replica_is_stopped_for_it() -> None:
    assert hosts(assigned(scene(recreating=("net",))), on_worker(), stale=True) == []


def test_a_host_whose_document_does_not_allow_it_takes_no_replica_off() -> None:
    assert hosts(assigned(scene(allowed=False, recreating=("net",))), on_worker()) == []


def test_a_replica_on_another_network_is_not_touched() -> None:
    spec = replace(PUBLISHING, networks=())
    elsewhere = container(2, of=spec, addresses=(("bridge", "172.17.0.2"),))
    other = intent(
        service(on={"h2": 1}, spec=spec),
        hosts="h1 h2:worker",
        networks=(MOVED,),
        policy=PolicyIntent(allow_network_recreate=True),
    )
    state = assigned(scene(recreating=("net",), intents=other))
    assert state.assignment is not None
    (replica,) = state.assignment.replicas
    found = host(replace(elsewhere, replica=replica, name="prod-order-1"), swarm=worker("h2"))

    assert hosts(state, found) == []


# ---- the whole cluster


def whole(*, allowed: bool) -> ClusterState:
    """Both hosts as the old document says, each with a replica; the new document has been put."""
    nodes = (node("h1"), node("h2"))
    managers = tuple((each.id, each.manager_address) for each in nodes)
    before = intent(service(on={"h1": 1, "h2": 1}, spec=PUBLISHING), hosts="h1 h2")
    after = intent(
        service(on={"h1": 1, "h2": 1}, spec=PUBLISHING),
        hosts="h1 h2",
        revision=9,
        networks=(MOVED,),
        policy=PolicyIntent(allow_network_recreate=allowed),
    )
    state = cluster(before, record=record(managers=managers), present={"h1": "run-h1", "h2": "run-h2"})
    for slot, name in enumerate(("h1", "h2"), 1):
        replica = container(slot, of=PUBLISHING, addresses=(("net", f"10.10.0.{slot}"),))
        found = host(replica, swarm=member(name, of=nodes), networks=(bridge_network(), OURS))
        there = observed(replace(state, assignment=cluster(before, name).assignment), found, me=name)
        there = replace(there, unled_s=UNLED_S)  # without a leader each manager lists the nodes
        said = host_status(
            there, make_plan(there), (), {}, None, "2024-05-01T00:00:00Z", "0.1.0", phase=phase_of(there)
        )
        assignment = cluster(before, name).assignment
        assert assignment is not None
        state = replace(
            state,
            statuses={**state.statuses, name: said},
            assignments={**state.assignments, name: assignment},
        )
    return replace(state, document=document(after))


def test_the_plan_shows_what_would_be_refused_and_that_nothing_is_touched() -> None:
    plan = plan_cluster(whole(allowed=False))

    assert {each.kind for each in plan.blocked} == {"guard"}
    assert {step.verb for step in plan.steps} == {"publish"}


def test_the_plan_shows_the_whole_way_to_the_new_overlay() -> None:
    plan = plan_cluster(whole(allowed=True))

    leader, other = (
        [str(step) for step in each.steps if step.kind in ("overlay", "container", "swarm")]
        for each in plan.hosts
    )
    assert leader == [
        "publish swarm-record: net will be recreated",
        "stop container/prod-order-1: net is recreated",
        "disconnect container/prod-order-1: net is recreated",
        f"remove network/net: {WHY}",
        "publish swarm-record: managers or networks changed",
        "create network/net: declared, and missing in the swarm",
        "publish swarm-record: managers or networks changed",
        "connect container/prod-order-1: networks.net: attached wanted, nothing found",
        "start container/prod-order-1: exited with 0",
    ]
    assert other == [
        "stop container/prod-order-2: net is recreated",
        "disconnect container/prod-order-2: net is recreated",
        "connect container/prod-order-2: networks.net: attached wanted, nothing found",
        "start container/prod-order-2: exited with 0",
    ]
    assert plan.settled
    assert plan.blocked == ()
