"""The session's thread against a real etcd that freezes, dies and forgets."""

from collections.abc import Iterator

import pytest

from agent.clients.etcd import EtcdStore
from agent.lease import GRANTED, LOST, Session, boottime_s
from agent.model.store import KeyRange, SessionSettings, StoreSettings, for_session
from tests.support.etcd_server import EtcdServer, eventually
from tests.support.wakes import Wakes
from tests.unit.clients.etcd.conftest import NewStore

KEY = "/c/hosts/a/presence"
SETTINGS = SessionSettings(ttl_s=3, interval_s=0.4, timeout_s=0.4, margin_s=1)


@pytest.fixture
def session(server: EtcdServer, wakes: Wakes) -> Iterator[Session]:
    own = EtcdStore(for_session(StoreSettings(endpoints=(server.endpoint,)), SETTINGS))
    session = Session(own, presence_key=KEY, presence=lambda: b"here", settings=SETTINGS, on_change=wakes)
    session.start()
    eventually(lambda: session.lease_id is not None, 5)
    yield session
    session.close()


@pytest.fixture
def store(server: EtcdServer, new_store: NewStore) -> EtcdStore:
    """Somebody else's view."""
    return new_store(server.endpoint)


def is_present(store: EtcdStore) -> bool:
    return store.read([KeyRange(key=KEY)]).get(KEY) is not None


@pytest.mark.fault("etcd is frozen for longer than the lease lasts")
def test_a_frozen_etcd_ends_the_session_in_time_and_a_thawed_one_begins_the_next(
    server: EtcdServer, session: Session, store: EtcdStore, wakes: Wakes
) -> None:
    server.freeze()
    frozen_at = boottime_s()
    eventually(lambda: session.lease_id is None, 5)
    assert boottime_s() - frozen_at <= SETTINGS.ttl_s - SETTINGS.margin_s + 0.2
    eventually(lambda: wakes.reasons == (GRANTED, LOST), 3)
    server.thaw()
    eventually(lambda: session.lease_id is not None and is_present(store), 5)
    assert wakes.reasons == (GRANTED, LOST, GRANTED)


def test_a_wiped_etcd_gets_a_new_lease_and_presence(
    server: EtcdServer, session: Session, store: EtcdStore
) -> None:
    first = session.lease_id
    server.wipe()
    server.start()
    eventually(lambda: session.lease_id not in {None, first} and is_present(store), 8)


def test_a_short_outage_is_survived_with_the_same_lease(
    server: EtcdServer, session: Session, store: EtcdStore
) -> None:
    first = session.lease_id
    server.kill()
    server.start()
    renewed = boottime_s() + SETTINGS.ttl_s
    eventually(lambda: session.valid_until > renewed, 5)
    assert session.lease_id == first
    assert is_present(store)


def test_presence_is_gone_the_moment_the_session_is_closed(session: Session, store: EtcdStore) -> None:
    assert is_present(store)
    session.close()
    assert not is_present(store)
