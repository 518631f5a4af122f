"""User and password: the token that etcd gives for them, and when to ask for another.

A token is renewed when etcd refuses it, not by the clock. etcd checks it before it does anything, so a refused call
was certainly not carried out and may be repeated; a simple token lives as long as it is used; and each one costs etcd
75 ms of bcrypt, which a thousand hosts renewing early would turn into a core of its own.
"""

import random
import threading
import time
from pathlib import Path

from agent.clients.etcd.channel import Connection, Metadata
from agent.clients.etcd.errors import FAILURES, Failure, failure_of
from agent.clients.etcdpb import etcd_pb2
from agent.errors import Refused, SwarmkeeperError
from agent.model.store import StoreSettings

AUTHENTICATE_TIMEOUT_S = 3.0
RETRY_S = 5.0

# A member that has lost its quorum then says so after 4 s, instead of leaving a watch open in silence.
HAS_LEADER: Metadata = (("hasleader", "true"),)


class Tokens:
    """The metadata of every call. One token serves all members; one thread at a time asks for it."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._metadata: Metadata | None = None if settings.user is not None else HAS_LEADER
        self._refusal: tuple[float, SwarmkeeperError] | None = None

    @property
    def has_user(self) -> bool:
        return self._settings.user is not None

    def metadata(self, connection: Connection) -> Metadata:
        """Return the metadata for a call, asking for a token first if there is none. Raises Unreachable, Refused."""
        with self._lock:
            if self._metadata is None:
                self._metadata = self._authenticate(connection)
            return self._metadata

    def expire(self, used: Metadata) -> None:
        """Drop the token that a call was refused with, unless it has been replaced meanwhile."""
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
            failure = failure_of(error, connection.endpoint)
            if _auth_is_off(failure):
                return HAS_LEADER
            refused = failure.as_error()
            if isinstance(refused, Refused):
                # Wrong password: do not have every retry of every thread hashed by etcd.
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
