"""The HTTP server, which is read-only and bounded so that clients cannot slow down the loop.

Each connection carries one request and has its own thread. While MOST_THREADS are in use, a client gets 503, or over
TLS a closed connection. The server cuts a connection after DEADLINE_S, so that a slow client cannot keep its thread.
"""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

import msgspec
import structlog

from agent.errors import Invalid, Refused
from agent.http.access import Access
from agent.yamldoc.faultlist import printable

# ---- The pages. No page reads the disk or changes anything

log = structlog.get_logger()

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The functions behind the pages. Threads of the server call them, so they must be fast; none returns a secret."""

    metrics: Callable[[], bytes]
    """All metrics, in the Prometheus text format."""
    alive: Callable[[], bool]
    """True if the loop has made progress recently."""
    unready: Callable[[], tuple[str, ...]]
    """Reasons why the agent cannot work; empty when it is ready."""
    status: Callable[[], Mapping[str, Any]]
    """The state of this host, for JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    type: str = TEXT


def page(target: str, sources: Sources) -> Page:
    """Return the page for a GET of `target`, the path with its query, if any. Never raises."""
    show = _PAGES.get(target.partition("?")[0])
    if show is None:
        return Page(status=HTTPStatus.NOT_FOUND, body=b"page not found; / lists all pages\n")
    try:
        return show(sources)
    except Exception:
        log.exception("page failed", page=target.partition("?")[0])
        return Page(
            status=HTTPStatus.INTERNAL_SERVER_ERROR, body=b"internal error: see the log of the agent\n"
        )


_STALLED = "the loop is stalled: it has made no progress recently"


def _healthz(sources: Sources) -> Page:
    if sources.alive():
        return Page(body=b"ok\n")
    return Page(status=HTTPStatus.SERVICE_UNAVAILABLE, body=f"{_STALLED}\n".encode())


def _readyz(sources: Sources) -> Page:
    # The reasons are those of the last pass: of a loop that is stalled they are out of date.
    stalled = () if sources.alive() else (_STALLED,)
    if reasons := (*stalled, *sources.unready()):
        text = "".join(f"{printable(reason)}\n" for reason in reasons)
        return Page(status=HTTPStatus.SERVICE_UNAVAILABLE, body=text.encode())
    return Page(body=b"ready\n")


def _status(sources: Sources) -> Page:
    # json.dumps escapes control characters of a terminal; msgspec's own JSON encoder does not.
    text = json.dumps(msgspec.to_builtins(sources.status()), indent=2)
    return Page(body=f"{text}\n".encode(), type=JSON)


_INDEX = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Swarmkeeper</title>
<h1>Swarmkeeper</h1>
<ul>
<li><a href="/status">/status</a>: the state of this host, the plan, and blocked resources
<li><a href="/metrics">/metrics</a>: metrics for Prometheus
<li><a href="/healthz">/healthz</a>: 200 if the loop makes progress
<li><a href="/readyz">/readyz</a>: 200 if etcd and dockerd answer and an intent is accepted
</ul>
</html>
"""

_PAGES: Mapping[str, Callable[[Sources], Page]] = {
    "/": lambda _: Page(body=_INDEX, type=HTML),
    "/metrics": lambda sources: Page(body=sources.metrics(), type=PROMETHEUS),
    "/healthz": _healthz,
    "/readyz": _readyz,
    "/status": _status,
}

MOST_THREADS = 8
DEADLINE_S = 5.0
_POLL_S = 0.5
_HIGHEST_PORT = 65535
_OVERLOADED = b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n"


class WebServer:
    """A server with its own thread, from construction to `close`."""

    def __init__(self, server: "_Server") -> None:
        self._server = server
        host, port = server.socket.getsockname()[:2]
        self.address: tuple[str, int] = (host, port)
        """(host, port) of the listening socket."""
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": _POLL_S}, name="web", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_older_than(0.0)
        self._thread.join(DEADLINE_S)


def serve(listen: str, sources: Sources, access: Access | None = None) -> WebServer:
    """Start a server of `sources` on `listen`: "127.0.0.1:9477" or "[::1]:9477"; port 0 means any free port.

    Without `access` the server requires no password.
    Raises Invalid when `listen` is not an address, Refused when this host cannot listen on it.
    """
    family, address = _resolve(listen)
    try:
        return WebServer(_Server(family, address, sources, access or Access(None)))
    except OSError as error:
        raise Refused(f"cannot listen on {listen} for HTTP: {error.strerror or error}") from error


def _resolve(listen: str) -> tuple[int, tuple[Any, ...]]:
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdigit() or int(port) > _HIGHEST_PORT:
        raise Invalid(f"{listen!r} is not a valid listen address; write it as 127.0.0.1:9477 or [::1]:9477")
    host = host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        # The resolver may answer later.
        raise Refused(f"cannot listen on {listen} for HTTP: {error.strerror or error}") from error
    return found[0][0], found[0][4]


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    # The base is not http.server.HTTPServer, whose bind looks up the host's own name in DNS; that can take long.
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, family: int, address: tuple[Any, ...], sources: Sources, access: Access) -> None:
        self.address_family = family
        self.sources, self.access = sources, access
        self._free = threading.BoundedSemaphore(MOST_THREADS)
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection without reading or writing, so that a slow TLS handshake occupies only its own thread."""
        request, client_address = super().get_request()
        return self.access.wrap(request), client_address

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self._reject(request)
            return
        with self._lock:
            self._open[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the limit of threads (TasksMax) is reached
            self._reject(request)
            self._release(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._release(request)

    def service_actions(self) -> None:
        """Cut old connections; the server calls this after each accept and every half second."""
        self.cut_older_than(DEADLINE_S)

    def cut_older_than(self, seconds: float) -> None:
        """Shut down the connections that have been open for `seconds` or longer."""
        now = time.monotonic()
        with self._lock:
            late = [each for each, since in self._open.items() if now - since >= seconds]
            for request in late:
                with suppress(OSError):  # the client closed it
                    # SSLSocket.shutdown discards the TLS state; the reading thread would continue without encryption.
                    socket.socket.shutdown(request, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore all errors of a connection, such as a client that disconnects early."""

    def _reject(self, request: socket.socket) -> None:
        request.setblocking(False)
        with suppress(OSError):  # without the 503, the closed connection suffices
            if not self.access.is_encrypted:
                request.sendall(_OVERLOADED)
        self.shutdown_request(request)

    def _release(self, request: socket.socket) -> None:
        with self._lock:
            self._open.pop(request, None)
        self._free.release()


class _Handler(BaseHTTPRequestHandler):
    timeout = DEADLINE_S
    server: _Server
    server_version = "swarmkeeper"
    sys_version = ""

    def do_GET(self) -> None:
        if self.server.access.allows(self.headers.get("Authorization")):
            self._answer(page(self.path, self.server.sources))
        else:
            self._answer(
                Page(status=HTTPStatus.UNAUTHORIZED, body=b"authentication required: name and password\n")
            )

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def send_error(self, code: int, *_: Any, **__: Any) -> None:
        """Answer a request that http.server rejects; its code 501 for a method without a `do_` becomes 405."""
        status = HTTPStatus(code)
        if status is HTTPStatus.NOT_IMPLEMENTED:
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self.close_connection = True
        self._answer(Page(status=status, body=f"{status.phrase}\n".encode()))

    def _answer(self, answer: Page) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if answer.status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="swarmkeeper", charset="UTF-8"')
        if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log no requests: a scrape every 15 s would dominate the log."""
