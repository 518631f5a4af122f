"""The host of the next replica: the choice by ranked groups is the one that a comparison of all hosts makes."""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.intent.deploy import MOST_ON_A_HOST
from agent.model.intent import HostIntent, Intent, ServiceIntent, Where
from agent.model.records import Assignment, Replica
from agent.model.spec import Port
from agent.planner.leader.host_picker import HostPicker
from agent.planner.leader.scheduler import schedule
from agent.planner.leader.scheduler_state import SchedulerState
from tests.support.builders import intent, observed, order, service

SPREADS = ("labels.zone", "labels.rack", "hostname")


def cluster(count: int, *services: ServiceIntent) -> Intent:
    """So many hosts in a few zones and racks; every seventh has no label, every fifth is drained."""
    hosts = tuple(
        HostIntent(
            name=f"n{number}",
            address=IPv4Address("10.1.0.1") + number,
            role="manager",
            availability="drain" if number % 5 == 4 else "active",
            labels=() if number % 7 == 6 else (("rack", f"r{number % 4}"), ("zone", f"z{number % 2}")),
        )
        for number in range(count)
    )
    return replace(intent(*services), hosts=hosts)


def wanted(name: str, spread: tuple[str, ...] = (), most: int | None = None, port: int = 0) -> ServiceIntent:
    ports = (Port(target=80, published=port),) if port else ()
    made = service(name, on={}, spec=order(ports=ports))
    return replace(made, replicas=1, where=Where(spread=spread, most_per_host=most))


def compared(
    picker: HostPicker, of: Intent, one: ServiceIntent, lost: set[str], load: Counter[str]
) -> str | None:
    """The best host, found by comparing all of them."""
    groups: Counter[tuple[str | None, ...]] = Counter()

    def of_host(host: HostIntent) -> list[tuple[str | None, ...]]:
        values = tuple(host.feature(each) for each in one.where.spread)
        return [values[: length + 1] for length in range(len(values))]

    for host in of.hosts:
        for group in of_host(host):
            groups[group] += picker.count(one, host.name)
    fitting = [each for each in of.hosts if not picker.why_rejected(one, each)]
    ranked = [
        (
            each.name in lost,
            [groups[group] for group in of_host(each)],
            picker.count(one, each.name),
            load[each.name],
            position,
            each.name,
        )
        for position, each in enumerate(fitting)
    ]
    return min(ranked)[-1] if ranked else None


def crowded(picker: HostPicker, of: Intent, one: ServiceIntent) -> list[tuple[int, ...]]:
    """The replicas of the service on the hosts with the same first values, for each host, and on it."""
    found, where = [], one.where.spread
    for host in of.hosts:
        values = [host.feature(each) for each in where]
        alike = (
            [each for each in of.hosts if [each.feature(one) for one in where[:length]] == values[:length]]
            for length in range(1, len(where) + 1)
        )
        counts = (sum(picker.count(one, each.name) for each in group) for group in alike)
        found.append((*counts, picker.count(one, host.name)))
    return found


SERVICES = st.builds(
    wanted,
    st.just("a"),
    spread=st.lists(st.sampled_from(SPREADS), max_size=3, unique=True).map(tuple),
    most=st.sampled_from([None, 1, 3]),
    port=st.sampled_from([0, 80]),
)
CHANGES = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 20), st.booleans()), max_size=60)


@settings(deadline=None)
@given(SERVICES, SERVICES, st.integers(1, 20), st.sets(st.integers(0, 19), max_size=5), CHANGES)
def test_the_best_host_is_the_one_that_a_comparison_of_all_finds(
    one: ServiceIntent,
    other: ServiceIntent,
    count: int,
    lost: set[int],
    changes: list[tuple[int, int, bool]],
) -> None:
    # All but the second share a ranking, and the last has a port of its own.
    services = (
        one,
        replace(other, name="b"),
        replace(one, name="c"),
        replace(one, name="d", spec=order(ports=(Port(target=80, published=81),))),
    )
    of = cluster(count, *services)
    away = {f"n{number}" for number in lost}
    seen = observed(None, None, lost_s=dict.fromkeys(away, 1.0))
    picker = HostPicker(of, SchedulerState(of, {}, seen))
    taken: list[tuple[ServiceIntent, str]] = []
    load: Counter[str] = Counter()
    for which, number, releases in changes:
        mine = services[which]
        best = picker.best(mine)
        assert best == compared(picker, of, mine, away, load)
        assert [picker.crowding(mine, each.name) for each in of.hosts] == crowded(picker, of, mine)
        if releases and taken:
            former, host = taken.pop(number % len(taken))
            picker.release(former, host)
            load[host] -= 1
        elif chosen := best if number < 0 else f"n{number % count}":
            picker.take(mine, chosen)
            load[chosen] += 1
            taken.append((mine, chosen))


def test_no_host_gets_more_replicas_than_a_host_may_run() -> None:
    most = replace(wanted("a"), replicas=3 * MOST_ON_A_HOST)
    of = cluster(4, most)
    spread = schedule(replace(of, hosts=of.hosts[:2]), {})
    assert {host: len(slots) for host, slots in spread.slots["a"].items()} == {"n0": 1000, "n1": 1000}
    (blocked,) = spread.blocked
    assert blocked.reason.startswith("a-2001, a-2002, ")
    assert "and 992 more: no host can run it: n0: it has 1000 replicas, the maximum; n1: " in blocked.reason


@pytest.mark.parametrize("services", [10, 1000])
def test_as_many_replicas_as_may_be_are_placed_on_as_many_hosts_within_seconds(services: int) -> None:
    many = tuple(
        replace(wanted(f"s{number}", spread=("labels.zone", "hostname")), replicas=20_000 // services)
        for number in range(services)
    )
    of, start = cluster(1000, *many), process_time()
    placed = schedule(of, {})
    assert sum(len(slots) for each in placed.slots.values() for slots in each.values()) == 20_000
    assert process_time() - start < 3  # 0.4 s; a ranking made anew for each service took ten


def test_services_with_ports_of_their_own_share_a_ranking() -> None:
    many = tuple(replace(wanted(f"s{number}", port=8000 + number), replicas=2) for number in range(20))
    of = cluster(50, *many)
    picker = HostPicker(of, SchedulerState(of, {}, None))
    for each in (*many, *many):
        host = picker.best(each)
        assert host
        picker.take(each, host)
    assert len(picker._rankings) == 1


def test_an_order_to_rebalance_takes_no_longer_than_placing() -> None:
    spread = wanted("a", spread=("labels.zone", "hostname"))
    spread = replace(spread, replicas=4000, rebalanced_at="2026-01-01T00:00:00Z")
    of, start = cluster(1000, spread), process_time()
    placed = schedule(of, {})
    replicas = ((host, slot) for host, slots in placed.slots["a"].items() for slot in slots)
    current: dict[str, list[Replica]] = {host: [] for host in placed.slots["a"]}
    for host, slot in replicas:
        current[host].append(Replica(service="a", slot=slot, spec=spread.spec_hash))
    assigned = {
        host: Assignment(revision=7, project="prod", replicas=tuple(each)) for host, each in current.items()
    }
    placing, start = process_time() - start, process_time()

    found = schedule(of, assigned)

    assert found.rebalanced == {"a": spread.rebalanced_at}
    assert (
        process_time() - start < 5 * placing + 0.1
    )  # about as long; with a look at all hosts for each, 20 times
