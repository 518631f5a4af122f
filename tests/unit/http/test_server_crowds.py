"""Clients that dawdle, guess or come in masses, at other addresses than the one who scrapes meanwhile."""

import base64
import http.client
import os
import resource
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import bcrypt
import pytest

from agent.http import Access, WebServer, serve, server
from tests.support.certificates import Authority
from tests.support.viewed_clusters import sources_of, view

PASSWORD = "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), b"$2b$08$" + b"abcdefghijklmnopqrstuu").decode()
"""2^8 rounds, of about 15 ms."""
LARGE = b"figure 1\n" * 500_000
"""More than the buffers of a connection take."""
IDLE, HALF, ASKS = b"", b"GET /metrics HTTP/1.0\r\nX-Slow: ", b"GET /metrics HTTP/1.0\r\n\r\n"


def login(password: str) -> str:
    return "Basic " + base64.b64encode(f"prometheus:{password}".encode()).decode()


GUESSES = f"GET /metrics HTTP/1.0\r\nAuthorization: {login('guess')}\r\n\r\n".encode()
Serving = Callable[..., WebServer]


@pytest.fixture(scope="module", autouse=True)
def files() -> Iterator[None]:
    """Let this process have 1,000 connections and their other ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "ca", "the authority")


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    started: list[WebServer] = []

    def start(config: str = "", figures: bytes = b"figures\n") -> WebServer:
        (tmp_path / "web.yaml").write_text(config)
        sources = replace(sources_of(view), metrics=lambda: figures)
        access = Access(str(tmp_path / "web.yaml") if config else None)
        started.append(serve("127.0.0.1:0", sources, access))
        return started[-1]

    yield start
    for each in started:
        each.close()


class Crowd:
    """`number` connections that say `first`, from so many addresses from 127.0.2.2 on; from 127.0.0.1 with none."""

    def __init__(self, web: WebServer, number: int, first: bytes, *, addresses: int = 1) -> None:
        self._web, self._first = web, first
        self._members = [
            self._connected(
                f"127.0.{2 + each % addresses // 250}.{2 + each % addresses % 250}"
                if addresses
                else "127.0.0.1"
            )
            for each in range(number)
        ]

    def _connected(self, address: str) -> socket.socket:
        member = socket.create_connection(self._web.address, timeout=10, source_address=(address, 0))
        with suppress(ConnectionError):  # it is cut already
            member.sendall(self._first)
        return member

    def insist(self) -> None:
        """Let those within a head say one byte more, and up to twenty that were answered or cut come again."""
        ready = select.poll()
        for member in self._members:
            ready.register(member, select.POLLIN)
        ended = {fd for fd, _ in ready.poll(0)[:20]} if self._first != ASKS else set()
        for index, member in enumerate(self._members):
            if member.fileno() in ended:
                address = member.getsockname()[0]
                member.close()
                self._members[index] = self._connected(address)
            elif self._first == HALF:
                with suppress(ConnectionError):
                    member.sendall(b"x")

    def leave(self) -> None:
        for member in self._members:
            member.close()


def limit_s() -> float:
    """Return a second, or more on a machine with more to do than it has processors."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def scrape(web: WebServer, *, password: str = "", context: ssl.SSLContext | None = None) -> str:
    """Scrape once; return the status, or the error."""
    limit = limit_s()
    connection = (
        http.client.HTTPSConnection(*web.address, timeout=limit, context=context)
        if context
        else http.client.HTTPConnection(*web.address, timeout=limit)
    )
    began = time.monotonic()
    try:
        path = "/metrics" if password else "/healthz"
        connection.request("GET", path, headers={"Authorization": login(password)} if password else {})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__} after {time.monotonic() - began:.1f} s"
    finally:
        connection.close()
    late = time.monotonic() - began
    return str(answer.status) if late < limit else f"{answer.status} after {late:.1f} s"


def scrapes(web: WebServer, crowd: Crowd, **how: object) -> list[str]:
    """Scrape twenty times while the crowd insists."""
    found = []
    try:
        for _ in range(20):
            crowd.insist()
            found.append(scrape(web, **how))  # type: ignore[arg-type]
    finally:
        crowd.leave()
    return found


ALL_ANSWERED = ["200"] * 20


@pytest.mark.parametrize(
    ("number", "first", "addresses"),
    [(8, HALF, 1), (60, IDLE, 0), (60, IDLE, 60), (1000, IDLE, 1), (1000, HALF, 20), (1000, IDLE, 1000)],
    ids=("8 of one", "60 of the same", "60 of 60", "1000 of one", "1000 of 20", "1000 of 1000"),
)
def test_slow_heads_keep_nobody_else_waiting(
    serving: Serving, number: int, first: bytes, addresses: int
) -> None:
    web = serving()

    assert scrapes(web, Crowd(web, number, first, addresses=addresses)) == ALL_ANSWERED


@pytest.mark.parametrize("addresses", [1, 20])
def test_clients_that_do_not_read_keep_nobody_else_waiting(serving: Serving, addresses: int) -> None:
    web = serving(figures=LARGE)

    assert scrapes(web, Crowd(web, 20, ASKS, addresses=addresses)) == ALL_ANSWERED


@pytest.mark.parametrize(("number", "addresses"), [(60, 1), (300, 30)])
def test_handshakes_that_do_not_come_keep_nobody_else_waiting(
    serving: Serving, authority: Authority, number: int, addresses: int
) -> None:
    issued = authority.issue("agent")
    web = serving(f"tls_server_config: {{cert_file: {issued.cert_file}, key_file: {issued.key_file}}}\n")
    context = ssl.create_default_context(cafile=authority.ca_file)

    assert scrapes(web, Crowd(web, number, IDLE, addresses=addresses), context=context) == ALL_ANSWERED


@pytest.mark.parametrize(("number", "addresses"), [(10, 1), (10, 10), (60, 1)])
def test_guesses_keep_no_right_login_waiting(serving: Serving, number: int, addresses: int) -> None:
    web = serving(f"basic_auth_users: {{prometheus: {HASH}}}\n")

    assert scrapes(web, Crowd(web, number, GUESSES, addresses=addresses), password=PASSWORD) == ALL_ANSWERED


def test_a_head_that_is_not_whole_in_time_is_cut(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.3)
    web = serving()
    with socket.create_connection(web.address, timeout=10) as dripping:
        dripping.sendall(HALF)
        dripping.settimeout(0.05)
        began = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() < began + 4:
                dripping.sendall(b"x")
                with suppress(TimeoutError):
                    if not dripping.recv(1):
                        break
    assert 0.2 < time.monotonic() - began < 3
