"""Calls to etcd: deadline, token, check of the answer's header, and conversion of errors."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog
import tenacity

from agent.clients.etcd import channel
from agent.clients.etcd.channel import FAILURES, Connection, Failure, Metadata
from agent.clients.etcdpb import etcd_pb2
from agent.errors import Refused, SwarmkeeperError, Unreachable
from agent.model import store
from agent.model.phrases import cut

# ---- Conversion between agent.model.store and the messages of etcd


def range_end(key: bytes) -> bytes:
    """Return the first key after all keys that start with `key`: etcd's form of a prefix."""
    stem = key.rstrip(b"\xff")
    if not stem:
        return b"\0"  # etcd's form of "to the last key"
    return stem[:-1] + bytes([stem[-1] + 1])


def bounds(key: str, *, prefix: bool) -> tuple[bytes, bytes]:
    """Return `key` and `range_end` of a request; `range_end` is empty for one key. An empty prefix is every key."""
    raw = key.encode()
    return (raw or b"\0", range_end(raw)) if prefix else (raw, b"")


def read_request(
    ranges: Sequence[store.KeyRange], *, count_only: bool = False, revision: int = 0
) -> etcd_pb2.TxnRequest:
    """Return one transaction with all reads: its answer is a linearizable snapshot. `revision` 0: the newest."""
    gets = []
    for each in ranges:
        key, end = bounds(each.key, prefix=each.prefix)
        get = etcd_pb2.RangeRequest(key=key, range_end=end, revision=revision, keys_only=each.keys_only)
        get.count_only = count_only
        gets.append(get)
    return etcd_pb2.TxnRequest(success=[etcd_pb2.RequestOp(request_range=get) for get in gets])


def write_request(
    compares: Iterable[store.Compare],
    operations: Iterable[store.Put | store.Delete],
    fence: store.Fence | None = None,
) -> etcd_pb2.TxnRequest:
    """Return the transaction. A fenced one reads the lock on failure, to tell which compare failed."""
    guarded = list(compares)
    otherwise = []
    if fence is not None:
        guarded.insert(0, store.Compare(key=fence.key, create_revision=fence.create_revision))
        get = etcd_pb2.RangeRequest(key=fence.key.encode(), keys_only=True)
        otherwise.append(etcd_pb2.RequestOp(request_range=get))
    return etcd_pb2.TxnRequest(
        compare=[_compare(each) for each in guarded],
        success=[_operation(each) for each in operations],
        failure=otherwise,
    )


def _compare(compare: store.Compare) -> Any:
    if compare.create_revision is not None:
        return (channel.etcd3.transactions.Create(compare.key) == compare.create_revision).build_message()
    return (channel.etcd3.transactions.Mod(compare.key) == compare.mod_revision).build_message()


def _operation(operation: store.Put | store.Delete) -> etcd_pb2.RequestOp:
    if isinstance(operation, store.Put):
        put = etcd_pb2.PutRequest(key=operation.key.encode(), value=operation.value, lease=operation.lease)
        return etcd_pb2.RequestOp(request_put=put)
    key, end = bounds(operation.key, prefix=operation.prefix)
    return etcd_pb2.RequestOp(request_delete_range=etcd_pb2.DeleteRangeRequest(key=key, range_end=end))


def snapshot_of(response: etcd_pb2.TxnResponse) -> store.Snapshot:
    found = (key_value(kv) for each in response.responses for kv in each.response_range.kvs)
    return store.Snapshot(revision=response.header.revision, values={each.key: each for each in found})


def key_value(kv: etcd_pb2.KeyValue) -> store.KeyValue:
    # Another program may write a key that is not UTF-8; the agent's keys must remain readable.
    return store.KeyValue(
        key=kv.key.decode(errors="backslashreplace"),
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        lease=kv.lease,
    )


def holds_fence(response: etcd_pb2.TxnResponse, fence: store.Fence) -> bool:
    """Return True if the lock, read in the failure branch of a fenced write, is still that of `fence`."""
    found = [kv.create_revision for each in response.responses for kv in each.response_range.kvs]
    return found == [fence.create_revision]


# ---- Authentication: the token that etcd issues for user and password
#
# A token is renewed when etcd refuses it, not after a time. etcd checks the token first, so a refused call was
# not carried out and may be repeated; a simple token stays valid while it is used; and each token takes etcd
# 75 ms of bcrypt: early renewal by a thousand hosts would load a whole core.

AUTHENTICATE_TIMEOUT_S = 3.0
RETRY_S = 5.0

# With it, a member without a quorum ends a watch after 4 s, instead of leaving it open without events.
HAS_LEADER: Metadata = (("hasleader", "true"),)


class Tokens:
    """The metadata of calls. One token is valid on all members; one thread at a time requests it."""

    def __init__(self, settings: store.StoreSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self.has_user = settings.user is not None
        self._metadata: Metadata | None = None if self.has_user else HAS_LEADER
        self._refusal: tuple[float, SwarmkeeperError] | None = None

    def metadata(self, connection: Connection) -> Metadata:
        """Return the metadata for a call; request a token if there is none. Raises Unreachable, Refused."""
        with self._lock:
            if self._metadata is None:
                self._metadata = self._authenticate(connection)
            return self._metadata

    def expire(self, used: Metadata) -> None:
        """Drop a refused token, unless another thread has replaced it."""
        with self._lock:
            if self.has_user and self._metadata == used:
                self._metadata = None

    def _authenticate(self, connection: Connection) -> Metadata:
        if self._refusal is not None and time.monotonic() < self._refusal[0]:
            raise self._refusal[1]
        assert self._settings.user is not None
        request = etcd_pb2.AuthenticateRequest(name=self._settings.user, password=self._password())
        try:
            answer = connection.auth_stub.Authenticate(
                request, timeout=AUTHENTICATE_TIMEOUT_S, metadata=HAS_LEADER
            )
        except FAILURES as error:
            failure = channel.failure_of(error, connection.endpoint)
            if _auth_is_off(failure):
                return HAS_LEADER
            refused = failure.as_error()
            if isinstance(refused, Refused):
                # Wrong password: etcd would hash it again for every retry of every thread.
                self._refusal = (time.monotonic() + RETRY_S * random.uniform(0.5, 1.0), refused)  # noqa: S311
            raise refused from None
        self._refusal = None
        return (*HAS_LEADER, ("token", answer.token))

    def _password(self) -> str:
        path = self._settings.password_file
        assert path is not None
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"etcd password file {path}: {error}") from error


def _auth_is_off(failure: Failure) -> bool:
    return failure.code == "FAILED_PRECONDITION" and "not enabled" in failure.details


# ---- Newest revision and cluster id in etcd's answers, and detection of another or restored etcd

log = structlog.get_logger("store")


class Progress:
    """The newest revision, the cluster id, and the last contact. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.revision = 0
        self._cluster_id = 0
        self.last_contact_s: float | None = None
        self._on_other_etcd: set[Callable[[str], None]] = set()

    def contact(self) -> None:
        self.last_contact_s = time.monotonic()

    def subscribe(self, other_etcd: Callable[[str], None]) -> None:
        """Call `other_etcd(reason)` when the revision decreased or the cluster id changed."""
        with self._lock:
            self._on_other_etcd.add(other_etcd)

    def unsubscribe(self, other_etcd: Callable[[str], None]) -> None:
        with self._lock:
            self._on_other_etcd.discard(other_etcd)

    def linearized(self, header: etcd_pb2.ResponseHeader, *, seen_before: int) -> None:
        """Check the header of a linearizable answer. `seen_before` is the newest known revision before the call.

        The answer is older than `seen_before` only if etcd was wiped or restored from a backup. A wiped etcd can keep
        its cluster id; a watch from the old revision would then wait for a revision that is years away.
        """
        self.contact()
        with self._lock:
            reason = self._mismatch(header, seen_before)
            self.revision = header.revision if reason else max(self.revision, header.revision)
            self._cluster_id = header.cluster_id
            listeners = tuple(self._on_other_etcd) if reason else ()
        if reason:
            log.error(
                "etcd was replaced or restored from a backup",
                reason=reason,
                before=seen_before,
                now=header.revision,
            )
        for listener in listeners:
            listener(reason)

    def _mismatch(self, header: etcd_pb2.ResponseHeader, seen_before: int) -> str:
        if self._cluster_id not in {0, header.cluster_id}:
            return "other cluster"
        if header.revision < seen_before:
            return "revision went back"
        return ""


T = TypeVar("T")
Call = Callable[[Any], T]
"""A call on etcd3's client, which carries the deadline and the token of this call."""
Observer = Callable[[str, float, str | None], None]
"""Called after every attempt with operation, seconds, and the kind of the error or None."""


class Calls:
    """Single attempts on one connection, and repeated attempts on all endpoints. Thread-safe."""

    def __init__(self, settings: store.StoreSettings, observe: Observer) -> None:
        self._settings, self._observe = settings, observe
        self.pool, self.progress = channel.Pool(settings), Progress()
        self._tokens = Tokens(settings)
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def once(self, op: str, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Make one attempt: for a write, which must not be repeated while its result is unknown.

        Raises Unreachable and retires the connection, or raises Refused. A refused token is replaced and the call
        repeated once: etcd checks the token before it carries out anything.
        """
        timeout_s = self._settings.timeout_s if timeout_s is None else timeout_s
        with self.pool.borrowed() as connection:
            metadata = self.metadata(connection)
            answer = self._observed(op, connection, call, timeout_s, metadata)
            if isinstance(answer, Failure) and answer.is_stale_token and self._tokens.has_user:
                self._tokens.expire(metadata)
                answer = self._observed(op, connection, call, timeout_s, self.metadata(connection))
        if isinstance(answer, Failure):
            raise answer.as_error()
        return answer

    def repeated(
        self, op: str, call: Call[T], *, budget_s: float | None = None, timeout_s: float | None = None
    ) -> T:
        """Repeat within the budget, each time on the next endpoint: for reads and idempotent writes.

        The budget and the timeout of one attempt are in seconds; the settings give the defaults. Raises Unreachable
        with the cause of each endpoint that was tried.
        """
        budget_s = self._settings.budget_s if budget_s is None else budget_s
        most_s = self._settings.timeout_s
        attempt_s = most_s if timeout_s is None else min(timeout_s, most_s)
        deadline = time.monotonic() + budget_s
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Unreachable),
            stop=tenacity.stop_before_delay(budget_s) | tenacity.stop_when_event_set(self._closed),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=1),
            sleep=tenacity.sleep_using_event(self._closed),
            reraise=True,
        )
        causes: dict[store.Endpoint, str] = {}

        def one_attempt() -> T:
            left_s = max(deadline - time.monotonic(), 0.1)
            try:
                return self.once(op, call, timeout_s=min(attempt_s, left_s))
            except channel.EndpointUnreachable as error:
                # A last attempt without enough time times out; the failure before it tells more.
                if error.failure.endpoint not in causes or left_s >= attempt_s:
                    causes[error.failure.endpoint] = cut(error.failure.cause, 200)
                raise

        try:
            return attempts(one_attempt)
        except channel.EndpointUnreachable as error:
            raise Unreachable(self._summary(causes) or str(error)) from None

    def _summary(self, causes: Mapping[store.Endpoint, str]) -> str:
        """Return the endpoints with their causes in the order of the settings: equal outages have equal texts."""
        known = (each for each in store.endpoints_of(self._settings) if each in causes)
        tried = "; ".join(f"{each}: {causes[each]}" for each in known)
        return cut(f"etcd does not answer: {tried}") if tried else ""

    def transact(self, client: Any, request: etcd_pb2.TxnRequest) -> etcd_pb2.TxnResponse:
        """Send a transaction. It uses the stub, because etcd3's `transaction` drops the revision."""
        seen_before = self.progress.revision
        response: etcd_pb2.TxnResponse = client.kvstub.Txn(
            request, timeout=client.timeout, metadata=client.metadata
        )
        self.progress.linearized(response.header, seen_before=seen_before)
        return response

    def metadata(self, connection: Connection) -> Metadata:
        """Return the metadata of a call or stream on this connection. Raises Unreachable, Refused."""
        try:
            return self._tokens.metadata(connection)
        except Unreachable:
            self.pool.give_up(connection)
            raise

    def _observed(
        self, op: str, connection: Connection, call: Call[T], timeout_s: float, metadata: Metadata
    ) -> T | Failure:
        start, failure = time.monotonic(), None
        answer: T | Failure
        try:
            answer = call(connection.client(timeout_s=timeout_s, metadata=metadata))
        except FAILURES as error:
            answer = failure = channel.failure_of(error, connection.endpoint)
        self._observe(op, time.monotonic() - start, failure.kind if failure else None)
        if failure and failure.is_ambiguous:
            self.pool.give_up(connection)
        else:
            self.progress.contact()
        return answer
