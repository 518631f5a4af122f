"""Requests to dockerd, on the `docker` package's low-level client: one per thread, one API version for all."""

import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

import docker
import msgspec
import requests
import structlog
import urllib3
from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnectionPool

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


class Changed:
    """The containers that may differ from their last inspection, by id or name. Any thread may call it."""

    def __init__(self) -> None:
        self._lock, self._listening = threading.Lock(), False
        self._names: set[str] | None = None

    def note(self, container: str) -> None:
        with self._lock:
            if self._names is not None:
                self._names.add(container)

    def note_any(self, *, listening: bool) -> None:
        """Note every container. `listening` is True if a stream of events names all that change from now on."""
        with self._lock:
            self._listening, self._names = listening, None

    def take(self) -> frozenset[str] | None:
        """Return and forget what was noted since the last call; None: any container may have changed."""
        with self._lock:
            names, self._names = self._names, set() if self._listening else None
            return None if names is None else frozenset(names)


class _Adapter(UnixHTTPAdapter):
    """Keeps a connection for all paths. The docker package's adapter has one for each URL, and keeps 25."""

    def get_connection(self, url: str | bytes, proxies: Any = None) -> UnixHTTPConnectionPool:  # noqa: ARG002
        return super().get_connection(self.socket_path)


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
        self.changed = Changed()

    def ask(
        self,
        call: str,
        method: Method,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        changes: str = "",
        as_error: Failure = failure,
        **options: Any,
    ) -> Any:
        """Return the parsed answer; None when it is empty. `call` names the request for the metrics.

        `changes` names a container that it may change. `options` are `params`, `headers`, and `since`, the API version
        of a field that is read: the call uses it if the engine knows it.

        Raises the result of `as_error` for an error answer, and Unreachable without an answer within `timeout_s`.
        """
        options |= {"json": body, "timeout": timeout_s or self.timeout_s}
        try:
            with self._timed(call), self._send(method, path, as_error, **options) as response:
                return _parsed(self.content(response))
        finally:
            # The event that names it may come later, or, if the act failed halfway, never.
            self.changed.note(changes)

    def open(
        self,
        call: str,
        method: Method,
        path: str,
        *,
        stall_s: float,
        as_error: Failure = failure,
        **options: Any,
    ) -> requests.Response:
        """Return a streamed answer for `parts`; the caller closes it. Quiet when nothing arrives for `stall_s`.

        `options` are `params` and `headers`.
        """
        with self._timed(call):
            return self._send(method, path, as_error, timeout=(self.timeout_s, stall_s), **options)

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

    def content(self, response: requests.Response, most: int | None = None) -> bytes:
        """Return the first `most` bytes of an answer, or all. Raises Unreachable when it breaks off."""
        try:
            return bytes(response.content) if most is None else _first(response, most)
        except _BROKEN as error:
            raise self._unreachable(error) from error

    def pieces(self, response: requests.Response) -> Iterator[bytes]:
        """Yield the bytes of a stream as they arrive. Raises Unreachable when it breaks off."""
        try:
            yield from response.iter_content(_PIECE)
        except _BROKEN as error:
            raise self._unreachable(error) from error

    def _send(
        self, method: Method, path: str, as_error: Failure, *, since: Version | None = None, **options: Any
    ) -> requests.Response:
        """Return an answer of which only the head has been read: of an error only the beginning is."""
        client = self._client()
        version = _spelled(since) if since and since <= self._newest else client.api_version
        send = partial(client.request, method, f"{client.base_url}/v{version}{path}", stream=True, **options)
        try:
            try:
                response = send()
            except requests.ConnectionError as error:
                # A dockerd that ends closes what is kept. An act is not repeated: it may have been carried out.
                if method != "GET" or timed_out(error):
                    raise
                response = send()
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
        if self.url.startswith(_UNIX):
            client.mount(client.base_url, _Adapter(self.url.removeprefix(_UNIX), client.timeout))
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
        why = "timeout" if timed_out(error) else cut(cause(error))
        return Unreachable(f"dockerd at {self.url} does not answer: {why}")

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
        options: dict[str, Any] = {"body": body, "changes": container, "timeout_s": timeout_s}
        self._ask("network_connect", "POST", path, as_error=network_failure, **options)

    def _detach(self, owner: str, network: str, timeout_s: float, *, force: bool = False) -> None:
        body, path = {"Container": owner, "Force": force}, f"/networks/{quoted(network)}/disconnect"
        self._ask("network_disconnect", "POST", path, body=body, changes=owner, timeout_s=timeout_s)
