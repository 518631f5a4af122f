"""One connection to one etcd member: etcd3's client object on a channel with the options that were measured to work.

Of etcd3 0.12.0 only the channel, the credentials, the stubs, the lease calls and the compare builders are used. Its
watcher re-opens streams in a hot loop during an outage, its lock leaks leases, and its password arguments fail with
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
from agent.errors import Invalid, Missing, Refused, SwarmkeeperError, Unreachable
from agent.model.store import Endpoint, StoreSettings, endpoints_of, settings_faults

OPTIONS: tuple[tuple[str, int], ...] = (
    # A dead or frozen peer is noticed within 7 + 3 s. etcd answers pings less than 5 s apart with GOAWAY, so never
    # below 6 s; and the ack has a time-out of its own (60 s) that keepalive_timeout does not shorten.
    ("grpc.keepalive_time_ms", 7000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.http2.ping_timeout_ms", 3000),
    # Without it, gRPC throttles the pings of a quiet watch and the two lines above mean nothing after 40 s.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 3000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # gRPC would send even 127.0.0.1 through an http_proxy of the environment.
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC's own retries would repeat writes whose outcome is unknown.
    ("grpc.enable_retries", 0),
)


def _load_etcd3() -> tuple[Any, Any]:
    """Import etcd3 on our stubs, and grpc in the environment that those set for it.

    Raises ImportError when somebody imported etcd3 before, on its own stubs.
    """
    if sys.modules.setdefault("etcd3.etcdrpc", etcdpb) is not etcdpb:
        raise ImportError(
            "etcd3 was imported before agent.clients.etcd: its generated code of 2020 is in this process, and no "
            "second copy of the messages can be; import agent.clients.etcd first"
        )
    import etcd3  # noqa: PLC0415 (only after the alias)
    import grpc  # noqa: PLC0415

    return etcd3, grpc


etcd3, grpc = _load_etcd3()
_etcdrpc: Any = etcdpb  # generated code has no annotations

Metadata = tuple[tuple[str, str], ...]

Fingerprint = tuple[tuple[str, int, int], ...]


def credentials_fingerprint(settings: StoreSettings) -> Fingerprint:
    """Return what changes when a TLS file is replaced. Raises Unreachable when one cannot be read."""
    paths = [path for path in (settings.ca_file, settings.cert_file, settings.key_file) if path is not None]
    try:
        stats = [(path, Path(path).stat()) for path in paths]
    except OSError as error:
        raise Unreachable(f"TLS file {error.filename}: {error.strerror}") from error
    return tuple((path, stat.st_mtime_ns, stat.st_ino) for path, stat in stats)


class Connection:
    """A client of one member, closed when it has been retired and its last user has left.

    Closing a gRPC channel cancels the calls of every other thread on it, and leaves the outcome of their writes
    unknown: so a failing connection is first taken out of use, then closed by whoever leaves last. Streams do not
    end by themselves: they are told.
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
        """Return etcd3's client with a deadline and a token for one call, as its methods take them from itself.

        A shallow replica: channel and stubs are shared, and no other thread's call gets our deadline.
        """
        client = copy.copy(self._client)
        client.timeout, client.metadata = timeout_s, metadata
        return client

    def enter(self) -> bool:
        """Count one more user; false when the connection is retired."""
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
        """Call `cancel` when the connection is taken out of use; at once if it is already."""
        with self._lock:
            self._on_retire.add(cancel)
            retired = self._retired
        if retired:
            cancel()

    def forget(self, cancel: Callable[[], None]) -> None:
        with self._lock:
            self._on_retire.discard(cancel)

    def retire(self, *, now: bool = False) -> None:
        """Take it out of use; with `now`, end the calls that are under way too."""
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


# ---- Which member of etcd is spoken to, and the way on to the next when it fails

log = structlog.get_logger("store")


class Pool:
    """One connection at a time, to the endpoints in order from a random start; nobody is ever blacklisted.

    The random start spreads many hosts over the members. Replacing the TLS files replaces the connection.
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

    @property
    def endpoint(self) -> str:
        return str(self._endpoints[self._next])

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[Connection]:
        """Lend the present connection for one call or stream. Raises Unreachable when there can be none."""
        connection = self._enter()
        try:
            yield connection
        finally:
            connection.leave()

    def give_up(self, connection: Connection) -> None:
        """Take a failing connection out of use; the next call goes to the next endpoint."""
        with self._lock:
            if self._connection is not connection:
                return
            self._connection = None
            self._next = (self._next + 1) % len(self._endpoints)
        connection.retire()

    def close(self) -> None:
        """End every call under way; later ones raise Unreachable."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.retire(now=True)

    def _enter(self) -> Connection:
        with self._lock:
            if self._closed:
                raise Unreachable("the etcd client is closed")
            outdated = self._outdated()
            if self._connection is None or outdated:
                self._connection = Connection(self._endpoints[self._next], self._settings)
            connection = self._connection
            entered = connection.enter()
            assert entered, "only give_up and close retire, and they take the connection out first"
        if outdated is not None:
            outdated.retire()
        return connection

    def _outdated(self) -> Connection | None:
        """Return the connection if its TLS files were replaced since: gRPC reads them once."""
        if self._connection is None or not self._connection.endpoint.tls:
            return None
        try:
            now = credentials_fingerprint(self._settings)
        except Unreachable as error:
            log.warning("etcd client goes on with the TLS files it has", error=str(error))
            return None
        return self._connection if now != self._connection.fingerprint else None


# ---- What went wrong in a call to etcd, told apart by what the caller can do about it

FAILURES = (grpc.RpcError, etcd3.Etcd3Exception, ValueError)
"""All that a call can raise: etcd3 wraps four codes and lets the others through, and gRPC says ValueError when the
channel was closed under the call."""

# UNKNOWN is what etcd answers to a write that found no quorum in time: it may yet be carried out.
_AMBIGUOUS = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "CANCELLED", "ABORTED"})
_TOKEN_TEXTS = ("invalid auth token", "revision of auth store is old", "user name is empty")
_TLS_TEXTS = ("ssl", "tls", "certificate", "tsi_", "handshake", "verification check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed call: gRPC's status code and text, from whom."""

    code: str
    details: str
    endpoint: Endpoint

    @property
    def is_ambiguous(self) -> bool:
        """Whether the member may be at fault, and the call may have been carried out."""
        return self.code in _AMBIGUOUS or "too many requests" in self.details

    @property
    def is_stale_token(self) -> bool:
        """Whether etcd refused for the token alone: nothing was carried out, a new token may help."""
        return self.code == "UNAUTHENTICATED" or any(text in self.details for text in _TOKEN_TEXTS)

    @property
    def is_tls(self) -> bool:
        lowered = self.details.lower()
        return (
            self.endpoint.tls and self.code == "UNAVAILABLE" and any(each in lowered for each in _TLS_TEXTS)
        )

    @property
    def kind(self) -> str:
        """A word for metrics, out of a small set."""
        return "tls" if self.is_tls else self.code.lower()

    def __str__(self) -> str:
        what = "TLS failure" if self.is_tls else self.code
        return f"etcd at {self.endpoint}: {what}: {self.details}"

    def as_error(self) -> SwarmkeeperError:
        """Return the error of ours that says what to do about it."""
        if self.is_ambiguous:
            return Unreachable(str(self))
        if self.code == "NOT_FOUND":
            return Missing(str(self))
        return Refused(str(self))


def failure_of(error: BaseException, endpoint: Endpoint) -> Failure:
    """Return what a call to `endpoint` failed with. etcd3 keeps the gRPC error, with the text, in `__context__`."""
    if isinstance(error, etcd3.Etcd3Exception) and error.__context__ is not None:
        error = error.__context__
    if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        return Failure(code=error.code().name, details=error.details() or "", endpoint=endpoint)
    return Failure(code="CANCELLED", details=str(error), endpoint=endpoint)
