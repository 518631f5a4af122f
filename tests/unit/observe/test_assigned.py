"""What a host acts on of its assignment: what the accepted document allows, and what it had before for the rest."""

from dataclasses import replace
from typing import Any

import pytest

from agent.admission import encode as encode_policy
from agent.admission.policy import Policy
from agent.model.host_state import ContainerState, HostState, SwarmState
from agent.model.intent import Intent, Machine
from agent.model.records import Assignment, Replica, decode, encode
from agent.model.spec import spec_hash, with_digest
from agent.model.store import KeyValue
from agent.observe.assigned import HELD_S, MOST_RETURNS, AllowedAssignment, Evidence
from agent.observe.declared import DeclaredSpecs
from tests.support.document import document
from tests.support.etcd_keys import DOCUMENT, KEYS, ME, OTHER
from tests.support.simulated_cluster import parsed

FIXED = document(DOCUMENT, services={"order": {"deploy": None, "x-hosts": {ME: 2, OTHER: 1}}})
LATER = document(FIXED, tags={"order": "2"})
SCHEDULED = document(DOCUMENT, services={"order": {"deploy": {"replicas": 4}}})
ON_OVERLAY = document(
    FIXED,
    networks={
        "net": {
            "name": "net",
            "driver": "overlay",
            "attachable": True,
            "ipam": {"config": [{"subnet": "10.1.0.0/16"}]},
        }
    },
    services={"order": {"network_mode": None, "networks": ["net"]}},
)


class Desk:
    """A host with a document, which gets assignments of it."""

    def __init__(self, text: str = FIXED) -> None:
        self.declared = DeclaredSpecs(KEYS)
        self.now = 0.0
        self.allowed = AllowedAssignment(KEYS, ME, self.declared, lambda: self.now)
        self.specs: dict[str, Any] = {}
        self.revision = 6
        self.intent: Intent
        self.accept(text)

    def restart(self, last: bytes) -> None:
        """Begin anew with what is on the disk; `last`: the assignment."""
        kept = (
            KeyValue(key=KEYS.assignment(ME), value=last, create_revision=0, mod_revision=0),
            self.allowed.kept,
        )
        self.allowed = AllowedAssignment(KEYS, ME, self.declared, lambda: self.now)
        self.allowed.recall({each.key: each for each in kept})

    def accept(self, text: str) -> None:
        self.revision += 1
        self.intent = replace(parsed(text), revision=self.revision)
        self.specs |= {spec_hash(each.spec): each.spec for each in self.intent.services}

    def replica(self, slot: int, of: str = "", **fields: Any) -> Replica:
        (service,) = parsed(of).services if of else self.intent.services
        return Replica(service="order", slot=slot, spec=service.spec_hash, **fields)

    def look(self, *replicas: Replica, revision: int = 0, asks: str = "") -> tuple[Replica, ...]:
        """What the host acts on of an assignment, which is of the accepted document if there is no `revision`."""
        self.declared.learn(self.intent, self.specs)
        revision = revision or self.revision
        found = Assignment(revision=revision, project="prod", replicas=replicas, asks=asks)
        allowed = self.allowed.look(found, self.intent, self.specs)
        assert allowed is not None
        return allowed.replicas

    def slots(self, *slots: int) -> list[int]:
        return [each.slot for each in self.look(*map(self.replica, slots))]

    @property
    def refused(self) -> set[int]:
        return {slot for _, slot in self.allowed.refused}


def test_what_was_never_assigned_here_is_named_also_in_an_assignment_of_an_earlier_document() -> None:
    desk = Desk()
    desk.look(desk.replica(1), desk.replica(2))
    desk.accept(LATER)
    evil = replace(desk.replica(1, FIXED), service="evil")
    for _ in range(2):
        assert desk.look(evil, desk.replica(1), desk.replica(2), revision=7) == (
            desk.replica(1),
            desk.replica(2),
        )
        assert ("evil", 1) in desk.allowed.refused


@pytest.mark.parametrize(
    ("text", "slots", "allowed", "refused"),
    [
        (FIXED, (1, 2), [1, 2], set()),
        (FIXED, (1, 2, 3), [1, 2], {3}),
        (FIXED, (1,), [1, 2], {2}),
        (FIXED, (), [1, 2], {1, 2}),
        (FIXED, (2, 7), [1, 2], {1, 7}),
        (FIXED, (7, 8), [1, 2], {1, 2, 7, 8}),
        (SCHEDULED, (1, 2, 3, 4), [1, 2, 3, 4], set()),
        (SCHEDULED, (1, 2, 3, 4, 5), [1, 2, 3, 4], {5}),
        (SCHEDULED, (), [], set()),
    ],
)
def test_the_document_limits_the_replicas_of_a_service_on_a_host(
    text: str, slots: tuple[int, ...], allowed: list[int], refused: set[int]
) -> None:
    desk = Desk(text)
    assert desk.slots(1, 2) == [1, 2]
    assert (desk.slots(*slots), desk.refused) == (allowed, refused)


@pytest.mark.parametrize("replicas", [1, 2])
def test_no_later_document_gives_a_fixed_replica_another_slot(replicas: int) -> None:
    """Whatever revisions assignments have, and also if fewer replicas are declared here."""
    desk = Desk()
    desk.slots(1, 2)
    first = desk.revision
    for _ in range(3):
        desk.accept(document(LATER, services={"order": {"x-hosts": {ME: replicas}}}))
    last = desk.revision
    for desk.revision in range(first + 1, last):  # the revisions in between
        assert desk.slots(40 + desk.revision, 41 + desk.revision) == [1, 2][:replicas]
    desk.revision = last
    for _ in range(2):
        assert desk.slots(51, 52) == [1, 2][:replicas]
        assert desk.refused == {*[1, 2][:replicas], 51, 52}


def test_a_document_with_fewer_replicas_ends_those_that_the_leader_says() -> None:
    desk = Desk()
    desk.slots(1, 2)
    desk.accept(document(LATER, services={"order": {"x-hosts": {ME: 1}}}))
    assert (desk.slots(2), desk.refused) == ([2], set())


def test_who_raises_the_epoch_changes_no_slot() -> None:
    desk = Desk()
    desk.slots(1, 2)
    had = desk.allowed.last
    assert had is not None
    for epoch in (1, 2, 3):
        others = tuple(replace(each, slot=each.slot + 10 * epoch) for each in had.replicas)
        found = replace(had, epoch=epoch, replicas=others)
        allowed = desk.allowed.look(found, desk.intent, desk.specs, epoch)
        assert allowed is not None
        assert [each.slot for each in allowed.replicas] == [1, 2]


def test_a_document_in_another_etcd_gives_a_fixed_replica_no_other_slot() -> None:
    desk = Desk()
    desk.slots(1, 2)
    desk.revision = 2
    desk.accept(LATER)
    assert (desk.slots(2, 3), desk.refused) == ([1, 2], {1, 3})


def test_an_assignment_counts_for_a_later_document_that_asks_the_same_also_after_a_start_without_etcd() -> (
    None
):
    desk = Desk()
    asks = desk.intent.asks_of(ME, ["order"])
    desk.look(desk.replica(1), desk.replica(2), asks=asks)
    desk.accept(FIXED)

    for allowed in (desk.allowed, AllowedAssignment(KEYS, ME, desk.declared, lambda: desk.now)):
        desk.allowed = allowed
        desk.look(desk.replica(1), desk.replica(2), revision=7, asks=asks)
        assert allowed.last is not None
        assert (allowed.last.revision, desk.revision) == (8, 8)
        value = KeyValue(key=KEYS.assignment(ME), value=b"as in etcd", create_revision=1, mod_revision=1)
        assert allowed.saved(value) == value


def test_who_alternates_for_which_document_an_assignment_counts_changes_no_slot() -> None:
    desk = Desk()
    asks = desk.intent.asks_of(ME, ["order"])
    desk.look(desk.replica(1), desk.replica(2), asks=asks)
    desk.accept(FIXED)
    desk.look(desk.replica(1), desk.replica(2), revision=7, asks=asks)

    for slots, forged in (((7, 8), "other"), ((5, 6), asks)) * 3:
        allowed = desk.look(*map(desk.replica, slots), revision=7, asks=forged)
        assert [each.slot for each in allowed] == [1, 2]
        # With a later revision than in etcd, the one there would be outdated after a restart.
        value = KeyValue(key=KEYS.assignment(ME), value=b"as in etcd", create_revision=1, mod_revision=1)
        assert decode(Assignment, desk.allowed.saved(value).value).revision == 7


@pytest.mark.parametrize("availability", ["active", "pause", "drain"])
def test_only_a_drained_host_loses_its_fixed_replicas(availability: str) -> None:
    desk = Desk(document(FIXED, hosts={ME: {"availability": availability}}))
    desk.slots(1, 2)
    assert desk.slots() == ([] if availability == "drain" else [1, 2])


def test_what_the_document_has_no_more_goes_on_and_is_not_started_again() -> None:
    desk = Desk()
    desk.slots(1, 2)
    desk.accept(document(FIXED, services={"order": {"x-hosts": {ME: None}}}))
    kept = desk.look(desk.replica(1, FIXED), desk.replica(2, FIXED))
    assert [(each.slot, each.held_by_fault) for each in kept] == [(1, True), (2, True)]
    assert (desk.slots(1, 2, 3), desk.refused) == ([1, 2], {3})
    assert desk.slots() == []


def test_a_replica_of_a_removed_service_ends_without_the_leader_and_is_named_if_assigned_by_that_document() -> (
    None
):
    desk = Desk()
    desk.slots(1, 2)
    had = desk.allowed.last
    assert had is not None
    desk.accept(
        document(
            FIXED,
            services={"order": None, "other": {"image": "other:1", "network_mode": "none", "x-hosts": [ME]}},
        )
    )
    desk.declared.learn(desk.intent, desk.specs)
    for revision, refused in ((7, set()), (8, {1, 2})):
        found = desk.allowed.look(replace(had, revision=revision), desk.intent, desk.specs)
        assert found is not None
        assert (found.replicas, desk.refused) == ((), refused)


@pytest.mark.parametrize("action", ["pause", "rollback"])
def test_a_replica_goes_back_to_an_earlier_spec_only_where_a_rollback_may(action: str) -> None:
    desk = Desk()
    desk.slots(1, 2)
    desk.accept(
        document(LATER, services={"order": {"deploy": {"update_config": {"failure_action": action}}}})
    )
    before = [desk.replica(1, FIXED), desk.replica(2, FIXED)]
    assert list(desk.look(*before)) == before  # it has not moved yet
    now = [desk.replica(1), desk.replica(2)]
    assert list(desk.look(*now)) == now
    desk.allowed.seen = NOTHING_RUNS
    assert list(desk.look(*before)) == (before if action == "rollback" else now)
    assert desk.refused == (set() if action == "rollback" else {1, 2})


def test_a_spec_that_cannot_be_read_replaces_nothing() -> None:
    desk = Desk()
    had = desk.look(desk.replica(1), desk.replica(2))
    assert desk.look(*(replace(each, spec="0" * 64) for each in had)) == had
    assert desk.refused == {1, 2}


def test_only_what_the_document_asks_for_is_reserved() -> None:
    address = (("net", "10.1.0.9"),)
    plain, reserves = Desk(ON_OVERLAY), Desk(document(ON_OVERLAY, policy={"reserve_addresses": True}))
    assert plain.look(plain.replica(1, addresses=address, stops_first=True))[0] == plain.replica(1)
    wanted = reserves.replica(1, addresses=address, stops_first=True)
    assert reserves.look(wanted)[0] == wanted


NET, X, Y = "net", "10.1.0.9", "10.1.0.8"
RESERVES = document(ON_OVERLAY, policy={"reserve_addresses": True})


def runs(address: str, *duplicates: str) -> Evidence:
    """The first replica runs with the address, in container c1."""
    return Evidence({("order", 1): ("c1", ((NET, address),))}, frozenset((NET, each) for each in duplicates))


NOTHING_RUNS = Evidence({}, frozenset())


@pytest.mark.parametrize(
    ("seen", "container", "obeys", "named"),
    [
        (runs(X), "c1", False, True),
        (runs(X, Y), "c1", False, True),
        (runs(X, X), "c1", True, False),
        (runs(X), "the one before", True, False),
        (NOTHING_RUNS, "c1", True, False),
        (None, "c1", False, True),
    ],
)
def test_only_a_container_whose_address_another_one_has_is_recreated(
    seen: Evidence | None, container: str, obeys: bool, named: bool
) -> None:
    """An order about another container does nothing, and is often of a moment ago."""
    desk = Desk(ON_OVERLAY)
    desk.look(desk.replica(1), desk.replica(2))
    desk.allowed.seen = seen
    wanted = desk.replica(1, recreate=((container, "duplicate"),))
    assert desk.look(wanted, desk.replica(2))[0] == (wanted if obeys else desk.replica(1))
    assert desk.refused == ({1} if named else set())


@pytest.mark.parametrize("wanted", [((NET, Y),), ()])
@pytest.mark.parametrize(
    ("seen", "moves"),
    [(runs(X), False), (runs(X, Y), False), (None, False), (runs(X, X), True), (NOTHING_RUNS, True)],
)
def test_a_running_replica_gets_another_reserved_address_only_for_a_duplicate(
    seen: Evidence | None, moves: bool, wanted: Any
) -> None:
    desk = Desk(RESERVES)
    first = desk.replica(1, addresses=((NET, X),))
    desk.look(first, desk.replica(2))
    desk.allowed.seen = seen
    found = desk.look(desk.replica(1, addresses=wanted), desk.replica(2))[0]
    assert (found.addresses, desk.refused) == ((wanted, set()) if moves else (((NET, X),), {1}))


def test_a_running_replica_gets_another_address_if_the_document_gives_its_own_to_a_service() -> None:
    desk = Desk(RESERVES)
    desk.look(desk.replica(1, addresses=((NET, X),)), desk.replica(2))
    desk.allowed.seen = runs(X)
    other = {"image": "other:1", "networks": {NET: {"ipv4_address": X}}, "x-hosts": [OTHER]}
    intent = parsed(document(RESERVES, services={"other": other}))
    desk.intent = replace(intent, revision=desk.revision)
    moved = Replica(service="order", slot=1, spec=desk.look()[0].spec, addresses=((NET, Y),))
    assert desk.look(moved, replace(moved, slot=2, addresses=()))[0] == moved


def test_the_first_reservation_is_the_address_that_the_replica_has() -> None:
    desk = Desk(ON_OVERLAY)
    desk.look(desk.replica(1), desk.replica(2))
    desk.accept(RESERVES)
    desk.allowed.seen = runs(X)
    found = desk.look(desk.replica(1, addresses=((NET, Y),)), desk.replica(2))[0]
    assert (found.addresses, desk.refused) == (((NET, X),), {1})
    assert desk.look(found, desk.replica(2))[0] == found
    assert desk.refused == set()


def test_an_address_that_was_changed_by_hand_is_put_right() -> None:
    desk = Desk(RESERVES)
    wanted = desk.replica(1, addresses=((NET, X),))
    desk.look(wanted, desk.replica(2))
    desk.allowed.seen = runs("10.1.7.7")
    assert desk.look(wanted, desk.replica(2))[0] == wanted
    assert desk.refused == set()


ROLLS_BACK = {"deploy": {"update_config": {"failure_action": "rollback"}}}
UP = Evidence({("order", 1): ("c1", ())}, frozenset())


def rolled_out() -> tuple[Desk, Replica, Replica]:
    """A host that followed a rollout; its first replica now, and as it was before."""
    desk = Desk()
    desk.look(desk.replica(1), desk.replica(2))
    desk.accept(document(FIXED, tags={"order": "2"}, services={"order": ROLLS_BACK}))
    desk.allowed.seen = UP
    latest, earlier = desk.replica(1), desk.replica(1, FIXED)
    assert latest in desk.look(latest, desk.replica(2))
    return desk, latest, earlier


def test_a_replica_goes_back_so_often_under_one_document_and_may_always_come_forth() -> None:
    desk, latest, earlier = rolled_out()
    for number in range(MOST_RETURNS + 3):
        assert (earlier in desk.look(earlier, desk.replica(2))) == (number < MOST_RETURNS)
        assert ("left its spec before" in desk.allowed.refused.get(("order", 1), "")) == (
            number >= MOST_RETURNS
        )
        assert latest in desk.look(latest, desk.replica(2))
    desk.accept(document(desk_text(ROLLS_BACK), tags={"order": "3"}))
    assert desk.replica(1) in desk.look(desk.replica(1), desk.replica(2))
    assert latest in desk.look(latest, desk.replica(2))


def test_slots_that_come_and_go_are_not_remembered() -> None:
    desk = Desk(SCHEDULED)
    desk.look(desk.replica(1))
    rolls_back = {"deploy": {"replicas": 4, **ROLLS_BACK["deploy"]}}
    desk.accept(document(DOCUMENT, tags={"order": "2"}, services={"order": rolls_back}))
    desk.allowed.seen = UP
    for slot in range(1, 30):
        desk.look(desk.replica(slot))
        desk.look(desk.replica(slot, SCHEDULED))
    kept = decode(Assignment, desk.allowed.kept.value)
    assert [each.slot for each in kept.replicas] == [29]


def test_a_restart_of_the_agent_forgets_no_replica_that_went_back() -> None:
    desk, latest, earlier = rolled_out()
    desk.look(earlier, desk.replica(2))
    desk.look(latest, desk.replica(2))
    last = desk.allowed.last
    assert last is not None
    desk.restart(encode(last))
    desk.allowed.seen = UP
    assert latest in desk.look(earlier, desk.replica(2))
    assert desk.refused == {1}


@pytest.mark.parametrize("fails", [True, False])
def test_what_failed_on_this_host_goes_back_whenever_the_leader_says_so(fails: bool) -> None:
    """An operator may have the same spec tried again."""
    desk, latest, earlier = rolled_out()
    if fails:
        desk.allowed.seen = UP._replace(failed=frozenset({(latest.key, latest.spec)}))
    for number in range(3):
        assert (earlier in desk.look(earlier, desk.replica(2))) == (fails or not number)
        assert latest in desk.look(latest, desk.replica(2))


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({}, False),
        ({"crashes": 1}, True),
        ({"health": "unhealthy"}, True),
        ({"status": "created", "error": "no such file"}, True),
    ],
)
def test_a_container_that_fails_is_seen(changes: Any, fails: bool) -> None:
    mine = Replica(service="order", slot=1, spec="s")
    found = replace(ContainerState(id="c", name="n", status="running", replica=mine), **changes)
    host = HostState(
        engine_version="1", live_restore=False, swarm=SwarmState(local="inactive"), containers=(found,)
    )
    assert Evidence.of(host).failed == ({(mine.key, "s")} if fails else set())


@pytest.mark.parametrize("of", ["x-hosts", "global"])
def test_a_fixed_replica_that_works_goes_back_for_no_rollback_also_after_a_restart(of: str) -> None:
    placed: Any = {} if of == "x-hosts" else {"x-hosts": None, "deploy": {"mode": "global"}}
    text = document(FIXED, services={"order": placed})
    desk = Desk(text)
    desk.look(desk.replica(1))
    earlier = desk.replica(1)
    desk.accept(document(text, tags={"order": "2"}, services={"order": ROLLS_BACK}))
    latest = desk.replica(1)
    desk.look(latest)
    desk.allowed.seen = UP._replace(works=frozenset({(latest.key, latest.spec)}))
    for _ in range(2):
        assert latest in desk.look(earlier)
        assert "it works on this host" in desk.allowed.refused["order", 1]
        last = desk.allowed.last
        assert last is not None
        desk.restart(encode(last))  # nothing is known of the engine yet
        assert latest in desk.look(earlier)
        desk.allowed.seen = UP._replace(works=frozenset({(latest.key, latest.spec)}))
    desk.allowed.seen = UP._replace(failed=frozenset({(latest.key, latest.spec)}))
    assert earlier in desk.look(earlier)
    assert desk.refused.isdisjoint({1})
    last = desk.allowed.last
    assert last is not None
    desk.restart(encode(last))
    assert earlier in desk.look(earlier)
    desk.allowed.seen = UP._replace(works=frozenset({(earlier.key, earlier.spec)}))
    assert earlier in desk.look(earlier)
    for _ in range(2):
        assert earlier in desk.look(latest)
        assert "it failed with that spec" in desk.allowed.refused["order", 1]
        last = desk.allowed.last
        assert last is not None
        desk.restart(encode(last))
        desk.allowed.seen = UP._replace(works=frozenset({(earlier.key, earlier.spec)}))
    desk.accept(document(text, tags={"order": "2"}, services={"order": ROLLS_BACK}))
    assert latest in desk.look(latest)


def test_a_fixed_replica_that_works_with_an_earlier_spec_gets_no_earlier_one_still() -> None:
    desk = Desk()
    first = desk.replica(1)
    desk.look(first)
    for tag in ("2", "3"):
        desk.accept(document(FIXED, tags={"order": tag}, services={"order": ROLLS_BACK}))
        desk.look(second := desk.replica(1)) if tag == "2" else desk.look(second, revision=desk.revision)
    desk.allowed.seen = UP._replace(works=frozenset({(second.key, second.spec)}))
    assert second in desk.look(first)
    assert 1 in desk.refused
    assert desk.replica(1) in desk.look(desk.replica(1))


@pytest.mark.parametrize(
    ("changes", "works"),
    [
        ({}, True),
        ({"finished_at": "2026-01-01T00:00:00Z"}, False),
        ({"finished_at": "2026-01-01T00:00:00Z", "steady": True}, True),
        ({"finished_at": "2026-01-01T00:00:00Z", "interrupted": True}, True),
        ({"health": "unhealthy"}, False),
        ({"status": "exited"}, False),
    ],
)
@pytest.mark.parametrize("rollback", ["own_failures", "cluster"])
def test_a_container_works_that_runs_and_has_not_just_ended_by_itself(
    changes: Any, works: bool, rollback: Any
) -> None:
    mine = Replica(service="order", slot=1, spec="s")
    found = replace(ContainerState(id="c", name="n", status="running", replica=mine), **changes)
    admission = encode_policy(Policy(rollback=rollback))
    swarm = SwarmState(local="inactive")
    host = HostState(
        engine_version="1", live_restore=False, swarm=swarm, containers=(found,), admission=admission
    )
    expected = {(mine.key, "s")} if works and rollback == "own_failures" else set()
    assert Evidence.of(host).works == expected


def desk_text(rolls_back: dict[str, Any]) -> str:
    return document(ON_OVERLAY, services={"order": rolls_back})


# ---- what holds a replica


def test_a_fixed_replica_is_held_only_for_an_address_and_what_else_holds_it_is_named() -> None:
    desk = Desk()
    held: dict[str, Any] = {"held": "forged", "held_by_fault": True, "waits_on": "host/h2"}
    assert desk.look(desk.replica(1, **held), desk.replica(2))[0] == desk.replica(1)
    assert desk.refused == {1}
    assert "gives it no reason to wait" in desk.allowed.refused["order", 1]
    reserves = Desk(document(ON_OVERLAY, policy={"reserve_addresses": True}))
    assert reserves.look(reserves.replica(1, **held))[0] == reserves.replica(1, **held)
    assert reserves.refused == set()


def test_a_fixed_replica_that_is_down_is_held_for_a_time_only_whatever_its_assignment_becomes() -> None:
    desk = Desk(RESERVES)
    held: dict[str, Any] = {"held": "forged", "held_by_fault": True, "addresses": ((NET, X),)}
    first, free = desk.replica(1, **held), desk.replica(1, addresses=((NET, X),))
    desk.allowed.seen = NOTHING_RUNS
    assert first in desk.look(first, desk.replica(2))
    desk.now += HELD_S / 2
    assert first in desk.look(desk.replica(2))  # left out: it stays as it was
    desk.now += HELD_S / 2 - 1
    assert first in desk.look(first, desk.replica(2))
    desk.now += 1
    assert free in desk.look(first, desk.replica(2))
    assert "has held it for 300 s" in desk.allowed.refused["order", 1]
    desk.allowed.seen = runs(X)
    desk.look(first, desk.replica(2))
    desk.allowed.seen = NOTHING_RUNS  # it ended again
    assert first in desk.look(first, desk.replica(2))


def test_a_replica_without_the_address_that_it_is_to_reserve_does_not_start() -> None:
    desk = Desk(RESERVES)
    held = desk.replica(1, held="no free address is left")
    desk.allowed.seen = NOTHING_RUNS
    desk.look(held, desk.replica(2))
    desk.now += 10 * HELD_S
    assert held in desk.look(held, desk.replica(2))
    assert desk.refused == set()


def test_a_replica_that_the_scheduler_places_is_held_for_as_long_as_its_assignment_says() -> None:
    desk = Desk(SCHEDULED)
    held = desk.replica(1, held="node-2 still runs it", waits_on="host/h2")
    desk.allowed.seen = NOTHING_RUNS
    desk.look(held)
    desk.now += 10 * HELD_S
    assert (desk.look(held), desk.refused) == ((held,), set())


@pytest.mark.parametrize("how", ["held", "waits"])
def test_no_fixed_replica_ends_for_another_slot_that_may_not_start(how: str) -> None:
    desk = Desk(RESERVES)
    had = desk.look(desk.replica(1), desk.replica(2))
    needs = {"db": {"image": "db:1", "network_mode": "none", "deploy": {"replicas": 0}}}
    desk.intent = replace(
        parsed(document(RESERVES, services={**needs, "order": {"depends_on": ["db"]}})),
        revision=desk.revision + 1,
    )
    desk.revision += 1
    spec = had[0].spec
    waits: dict[str, Any] = {how: "forged"}
    forged = [Replica(service="order", slot=slot, spec=spec, **waits) for slot in (51, 52)]
    assert (desk.look(*forged), desk.refused) == (had, {1, 2, 51, 52})


AMD = {"platform": "linux/amd64", "x-hosts": None, "deploy": {"mode": "global"}}


@pytest.mark.parametrize(("platform", "stays"), [("linux/amd64", True), ("", True), ("linux/arm64", False)])
def test_a_global_replica_ends_for_a_platform_only_on_an_engine_of_another_one(
    platform: str, stays: bool
) -> None:
    desk = Desk(document(FIXED, services={"order": AMD}))
    desk.look(desk.replica(1))
    desk.allowed.seen = UP._replace(machine=Machine(platform=platform))
    assert (desk.slots(), desk.refused) == (([1], {1}) if stays else ([], set()))


def test_a_replica_that_the_scheduler_places_is_held_by_its_assignment() -> None:
    desk = Desk(SCHEDULED)
    held = desk.replica(1, held="node-2 still runs it", waits_on="host/h2")
    assert (desk.look(held), desk.refused) == ((held,), set())


def test_a_replica_waits_for_others_only_before_its_first_start_and_if_the_document_says_so() -> None:
    needs = {
        "db": {"image": "db:1", "network_mode": "none", "deploy": {"replicas": 0}},
        "order": {"depends_on": ["db"]},
    }
    plain, depends = Desk(), Desk(document(FIXED, services=needs))
    waits: dict[str, Any] = {"waits": "depends on db", "waits_on": "service/db"}
    assert plain.look(plain.replica(1, **waits))[0] == plain.replica(1)
    assert plain.refused == {1}
    order = next(each for each in depends.intent.services if each.name == "order")
    free = Replica(service="order", slot=1, spec=order.spec_hash)
    waiting = replace(free, **waits)
    assert depends.look(waiting)[0] == waiting
    assert depends.refused == set()
    assert depends.look(free)[0] == free
    assert depends.look(waiting)[0] == free
    assert depends.refused == {1}


# ---- digests


DIGESTS = document(FIXED, policy={"resolve_digests": True})


@pytest.mark.parametrize("edited", [True, False], ids=["of another spec", "of the same spec"])
def test_under_one_document_an_image_gets_one_new_digest(edited: bool) -> None:
    """Until the registry answers, the leader uses the digest of an earlier document."""
    desk = Desk(DIGESTS)

    def resolved(slot: int, number: int) -> Replica:
        (service,) = desk.intent.services
        spec = with_digest(service.spec, {service.spec.image: f"sha256:{number:064x}"})
        desk.specs[spec_hash(spec)] = spec
        return Replica(service="order", slot=slot, spec=spec_hash(spec))

    desk.look(resolved(1, 1), resolved(2, 1))
    desk.accept(document(DIGESTS, services={"order": {"labels": {"a": "b"}} if edited else {}}))
    desk.look(resolved(1, 1), resolved(2, 1))
    new = (resolved(1, 2), resolved(2, 2))
    assert (desk.look(new[0], resolved(2, 1)), desk.refused) == ((new[0], resolved(2, 1)), set())
    assert (desk.look(*new), desk.refused) == (new, set())
    assert (desk.look(resolved(1, 3), resolved(2, 3)), desk.refused) == (new, {1, 2})
    assert "has another digest" in desk.allowed.refused["order", 1]
    desk.accept(document(DIGESTS, services={"order": {"labels": {"a": "c"}}}))
    assert desk.look(resolved(1, 3), resolved(2, 3))[0] == resolved(1, 3)
