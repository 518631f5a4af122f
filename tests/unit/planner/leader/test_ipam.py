from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from agent.diff.networks import asks_for_addresses
from agent.model.host_state import Attached, Difference, GivenOut, HostState
from agent.model.intent import Intent, PolicyIntent, ServiceIntent
from agent.model.observed import ClusterState
from agent.model.records import Assignment, Replica
from agent.model.spec import Attachment, ContainerSpec, spec_hash
from agent.model.status import BlockedReport, HostStatus, NetworkReport, ReplicaReport
from agent.planner.leader.assignments import assign, plan_assignments
from agent.planner.leader.ipam import reserve_addresses
from tests.support.builders import (
    OVERLAY,
    REVISION,
    cluster,
    empty_host,
    host,
    intent,
    member,
    node,
    order,
    overlay_network,
    service,
    status,
    told,
)

IP = order(environment=(("DUBBO_IP_TO_REGISTRY", "{{.Overlay.IP}}"),))
PINNING = PolicyIntent(reserve_addresses=True)
NO_NODES: Mapping[str, str] = {}
TOP, NEXT, THIRD = "10.10.255.254", "10.10.255.253", "10.10.255.252"

Addresses = dict[str, str]
"""`order-1` -> its address, or why it is held."""


def wanted(*services: ServiceIntent, hosts: str = "h1 h2", **more: Any) -> Intent:
    return intent(*(services or (service(on={"h1": 2, "h2": 1}, spec=IP),)), hosts=hosts, **more)


def pinned(
    asked: Intent,
    current: dict[str, Assignment] | None = None,
    seen: HostState | None = None,
    previous: Mapping[str, str] = NO_NODES,
    **more: Any,
) -> dict[str, Assignment]:
    state = cluster(asked, assignments=current or {}, **more)
    return reserve_addresses(
        asked, assign(asked, current or {}), current or {}, state, seen or host(), previous
    ).assignments


def addresses(assigned: dict[str, Assignment]) -> Addresses:
    return {
        f"{replica.service}-{replica.slot}": replica.held
        or ", ".join(address for _, address in replica.addresses)
        for each in assigned.values()
        for replica in each.replicas
    }


def runs(name: str, slot: int, address: str, of: ContainerSpec = IP, **more: Any) -> ReplicaReport:
    said: dict[str, Any] = {
        "service": "order",
        "slot": slot,
        "spec": spec_hash(of),
        "id": f"id-{name}-{slot}",
        "name": f"prod-order-{slot}",
        "status": "running",
        "addresses": (("net", address),),
    }
    return ReplicaReport(**{**said, **more})


def there(*statuses: HostStatus) -> dict[str, Any]:
    names = [each.instance.removeprefix("run-") for each in statuses]
    said = dict(zip(names, statuses, strict=True))
    return {"statuses": said, "present": {name: each.instance for name, each in said.items()}}


def seeing(*given_out: tuple[str, str, str], **more: Any) -> HostState:
    """The leader's host, with what the swarm has given out."""
    holders: GivenOut = tuple(sorted(given_out))
    return host(networks=(overlay_network(address_users=holders, **more),))


# ---- which address


def test_whoever_uses_its_overlay_address_gets_one_from_the_top_and_nobody_else() -> None:
    asked = wanted(service(on={"h1": 2, "h2": 1}, spec=IP), service("billing", on={"h1": 1}))

    assert addresses(pinned(asked)) == {"billing-1": "", "order-1": TOP, "order-2": NEXT, "order-3": THIRD}


def test_with_the_policy_every_replica_gets_one_on_each_overlay_and_none_on_a_bridge() -> None:
    on_two = order()
    on_two = replace(on_two, networks=(*on_two.networks, Attachment(network="local")))
    local = replace(OVERLAY, key="local", name="local", driver="bridge", subnet=IPv4Network("10.20.0.0/24"))
    asked = wanted(service(spec=on_two), policy=PINNING, networks=(OVERLAY, local))

    assert addresses(pinned(asked)) == {"order-1": TOP}
    assert asks_for_addresses(asked) == {"net"}
    assert asks_for_addresses(wanted(service(spec=on_two))) == frozenset()


def test_whoever_names_an_overlay_gets_an_address_on_that_one_alone() -> None:
    networks = (Attachment(network="net"), Attachment(network="back-end"))
    named = replace(IP, environment=(("IP", "{{.Overlay.back-end.IP}}"),), networks=networks)
    back_end = replace(OVERLAY, key="back", name="back-end")
    asked = wanted(service(spec=named), networks=(OVERLAY, back_end))

    assert asks_for_addresses(asked) == {"back-end"}


def test_gateway_fixed_addresses_and_what_others_have_are_left_out() -> None:
    fixed = replace(order(), networks=(Attachment(network="net", ipv4_address=NEXT),))
    top = replace(OVERLAY, gateway=IPv4Address(TOP))
    asked = wanted(service(spec=IP), service("db", on={"h2": 1}, spec=fixed), networks=(top,))
    guest = Attached(id="guest", name="guest", networks=("net",))
    seen = seeing((THIRD, "guest", "node-h2"), ("10.10.255.251", "service web", ""), gateway=TOP)

    assert addresses(pinned(asked, seen=seen, **there(status("h1"), status("h2", attached=(guest,))))) == {
        "db-1": "",
        "order-1": "10.10.255.250",
    }


def test_what_a_replica_runs_with_when_it_is_first_pinned_is_what_it_keeps() -> None:
    asked = wanted(policy=PINNING)
    said = there(status("h1", replicas=(runs("h1", 1, "10.10.0.9"),)), status("h2"))

    assert addresses(pinned(asked, **said)) == {"order-1": "10.10.0.9", "order-2": TOP, "order-3": NEXT}


def test_a_full_overlay_says_so_and_holds_only_those_that_have_none() -> None:
    small = replace(OVERLAY, subnet=IPv4Network("10.10.0.0/30"), gateway=IPv4Address("10.10.0.1"))
    seen = host(networks=(overlay_network(subnet=small.subnet, gateway="10.10.0.1"),))

    assert addresses(pinned(wanted(networks=(small,)), seen=seen)) == {
        "order-1": "10.10.0.2",
        "order-2": "net has no free address in 10.10.0.0/30 to reserve",
        "order-3": "net has no free address in 10.10.0.0/30 to reserve",
    }


def test_before_there_is_a_swarm_the_declared_subnet_counts() -> None:
    assert addresses(pinned(wanted(service(spec=IP)), seen=empty_host(), record=None)) == {"order-1": TOP}


@pytest.mark.parametrize("seen", [None, empty_host()])
def test_while_the_overlays_cannot_be_seen_nothing_is_chosen_and_nothing_lost(seen: HostState | None) -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    before = pinned(asked)
    more = wanted(service(on={"h1": 2}, spec=IP))
    state = cluster(more, assignments=before)

    assert addresses(reserve_addresses(more, assign(more, before), before, state, seen).assignments) == {
        "order-1": TOP,
        "order-2": "the subnet of net is not known yet",
    }


# ---- what it keeps


def test_a_replica_keeps_its_address_whatever_its_spec_becomes_and_others_come_and_go() -> None:
    before = pinned(wanted(service(on={"h1": 2}, spec=IP)))
    changed = replace(IP, image="order:1.0.1")
    asked = wanted(service(on={"h1": 2, "h2": 1}, spec=changed), service("abc", spec=IP))

    assert addresses(pinned(asked, before)) == {
        "abc-1": THIRD,
        "order-1": TOP,
        "order-2": NEXT,
        "order-3": "10.10.255.251",
    }


def test_a_replica_that_moves_to_another_host_keeps_its_address() -> None:
    before = pinned(wanted(service(on={"h1": 1}, spec=IP)))

    assert addresses(pinned(wanted(service(on={"h2": 1}, spec=IP)), before)) == {"order-1": TOP}


def test_it_is_held_there_until_its_old_container_has_let_go() -> None:
    before = pinned(wanted(service(on={"h1": 1}, spec=IP)))
    asked = wanted(service(on={"h2": 1}, spec=IP))
    still = there(status("h1", replicas=(runs("h1", 1, TOP),)), status("h2"))

    held = pinned(asked, before, **still)
    assert held["h2"].replicas == (
        Replica(
            service="order", slot=1, spec=spec_hash(IP), addresses=(("net", TOP),),
            held=f"{TOP} on net is used by prod-order-1 on h1", waits_on="host/h1",
        ),
    )  # fmt: skip
    assert addresses(pinned(asked, held, **there(status("h1"), status("h2")))) == {"order-1": TOP}


def test_another_one_is_chosen_when_the_old_host_is_away_and_the_swarm_keeps_the_address_for_it() -> None:
    before = pinned(wanted(service(on={"h1": 1}, spec=IP)))
    asked = wanted(service(on={"h2": 1}, spec=IP))
    away = {
        **there(status("h2")),
        "statuses": {"h1": status("h1", replicas=(runs("h1", 1, TOP),)), "h2": status("h2")},
    }

    kept = seeing((TOP, "id-h1-1", "node-h1"))
    assert addresses(pinned(asked, before, kept, **away)) == {"order-1": NEXT}
    assert addresses(pinned(asked, before, seeing(("10.10.0.7", "x", "y")), **away)) == {"order-1": TOP}
    assert addresses(pinned(wanted(service(on={"h1": 1}, spec=IP)), before, kept, **away)) == {"order-1": TOP}


def test_an_address_that_somebody_else_has_is_given_up() -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    before = pinned(asked)
    guest = Attached(id="guest", name="guest", networks=("net",))
    said = there(status("h1"), status("h2", attached=(guest,)))

    assert addresses(pinned(asked, before, seeing((TOP, "guest", "node-h2")), **said)) == {"order-1": NEXT}


def test_the_address_of_a_hosts_own_endpoint_is_given_up_and_not_chosen() -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    before = pinned(asked)
    net = NetworkReport(id="net-id", name="net", driver="overlay", scope="swarm", own_address=TOP)

    for said in (there(status("h1", networks=(net,))), there(status("h1"), status("h2", networks=(net,)))):
        assert addresses(pinned(asked, before, seeing(), **said)) == {"order-1": NEXT}
        assert addresses(pinned(asked, {}, seeing(), **said)) == {"order-1": NEXT}


@pytest.mark.parametrize(("starts", "address"), [(1, TOP), (2, NEXT)])
def test_a_container_that_no_host_has_reported_takes_an_address_only_if_starts_of_the_replica_failed(
    starts: int, address: str
) -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    before, seen = pinned(asked), seeing((TOP, "just-started", "node-h1"))
    failed = runs("h1", 1, "", status="created", error="attaching to network failed")

    assert addresses(pinned(asked, before, seen, **there(status("h1")))) == {"order-1": TOP}
    said = there(status("h1", replicas=(failed,), blocked=(refused(starts),)))
    assert addresses(pinned(asked, before, seen, **said)) == {"order-1": address}


def refused(starts: int) -> BlockedReport:
    return BlockedReport(resource="container/prod-order-1", reason="refused", kind="error", attempts=starts)


IN_USE = "Address already in use"


@pytest.mark.parametrize(
    ("starts", "name"),
    [(2, "prod-order-1"), (3, "prod-order-1-0123456789ab"), (0, "prod-order-1-0123456789ab-again")],
)
def test_an_address_that_dockerd_refuses_as_in_use_again_and_again_is_replaced(
    starts: int, name: str
) -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    before = pinned(asked)
    failed = runs("h1", 1, "", status="created", error=IN_USE, reserved=(("net", TOP),))
    failed = replace(failed, name=name)
    other = replace(failed, error="no space left on device")

    def now(report: ReplicaReport, starts: int, current: dict[str, Assignment]) -> dict[str, Assignment]:
        said = there(status("h1", replicas=(report,), blocked=(refused(starts),)))
        return pinned(asked, current, seeing(), **said)

    assert addresses(now(replace(failed, name=name.removesuffix("-again")), 1, before)) == {"order-1": TOP}
    assert addresses(now(other, starts, before)) == {"order-1": TOP}
    another = now(failed, starts, before)
    assert addresses(another) == {"order-1": NEXT}
    # The failed container still asks for the earlier address: its error says nothing of the present one.
    differs = Difference(field="networks.net", wanted=NEXT, found=TOP, repair="reconnect", subject="net")
    stale = replace(failed, reserved=(("net", NEXT),), differences=(differs,))
    assert addresses(now(stale, starts, another)) == {"order-1": NEXT}


def test_what_a_previous_node_of_a_host_keeps_is_waited_for_and_costs_no_replica_its_address() -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    before, seen = pinned(asked), seeing((TOP, "id-h1-1", "old"))
    outside = status("h1", state="inactive", node_id=None, is_manager=False)
    says = f"{TOP} on net is used by container id-h1-1 on h1's previous node old: "

    for report in (outside, status("h1")):
        waiting = pinned(asked, before, seen, {"old": "h1"}, **there(report))
        (replica,) = waiting["h1"].replicas
        assert replica.addresses == (("net", TOP),)
        assert replica.held.startswith(says)
        assert not replica.held_by_fault
        assert addresses(pinned(asked, waiting, seeing(), **there(report))) == {"order-1": TOP}


def test_a_replica_that_moved_waits_for_a_previous_node_only_if_its_host_is_another_node_by_now() -> None:
    before = pinned(wanted(service(on={"h1": 1}, spec=IP)))
    asked, seen = wanted(service(on={"h2": 1}, spec=IP)), seeing((TOP, "id-h1-1", "old"))
    outside = status("h1", state="inactive", node_id=None, is_manager=False)

    back = pinned(asked, before, seen, {"old": "h1"}, **there(status("h1"), status("h2")))
    assert back["h2"].replicas[0].addresses == (("net", TOP),)
    for away in (there(outside, status("h2")), there(status("h2"))):
        assert addresses(pinned(asked, before, seen, {"old": "h1"}, **away)) == {"order-1": NEXT}


def test_a_removed_node_keeps_an_address_for_a_moment_only() -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    swarm = member("h1", of=(node("h1"), node("h2")))
    seen = replace(seeing((TOP, "id-h1-1", "old")), swarm=swarm)

    (replica,) = pinned(asked, pinned(asked), seen, **there(status("h1")))["h1"].replicas
    assert replica.addresses == (("net", TOP),)
    assert "the removed node old" in replica.held


def test_another_subnet_means_another_address() -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    moved = host(networks=(overlay_network(subnet=IPv4Network("10.99.0.0/16"), gateway="10.99.0.1"),))

    assert addresses(pinned(asked, pinned(asked), moved)) == {"order-1": "10.99.255.254"}


def test_a_subnet_that_is_only_asked_for_changes_nothing_yet() -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    declared = replace(OVERLAY, subnet=IPv4Network("10.99.0.0/16"), gateway=IPv4Address("10.99.0.1"))

    assert addresses(pinned(replace(asked, networks=(declared,)), pinned(asked))) == {"order-1": TOP}


def test_an_address_that_the_document_now_fixes_for_another_is_given_up_and_that_one_waits() -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    before = pinned(asked)
    fixed = replace(order(), networks=(Attachment(network="net", ipv4_address=TOP),))
    both = wanted(service(on={"h1": 1}, spec=IP), service("db", on={"h2": 1}, spec=fixed))
    said = there(status("h1", replicas=(runs("h1", 1, TOP),)), status("h2"))

    assert addresses(pinned(both, before, **said)) == {
        "db-1": f"{TOP} on net is used by prod-order-1 on h1",
        "order-1": NEXT,
    }


def test_a_spec_that_cannot_be_read_leaves_the_replica_its_address() -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP))
    before = pinned(asked)
    old = {"h1": replace(before["h1"], replicas=(replace(before["h1"].replicas[0], spec="old"),))}
    kept = replace(before["h1"], replicas=(replace(before["h1"].replicas[0], spec="old", addresses=()),))

    assert addresses(reserve_addresses(asked, {"h1": kept}, old, cluster(asked), host()).assignments) == {
        "order-1": TOP
    }


def test_without_policy_and_placeholder_the_address_is_given_back() -> None:
    before = pinned(wanted(service(on={"h1": 1}, spec=IP)))

    assert addresses(pinned(wanted(service(on={"h1": 1})), before)) == {"order-1": ""}


# ---- telling


def test_the_reason_of_an_assignment_names_the_addresses() -> None:
    asked = wanted(service(on={"h1": 1}, spec=IP), hosts="h1")
    state: ClusterState = cluster(asked, assignments={})
    first = plan_assignments(asked, state, seen=host())
    later = replace(asked, revision=REVISION + 1)
    moved = host(networks=(overlay_network(subnet=IPv4Network("10.99.0.0/16"), gateway="10.99.0.1"),))
    after = plan_assignments(later, cluster(later, assignments=pinned(asked)), seen=moved)

    assert told(first) == [f"publish assignment/h1: revision 7: 1 new, order-1 is at {TOP} on net"]
    assert told(after) == [
        (
            f"publish assignment/h1: revision 8: order-1 is at 10.99.255.254 on net instead of {TOP} "
            "(it is fixed for another replica, is the gateway, or is outside 10.99.0.0/16)"
        )
    ]


def why(seen: HostState, **more: Any) -> str:
    """What the leader says of a replica that was at the top of the overlay and is not any more."""
    asked = wanted(service(on={"h2": 1}, spec=IP))
    before = pinned(wanted(service(on={"h1": 1}, spec=IP)))
    told_of = [
        str(each)
        for each in plan_assignments(asked, cluster(asked, assignments=before, **more), seen=seen).steps
    ]
    return next(line for line in told_of if "instead of" in line or "waits" in line)


def test_the_leader_says_who_has_the_address_and_what_frees_it() -> None:
    away = {
        **there(status("h2")),
        "statuses": {"h1": status("h1", replicas=(runs("h1", 1, TOP),)), "h2": status("h2")},
    }
    failed = runs("h2", 1, "", status="created", error="attaching to network failed")
    stuck = there(status("h1"), status("h2", replicas=(failed,), blocked=(refused(2),)))

    assert why(seeing((TOP, "id-h1-1", "node-h1")), **away).endswith(
        f"order-1 is at {NEXT} on net instead of {TOP} (it is used by prod-order-1 on h1: "
        "the swarm keeps the address until that host is back or its node is removed)"
    )
    assert why(seeing((TOP, "0123456789abcdef", "node-h1")), **stuck).endswith(
        f"order-1 is at {NEXT} on net instead of {TOP} (it is used by container 0123456789ab on h1: "
        "h1 has no such container; restart dockerd on h1 to free the address)"
    )
    assert why(
        seeing((TOP, "id-h1-1", "node-h1")),
        **there(status("h1", replicas=(runs("h1", 1, TOP),)), status("h2")),
    ).endswith(f"order-1 waits: {TOP} on net is used by prod-order-1 on h1")


def fixed(address: str) -> ContainerSpec:
    return replace(order(), networks=(Attachment(network="net", ipv4_address=address),))


def swapping(*now: str) -> dict[str, Replica]:
    """a, b and c are to have .1, .2 and .3; each runs at `now` on a host of its own."""
    names = ("a", "b", "c")[: len(now)]
    specs = {name: fixed(f"10.10.0.{slot}") for slot, name in enumerate(names, 1)}
    on = {name: f"h{slot}" for slot, name in enumerate(names, 1)}
    asked = intent(
        *(service(name, on={on[name]: 1}, spec=spec) for name, spec in specs.items()), hosts="h1 h2 h3"
    )
    reports = [
        status(
            on[name],
            replicas=(replace(runs(on[name], 1, address, of=fixed(address)), service=name),),
        )
        for name, address in zip(names, now, strict=True)
    ]
    found = pinned(asked, **there(*reports))
    return {each.service: each for host in found.values() for each in host.replicas}


def test_of_replicas_that_swap_their_fixed_addresses_the_first_stops_first() -> None:
    found = swapping("10.10.0.2", "10.10.0.1")

    assert {name: (each.waits_on, each.stops_first) for name, each in found.items()} == {
        "a": ("replica/b-1", True),
        "b": ("replica/a-1", False),
    }


def test_so_it_is_with_three_in_a_ring_and_one_that_only_waits_gives_no_way() -> None:
    ring = swapping("10.10.0.2", "10.10.0.3", "10.10.0.1")
    row = swapping("10.10.0.2", "10.10.0.9")

    assert [name for name, each in ring.items() if each.stops_first] == ["a"]
    assert [name for name, each in row.items() if each.stops_first] == []
