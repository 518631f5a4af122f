"""What a real dockerd says when a registry will not, or cannot, give an image."""

import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.docker import DockerEngine
from agent.clients.registry_config import RegistryConfig
from agent.errors import Refused, SwarmkeeperError, Unreachable
from tests.contract.engines import CLUSTER
from tests.contract.registry import KNOWN, MANIFEST, digest
from tests.support import docker_daemon
from tests.support.docker_daemon import BARE, DockerDaemon
from tests.support.etcd_server import eventually

PORT, LOCKED = 5000, 5002
CONTAINERD_SINCE = 25
"""The engine from which on containerd can keep the images, as an option."""
SCRIPT = Path(__file__).with_name("registry.py")


@pytest.fixture(scope="module", params=["graph driver", "containerd"])
def daemon(
    request: pytest.FixtureRequest, dockerd: DockerDaemon, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DockerDaemon]:
    """An engine that keeps images with a graph driver, and one that lets containerd keep them."""
    if request.param == "graph driver":
        yield dockerd
        return
    with contextlib.closing(dockerd.client()) as client:
        version = client.version()["Version"]
    if int(version.partition(".")[0]) < CONTAINERD_SINCE:
        pytest.skip(f"engine {version} has no image store of containerd")
    settings = {"features": {"containerd-snapshotter": True}}
    made = DockerDaemon(tmp_path_factory.mktemp("containerd"), settings=settings)
    with docker_daemon.running(made):
        docker_daemon.load_images(made)
        with contextlib.closing(made.client()) as client:
            assert "io.containerd.snapshotter.v1" in str(client.info()["DriverStatus"])
        yield made


@pytest.fixture(scope="module")
def engine(daemon: DockerDaemon) -> Iterator[DockerEngine]:
    """The client, with that registry beside the engine; dockerd takes plain HTTP from 127.0.0.0/8."""
    network = f"--net=/proc/{daemon.pid}/ns/net"
    program = ["nsenter", network, sys.executable, "-I", str(SCRIPT)]
    registries = [
        subprocess.Popen([*program, str(PORT)]),
        subprocess.Popen([*program, str(LOCKED), "locked"]),
    ]
    try:
        for port in (PORT, LOCKED):
            eventually(lambda port=port: _listens(network, port), 10.0)  # type: ignore[misc]
        with contextlib.closing(DockerEngine(daemon.url, 10.0, CLUSTER)) as engine:
            yield engine
    finally:
        for registry in registries:
            registry.kill()
            registry.wait()


def _listens(network: str, port: int) -> bool:
    probe = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1).close()"
    done = subprocess.run(
        ["nsenter", network, sys.executable, "-I", "-c", probe], check=False, capture_output=True
    )
    return done.returncode == 0


@pytest.mark.parametrize(
    ("repository", "kind", "words"),
    [
        ("absent", Refused, "manifest unknown|not found"),
        ("secret", Refused, "authentication required|[Uu]nauthorized"),
        ("busy", Unreachable, "toomanyrequests|429 Too Many Requests"),
        ("broken", Unreachable, "[Uu]navailable"),
    ],
)
def test_a_no_of_the_registry_is_told_from_not_now(
    engine: DockerEngine, repository: str, kind: type[SwarmkeeperError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        engine.pull(f"127.0.0.1:{PORT}/{repository}:1.0.0")


def test_a_registry_that_wants_to_know_who_asks_is_asked_in_vain(engine: DockerEngine) -> None:
    with pytest.raises(Refused, match="no basic auth credentials"):
        engine.pull(f"127.0.0.1:{LOCKED}/absent:1.0.0")


def test_a_registry_that_is_not_there_may_come(engine: DockerEngine) -> None:
    with pytest.raises(Unreachable, match="connection refused"):
        engine.pull("127.0.0.1:5001/order:1.0.0")


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("wrong", "[Uu]nauthorized|authentication required|no basic auth"),
        ("right", "manifest unknown|not found"),
    ],
)
def test_the_credentials_of_the_file_are_what_the_registry_is_shown(
    engine: DockerEngine, daemon: DockerDaemon, tmp_path: Path, password: str, words: str
) -> None:
    file = tmp_path / "registry.json"
    auth = base64.b64encode(f"robot:{password}".encode()).decode()
    file.write_text(json.dumps({"auths": {f"127.0.0.1:{LOCKED}": {"auth": auth}}}))
    image = f"127.0.0.1:{LOCKED}/absent:1.0.0"
    known = RegistryConfig(str(file))
    private = DockerEngine(daemon.url, 10.0, CLUSTER, credentials=known.header)
    with contextlib.closing(private) as with_credentials:
        for ask in (with_credentials.pull, with_credentials.digest_of):
            with pytest.raises(Refused, match=words):
                ask(image)


def test_the_digest_of_a_tag_is_told_without_fetching_anything(engine: DockerEngine) -> None:
    image = f"127.0.0.1:{PORT}/{KNOWN}:1.0.0"
    assert engine.digest_of(image) == digest(MANIFEST)
    assert image not in engine.images([image])


@pytest.mark.parametrize("repository", ["absent", "secret"])
def test_a_digest_that_is_not_to_be_had_is_refused(engine: DockerEngine, repository: str) -> None:
    with pytest.raises(Refused):
        engine.digest_of(f"127.0.0.1:{PORT}/{repository}:1.0.0")


def test_a_digest_of_a_registry_that_is_away_may_come(engine: DockerEngine) -> None:
    with pytest.raises(Unreachable):
        engine.digest_of("127.0.0.1:5001/order:1.0.0")


def test_the_last_words_of_a_container_are_read_with_and_without_a_terminal(
    engine: DockerEngine, daemon: DockerDaemon
) -> None:
    with contextlib.closing(daemon.client()) as client:
        for tty in (False, True):
            say = ["/bin/sh", "-c", "exec >&2; echo one; echo two; echo three"]
            made = client.create_container(BARE, say, tty=tty)["Id"]
            client.start(made)
            client.wait(made)
            assert engine.output(made, 2).split() == [b"two", b"three"]
            client.remove_container(made)
        silent = client.create_container(BARE, ["/bin/true"], host_config={"LogConfig": {"Type": "none"}})
        with pytest.raises(SwarmkeeperError):
            engine.output(silent["Id"], 2)
        client.remove_container(silent["Id"])
