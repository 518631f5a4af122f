"""What doctor collects, on a real etcd that asks for a password, on real sockets, and from what containers print."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Network
from pathlib import Path
from threading import Event, Thread

import pytest

from agent.clients.docker.output import Output
from agent.config import Config
from agent.doctor import collect
from agent.doctor.checks import NotSeen
from agent.errors import Missing
from agent.intent import parse_intent
from agent.model.intent import NetworkIntent
from agent.model.keys import Keys
from agent.model.observed import ClusterState
from agent.model.status import HostStatus, ReplicaReport
from agent.model.store import KeyRange, StoreSettings
from tests.unit.cli.conftest import GOOD
from tests.unit.cli.guarded_etcd import CLUSTER, PASSWORD, ROOT, GuardedEtcd, running_guarded

KEYS = Keys(CLUSTER)
FRONT = NetworkIntent(key="front", name="front", driver="overlay")


# ---- The account


@pytest.mark.parametrize(("code", "unwritable"), [(0, False), (1, True), (2, None), (127, None), (-9, None)])
def test_only_a_test_that_says_no_shows_that_the_account_cannot_write(
    code: int, unwritable: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*command: str) -> subprocess.CompletedProcess[str]:
        asked = command == ("test", "-w", str(tmp_path))
        return subprocess.CompletedProcess(command, code if asked else 0, "", "")

    monkeypatch.setattr(collect, "_as_agent", ended)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    config = Config(
        cluster=CLUSTER,
        host="h1",
        store=StoreSettings(endpoints=("127.0.0.1:2379",)),
        state_directory=str(tmp_path),
    )
    if unwritable is None:
        with pytest.raises(NotSeen, match=f"ended with {code}"):
            collect.access(config, tmp_path)
    else:
        assert collect.access(config, tmp_path) == ("", [str(tmp_path)] * unwritable)


# ---- Rights in etcd


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedEtcd]:
    with running_guarded(tmp_path_factory.mktemp("etcd")) as server:
        server.add_host("h1", may_lead=False)
        server.add_host("h2", may_lead=True)
        yield server


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    return file


def config_of(server: GuardedEtcd, user: str, host: str, password: Path) -> Config:
    store = StoreSettings(
        endpoints=(server.endpoint,),
        user=user,
        password_file=str(password),
        allow_plaintext_password=True,
    )
    return Config(cluster=CLUSTER, host=host, store=store)


@pytest.mark.parametrize(
    ("user", "host", "leads", "lacks", "wide"),
    [
        ("h1", "h1", False, [], False),
        ("h2", "h2", True, [], False),
        ("agent", "h1", True, [], False),
        (
            "h1",
            "h1",
            True,
            ["readwrite /swarmkeeper/prod/a to", "readwrite /swarmkeeper/prod/intenu to"],
            False,
        ),
        ("h1", "h2", False, ["readwrite /swarmkeeper/prod/hosts/h2/status"], False),
        ("operator", "h1", False, ["readwrite /swarmkeeper/prod/hosts/h1/presence"], True),
        ("root", "h1", True, [], True),
    ],
)
def test_rights_that_a_role_lacks_or_has_too_many_of_are_found_and_nothing_is_written(
    guarded: GuardedEtcd, password: Path, user: str, host: str, leads: bool, lacks: list[str], wide: bool
) -> None:
    config, before = config_of(guarded, user, host, password), everything(guarded, password)
    if user == "root":
        password.write_text(ROOT.partition(":")[2])
    store = guarded.login(user, password)
    try:
        found = collect.rights(store, config, may_lead=leads)
    finally:
        store.close()

    assert found.named
    assert found.writes_intent is wide
    assert bool(found.lacking) == bool(lacks)
    for each in lacks:
        assert any(one.startswith(each) for one in found.lacking), found.lacking
    assert found.command == f"swarmkeeper etcd-roles --host {host}{' --may-lead' if leads else ''}"
    password.write_text(PASSWORD)
    assert everything(guarded, password) == before


def everything(server: GuardedEtcd, password: Path) -> object:
    store = server.login("operator", password)
    try:
        return store.read([KeyRange(key=KEYS.root, prefix=True)])
    finally:
        store.close()


def test_a_member_tells_its_quota_latency_and_clock_and_a_wrong_password_is_a_refusal(
    guarded: GuardedEtcd, password: Path
) -> None:
    settings = config_of(guarded, "h1", "h1", password).store
    member, clock = collect.ask_member(settings, KEYS)

    assert (member.error, member.upkeep.quota) == ("", 2 << 30)
    assert member.upkeep.size
    assert 0 < member.latency_s < 5
    assert clock.ahead_s is not None
    assert abs(clock.ahead_s) < clock.within_s + 0.1

    password.write_text("wrong")
    member, _ = collect.ask_member(settings, KEYS)
    assert member.denied
    assert "wrong" not in member.error

    away, clock = collect.ask_member(
        replace(settings, endpoints=("http://127.0.0.1:1",), timeout_s=0.5), KEYS
    )
    assert (away.denied, clock.ahead_s) == (False, None)
    assert "127.0.0.1:1" in away.error


# ---- Sockets


def test_a_port_is_open_or_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert collect.tcp_answer("127.0.0.1", port) == "open"
    assert collect.tcp_answer("127.0.0.1", port) == "refused"


class Page(BaseHTTPRequestHandler):
    date: str | None = None

    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.0 401 Unauthorized\r\n")
        if self.date:
            self.wfile.write(f"Date: {self.date}\r\n".encode())
        self.wfile.write(b"\r\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    "date", [None, "yesterday", f"Fri, 02 Jan 1970 00:00:00 +{'9' * 20}", "Thu, 01 Jan 1970 00:00:00 GMT"]
)
def test_the_time_of_a_page_is_its_header_and_without_one_not_known(
    date: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Page, "date", date)
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        clock, _ = collect.page_clock("it", "127.0.0.1", server.server_port)
        thread.join()

    if date and date.startswith("Thu"):
        assert clock.ahead_s is not None
        assert clock.ahead_s < -1e9
    else:
        assert clock.ahead_s is None


@pytest.mark.parametrize(
    ("begin", "more", "page_s"),
    [
        (b"HTTP/1.0 200 OK\r\nDate: ", b"x", 0.5),
        (b"HTTP/1.0 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n", b"#\n", 0.5),
        (b"HTTP/1.0 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n", b"#" * (1 << 20), 40.0),
    ],
)
def test_a_page_that_does_not_end_is_read_for_some_seconds_and_bytes(
    begin: bytes, more: bytes, page_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes within the timeout of the socket."""
    monkeypatch.setattr(collect, "_PAGE_S", page_s)

    def serve() -> None:
        with server.accept()[0] as wire, suppress(OSError):
            wire.sendall(begin)
            while not left.wait(0.05):
                wire.sendall(more)

    left = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve)
        thread.start()
        try:
            began = time.monotonic()
            clock, page = collect.page_clock("it", *server.getsockname())
            took = time.monotonic() - began
        finally:
            left.set()
            thread.join()

    assert took < 20
    assert (clock.ahead_s is None) == (more == b"x")
    assert len(page) < 4_100_000
    assert bool(page) == (more != b"x")


def test_a_kernel_tells_its_time_to_root_and_nobody_else() -> None:
    clock = collect.kernel_clock("it", "127.0.0.1")

    if os.geteuid() == 0:
        assert clock.ahead_s is not None
        assert abs(clock.ahead_s) <= clock.within_s + 0.01
    else:
        assert clock.ahead_s is None


def test_the_pool_is_a_subnet_of_the_cluster_too() -> None:
    intent = parse_intent(GOOD.encode(), 1)
    assert ("default_addr_pool", IPv4Network("10.200.0.0/16")) in collect.subnets(
        intent, ClusterState(revision=1)
    )


# ---- Files and file systems


def test_the_space_of_a_folder_that_does_not_exist_is_that_of_the_next_one_above(tmp_path: Path) -> None:
    (found,) = collect.disks("", f"{tmp_path}/no/such/folder", str(tmp_path))

    assert 0 <= found.free < found.size


# ---- Pings


class Shell(Output):
    """An engine whose containers print what they are told to."""

    def __init__(self, said: str | Missing) -> None:
        self.said = said
        self.script: tuple[str, ...] = ()

    def run_once(self, image: str, network: str, script: str, *arguments: str, timeout_s: float) -> str:
        self.script = arguments
        if isinstance(self.said, Missing):
            raise self.said
        return self.said


BUSYBOX = "10.0.0.2 0 0 0.061/0.080/0.101 ms\n"
IPUTILS = "10.0.0.3 0 1 0.032/0.044/0.062/0.011 ms\n"
SILENT = "10.0.0.4 1 1 \n"


def test_what_ping_prints_is_read_of_busybox_and_of_iputils() -> None:
    hosts, engine = {"b": "10.0.0.2", "c": "10.0.0.3", "d": "10.0.0.4"}, Shell(SILENT + IPUTILS + BUSYBOX)
    found = collect.reach(engine, "image", FRONT, hosts)

    assert [(each.host, each.round_trip_ms, each.large) for each in found] == [
        ("b", 0.080, True),
        ("c", 0.044, False),
        ("d", None, False),
    ]
    assert engine.script == ("1422", *hosts.values())


@pytest.mark.parametrize(
    "said", ["", "10.0.0.2 127 127 \n", "10.0.0.22 0 0 1/1/1 ms\n", Missing("no such image")]
)
def test_an_image_that_cannot_ping_says_nothing_of_the_overlay(said: str | Missing) -> None:
    with pytest.raises(NotSeen, match=r"10\.0\.0\.2|no such image"):
        collect.reach(Shell(said), "image", FRONT, {"b": "10.0.0.2"})


def test_only_addresses_that_a_present_agent_reports_are_pinged() -> None:
    def status(*addresses: str, instance: str = "now") -> HostStatus:
        replicas = (
            ReplicaReport(
                service="a",
                slot=slot,
                spec="",
                name="a",
                id="x",
                status="running",
                addresses=(("front", each),),
            )
            for slot, each in enumerate(addresses, 1)
        )
        return HostStatus(instance=instance, at="", agent_version="", replicas=tuple(replicas))

    state = ClusterState(
        revision=1,
        statuses={
            "good": status("10.0.0.2"),
            "old": status("10.0.0.3", instance="before"),
            "evil": status("$(reboot)", "-f"),
        },
        present=dict.fromkeys(("good", "old", "evil"), "now"),
    )

    assert collect.targets(state, "front", ["good", "old", "evil", "none"]) == {"good": "10.0.0.2"}
    assert collect.targets(state, "other", ["good"]) == {}
