"""An etcd that has no space left, and one that is about to have none."""

import json
from pathlib import Path

import pytest

from agent.clients.etcd import EtcdStore
from agent.errors import Refused
from agent.model import store as model
from agent.model.store import Delete, KeyRange, Put
from tests.support.etcd_server import EtcdServer, eventually, running
from tests.unit.clients.etcd.conftest import NewStore


def fill(store: EtcdStore) -> None:
    """Write more than fits; etcd notices some 100 ms late, when it commits."""
    for number in range(1000):
        store.txn([], [Put(key=f"/c/{number}", value=b"x" * 100_000)])


def recover(server: EtcdServer) -> None:
    """Do what docs/operate/etcd.md says."""
    server.ctl("del", "/c/", "--prefix")
    revision = json.loads(server.ctl("endpoint", "status", "--write-out=json"))[0]["Status"]["header"][
        "revision"
    ]
    server.ctl("compact", str(revision))
    server.ctl("defrag")
    server.ctl("alarm", "disarm")


def test_without_space_writes_and_grants_are_refused_and_the_lease_lives_on(
    tmp_path: Path, new_store: NewStore
) -> None:
    with running(EtcdServer(tmp_path / "etcd", arguments=["--quota-backend-bytes=200000"])) as server:
        store = new_store(server.endpoint)
        lease = store.grant(10)
        assert store.upkeep().alarm == ""
        with pytest.raises(Refused, match=r"database space exceeded: compact .* `etcdctl alarm disarm`"):
            fill(store)
        assert store.upkeep().alarm == "NOSPACE"
        with pytest.raises(Refused, match="database space exceeded"):
            store.grant(10)
        assert store.keepalive(lease.id) == 10
        assert store.read([KeyRange(key="/c/", prefix=True)]).get("/c/0") is not None
        assert store.txn([], [Delete(key="/c/0")]).succeeded
        store.revoke(lease.id)
        recover(server)
        assert store.upkeep().alarm == ""
        store.txn([], [Put(key="/c/new", value=b"x")])


# ---- before it is full

FEW = 50


@pytest.fixture
def few_revisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for the revision FEW changes ago: twenty thousand take a real etcd half a minute."""
    monkeypatch.setattr(model, "OLD_REVISIONS", FEW)


def put(store: EtcdStore, times: int) -> None:
    for _ in range(times):
        store.txn([], [Put(key="/c/often", value=b"x" * 10_000)])


@pytest.mark.usefixtures("few_revisions")
def test_without_compaction_old_revisions_stay_and_the_database_grows(
    server: EtcdServer, new_store: NewStore
) -> None:
    store = new_store(server.endpoint)
    put(store, FEW // 2)
    young = store.upkeep("/c/absent")
    assert young.keeps_history is False
    put(store, 4 * FEW)
    old = store.upkeep("/c/absent")
    assert old.keeps_history is True
    assert 0 < (young.size or 0) < 4 * FEW * 10_000
    # etcd writes its file ten times a second.
    eventually(lambda: (store.upkeep().size or 0) > 4 * FEW * 10_000, 5, "the database grows")
    assert store.upkeep().keeps_history is None
    server.ctl("compact", str(store.read([KeyRange(key="/c/often")]).revision))
    server.ctl("defrag")
    new = store.upkeep("/c/absent")
    assert new.keeps_history is False
    assert 0 < (new.in_use or 0) <= (new.size or 0) < 4 * FEW * 10_000


@pytest.mark.usefixtures("few_revisions")
def test_with_automatic_compaction_old_revisions_go(tmp_path: Path, new_store: NewStore) -> None:
    with running(EtcdServer(tmp_path / "etcd", arguments=["--auto-compaction-retention=1s"])) as server:
        store = new_store(server.endpoint)
        put(store, 2 * FEW)
        eventually(lambda: store.upkeep("/c/often").keeps_history is False, 10, "etcd compacts")


def test_the_size_of_a_database_that_is_full_reaches_its_quota(tmp_path: Path, new_store: NewStore) -> None:
    quota = 200_000
    with running(EtcdServer(tmp_path / "etcd", arguments=[f"--quota-backend-bytes={quota}"])) as server:
        store = new_store(server.endpoint)
        with pytest.raises(Refused, match="database space exceeded"):
            fill(store)
        found = store.upkeep()
        assert found.alarm == "NOSPACE"
        assert (found.size or 0) >= quota
        assert found.quota in (None, quota)  # only etcd 3.6 and newer tell it
