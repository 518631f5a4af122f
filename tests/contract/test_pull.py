"""What a real dockerd says when a registry will not, or cannot, give an image."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.engine import DockerEngine
from agent.errors import Refused, SwarmkeeperError, Unreachable
from tests.contract.engines import CLUSTER
from tests.docker_daemon import DockerDaemon
from tests.etcd_server import eventually

PORT = 5000
SCRIPT = Path(__file__).with_name("registry.py")


@pytest.fixture(scope="module")
def engine(dockerd: DockerDaemon) -> Iterator[DockerEngine]:
    """An engine with that registry beside it; dockerd takes plain HTTP from 127.0.0.0/8."""
    network = f"--net=/proc/{dockerd.pid}/ns/net"
    registry = subprocess.Popen(["nsenter", network, sys.executable, "-I", str(SCRIPT), str(PORT)])
    try:
        eventually(lambda: _listens(network), 10.0)
        with DockerEngine(dockerd.url, 10.0, CLUSTER) as engine:
            yield engine
    finally:
        registry.kill()
        registry.wait()


def _listens(network: str) -> bool:
    probe = f"import socket; socket.create_connection(('127.0.0.1', {PORT}), 1).close()"
    done = subprocess.run(
        ["nsenter", network, sys.executable, "-I", "-c", probe], check=False, capture_output=True
    )
    return done.returncode == 0


@pytest.mark.parametrize(
    ("repository", "kind", "words"),
    [
        ("absent", Refused, "manifest unknown"),
        ("secret", Refused, "authentication required|unauthorized"),
        ("busy", Unreachable, "toomanyrequests"),
        ("broken", Unreachable, "[Uu]navailable"),
    ],
)
def test_a_no_of_the_registry_is_told_from_not_now(
    engine: DockerEngine, repository: str, kind: type[SwarmkeeperError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        engine.pull(f"127.0.0.1:{PORT}/{repository}:1.0.0")


def test_a_registry_that_is_not_there_may_come(engine: DockerEngine) -> None:
    with pytest.raises(Unreachable, match="connection refused"):
        engine.pull("127.0.0.1:5001/order:1.0.0")
