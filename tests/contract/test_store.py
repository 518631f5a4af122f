"""What every store does: the fake is believed because it passes this suite together with a real etcd."""

import pytest

from agent.clients.etcd import Store
from agent.errors import Compacted, Conflict, LeadershipLost, Missing, Refused, Unreachable
from agent.lease import campaign, held_fence, resign
from agent.model.store import Compare, Delete, Fence, KeyRange, Put
from tests.contract.conftest import Etcd
from tests.support.wakes import Wakes


def value_of(store: Store, key: str) -> bytes | None:
    kv = store.read([KeyRange(key=key)]).get(key)
    return kv.value if kv else None


def put(store: Store, key: str, value: bytes = b"x", lease: int = 0) -> int:
    """Put without condition and return the revision."""
    result = store.txn([], [Put(key=key, value=value, lease=lease)])
    assert result.succeeded
    return result.revision


# ---- reading


def test_an_absent_key_is_none_and_no_error(store: Store, root: str) -> None:
    snapshot = store.read([KeyRange(key=root + "absent")])
    assert snapshot.get(root + "absent") is None
    assert snapshot.under(root) == ()


def test_a_key_says_when_it_was_made_and_when_it_changed(store: Store, root: str) -> None:
    made = put(store, root + "a", b"one")
    changed = put(store, root + "a", b"two")
    kv = store.read([KeyRange(key=root + "a")]).get(root + "a")
    assert kv is not None
    assert (kv.value, kv.create_revision, kv.mod_revision, kv.lease) == (b"two", made, changed, 0)


def test_a_key_made_again_is_a_new_one(store: Store, root: str) -> None:
    put(store, root + "a")
    store.txn([], [Delete(key=root + "a")])
    again = put(store, root + "a")
    kv = store.read([KeyRange(key=root + "a")]).get(root + "a")
    assert kv is not None
    assert kv.create_revision == again


def test_several_ranges_are_one_snapshot_and_nothing_else_is_in_it(store: Store, root: str) -> None:
    for name in ("hosts/b", "hosts/a", "intent", "secret", "hostsmore"):
        put(store, root + name, name.encode())
    snapshot = store.read([KeyRange(key=root + "hosts/", prefix=True), KeyRange(key=root + "intent")])
    assert [kv.value for kv in snapshot.under(root)] == [b"hosts/a", b"hosts/b", b"intent"]
    assert [kv.value for kv in snapshot.under(root + "hosts/")] == [b"hosts/a", b"hosts/b"]


def test_keys_alone_come_with_their_revisions_and_no_values(store: Store, root: str) -> None:
    put(store, root + "specs/a", b"large")
    made = put(store, root + "specs/b", b"large")
    keys = KeyRange(key=root + "specs/", prefix=True, keys_only=True)
    found = store.read([keys]).under(root)
    assert [(each.value, each.mod_revision) for each in found] == [(b"", made - 1), (b"", made)]
    both = store.read([keys, KeyRange(key=root + "specs/b")]).values
    assert both[root + "specs/b"].value == b"large"


def test_any_number_of_keys_is_read_at_once_one_by_one_and_below_a_prefix(store: Store, root: str) -> None:
    keys = [f"{root}hosts/{number:04}" for number in range(600)]
    for start in range(0, len(keys), 100):
        store.txn([], [Put(key=key, value=key.encode()) for key in keys[start : start + 100]])
    for ranges in ([KeyRange(key=root, prefix=True)], [KeyRange(key=each) for each in keys]):
        assert {key: each.value.decode() for key, each in store.read(ranges).values.items()} == dict(
            zip(keys, keys, strict=True)
        )


def test_the_first_key_of_a_range_is_found_without_the_others(store: Store, root: str) -> None:
    for name in ("a/1", "a/2", "b"):
        store.txn([], [Put(key=f"{root}{name}", value=b"x")])

    assert store.first_key(f"{root}a/", f"{root}b") == f"{root}a/1"
    assert store.first_key(f"{root}a/1\0", f"{root}b") == f"{root}a/2"
    assert store.first_key(f"{root}a/2\0", f"{root}b") is None


def test_a_key_is_read_as_it_was_at_a_revision(store: Store, root: str) -> None:
    first = put(store, root + "a", b"one")
    between = put(store, root + "b")
    put(store, root + "a", b"two")
    store.txn([], [Delete(key=root + "a")])
    newest = put(store, root + "b")

    def found(revision: int) -> tuple[bytes, int] | None:
        kv = store.read_at(root + "a", revision)
        return (kv.value, kv.mod_revision) if kv else None

    assert [found(each) for each in (first - 1, first, between)] == [None, (b"one", first), (b"one", first)]
    assert [found(each) for each in (newest, newest + 1000, 2**64, 0, -1)] == [None] * 5


def test_a_revision_that_was_compacted_is_told_from_one_without_the_key(
    etcd: Etcd, store: Store, root: str
) -> None:
    first = put(store, root + "a", b"one")
    second = put(store, root + "a", b"two")
    etcd.compact(newest := put(store, root + "b"))
    with pytest.raises(Compacted):
        store.read_at(root + "a", first)
    with pytest.raises(Compacted):
        store.read_at(root + "a", second)
    found = store.read_at(root + "a", newest)
    assert found is not None
    assert (found.value, found.mod_revision) == (b"two", second)


def test_a_snapshot_is_as_new_as_the_last_write(store: Store, root: str) -> None:
    revision = put(store, root + "a")
    assert store.read([KeyRange(key=root + "a")]).revision >= revision


def test_a_value_of_20_kb_and_any_bytes_comes_back_as_it_went(store: Store, root: str) -> None:
    value = bytes(range(256)) * 80
    put(store, root + "ключ ✓", value)
    assert value_of(store, root + "ключ ✓") == value


# ---- transactions


def test_a_create_only_write_is_won_once(store: Store, root: str) -> None:
    absent = Compare(key=root + "lock", create_revision=0)
    first = store.txn([absent], [Put(key=root + "lock", value=b"first")])
    second = store.txn([absent], [Put(key=root + "lock", value=b"second")])
    assert (first.succeeded, second.succeeded) == (True, False)
    assert value_of(store, root + "lock") == b"first"


def test_a_write_on_an_unchanged_key_succeeds_and_on_a_changed_one_does_not(store: Store, root: str) -> None:
    read = put(store, root + "a", b"one")
    assert store.txn(
        [Compare(key=root + "a", mod_revision=read)], [Put(key=root + "a", value=b"two")]
    ).succeeded
    late = store.txn([Compare(key=root + "a", mod_revision=read)], [Put(key=root + "a", value=b"three")])
    assert not late.succeeded
    assert value_of(store, root + "a") == b"two"


def test_an_absent_key_has_mod_revision_zero(store: Store, root: str) -> None:
    assert store.txn([Compare(key=root + "a", mod_revision=0)], [Put(key=root + "a", value=b"")]).succeeded
    assert not store.txn([Compare(key=root + "a", mod_revision=0)], [Delete(key=root + "a")]).succeeded


def test_one_compare_that_fails_stops_all_operations(store: Store, root: str) -> None:
    put(store, root + "a")
    compares = [Compare(key=root + "b", create_revision=0), Compare(key=root + "a", create_revision=0)]
    assert not store.txn(compares, [Put(key=root + "b", value=b""), Delete(key=root + "a")]).succeeded
    assert value_of(store, root + "a") == b"x"
    assert value_of(store, root + "b") is None


def test_operations_of_one_transaction_share_a_revision(store: Store, root: str) -> None:
    result = store.txn([], [Put(key=root + "a", value=b"1"), Put(key=root + "b", value=b"2")])
    found = store.read([KeyRange(key=root, prefix=True)]).under(root)
    assert {kv.mod_revision for kv in found} == {result.revision}


def test_a_write_that_changes_nothing_makes_no_revision(store: Store, root: str) -> None:
    before = put(store, root + "a")
    assert store.txn([], [Delete(key=root + "absent")]).revision == before
    refused = store.txn([Compare(key=root + "a", create_revision=0)], [Put(key=root + "a", value=b"y")])
    assert refused.revision == before


def test_a_prefix_is_deleted_and_its_neighbours_are_not(store: Store, root: str) -> None:
    for name in ("specs/1", "specs/2", "specs", "specs0"):
        put(store, root + name)
    store.txn([], [Delete(key=root + "specs/", prefix=True)])
    assert [kv.key for kv in store.read([KeyRange(key=root, prefix=True)]).under(root)] == [
        root + "specs",
        root + "specs0",
    ]


def test_a_key_put_twice_in_one_transaction_is_refused(store: Store, root: str) -> None:
    with pytest.raises(Refused):
        store.txn([], [Put(key=root + "a", value=b"1"), Put(key=root + "a", value=b"2")])
    with pytest.raises(Refused):
        store.txn([], [Put(key=root + "p/a", value=b"1"), Delete(key=root + "p/", prefix=True)])
    assert value_of(store, root + "a") is None


def test_a_value_that_is_too_large_is_refused_and_changes_nothing(store: Store, root: str) -> None:
    with pytest.raises(Refused, match="too large"):
        put(store, root + "a", b"x" * 1_600_000)
    assert value_of(store, root + "a") is None


def test_too_many_operations_are_refused(store: Store, root: str) -> None:
    with pytest.raises(Refused, match="too many operations"):
        store.txn([], [Put(key=f"{root}{number}", value=b"") for number in range(129)])


# ---- fenced writes


def lock(store: Store, root: str, lease: int = 0) -> Fence:
    return Fence(key=root + "leader", create_revision=put(store, root + "leader", b"me", lease))


def test_the_holder_of_the_lock_writes(store: Store, root: str) -> None:
    store.write_fenced(lock(store, root), [Put(key=root + "a", value=b"mine")])
    assert value_of(store, root + "a") == b"mine"


def test_the_holder_may_renew_the_lock_itself_and_still_writes(store: Store, root: str) -> None:
    fence = lock(store, root)
    store.write_fenced(fence, [Put(key=fence.key, value=b"me, again")])
    store.write_fenced(fence, [Put(key=root + "a", value=b"mine")])
    assert value_of(store, root + "a") == b"mine"


def test_a_holder_whose_lock_is_gone_or_taken_writes_nothing(store: Store, root: str) -> None:
    fence = lock(store, root)
    store.txn([], [Delete(key=fence.key)])
    with pytest.raises(LeadershipLost):
        store.write_fenced(fence, [Put(key=root + "a", value=b"late")])
    lock(store, root)
    with pytest.raises(LeadershipLost):
        store.write_fenced(fence, [Put(key=root + "a", value=b"later")])
    assert value_of(store, root + "a") is None


def test_a_holder_whose_key_was_changed_under_it_is_told_of_a_conflict_not_of_lost_leadership(
    store: Store, root: str
) -> None:
    fence = lock(store, root)
    put(store, root + "a", b"theirs")
    with pytest.raises(Conflict):
        store.write_fenced(
            fence, [Put(key=root + "a", value=b"mine")], [Compare(key=root + "a", create_revision=0)]
        )
    assert value_of(store, root + "a") == b"theirs"


def test_when_both_lock_and_key_have_changed_leadership_is_lost(store: Store, root: str) -> None:
    old = lock(store, root)
    store.txn([], [Delete(key=old.key)])
    lock(store, root)
    put(store, root + "a", b"theirs")
    with pytest.raises(LeadershipLost):
        store.write_fenced(old, [Delete(key=root + "a")], [Compare(key=root + "a", create_revision=0)])


# ---- leases


def test_a_key_goes_with_its_lease(store: Store, etcd: Etcd, root: str) -> None:
    lease = store.grant(2)
    assert lease.ttl_s >= 2
    put(store, root + "presence", lease=lease.id)
    kv = store.read([KeyRange(key=root + "presence")]).get(root + "presence")
    assert kv is not None
    assert kv.lease == lease.id
    etcd.eventually(lambda: value_of(store, root + "presence") is None, 6)
    assert store.keepalive(lease.id) <= 0


def test_a_renewed_lease_has_its_whole_time_again(store: Store) -> None:
    lease = store.grant(30)
    assert store.keepalive(lease.id) == lease.ttl_s == 30


def test_a_lease_tells_for_how_long_it_was_granted_until_it_is_gone(store: Store) -> None:
    lease = store.grant(20)
    assert store.granted_s(lease.id) == 20
    store.keepalive(lease.id)
    assert store.granted_s(lease.id) == 20
    store.revoke(lease.id)
    assert store.granted_s(lease.id) == 0


def test_a_revoked_lease_takes_its_keys_with_it_at_once(store: Store, root: str) -> None:
    lease = store.grant(30)
    put(store, root + "a", lease=lease.id)
    put(store, root + "b")
    store.revoke(lease.id)
    assert value_of(store, root + "a") is None
    assert value_of(store, root + "b") == b"x"
    assert store.keepalive(lease.id) <= 0


def test_revoking_what_is_gone_is_no_error(store: Store) -> None:
    lease = store.grant(30)
    store.revoke(lease.id)
    store.revoke(lease.id)


def test_a_key_cannot_be_put_on_a_lease_that_is_gone(store: Store, root: str) -> None:
    lease = store.grant(30)
    store.revoke(lease.id)
    with pytest.raises(Missing):
        put(store, root + "a", lease=lease.id)
    assert value_of(store, root + "a") is None


def test_a_key_put_again_without_the_lease_stays_when_it_ends(store: Store, root: str) -> None:
    lease = store.grant(30)
    put(store, root + "a", lease=lease.id)
    put(store, root + "a", b"stays")
    store.revoke(lease.id)
    assert value_of(store, root + "a") == b"stays"


# ---- watching


def test_a_watch_wakes_when_it_opens_and_for_every_kind_of_change(
    store: Store, etcd: Etcd, root: str, wakes: Wakes
) -> None:
    watch = store.watch([KeyRange(key=root + "intent"), KeyRange(key=root + "hosts/", prefix=True)], wakes)
    etcd.eventually(lambda: watch.healthy and wakes.reasons, 5)
    lease = store.grant(30)
    changes = (
        lambda: put(store, root + "intent"),
        lambda: put(store, root + "intent", b"changed"),
        lambda: put(store, root + "hosts/a", lease=lease.id),
        lambda: store.revoke(lease.id),
        lambda: store.txn([], [Delete(key=root + "intent")]),
    )
    for change in changes:
        wakes.clear()
        change()
        etcd.eventually(lambda: "watch: change" in wakes.reasons, 5)
    assert watch.fault is None
    watch.close()


def test_a_watch_is_not_woken_by_what_it_does_not_watch(
    store: Store, etcd: Etcd, root: str, wakes: Wakes
) -> None:
    watch = store.watch([KeyRange(key=root + "intent")], wakes)
    etcd.eventually(lambda: watch.healthy, 5)
    wakes.clear()
    put(store, root + "status")
    put(store, root + "intent0")
    put(store, root + "intent")  # the order of events is the order of writes: this one comes last
    etcd.eventually(lambda: wakes.reasons, 5)
    assert wakes.reasons == ("watch: change",)
    watch.close()


def test_another_clients_write_wakes_too(store: Store, etcd: Etcd, root: str, wakes: Wakes) -> None:
    watch = store.watch([KeyRange(key=root, prefix=True)], wakes)
    etcd.eventually(lambda: watch.healthy, 5)
    wakes.clear()
    other = etcd.client()
    put(other, root + "intent")
    etcd.eventually(lambda: wakes.reasons, 5)
    watch.close()


def test_a_rearmed_watch_wakes_for_the_new_range_and_no_more_for_the_old(
    store: Store, etcd: Etcd, root: str, wakes: Wakes
) -> None:
    watch = store.watch([KeyRange(key=root + "old")], wakes)
    etcd.eventually(lambda: watch.healthy, 5)
    wakes.clear()
    watch.rearm([KeyRange(key=root + "new")])
    etcd.eventually(lambda: "watch: open" in wakes.reasons, 5)
    wakes.clear()
    put(store, root + "old")
    put(store, root + "new")
    etcd.eventually(lambda: wakes.reasons, 5)
    assert wakes.reasons == ("watch: change",)
    watch.close()


def test_a_closed_watch_is_silent(store: Store, etcd: Etcd, root: str, wakes: Wakes) -> None:
    watch = store.watch([KeyRange(key=root, prefix=True)], wakes)
    still_open = Wakes()
    other = store.watch([KeyRange(key=root, prefix=True)], still_open)
    etcd.eventually(lambda: watch.healthy and other.healthy, 5)
    watch.close()
    wakes.clear()
    still_open.clear()
    put(store, root + "a")
    etcd.eventually(lambda: still_open.reasons, 5)
    assert wakes.reasons == ()
    assert not watch.healthy


# ---- the lock, through the functions that use the store


def test_of_two_candidates_one_wins_and_both_know(store: Store, root: str) -> None:
    mine, theirs = store.grant(30), store.grant(30)
    won = campaign(store, root + "leader", b"me", mine.id)
    assert campaign(store, root + "leader", b"them", theirs.id) is None
    kv = store.read([KeyRange(key=root + "leader")]).get(root + "leader")
    assert won is not None
    assert (held_fence(kv, mine.id), held_fence(kv, theirs.id)) == (won, None)


def test_a_lock_given_back_is_free_and_one_that_has_passed_on_is_left_alone(store: Store, root: str) -> None:
    mine, theirs = store.grant(30), store.grant(30)
    won = campaign(store, root + "leader", b"me", mine.id)
    assert won is not None
    resign(store, won)
    assert campaign(store, root + "leader", b"them", theirs.id) is not None
    resign(store, won)
    assert value_of(store, root + "leader") == b"them"


# ---- the client itself


def test_an_answer_is_a_contact(store: Store, root: str) -> None:
    put(store, root + "a")
    assert store.last_contact_s is not None


def test_a_closed_store_is_unreachable(store: Store, root: str) -> None:
    store.close()
    with pytest.raises(Unreachable):
        store.read([KeyRange(key=root)])
    with pytest.raises(Unreachable):
        put(store, root + "a")


# ---- alarms


def test_a_healthy_etcd_has_no_alarm(store: Store) -> None:
    assert store.upkeep().alarm == ""
