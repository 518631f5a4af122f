"""The watch against an etcd that says exactly what the test wants: what a real one does only in rare moments."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agent.clients.etcd import EtcdStore
from agent.clients.etcd import watch as watching
from agent.clients.etcdpb import etcd_pb2
from tests.support.etcd_server import eventually
from tests.support.wakes import Wakes
from tests.unit.clients.etcd.conftest import NewStore
from tests.unit.clients.etcd.scripted import (
    CHANGE,
    CREATED,
    RANGES,
    Answers,
    ScriptedEtcd,
    confirm_then,
    confirm_then_ignore,
    ignore,
    serving,
)


@pytest.fixture
def etcd() -> ScriptedEtcd:
    return ScriptedEtcd()


@pytest.fixture
def store(etcd: ScriptedEtcd, new_store: NewStore) -> Iterator[EtcdStore]:
    with serving(etcd) as endpoint:
        store = new_store(endpoint)
        yield store
        store.close()


def test_a_watch_starts_right_behind_what_a_read_has_seen(
    etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes
) -> None:
    watched = store.watch(RANGES, wakes)
    eventually(lambda: watched.healthy, 5)
    created = [request.create_request for request in etcd.streams[0]]
    assert [(each.key, each.range_end, each.start_revision) for each in created] == [
        (b"/c/intent", b"", 8),
        (b"/c/hosts/", b"/c/hosts0", 8),
    ]
    assert etcd.metadata[0]["hasleader"] == "true"


def test_a_watch_is_open_only_when_every_range_is_confirmed(
    etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes
) -> None:
    second = threading.Event()

    def slowly(requests: Iterator[etcd_pb2.WatchRequest]) -> Answers:
        next(requests)
        yield CREATED
        second.wait(5)
        yield CREATED
        yield CHANGE

    etcd.scripts.put(slowly)
    watched = store.watch(RANGES, wakes)
    eventually(lambda: etcd.streams and len(etcd.streams[0]) == 1, 5)
    assert not watched.healthy
    assert wakes.reasons == ()
    second.set()
    eventually(lambda: wakes.reasons[:2] == ("watch: open", "watch: change"), 5)


@pytest.mark.parametrize(
    ("answer", "reason", "fault"),
    [
        (
            etcd_pb2.WatchResponse(canceled=True, compact_revision=100),
            "compacted",
            "revisions up to 100 were compacted",
        ),
        (
            etcd_pb2.WatchResponse(
                created=True, canceled=True, watch_id=-1, cancel_reason="permission denied"
            ),
            "refused",
            "permission denied",
        ),
        (etcd_pb2.WatchResponse(canceled=True), "refused", "gave no reason"),
    ],
)
def test_every_way_of_being_cancelled_is_an_end_with_its_reason(
    etcd: ScriptedEtcd,
    store: EtcdStore,
    wakes: Wakes,
    answer: etcd_pb2.WatchResponse,
    reason: str,
    fault: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    etcd.scripts.put(confirm_then(answer))
    watched = store.watch(RANGES, wakes)
    eventually(lambda: wakes.reasons == ("watch: open", f"watch: {reason}", "watch: open"), 5)
    assert watched.healthy


def test_a_stream_that_ends_as_if_all_were_well_is_started_again(
    etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes
) -> None:
    etcd.scripts.put(confirm_then(CHANGE))
    store.watch(RANGES, wakes)
    eventually(lambda: wakes.reasons == ("watch: open", "watch: change", "watch: eof", "watch: open"), 5)


def test_a_silent_stream_is_asked_and_kept_if_it_answers(
    etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PROBE_AFTER_S", 0.1)
    monkeypatch.setattr(watching, "PROBE_ANSWER_S", 0.5)
    watched = store.watch(RANGES, wakes)
    eventually(
        lambda: etcd.streams and sum(each.HasField("progress_request") for each in etcd.streams[0]) >= 3, 5
    )
    assert watched.healthy
    assert len(etcd.streams) == 1
    assert wakes.reasons == ("watch: open",)


def test_a_silent_stream_that_does_not_answer_is_given_up(
    etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PROBE_AFTER_S", 0.1)
    monkeypatch.setattr(watching, "PROBE_ANSWER_S", 0.3)
    etcd.scripts.put(confirm_then_ignore)
    store.watch(RANGES, wakes)
    eventually(lambda: wakes.reasons == ("watch: open", "watch: silent", "watch: open"), 5)


def test_a_watch_that_is_never_confirmed_is_given_up(
    etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PROBE_ANSWER_S", 0.3)
    etcd.scripts.put(ignore)
    store.watch(RANGES, wakes)
    eventually(lambda: wakes.reasons == ("watch: silent", "watch: open"), 5)


def test_an_etcd_that_always_cancels_is_asked_ever_more_rarely(
    etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ceilings: list[float] = []

    def shortest(low: float, high: float) -> float:
        ceilings.append(high)
        return low

    monkeypatch.setattr("agent.clients.etcd.watch.random.uniform", shortest)
    etcd.default = lambda requests: iter([etcd_pb2.WatchResponse(canceled=True, cancel_reason="no")])
    watched = store.watch(RANGES, wakes)
    eventually(lambda: len(ceilings) >= 9, 5)
    watched.close()
    assert ceilings[:9] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    assert wakes.reasons == ("watch: refused",)


def test_another_cluster_at_the_same_address_wakes_and_starts_again(
    etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes
) -> None:
    watched = store.watch(RANGES, wakes)
    eventually(lambda: watched.healthy, 5)
    wakes.clear()
    etcd.cluster_id, etcd.revision = 2, 900
    store.read(RANGES)
    eventually(lambda: wakes.reasons[0] == "watch: other cluster" and wakes.reasons[-1] == "watch: open", 5)
    eventually(lambda: [each.create_request.start_revision for each in etcd.streams[1]] == [901, 901], 5)


def test_a_fault_of_whoever_is_woken_does_not_end_the_watch(
    etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes
) -> None:
    def fail_once(reason: str) -> None:
        wakes(reason)
        if len(wakes.reasons) == 1:
            raise ZeroDivisionError

    store.watch(RANGES, fail_once)
    eventually(lambda: wakes.reasons[-1:] == ("watch: open",) and len(wakes.reasons) > 1, 5)


def test_the_woken_thread_may_close_its_own_watch(etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes) -> None:
    watched: list[Any] = []
    armed = threading.Event()

    def close(reason: str) -> None:
        wakes(reason)
        armed.wait(5)
        watched[0].close()

    watched.append(store.watch(RANGES, close))
    armed.set()
    eventually(lambda: wakes.reasons == ("watch: open",) and not watched[0].healthy, 5)
