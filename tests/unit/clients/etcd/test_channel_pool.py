"""Connections that are given up while others still use them, and the order of endpoints."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from agent.clients.etcd.calls import Progress
from agent.clients.etcd.channel import Connection, Pool
from agent.clients.etcd.watch import StreamEnded, WatchStream
from agent.errors import Invalid, Unreachable
from agent.model.store import Put, StoreSettings, parse_endpoint
from tests.unit.clients.etcd.conftest import NewStore
from tests.unit.clients.etcd.scripted import RANGES, ScriptedEtcd, serving


@pytest.fixture
def connection() -> Connection:
    return Connection(
        parse_endpoint("http://127.0.0.1:1", tls_by_default=False), StoreSettings(endpoints=("127.0.0.1:1",))
    )


def is_closed(connection: Connection) -> bool:
    """Whether gRPC refuses a call on it, rather than failing to reach anybody."""
    try:
        connection.client(timeout_s=0.1, metadata=()).channel.unary_unary("/nothing")(b"", timeout=0.1)
    except grpc.RpcError:
        return False
    except ValueError:
        return True
    raise AssertionError("nobody listens there")


def test_a_retired_connection_is_closed_when_the_last_user_leaves(connection: Connection) -> None:
    assert connection.enter()
    assert connection.enter()
    connection.retire()
    assert not connection.enter()
    connection.leave()
    assert not is_closed(connection)
    connection.leave()
    assert is_closed(connection)


def test_a_retired_connection_that_nobody_uses_is_closed_at_once(connection: Connection) -> None:
    connection.retire()
    assert is_closed(connection)


def test_streams_are_told_when_their_connection_is_retired_also_when_they_come_too_late(
    connection: Connection,
) -> None:
    told: list[str] = []
    connection.enter()
    connection.on_retire(lambda: told.append("early"))
    connection.retire()
    connection.on_retire(lambda: told.append("late"))
    assert told == ["early", "late"]
    connection.leave()


def test_a_write_under_way_is_not_cut_off_by_the_failure_of_another_call(new_store: NewStore) -> None:
    """Closing the channel under it would leave its outcome unknown, for nothing."""
    etcd = ScriptedEtcd()
    etcd.slow.clear()
    with serving(etcd) as endpoint, ThreadPoolExecutor(1) as pool:
        store = new_store(endpoint, timeout_s=5, budget_s=5)
        write = pool.submit(store.txn, [], [Put(key="/c/a", value=b"")])
        assert etcd.waiting.wait(5)
        with store._calls.pool.borrowed() as connection:
            store._calls.pool.give_up(connection)
        assert store.read(RANGES).revision == 7
        etcd.slow.set()
        assert write.result(5).succeeded
        store.close()


def test_a_stream_on_a_channel_that_was_just_closed_ends_like_any_other(connection: Connection) -> None:
    connection.retire(now=True)
    stream = WatchStream(connection, RANGES, (), Progress())
    with pytest.raises(StreamEnded):
        stream.listen(after_revision=1, on_open=lambda: None, on_change=lambda: None)


def test_every_endpoint_is_tried_in_order_from_a_random_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.clients.etcd.channel.random.randrange", lambda count: count - 1)
    pool = Pool(StoreSettings(endpoints=("a:1", "b:2", "c:3")))
    seen = []
    for _ in range(4):
        with pool.borrowed() as connection:
            seen.append(str(connection.endpoint))
            pool.give_up(connection)
            pool.give_up(connection)  # a second thread that failed on it too must not skip one
    assert seen == ["http://c:3", "http://a:1", "http://b:2", "http://c:3"]
    pool.close()
    with pytest.raises(Unreachable, match="closed"), pool.borrowed():
        pass


def test_settings_that_cannot_be_used_are_refused_with_all_their_faults() -> None:
    with pytest.raises(Invalid, match=r"at least one etcd endpoint.*; timeout"):
        Pool(StoreSettings(endpoints=(), timeout_s=0))
