"""What hosts report of their engines decides where replicas go: reservations, platforms, ids of nodes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.diff import capacity
from agent.diff.capacity import Reservation
from agent.model.intent import Constraint, Intent, Machine, ServiceIntent
from agent.model.records import Assignment, Rollout
from agent.model.spec import ContainerSpec, spec_hash
from agent.model.status import BlockedReport, HostStatus
from agent.planner.leader.scheduler import Placement, schedule
from tests.support.builders import cluster, host, intent, member, node, observed, order, service, status
from tests.support.thoroughness import examples
from tests.unit.planner.leader.test_scheduler import anywhere, on, report

GIB = 1 << 30
CPU = 1_000_000_000
AMD, ARM = "linux/amd64", "linux/arm64"
HOSTS = ("h1", "h2", "h3")
ARCH = Constraint(of="platform.arch", equal=True, value="aarch64")


def reports(name: str, cpus: int = 4, gib: int = 8, platform: str = AMD, **more: Any) -> HostStatus:
    machine = Machine(platform=platform, cpus=cpus, memory_bytes=gib * GIB)
    return status(name, **{"engine_version": "20.10.24", "machine": machine, **more})


def reserving(
    name: str = "order", cpus: float = 0, gib: int = 0, count: int = 1, **more: Any
) -> ServiceIntent:
    spec = order(memory_reservation_bytes=gib * GIB or None, platform=more.pop("platform", None))
    return replace(anywhere(count, name, spec=spec, **more), reserved_nano_cpus=round(cpus * CPU))


def everywhere(wanted: ServiceIntent) -> ServiceIntent:
    return replace(wanted, replicas=None, everywhere=True, placement=tuple((each, 1) for each in HOSTS))


def placing(
    wanted: Intent,
    before: Mapping[str, Assignment],
    *statuses: HostStatus,
    rollout: Rollout | None = None,
    **more: Any,
) -> Placement:
    said = {each.node_id.removeprefix("node-"): each for each in statuses if each.node_id}
    state = cluster(
        wanted,
        statuses=said,
        present={name: each.instance for name, each in said.items()},
        assignments=before,
    )
    state = replace(state, rollouts={"order": rollout} if rollout else {})
    nodes = [node(each) for each in HOSTS]
    return schedule(wanted, before, observed(state, host(swarm=member(of=nodes)), leads=True, **more))


def places(found: Placement, name: str = "order") -> dict[str, list[int]]:
    return {each: slots for each, slots in sorted(found.slots[name].items()) if slots}


def reasons(found: Placement) -> list[str]:
    return [str(each) for each in (*found.blocked, *found.waiting)]


ALL = [reports(each) for each in HOSTS]


# ---- Reservations


def test_no_host_gets_more_than_it_has_and_the_rest_is_named_with_numbers() -> None:
    found = placing(intent(reserving(cpus=1.5, count=7), hosts="h1 h2 h3"), {}, *ALL)
    assert places(found) == {"h1": [1, 4], "h2": [2, 5], "h3": [3, 6]}
    full = "of its 4 CPUs 3 are reserved, and a replica reserves 1.5"
    assert reasons(found) == [
        f"blocked placement/order: order-7: no host can run it: h1: {full}; h2: {full}; h3: {full}"
    ]


def test_memory_counts_too_and_a_larger_host_takes_more() -> None:
    found = placing(
        intent(reserving(gib=3, count=9), hosts="h1 h2"), {}, reports("h1"), reports("h2", gib=20)
    )
    assert places(found) == {"h1": [1, 3], "h2": [2, 4, 5, 6, 7, 8]}
    assert (
        "h1: of its 8,192 MiB of memory 6,144 are reserved, and a replica reserves 3,072" in reasons(found)[0]
    )


def test_what_runs_stays_where_it_runs_although_the_document_now_reserves_more() -> None:
    before = on(h1="order-1 order-2 order-3", h2="", h3="")
    found = placing(intent(reserving(cpus=3, count=3), hosts="h1 h2 h3"), before, *ALL)
    assert (places(found), reasons(found)) == ({"h1": [1, 2, 3]}, [])


def test_fixed_replicas_count_and_run_although_they_do_not_fit() -> None:
    fixed = replace(service("fixed", on={"h1": 3}), reserved_nano_cpus=2 * CPU)
    found = placing(intent(fixed, reserving(cpus=1, count=2), hosts="h1 h2"), {}, *ALL[:2])
    assert places(found, "fixed") == {"h1": [1, 2, 3]}
    assert places(found) == {"h2": [1, 2]}


def test_a_new_global_replica_waits_for_room_and_one_that_runs_stays() -> None:
    other = replace(service("fixed", on={"h2": 1, "h3": 1}), reserved_nano_cpus=3 * CPU)
    wanted = intent(other, everywhere(reserving(cpus=2)), hosts="h1 h2 h3")
    found = placing(wanted, on(h1="", h2="order-1", h3=""), *ALL)
    assert places(found) == {"h1": [2], "h2": [1]}
    assert reasons(found) == [
        "blocked placement/order: h3: of its 4 CPUs 3 are reserved, and a replica reserves 2"
    ]


def test_global_replicas_come_before_new_ones_that_the_leader_places() -> None:
    both = reserving("free", cpus=3, count=1), everywhere(reserving(cpus=3))
    found = placing(intent(*both, hosts="h1 h2 h3"), {}, *ALL)
    assert (len(places(found)), places(found, "free")) == (3, {})


def test_a_host_of_an_earlier_agent_gets_none_that_reserves_unless_it_is_fixed_there() -> None:
    earlier = status("h1", engine_version="20.10.24")
    fixed = replace(service("fixed", on={"h1": 1}), reserved_nano_cpus=CPU)
    plain = anywhere(2, "plain")
    found = placing(
        intent(fixed, plain, reserving(cpus=1, count=2), hosts="h1 h2"), {}, earlier, reports("h2")
    )
    assert (places(found, "fixed"), places(found)) == ({"h1": [1]}, {"h2": [1, 2]})
    assert "h1" in places(found, "plain")


def test_replicas_wait_for_the_report_of_the_host_that_may_be_the_best() -> None:
    wanted = intent(reserving(cpus=1, count=3), hosts="h1 h2 h3")
    found = placing(wanted, {}, *ALL[:2])
    assert places(found) == {"h1": [1], "h2": [2]}
    assert reasons(found) == ["waiting placement/order: replicas wait until h3 has reported its engine"]
    assert found.waiting[0].on == "host/h3"
    # A host that never came is lost: the others do not wait for it forever.
    gone = placing(wanted, {}, *ALL[:2], lost_s={"h3": 60.0})
    assert places(gone) == {"h1": [1, 3], "h2": [2]}


# ---- Platforms and ids


def test_a_platform_is_a_constraint_and_moves_what_its_host_cannot_run() -> None:
    mixed = [reports("h1"), reports("h2", platform=ARM), reports("h3", platform="")]
    for wanted in (reserving(platform="linux/arm64/v8", count=2), anywhere(2, constraints=(ARCH,))):
        fresh = placing(intent(wanted, hosts="h1 h2 h3"), {}, *mixed)
        assert places(fresh) == {"h2": [1, 2]}
        moved = placing(intent(wanted, hosts="h1 h2 h3"), on(h1="order-1", h2="order-2", h3=""), *mixed)
        assert places(moved) == {"h2": [1, 2]}


def test_a_move_to_another_platform_does_not_wait_for_the_rollout_that_needs_it() -> None:
    before = on(h1="order-1", h2="")
    busy = reports("h1", replicas=(report(1),)), reports("h2", platform=ARM)
    moving = Rollout(state="moving", before=spec_hash(order()), to="new")
    found = placing(intent(reserving(platform=ARM), hosts="h1 h2"), before, *busy, rollout=moving)
    assert (places(found), found.prefetching) == ({"h1": [1]}, {("order", 1): "h2"})


def test_a_global_service_runs_where_its_platform_is() -> None:
    mixed = [reports("h1"), reports("h2", platform=ARM), reports("h3", platform="linux/arm/v7")]
    wanted = everywhere(
        anywhere(1, constraints=(Constraint(of="platform.arch", equal=False, value="amd64"),))
    )
    found = placing(intent(wanted, hosts="h1 h2 h3"), on(h1="order-1", h2="", h3=""), *mixed)
    assert (places(found), reasons(found)) == ({"h2": [1], "h3": [2]}, [])


def test_a_platform_that_no_host_has_ends_nothing_and_is_named() -> None:
    wanted = reserving(platform="linux/s390x", count=3)
    found = placing(intent(wanted, hosts="h1 h2 h3"), on(h1="order-1", h2="", h3="order-2"), *ALL)
    assert places(found) == {"h1": [1], "h3": [2]}
    assert (
        "order-3: no host can run it: h1: its engine runs linux/amd64, and the service is for linux/s390x"
        in (reasons(found)[0])
    )


def test_an_id_of_a_node_is_that_of_its_report() -> None:
    by_id = [Constraint(of="id", equal=equal, value="node-h2") for equal in (True, False)]
    found = [placing(intent(anywhere(2, constraints=(each,)), hosts="h1 h2 h3"), {}, *ALL) for each in by_id]
    assert [places(each) for each in found] == [{"h2": [1, 2]}, {"h1": [1], "h3": [2]}]


# ---- Whatever is asked for

SERVICES = st.builds(
    reserving,
    name=st.just("order"),
    cpus=st.sampled_from([0, 0.5, 1, 3]),
    gib=st.sampled_from([0, 1, 5]),
    count=st.integers(0, 8),
    most_per_host=st.sampled_from([None, 2]),
)
MACHINES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), min_size=3, max_size=3)
BEFORE = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 4), st.sampled_from(HOSTS)), max_size=6)


@settings(max_examples=examples(100), deadline=None)
@given(SERVICES, SERVICES, MACHINES, BEFORE)
def test_no_host_is_given_more_than_it_has(
    one: ServiceIntent, other: ServiceIntent, machines: list[tuple[int, int]], has: list[tuple[str, int, str]]
) -> None:
    services = (replace(one, name="a"), everywhere(replace(other, name="g")), replace(other, name="b"))
    first = {(name, slot): at for name, slot, at in has}
    before = on(**{at: " ".join(f"{n}-{s}" for (n, s), to in first.items() if to == at) for at in HOSTS})
    statuses = [reports(name, *machine) for name, machine in zip(HOSTS, machines, strict=True)]
    found = placing(intent(*services, hosts="h1 h2 h3"), before, *statuses)
    for each in statuses:
        name = (each.node_id or "").removeprefix("node-")
        taken, new = Reservation(), Reservation()
        for wanted in services:
            for slot in found.slots[wanted.name].get(name, ()):
                taken = taken.plus(capacity.reservation(wanted))
                new = (
                    new if first.get((wanted.name, slot)) == name else new.plus(capacity.reservation(wanted))
                )
        fits = taken.nano_cpus <= each.machine.cpus * CPU, taken.memory_bytes <= each.machine.memory_bytes
        assert fits[0] or not new.nano_cpus
        assert fits[1] or not new.memory_bytes


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), MACHINES, BEFORE)
def test_without_reservations_what_hosts_report_changes_nothing(
    one: int, other: int, machines: list[tuple[int, int]], has: list[tuple[str, int, str]]
) -> None:
    services = (anywhere(one, "a"), everywhere(anywhere(1, "g")), anywhere(other, "b", most_per_host=2))
    first = {(name, slot): at for name, slot, at in has}
    before = on(**{at: " ".join(f"{n}-{s}" for (n, s), to in first.items() if to == at) for at in HOSTS})
    told = [reports(name, *machine) for name, machine in zip(HOSTS, machines, strict=True)]
    wanted = intent(*services, hosts="h1 h2 h3")
    assert placing(wanted, before, *told) == placing(wanted, before, *(status(name) for name in HOSTS))


def test_a_spec_without_a_platform_is_for_every_host() -> None:
    wanted = replace(anywhere(3), spec=ContainerSpec(image="x:1"))
    mixed = [reports("h1", platform=ARM), reports("h2", platform=""), reports("h3")]
    assert len(places(placing(intent(wanted, hosts="h1 h2 h3"), {}, *mixed))) == 3


def test_a_fixed_replica_gets_the_slot_that_its_host_does_not_give_up() -> None:
    """Somebody else wrote the assignment, or it was lost before the host had reported."""
    fixed = service("fixed", on={"h1": 2, "h2": 1})
    kept = BlockedReport(resource="container/prod-fixed-3", reason="it stays", kind="foreign")
    runs = (report(2, name="fixed"), report(3, name="fixed"))
    before = on(h1="fixed-2 fixed-51", h2="fixed-1")
    for blocked, slots in (((kept,), [3, 2]), ((), [2, 51])):
        h1 = reports("h1", replicas=runs, blocked=blocked)
        found = placing(intent(fixed, hosts="h1 h2"), before, h1, reports("h2"))
        assert places(found, "fixed") == {"h1": slots, "h2": [1]}
    elsewhere = on(h1="fixed-2 fixed-51", h2="fixed-3")
    found = placing(
        intent(fixed, hosts="h1 h2"), elsewhere, reports("h1", replicas=runs, blocked=(kept,)), reports("h2")
    )
    assert places(found, "fixed") == {"h1": [2, 51], "h2": [3]}
