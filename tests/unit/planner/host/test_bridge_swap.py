"""docker_gwbridge under running containers: which steps, in which order, and what keeps them from being taken."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from agent.diff.bridge import OURS, bridge_is_right, mark_of, refusal
from agent.model.host_state import HostState, LinkState, LocalState, NetworkState
from agent.model.intent import GWBRIDGE, PARKING, BridgeIntent, SwarmIntent
from agent.model.steps import CreateParking, SwapBridge
from agent.planner.host.bridge_swap import (
    needs_disruption,
    plan_retreat,
    plan_swap,
    stays_refused,
    swap_obstacles,
)
from tests.support.builders import BRIDGE, bridge_network, intent, member, outside, overlay_network, told
from tests.support.guests import INGRESS, LOCAL, PLACE, WHY_WRONG, WRONG, endpoints, guest, hosting

WEB = guest("web", ports=("8080/tcp", "9090/tcp"))
JOB = guest("job")
RIGHT = bridge_network()
PREPARE = f"prepare network/{PARKING}: for the gateways while docker_gwbridge is replaced"
CLEAR = f"clear network/{PARKING}: all gateways are on docker_gwbridge"
PARK_JOB = "park container/job: its gateway leaves docker_gwbridge; it publishes no port"
UNPARK_WEB = "unpark container/web: its gateway returns to docker_gwbridge"
UNPARK_JOB = "unpark container/job: its gateway returns to docker_gwbridge"
SWAP = f"swap network/docker_gwbridge: {WHY_WRONG}"


def planned(host: HostState, quorum: str = "") -> list[str]:
    return told(plan_swap(intent(), host, quorum))


def swap(host: HostState) -> SwapBridge:
    (step,) = (each for each in plan_swap(intent(), host, "").steps if isinstance(each, SwapBridge))
    return step


# ---- the rows of the decision table


def test_a_bridge_that_is_right_in_docker_and_kernel_with_every_gateway_on_it_is_left_alone() -> None:
    found = hosting(WEB, JOB, bridge=RIGHT)

    assert bridge_is_right(intent(), found)
    assert planned(found) == []


def test_a_wrong_bridge_is_changed_with_everybody_parked_meanwhile() -> None:
    assert planned(hosting(WEB, JOB), "3 of 3 managers reachable, before and after") == [
        PREPARE,
        "park container/web: its gateway leaves docker_gwbridge; ports 8080/tcp, 9090/tcp unreachable for about 0.1 s",
        PARK_JOB,
        f"{SWAP}; 3 of 3 managers reachable, before and after",
        f"{UNPARK_WEB}; ports 8080/tcp, 9090/tcp unreachable for about 0.1 s",
        UNPARK_JOB,
        CLEAR,
    ]


def test_with_nobody_on_the_bridge_its_form_is_noted_all_the_same() -> None:
    assert planned(hosting()) == [PREPARE, SWAP, CLEAR]
    assert planned(hosting(bridge=RIGHT, bridge_link=None)) == [
        "swap network/docker_gwbridge: the kernel has no device docker_gwbridge"
    ]


def test_a_missing_bridge_is_made_and_who_lost_his_gateway_gets_one() -> None:
    found = hosting(JOB, bridge=None)

    assert planned(found) == [
        PREPARE,
        PARK_JOB,
        "swap network/docker_gwbridge: there is no docker_gwbridge",
        UNPARK_JOB,
        CLEAR,
    ]
    assert swap(found).old == ()


@pytest.mark.parametrize(
    ("link", "why"),
    [
        (None, "the kernel has no device docker_gwbridge"),
        (LinkState(address=None, up=True), "kernel address: 172.21.0.1/20 wanted, none found"),
        (
            LinkState(address=IPv4Interface("172.21.0.9/20"), up=True),
            "kernel address: 172.21.0.1/20 wanted, 172.21.0.9/20 found",
        ),
        (LinkState(address=IPv4Interface("172.21.0.1/20"), up=False), "the device docker_gwbridge is down"),
    ],
)
def test_what_the_kernel_lost_is_recreated_by_docker_with_the_same_subnet(
    link: LinkState | None, why: str
) -> None:
    found = hosting(JOB, bridge=RIGHT, bridge_link=link)

    assert planned(found) == [PREPARE, PARK_JOB, f"swap network/docker_gwbridge: {why}", UNPARK_JOB, CLEAR]
    assert swap(found).bridge == BRIDGE


def test_of_several_bridges_all_go() -> None:
    twin = replace(RIGHT, endpoints=endpoints(JOB, ingress=False))
    found = replace(
        hosting(WEB, JOB), networks=(replace(WRONG, endpoints=endpoints(WEB)), twin, overlay_network())
    )

    assert [each.split(":")[0] for each in planned(found)] == [
        f"prepare network/{PARKING}",
        "park container/web",
        "park container/job",
        "swap network/docker_gwbridge",
        "unpark container/web",
        "unpark container/job",
        f"clear network/{PARKING}",
    ]
    assert swap(found).old == ("wrong-id", "bridge-id")
    assert swap(found).reason == "there are 2 networks named docker_gwbridge"


def test_a_container_without_a_gateway_gets_one_by_being_parked_for_a_moment() -> None:
    found = hosting(WEB, JOB, bridge=replace(RIGHT, endpoints=endpoints(WEB)))

    assert not bridge_is_right(intent(), found)
    assert planned(found) == [
        PREPARE,
        "park container/job: it has no gateway; it publishes no port",
        UNPARK_JOB,
        CLEAR,
    ]


def test_a_temporary_network_that_was_left_over_is_cleared_with_whoever_is_on_it() -> None:
    parked, ended = guest("web", "net", PARKING), guest("job", "net", PARKING, running=False)
    found = hosting(parked, ended, bridge=RIGHT, beside=[PLACE])

    assert not bridge_is_right(intent(), found)
    assert planned(found) == [
        "unpark container/web: its gateway returns to docker_gwbridge",
        UNPARK_JOB,
        CLEAR,
    ]


def test_an_ingress_sandbox_without_its_gateway_is_no_fault_that_a_change_could_cure() -> None:
    assert planned(hosting(JOB, bridge=replace(RIGHT, endpoints=endpoints(JOB, ingress=False)))) == []


# ---- who is moved


def test_containers_that_are_not_ours_are_moved_like_ours() -> None:
    found = hosting(guest("their-web"), guest("prod-order-1"))

    assert [each for each in planned(found) if each.startswith("park")] == [
        "park container/their-web: its gateway leaves docker_gwbridge; it publishes no port",
        "park container/prod-order-1: its gateway leaves docker_gwbridge; it publishes no port",
    ]


@pytest.mark.parametrize(
    "aside",
    [
        guest("aside", "net", "local"),
        guest("aside", "local"),
        guest("aside", "host"),
        guest("aside", "none"),
        guest("aside", "bridge"),
        guest("aside", "net", "macvlan"),
        guest("aside", "net", "cannot-be-told"),
        guest("aside", running=False),
    ],
    ids=lambda each: "-".join(each.networks),
)
@pytest.mark.parametrize("bridge", [WRONG, RIGHT, None], ids=["wrong", "right", "missing"])
def test_who_has_no_gateway_there_and_needs_none_is_never_moved(aside: object, bridge: object) -> None:
    docker0 = replace(LOCAL, id="docker0", name="bridge", subnet=IPv4Network("172.17.0.0/16"))
    special = [replace(LOCAL, id=name, name=name, subnet=None, driver=name) for name in ("host", "none")]
    macvlan = overlay_network(id="macvlan-id", name="macvlan", driver="macvlan")
    found = hosting(aside, bridge=bridge, beside=[LOCAL, docker0, macvlan, *special])  # type: ignore[arg-type]

    assert not [each for each in planned(found) if "container/" in each]


def test_a_container_on_an_internal_overlay_wants_no_gateway() -> None:
    inside = overlay_network(id="inside-id", name="inside", internal=True)
    only, both = guest("only", "inside"), guest("both", "net", "inside")

    assert planned(hosting(only, both, bridge=RIGHT, beside=[inside])) == []
    assert planned(hosting(only, both, bridge=None, beside=[inside])) == [
        "swap network/docker_gwbridge: there is no docker_gwbridge"
    ]


def test_a_task_of_a_swarm_service_is_moved_by_the_gateway_it_has() -> None:
    ingress = overlay_network(id="ingress-id", name="ingress")
    task = guest("svc.1.x", "net", "ingress")
    found = hosting(task, bridge=replace(WRONG, endpoints=endpoints(task)), beside=[ingress])

    assert planned(found)[1].startswith("park container/svc.1.x: its gateway leaves docker_gwbridge")


@pytest.mark.parametrize("state", ["inactive", "pending", "locked", "error"])
def test_outside_a_swarm_nobody_misses_a_gateway(state: LocalState) -> None:
    found = hosting(JOB, bridge=replace(RIGHT, endpoints=(INGRESS,)))

    assert planned(found) != []
    assert planned(replace(found, swarm=outside(state))) == []


def test_only_what_is_no_containers_is_taken_off_by_force() -> None:
    ended, late = guest("ended", running=False), guest("late")
    left_over = ("ep-4711", "gateway_gone")
    on_it = (*endpoints(JOB, ended, late), left_over)
    found = hosting(JOB, ended, bridge=replace(WRONG, endpoints=on_it))

    # `late` was started after the list of containers was read: with it docker refuses, and the next pass parks it.
    assert swap(found).release == (
        ("wrong-id", "gateway_ended"),
        ("wrong-id", INGRESS[1]),
        ("wrong-id", left_over[1]),
    )


def test_what_may_be_starting_keeps_its_gateway() -> None:
    """dockerd would keep its published ports for nobody: it says that a container runs a moment after its network."""
    starting = guest("starting", running=False)
    found = hosting(starting, bridge=replace(WRONG, endpoints=endpoints(starting)))

    doubted = replace(found, settling=frozenset({starting.id}))
    assert swap(doubted).release == (("wrong-id", INGRESS[1]),)
    assert len(swap(found).release) == 2


# ---- resuming


def test_who_is_parked_already_is_not_parked_again() -> None:
    parked = guest("web", "net", PARKING)
    found = hosting(parked, JOB, bridge=replace(WRONG, endpoints=endpoints(JOB)), beside=[PLACE])

    assert planned(found) == [
        PARK_JOB,
        SWAP,
        "unpark container/web: its gateway returns to docker_gwbridge",
        UNPARK_JOB,
        CLEAR,
    ]


def test_with_the_old_bridge_gone_and_everybody_parked_the_new_one_is_made_before_anybody_goes_back() -> None:
    found = hosting(guest("job", "net", PARKING), bridge=None, beside=[PLACE])

    assert planned(found) == ["swap network/docker_gwbridge: there is no docker_gwbridge", UNPARK_JOB, CLEAR]


def test_a_bridge_that_docker_made_in_between_is_replaced() -> None:
    found = hosting(guest("job", "net", PARKING), bridge=WRONG, beside=[PLACE])

    assert planned(found) == [SWAP, UNPARK_JOB, CLEAR]


def test_what_was_begun_is_taken_back_with_the_bridge_as_it_is() -> None:
    found = hosting(guest("job", "net", PARKING), WEB, beside=[PLACE])

    assert told(plan_retreat(found)) == [UNPARK_JOB, CLEAR]
    assert told(plan_retreat(hosting(WEB, JOB))) == []


# ---- what keeps it from being changed


def test_live_restore_keeps_it() -> None:
    assert planned(hosting(JOB, live_restore=True)) == [
        f"blocked network/docker_gwbridge: {WHY_WRONG}, but live-restore is on: disable it, Swarm does not support it"
    ]


def test_containers_attached_by_hand_keep_it() -> None:
    by_hand = [(guest(name, "docker_gwbridge").id, name) for name in ("their-web", "their-db")]
    found = hosting(JOB, bridge=replace(WRONG, endpoints=(*endpoints(JOB), *by_hand)))

    assert planned(found) == [
        f"blocked network/docker_gwbridge: {WHY_WRONG}, but attached to it by hand: their-db, their-web"
    ]


def test_a_network_in_the_agreed_range_keeps_it() -> None:
    taken = replace(LOCAL, name="compose", subnet=IPv4Network("172.21.8.0/24"))

    assert planned(hosting(JOB, beside=[taken])) == [
        "blocked network/docker_gwbridge: 172.21.0.0/20 overlaps network compose (172.21.8.0/24)"
    ]


def test_a_route_through_the_agreed_range_keeps_it() -> None:
    assert planned(hosting(JOB, routes=((IPv4Network("172.21.0.0/16"), "tun0"),))) == [
        "blocked network/docker_gwbridge: 172.21.0.0/20 overlaps the route 172.21.0.0/16 dev tun0"
    ]


def test_the_routes_of_the_bridge_itself_do_not() -> None:
    routes = ((IPv4Network("172.18.0.0/16"), "docker_gwbridge"), (BRIDGE.subnet, "docker_gwbridge"))

    assert planned(hosting(routes=routes)) == [PREPARE, SWAP, CLEAR]


def test_a_network_of_others_under_the_temporary_name_keeps_it() -> None:
    theirs = replace(PLACE, labels=())

    assert planned(hosting(JOB, beside=[theirs])) == [
        f"blocked network/docker_gwbridge: {WHY_WRONG}, but an unmanaged network is named {PARKING}"
    ]


def test_a_network_of_others_under_the_temporary_name_is_nothing_left_over() -> None:
    theirs = replace(PLACE, labels=())
    found = hosting(guest("theirs", "net", PARKING), bridge=RIGHT, beside=[theirs])

    assert bridge_is_right(intent(), found)
    assert planned(found) == []
    assert told(plan_retreat(found)) == []


def test_without_a_place_beside_it_nothing_is_begun() -> None:
    routes = tuple(
        (IPv4Network(each), "tun0")
        for each in ("192.168.0.0/16", "172.31.0.0/16", "10.0.0.0/8", "100.64.0.0/10")
    )

    assert planned(hosting(JOB, routes=routes)) == [
        f"blocked network/docker_gwbridge: {WHY_WRONG}, but no subnet is free for the parking network"
    ]


def test_what_keeps_it_is_asked_before_a_lost_gateway_is_brought_back_too() -> None:
    found = hosting(JOB, bridge=replace(RIGHT, endpoints=(INGRESS,)), live_restore=True)

    (held,) = planned(found)
    assert held.startswith("blocked network/docker_gwbridge: containers without a gateway, but live-restore")


def test_with_the_temporary_network_there_no_other_place_is_looked_for() -> None:
    routes = ((IPv4Network("192.168.0.0/16"), "lan0"), (IPv4Network("10.0.0.0/8"), "tun0"))
    more = ((IPv4Network("172.31.0.0/16"), "tun1"), (IPv4Network("100.64.0.0/10"), "tun2"))
    found = hosting(guest("job", "net", PARKING), bridge=None, beside=[PLACE], routes=(*routes, *more))

    assert swap_obstacles(intent(), found).blocked == ()


# ---- the temporary network


def place_of(found: HostState, wanted: object = None) -> IPv4Network | None:
    plan = plan_swap(wanted or intent(), found, "")  # type: ignore[arg-type]
    (made,) = (each for each in plan.steps if isinstance(each, CreateParking))
    return made.network.subnet


def test_it_lies_where_nothing_else_does() -> None:
    assert place_of(hosting(JOB)) == PLACE.subnet
    lan = ((IPv4Network("192.168.0.0/16"), "lan0"),)
    assert place_of(hosting(JOB, routes=lan)) == IPv4Network("172.31.252.0/22")
    pool = SwarmIntent(default_addr_pool=(IPv4Network("172.16.0.0/12"),))
    assert place_of(hosting(JOB, routes=lan), intent(swarm=pool)) == IPv4Network("10.254.252.0/22")


def test_it_is_an_ordinary_bridge_that_says_it_is_ours() -> None:
    (made,) = (
        each for each in plan_swap(intent(), hosting(JOB), "").steps if isinstance(each, CreateParking)
    )

    assert (made.network.name, made.network.driver, made.network.internal) == (PARKING, "bridge", False)
    assert set(OURS) <= set(made.network.labels)
    assert dict(made.network.options) == {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
    }


def test_it_has_the_declared_options_so_that_docker_refuses_them_before_anything_is_moved() -> None:
    declared = (
        ("com.docker.network.bridge.enable_icc", "true"),
        ("com.docker.network.bridge.name", GWBRIDGE),
        ("com.docker.network.driver.mtu", "bogus"),
    )
    plan = plan_swap(intent(gwbridge=replace(BRIDGE, options=declared)), hosting(JOB), "")

    assert isinstance(plan.steps[0], CreateParking)
    assert dict(plan.steps[0].network.options) == {
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.driver.mtu": "bogus",
    }


# ---- a form that docker refuses


def form(found: NetworkState) -> BridgeIntent:
    assert found.subnet is not None
    return BridgeIntent(subnet=found.subnet, gateway=IPv4Address(found.gateway), options=found.options)


PARSE = "failed to parse com.docker.network.driver.mtu value: bogus"


def refused(error: str = PARSE, **more: Any) -> HostState:
    """A host on which docker has refused the declared form; the old one was made again."""
    mark = mark_of(BRIDGE, hosting(JOB))
    return hosting(JOB, bridge=replace(WRONG, labels=refusal(mark, error)), **more)


def test_the_form_that_the_bridge_has_goes_with_the_swap() -> None:
    assert swap(hosting(JOB)).before == form(WRONG)


def test_the_parking_network_keeps_that_form_while_there_is_no_bridge() -> None:
    (made,) = (
        each for each in plan_swap(intent(), hosting(JOB), "").steps if isinstance(each, CreateParking)
    )
    parked = guest("job", "net", PARKING)
    found = hosting(parked, bridge=None, beside=[replace(PLACE, labels=made.network.labels)])

    assert swap(found).before == form(WRONG)


@pytest.mark.parametrize("noted", ["", "{}", "[]", '{"subnet": "x", "gateway": "y", "options": []}'])
def test_a_note_that_cannot_be_read_is_none(noted: str) -> None:
    place = replace(PLACE, labels=(*OURS, ("io.swarmkeeper.before", noted)))

    assert swap(hosting(guest("job", "net", PARKING), bridge=None, beside=[place])).before is None


def test_a_refused_form_is_not_tried_again_until_another_one_or_another_engine_is_there() -> None:
    kept = stays_refused(intent(), refused(bridge_seen_s=1e6))

    assert kept is not None
    assert kept[0].gwbridge == form(WRONG)
    assert kept[1].blocked[0].reason == (
        f"docker refuses it as declared: {PARSE}; the earlier one was created again. Correct x-cluster.gwbridge"
    )
    assert stays_refused(intent(gwbridge=replace(BRIDGE, options=())), refused()) is None
    assert stays_refused(intent(), hosting(JOB)) is None
    assert stays_refused(intent(), replace(refused(), engine_version="99.0")) is None


@pytest.mark.parametrize("error", ["failed to allocate gateway: Address already in use", "Pool overlaps"])
def test_a_form_that_was_refused_for_another_cause_is_tried_again_after_a_while(error: str) -> None:
    kept = stays_refused(intent(), refused(error, bridge_seen_s=599.0))

    assert kept is not None
    assert kept[1].blocked[0].reason == (
        f"docker refuses it as declared: {error}; the earlier one was created again. "
        "Remove the cause: the declared one is "
        "tried again after 10 minutes"
    )
    assert stays_refused(intent(), refused(error, bridge_seen_s=600.0)) is None


# ---- whether something is lost


@pytest.mark.parametrize(
    ("found", "needed"),
    [
        (hosting(JOB), True),
        (replace(hosting(), networks=(RIGHT, WRONG)), True),
        (hosting(bridge=bridge_network(options=())), True),
        (hosting(JOB, bridge=None), False),
        (hosting(JOB, bridge=RIGHT, bridge_link=None), False),
        (hosting(JOB, bridge=replace(RIGHT, endpoints=(INGRESS,))), False),
        (hosting(JOB, bridge=RIGHT, beside=[PLACE]), False),
        (hosting(JOB, bridge=RIGHT), False),
    ],
)
def test_the_disruption_slot_is_needed_only_for_what_takes_something_away_that_works(
    found: HostState, needed: bool
) -> None:
    assert needs_disruption(intent(), found) is needed


def test_all_steps_of_a_change_are_barriers_of_one_chain() -> None:
    plan = plan_swap(intent(), hosting(WEB, JOB, swarm=member()), "")

    assert {(step.resource, step.barrier, step.lane) for step in plan.steps} == {
        ("network/docker_gwbridge", True, "host")
    }
