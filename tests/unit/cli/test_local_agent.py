import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent.cli.local_agent import ask_local_agent
from agent.errors import Invalid
from tests.unit.cli.conftest import Ended, swarmkeeper

PAGE = {
    "host": "h1",
    "as_of": "2024-05-01T12:03:10Z",
    "store": {"answers": False, "read_at": "2024-05-01T12:01:00Z"},
    "accepted_revision": 7,
    "status": {
        "at": "2024-05-01T12:03:10Z",
        "engine_up": True,
        "state": "active",
        "is_manager": True,
        "revision": 7,
        "replicas": [
            {"service": "order", "slot": 1, "status": "running", "health": "healthy", "crashes": 0},
            {"service": f"a{'very-' * 30}long", "slot": 2, "status": "exited", "health": "", "crashes": 3},
        ],
        "blocked": [{"resource": "container/x", "reason": "port 80 is taken \x1b[2J", "kind": "port"}],
        "waiting": [{"resource": "rollout/order", "reason": "the monitor runs"}],
        "steps": [{"resource": "r", "verb": "start", "text": "start container/x"}],
    },
}


class Agent:
    """A page /status as an agent of this host has it."""

    def __init__(self, folder: Path) -> None:
        self.page: Any = PAGE
        self.code = 200
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(agent.code if self.path == "/status" else 404)
                self.end_headers()
                self.wfile.write(json.dumps(agent.page).encode())

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.config = folder / "agent.yaml"
        self.configure()

    def configure(self, http: str = "") -> None:
        listen = http or f"{{listen: '127.0.0.1:{self.server.server_port}'}}"
        self.config.write_text(
            "cluster: prod\nhost: h1\n"
            "etcd: {endpoints: ['http://127.0.0.1:1'], timeout: 200ms, budget: 300ms}\n"
            f"http: {listen}\n"
        )

    def run(self, *arguments: str) -> Ended:
        return swarmkeeper("status", "--config", str(self.config), *arguments)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path)
    thread = threading.Thread(target=agent.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield agent
    agent.server.shutdown()
    agent.server.server_close()
    thread.join()


def test_without_etcd_the_agent_of_this_host_is_asked(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = agent.run()
    lines = ended.out.splitlines()

    assert ended.code == 0
    assert lines[0] == "etcd does not answer; this is what the agent of h1 knows, as of 12:03:10 UTC"
    assert "h1: manager, dockerd answers, revision 7 accepted, 7 done" in ended.out
    assert "etcd last read at 12:01:00 UTC" in " ".join(ended.out.split())
    assert any(line.split() == ["order-1", "running", "healthy", "0"] for line in lines)
    assert "  container/x: port 80 is taken \\x1b[2J" in lines
    assert "  rollout/order: the monitor runs" in lines
    assert "  start container/x" in lines
    assert "etcd does not answer: http://127.0.0.1:1" in ended.out
    assert [line for line in lines if len(line) > 80] == []


def test_as_json_the_page_is_there_as_it_is_and_the_cluster_is_unknown(agent: Agent) -> None:
    told = json.loads(agent.run("-o", "json").out)

    assert (told["source"], told["converged"], told["code"], told["cluster"]["state"]) == (
        "agent",
        False,
        3,
        "Unknown",
    )
    assert told["agent"] == PAGE


@pytest.mark.parametrize(
    "page", [{"ready": False}, {"host": "h1", "status": 3}, {"status": {"replicas": [1, {}]}}]
)
def test_an_agent_that_has_no_report_yet_is_no_fault(agent: Agent, page: Any) -> None:
    agent.page = page
    ended = agent.run()

    assert ended.code == 0
    assert "the agent of h1 knows, which has made no report yet" in ended.out


@pytest.mark.parametrize(
    ("page", "code", "why"), [(PAGE, 503, "answered with 503"), ([], 200, "answered with 200")]
)
def test_a_page_that_is_none_is_nothing_to_tell(agent: Agent, page: Any, code: int, why: str) -> None:
    agent.page, agent.code = page, code
    ended = agent.run()

    assert (ended.code, ended.out) == (3, "")
    assert "etcd does not answer: http://127.0.0.1:1" in ended.err
    assert why in ended.err


def test_without_an_agent_nothing_is_known(agent: Agent) -> None:
    agent.configure("{listen: '127.0.0.1:1'}")
    ended = agent.run()

    assert (ended.code, ended.out) == (3, "")
    assert "the agent of this host does not answer at http://127.0.0.1:1/status" in ended.err


def test_a_page_with_a_password_is_not_asked_but_said_how_to_see(agent: Agent, tmp_path: Path) -> None:
    web = tmp_path / "web.yaml"
    web.write_text("x")
    web.chmod(0o600)
    agent.configure(f"{{listen: '0.0.0.0:1', web_config: {web}}}")
    with pytest.raises(Invalid, match=r"curl --user USER https://0\.0\.0\.0:1/status"):
        ask_local_agent(agent.config, "prod")


def test_the_agent_of_another_cluster_is_not_asked(agent: Agent) -> None:
    with pytest.raises(Invalid, match="belongs to the cluster prod"):
        ask_local_agent(agent.config, "test")


def test_an_agent_that_listens_everywhere_is_asked_on_this_machine(agent: Agent) -> None:
    agent.configure(f"{{listen: '0.0.0.0:{agent.server.server_port}'}}")

    assert ask_local_agent(agent.config, "prod").page == PAGE


def test_a_check_without_etcd_is_unknown(agent: Agent) -> None:
    ended = agent.run("--check")

    assert ended.code == 3
    assert ended.out.startswith("SWARMKEEPER UNKNOWN - etcd does not answer: http://127.0.0.1:1")
    assert ended.out.count("\n") == 1
