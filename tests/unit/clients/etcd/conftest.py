from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.clients.etcd import EtcdStore
from agent.model.store import StoreSettings
from tests.support.etcd_server import EtcdServer, running
from tests.support.wakes import Wakes

NewStore = Callable[..., EtcdStore]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd for tests that do it no harm."""
    with running(EtcdServer(tmp_path_factory.mktemp("etcd"))) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd of this test's own, to be mistreated."""
    with running(EtcdServer(tmp_path / "etcd")) as server:
        yield server


@pytest.fixture
def new_store() -> Iterator[NewStore]:
    """Make clients that are closed when the test ends; settings by name, endpoints by place."""
    stores: list[EtcdStore] = []

    def make(*endpoints: str, observe_call: Any = None, **settings: Any) -> EtcdStore:
        observed = {} if observe_call is None else {"observe_call": observe_call}
        stores.append(EtcdStore(StoreSettings(endpoints=endpoints, **settings), **observed))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()
