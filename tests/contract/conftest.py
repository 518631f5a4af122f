"""What the contracts are checked on: the fakes always, a real etcd, and for root a real dockerd."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from agent.clients.docker import Engine
from agent.clients.etcd import EtcdStore, Store
from agent.model.store import StoreSettings
from tests.contract.engines import KINDS, DockerScene, FakeScene, Scene
from tests.fakes.store import FakeClock, FakeEtcd, FakeStore
from tests.support import docker_daemon
from tests.support.docker_daemon import DockerDaemon
from tests.support.etcd_server import EtcdServer, eventually, running
from tests.support.wakes import Wakes

collect_ignore = (
    []
    if os.geteuid() == 0
    else [
        f"test_{each}.py"
        for each in (
            "fields_on_docker",
            "fields_over_time",
            "immutable",
            "jobs_over_time",
            "kept_overlays",
            "left_tasks",
            "output_on_docker",
            "pull",
            "refused_starts",
            "seen_changes",
            "values_on_docker",
            "volumes_over_time",
        )
    ]
)
"""Only root can have a dockerd of its own."""

_numbers = itertools.count()


class Etcd(Protocol):
    """An etcd, whichever it is: clients of it, and a way to wait that lets its time pass."""

    def client(self) -> Store: ...

    def eventually(self, check: Callable[[], object], within_s: float) -> None: ...

    def compact(self, revision: int) -> None:
        """Delete what is older than the newest revision, which is this one."""


class _Fake:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.etcd = FakeEtcd(self.clock)

    def client(self) -> Store:
        return FakeStore(self.etcd)

    def eventually(self, check: Callable[[], object], within_s: float) -> None:
        deadline = self.clock.now + within_s
        while not check():
            assert self.clock.now < deadline, f"not within {within_s:g} s"
            self.clock.advance(0.1)

    def compact(self, revision: int) -> None:
        assert revision == self.etcd.revision
        self.etcd.compact()


class _Real:
    def __init__(self, server: EtcdServer) -> None:
        self.server = server
        self._clients: list[EtcdStore] = []

    def client(self) -> Store:
        self._clients.append(EtcdStore(StoreSettings(endpoints=(self.server.endpoint,))))
        return self._clients[-1]

    def eventually(self, check: Callable[[], object], within_s: float) -> None:
        eventually(check, within_s)

    def compact(self, revision: int) -> None:
        self.server.ctl("compact", str(revision))

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerDaemon]:
    """A real engine of the test session's own."""
    with docker_daemon.running(DockerDaemon(tmp_path_factory.mktemp("dockerd"))) as daemon:
        docker_daemon.load_images(daemon)
        yield daemon


@pytest.fixture(scope="session")
def real_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    if shutil.which("etcd") is None:
        pytest.fail("the contract is checked on a real etcd: install etcd and etcdctl")
    with running(EtcdServer(tmp_path_factory.mktemp("etcd"))) as server:
        yield server


@pytest.fixture(params=["fake", "etcd"])
def etcd(request: pytest.FixtureRequest) -> Iterator[Etcd]:
    if request.param == "fake":
        yield _Fake()
        return
    real = _Real(request.getfixturevalue("real_etcd"))
    yield real
    real.close()


@pytest.fixture
def store(etcd: Etcd) -> Iterator[Store]:
    client = etcd.client()
    yield client
    client.close()


@pytest.fixture
def root() -> str:
    """A prefix that no other test uses."""
    return f"/contract/{next(_numbers)}/"


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture(params=KINDS)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    if request.param == "in memory":
        yield FakeScene()
        return
    real = DockerScene(request.getfixturevalue("dockerd"))
    yield real
    real.clean()
    real.close()


@pytest.fixture
def engine(scene: Scene) -> Engine:
    return scene.engine
