"""Connections to etcd members: etcd3's client object on a channel with measured options.

Of etcd3 0.12.0 only the channel, the credentials, the stubs, the lease calls and the compare builders are used. Its
watcher reopens streams in a busy loop during an outage, its lock leaks leases, and its password arguments fail with
every grpcio since 1.45.
"""

import contextlib
import copy
import random
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from agent.clients import etcdpb
from agent.errors import Compacted, Denied, Invalid, Missing, Refused, SwarmkeeperError, Unreachable
from agent.model.phrases import cut
from agent.model.store import Endpoint, StoreSettings, endpoints_of, settings_faults

OPTIONS: tuple[tuple[str, int], ...] = (
    # A dead or frozen peer is detected within 7 + 3 s. etcd answers pings less than 5 s apart with GOAWAY, so never
    # below 6 s. The ack has a timeout of its own (60 s), which keepalive_timeout does not shorten.
    ("grpc.keepalive_time_ms", 7000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.http2.ping_timeout_ms", 3000),
    # Without this option gRPC throttles the pings of an idle watch, and those above have no effect after 40 s.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 3000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    # Else gRPC measures the bandwidth by pings after each answer, a quarter of its wake-ups: a window of 1 MiB instead.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1024 * 1024),
    # gRPC would send even 127.0.0.1 through an http_proxy of the environment.
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC's own retries would repeat writes whose outcome is unknown.
    ("grpc.enable_retries", 0),
)


def _load_etcd3() -> tuple[Any, Any]:
    """Import etcd3 with the stubs of agent.clients.etcdpb, and grpc in the environment that they set.

    Raises ImportError when another module has imported etcd3 with its own stubs.
    """
    if sys.modules.setdefault("etcd3.etcdrpc", etcdpb) is not etcdpb:
        raise ImportError(
            "etcd3 was imported before agent.clients.etcd, with its own generated code; a process cannot load the "
            "messages twice: import agent.clients.etcd first"
        )
    import etcd3  # noqa: PLC0415 (only after the alias)
    import grpc  # noqa: PLC0415

    # A thread that waits for a message wakes up every 0.1 s, for Python's signals. Here it is never the main thread.
    grpc._common.MAXIMUM_WAIT_TIMEOUT = 60.0  # noqa: SLF001 - gRPC has no option for it
    return etcd3, grpc


etcd3, grpc = _load_etcd3()
_etcdrpc: Any = etcdpb  # generated code has no annotations

Metadata = tuple[tuple[str, str], ...]


def credentials_fingerprint(settings: StoreSettings) -> tuple[tuple[str, int, int], ...]:
    """Return the TLS files with times and inodes, to detect a replacement. Raises Unreachable for a missing file."""
    paths = [path for path in (settings.ca_file, settings.cert_file, settings.key_file) if path is not None]
    try:
        stats = [(path, Path(path).stat()) for path in paths]
    except OSError as error:
        raise Unreachable(f"TLS file {error.filename}: {error.strerror}") from error
    return tuple((path, stat.st_mtime_ns, stat.st_ino) for path, stat in stats)


class Connection:
    """A client of one member, closed after it was retired and its last user has left.

    Closing a gRPC channel cancels the calls of all threads on it, and the results of their writes remain unknown.
    A failing connection is therefore first retired, then closed by its last user. Streams do not end by themselves:
    `on_retire` ends them.
    """

    def __init__(self, endpoint: Endpoint, settings: StoreSettings) -> None:
        self.endpoint = endpoint
        self.fingerprint = credentials_fingerprint(settings)
        self._client = _new_client(endpoint, settings)
        self.watch_stub = _etcdrpc.WatchStub(self._client.channel)
        self.auth_stub = _etcdrpc.AuthStub(self._client.channel)
        self._lock = threading.Lock()
        self._users = 0
        self._retired = False
        self._on_retire: set[Callable[[], None]] = set()

    def client(self, *, timeout_s: float, metadata: Metadata) -> Any:
        """Return etcd3's client with the deadline and the token of one call, which it takes from its attributes.

        The clone is shallow: it shares channel and stubs, but not the deadline of other threads' calls.
        """
        client = copy.copy(self._client)
        client.timeout, client.metadata = timeout_s, metadata
        return client

    def enter(self) -> bool:
        """Add a user; return False when the connection is retired."""
        with self._lock:
            if not self._retired:
                self._users += 1
            return not self._retired

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            last = self._retired and self._users == 0
        if last:
            self._client.close()

    def on_retire(self, cancel: Callable[[], None]) -> None:
        """Call `cancel` when the connection is retired; immediately if it is already."""
        with self._lock:
            self._on_retire.add(cancel)
            retired = self._retired
        if retired:
            cancel()

    def forget(self, cancel: Callable[[], None]) -> None:
        with self._lock:
            self._on_retire.discard(cancel)

    def retire(self, *, now: bool = False) -> None:
        """Let no call start any more; with `now`, cancel those under way."""
        with self._lock:
            first, self._retired = not self._retired, True
            cancels = tuple(self._on_retire)
            idle = self._users == 0
        if first:
            for cancel in cancels:
                cancel()
        if now or (first and idle):
            self._client.close()


def _new_client(endpoint: Endpoint, settings: StoreSettings) -> Any:
    tls = {"ca_cert": settings.ca_file, "cert_cert": settings.cert_file, "cert_key": settings.key_file}
    try:
        return etcd3.Etcd3Client(
            host=endpoint.host,
            port=endpoint.port,
            timeout=settings.timeout_s,
            grpc_options=list(OPTIONS),
            **(tls if endpoint.tls else {}),
        )
    except OSError as error:
        raise Unreachable(f"TLS file {error.filename}: {error.strerror}") from error


# ---- The choice of the member, and the change to the next one after a failure

log = structlog.get_logger("store")


class Pool:
    """One connection at a time, to the endpoints in order from a random start, which spreads hosts over the members.

    No endpoint is excluded after failures. Replacing the TLS files replaces the connection.
    """

    def __init__(self, settings: StoreSettings) -> None:
        faults = settings_faults(settings)
        if faults:
            raise Invalid("; ".join(faults))
        self._settings = settings
        self._endpoints = endpoints_of(settings)
        self._next = random.randrange(len(self._endpoints))  # noqa: S311
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._closed = False

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[Connection]:
        """Provide the connection for one call or stream. Raises Unreachable."""
        with self._lock:
            if self._closed:
                raise Unreachable("the etcd client is closed")
            outdated = self._outdated()
            if self._connection is None or outdated:
                self._connection = Connection(self._endpoints[self._next], self._settings)
            connection = self._connection
            entered = connection.enter()
            assert entered, "give_up and close remove a connection from the pool before they retire it"
        try:
            if outdated is not None:
                outdated.retire()
            yield connection
        finally:
            connection.leave()

    def give_up(self, connection: Connection) -> None:
        """Retire a failing connection; the next call uses the next endpoint."""
        with self._lock:
            if self._connection is not connection:
                return
            self._connection = None
            self._next = (self._next + 1) % len(self._endpoints)
        connection.retire()

    def close(self) -> None:
        """Cancel every call under way; later ones raise Unreachable."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.retire(now=True)

    def _outdated(self) -> Connection | None:
        """Return the connection if its TLS files were replaced; gRPC reads them only once."""
        if self._connection is None or not self._connection.endpoint.tls:
            return None
        try:
            now = credentials_fingerprint(self._settings)
        except Unreachable as error:
            log.warning("TLS files unreadable; the open etcd connection remains in use", error=str(error))
            return None
        return self._connection if now != self._connection.fingerprint else None


# ---- Failures of calls to etcd, classified by the remedy of the caller

FAILURES = (grpc.RpcError, etcd3.Etcd3Exception, ValueError)
"""All exceptions of a call: etcd3 wraps four codes and passes the others; gRPC raises ValueError when the channel was
closed during the call."""

# etcd answers UNKNOWN to a write that found no quorum in time: it may still be carried out.
_AMBIGUOUS = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "CANCELLED", "ABORTED"})
_TOKEN_TEXTS = ("invalid auth token", "revision of auth store is old", "user name is empty")
_CONNECT_TEXTS = ("connection refused", "no route to host", "network is unreachable", "connection reset")
_COMPACTED = "has been compacted"
_TOO_LARGE = "larger than max"
_NO_SPACE = "database space exceeded"
_NO_SPACE_REMEDY = ": compact and defragment etcd, then run `etcdctl alarm disarm`: docs/operate/etcd.md"
_TLS_TEXTS = ("ssl", "tls", "certificate", "tsi_", "handshake", "verification check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed call: gRPC's status code and text, and the endpoint."""

    code: str
    details: str
    endpoint: Endpoint

    @property
    def is_ambiguous(self) -> bool:
        """True if the member may be at fault and the call may have been carried out."""
        return self.code in _AMBIGUOUS or "too many requests" in self.details

    @property
    def is_stale_token(self) -> bool:
        """True if etcd refused only the token: nothing was carried out, and a new token may help."""
        return self.code == "UNAUTHENTICATED" or any(text in self.details for text in _TOKEN_TEXTS)

    @property
    def is_tls(self) -> bool:
        is_named = any(each in self.details.lower() for each in _TLS_TEXTS)
        return self.endpoint.tls and self.code == "UNAVAILABLE" and is_named

    @property
    def kind(self) -> str:
        """Label of metrics, one of a small set."""
        return "tls" if self.is_tls else self.code.lower()

    @property
    def cause(self) -> str:
        """The cause in few words, for a list of several endpoints."""
        if self.code == "DEADLINE_EXCEEDED" or "connection attempt timed out" in self.details:
            return "timed out"
        refused = next((each for each in _CONNECT_TEXTS if each in self.details.lower()), self.details)
        return f"TLS failure: {self.details}" if self.is_tls else refused

    def __str__(self) -> str:
        kind = "TLS failure" if self.is_tls else self.code
        return f"etcd at {self.endpoint}: {kind}: {self.details}"

    def as_error(self) -> SwarmkeeperError:
        """Return the error that names the remedy."""
        if self.is_ambiguous:
            return EndpointUnreachable(self)
        if self.code == "NOT_FOUND":
            return Missing(str(self))
        if self.code == "RESOURCE_EXHAUSTED" and _TOO_LARGE in self.details:
            return TooLarge(str(self))
        if self.code == "OUT_OF_RANGE" and _COMPACTED in self.details:
            return Compacted(str(self))
        if self.code == "PERMISSION_DENIED":
            return Denied(str(self))
        return Refused(f"{self}{_NO_SPACE_REMEDY if _NO_SPACE in self.details else ''}")


class TooLarge(Refused):
    """The answer has more bytes than the channel takes."""


class EndpointUnreachable(Unreachable):
    """One member did not answer, or reported a temporary failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def failure_of(error: BaseException, endpoint: Endpoint) -> Failure:
    """Return the failure of a call to `endpoint`. etcd3 keeps the gRPC error, with its text, in `__context__`."""
    if isinstance(error, etcd3.Etcd3Exception) and error.__context__ is not None:
        error = error.__context__
    if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        return Failure(code=error.code().name, details=cut(error.details() or ""), endpoint=endpoint)
    return Failure(code="CANCELLED", details=cut(str(error)), endpoint=endpoint)
