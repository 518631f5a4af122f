"""The memory of a leader: what a large cluster takes, and what others who write into etcd can add to it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clients.etcd import EtcdStore
from agent.model.host_state import Attached
from agent.model.records import encode
from agent.model.status import HostStatus
from agent.model.store import Delete, Put
from tests.support.etcd_server import EtcdServer
from tests.support.large_cluster import KEYS, UNIT, forged_status, measured, settings, written
from tests.support.thoroughness import thorough

MB = 1_000_000
MOST = int(UNIT.read_text().partition("MemoryMax=")[2].partition("M\n")[0])
"""What the systemd unit allows, in the same unit as what is measured."""
ROOM = 32
"""What is to be left of it."""
MOST_PER_HOST = 0.2
"""Megabytes; it takes about 0.13."""
PASS_S = 15.0
"""Processor time; it takes about 3.5 s."""
HOSTS = 1000


@pytest.fixture
def store(real_etcd: EtcdServer) -> EtcdStore:
    store = EtcdStore(settings(real_etcd.endpoint))
    store.txn([], [Delete(key=KEYS.root, prefix=True)])
    return store


def test_memory_grows_slowly_with_the_hosts(real_etcd: EtcdServer, store: EtcdStore, tmp_path: Path) -> None:
    written(real_etcd.endpoint, 10)
    few = measured(real_etcd.endpoint, tmp_path)
    written(real_etcd.endpoint, 100)
    many = measured(real_etcd.endpoint, tmp_path)
    assert (few.leads, many.leads, few.unreadable, many.unreadable) == (True, True, 0, 0)
    assert many.megabytes - few.megabytes < (100 - 10) * MOST_PER_HOST
    assert many.megabytes < MOST / 2


def specs(store: EtcdStore) -> None:
    for number in range(28):
        store.txn([], [Put(key=KEYS.spec(f"{number:064x}"), value=b"x" * MB)])


def statuses(store: EtcdStore) -> None:
    for number in range(28):
        store.txn([], [Put(key=KEYS.status(f"x{number}"), value=forged_status(number, 1_400_000))])


def packed_statuses(store: EtcdStore) -> None:
    forged = HostStatus(
        instance="x", at="now", agent_version="1", attached=(Attached(id="a", name="b"),) * 60_000
    )
    value = encode(forged, terse=True, packed=True)
    assert len(value) < MB / 100
    for number in range(200):
        store.txn([], [Put(key=KEYS.status(f"x{number}"), value=value)])


@pytest.mark.parametrize("forge", [specs, statuses, packed_statuses])
def test_values_of_nobody_take_little_more(
    real_etcd: EtcdServer, store: EtcdStore, tmp_path: Path, forge: Callable[[EtcdStore], None]
) -> None:
    written(real_etcd.endpoint, 10)
    forge(store)
    found = measured(real_etcd.endpoint, tmp_path, 1)
    assert found.leads
    assert found.megabytes < MOST - ROOM


@pytest.mark.skipif(not thorough, reason="takes minutes: SWARMKEEPER_LONG")
@pytest.mark.parametrize("error", ["", "x" * 700], ids=["all is well", "an error in each replica"])
def test_a_leader_of_a_thousand_hosts_has_room_below_its_limit(
    real_etcd: EtcdServer, store: EtcdStore, tmp_path: Path, error: str
) -> None:
    written(real_etcd.endpoint, HOSTS, error)
    found = measured(real_etcd.endpoint, tmp_path)
    assert found.leads
    assert found.unreadable == 0
    assert found.megabytes < MOST - ROOM
    assert found.seconds < PASS_S
    if not error:
        specs(store)
        assert measured(real_etcd.endpoint, tmp_path).megabytes < MOST - ROOM
        statuses(store)
        attacked = measured(real_etcd.endpoint, tmp_path)
        assert attacked.leads
        assert attacked.unreadable
        assert attacked.megabytes < MOST - ROOM
