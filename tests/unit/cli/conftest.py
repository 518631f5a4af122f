"""An operator with a shell, and an etcd of the test session's own."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli.app import app
from agent.clients.etcd import EtcdStore
from agent.model.keys import Keys
from agent.model.records import encode
from agent.model.store import KeyRange, Put, Snapshot, StoreSettings
from tests.support.etcd_server import EtcdServer, running

GOOD = """\
name: prod
x-cluster:
  version: 1
  hosts:
    h1: {address: 10.0.0.1, role: manager}
    h2: {address: 10.0.0.2, role: worker}
  swarm: {default_addr_pool: [10.200.0.0/16]}
  gwbridge: {subnet: 172.21.0.0/20, gateway: 172.21.0.1}
services:
  order:
    image: registry.example/order:1.0.0
    x-hosts: {h1: 2, h2: 1}
    environment: {PASSWORD: hunter2}
    network_mode: none
"""
_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def swarmkeeper(*arguments: str, stdin: str = "") -> Ended:
    """Run `swarmkeeper` as somebody without a terminal does."""
    result = CliRunner().invoke(app, arguments, input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(code=result.exit_code, out=result.stdout, err=result.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One cluster's keys in a real etcd, and an operator who reaches it."""

    endpoint: str
    name: str
    store: EtcdStore

    @property
    def keys(self) -> Keys:
        return Keys(self.name)

    def run(self, command: str, *arguments: str, stdin: str = "") -> Ended:
        options = ("--endpoint", self.endpoint, "--cluster", self.name)
        return swarmkeeper(command, *options, *arguments, stdin=stdin)

    def put(self, key: str, record: Any) -> None:
        """Write what an agent would; text as it is."""
        value = record.encode() if isinstance(record, str) else encode(record)
        self.store.txn([], [Put(key=key, value=value)])

    def content(self) -> Snapshot:
        return self.store.read([KeyRange(key=self.keys.root, prefix=True)])


@pytest.fixture(autouse=True)
def _no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the width of the terminal of the tests, which xdist puts into the environment."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    assert shutil.which("etcd"), "these tests need the Debian package etcd-server"
    with running(EtcdServer(tmp_path_factory.mktemp("etcd"))) as server:
        yield server


@pytest.fixture
def cluster(etcd: EtcdServer) -> Iterator[Cluster]:
    """A cluster of its own, with nothing in it."""
    store = EtcdStore(StoreSettings(endpoints=(etcd.endpoint,)))
    yield Cluster(endpoint=etcd.endpoint, name=f"cluster-{next(_numbers)}", store=store)
    store.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Write a document; returns the name of its file."""

    def writing(text: str) -> str:
        path = tmp_path / "intent.yaml"
        path.write_text(text)
        return str(path)

    return writing
