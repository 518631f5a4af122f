"""Which member of etcd is spoken to, and the way on to the next when it fails."""

import contextlib
import random
import threading
from collections.abc import Iterator

import structlog

from agent.clients.etcd.channel import Connection, credentials_fingerprint
from agent.errors import Invalid, Unreachable
from agent.model.endpoint import endpoints_of, store_faults
from agent.model.store import StoreSettings

log = structlog.get_logger("store")


class Pool:
    """One connection at a time, to the endpoints in order from a random start; nobody is ever blacklisted.

    The random start spreads many hosts over the members. Replacing the TLS files replaces the connection.
    """

    def __init__(self, settings: StoreSettings) -> None:
        faults = store_faults(settings)
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
