"""The lease: when it is held, for how long it can be relied on, and what is said when it goes."""

import math
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from agent.errors import Refused, Unreachable
from agent.lease import GRANTED, LOST, Session, boottime_s
from agent.model.store import Compare, Delete, KeyRange, Lease, Put, SessionSettings, TxnResult, timing_faults
from tests.fakes.store import FakeClock, FakeEtcd, FakeStore
from tests.support.etcd_server import eventually

KEY = "/c/hosts/a/presence"
SETTINGS = SessionSettings(ttl_s=15, interval_s=5, timeout_s=2, margin_s=2)


class World:
    """One session on a fake etcd and a fake clock, stepped by hand."""

    def __init__(self, store_type: type[FakeStore] = FakeStore) -> None:
        self.clock = FakeClock()
        self.etcd = FakeEtcd(self.clock)
        self.store = store_type(self.etcd)
        self.said: list[str] = []
        self.value = b"first"
        self.left_by: tuple[bytes, ...] = ()
        """What an earlier agent of this boot may have put."""
        self.session = Session(
            self.store,
            presence_key=KEY,
            presence=lambda: self.value,
            settings=SETTINGS,
            on_change=self.said.append,
            left_here=lambda value: value in self.left_by,
            clock=self.clock,
        )

    def run_for(self, seconds: float) -> None:
        """Let time pass as the session's thread would live through it."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            wait_s = self.session.run_once()
            self.clock.now = min(self.clock.now + max(wait_s, 0.01), end)

    def presence(self) -> bytes | None:
        kv = self.etcd.snapshot([KeyRange(key=KEY)]).get(KEY)
        return kv.value if kv else None


@pytest.fixture
def world() -> World:
    return World()


def test_before_the_first_grant_nothing_is_held(world: World) -> None:
    assert world.session.lease_id is None
    assert world.session.valid_until == 0
    assert not world.session.is_safe_for(0)


def test_a_granted_session_carries_its_presence_and_says_so_once(world: World) -> None:
    world.run_for(60)
    assert world.session.lease_id is not None
    assert world.presence() == b"first"
    assert world.said == [GRANTED]


def test_the_lease_is_kept_for_as_long_as_etcd_answers(world: World) -> None:
    world.session.run_once()
    first = world.session.lease_id
    world.run_for(3600)
    assert world.session.lease_id == first


def test_validity_counts_from_before_the_renewal_was_sent(world: World) -> None:
    class SlowStore(FakeStore):
        def keepalive(self, lease_id: int) -> float:
            left_s = super().keepalive(lease_id)
            world.clock.advance(1.5)  # the answer is on its way
            return left_s

    world = World(SlowStore)
    world.session.run_once()
    world.clock.advance(5)
    sent = world.clock.now
    world.session.run_once()
    assert world.session.valid_until == sent + 15


def test_the_margin_is_kept_before_the_end_and_a_budget_must_fit(world: World) -> None:
    world.session.run_once()
    assert world.session.is_safe_for(12.9)
    assert not world.session.is_safe_for(13)
    world.clock.advance(12.9)
    assert world.session.lease_id is not None
    world.clock.advance(0.1)
    assert world.session.lease_id is None


def test_one_failed_renewal_loses_nothing(world: World) -> None:
    world.session.run_once()
    world.clock.advance(5)
    world.store.cut()
    world.session.run_once()
    world.clock.advance(4)  # two tries of 2 s were spent
    world.store.heal()
    world.session.run_once()
    assert world.session.lease_id is not None
    assert world.said == [GRANTED]


def test_an_unreachable_etcd_ends_the_session_before_etcd_could(world: World) -> None:
    world.run_for(1)
    world.store.cut()
    world.run_for(13)
    assert world.session.lease_id is None
    assert world.said == [GRANTED, LOST]
    assert world.presence() == b"first", "etcd itself still holds it: the margin"


def test_a_lease_that_outlived_the_outage_is_taken_up_again(world: World) -> None:
    """An etcd that was away itself comes back with every lease at its full time (measured)."""
    world.session.run_once()
    lease = world.session.lease_id
    world.clock.advance(14)
    assert world.session.lease_id is None
    world.session.run_once()
    assert world.session.lease_id == lease


def test_a_lease_that_etcd_dropped_is_replaced_with_its_presence(world: World) -> None:
    world.session.run_once()
    first = world.session.lease_id
    assert first is not None
    world.etcd.revoke(first)
    assert world.presence() is None
    world.clock.advance(5)
    world.run_for(1)
    assert world.session.lease_id not in {None, first}
    assert world.presence() == b"first"
    assert world.said == [GRANTED, LOST, GRANTED]


def test_a_wiped_etcd_gets_a_new_lease(world: World) -> None:
    world.run_for(1)
    world.etcd.wipe()
    world.run_for(6)
    assert world.presence() == b"first"
    assert world.said == [GRANTED, LOST, GRANTED]


def test_an_etcd_out_of_space_does_not_cost_the_lease_that_is_there(world: World) -> None:
    world.run_for(1)
    lease = world.session.lease_id
    world.etcd.out_of_space = True
    world.run_for(60)
    assert world.session.lease_id == lease
    assert world.said == [GRANTED]


def test_an_etcd_out_of_space_is_asked_for_a_lease_until_it_grants_one(world: World) -> None:
    world.etcd.out_of_space = True
    world.run_for(5)
    assert world.said == []
    world.etcd.out_of_space = False
    world.run_for(2)
    assert world.said == [GRANTED]


def test_a_lease_without_presence_is_not_a_session_and_is_not_granted_twice() -> None:
    class CountingGrants(FakeStore):
        granted = 0

        def grant(self, ttl_s: float) -> Lease:
            self.granted += 1
            return super().grant(ttl_s)

    world = World(CountingGrants)
    world.store.lose_next_answer()
    world.session.run_once()
    assert world.said == []
    world.session.run_once()
    assert world.said == [GRANTED]
    assert isinstance(world.store, CountingGrants)
    assert world.store.granted == 1


class LosingWrites(FakeStore):
    """A store whose transactions do not reach etcd for as long as it is told so."""

    losing = True

    def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
        if self.losing:
            raise Unreachable("not sent")
        return super().txn(compares, operations)


def test_a_presence_that_could_not_be_put_is_put_later() -> None:
    world = World(LosingWrites)
    assert isinstance(world.store, LosingWrites)
    world.run_for(3)
    assert world.said == []
    world.store.losing = False
    world.run_for(2)
    assert world.said == [GRANTED]
    assert world.presence() == b"first"


def test_a_presence_that_cannot_be_put_again_does_not_cost_the_lease_that_is_renewed() -> None:
    world = World(LosingWrites)
    assert isinstance(world.store, LosingWrites)
    world.store.losing = False
    world.run_for(1)
    world.store.losing = True
    world.session.reassert()
    world.run_for(30)
    assert world.session.lease_id is not None
    assert world.said == [GRANTED]


def test_a_full_etcd_refuses_another_presence_which_is_tried_with_each_renewal_and_said_once() -> None:
    class Full(FakeStore):
        full, tried = False, 0

        def txn(self, compares: Sequence[Compare], operations: Sequence[Put | Delete]) -> TxnResult:
            if self.full:
                self.tried += 1
                raise Refused("etcdserver: mvcc: database space exceeded")
            return super().txn(compares, operations)

    world = World(Full)
    assert isinstance(world.store, Full)
    world.run_for(1)
    world.store.full, world.value = True, b"cannot report"
    with capture_logs() as logs:
        world.run_for(60)
    assert world.store.tried <= 60 / SETTINGS.interval_s + 1
    assert [each["event"] for each in logs] == ["session: cannot write the presence"]
    assert world.said == [GRANTED]

    world.store.full = False
    world.run_for(SETTINGS.interval_s + 1)
    assert world.presence() == b"cannot report"


def test_a_presence_that_was_deleted_by_hand_is_put_again_when_asked_for(world: World) -> None:
    world.run_for(1)
    lease = world.session.lease_id
    world.value = b"second"
    world.session.reassert()
    world.session.run_once()
    assert world.presence() == b"second"
    assert world.session.lease_id == lease
    assert world.said == [GRANTED]


def test_the_presence_of_another_agent_is_left_to_it_until_it_is_gone(world: World) -> None:
    other = FakeStore(world.etcd)
    lease = other.grant(15).id
    other.txn([], [Put(key=KEY, value=b"other", lease=lease)])
    world.run_for(10)
    assert world.presence() == b"other"
    assert world.session.lease_id is None
    assert world.said == []
    other.revoke(lease)
    world.run_for(2)
    assert world.presence() == b"first"
    assert world.said == [GRANTED]


def test_the_presence_of_an_earlier_agent_of_this_boot_is_taken_over_at_once(world: World) -> None:
    other = FakeStore(world.etcd)
    other.txn([], [Put(key=KEY, value=b"earlier", lease=other.grant(15).id)])
    world.left_by = (b"earlier",)
    world.session.run_once()
    assert world.presence() == b"first"
    assert world.session.lease_id is not None


def test_who_insists_gets_the_presence_and_gets_it_back(world: World) -> None:
    other = FakeStore(world.etcd)
    lease = other.grant(15).id
    for _ in range(2):
        other.txn([], [Put(key=KEY, value=b"other", lease=lease)])
        world.session.reassert(insist=True)
        world.session.run_once()
        assert world.presence() == b"first"
    other.txn([], [Put(key=KEY, value=b"other", lease=lease)])
    world.session.reassert()
    world.session.run_once()
    assert world.presence() == b"other"


def test_closing_takes_presence_and_everything_on_the_lease_away(world: World) -> None:
    world.run_for(1)
    world.session.close()
    assert world.presence() is None
    assert world.session.lease_id is None
    with pytest.raises(Unreachable):
        world.store.read([])


def test_closing_while_etcd_is_away_leaves_the_lease_to_expire(world: World) -> None:
    world.run_for(1)
    world.store.cut()
    world.session.close()
    assert world.session.lease_id is None


# ---- a lease that is not wanted any more


def test_a_lease_that_is_replaced_is_held_no_more_and_runs_out_while_the_presence_goes_on(
    world: World,
) -> None:
    world.run_for(1)
    first = world.session.lease_id
    assert first is not None
    world.left_by = (b"first",)
    FakeStore(world.etcd).txn([], [Put(key="/c/leader", value=b"lock", lease=first)])
    world.session.replace(first)
    assert not world.session.is_safe_for(0)

    world.run_for(1)
    assert world.session.lease_id not in (None, first)
    assert world.said == [GRANTED, LOST, GRANTED]
    world.run_for(16)
    assert world.presence() == b"first"
    assert world.etcd.snapshot([KeyRange(key="/c/leader")]).get("/c/leader") is None


def test_a_lease_that_was_replaced_before_is_not_looked_at_again(world: World) -> None:
    world.run_for(1)
    first = world.session.lease_id
    assert first is not None
    world.left_by = (b"first",)
    world.session.replace(first)
    world.run_for(1)
    second = world.session.lease_id
    world.session.replace(first)
    world.run_for(60)
    assert world.session.lease_id == second


def test_how_long_ago_the_lease_was_renewed_is_told(world: World) -> None:
    assert world.session.renewed_s == math.inf
    world.session.run_once()
    world.clock.advance(3)
    assert world.session.renewed_s == 3
    world.session.run_once()
    assert world.session.renewed_s == 0


# ---- on its thread


class Blocking(FakeStore):
    """A store whose renewals hang until they are let go."""

    def __init__(self, etcd: FakeEtcd) -> None:
        super().__init__(etcd)
        self.hanging = threading.Event()
        self.let_go = threading.Event()

    def keepalive(self, lease_id: int) -> float:
        self.hanging.set()
        self.let_go.wait(10)
        return super().keepalive(lease_id)

    def close(self) -> None:
        super().close()
        self.let_go.set()


def threaded(store: FakeStore, said: list[str], presence: Callable[[], bytes] = lambda: b"x") -> Session:
    return Session(
        store,
        presence_key=KEY,
        presence=presence,
        settings=SessionSettings(ttl_s=2, interval_s=0.05, timeout_s=0.5, margin_s=0.5),
        on_change=said.append,
    )


def test_time_is_counted_on_the_clock_that_goes_on_while_the_machine_is_suspended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 7.0}.__getitem__)
        assert boottime_s() == 7.0


def test_the_thread_renews_by_itself_and_ends_when_closed() -> None:
    said: list[str] = []
    session = threaded(FakeStore(FakeEtcd(boottime_s)), said)
    session.start()
    eventually(lambda: said == [GRANTED], 5)
    first = session.valid_until
    eventually(lambda: session.valid_until > first, 5)
    session.close()
    assert session.lease_id is None


def test_a_hanging_renewal_ends_the_validity_and_delays_closing_by_a_second_at_most() -> None:
    store = Blocking(FakeEtcd(boottime_s))
    session = threaded(store, [])
    session.start()
    assert store.hanging.wait(5)
    eventually(lambda: session.lease_id is None, 5)
    start = boottime_s()
    session.close()
    assert boottime_s() - start < 1.5


def test_a_fault_in_the_presence_does_not_end_the_thread() -> None:
    values = iter([None, b"x"])

    def presence() -> bytes:
        value = next(values)
        if value is None:
            raise ZeroDivisionError
        return value

    said: list[str] = []
    session = threaded(FakeStore(FakeEtcd(boottime_s)), said, presence)
    session.start()
    eventually(lambda: said == [GRANTED], 5)
    session.close()


# ---- timings


def test_the_default_timings_hold() -> None:
    assert timing_faults(SessionSettings()) == ()


def test_timings_under_which_one_failure_could_lose_the_lease_are_refused() -> None:
    faults = timing_faults(SessionSettings(ttl_s=15, interval_s=5, timeout_s=4, margin_s=2))
    assert faults == ("interval + 2 * timeout (13 s) must be less than ttl - margin (13 s)",)


def test_timings_of_nothing_and_half_seconds_are_refused() -> None:
    faults = timing_faults(SessionSettings(ttl_s=9.5, interval_s=0, timeout_s=1, margin_s=2))
    assert any("interval must be more than 0 s" in fault for fault in faults)
    assert any("whole seconds" in fault for fault in faults)


def test_a_refused_grant_is_no_reason_to_stop(world: World) -> None:
    class Denied(FakeStore):
        def grant(self, ttl_s: float) -> Lease:
            raise Refused("permission denied")

    world = World(Denied)
    world.run_for(5)
    assert world.said == []
