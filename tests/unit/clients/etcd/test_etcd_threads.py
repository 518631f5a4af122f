"""Many threads on one client while etcd is killed under them; and one thread that has nothing to do."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from agent.clients.etcd import EtcdStore
from agent.errors import Unreachable
from agent.model.store import Compare, KeyRange, Put
from tests.support.etcd_server import EtcdServer, eventually
from tests.support.wakes import Wakes
from tests.unit.clients.etcd.conftest import NewStore

THREADS = 8


def write_until(stop: threading.Event, store: EtcdStore, name: int) -> tuple[set[str], int]:
    """Create one key after the other; return those that were confirmed, and how many were not."""
    confirmed: set[str] = set()
    unknown = 0
    number = 0
    while not stop.is_set():
        key = f"/c/{name}/{number}"
        number += 1
        try:
            store.txn([Compare(key=key, create_revision=0)], [Put(key=key, value=b"")])
            confirmed.add(key)
        except Unreachable:
            unknown += 1
            stop.wait(0.02)
    return confirmed, unknown


def has_reached(store: EtcdStore, revision: int) -> bool:
    return store._calls.progress.revision >= revision


def test_what_was_confirmed_is_there_and_nothing_but_unreachable_is_raised(
    server: EtcdServer, new_store: NewStore, wakes: Wakes
) -> None:
    store = new_store(server.endpoint)
    watch = store.watch([KeyRange(key="/c/", prefix=True)], wakes)
    eventually(lambda: watch.healthy, 5)
    stop = threading.Event()
    with ThreadPoolExecutor(THREADS) as pool:
        results = [pool.submit(write_until, stop, store, name) for name in range(THREADS)]
        try:
            for _ in range(2):
                enough = store._calls.progress.revision + 200
                eventually(partial(has_reached, store, enough), 10)
                server.kill()
                server.start()
            eventually(lambda: watch.healthy, 5)
        finally:
            stop.set()
    confirmed = set().union(*(result.result()[0] for result in results))
    unknown = sum(result.result()[1] for result in results)
    found = set(store.read([KeyRange(key="/c/", prefix=True)]).values)
    assert unknown > 0, "the outage was felt"
    assert confirmed <= found
    assert len(found - confirmed) <= unknown
    assert "watch: revision went back" not in wakes.reasons


def test_closing_ends_the_calls_of_every_thread(server: EtcdServer, new_store: NewStore) -> None:
    store = new_store(server.endpoint, timeout_s=5, budget_s=20)
    store.read([KeyRange(key="/c")])
    server.freeze()
    with ThreadPoolExecutor(THREADS) as pool:
        calls = [pool.submit(store.read, [KeyRange(key="/c")]) for _ in range(THREADS)]
        eventually(lambda: all(call.running() for call in calls), 5)
        start = time.monotonic()
        store.close()
        errors = [call.exception(5) for call in calls]
    assert time.monotonic() - start < 2
    assert all(isinstance(error, Unreachable) for error in errors)


def wake_ups(thread: str) -> int:
    """How often the threads of this name have waited so far, and come back."""
    tasks = [each.native_id for each in threading.enumerate() if each.name == thread]
    assert tasks
    switches = (
        Path(f"/proc/self/task/{each}/status").read_text().split("voluntary_ctxt_switches:") for each in tasks
    )
    return sum(int(parts[1].split()[0]) for parts in switches)


def test_a_watch_without_a_change_sleeps_and_is_woken_by_one(
    shared_server: EtcdServer, new_store: NewStore, wakes: Wakes
) -> None:
    store = new_store(shared_server.endpoint)
    watch = store.watch([KeyRange(key="/c/quiet")], wakes)
    eventually(lambda: watch.healthy, 5)
    before = wake_ups("etcd watch")
    time.sleep(1)  # that time passes is what is measured here: gRPC's own wait wakes it ten times
    assert wake_ups("etcd watch") - before <= 2

    store.txn([], [Put(key="/c/quiet", value=b"")])
    eventually(lambda: "watch: change" in wakes.reasons, 2)


def test_a_renewal_starts_no_thread(
    shared_server: EtcdServer, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_store(shared_server.endpoint)
    lease = store.grant(30)
    started: list[str] = []
    start = threading.Thread.start

    def start_and_tell(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_and_tell)
    assert store.keepalive(lease.id) == 30
    assert started == []
