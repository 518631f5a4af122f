"""A real etcd that dies, freezes, forgets or loses its quorum, and what the client makes of it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from agent.clients.etcd import EtcdStore
from agent.clients.etcd.watch import EtcdWatch
from agent.errors import LeadershipLost, Unreachable
from agent.model.store import Compare, Delete, Fence, KeyRange, Put
from tests.support.etcd_server import EtcdServer, eventually, free_ports, running_cluster
from tests.support.wakes import Wakes
from tests.unit.clients.etcd.conftest import NewStore

RANGE = [KeyRange(key="/c/", prefix=True)]
# The channel's pings: one after 7 s of silence, answered within 3 s; and what a loaded machine adds.
DETECTION_S = 12.0


def value_of(store: EtcdStore, key: str) -> bytes | None:
    kv = store.read([KeyRange(key=key)]).get(key)
    return kv.value if kv else None


def put(store: EtcdStore, key: str, value: bytes = b"x") -> int:
    return store.txn([], [Put(key=key, value=value)]).revision


def endpoint_of(store: EtcdStore) -> str:
    """The endpoint of its next call."""
    return str(store._calls.pool._endpoints[store._calls.pool._next])


def silent_for_s(store: EtcdStore) -> float:
    assert store.last_contact_s is not None
    return time.monotonic() - store.last_contact_s


@pytest.fixture
def store(server: EtcdServer, new_store: NewStore) -> EtcdStore:
    return new_store(server.endpoint)


@pytest.mark.fault("etcd is killed while it is watched")
def test_a_watch_survives_kill_9_and_wakes_for_what_changed_meanwhile(
    server: EtcdServer, store: EtcdStore, wakes: Wakes
) -> None:
    watch = store.watch(RANGE, wakes)
    eventually(lambda: watch.healthy, 5)
    wakes.clear()
    server.kill()
    eventually(lambda: not watch.healthy, 2)
    server.start()
    server.ctl("put", "/c/intent", "changed while the watch was away")
    eventually(lambda: watch.healthy, 5)
    assert value_of(store, "/c/intent") is not None
    assert wakes.reasons[-1] in {"watch: open", "watch: change"}
    wakes.clear()
    put(store, "/c/intent")
    # The change from before may have been told late, too.
    eventually(lambda: set(wakes.reasons) == {"watch: change"}, 2)


def test_an_outage_wakes_once_and_costs_next_to_nothing(
    server: EtcdServer, store: EtcdStore, wakes: Wakes
) -> None:
    watch = store.watch(RANGE, wakes)
    eventually(lambda: watch.healthy, 5)
    wakes.clear()
    server.kill()
    eventually(lambda: wakes.reasons, 2)
    assert isinstance(watch, EtcdWatch)
    cpu_s = time.process_time()
    eventually(lambda: watch._failures > 5, 15)
    assert time.process_time() - cpu_s < 1.0
    assert len(wakes.reasons) == 1


@pytest.mark.fault("etcd is frozen while it is watched")
def test_a_frozen_etcd_is_noticed_by_a_silent_watch_alone(
    server: EtcdServer, store: EtcdStore, wakes: Wakes
) -> None:
    watch = store.watch(RANGE, wakes)
    eventually(lambda: watch.healthy, 5)
    # gRPC measures a fresh connection with a ping of its own; the pings of a quiet one are what is meant here.
    eventually(lambda: silent_for_s(store) > 1, 5)
    server.freeze()
    eventually(lambda: not watch.healthy, DETECTION_S)
    server.thaw()
    eventually(lambda: watch.healthy, 5)
    wakes.clear()
    put(store, "/c/intent")
    eventually(lambda: "watch: change" in wakes.reasons, 2)


def test_a_call_to_a_frozen_etcd_ends_in_time_and_its_failure_restarts_the_watch(
    server: EtcdServer, new_store: NewStore, wakes: Wakes
) -> None:
    store = new_store(server.endpoint, timeout_s=0.8, budget_s=1.0)
    watch = store.watch(RANGE, wakes)
    eventually(lambda: watch.healthy, 5)
    server.freeze()
    start = time.monotonic()
    with pytest.raises(Unreachable, match="timed out"):
        store.read(RANGE)
    assert 0.8 <= time.monotonic() - start < 1.5, "the second try has only what is left of the budget"
    assert not watch.healthy
    server.thaw()
    eventually(lambda: watch.healthy, 5)


def test_a_write_to_a_frozen_etcd_is_not_repeated(server: EtcdServer, new_store: NewStore) -> None:
    calls: list[str] = []
    store = new_store(
        server.endpoint, timeout_s=0.5, observe_call=lambda op, seconds, error: calls.append(f"{op} {error}")
    )
    server.freeze()
    with pytest.raises(Unreachable):
        put(store, "/c/a")
    assert calls == ["txn deadline_exceeded"]
    server.thaw()
    assert value_of(store, "/c/a") in {None, b"x"}, "either is right: the outcome was unknown"


@pytest.mark.fault("etcd is compacted while it is unreachable")
def test_a_watch_that_was_left_behind_by_a_compaction_starts_again(
    server: EtcdServer, new_store: NewStore, wakes: Wakes
) -> None:
    store = new_store(server.endpoint, timeout_s=0.5, budget_s=0.5)
    watch = store.watch(RANGE, wakes)
    eventually(lambda: watch.healthy, 5)
    server.kill()
    eventually(lambda: not watch.healthy, 2)
    server.start()
    for number in range(5):
        server.ctl("put", "/c/intent", str(number))
    server.ctl("compact", "6")
    eventually(lambda: watch.healthy, 5)
    wakes.clear()
    put(store, "/c/intent")
    eventually(lambda: "watch: change" in wakes.reasons, 2)


@pytest.mark.fault("etcd is wiped while it is watched")
def test_a_wiped_etcd_is_named_and_watched_from_its_new_beginning(
    server: EtcdServer, store: EtcdStore, wakes: Wakes
) -> None:
    for number in range(20):
        put(store, "/c/intent", str(number).encode())
    watch = store.watch(RANGE, wakes)
    eventually(lambda: watch.healthy, 5)
    wakes.clear()
    server.wipe()
    server.start()
    eventually(lambda: watch.healthy and "watch: revision went back" in wakes.reasons, 5)
    assert wakes.reasons.count("watch: revision went back") == 1
    assert store._calls.progress.revision < 20
    assert value_of(store, "/c/intent") is None
    wakes.clear()
    put(store, "/c/intent", b"restored")
    eventually(lambda: "watch: change" in wakes.reasons, 2)


def test_a_read_alone_notices_a_wiped_etcd(server: EtcdServer, store: EtcdStore) -> None:
    for _ in range(5):
        put(store, "/c/a")
    server.wipe()
    server.start()
    with structlog.testing.capture_logs() as lines:
        assert value_of(store, "/c/a") is None
    assert [line["reason"] for line in lines] == ["revision went back"]


def test_a_holder_that_froze_and_lost_its_lease_cannot_write(server: EtcdServer, new_store: NewStore) -> None:
    """Measured: its plain put is accepted by etcd after it wakes. Only the compare keeps it out."""
    frozen, successor = new_store(server.endpoint), new_store(server.endpoint)
    lease = frozen.grant(2)
    won = frozen.txn(
        [Compare(key="/c/leader", create_revision=0)], [Put(key="/c/leader", value=b"1", lease=lease.id)]
    )
    fence = Fence(key="/c/leader", create_revision=won.revision)
    eventually(lambda: value_of(successor, "/c/leader") is None, 6)
    with pytest.raises(LeadershipLost):
        frozen.write_fenced(fence, [Put(key="/c/swarm", value=b"late")])
    put(successor, "/c/leader", b"2")
    with pytest.raises(LeadershipLost):
        frozen.write_fenced(fence, [Put(key="/c/swarm", value=b"late")])
    assert value_of(successor, "/c/swarm") is None


def test_a_lease_may_outlive_an_etcd_that_was_away(server: EtcdServer, store: EtcdStore) -> None:
    lease = store.grant(3)
    server.kill()
    server.start()
    eventually(lambda: store.keepalive(lease.id) == 3, 5)


def test_closing_during_an_outage_is_quick_and_quiet(
    server: EtcdServer, new_store: NewStore, wakes: Wakes
) -> None:
    store = new_store(server.endpoint)
    watch = store.watch(RANGE, wakes)
    eventually(lambda: watch.healthy, 5)
    server.freeze()
    start = time.monotonic()
    store.close()
    assert time.monotonic() - start < 1.5
    server.thaw()


# ---- several endpoints


def test_a_dead_endpoint_among_several_costs_a_read_nothing(server: EtcdServer, new_store: NewStore) -> None:
    dead = f"http://127.0.0.1:{free_ports(1)[0]}"
    for _ in range(4):  # the start is random
        store = new_store(dead, server.endpoint)
        start = time.monotonic()
        assert store.read(RANGE).revision >= 1
        assert time.monotonic() - start < 1
        assert endpoint_of(store) == server.endpoint


@pytest.mark.fault("an etcd endpoint hangs")
def test_a_hanging_endpoint_is_left_after_one_timeout_and_the_watch_goes_along(
    server: EtcdServer, tmp_path: Path, new_store: NewStore, wakes: Wakes
) -> None:
    hanging = EtcdServer(tmp_path / "hanging")
    try:
        hanging.start()
        hanging.freeze()
        store = new_store(hanging.endpoint, server.endpoint, timeout_s=0.5)
        watch = store.watch(RANGE, wakes)
        start = time.monotonic()
        store.read(RANGE)
        assert time.monotonic() - start < 1.5
        eventually(lambda: watch.healthy, 3)
        put(store, "/c/intent")
        eventually(lambda: "watch: change" in wakes.reasons, 2)
    finally:
        hanging.kill()


def test_a_lease_is_given_back_to_the_next_endpoint_when_one_hangs(
    server: EtcdServer, store: EtcdStore, tmp_path: Path, new_store: NewStore
) -> None:
    lease = store.grant(30)
    store.txn([], [Put(key="/c/leader", value=b"h1", lease=lease.id)])
    hanging = EtcdServer(tmp_path / "hanging")
    try:
        hanging.start()
        hanging.freeze()
        endpoints = (hanging.endpoint, server.endpoint)
        # A client begins at random with one of them.
        ending = next(each for each in iter(lambda: new_store(*endpoints), None) if begins_at(each, hanging))
        ending.revoke(lease.id)
        assert value_of(store, "/c/leader") is None
    finally:
        hanging.kill()


def begins_at(store: EtcdStore, server: EtcdServer) -> bool:
    return endpoint_of(store) == server.endpoint


@pytest.fixture
def members(tmp_path: Path) -> Iterator[tuple[EtcdServer, ...]]:
    with running_cluster(tmp_path) as members:
        yield members


@pytest.mark.fault("etcd loses a member, then its quorum")
def test_a_cluster_of_three_loses_a_member_then_its_quorum_then_gets_it_back(
    members: tuple[EtcdServer, ...], new_store: NewStore, wakes: Wakes
) -> None:
    store = new_store(*(member.endpoint for member in members), timeout_s=1, budget_s=6)
    watch = store.watch(RANGE, wakes)
    eventually(lambda: watch.healthy, 5)
    mine = next(member for member in members if member.endpoint == endpoint_of(store))
    others = [member for member in members if member is not mine]
    revision = put(store, "/c/intent", b"three")

    mine.kill()
    eventually(lambda: store.read(RANGE).revision >= revision, 5)
    eventually(lambda: watch.healthy, 5)
    assert endpoint_of(store) != mine.endpoint

    # A member without quorum would leave a watch open in silence; asked for its leader, it ends it by itself.
    next(other for other in others if other.endpoint != endpoint_of(store)).kill()
    eventually(lambda: not watch.healthy, 6)
    with pytest.raises(Unreachable):
        put(store, "/c/intent", b"none can know")

    mine.start()
    eventually(lambda: watch.healthy, 8)
    assert "watch: revision went back" not in wakes.reasons
    wakes.clear()
    store.txn([], [Delete(key="/c/intent")])
    eventually(lambda: wakes.reasons, 2)
    assert "watch: revision went back" not in wakes.reasons


def test_all_endpoints_that_fail_are_named_with_their_causes(server: EtcdServer, new_store: NewStore) -> None:
    (port,) = free_ports(1)
    refusing, frozen = f"http://127.0.0.1:{port}", server.endpoint
    store = new_store(frozen, refusing, timeout_s=0.5, budget_s=2.5)
    server.freeze()
    try:
        with pytest.raises(Unreachable) as caught:
            store.read(RANGE)
    finally:
        server.thaw()
    assert str(caught.value) == f"etcd does not answer: {frozen}: timed out; {refusing}: connection refused"
