"""A gRPC server that says exactly what the test wants: what a real etcd does only in rare moments."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from agent.clients import etcdpb
from agent.clients.etcdpb import etcd_pb2
from agent.model.store import KeyRange

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
        self.slow = threading.Event()
        """Transactions that write wait for it."""
        self.slow.set()
        self.waiting = threading.Event()

    def Txn(self, request: etcd_pb2.TxnRequest, context: Any) -> etcd_pb2.TxnResponse:
        if any(each.HasField("request_put") for each in request.success):
            self.waiting.set()
            self.slow.wait(10)
        header = etcd_pb2.ResponseHeader(revision=self.revision, cluster_id=self.cluster_id)
        none = etcd_pb2.ResponseOp(response_range=etcd_pb2.RangeResponse())
        return etcd_pb2.TxnResponse(header=header, succeeded=True, responses=[none for _ in request.success])

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


@contextlib.contextmanager
def serving(etcd: ScriptedEtcd) -> Iterator[str]:
    """Serve on a free port of loopback; yields the endpoint."""
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool)
        pb.add_KVServicer_to_server(etcd, server)
        pb.add_WatchServicer_to_server(etcd, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"http://127.0.0.1:{port}"
        server.stop(None).wait(5)
