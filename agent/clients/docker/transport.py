"""Requests to dockerd, on the `docker` package's low-level client: one per thread, one API version for all."""

import json
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

import docker
import msgspec
import requests
import structlog
import urllib3

from agent.clients.docker.errors import Failure, cause, failure, network_failure, timed_out
from agent.clients.docker.reading import MOST_READ, beginning, lines, text_of
from agent.errors import Missing, Unreachable
from agent.model.phrases import cut

Method = Literal["GET", "POST", "DELETE"]
Version = tuple[int, int]
ObserveCall = Callable[[str, float, str | None], None]
"""Called with (call, seconds, error) after every call to the engine; `call` is one of a small fixed set of names,
`error` the name of the error or None."""

_NEWEST = (1, 45)
"""The newest API version that was tested on an engine (26.1). A newer engine may support it no more."""
_OLDEST = "1.24"
_UNIX = "unix://"
_PIECE = 1 << 13
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""The errors of an answer that breaks off or stalls."""
_NO_REASON = "dockerd gave no reason"


log = structlog.get_logger("engine")


class Quiet(Unreachable):
    """A stream is open but delivers nothing for long."""


class Transport:
    """HTTP requests to one dockerd. Sessions of `requests` are not thread-safe, so each thread has its own."""

    def __init__(self, url: str, timeout_s: float, observe_call: ObserveCall = lambda *_: None) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self._observe_call = observe_call
        self._version: str | None = None
        self._newest: Version = _NEWEST
        """The newest API version of the engine."""
        self._threads = threading.local()
        self._clients: weakref.WeakSet[docker.APIClient] = weakref.WeakSet()

    def ask(
        self,
        call: str,
        method: Method,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        since: Version | None = None,
        as_error: Failure = failure,
    ) -> Any:
        """Return the parsed answer; None when it is empty. `call` names the request for the metrics.

        `since` is the API version of a field that is read: the call uses it if the engine knows it.

        Raises the result of `as_error` for an error answer, and Unreachable without an answer within `timeout_s`.
        """
        options: dict[str, Any] = {"params": params, "json": body, "headers": headers, "since": since}
        options["timeout"] = timeout_s or self.timeout_s
        with self._timed(call), self._send(method, path, as_error, **options) as response:
            try:
                return _parsed(bytes(response.content))
            except _BROKEN as error:
                raise self._unreachable(error) from error

    def open(
        self,
        call: str,
        method: Method,
        path: str,
        *,
        params: Mapping[str, Any],
        stall_s: float,
        headers: Mapping[str, str] | None = None,
        as_error: Failure = failure,
    ) -> requests.Response:
        """Return a streamed answer for `parts`; the caller closes it. Quiet when nothing arrives for `stall_s`."""
        with self._timed(call):
            timeout = (self.timeout_s, stall_s)
            return self._send(method, path, as_error, params=params, headers=headers, timeout=timeout)

    def reset(self) -> None:
        """Use a new connection for the next call of this thread. Raises Unreachable when dockerd accepts none."""
        client: docker.APIClient | None = getattr(self._threads, "client", None)
        if client is not None:
            client.close()
        try:
            self._probe()
        except OSError as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Close all connections. No thread may be in a call."""
        for client in list(self._clients):
            client.close()

    def parts(self, response: requests.Response) -> Iterator[Any]:
        """Yield the JSON values of a stream. Raises Unreachable when it breaks off, Quiet when it stalls."""
        try:
            for line, unread in lines(response.iter_content(_PIECE)):
                yield beginning(line, unread) if unread else _parsed(line)
        except _BROKEN as error:
            if timed_out(error):
                raise Quiet(f"dockerd at {self.url} sends nothing") from error
            raise self._unreachable(error) from error

    def content(self, response: requests.Response, most: int) -> bytes:
        """Return the first `most` bytes of an answer. Raises Unreachable when it breaks off."""
        try:
            return _first(response, most)
        except _BROKEN as error:
            raise self._unreachable(error) from error

    def _send(
        self, method: Method, path: str, as_error: Failure, *, since: Version | None = None, **options: Any
    ) -> requests.Response:
        client = self._client()
        version = _spelled(since) if since and since <= self._newest else client.api_version
        try:
            address = f"{client.base_url}/v{version}{path}"
            # A stream, so that of an error answer only the beginning is read.
            response = client.request(method, address, stream=True, **options)
        except (requests.RequestException, OSError) as error:
            raise self._unreachable(error) from error
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return response
        with response:
            message = _message(response)
        if "API version" in message:
            self._version = None
        raise as_error(response.status_code, message)

    def _client(self) -> docker.APIClient:
        version = self._version = self._version or self._negotiate()
        client: docker.APIClient | None = getattr(self._threads, "client", None)
        if client is None or client.api_version != version:
            if client is not None:
                client.close()
            client = self._threads.client = self._connect(version)
            self._clients.add(client)
        return client

    def _connect(self, version: str) -> docker.APIClient:
        client = docker.APIClient(base_url=self.url, version=version, timeout=int(self.timeout_s))
        client.trust_env = False  # dockerd is never behind a proxy of the environment
        return client

    def _negotiate(self) -> str:
        with self._connect(_OLDEST) as client:
            try:
                self._probe()
                response = client.get(f"{client.base_url}/version", timeout=self.timeout_s, stream=True)
                if response.status_code >= HTTPStatus.BAD_REQUEST:
                    raise failure(response.status_code, _message(response))
                found = response.json()
                newest = _version(found["ApiVersion"])
                oldest = _version(found.get("MinAPIVersion") or _OLDEST)
            except (requests.RequestException, OSError, ValueError, KeyError, TypeError) as error:
                raise self._unreachable(error) from error
        self._newest = newest
        if oldest > _NEWEST:
            log.warning(
                "the engine supports no API version that was tested: its oldest is used",
                engine=_spelled(oldest),
                tested=_spelled(_NEWEST),
            )
        return _spelled(max(oldest, min(_NEWEST, newest)))

    def _probe(self) -> None:
        """Raise OSError when nothing listens.

        The docker package leaves the socket of a refused connection to the garbage collector; this one closes it.
        """
        if self.url.startswith(_UNIX):
            with socket.socket(socket.AF_UNIX) as wire:
                wire.settimeout(self.timeout_s)
                wire.connect(self.url.removeprefix(_UNIX))

    def _unreachable(self, error: Exception) -> Unreachable:
        self._version = None  # the next dockerd may have another version
        slow = timed_out(error)
        return Unreachable(
            f"dockerd at {self.url} does not answer: {'timeout' if slow else cut(cause(error))}"
        )

    @contextmanager
    def _timed(self, call: str) -> Iterator[None]:
        began, name = time.monotonic(), None
        try:
            yield
        except Exception as error:
            name = type(error).__name__
            raise
        finally:
            self._observe_call(call, time.monotonic() - began, name)


def _version(text: str) -> Version:
    major, minor = (int(each) for each in text.split("."))
    return major, minor


def _spelled(version: Version) -> str:
    return ".".join(map(str, version))


def quoted(name: str) -> str:
    """Return a name quoted as one part of a path."""
    return quote(name, safe="")


def _parsed(content: bytes) -> Any:
    if not content.strip():
        return None
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreachable(f"the answer of dockerd is not JSON: {cut(str(error))}") from error


def _message(response: requests.Response) -> str:
    """Return the reason in an error answer, of which at most MOST_READ bytes are read."""
    try:
        read = _first(response, MOST_READ)
    except _BROKEN:
        return _NO_REASON
    unread = max(int(response.headers.get("Content-Length") or 0) - len(read), 0)
    return cut(text_of(read, "message").strip() or _NO_REASON, MOST_READ, unread=unread)


def _first(response: requests.Response, most: int) -> bytes:
    read = bytearray()
    for piece in response.iter_content(_PIECE):
        read += piece
        if len(read) >= most:
            break
    return bytes(read[:most])


# ---- The base of the parts of the engine client


class Part:
    """A part of DockerEngine: the transport, and the cluster whose objects are managed."""

    def __init__(self, transport: Transport, cluster: str) -> None:
        self._transport, self._ask = transport, transport.ask
        self._cluster = cluster

    def _found(self, call: str, path: str, **options: Any) -> Any:
        """Return the answer to a GET; None if the object does not exist."""
        with suppress(Missing):
            return self._ask(call, "GET", path, **options)
        return None

    def _attach(self, container: str, network: str, endpoint: Mapping[str, Any], timeout_s: float) -> None:
        path = f"/networks/{quoted(network)}/connect"
        body = {"Container": container, "EndpointConfig": endpoint}
        self._ask("network_connect", "POST", path, body=body, timeout_s=timeout_s, as_error=network_failure)

    def _detach(self, owner: str, network: str, timeout_s: float, *, force: bool = False) -> None:
        body, path = {"Container": owner, "Force": force}, f"/networks/{quoted(network)}/disconnect"
        self._ask("network_disconnect", "POST", path, body=body, timeout_s=timeout_s)


# ---- Events: one stream, reopened after a long silence

_QUIET_S = 300.0
"""The stream is reopened after this time without an event, which fails if dockerd hangs."""

_FILTERS = json.dumps(
    {
        "type": ["container", "network", "image", "volume", "node", "daemon"],
        "event": [
            "create", "start", "die", "stop", "pause", "unpause", "destroy", "rename", "update", "health_status", "oom",
            "connect", "disconnect", "remove", "delete", "untag", "tag", "pull", "load", "import", "reload",
        ],
    }
)  # fmt: skip


class EngineEvents:
    """An open stream of events, each a short text such as `container die prod-order-1`.

    Iterate in one thread; `close` from any.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._closed = False
        self._waiting = False
        """True while a thread is in `__next__`; that thread closes the stream."""
        self._last_event_ns = time.time_ns()
        """Time of the last event by the engine's clock; a new stream continues from it."""
        self._response = self._open()
        self._events = self._transport.parts(self._response)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Wait for the next event. Raises StopIteration after `close`, Unreachable when dockerd stops or hangs."""
        with self._lock:
            self._waiting = True
        try:
            hint = self._next_hint()
        except Unreachable:
            if not self._closed:
                self._response.close()
                raise
            hint = None
        finally:
            with self._lock:
                self._waiting = False
                if self._closed:
                    self._response.close()
        if hint is None:
            raise StopIteration
        return hint

    def close(self) -> None:
        """End the iteration, even while another thread waits in it."""
        with self._lock:
            self._closed = True
            _unblock(self._response)
            if not self._waiting:
                self._response.close()

    def _next_hint(self) -> str | None:
        """Return the next event, reopening the stream as needed; None when closed."""
        while not self._closed:
            try:
                event = next(self._events, None)
            except Quiet:
                self._continue_with(self._open())
                continue
            if event is None:
                raise Unreachable("dockerd ended the stream of events")
            self._last_event_ns = int(event.get("timeNano") or self._last_event_ns) + 1
            return _hint(event)
        return None

    def _open(self) -> requests.Response:
        since = f"{self._last_event_ns // 10**9}.{self._last_event_ns % 10**9:09d}"
        params = {"filters": _FILTERS, "since": since}
        return self._transport.open("events", "GET", "/events", params=params, stall_s=_QUIET_S)

    def _continue_with(self, response: requests.Response) -> None:
        with self._lock:
            self._response.close()
            self._response = response
            self._events = self._transport.parts(response)
            if self._closed:
                _unblock(response)


def _unblock(response: requests.Response) -> None:
    """End a read in another thread, which closing alone does not end."""
    try:
        response.raw.shutdown()
    except (OSError, RuntimeError, ValueError):
        return  # the stream has ended already


def _hint(event: Mapping[str, Any]) -> str:
    actor = event.get("Actor") or {}
    name = (actor.get("Attributes") or {}).get("name") or actor.get("ID", "")
    return f"{event.get('Type', '')} {event.get('Action', '')} {name}".strip()
