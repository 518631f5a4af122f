"""An etcd that has no space left."""

import json
from pathlib import Path

import pytest

from agent.clients.etcd import EtcdStore
from agent.errors import Refused
from agent.model.store import Delete, KeyRange, Put
from tests.support.etcd_server import EtcdServer, running
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
        assert store.alarm() == ""
        with pytest.raises(Refused, match=r"database space exceeded: compact .* `etcdctl alarm disarm`"):
            fill(store)
        assert store.alarm() == "NOSPACE"
        with pytest.raises(Refused, match="database space exceeded"):
            store.grant(10)
        assert store.keepalive(lease.id) == 10
        assert store.read([KeyRange(key="/c/", prefix=True)]).get("/c/0") is not None
        assert store.txn([], [Delete(key="/c/0")]).succeeded
        store.revoke(lease.id)
        recover(server)
        assert store.alarm() == ""
        store.txn([], [Put(key="/c/new", value=b"x")])
