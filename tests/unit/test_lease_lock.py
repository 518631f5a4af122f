"""The leader lock, on the losing side of every race."""

import pytest

from agent.errors import LeadershipLost, Missing, Unreachable
from agent.lease import campaign, held_fence, resign
from agent.model.store import KeyRange, KeyValue, Put
from tests.fakes.store import FakeEtcd, FakeStore

LOCK = "/c/leader"


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(FakeEtcd())


def lock_of(store: FakeStore) -> KeyValue | None:
    return store.read([KeyRange(key=LOCK)]).get(LOCK)


def test_a_lock_taken_whose_answer_was_lost_is_found_to_be_ours(store: FakeStore) -> None:
    lease = store.grant(15)
    store.lose_next_answer()
    fence = campaign(store, LOCK, b"me", lease.id)
    assert fence is not None
    store.write_fenced(fence, [Put(key="/c/a", value=b"mine")])


def test_a_lock_lost_whose_answer_was_lost_is_found_to_be_theirs(store: FakeStore) -> None:
    theirs, mine = store.grant(15), store.grant(15)
    assert campaign(store, LOCK, b"them", theirs.id) is not None
    store.lose_next_answer()
    assert campaign(store, LOCK, b"me", mine.id) is None


def test_a_lock_of_an_earlier_try_is_not_taken_twice(store: FakeStore) -> None:
    lease = store.grant(15)
    assert campaign(store, LOCK, b"me", lease.id) == campaign(store, LOCK, b"me", lease.id) is not None


def test_a_campaign_that_cannot_be_told_is_unreachable_and_no_leadership(store: FakeStore) -> None:
    lease = store.grant(15)
    store.cut()
    with pytest.raises(Unreachable):
        campaign(store, LOCK, b"me", lease.id)


def test_nobody_campaigns_on_a_lease_that_is_gone(store: FakeStore) -> None:
    lease = store.grant(15)
    store.revoke(lease.id)
    with pytest.raises(Missing):
        campaign(store, LOCK, b"me", lease.id)
    assert lock_of(store) is None


def test_the_lock_of_our_last_lease_is_not_ours(store: FakeStore) -> None:
    old, new = store.grant(15), store.grant(15)
    campaign(store, LOCK, b"me", old.id)
    assert held_fence(lock_of(store), new.id) is None
    assert campaign(store, LOCK, b"me", new.id) is None


def test_without_a_valid_lease_nothing_is_held_whatever_etcd_shows(store: FakeStore) -> None:
    campaign(store, LOCK, b"me", store.grant(15).id)
    assert held_fence(lock_of(store), None) is None
    assert held_fence(None, 7) is None


def test_a_lock_put_by_hand_without_a_lease_is_nobodys(store: FakeStore) -> None:
    store.txn([], [Put(key=LOCK, value=b"operator")])
    assert held_fence(lock_of(store), None) is None
    assert campaign(store, LOCK, b"me", store.grant(15).id) is None


def test_whoever_resigned_writes_no_more(store: FakeStore) -> None:
    fence = campaign(store, LOCK, b"me", store.grant(15).id)
    assert fence is not None
    resign(store, fence)
    with pytest.raises(LeadershipLost):
        store.write_fenced(fence, [Put(key="/c/a", value=b"late")])
    assert lock_of(store) is None
