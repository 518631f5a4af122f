"""What the pages of the cluster show is read from etcd for a viewer only, and rarely."""

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from agent.daemon import cluster_view
from agent.daemon.cluster_view import ClusterViews
from agent.errors import Denied, Refused
from agent.http.cluster_page import cluster_page, document_page, history_page
from agent.intent import document_diff
from agent.model.events import Event, EventLog, with_events
from agent.model.history import entry_of
from agent.model.keys import Keys
from agent.model.records import Accepted, Verdict, encode
from agent.model.store import KeyRange, Put, Snapshot
from tests.fakes.store import FakeStore
from tests.support.document import EXAMPLE, document
from tests.support.etcd_server import eventually
from tests.support.viewed_clusters import without_etcd

KEYS = Keys("prod")
SECRET = "kept-from-everyone"
OWN = without_etcd().own


class Counting(FakeStore):
    """Counts the readings of everything below the cluster's hosts."""

    readings = 0
    held: threading.Event | None = None

    def read(self, ranges: Any) -> Snapshot:
        ranges = list(ranges)
        if any(isinstance(each, KeyRange) and each.key == KEYS.hosts for each in ranges):
            self.readings += 1
            if self.held:
                self.held.wait(10)
        return super().read(ranges)


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading is kept for longer than any test takes, and no comparison of another test is."""
    cluster_view._compared.cache_clear()
    monkeypatch.setattr(cluster_view, "KEPT_S", 600.0)


@pytest.fixture
def store() -> Counting:
    """An etcd with two documents: the second has another image, and one more secret."""
    store = Counting()
    for tag, environment in (("1.0.0", {}), ("1.0.1", {"PASSWORD": SECRET})):
        text = document(EXAMPLE, tags={"order": tag}, services={"order": {"environment": environment}})
        revision = store.txn([], [Put(key=KEYS.intent, value=text.encode())]).revision
        verdict = Verdict(revision=revision, accepted=True, accepted_revision=revision)
        entry = entry_of(verdict, text, None, "2026-11-29T12:00:00Z")
        store.txn(
            [],
            [
                Put(key=KEYS.accepted, value=encode(Accepted(revision=revision, document=text))),
                Put(key=KEYS.verdict, value=encode(verdict)),
                Put(key=f"{KEYS.history}{revision}", value=encode(entry)),
            ],
        )
    return store


def views(etcd: FakeStore, **status: Any) -> ClusterViews:
    return ClusterViews(etcd, KEYS, "node-231", lambda: {"stale": False, "conditions": OWN, **status})


def test_etcd_is_read_for_a_viewer_only_and_once_for_all_that_come_together(store: Counting) -> None:
    of_agent = views(store)
    assert store.readings == 0

    with ThreadPoolExecutor(8) as viewers:
        found = list(viewers.map(lambda _: of_agent.view(), range(40)))
    of_agent.document(found[0].accepted)

    assert store.readings == 1
    assert {each.conditions is not None for each in found} == {True}


def test_a_reading_is_dropped_after_its_time_and_the_next_viewer_gets_a_new_one(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_view, "KEPT_S", 0.01)
    of_agent = views(store)
    before = of_agent.view()
    eventually(lambda: of_agent._reading is None, within_s=10)
    assert before.accepted

    store.txn(
        [], [Put(key=KEYS.verdict, value=encode(Verdict(revision=1, accepted=False, accepted_revision=0)))]
    )
    of_agent.view()

    assert store.readings == 2


def test_the_view_has_the_conditions_and_the_history(store: Counting) -> None:
    found = views(store).view()

    assert found.conditions
    assert found.conditions.document.revision == found.accepted
    assert [each.is_accepted for each in found.documents] == [True, False]
    assert found.trouble == ""


def test_the_view_has_the_newest_events_first(store: Counting) -> None:
    happened = [
        Event(at=f"2026-11-29T12:0{n}:00Z", kind="order", resource=f"host/{n}", state="drain") for n in (1, 2)
    ]
    store.txn([], [Put(key=KEYS.events, value=encode(with_events(EventLog(), happened)))])

    found = views(store).view()

    assert [each.resource for each in found.events] == ["host/2", "host/1"]
    assert "host/2" in cluster_page(found, refreshed=True).decode()


def test_events_that_cannot_be_read_are_named_and_hide_nothing_else(store: Counting) -> None:
    store.txn([], [Put(key=KEYS.events, value=b"[")])

    found = views(store).view()

    assert found.conditions
    assert found.events == ()
    assert "the key /swarmkeeper/prod/events cannot be read" in cluster_page(found, refreshed=True).decode()


def test_a_history_that_is_too_large_is_named_and_hides_nothing_else(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bounded(most: int) -> FakeStore:
        return of_history if most == cluster_view.MOST_HISTORY else store

    def refused(*_: Any) -> Snapshot:
        raise Refused("etcd holds more")

    of_history = FakeStore()
    monkeypatch.setattr(of_history, "read", refused)
    monkeypatch.setattr(store, "bounded", bounded)
    of_agent = views(store)
    fault = "The keys below /swarmkeeper/prod/history/ cannot be read: etcd holds more"

    found = of_agent.view()
    document = of_agent.document(3)

    assert found.conditions
    assert document
    assert document.trouble == fault
    for body in (cluster_page(found, refreshed=True), history_page(found)):
        assert fault in body.decode()


def test_a_reading_takes_bounded_memory(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def bounded(most: int) -> FakeStore:
        asked.append(most)
        return store

    monkeypatch.setattr(store, "bounded", bounded)

    views(store).view()

    assert asked == [cluster_view.MOST_MEMORY, cluster_view.MOST_HISTORY]


def test_a_document_shows_its_changes_and_no_secret(store: Counting) -> None:
    of_agent = views(store)
    newest, first = of_agent.view().documents

    changed = of_agent.document(newest.revision)
    assert changed

    assert changed.before == first.revision
    assert (
        "services.order.image: changed 10.159.62.231/somecom/order:1.0.0 -> 10.159.62.231/somecom/order:1.0.1"
        in changed.changes
    )
    assert any("PASSWORD" in each for each in changed.changes)
    assert SECRET.encode() not in document_page(changed) + cluster_page(of_agent.view(), refreshed=True)
    assert of_agent.document(newest.revision + 1000) is None
    nothing_before = of_agent.document(first.revision)
    assert nothing_before
    assert nothing_before.trouble == "the history has no earlier document to compare it with"


def test_documents_are_compared_once_for_all_viewers(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Any] = []

    def differences(*documents: Any) -> tuple[()]:
        compared.append(documents)
        return ()

    monkeypatch.setattr(document_diff, "differences", differences)
    of_agent = views(store)
    newest = of_agent.view().documents[0].revision

    assert of_agent.document(newest) == of_agent.document(newest) == views(store).document(newest)
    assert len(compared) == 1


def test_a_document_that_is_no_yaml_is_parsed_once_too(store: Counting) -> None:
    raw, good = "services: [", document(EXAMPLE)
    for _ in range(2):
        changes, trouble = cluster_view._compared(good, raw)
        assert (changes, trouble[:14]) == ((), "the document: ")
    assert cluster_view._compared.cache_info().hits >= 1
    for number in range(20):
        cluster_view._compared(good, f"name: n{number}")
    assert cluster_view._compared.cache_info().currsize < 10


def test_a_document_that_is_damaged_is_no_defect_of_the_page(store: Counting) -> None:
    of_agent = views(store)
    newest = of_agent.view().documents[0]
    store.txn([], [Put(key=f"{KEYS.history}{newest.revision + 50}", value=b"damaged")])

    found = views(store).document(newest.revision + 50)

    assert found
    assert "the history has no text of revision" in found.trouble


def test_a_large_document_is_not_compared_by_the_agent(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_view, "LARGEST", 100)
    of_agent = views(store)

    found = of_agent.document(of_agent.view().documents[0].revision)

    assert found
    assert "use `swarmkeeper diff`" in found.trouble


@pytest.fixture
def hanging(store: Counting, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    """An etcd whose answer does not come before the viewer gives up."""
    monkeypatch.setattr(cluster_view, "PATIENCE_S", 0.05)
    store.held = threading.Event()
    yield store
    store.held.set()


def test_a_viewer_does_not_wait_for_an_etcd_that_hangs_and_others_start_no_second_reading(
    hanging: Counting,
) -> None:
    of_agent = views(hanging)

    found = [of_agent.view() for _ in range(3)]

    assert {each.trouble for each in found} == {"the cluster has not been read from etcd within 3 s"}
    assert found[0].own == OWN
    assert hanging.readings == 1


def test_viewers_that_wait_one_after_the_other_wait_for_one_reading_only_once(
    hanging: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers them in turn, and closes a connection after five seconds."""
    monkeypatch.setattr(cluster_view, "PATIENCE_S", 0.5)
    of_agent = views(hanging)
    of_agent.view()

    began = time.monotonic()
    for _ in range(20):
        of_agent.view()

    assert time.monotonic() - began < 5


def test_a_reading_that_took_long_is_there_when_browsers_ask_again(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(cluster_view, "KEPT_S", 5.0)
    of_agent = views(store)
    reading: Future[Any] = Future()
    with monkeypatch.context() as patch:
        patch.setattr(
            cluster_view, "time", SimpleNamespace(monotonic=lambda: 4.0, sleep=waited.append, time=time.time)
        )
        patch.setattr(of_agent, "_look", lambda: None)
        of_agent._read(reading)
        of_agent._begun_s = -1000.0
        of_agent._read(Future())
        patch.setattr(of_agent, "_look", lambda: 1 / 0)
        of_agent._read(Future())

    assert waited == [16.0, cluster_view.MOST_KEPT_S, 5.0]


def cut(store: FakeStore) -> None:
    store.cut()


def revoke(store: FakeStore) -> None:
    store.denied = True


@pytest.mark.parametrize("fault", [cut, revoke])
def test_an_etcd_that_cannot_be_read_leaves_what_the_host_knows(
    store: Counting, fault: Callable[[FakeStore], None]
) -> None:
    fault(store)

    found = views(store, as_of="2026-11-29T12:08:30Z", store={"read_at": "2026-11-29T12:04:00Z"}).view()

    assert found.conditions is None
    assert found.trouble
    assert (found.own, found.own_at, found.known_at) == (OWN, "2026-11-29T12:08:30Z", "2026-11-29T12:04:00Z")


def test_a_fault_that_many_viewers_see_stays_small(store: Counting) -> None:
    store.cut()
    of_agent = views(store)

    for _ in range(30):
        of_agent.view()

    assert of_agent._reading
    fault = of_agent._reading.exception(0)
    assert fault
    assert len(traceback.extract_tb(fault.__traceback__)) < 30


def test_an_agent_with_the_role_of_a_worker_names_another_page(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any) -> Snapshot:
        raise Denied("permission denied")

    monkeypatch.setattr(store, "read", denied)

    assert "open the page of a manager" in views(store).view().trouble


def test_an_agent_that_knows_that_etcd_is_away_does_not_ask_it(store: Counting) -> None:
    found = views(store, stale=True, store={"error": "connection refused"}).view()

    assert (found.trouble, store.readings) == ("connection refused", 0)


def test_before_its_first_pass_an_agent_shows_the_cluster(store: Counting) -> None:
    of_agent = ClusterViews(store, KEYS, "node-231", lambda: {"ready": False, "unready": ()})

    assert of_agent.view().conditions
