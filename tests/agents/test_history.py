"""Whole agents in memory keep the history of documents, whatever else is written there."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.model.history import MOST_DOCUMENTS, Entry, Note
from agent.model.records import decode, encode
from agent.model.store import Compare, Delete, Fence, KeyRange, Put
from tests.fakes.store import FakeStore
from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import KEYS, SimulatedCluster, at_rest, images

pytestmark = pytest.mark.usefixtures("unlogged")

NEWER = document(tags={"billing": "1.0.1"})
FAULTY = "name: prod\nservices: 1\n"


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    """Three managers that have carried the example out."""
    cluster = at_rest(tmp_path)
    cluster.lan.registry |= images(NEWER)
    return cluster


def names(cluster: SimulatedCluster) -> list[str]:
    found = cluster.etcd.snapshot([KeyRange(key=KEYS.history, prefix=True)])
    return [each.key.removeprefix(KEYS.history) for each in found.under(KEYS.history)]


def newest(cluster: SimulatedCluster) -> int:
    intent = cluster.read(KEYS.intent)
    assert intent is not None
    return intent.mod_revision


def entry(cluster: SimulatedCluster, revision: int) -> Entry:
    found = cluster.read(f"{KEYS.history}{revision}")
    assert found is not None
    return decode(Entry, found.value)


def test_a_document_has_an_entry_with_its_text_and_is_carried_out(cluster: SimulatedCluster) -> None:
    first = newest(cluster)
    assert names(cluster) == [str(first), f"{first}/carried-out"]
    assert entry(cluster, first).text() == EXAMPLE
    assert entry(cluster, first).author == ""


def test_what_the_operator_says_of_a_document_is_in_its_entry_alone(cluster: SimulatedCluster) -> None:
    note = encode(Note(author="anna@shell", message="billing 1.0.1"))
    FakeStore(cluster.etcd).txn(
        [], [Put(key=KEYS.intent, value=NEWER.encode()), Put(key=KEYS.note, value=note)]
    )
    noted = newest(cluster)
    cluster.settle()
    cluster.put_intent(EXAMPLE)
    cluster.settle()
    assert (entry(cluster, noted).author, entry(cluster, noted).message) == ("anna@shell", "billing 1.0.1")
    assert entry(cluster, newest(cluster)).author == ""


def test_a_refused_document_is_kept_and_the_next_one_too(cluster: SimulatedCluster) -> None:
    cluster.put_intent(FAULTY)
    refused = newest(cluster)
    cluster.rounds(8)
    found = entry(cluster, refused)
    assert (found.result, found.text()) == ("refused", FAULTY)
    assert "'x-cluster' is missing" in found.why
    assert f"{refused}/carried-out" not in names(cluster)


def test_a_document_takes_two_writes_of_the_history_and_rest_takes_none(cluster: SimulatedCluster) -> None:
    cluster.put_intent(NEWER)
    cluster.settle()
    cluster.rounds(30)
    found = cluster.etcd.snapshot([KeyRange(key=KEYS.history, prefix=True)]).under(KEYS.history)
    assert len(found) == 4
    assert all(each.create_revision == each.mod_revision for each in found)


def test_a_refused_write_of_the_history_delays_nothing_else_and_is_named_and_tried_ever_less_often(
    cluster: SimulatedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by an etcd that is full, here for the history alone."""
    tried: list[float] = []
    write = FakeStore.write_fenced

    def refuse(
        store: FakeStore, fence: Fence, operations: Sequence[Put | Delete], compares: Sequence[Compare] = ()
    ) -> None:
        if any(each.key.startswith(KEYS.history) for each in operations):
            tried.append(cluster.clock.now)
            raise Refused("etcdserver: mvcc: database space exceeded")
        write(store, fence, operations, compares)

    monkeypatch.setattr(FakeStore, "write_fenced", refuse)
    cluster.put_intent(NEWER)
    cluster.rounds(120)
    verdict = cluster.verdict()
    assert verdict is not None
    assert verdict.accepted_revision == newest(cluster)
    assert "billing:1.0.1" in str(cluster.running())
    assert 2 < len(tried) < 12
    assert tried[-1] - tried[-2] > 10
    assert any(
        "database space exceeded" in each for agent in cluster.agents.values() for each in agent.failed()
    )

    monkeypatch.setattr(FakeStore, "write_fenced", write)
    cluster.rounds(80)
    assert entry(cluster, newest(cluster)).text() == NEWER


@pytest.mark.parametrize("mode", ["observe", "paused"])
def test_documents_are_kept_in_every_mode(cluster: SimulatedCluster, mode: str) -> None:
    for tag in ("1.0.0", "1.0.1"):
        text = document(policy={"mode": mode}, tags={"billing": tag})
        cluster.put_intent(text)
        cluster.rounds(8)
        assert entry(cluster, newest(cluster)).text() == text
    assert f"{newest(cluster)}/carried-out" not in names(cluster)


def test_what_others_write_below_the_history_neither_stops_a_leader_nor_stays(
    cluster: SimulatedCluster,
) -> None:
    first = newest(cluster)
    for name in ("7777777", "x", f"{first}/else", "1/2/3"):
        cluster.put(f"{KEYS.history}{name}", b"\xff" * 1000)
    cluster.put(f"{KEYS.history}{first}", b"\xff")
    cluster.put_intent(NEWER)
    cluster.settle()
    second = newest(cluster)
    expected = {str(first), f"{first}/carried-out", str(second), f"{second}/carried-out"}
    assert set(names(cluster)) == expected
    assert entry(cluster, second).text() == NEWER


def test_the_history_is_bounded_while_documents_come(cluster: SimulatedCluster) -> None:
    for number in range(MOST_DOCUMENTS + 5):
        cluster.put_intent(f"{EXAMPLE}# {number}\n")
        cluster.rounds(4)
    cluster.settle()
    entries = [each for each in names(cluster) if "/" not in each]
    assert len(entries) == MOST_DOCUMENTS
    assert max(map(int, entries)) == newest(cluster)


def test_a_leader_that_ends_after_the_verdict_leaves_the_entry_to_the_next(cluster: SimulatedCluster) -> None:
    cluster.put_intent(NEWER)
    leader = cluster.leader()
    for _ in range(20):
        cluster.round(leader.name)
        verdict = cluster.verdict()
        if verdict and verdict.revision == newest(cluster):
            break
    assert str(newest(cluster)) not in names(cluster)
    cluster.lose_agent(leader.name)
    cluster.clock.advance(60.0)
    cluster.start(leader.name)
    cluster.settle()
    assert entry(cluster, newest(cluster)).text() == NEWER
