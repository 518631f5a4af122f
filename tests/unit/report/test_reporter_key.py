from dataclasses import replace

import pytest

from agent.model.records import decode, encode
from agent.model.status import HostStatus
from agent.model.store import Delete, KeyRange, KeyValue, Put
from agent.report.status_key import CHECK_S, UNWRITTEN_S, StatusKey
from tests.fakes.store import FakeClock, FakeEtcd, FakeStore

KEY = "/swarmkeeper/prod/hosts/node-a/status"
STATUS = HostStatus(instance="run-1", at="10:00", agent_version="1.0", revision=7)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> FakeStore:
    return FakeStore(FakeEtcd(clock))


@pytest.fixture
def key(store: FakeStore, clock: FakeClock) -> StatusKey:
    return StatusKey(store, KEY, clock)


def kept(store: FakeStore) -> KeyValue:
    found = store.read([KeyRange(key=KEY)]).get(KEY)
    assert found is not None
    return found


def test_a_status_is_written_as_a_record(key: StatusKey, store: FakeStore) -> None:
    key.write(STATUS)

    assert decode(HostStatus, kept(store).value) == STATUS


def test_a_status_that_differs_only_in_its_time_is_not_written(key: StatusKey, store: FakeStore) -> None:
    key.write(STATUS)
    before = kept(store).mod_revision

    key.write(replace(STATUS, at="10:01"))

    assert kept(store).mod_revision == before


def test_a_status_that_says_something_new_is_written_at_once(key: StatusKey, store: FakeStore) -> None:
    key.write(STATUS)

    key.write(replace(STATUS, at="10:01", revision=8))

    assert decode(HostStatus, kept(store).value).revision == 8


def test_an_old_status_is_not_written_again(key: StatusKey, store: FakeStore, clock: FakeClock) -> None:
    key.write(STATUS)
    before = kept(store).mod_revision
    clock.advance(10 * CHECK_S)

    key.write(replace(STATUS, at="10:05"))

    assert kept(store).mod_revision == before


def test_a_status_that_is_as_written_after_an_outage_or_a_loss_is_not_written_again(
    key: StatusKey, store: FakeStore
) -> None:
    key.write(STATUS)
    before = kept(store).mod_revision
    store.cut()
    key.write(replace(STATUS, at="10:01", revision=8))
    key.write(replace(STATUS, at="10:02"))  # etcd does not answer whether it has it
    assert key.fault
    store.heal()

    key.write(replace(STATUS, at="10:03"))
    key.forget()
    key.write(replace(STATUS, at="10:04"))

    assert not key.fault
    assert kept(store).mod_revision == before


def test_a_failed_write_that_etcd_carried_out_is_written_over(key: StatusKey, store: FakeStore) -> None:
    key.write(STATUS)
    store.cut()
    key.write(replace(STATUS, at="10:01", revision=8))
    store.heal()
    store.txn([], [Put(key=KEY, value=encode(replace(STATUS, at="10:01", revision=8)))])

    key.write(replace(STATUS, at="10:02"))

    assert decode(HostStatus, kept(store).value).revision == 7


@pytest.mark.parametrize("change", [Put(key=KEY, value=b"\x00"), Delete(key=KEY)])
def test_a_status_that_another_client_changed_is_written_again(
    key: StatusKey, store: FakeStore, clock: FakeClock, change: Put | Delete
) -> None:
    key.write(STATUS)
    store.txn([], [change])
    clock.advance(CHECK_S)

    key.write(replace(STATUS, at="10:05"))

    assert decode(HostStatus, kept(store).value).at == "10:05"


def test_a_look_that_etcd_does_not_answer_writes_nothing(
    key: StatusKey, store: FakeStore, clock: FakeClock
) -> None:
    key.write(STATUS)
    before = kept(store).mod_revision
    clock.advance(CHECK_S)
    store.slow = True
    key.write(STATUS)
    store.slow = False

    assert kept(store).mod_revision == before


def test_a_status_that_cannot_be_written_for_long_is_told_and_so_is_its_end(
    key: StatusKey, store: FakeStore, clock: FakeClock
) -> None:
    key.write(STATUS)
    store.denied = True
    key.write(replace(STATUS, revision=8, at="10:01"))
    clock.advance(UNWRITTEN_S - 1)
    key.write(replace(STATUS, revision=8, at="10:02"))
    assert key.unreported_since == ""

    clock.advance(1)
    assert key.unreported_since == "10:01"

    store.denied = False
    key.write(replace(STATUS, revision=8, at="10:03"))
    assert key.unreported_since == ""


def test_passes_that_fail_for_long_are_told_until_one_reports(key: StatusKey, clock: FakeClock) -> None:
    key.write(STATUS)
    key.failed("10:01")
    clock.advance(UNWRITTEN_S)
    key.failed("10:02")
    assert key.unreported_since == "10:01"
    key.write(STATUS)
    assert key.unreported_since == ""


def test_a_status_that_could_not_be_written_is_written_with_the_next_pass(
    key: StatusKey, store: FakeStore
) -> None:
    store.cut()
    key.write(STATUS)
    store.heal()

    key.write(STATUS)

    assert decode(HostStatus, kept(store).value) == STATUS


def test_a_status_whose_writing_went_unanswered_may_be_there_and_is_written_over(
    key: StatusKey, store: FakeStore
) -> None:
    key.write(STATUS)
    store.lose_next_answer()
    key.write(replace(STATUS, revision=8))

    key.write(STATUS)

    assert decode(HostStatus, kept(store).value) == STATUS


def test_the_status_of_an_earlier_run_is_recalled(key: StatusKey, store: FakeStore) -> None:
    store.txn([], [Put(key=KEY, value=encode(STATUS))])

    assert key.recall() == STATUS


@pytest.mark.parametrize("value", [b"", b"{}", b"nonsense", b'{"v":99}'])
def test_a_status_that_cannot_be_read_is_taken_for_none(
    key: StatusKey, store: FakeStore, value: bytes
) -> None:
    store.txn([], [Put(key=KEY, value=value)])

    assert key.recall() is None


def test_a_status_that_etcd_has_lost_is_written_again(key: StatusKey, store: FakeStore) -> None:
    key.write(STATUS)
    store.etcd.wipe()
    key.forget()

    key.write(STATUS)
    first = kept(store).mod_revision
    key.write(STATUS)

    assert kept(store).mod_revision == first


def test_a_write_that_fails_is_counted(store: FakeStore, clock: FakeClock) -> None:
    failures: list[str] = []
    key = StatusKey(store, KEY, clock, lambda: failures.append("one"))
    store.cut()
    key.write(STATUS)
    store.heal()
    key.write(STATUS)

    assert failures == ["one"]
    assert decode(HostStatus, kept(store).value) == STATUS
