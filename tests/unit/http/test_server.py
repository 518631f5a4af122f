import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent.errors import Invalid, Refused
from agent.http import Sources, WebServer, serve, server
from agent.http.cluster_page import ClusterView
from agent.http.pages import page
from agent.http.server import MOST_OF_CLIENT
from tests.support.viewed_clusters import view


class Agent:
    """What the pages are made of; a test changes it."""

    alive = True
    reasons: tuple[str, ...] = ()
    broken = False
    may_answer: threading.Event | None = None
    may_read: threading.Event | None = None

    def __init__(self) -> None:
        self.asked = threading.Event()

    def exposition(self) -> bytes:
        if self.broken:
            raise RuntimeError("no figures")
        self.asked.set()
        if self.may_answer:
            self.may_answer.wait(10)
        return b"swarmkeeper_leader 1.0\n"

    def cluster(self) -> ClusterView:
        self.asked.set()
        if self.may_read:
            self.may_read.wait(10)
        return view()

    def sources(self) -> Sources:
        return Sources(
            metrics=self.exposition,
            alive=lambda: self.alive,
            unready=lambda: self.reasons,
            status=lambda: {"host": "node-a", "blocked": ()},
            cluster=self.cluster,
            document=lambda revision: None,
        )


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.fixture
def web(agent: Agent) -> Iterator[WebServer]:
    serving = serve("127.0.0.1:0", agent.sources())
    yield serving
    serving.close()


def ask(web: WebServer, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(*web.address, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    found = (answer.status, answer.read(), dict(answer.getheaders()))
    connection.close()
    return found


def said(web: WebServer, raw: bytes) -> bytes:
    """Everything the server says to these bytes until it hangs up."""
    with socket.create_connection(web.address, timeout=10) as connection:
        connection.sendall(raw)
        answer = b""
        while part := connection.recv(4096):
            answer += part
        return answer


def test_prometheus_gets_its_text(web: WebServer) -> None:
    status, body, headers = ask(web, "/metrics")

    assert (status, body) == (200, b"swarmkeeper_leader 1.0\n")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_a_page_may_be_asked_for_with_a_query(web: WebServer) -> None:
    assert ask(web, "/metrics?name[]=up")[0] == 200


def test_an_agent_whose_loop_moves_is_healthy(web: WebServer, agent: Agent) -> None:
    assert ask(web, "/healthz")[:2] == (200, b"ok\n")

    agent.alive = False

    assert ask(web, "/healthz")[0] == 503


def test_an_agent_that_cannot_work_says_why(web: WebServer, agent: Agent) -> None:
    assert ask(web, "/readyz")[:2] == (200, b"ready\n")

    agent.reasons = ("dockerd does not answer", "no intent is accepted")

    assert ask(web, "/readyz")[:2] == (503, b"dockerd does not answer\nno intent is accepted\n")


def test_an_agent_whose_loop_is_stalled_is_not_ready(web: WebServer, agent: Agent) -> None:
    agent.alive = False

    status, body, _ = ask(web, "/readyz")

    assert (status, body) == (503, b"the loop is stalled: it has made no progress recently\n")


def test_the_status_is_json(web: WebServer) -> None:
    status, body, headers = ask(web, "/status")

    assert (status, json.loads(body)) == (200, {"host": "node-a", "blocked": []})
    assert headers["Content-Type"] == "application/json"


def test_no_terminal_obeys_a_page(agent: Agent) -> None:
    obeyed = "für \x1b[2J\x9b2J\u202e\u2028"
    agent.reasons = (obeyed,)
    sources = replace(agent.sources(), status=lambda: {"blocked": (obeyed,)})

    status, ready = (page(path, sources).body.decode() for path in ("/status", "/readyz"))
    assert json.loads(status) == {"blocked": [obeyed]}
    assert ready == "für \\x1b[2J\\x9b2J\\u202e\\u2028\n"
    assert status.replace("\n", "").isprintable()


def test_the_first_page_links_the_others(web: WebServer) -> None:
    _, body, _ = ask(web, "/")

    for path in (b"/status", b"/metrics", b"/healthz", b"/readyz"):
        assert b'href="%b"' % path in body


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.0", b"GET  / HTTP/1.0", b"GET\t/ HTTP/1.0", b"GET\x1f/ HTTP/1.0"]
)
def test_a_page_that_waits_for_etcd_delays_no_other(web: WebServer, agent: Agent, line: bytes) -> None:
    agent.may_read = threading.Event()

    def look() -> None:
        with socket.create_connection(web.address, 10) as connection:
            connection.sendall(line + b"\r\n\r\n")
            connection.recv(1)

    slow = threading.Thread(target=look)
    slow.start()
    assert agent.asked.wait(10)

    assert ask(web, "/healthz")[0] == 200

    agent.may_read.set()
    slow.join(10)
    assert not slow.is_alive()


@pytest.mark.parametrize(
    "path", ["/history/3", "/history/", "/history/x", f"/history/{10**30}", "/history/-1"]
)
def test_a_document_that_the_history_does_not_have_is_not_found(web: WebServer, path: str) -> None:
    assert ask(web, path)[0] == 404


@pytest.mark.parametrize("path", ["/nope", "/metrics/", "/../etc/passwd", "/%2e%2e/etc/passwd", "*"])
def test_there_is_nothing_else(web: WebServer, path: str) -> None:
    status, body, _ = ask(web, path)

    assert status == 404
    assert b"root:" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_nothing_can_be_changed(web: WebServer, method: str) -> None:
    status, _, headers = ask(web, "/metrics", method)

    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_a_head_has_the_length_and_no_body(web: WebServer) -> None:
    status, body, headers = ask(web, "/metrics", "HEAD")

    assert (status, body, headers["Content-Length"]) == (200, b"", "23")
    assert said(web, b"HEAD /metrics HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "raw", [b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n", b"GET /x HTTP/9.9\r\n\r\n"]
)
def test_what_is_not_http_is_answered_or_hung_up_on(
    web: WebServer, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.5)
    answer = said(web, raw)

    assert b"200" not in answer[:15]
    assert ask(web, "/healthz")[0] == 200


def test_what_a_client_sends_is_not_sent_back(web: WebServer) -> None:
    assert b"<script>" not in said(web, b"<script> / HTTP/1.0\r\n\r\n")
    assert b"<script>" not in said(web, b"GET /<script> HTTP/1.0\r\n\r\n")


def test_a_page_that_cannot_be_made_does_not_end_the_server(web: WebServer, agent: Agent) -> None:
    agent.broken = True

    assert ask(web, "/metrics")[0] == 500
    assert ask(web, "/healthz")[0] == 200


def test_nobody_waits_behind_a_client_that_dawdles(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.5)
    began = time.monotonic()
    with socket.create_connection(web.address, timeout=10) as dawdler:
        dawdler.sendall(b"GET /metr")

        assert ask(web, "/healthz")[0] == 200
        assert dawdler.recv(100) == b""
    assert time.monotonic() - began < 4


def test_of_one_client_few_connections_stay_open_and_the_newest_are_served(web: WebServer) -> None:
    crowd = [socket.create_connection(web.address, timeout=10) for _ in range(100)]
    try:
        newest = crowd[-MOST_OF_CLIENT:]
        assert [each.recv(1) for each in crowd[:-MOST_OF_CLIENT]] == [b""] * (100 - MOST_OF_CLIENT)
        for each in newest:
            each.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert [each.recv(15) for each in newest] == [b"HTTP/1.0 200 OK"] * MOST_OF_CLIENT
    finally:
        for each in crowd:
            each.close()


def test_a_page_under_way_is_cut_when_the_server_ends(agent: Agent) -> None:
    web = serve("127.0.0.1:0", agent.sources())
    agent.may_answer = threading.Event()
    with socket.create_connection(web.address, timeout=10) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert agent.asked.wait(10)

        web.close()

        assert client.recv(100) == b""
    agent.may_answer.set()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(web.address, timeout=1)


def test_a_port_that_is_taken_is_said_in_words(web: WebServer, agent: Agent) -> None:
    host, port = web.address

    with pytest.raises(Refused, match=f"cannot listen on {host}:{port} for HTTP: Address already in use"):
        serve(f"{host}:{port}", agent.sources())


@pytest.mark.parametrize(
    "listen", ["", "9477", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536"]
)
def test_what_is_no_address_is_said_in_words(listen: str, agent: Agent) -> None:
    with pytest.raises(Invalid, match="is not a valid listen address"):
        serve(listen, agent.sources())


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.0\r\nX: %b" % (b"x" * 15_000), b"200"),
        (b"GET /healthz HTTP/1.0\r\nX: %b" % (b"x" * 40_000), b""),
        (b"GET /healthz HTTP/1.0\r\n" + b"\r\n".join([b"X: x"] * 200), b"400"),
        (b"GET /healthz", b"400"),
        (b"GET /healthz HTTP/2.0", b"400"),
        (b"GET /health z HTTP/1.0", b"400"),
        (b"get /healthz HTTP/1.0", b"405"),
    ],
    ids=(
        "long",
        "too long",
        "too many fields",
        "no version",
        "another version",
        "four words",
        "another method",
    ),
)
def test_heads_have_limits_and_a_form(web: WebServer, head: bytes, status: bytes) -> None:
    try:
        answer = said(web, head + b"\r\n\r\n")
    except ConnectionResetError:
        answer = b""
    assert answer[9:12] == status


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_addresses_that_one_client_may_choose_are_one_client(host: str, client: str) -> None:
    assert server._client(host) == client


def test_a_server_that_ends_leaves_no_connection_and_no_thread(agent: Agent) -> None:
    before = set(threading.enumerate())
    web = serve("127.0.0.1:0", agent.sources())
    assert ask(web, "/healthz")[0] == 200
    with socket.create_connection(web.address, timeout=10) as idle:
        web.close()

        assert idle.recv(1) == b""
    for each in set(threading.enumerate()) - before:
        each.join(10)
        assert not each.is_alive()


def test_ipv6_is_spoken_too(agent: Agent) -> None:
    web = serve("[::1]:0", agent.sources())
    try:
        assert ask(web, "/healthz")[0] == 200
    finally:
        web.close()
