"""The history of documents on a real etcd, kept by an agent as a process that is killed in between."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.connect import Connection
from agent.cli.history import read_history
from agent.clients.etcd import EtcdStore
from agent.model.history import MOST_DOCUMENTS, Entry
from agent.model.keys import Keys
from agent.model.records import Verdict, decode
from agent.model.store import KeyRange, StoreSettings
from tests.support.agent_process import AgentProcess, running
from tests.support.etcd_server import EtcdServer
from tests.support.etcd_server import running as running_etcd
from tests.unit.cli.conftest import Ended, swarmkeeper

KEYS = Keys("prod")
WITHIN_S = 60.0
HEAD = """\
name: prod
x-cluster:
  version: 1
  hosts: {h1: {address: 10.0.0.1, role: manager}}
  gwbridge: {subnet: 172.21.0.0/20, gateway: 172.21.0.1}
services:
  order: {image: 'registry.example/order:1.0.0', x-hosts: [h1], network_mode: none}
"""
COUNT = 60


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    with running_etcd(EtcdServer(tmp_path / "etcd")) as server:
        yield server


@pytest.fixture
def connection(etcd: EtcdServer) -> Iterator[Connection]:
    store = EtcdStore(StoreSettings(endpoints=(etcd.endpoint,)))
    yield Connection(store=store, keys=KEYS)
    store.close()


def text(number: int) -> str:
    """A document that no other one equals; each fifth has a fault."""
    fault = "  order-2: {image: UPPER}\n" if number % 5 == 4 else ""
    return f"{HEAD}{fault}# {number}\n"


def command(etcd: EtcdServer, name: str, *arguments: str) -> Ended:
    return swarmkeeper(name, "--endpoint", etcd.endpoint, "--cluster", KEYS.cluster, *arguments)


def entry(connection: Connection, revision: int) -> Entry | None:
    key = f"{KEYS.history}{revision}"
    found = connection.store.read([KeyRange(key=key)]).get(key)
    return decode(Entry, found.value) if found else None


def newest(connection: Connection) -> int:
    found = connection.store.read([KeyRange(key=KEYS.intent)]).get(KEYS.intent)
    assert found is not None
    return found.mod_revision


def kept(connection: Connection, agent: AgentProcess, revision: int) -> Entry:
    agent.says("")  # what it tells systemd is to be read, or it waits until it is
    agent.eventually(lambda: entry(connection, revision), WITHIN_S, f"an entry of revision {revision}")
    found = entry(connection, revision)
    assert found is not None
    return found


def test_sixty_documents_half_of_them_by_etcdctl_with_compactions_and_a_kill_during_a_rollback(
    tmp_path: Path, etcd: EtcdServer, connection: Connection
) -> None:
    documents: dict[int, str] = {}
    path = tmp_path / "cluster.yaml"
    with running(tmp_path / "agent-1", etcd.endpoint, how="all-is-well") as agent:
        for number in range(COUNT):
            path.write_text(text(number))
            if number % 2 or number % 5 == 4:  # a faulty one never gets past `apply`
                etcd.ctl("put", KEYS.intent, text(number))
            else:
                ended = command(etcd, "apply", str(path), "--yes", "-m", f"number {number}")
                assert ended.code == 0, ended.err
            revision = newest(connection)
            documents[revision] = text(number)
            found = kept(connection, agent, revision)
            by_apply = not (number % 2 or number % 5 == 4)
            assert found.message == (f"number {number}" if by_apply else "")
            assert bool(found.author) == by_apply
            assert found.result == ("refused" if number % 5 == 4 else "accepted")
            if number % 10 == 9:
                etcd.ctl("compact", str(revision))

        history = read_history(connection)
        assert [each.revision for each in history.kept] == sorted(documents, reverse=True)[:MOST_DOCUMENTS]
        assert all(each.entry and each.entry.text() == documents[each.revision] for each in history.kept)
        oldest = history.kept[-2].revision
        assert command(etcd, "get", str(oldest)).out == documents[oldest]
        changed = command(etcd, "diff", str(oldest))
        assert changed.code == 0, changed.err
        agent.eventually(
            lambda: any("carried-out" in each.events for each in read_history(connection).kept),
            WITHIN_S,
            "a document is carried out",
        )

        # A rollback of which the leader ends once it is written, and before or after the verdict.
        target = next(each for each in history.kept[5:] if each.entry and each.entry.result == "accepted")
        before = newest(connection)
        store = connection.store
        watching = store.watch(
            (KeyRange(key=KEYS.intent),),
            lambda _: agent.process.kill() if newest(connection) != before else None,
        )
        ended = command(etcd, "rollback", str(target.revision), "--yes")
        watching.close()
        put = newest(connection)
        assert put != before
        assert agent.process.wait(WITHIN_S) != 0
        assert ended.code in (0, 3), ended.err  # with or without a verdict within its time

    # The engine in memory ended with its agent: the next one is in no swarm, as after a loss of the whole disk.
    etcd.ctl("del", KEYS.swarm)
    with running(tmp_path / "agent-2", etcd.endpoint, how="all-is-well") as agent:
        found = kept(connection, agent, put)
        assert (found.text(), found.result) == (documents[target.revision], "accepted")
        assert found.message == f"rollback to revision {target.revision}"
        verdict = store.read([KeyRange(key=KEYS.verdict)]).get(KEYS.verdict)
        assert verdict is not None
        assert decode(Verdict, verdict.value).accepted_revision == put
        agent.eventually(
            lambda: read_history(connection).kept[0].result == "carried-out", WITHIN_S, "it is carried out"
        )
    shown = json.loads(command(etcd, "history", "-o", "json").out)["documents"]
    assert (shown[0]["revision"], shown[0]["accepted"], shown[0]["result"]) == (put, True, "carried-out")
    assert len(shown) == MOST_DOCUMENTS
