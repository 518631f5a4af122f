"""How a call to etcd is made: with a deadline, a token, a look at the answer's header, and the right way to fail."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_before_delay,
    stop_when_event_set,
    wait_random_exponential,
)
from tenacity.nap import sleep_using_event

from agent.clients.etcd.channel import Connection, Metadata, Pool
from agent.clients.etcd.errors import FAILURES, Failure, failure_of
from agent.clients.etcd.stream import Progress
from agent.clients.etcd.tokens import Tokens
from agent.clients.etcdpb import etcd_pb2
from agent.errors import Unreachable
from agent.model.store import StoreSettings

T = TypeVar("T")
Call = Callable[[Any], T]
"""What is done with etcd3's client, which carries the deadline and the token of this one call."""
Observer = Callable[[str, float, str | None], None]
"""Told of every try: operation, seconds, and a word for the error or None."""


class Calls:
    """Tries on one connection, and repeated tries over all of them. Thread-safe."""

    def __init__(self, settings: StoreSettings, pool: Pool, progress: Progress, observe: Observer) -> None:
        self._settings = settings
        self._pool = pool
        self._progress = progress
        self._observe = observe
        self._tokens = Tokens(settings)
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def once(self, op: str, call: Call[T], *, timeout_s: float | None = None) -> T:
        """Make one try: for a write, which nobody may repeat who does not know how it ended.

        Raises Unreachable, and gives the connection up; or Refused. A refused token is replaced and the call
        repeated once: etcd looks at the token before anything else.
        """
        timeout_s = self._settings.timeout_s if timeout_s is None else timeout_s
        with self._pool.borrowed() as connection:
            metadata = self.metadata(connection)
            try:
                return self._observed(op, connection, call, timeout_s, metadata)
            except _Failed as failed:
                if not failed.failure.is_stale_token or not self._tokens.has_user:
                    raise failed.failure.as_error() from None
            self._tokens.expire(metadata)
            try:
                return self._observed(op, connection, call, timeout_s, self.metadata(connection))
            except _Failed as failed:
                raise failed.failure.as_error() from None

    def repeated(
        self, op: str, call: Call[T], *, budget_s: float | None = None, timeout_s: float | None = None
    ) -> T:
        """Try until the budget is spent, each time on the next endpoint: for reads and what may happen twice.

        The budget and the time of one try, in seconds, are those of the settings where they are not given.
        """
        budget_s = self._settings.budget_s if budget_s is None else budget_s
        try_s = self._settings.timeout_s if timeout_s is None else min(timeout_s, self._settings.timeout_s)
        deadline = time.monotonic() + budget_s
        tries = Retrying(
            retry=retry_if_exception_type(Unreachable),
            stop=stop_before_delay(budget_s) | stop_when_event_set(self._closed),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            sleep=sleep_using_event(self._closed),
            reraise=True,
        )

        reason: Unreachable | None = None

        def one_try() -> T:
            nonlocal reason
            left_s = max(deadline - time.monotonic(), 0.1)
            try:
                return self.once(op, call, timeout_s=min(try_s, left_s))
            except Unreachable as error:
                # The last try may have had no time: that it ran out says less than why the one before failed.
                if reason is None or left_s >= try_s:
                    reason = error
                raise reason from None

        return tries(one_try)

    def transact(self, client: Any, request: etcd_pb2.TxnRequest) -> etcd_pb2.TxnResponse:
        """Send a transaction. On the stub: etcd3's own `transaction` drops the header, and so the revision."""
        seen_before = self._progress.revision
        response: etcd_pb2.TxnResponse = client.kvstub.Txn(
            request, timeout=client.timeout, metadata=client.metadata
        )
        self._progress.linearized(response.header, seen_before=seen_before)
        return response

    def metadata(self, connection: Connection) -> Metadata:
        """Return the metadata of a call or stream on this connection. Raises Unreachable, Refused."""
        try:
            return self._tokens.metadata(connection)
        except Unreachable:
            self._pool.give_up(connection)
            raise

    def _observed(
        self, op: str, connection: Connection, call: Call[T], timeout_s: float, metadata: Metadata
    ) -> T:
        start = time.monotonic()
        try:
            result = call(connection.client(timeout_s=timeout_s, metadata=metadata))
        except FAILURES as error:
            failure = failure_of(error, connection.endpoint)
            self._observe(op, time.monotonic() - start, failure.kind)
            if failure.is_ambiguous:
                self._pool.give_up(connection)
                self._progress.lost(failure.kind)
                self._progress.disconnected()
            else:
                self._progress.contact()
            raise _Failed(failure) from None
        self._observe(op, time.monotonic() - start, None)
        self._progress.contact()
        return result


class _Failed(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure
