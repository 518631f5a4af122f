"""Who may look at the pages: TLS, names and passwords, from a file as Prometheus's own servers have it."""

import base64
import http.client
import io
import logging
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
import pytest
import structlog

from agent import logs
from agent.errors import Invalid
from agent.http import Access, WebServer, serve, server
from agent.http.access import load_web_config
from agent.model.faults import InvalidDocument
from tests.fakes.store import FakeClock
from tests.support.certificates import Authority, Issued
from tests.support.viewed_clusters import sources_of, view

PASSWORD = "correct horse"
SALT = b"$2b$04$" + b"abcdefghijklmnopqrstuu"
"""Always the same: it ends up in names of tests, and those must be the same in every process that collects them."""
HASH = bcrypt.hashpw(PASSWORD.encode(), SALT).decode()
USERS = f"basic_auth_users:\n  prometheus: {HASH}\n"
Serving = Callable[..., WebServer]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "ca", "the authority")


@pytest.fixture
def own(authority: Authority, tmp_path: Path) -> Issued:
    """A certificate for 127.0.0.1, in files of the test's own."""
    issued = authority.issue("agent")
    placed = Issued(cert_file=str(tmp_path / "cert.pem"), key_file=str(tmp_path / "key.pem"))
    shutil.copyfile(issued.cert_file, placed.cert_file)
    shutil.copyfile(issued.key_file, placed.key_file)
    return placed


@pytest.fixture
def tls(own: Issued) -> str:
    return "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Serve with a file of this content, tmp_path/web.yaml."""
    started: list[WebServer] = []

    def start(content: str, count_refusal: Callable[[], object] = lambda: None) -> WebServer:
        write(tmp_path, content)
        sources = sources_of(view)
        access = Access(str(tmp_path / "web.yaml"), count_refusal)
        started.append(serve("127.0.0.1:0", sources, access))
        return started[-1]

    yield start
    for each in started:
        each.close()


def write(directory: Path, content: str) -> None:
    """Replace the file, so that nobody can take it for the one before."""
    new = directory / "web.yaml.new"
    new.write_text(content)
    new.replace(directory / "web.yaml")


def ask(
    web: WebServer,
    authority: Authority | None = None,
    user: str = "",
    password: str = "",
    method: str = "GET",
    header: str = "",
) -> tuple[int, http.client.HTTPMessage]:
    context = ssl.create_default_context(cafile=authority.ca_file) if authority else None
    connection = (
        http.client.HTTPSConnection(*web.address, timeout=10, context=context)
        if context
        else http.client.HTTPConnection(*web.address, timeout=10)
    )
    said = header or "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    connection.request(method, "/metrics", headers={"Authorization": said} if header or user else {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers


def test_without_a_file_everybody_may_look() -> None:
    assert Access(None).known(None)


# ---- names and passwords


def test_who_has_a_name_and_its_password_may_look(serving: Serving) -> None:
    assert ask(serving(USERS), user="prometheus", password=PASSWORD)[0] == 200


@pytest.mark.parametrize(
    ("user", "password"),
    [("", ""), ("prometheus", "wrong"), ("prometheus", ""), ("nobody", PASSWORD), ("prometheus", "x" * 200)],
)
def test_who_has_not_is_told_how(serving: Serving, user: str, password: str) -> None:
    status, headers = ask(serving(USERS), user=user, password=password)

    assert status == 401
    assert headers["WWW-Authenticate"] == 'Basic realm="swarmkeeper", charset="UTF-8"'


@pytest.mark.parametrize(
    "header", ["Bearer x", "Basic", "Basic ====", "Basic \x7f", "Basic bm9jb2xvbg==", "x" * 5000]
)
def test_a_header_that_is_none_lets_nobody_in(serving: Serving, header: str) -> None:
    assert ask(serving(USERS), header=header)[0] == 401


@pytest.mark.parametrize("path", ["/", "/?refresh=off", "/history", "/history/1", "/status"])
def test_the_pages_of_the_cluster_ask_for_the_password_too(serving: Serving, path: str) -> None:
    web = serving(USERS)

    for user, password, status in (
        ("", "", 401),
        ("prometheus", "wrong", 401),
        ("prometheus", PASSWORD, 200),
    ):
        connection = http.client.HTTPConnection(*web.address, timeout=10)
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        connection.request("GET", path, headers={"Authorization": f"Basic {login}"} if user else {})
        answer = connection.getresponse()
        shown = b"node-231" in answer.read()
        connection.close()
        assert answer.status == (404 if status == 200 and path == "/history/1" else status)
        assert shown == (status == 200 and path.startswith("/") and path[:2] in ("/", "/?"))


def test_what_only_begins_with_the_password_lets_nobody_in(serving: Serving) -> None:
    longest = "x" * 72
    web = serving(f"basic_auth_users: {{a: {bcrypt.hashpw(longest.encode(), bcrypt.gensalt(4)).decode()}}}\n")

    assert ask(web, user="a", password=longest)[0] == 200
    assert ask(web, user="a", password=longest + "y")[0] == 401


def test_a_hash_as_htpasswd_writes_it_is_good(serving: Serving) -> None:
    assert ask(serving(USERS.replace("$2b$", "$2y$")), user="prometheus", password=PASSWORD)[0] == 200


def test_other_methods_are_refused_whoever_asks(serving: Serving) -> None:
    assert ask(serving(USERS), user="prometheus", password=PASSWORD, method="POST")[0] == 405


def test_a_password_that_was_right_is_not_hashed_at_every_scrape(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[bytes] = []
    right = bcrypt.checkpw

    def counting(password: bytes, hashed: bytes) -> bool:
        asked.append(password)
        return right(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counting)
    web = serving(USERS)
    for password in (PASSWORD, PASSWORD, "wrong", "wrong", PASSWORD):
        ask(web, user="prometheus", password=password)
    assert asked == [PASSWORD.encode(), b"wrong", b"wrong"]

    for content in ("# other users count anew, the same do not\n" + USERS, USERS + f"  other: {HASH}\n"):
        write(tmp_path, content)
        assert ask(web, user="prometheus", password=PASSWORD)[0] == 200
    assert asked[3:] == [PASSWORD.encode()]


def test_refused_logins_are_counted_and_logged_without_what_was_sent(serving: Serving) -> None:
    counted: list[None] = []
    web = serving(USERS, lambda: counted.append(None))
    with structlog.testing.capture_logs() as lines:
        ask(web)
        ask(web, user="prometheus", password=PASSWORD)
        assert not counted
        for user, password in (("prometheus", "hunter2"), ("hunter2", PASSWORD)):
            assert ask(web, user=user, password=password)[0] == 401
        assert ask(web, header="Bearer hunter2")[0] == 401

    assert len(counted) == 3
    refused = "login to the HTTP server refused: wrong name or password"
    assert lines == [{"event": refused, "client": "127.0.0.1", "log_level": "warning"}] * 3


@pytest.fixture
def clock_and_log() -> Iterator[tuple[FakeClock, io.StringIO]]:
    """The log as the agent writes it, on a fake clock."""
    root, clock, out = logging.getLogger(), FakeClock(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    logs.configure("info", "journal", out, clock=clock)
    yield clock, out
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_refused_logins_are_logged_at_once_and_then_with_their_number(
    serving: Serving, clock_and_log: tuple[FakeClock, io.StringIO]
) -> None:
    clock, out = clock_and_log
    web = serving(USERS)
    for after_s in (0, 1, 1, 1, 57):
        clock.advance(after_s)
        ask(web, user="prometheus", password="guess")

    refused = "login to the HTTP server refused: wrong name or password client=127.0.0.1"
    assert out.getvalue().splitlines() == [
        f"warning {refused}",
        f'warning {refused} repeated="4 times in 1 m"',
    ]


def test_refused_logins_count_against_their_client_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(time, "monotonic", clock)
    access = Access(None)
    for _ in range(3):
        access.check("10.0.0.7", None)
    assert (access.refusals["10.0.0.7"], access.refusals["10.0.0.8"]) == (3, 0)

    clock.advance(61)
    access.check("10.0.0.8", None)

    assert (access.refusals["10.0.0.7"], access.refusals["10.0.0.8"]) == (0, 1)


def test_neither_password_nor_hash_is_in_a_repr(tmp_path: Path) -> None:
    write(tmp_path, USERS)
    assert HASH not in repr(load_web_config(tmp_path / "web.yaml"))


# ---- TLS


def test_with_a_certificate_it_is_spoken_over_tls_alone(
    serving: Serving, authority: Authority, tls: str
) -> None:
    web = serving(tls)

    assert ask(web, authority)[0] == 200
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(web)
    assert ask(web, authority)[0] == 200


def test_both_together_work_as_for_prometheus(serving: Serving, authority: Authority, tls: str) -> None:
    web = serving(tls + USERS)

    assert ask(web, authority)[0] == 401
    assert ask(web, authority, user="prometheus", password=PASSWORD)[0] == 200


def test_nobody_waits_behind_a_handshake_that_dawdles(
    serving: Serving, authority: Authority, tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.5)
    web = serving(tls)
    with socket.create_connection(web.address, timeout=10) as silent:
        assert ask(web, authority)[0] == 200
        assert silent.recv(100) == b"", "it is cut after a while"


# ---- the file


def test_a_replaced_file_counts_from_the_next_connection_on(serving: Serving, tmp_path: Path) -> None:
    web = serving(USERS)
    write(tmp_path, USERS.replace("prometheus", "somebody"))

    assert ask(web, user="prometheus", password=PASSWORD)[0] == 401
    assert ask(web, user="somebody", password=PASSWORD)[0] == 200


def test_a_replaced_certificate_is_shown_from_the_next_connection_on(
    serving: Serving, authority: Authority, own: Issued, tls: str, tmp_path: Path
) -> None:
    web = serving(tls)

    def shown() -> str:
        return ssl.get_server_certificate(web.address, ca_certs=authority.ca_file)

    before, renewed = shown(), authority.issue("renewed")
    for new, name in ((renewed.cert_file, own.cert_file), (renewed.key_file, own.key_file)):
        shutil.copyfile(new, f"{name}.new")
        Path(f"{name}.new").replace(name)

    assert shown() != before


@pytest.mark.parametrize(
    "content", ["", "basic_auth_users: {a: nothing}", "tls_server_config: {cert_file: x}"]
)
def test_a_replaced_file_that_is_no_good_changes_nothing(
    serving: Serving, tmp_path: Path, content: str
) -> None:
    web = serving(USERS)
    with structlog.testing.capture_logs() as logs:
        write(tmp_path, content)

        assert ask(web)[0] == 401
        assert ask(web, user="prometheus", password=PASSWORD)[0] == 200
    assert [each["event"] for each in logs] == [
        "invalid web configuration ignored, the previous one remains active"
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("http_server_config: {http2: true}", "line 1, column 1: http_server_config: unknown key"),
        ("tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}", "unknown key 'client_ca_file'"),
        ("tls_server_config: {cert_file: a}", "name the file with the certificate's key"),
        ("tls_server_config: {cert_file: a, key_file: b}", "No such file"),
        ("basic_auth_users: {a: hunter2}", "line 1, column 23: basic_auth_users.a"),
        ("basic_auth_users: {a: $2y$31$" + "a" * 53 + "}", "2^31 rounds"),
        ('basic_auth_users: {"a:b": ' + HASH + "}", "a name without a colon"),
        ("basic_auth_users: {a: " + HASH + ", a: " + HASH + "}", "a"),
        ("[]", "mapping"),
        ("basic_auth_users: [" * 10_000, "line 1"),
    ],
)
def test_a_file_with_faults_is_refused_with_all_of_them(tmp_path: Path, content: str, words: str) -> None:
    write(tmp_path, content)
    with pytest.raises((Invalid, InvalidDocument)) as refused:
        Access(str(tmp_path / "web.yaml"))
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert HASH not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"none\.yaml: cannot be read"):
        Access(str(tmp_path / "none.yaml"))


def test_guesses_wait_for_one_another_and_others_are_served(serving: Serving) -> None:
    """Whoever guesses gets one processor at most, and /healthz of who has been here before is not kept waiting."""
    slow = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(8)).decode()
    web = serving(f"basic_auth_users: {{prometheus: {slow}}}\n")
    assert ask(web, user="prometheus", password=PASSWORD)[0] == 200
    guessers = [socket.create_connection(web.address, timeout=10) for _ in range(4)]
    try:
        wrong = base64.b64encode(b"prometheus:guess").decode()
        for each in guessers:
            each.sendall(f"GET /metrics HTTP/1.0\r\nAuthorization: Basic {wrong}\r\n\r\n".encode())
        began = time.monotonic()
        assert ask(web, user="prometheus", password=PASSWORD)[0] == 200
        assert time.monotonic() - began < 5
        assert all(each.recv(12) == b"HTTP/1.0 401" for each in guessers)
    finally:
        for each in guessers:
            each.close()
