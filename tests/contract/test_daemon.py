"""The agent as a process: how it begins, how it ends, and that nothing it waits for keeps it from ending."""

import contextlib
import json
import resource
import signal
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from agent.clients.etcd import EtcdStore
from agent.config import HttpSettings, load_config
from agent.daemon.main import Daemon
from agent.errors import Invalid, Refused
from agent.lease import campaign
from agent.model.keys import Keys
from agent.model.records import Accepted, LeaderRecord, decode, encode
from agent.model.status import HostStatus
from agent.model.store import Delete, KeyRange, KeyValue, Put, StoreSettings
from tests.support.agent_process import IMAGE, WITHIN_S, AgentProcess, running
from tests.support.document import document
from tests.support.etcd_server import EtcdServer, eventually
from tests.support.etcd_server import running as running_etcd

KEYS = Keys("prod")
SOON_S = 2.0
DOCUMENT = b"""\
name: prod
x-cluster:
  version: 1
  hosts: {h1: {address: 10.0.0.1, role: manager}}
  gwbridge: {subnet: 172.21.0.0/20, gateway: 172.21.0.1}
services:
  order: {image: "order:1.0.0", x-hosts: [h1], network_mode: none}
"""
Start = Callable[..., AbstractContextManager[AgentProcess]]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with running_etcd(EtcdServer(tmp_path_factory.mktemp("etcd"))) as server:
        yield server


@pytest.fixture
def store(etcd: EtcdServer) -> Iterator[EtcdStore]:
    """An operator, and an etcd with nothing in it."""
    store = EtcdStore(StoreSettings(endpoints=(etcd.endpoint,)))
    store.txn([], [Delete(key=KEYS.root, prefix=True)])
    yield store
    store.close()


@pytest.fixture
def start(tmp_path: Path, etcd: EtcdServer, store: EtcdStore) -> Start:
    return partial(running, tmp_path, etcd.endpoint)


def read(store: EtcdStore, key: str) -> KeyValue | None:
    return store.read([KeyRange(key=key)]).get(key)


def status(store: EtcdStore) -> HostStatus:
    found = read(store, KEYS.status("h1"))
    assert found is not None
    return decode(HostStatus, found.value)


# ---- the beginning


def test_without_a_dockerd_it_becomes_ready_and_holds(start: Start, store: EtcdStore) -> None:
    with start() as agent:
        agent.until_it_says("READY=1")
        agent.until_it_says("STATUS=no accepted intent, dockerd does not answer")
        assert agent.get("/healthz") == (200, "ok\n")
        code, reasons = agent.get("/readyz")
        assert (code, "no intent is accepted" in reasons, "dockerd" in reasons) == (503, True, True)
        eventually(lambda: read(store, KEYS.presence("h1")), WITHIN_S)
        assert not status(store).engine_up
        assert json.loads(agent.get("/status")[1])["host"] == "h1"


def test_it_shows_the_cluster_in_a_browser_and_loads_what_that_takes_for_the_first_viewer(
    start: Start, store: EtcdStore
) -> None:
    with start() as agent:
        agent.until_it_says("READY=1")
        maps = Path(f"/proc/{agent.process.pid}/maps")
        assert "_speedups" not in maps.read_text()  # of MarkupSafe, which Jinja imports

        status, page = agent.get("/")

        assert status == 200
        assert "<h1>Cluster <bdi>prod</bdi></h1>" in page
        assert "Read at" in page
        assert "_speedups" in maps.read_text()
        assert agent.get("/history")[0] == 200
        assert agent.get("/history/1")[0] == 404


def test_without_an_etcd_it_becomes_ready_and_is_there_when_etcd_comes(tmp_path: Path) -> None:
    server = EtcdServer(tmp_path / "etcd")
    with running(tmp_path / "agent", server.endpoint) as agent:
        agent.until_it_says("READY=1")
        assert agent.says("STATUS=no accepted intent, dockerd does not answer, etcd unreachable")
        with running_etcd(server):
            store = EtcdStore(StoreSettings(endpoints=(server.endpoint,)))
            eventually(lambda: read(store, KEYS.presence("h1")), WITHIN_S)
            eventually(lambda: read(store, KEYS.status("h1")), WITHIN_S)
            store.close()


def test_a_taken_port_is_said_clearly_and_the_agent_works_without_its_pages_until_it_is_free(
    start: Start, store: EtcdStore
) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    listen = f"127.0.0.1:{taken.getsockname()[1]}"
    with start(listen=listen) as agent:
        agent.until_it_says("READY=1")
        assert f"cannot listen on {listen} for HTTP: Address already in use" in agent.log()
        assert "Traceback" not in agent.log()
        eventually(lambda: read(store, KEYS.status("h1")), WITHIN_S)
        blocked = [(each.resource, each.kind) for each in status(store).blocked]
        assert ("page", "port") in blocked

        taken.close()
        eventually(lambda: "HTTP server started" in agent.log(), WITHIN_S)
        assert agent.get("/healthz") == (200, "ok\n")
        eventually(lambda: all(each.resource != "page" for each in status(store).blocked), WITHIN_S)


def test_a_second_agent_on_the_host_ends_before_anything_began(
    start: Start, store: EtcdStore, etcd: EtcdServer, tmp_path: Path
) -> None:
    with start() as first:
        first.until_it_says("READY=1")
        eventually(lambda: read(store, KEYS.presence("h1")), WITHIN_S)
        before = read(store, KEYS.presence("h1"))
        config = load_config(tmp_path / "agent.yaml")
        daemon = Daemon(config)
        with pytest.raises(Refused, match="another agent runs on this host"):
            daemon.start()
        daemon.close()
        assert read(store, KEYS.presence("h1")) == before


def test_a_start_that_fails_leaves_no_thread(tmp_path: Path, etcd: EtcdServer) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"cluster: prod\nhost: h1\netcd: {{endpoints: ['{etcd.endpoint}']}}\nstate_directory: {tmp_path}\n"
        f"docker: {{url: 'unix://{tmp_path}/none.sock'}}\n"
    )
    before = set(threading.enumerate())
    daemon = Daemon(replace(load_config(config), http=HttpSettings(listen="nowhere")))
    with pytest.raises(Invalid, match="is not a valid listen address"):
        daemon.start()
    daemon.close()
    eventually(lambda: set(threading.enumerate()) <= before, SOON_S, "threads of the daemon end")


# ---- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_soon_and_gives_the_lease_back(
    start: Start, store: EtcdStore, number: signal.Signals
) -> None:
    with start() as agent:
        agent.until_it_says("READY=1")
        eventually(lambda: read(store, KEYS.presence("h1")), WITHIN_S)
        agent.signal(number)
        assert agent.ended(SOON_S) == 0
        assert agent.says("STOPPING=1")
        assert read(store, KEYS.presence("h1")) is None


def test_a_leader_that_ends_gives_the_lock_back_and_says_that_it_leads_no_more(
    start: Start, store: EtcdStore
) -> None:
    store.txn([], [Put(key=KEYS.intent, value=DOCUMENT)])
    with start(how="pull-hangs") as agent:
        eventually(lambda: read(store, KEYS.status("h1")) and status(store).leading, WITHIN_S)
        agent.signal(signal.SIGTERM)
        agent.eventually(lambda: read(store, KEYS.leader) is None, SOON_S, "the lock is given back")
        agent.ended(WITHIN_S)
        assert not status(store).leading


def until_it_pulls(agent: AgentProcess) -> None:
    agent.until_it_says("READY=1")
    eventually(lambda: "pull image/order:1.0.0" in in_flight(agent), WITHIN_S, "a pull that hangs")


def in_flight(agent: AgentProcess) -> str:
    return str(json.loads(agent.get("/status")[1]).get("in_flight"))


def test_a_step_that_hangs_in_dockerd_does_not_keep_it_from_ending(start: Start, store: EtcdStore) -> None:
    store.txn([], [Put(key=KEYS.intent, value=DOCUMENT)])
    with start(how="pull-hangs") as agent:
        until_it_pulls(agent)
        agent.signal(signal.SIGTERM)
        assert agent.ended(SOON_S) == 0
        assert "steps in flight continue in dockerd" in agent.log()
        assert '"event":"stopped"' in agent.log().replace(" ", "")


def test_a_pass_that_hangs_in_dockerd_does_not_delay_the_next_leader(start: Start, store: EtcdStore) -> None:
    with start(how="all-hangs") as agent:
        eventually(lambda: read(store, KEYS.presence("h1")), WITHIN_S)
        agent.signal(signal.SIGTERM)
        agent.eventually(lambda: read(store, KEYS.presence("h1")) is None, SOON_S, "the lease is given back")
        assert agent.process.poll() is None


@pytest.mark.fault("a leader is frozen in the middle of a write and resumed when another agent is the leader")
def test_the_write_of_a_leader_that_is_resumed_when_another_agent_is_the_leader_is_refused(
    start: Start, store: EtcdStore
) -> None:
    store.txn([], [Put(key=KEYS.intent, value=DOCUMENT)])
    with start(how="freezes-in-its-write") as agent:
        eventually(lambda: _stands_still(agent), WITHIN_S, "the leader is about to write")
        assert read(store, KEYS.accepted) is None
        eventually(lambda: read(store, KEYS.leader) is None, WITHIN_S, "its lease ends")
        lease = store.grant(60)
        assert campaign(store, KEYS.leader, encode(LeaderRecord(host="h2", since="now")), lease.id)
        agent.signal(signal.SIGCONT)
        eventually(
            lambda: "failed: prepare" in agent.log(), WITHIN_S, "what it was about to write is refused"
        )
        eventually(lambda: read(store, KEYS.status("h1")), WITHIN_S, "it goes on as a host")
        assert read(store, KEYS.accepted) is None
        assert read(store, KEYS.verdict) is None
        store.revoke(lease.id)
        eventually(lambda: read(store, KEYS.accepted), WITHIN_S, "it leads again when it is let")


def _stands_still(agent: AgentProcess) -> bool:
    stat = Path(f"/proc/{agent.process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


@pytest.mark.fault("the clock jumps by an hour, forwards and back")
def test_an_hour_more_or_less_on_the_wall_clock_costs_neither_lease_nor_lock(
    start: Start, store: EtcdStore
) -> None:
    store.txn([], [Put(key=KEYS.intent, value=DOCUMENT)])
    with start(how="wall-clock-is-set") as agent:
        eventually(lambda: read(store, KEYS.accepted), WITHIN_S, "it leads")
        lock, presence = read(store, KEYS.leader), read(store, KEYS.presence("h1"))
        for number, jump in enumerate((signal.SIGUSR1, signal.SIGUSR2)):
            agent.signal(jump)
            revision = store.txn([], [Put(key=KEYS.intent, value=DOCUMENT + b"# %d" % number)]).revision
            eventually(partial(_is_accepted, store, revision), WITHIN_S, f"it goes on:\n{agent.log()}")
            assert (read(store, KEYS.leader), read(store, KEYS.presence("h1"))) == (lock, presence)
            assert agent.get("/healthz")[0] == 200


def _is_accepted(store: EtcdStore, revision: int) -> bool:
    found = read(store, KEYS.accepted)
    return found is not None and decode(Accepted, found.value).revision == revision


class _Failing(BaseHTTPRequestHandler):
    """A dockerd that has an inner error, whatever it is asked."""

    def do_GET(self) -> None:
        body = b'{"message": "something is wrong inside"}'
        self.send_response(500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: object) -> None: ...


@pytest.mark.fault("dockerd answers everything with 500")
def test_while_dockerd_answers_with_500_the_agent_changes_nothing_and_reports_its_answer(
    start: Start, store: EtcdStore, tmp_path: Path
) -> None:
    with socketserver.ThreadingUnixStreamServer(f"{tmp_path}/none.sock", _Failing) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with start() as agent:
                agent.until_it_says("READY=1")
                eventually(lambda: read(store, KEYS.status("h1")), WITHIN_S)
                assert not status(store).engine_up
                assert "something is wrong inside" in status(store).engine_error
                assert agent.get("/healthz") == (200, "ok\n")
                assert "Traceback" not in agent.log()
        finally:
            server.shutdown()


def test_a_second_signal_ends_it_at_once(start: Start, store: EtcdStore) -> None:
    store.txn([], [Put(key=KEYS.intent, value=DOCUMENT)])
    with start(how="pull-hangs") as agent:
        until_it_pulls(agent)
        agent.signal(signal.SIGTERM)
        agent.until_it_says("STOPPING=1")
        agent.signal(signal.SIGTERM)
        assert agent.ended(SOON_S) == 128 + signal.SIGTERM


def test_a_loop_that_ends_by_itself_ends_the_agent_with_an_error(start: Start) -> None:
    with start(how="loop-ends") as agent:
        assert agent.ended(WITHIN_S) == 1
        assert "reconcile loop has ended" in agent.log()


# ---- who looks


CROWD = 1000
UNHURRIED_S = 5.0
"""What a pass may take at most, from a document put to the status written, while a crowd is at the door."""


@contextlib.contextmanager
def a_crowd(listen: str) -> Iterator[list[socket.socket]]:
    """So many connections at a time, each of which has begun to ask and does not go on."""
    host, port = listen.split(":")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * CROWD)), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        crowd = []
        for _ in range(CROWD):
            crowd.append(stack.enter_context(socket.create_connection((host, int(port)), timeout=10)))
            with contextlib.suppress(OSError):  # who is turned away at once may be gone already
                crowd[-1].sendall(b"GET /metr")
        yield crowd


def test_a_thousand_connections_that_dawdle_do_not_delay_the_loop(start: Start, store: EtcdStore) -> None:
    with start(how="all-is-well") as agent:
        agent.until_it_says("READY=1")
        eventually(lambda: read(store, KEYS.presence("h1")), WITHIN_S)
        with a_crowd(agent.listen) as crowd:
            for replicas in (1, 2, 3):
                order = {"order": {"image": IMAGE, "x-hosts": {"h1": replicas}}}
                edited = document(DOCUMENT.decode(), services=order).encode()
                revision = store.txn([], [Put(key=KEYS.intent, value=edited)]).revision
                eventually(partial(carried_out, store, revision), UNHURRIED_S, "the loop goes on")
            assert len(crowd) == CROWD
        threads = len(list(Path(f"/proc/{agent.process.pid}/task").iterdir()))
        assert threads < 50, "a connection costs no thread"
        eventually(lambda: agent.get("/healthz") == (200, "ok\n"), WITHIN_S, "others are served again")


def carried_out(store: EtcdStore, revision: int) -> bool:
    return status(store).revision == revision


def test_a_web_configuration_with_a_fault_is_a_faulty_configuration(tmp_path: Path, start: Start) -> None:
    (tmp_path / "web.yaml").write_text("basic_auth_users: {a: plain}")
    (tmp_path / "web.yaml").chmod(0o600)
    configuration = f"http: {{listen: '127.0.0.1:0', web_config: {tmp_path}/web.yaml}}"
    with start(http=configuration) as agent:
        assert agent.ended(WITHIN_S) == 78
        assert "web.yaml: line 1, column 23: basic_auth_users.a" in agent.log()
        assert "Traceback" not in agent.log()
