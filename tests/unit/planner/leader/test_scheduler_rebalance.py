"""`x-rebalanced-at` in, moves out: one at a time, as few as there can be, and once for each order."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from agent.model.intent import Intent
from agent.model.records import Assignment, Replica
from agent.model.spec import Port, spec_hash
from agent.planner.leader.assignments import assign
from agent.planner.leader.scheduler import placement_of
from tests.support.builders import intent, order
from tests.unit.planner.leader.test_scheduler import ZONES, anywhere, hosts, on, seen

AT, LATER = "2026-11-30T17:00:00Z", "2026-11-30T18:00:00Z"
FOUR_FOUR_ONE = {
    "h1": "order-1 order-2 order-3 order-4",
    "h2": "order-5 order-6 order-7 order-8",
    "h3": "order-9",
}


def wanted(*, at: str = AT, count: int = 9, names: str = "h1 h2 h3", **more: Any) -> Intent:
    return intent(replace(anywhere(count, **more), rebalanced_at=at), hosts=names)


def at_rest(wanted: Intent, now: Mapping[str, Assignment]) -> tuple[Mapping[str, Assignment], int]:
    """Assign until nothing changes; return the end and the number of moves, which never are two at a time."""
    total = 0
    for _ in range(100):
        new = assign(wanted, now)
        where = [
            {each.key: host for host, one in many.items() for each in one.replicas} for many in (now, new)
        ]
        moved = sum(where[0].get(key, host) != host for key, host in where[1].items())
        assert moved <= 1
        total += moved
        if new == now:
            return new, total
        now = new
    raise AssertionError("the moves do not end")


def counts(found: Mapping[str, Assignment]) -> list[int]:
    return [len(each.replicas) for each in found.values()]


def test_without_an_order_nothing_moves() -> None:
    end, moves = at_rest(wanted(at=""), on(**FOUR_FOUR_ONE))
    assert (counts(end), moves) == ([4, 4, 1], 0)
    assert all(each.rebalanced == () for each in end.values())


def test_two_replicas_move_to_the_host_that_started_late_and_the_order_is_noted() -> None:
    end, moves = at_rest(wanted(), on(**FOUR_FOUR_ONE))
    assert (counts(end), moves) == ([3, 3, 3], 2)
    assert {each.rebalanced for each in end.values()} == {(("order", AT),)}


def test_an_order_that_was_carried_out_moves_nothing_again_and_a_later_one_does() -> None:
    uneven = {name: replace(each, rebalanced=(("order", AT),)) for name, each in on(**FOUR_FOUR_ONE).items()}
    end, moves = at_rest(wanted(), uneven)
    assert (counts(end), moves) == ([4, 4, 1], 0)
    assert at_rest(wanted(at="2026-11-30T16:00:00Z"), uneven)[1] == 0, "an earlier order, as after a rollback"
    assert at_rest(wanted(at=LATER), uneven)[1] == 2
    assert all(each.rebalanced == () for each in at_rest(wanted(at=""), end)[0].values())


def test_a_host_that_cannot_take_a_replica_gets_none_and_the_order_ends() -> None:
    published = wanted(count=2, spec=order(ports=(Port(target=8080, published=80),)))
    assert at_rest(published, on(h1="order-1", h2="order-2"))[1] == 0
    paused = hosts(wanted(), h3={"availability": "pause"})
    end, moves = at_rest(paused, on(**FOUR_FOUR_ONE))
    assert (counts(end), moves) == ([4, 4, 1], 0)
    assert end["h1"].rebalanced == (("order", AT),)


def test_the_order_waits_for_a_host_that_is_lost_until_it_is_gone() -> None:
    def carried_out(lost_s: float) -> Mapping[str, str]:
        two = on(**{name: FOUR_FOUR_ONE[name] for name in ("h1", "h2")}, h3="")
        now = seen(wanted(count=8), two, away="h3", lost={"h3": lost_s})
        return placement_of(wanted(count=8), now).rebalanced

    assert carried_out(10.0) == {}
    assert carried_out(600.0) == {"order": AT}


def test_a_paused_host_keeps_its_replicas() -> None:
    end, _ = at_rest(hosts(wanted(), h1={"availability": "pause"}), on(**FOUR_FOUR_ONE))
    assert counts(end) == [4, 3, 2]


def test_the_spread_labels_come_before_the_hosts() -> None:
    zones = hosts(wanted(count=4, spread=("labels.zone",)), **ZONES)
    end, moves = at_rest(zones, on(h1="order-1 order-2", h2="order-3", h3="order-4"))
    assert (counts(end), moves) == ([1, 1, 2], 1)


@pytest.mark.parametrize("seed", range(60))
def test_any_placement_comes_to_a_spread_within_one_with_the_fewest_moves(seed: int) -> None:
    random = Random(seed)
    names, count = [f"h{n}" for n in range(1, random.randint(2, 6))], random.randint(1, 25)
    digest = spec_hash(order())
    where = {slot: random.choice(names[: random.randint(1, len(names))]) for slot in range(1, count + 1)}
    now = {
        name: Assignment(
            revision=1,
            project="prod",
            replicas=tuple(
                Replica(service="order", slot=slot, spec=digest) for slot in where if where[slot] == name
            ),
        )
        for name in names
    }
    end, moves = at_rest(wanted(count=count, names=" ".join(names)), now)
    before, after = Counter(where.values()), counts(end)
    assert max(after) - min(after) <= 1
    low, more = divmod(count, len(names))
    most = sorted((before[name] for name in names), reverse=True)
    assert moves == sum(max(0, had - low - (place < more)) for place, had in enumerate(most))
