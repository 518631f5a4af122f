"""The watch against an etcd that says exactly what the test wants: what a real one does only in rare moments."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from agent.clients import etcdpb
from agent.clients.etcdpb import etcd_pb2
from agent.clients.store import EtcdStore, stream
from agent.model.store import KeyRange
from tests.clients.store.conftest import NewStore
from tests.etcd_server import eventually
from tests.wakes import Wakes

RANGES = [KeyRange(key="/c/intent"), KeyRange(key="/c/hosts/", prefix=True)]
Answers = Iterator[etcd_pb2.WatchResponse]
pb: Any = etcdpb  # generated code has no annotations

CREATED = etcd_pb2.WatchResponse(created=True)
CHANGE = etcd_pb2.WatchResponse(events=[etcd_pb2.Event()])
PROGRESS = etcd_pb2.WatchResponse(watch_id=-1)


class ScriptedEtcd(pb.KVServicer, pb.WatchServicer):  # type: ignore[misc]
    """Serves transactions at a revision, and each watch stream by the next script."""

    def __init__(self) -> None:
        self.revision = 7
        self.cluster_id = 1
        self.streams: list[list[etcd_pb2.WatchRequest]] = []
        self.metadata: list[dict[str, str]] = []
        self.scripts: queue.SimpleQueue[Callable[[Iterator[etcd_pb2.WatchRequest]], Answers]] = (
            queue.SimpleQueue()
        )
        self.default: Callable[[Iterator[etcd_pb2.WatchRequest]], Answers] = confirm_and_stay
        self.ended = threading.Event()

    def Txn(self, request: etcd_pb2.TxnRequest, context: Any) -> etcd_pb2.TxnResponse:
        header = etcd_pb2.ResponseHeader(revision=self.revision, cluster_id=self.cluster_id)
        return etcd_pb2.TxnResponse(header=header, succeeded=True)

    def Watch(self, requests: Iterator[etcd_pb2.WatchRequest], context: Any) -> Answers:
        seen: list[etcd_pb2.WatchRequest] = []
        self.streams.append(seen)
        self.metadata.append({item.key: item.value for item in context.invocation_metadata()})

        def noted() -> Iterator[etcd_pb2.WatchRequest]:
            for request in requests:
                seen.append(request)
                yield request

        try:
            script = self.scripts.get_nowait()
        except queue.Empty:
            script = self.default
        yield from script(noted())


def confirm_and_stay(requests: Iterator[etcd_pb2.WatchRequest]) -> Answers:
    """Do as a healthy etcd does on a quiet cluster."""
    for request in requests:
        yield CREATED if request.HasField("create_request") else PROGRESS


def confirm_then(*answers: etcd_pb2.WatchResponse) -> Callable[[Iterator[etcd_pb2.WatchRequest]], Answers]:
    """Confirm every range, send these, and close the stream as if all were well."""

    def script(requests: Iterator[etcd_pb2.WatchRequest]) -> Answers:
        for _ in RANGES:
            next(requests)
            yield CREATED
        yield from answers

    return script


def confirm_then_ignore(requests: Iterator[etcd_pb2.WatchRequest]) -> Answers:
    for _ in RANGES:
        next(requests)
        yield CREATED
    for _ in requests:
        pass


def ignore(requests: Iterator[etcd_pb2.WatchRequest]) -> Answers:
    for _ in requests:
        pass
    yield from ()


@pytest.fixture
def scripted() -> Iterator[tuple[ScriptedEtcd, str]]:
    etcd = ScriptedEtcd()
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool)
        pb.add_KVServicer_to_server(etcd, server)
        pb.add_WatchServicer_to_server(etcd, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield etcd, f"http://127.0.0.1:{port}"
        server.stop(None).wait(5)


@pytest.fixture
def etcd(scripted: tuple[ScriptedEtcd, str]) -> ScriptedEtcd:
    return scripted[0]


@pytest.fixture
def store(scripted: tuple[ScriptedEtcd, str], new_store: NewStore) -> EtcdStore:
    return new_store(scripted[1])


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
            "history up to revision 100 is gone",
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
    assert store.health().reconnects[reason] == 1
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
    monkeypatch.setattr(stream, "PROBE_AFTER_S", 0.1)
    monkeypatch.setattr(stream, "PROBE_ANSWER_S", 0.5)
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
    monkeypatch.setattr(stream, "PROBE_AFTER_S", 0.1)
    monkeypatch.setattr(stream, "PROBE_ANSWER_S", 0.3)
    etcd.scripts.put(confirm_then_ignore)
    store.watch(RANGES, wakes)
    eventually(lambda: wakes.reasons == ("watch: open", "watch: silent", "watch: open"), 5)


def test_a_watch_that_is_never_confirmed_is_given_up(
    etcd: ScriptedEtcd, store: EtcdStore, wakes: Wakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PROBE_ANSWER_S", 0.3)
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

    monkeypatch.setattr("agent.clients.store.watch.random.uniform", shortest)
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
