"""Who is disturbed when: one host at a time, in an order, and the next only when the last one is well."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent.model.host_state import NodeState
from agent.model.intent import PARKING
from agent.model.observed import ClusterState
from agent.model.records import Disruption, MembershipOrder
from agent.model.status import (
    BlockedReport,
    BridgeReport,
    HostStatus,
    JoinedReport,
    NetworkReport,
    ReplicaReport,
    StepReport,
    Waiting,
)
from agent.planner.leader.disruption import plan_disruption, why_unwell
from tests.support.builders import (
    ADDRESSES,
    REVISION,
    Seen,
    cluster,
    host,
    intent,
    member,
    node,
    observed,
    status,
    told,
)
from tests.support.guests import disruption, says

HOSTS = "h1 h2 h3"
NODES = (node("h1", leader=True), node("h2"), node("h3"))


def seen(
    phases: Mapping[str, Any],
    now: Disruption | None = None,
    *,
    hosts: str = HOSTS,
    nodes: Iterable[NodeState] | None = NODES,
    me: str = "h1",
    away: Iterable[str] = (),
    statuses: Iterable[HostStatus] = (),
    revision: int = 60,
    led_s: float = 60.0,
) -> Seen:
    """What the leader sees, when each host says in which phase its bridge is, or all that it says."""
    roles = {name: role or "manager" for name, _, role in (each.partition(":") for each in hosts.split())}
    said = {
        name: says(name, phase, is_manager=roles.get(name) == "manager") for name, phase in phases.items()
    }
    said |= {each.node_id.removeprefix("node-"): each for each in statuses if each.node_id}
    state = cluster(
        intent(hosts=hosts),
        statuses=said,
        present={name: f"run-{name}" for name in said if name not in away},
        disruption=now,
        disruption_revision=revision if now else 0,
    )
    swarm = replace(member(me), nodes=None) if nodes is None else member(me, of=nodes)
    return replace(observed(state, host(swarm=swarm), me=me, leads=True), led_s=led_s)


def planned(found: Seen) -> list[str]:
    assert found.cluster is not None
    assert found.cluster.accepted is not None
    return told(plan_disruption(found.cluster.accepted, found))


def offer(name: str) -> list[str]:
    return [f"grant disruption/{name}: docker_gwbridge of {name} is not as declared"]


# ---- which host gets the disruption slot


def test_nobody_gets_it_while_a_host_leaves_the_swarm_on_the_leaders_word_or_comes_back() -> None:
    waits = ["waiting disruption/h2: waiting for the disruption slot: h3 is not back in the swarm"]
    leaves = MembershipOrder(state="active", node_id="node-h3", what="leave", reason="r")
    joined = JoinedReport(node_id="node-h3", through="", engine="e")

    def with_h3(membership_order: MembershipOrder | None, **more: Any) -> list[str]:
        found = seen({"h1": "right", "h2": "waiting", "h3": "right"})
        assert found.cluster is not None
        said = {**found.cluster.statuses, "h3": replace(found.cluster.statuses["h3"], **more)}
        membership_orders = {"h3": membership_order} if membership_order else {}
        return planned(
            replace(found, cluster=replace(found.cluster, statuses=said, membership_orders=membership_orders))
        )

    assert with_h3(leaves) == waits
    assert with_h3(None, state="inactive", node_id=None, joined=joined) == waits
    assert with_h3(None, state="inactive", node_id=None) == offer("h2")
    unheard = BlockedReport(resource="swarm", reason="r; but it is in use", kind="role")
    assert with_h3(leaves, blocked=(unheard,)) == waits
    held = replace(unheard, reason="database would lose its overlay if the host left", order=leaves)
    assert with_h3(leaves, blocked=(held,)) == offer("h2")
    assert with_h3(replace(leaves, reason="another one"), blocked=(held,)) == waits


def test_nobody_gets_it_while_a_host_is_at_work_without_one() -> None:
    """Its bridge was broken, or somebody has deleted the disruption slot that it had."""
    phases = {"h1": "waiting", "h2": "moving", "h3": "right"}
    waits = ["waiting disruption/h1: waiting for the disruption slot: h2 changes its docker_gwbridge"]

    assert planned(seen(phases)) == waits
    assert planned(seen(phases, disruption("h3", "released"))) == waits
    down = status("h2", engine_up=False, bridge=BridgeReport(phase="moving", revision=REVISION))
    assert planned(seen(phases, statuses=[down])) == offer("h1")


def test_a_host_that_has_begun_gets_it_before_all_others_again() -> None:
    begun = NetworkReport(
        id="parking",
        name=PARKING,
        driver="bridge",
        scope="local",
        labels=(("io.swarmkeeper.parking", "true"),),
    )
    theirs = replace(begun, labels=())
    waiting = dict.fromkeys(("h1", "h2", "h3"), "waiting")

    assert planned(seen(waiting, statuses=[replace(says("h3", "waiting"), networks=(begun,))])) == offer("h3")
    assert planned(seen(waiting, statuses=[replace(says("h3", "waiting"), networks=(theirs,))])) == offer(
        "h2"
    )


def test_nobody_gets_the_disruption_slot_that_does_not_ask_for_it() -> None:
    assert planned(seen({"h1": "right", "h2": "moving", "h3": "held"})) == []
    assert planned(seen({"h1": "", "h2": ""})) == []


def test_a_copied_machine_that_was_told_to_do_nothing_keeps_nobody_waiting() -> None:
    """It would neither acquire nor release the disruption slot."""
    hold = MembershipOrder(
        state="active", node_id="node-h3", what="quarantine", reason="node node-h3 is h3's"
    )
    phases = {"h1": "right", "h2": "waiting", "h3": "waiting"}

    def with_held_h2(now: Disruption | None, **more: str) -> list[str]:
        found = seen(phases | more, now)
        assert found.cluster is not None
        return planned(replace(found, cluster=replace(found.cluster, membership_orders={"h2": hold})))

    assert with_held_h2(None) == offer("h3")
    assert with_held_h2(disruption("h2", "granted")) == [
        "revoke disruption/h2: the host no longer needs the disruption slot"
    ]
    assert with_held_h2(None, h2="moving") == offer("h3")
    (stuck,) = with_held_h2(disruption("h2", "acquired"), h2="moving")
    assert stuck.endswith("and cannot finish: it is quarantined: node node-h3 is h3's")


def test_one_gets_it_at_a_time() -> None:
    waiting = {"h1": "waiting", "h2": "waiting", "h3": "waiting"}

    assert planned(seen(waiting)) == offer("h2")
    assert planned(seen(waiting, disruption("h2", "granted"))) == []
    assert planned(seen({**waiting, "h2": "moving"}, disruption("h2", "acquired"))) == []
    assert planned(seen({**waiting, "h2": "right"}, disruption("h2", "released"))) == offer("h3")


@pytest.mark.parametrize(
    ("waiting", "first"),
    [("h1 h2 h3", "h3"), ("h1 h2", "h2"), ("h1", "h1")],
)
def test_workers_come_first_then_managers_and_the_raft_leader_last(waiting: str, first: str) -> None:
    nodes = (node("h1", leader=True), node("h2"), node("h3", "worker"))
    found = seen(dict.fromkeys(waiting.split(), "waiting"), hosts="h1 h2 h3:worker", nodes=nodes)

    assert planned(found) == offer(first)


def test_the_raft_leader_is_last_also_where_another_host_leads_the_cluster() -> None:
    nodes = (node("h1"), node("h2", leader=True), node("h3"))
    waiting = dict.fromkeys(("h1", "h2", "h3"), "waiting")

    assert planned(seen(waiting, nodes=nodes)) == offer("h3")
    assert planned(seen({"h1": "waiting", "h2": "waiting"}, nodes=nodes)) == offer("h1")


def test_without_a_node_list_the_roles_that_hosts_report_count_and_this_host_is_last() -> None:
    waiting = dict.fromkeys(("h1", "h2", "h3"), "waiting")

    assert planned(seen(waiting, hosts="h1 h2 h3:worker", nodes=None)) == offer("h3")
    assert planned(seen({"h1": "waiting", "h2": "waiting"}, nodes=None)) == offer("h2")


def test_a_lone_manager_gets_the_disruption_slot() -> None:
    assert planned(seen({"h1": "waiting"}, hosts="h1", nodes=(node("h1", leader=True),))) == offer("h1")


@pytest.mark.parametrize(
    "said",
    [
        says("h2", "waiting", revision=REVISION - 1),
        says("h2", "waiting", instance="an earlier run"),
    ],
    ids=["of another intent", "of an earlier run of the agent"],
)
def test_what_a_host_said_before_asks_for_nothing_now(said: HostStatus) -> None:
    assert planned(seen({"h1": "right"}, statuses=[said])) == []


@pytest.mark.parametrize(
    "said",
    [
        says("h2", "waiting", revision=REVISION - 1),
        says("h2", "waiting", instance="an earlier run"),
    ],
    ids=["of another intent", "of an earlier run of the agent"],
)
def test_nobody_is_first_before_everybody_who_is_there_has_said_whether_it_needs_the_disruption_slot(
    said: HostStatus,
) -> None:
    waits = "waiting disruption/h1: h2 has not reported whether it needs the disruption slot"
    assert planned(seen({"h1": "waiting"}, statuses=[said])) == [waits]
    assert planned(seen({"h1": "waiting", "h3": "right"}, disruption("h3", "released"), statuses=[said])) == [
        waits
    ]
    assert planned(seen({"h1": "waiting"}, statuses=[said], away=["h2"])) == offer("h1")


def test_a_new_leader_waits_a_little_for_agents_that_start_with_its_own() -> None:
    waiting = {"h1": "waiting"}

    assert planned(seen(waiting, led_s=0.5)) == [
        "waiting disruption/h1: h2, h3 have not reported whether they need the disruption slot"
    ]
    assert planned(seen(waiting, led_s=10.0)) == offer("h1")


@pytest.mark.parametrize(
    "nodes",
    [None, (node("h1", leader=True), node("h2", state="down"), node("h3", state="down"))],
    ids=["of which nothing is known", "that are down"],
)
def test_agents_of_nodes_that_are_not_ready_are_not_waited_for(nodes: tuple[NodeState, ...] | None) -> None:
    assert planned(seen({"h1": "waiting"}, nodes=nodes, led_s=0.5)) == offer("h1")


def test_a_host_whose_dockerd_is_down_cannot_say_and_is_not_waited_for() -> None:
    down = status("h2", engine_up=False, bridge=BridgeReport())
    assert planned(seen({"h1": "waiting"}, statuses=[down])) == offer("h1")


def test_a_host_the_intent_does_not_name_gets_no_disruption_slot() -> None:
    assert planned(seen({"h2": "waiting"}, hosts="h1")) == []


def test_a_host_that_cannot_be_changed_lets_the_others_go() -> None:
    assert planned(seen({"h1": "waiting", "h2": "held", "h3": "right"})) == offer("h1")
    assert planned(
        seen({"h1": "waiting", "h2": "held", "h3": "right"}, disruption("h2", "released"))
    ) == offer("h1")


def test_a_key_that_cannot_be_read_counts_as_a_held_disruption_slot() -> None:
    found = seen({"h1": "waiting"})
    assert found.cluster is not None
    state: ClusterState = cluster(
        intent(hosts=HOSTS),
        statuses=found.cluster.statuses,
        present=found.cluster.present,
        disruption_revision=9,
    )

    assert planned(observed(state, found.host, leads=True)) == []


# ---- how the disruption slot ends


def test_a_disruption_slot_that_is_not_needed_any_more_is_revoked() -> None:
    assert planned(seen({"h1": "right", "h2": "right"}, disruption("h2", "released"))) == [
        "revoke disruption/h2: no other host needs the disruption slot"
    ]
    assert planned(seen({"h1": "waiting", "h2": "right"}, disruption("h2", "granted"))) == [
        "revoke disruption/h2: the host no longer needs the disruption slot"
    ]


def test_an_offer_to_a_host_that_went_away_ends_and_another_one_gets_it() -> None:
    assert planned(seen({"h1": "waiting", "h2": "waiting"}, disruption("h2", "granted"), away=["h2"])) == [
        "revoke disruption/h2: the agent of h2 is not running"
    ]
    assert planned(seen({"h1": "waiting", "h2": "waiting"}, away=["h2"])) == offer("h1")


def test_a_host_that_dies_with_the_disruption_slot_keeps_it_and_that_is_said() -> None:
    (held,) = planned(seen({"h1": "waiting", "h2": "moving"}, disruption("h2"), away=["h2"]))
    assert held == (
        "waiting disruption/h2: h2 became unreachable while it held the disruption slot "
        "(docker_gwbridge of h2 is not as declared): the next host waits for it"
    )


def test_a_host_that_died_with_the_disruption_slot_and_left_the_intent_delays_no_other() -> None:
    assert planned(seen({"h1": "waiting", "h2": "moving"}, disruption("h2"), hosts="h1 h3", away=["h2"])) == [
        "revoke disruption/h2: the agent of h2 is not running"
    ]


def test_a_host_that_is_up_releases_the_disruption_slot_itself() -> None:
    for phase in ("moving", "right", "waiting", ""):
        assert planned(seen({"h1": "waiting", "h2": phase}, disruption("h2"))) == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (says("h2", "moving", engine_up=False), "its dockerd does not answer"),
        (says("h2", "held"), "its bridge change is blocked"),
    ],
)
def test_that_a_host_cannot_go_on_in_the_disruption_slot_is_said(said: HostStatus, why: str) -> None:
    has = "h2 has the disruption slot (docker_gwbridge of h2 is not as declared) and cannot finish"

    assert planned(seen({"h1": "waiting"}, disruption("h2"), statuses=[said])) == [
        f"waiting disruption/h2: {has}: {why}"
    ]


def test_a_host_whose_bridge_is_wrong_again_after_the_disruption_slot_gets_it_again_before_any_other() -> (
    None
):
    again = {"h1": "waiting", "h2": "waiting", "h3": "waiting"}

    assert planned(seen(again, disruption("h3", "released"))) == offer("h3")


def test_a_bad_end_of_the_disruption_slot_is_remembered_while_no_host_asks_for_it() -> None:
    down = says("h2", "right", steps=(start("prod-order-1"),), replicas=(replica(),))

    assert planned(seen({"h1": "moving"}, disruption("h2", "released"), statuses=[down])) == []


# ---- whether the last one is well


def replica(name: str = "prod-order-1", status: Any = "exited") -> ReplicaReport:
    return ReplicaReport(service="order", slot=1, spec="s", id="id", name=name, status=status)


def start(name: str) -> StepReport:
    return StepReport(
        resource=f"container/{name}", verb="start", text=f"start container/{name}: exited with 1"
    )


def unwell(*, after: HostStatus | None, now: Disruption | None = None, **more: Any) -> list[str]:
    done = now or disruption("h2", "released")
    found = seen({"h1": "waiting", "h3": "right"}, done, statuses=[after] if after else [], **more)
    assert found.cluster is not None
    assert found.cluster.accepted is not None
    faults = list(why_unwell(found.cluster.accepted, found, done))
    if faults:
        assert planned(found) == [f"waiting disruption/h2: the next host waits: {'; '.join(faults)}"]
    else:
        assert planned(found) == offer("h1")
    return faults


def test_the_next_one_goes_when_the_last_one_is_well() -> None:
    assert unwell(after=says("h2", "right", replicas=(replica(status="running"),))) == []


def test_a_host_that_does_not_report_is_not_well() -> None:
    assert unwell(after=None) == ["h2: no agent seen yet"]
    assert unwell(after=says("h2", "right"), away=["h2"]) == ["h2: unreachable"]
    assert unwell(after=says("h2", "right", instance="an earlier run")) == ["h2: its agent is starting"]
    assert unwell(after=says("h2", "right", engine_up=False)) == ["h2: dockerd does not answer"]


@pytest.mark.parametrize("phase", ["moving", ""])
def test_a_bridge_that_is_not_right_yet_is_not_well(phase: str) -> None:
    assert unwell(after=says("h2", phase)) == ["docker_gwbridge of h2 is not as declared"]


def test_what_was_right_for_an_earlier_intent_was_well() -> None:
    said = says("h2", "moving", revision=REVISION - 1)
    found = seen({"h1": "waiting", "h3": "right"}, disruption("h2", "released"), statuses=[said])
    assert found.cluster is not None
    assert found.cluster.accepted is not None

    assert why_unwell(found.cluster.accepted, found, disruption("h2", "released")) == ()


def test_a_replica_that_is_still_to_be_started_is_not_well() -> None:
    to_do = says("h2", "right", replicas=(replica(),), steps=(start("prod-order-1"),))
    held = Waiting(resource="container/prod-order-1", reason="network net is not ready yet")

    assert unwell(after=to_do) == ["prod-order-1 on h2 is exited"]
    assert unwell(after=says("h2", "right", replicas=(replica(),), waiting=(held,))) == [
        "prod-order-1 on h2 is exited: network net is not ready yet"
    ]


def test_the_next_host_waits_for_the_replica_that_is_down_not_for_its_host() -> None:
    port = BlockedReport(resource="container/prod-order-1", reason="port 80/tcp is in use", kind="port")
    down = says("h2", "right", replicas=(replica(status="created"),), blocked=(port,))
    found = seen({"h1": "waiting", "h3": "right"}, disruption("h2", "released"), statuses=[down])
    assert found.cluster is not None
    assert found.cluster.accepted is not None

    (waits,) = plan_disruption(found.cluster.accepted, found).waiting
    assert waits.reason == "the next host waits: prod-order-1 on h2 is created: port 80/tcp is in use"
    assert waits.on == "replica/order-1"


def test_a_replica_that_has_done_its_work_is_well_and_so_is_one_with_a_longer_name_that_has_not() -> None:
    pull = StepReport(
        resource="image/order", verb="pull", text="pull image/order: start container/prod-order-1: waits"
    )
    others = (start("prod-order-10"), pull)

    assert unwell(after=says("h2", "right", replicas=(replica(),), steps=others)) == []


@pytest.mark.parametrize("state", ["down", "unknown", "disconnected"])
def test_a_node_that_is_not_ready_is_not_well(state: str) -> None:
    nodes = (node("h1", leader=True), node("h2", state=state), node("h3"))

    assert unwell(after=says("h2", "right"), nodes=nodes) == [f"the swarm calls the node of h2 {state}"]


def test_a_node_the_swarm_does_not_know_is_not_well() -> None:
    nodes = (node("h1", leader=True), node("h3"))

    assert unwell(after=says("h2", "right"), nodes=nodes) == ["the swarm calls the node of h2 unknown"]


def test_a_manager_that_raft_does_not_reach_is_not_well() -> None:
    nodes = (node("h1", leader=True), node("h2", reachable=False), node("h3"))

    assert unwell(after=says("h2", "right"), nodes=nodes) == ["2 of 3 managers are reachable"]


def test_a_majority_that_is_lost_is_not_well() -> None:
    nodes = (node("h1", leader=True), node("h2"), node("h3", reachable=False))
    four = (*nodes, node("h3", id="ghost", reachable=False))

    assert unwell(after=says("h2", "right"), nodes=nodes) == []
    assert unwell(after=says("h2", "right"), nodes=four) == ["2 of 4 managers are reachable"]


def test_a_quorum_lost_during_the_disruption_slot_holds_the_next_one() -> None:
    assert unwell(after=says("h2", "right"), nodes=None) == [
        "the swarm lost its quorum during the disruption"
    ]


@pytest.mark.parametrize(("phase", "on"), [("right", "leader/"), ("moving", "host/h2")])
def test_the_next_host_waits_for_the_quorum_that_is_lost_not_for_a_host_that_is_well(
    phase: str, on: str
) -> None:
    statuses = [says("h2", phase)]
    found = seen({"h1": "waiting"}, disruption("h2", "released"), statuses=statuses, nodes=None)
    assert found.cluster is not None
    assert found.cluster.accepted is not None

    (waits,) = plan_disruption(found.cluster.accepted, found).waiting
    assert waits.on == on


def test_a_quorum_lost_before_the_grant_does_not() -> None:
    done = disruption("h2", "released", quorum=False)

    assert unwell(after=says("h2", "right"), now=done, nodes=None) == []


def test_the_disruption_slot_records_whether_there_was_a_quorum_at_the_grant() -> None:
    def quorum_of(found: Seen) -> list[bool]:
        assert found.cluster is not None
        assert found.cluster.accepted is not None
        return [step.quorum for step in plan_disruption(found.cluster.accepted, found).steps]  # type: ignore[union-attr]

    assert quorum_of(seen({"h2": "waiting"})) == [True]
    assert quorum_of(seen({"h2": "waiting"}, nodes=None)) == [False]


def test_a_host_taken_out_of_the_intent_after_the_disruption_slot_is_nobodys_worry() -> None:
    assert planned(seen({"h1": "waiting"}, disruption("h2", "released"), hosts="h1 h3")) == offer("h1")


# ---- whether the overlay reaches


def sees(name: str, *peers: str, phase: str = "right", **more: Any) -> HostStatus:
    """A host with a replica on the overlay that has heard of itself and `peers` there."""
    there = replace(replica(f"prod-order-{name[1:]}", "running"), addresses=(("net", f"10.10.0.{name[1:]}"),))
    heard = tuple(ADDRESSES[each] for each in (name, *peers))
    missed = tuple(each for each in ADDRESSES if each not in (name, *peers))
    network = NetworkReport(
        id="net-id", name="net", driver="overlay", scope="swarm", peers=heard, unseen=missed
    )
    about = {"swarm_address": ADDRESSES[name], "replicas": (there,), "networks": (network,), **more}
    return says(name, phase, **about)


def after_h2(*hosts: HostStatus, **more: Any) -> list[str]:
    released = replace(disruption("h2", "released"), address=ADDRESSES["h2"])
    return planned(seen({}, released, statuses=hosts, **more))


def test_the_next_one_waits_until_the_last_one_and_the_others_see_each_other_on_the_overlay() -> None:
    waiting = sees("h1", "h3", phase="waiting")
    held = "waiting disruption/h2: the next host waits:"

    assert after_h2(waiting, sees("h2", "h1", "h3"), sees("h3", "h1", "h2")) == [
        f"{held} h1 does not see h2 on net"
    ]
    assert after_h2(
        replace(waiting, networks=sees("h1", "h2", "h3").networks), sees("h2"), sees("h3", "h1", "h2")
    ) == [f"{held} h2 does not see h1, h3 on net"]


def test_what_the_others_do_not_see_of_each_other_is_none_of_this_turns_doing() -> None:
    assert after_h2(sees("h1", "h2", phase="waiting"), sees("h2", "h1", "h3"), sees("h3", "h2")) == offer(
        "h1"
    )


def test_a_host_that_the_swarm_misses_need_not_be_seen() -> None:
    without = (node("h1", leader=True), node("h2"), replace(node("h3"), state="down"))

    assert after_h2(sees("h1", "h2", phase="waiting"), sees("h2", "h1"), sees("h3"), nodes=without) == offer(
        "h1"
    )


def test_without_a_quorum_nobody_can_tell_whom_it_sees_and_nobody_waits_for_that() -> None:
    lost = disruption("h2", "released", quorum=False)
    hosts = (sees("h1", phase="waiting"), sees("h2"), sees("h3"))

    assert planned(seen({}, lost, statuses=hosts, nodes=None)) == offer("h1")


def test_nobody_waits_for_a_host_that_is_in_another_swarm_since() -> None:
    done, elsewhere = disruption("h2", "released"), replace(says("h2", "held"), swarm_id="theirs")

    found = seen({"h1": "right", "h3": "waiting"}, done, nodes=(NODES[0], NODES[2]), statuses=(elsewhere,))
    assert planned(found) == offer("h3")
