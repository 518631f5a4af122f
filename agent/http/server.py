"""The HTTP server, which is read-only and bounded so that clients can slow down neither the loop nor one another.

One thread reads and writes all connections; each carries one request. Another makes the pages, a third those that wait
for etcd, and a fourth checks passwords, first for clients with few connections and few refused logins. A client is an
IPv4 address or an IPv6 /64.
"""

import asyncio
import io
import itertools
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from http.client import HTTPException, parse_headers
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import structlog

from agent.errors import Invalid, Refused
from agent.http.access import Access
from agent.http.pages import Page, Sources, may_wait, page

log = structlog.get_logger()

MOST_OPEN = 64
MOST_OF_CLIENT = 8
HEAD_S = 2.0
"""Seconds from the connection to the end of the request's head, including the TLS handshake."""
DEADLINE_S = 5.0
"""Seconds from the connection to the end of the answer."""
_LONGEST_HEAD = 16384
_BACKLOG = 1024
_PAUSE_S = 0.1
_PIECE = 65536
"""asyncio buffers what it cannot send at once."""
_HIGHEST_PORT = 65535


def serve(listen: str, sources: Sources, access: Access | None = None) -> "WebServer":
    """Start a server of `sources` on `listen`: "127.0.0.1:9477" or "[::1]:9477"; port 0 means any free port.

    Without `access` the server requires no password.
    Raises Invalid when `listen` is not an address, Refused when this host cannot listen on it.
    """
    family, address = _resolve(listen)
    try:
        is_ipv6 = family == socket.AF_INET6
        listener = socket.create_server(address, family=family, backlog=_BACKLOG, dualstack_ipv6=is_ipv6)
    except OSError as error:
        raise Refused(f"cannot listen on {listen} for HTTP: {os.strerror(error.errno or 0)}") from error
    return WebServer(listener, sources, access or Access(None))


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


@dataclass(slots=True, eq=False)
class _Connection:
    client: str
    asked: bool = False
    """True once the head of the request is complete."""


class WebServer:
    """A server with its own threads, from construction to `close`."""

    def __init__(self, listener: socket.socket, sources: Sources, access: Access) -> None:
        host, port = listener.getsockname()[:2]
        self.address: tuple[str, int] = (host, port)
        """(host, port) of the listening socket."""
        self._listener, self._sources, self._access = listener, sources, access
        self._open: dict[_Connection, asyncio.Task[None]] = {}
        """The oldest first."""
        self._pages, self._readings, self._logins = _Worker(), _Worker(), _Worker()
        self._ended = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(DEADLINE_S)

    def _serve(self) -> None:
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self) -> None:
        with self._listener:
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept)
            tasks = [
                self._loop.create_task(each.run()) for each in (self._pages, self._readings, self._logins)
            ]
            await self._ended.wait()
            self._loop.remove_reader(self._listener)
            await asyncio.sleep(0)  # the last accepted connection starts, so that it closes its socket
            tasks += self._open.values()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _accept(self) -> None:
        # One connection in each turn: a mass of new ones must not close one whose request has just arrived.
        try:
            accepted, address = self._listener.accept()
        except OSError:  # no file descriptor is free
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_PAUSE_S, self._loop.add_reader, self._listener, self._accept)
            return
        accepted.setblocking(False)
        connection = _Connection(_client(address[0]))
        self._close_surplus(connection.client)
        self._open[connection] = self._loop.create_task(self._converse(connection, accepted))

    def _close_surplus(self, client: str) -> None:
        """If `client` or all have the most, close the oldest connection of the busiest, if possible not `asked`."""
        counts = Counter(each.client for each in self._open)
        if counts[client] >= MOST_OF_CLIENT:
            counts = Counter({client: MOST_OF_CLIENT})
        elif len(self._open) < MOST_OPEN:
            return
        self._open.pop(min(self._open, key=lambda each: (-counts[each.client], each.asked))).cancel()

    async def _converse(self, connection: _Connection, accepted: socket.socket) -> None:
        reader = asyncio.StreamReader(_LONGEST_HEAD, self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(DEADLINE_S):
                async with asyncio.timeout(HEAD_S):
                    transport, _ = await self._loop.connect_accepted_socket(
                        lambda: protocol, accepted, ssl=self._access.tls()
                    )
                    head = await reader.readuntil(b"\r\n\r\n")
                connection.asked = True
                writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
                answer = await self._answer(connection.client, head)
                for start in range(0, len(answer), _PIECE):
                    writer.write(answer[start : start + _PIECE])
                    await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the client was too slow, went away or sent too much
        finally:
            self._open.pop(connection, None)
            if transport:
                transport.abort()

    async def _answer(self, client: str, head: bytes) -> bytes:
        rank = sum(each.client == client for each in self._open) + self._access.refusals[client]
        known = partial(_respond, head, self._sources, self._access.known)
        check = partial(_respond, head, self._sources, partial(self._access.check, client))
        target = head.partition(b"\n")[0].decode("latin-1").split()[1:2]  # as _respond does
        # A page that waits for etcd delays no other one.
        pages = self._readings if target and may_wait(target[0]) else self._pages
        return await pages.do(rank, known) or await self._logins.do(rank, check)


class _Worker:
    """Does work in a thread, one after the other, that of the lowest rank first."""

    def __init__(self) -> None:
        self._waiting = asyncio.PriorityQueue[tuple[int, int, Callable[[], bytes], asyncio.Future[bytes]]]()
        self._numbers = itertools.count()

    async def do(self, rank: int, work: Callable[[], bytes]) -> bytes:
        result: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((rank, next(self._numbers), work, result))
        return await result

    async def run(self) -> None:
        while True:
            _, _, work, result = await self._waiting.get()
            if result.done():  # its connection is closed
                continue
            try:
                done = await asyncio.to_thread(work)
            except Exception:
                log.exception("request failed")
                done = b""
            if not result.done():
                result.set_result(done)


def _client(host: str) -> str:
    address = ip_address(host.partition("%")[0])
    if not isinstance(address, IPv6Address):
        return host
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))


def _respond(head: bytes, sources: Sources, allows: Callable[[str | None], bool | None]) -> bytes:
    """Return the answer to the request with this head; b"" if `allows` cannot tell."""
    line, _, fields = head.partition(b"\n")
    parts = line.decode("latin-1").split()
    try:
        authorization = parse_headers(io.BytesIO(fields)).get("Authorization")
    except HTTPException:
        parts = []
    match parts:
        case ["GET" | "HEAD", target, version] if version.startswith("HTTP/1."):
            allowed = allows(authorization)
            if allowed is None:
                return b""
            unknown = Page(status=HTTPStatus.UNAUTHORIZED, body=b"name and password are required\n")
            found = page(target, sources) if allowed else unknown
        case [_, _, version] if version.startswith("HTTP/1."):
            found = Page(status=HTTPStatus.METHOD_NOT_ALLOWED, body=b"only GET and HEAD are allowed\n")
        case _:
            found = Page(status=HTTPStatus.BAD_REQUEST, body=b"not a request of HTTP/1\n")
    fields_of_page = "".join(f"{name}: {value}\r\n" for name, value in found.headers.items())
    challenge = 'WWW-Authenticate: Basic realm="swarmkeeper", charset="UTF-8"\r\n'
    header = (
        f"HTTP/1.0 {found.status.value} {found.status.phrase}\r\nServer: swarmkeeper\r\n"
        f"Date: {formatdate(usegmt=True)}\r\nContent-Type: {found.type}\r\nContent-Length: {len(found.body)}\r\n"
        f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nAllow: GET, HEAD\r\n"
        f"{fields_of_page}{challenge if found.status is HTTPStatus.UNAUTHORIZED else ''}\r\n"
    )
    return header.encode() + (b"" if parts[:1] == ["HEAD"] else found.body)
