"""The output of replicas on a real dockerd: every line once, however often the reading breaks off."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from agent.cli.log_merge import Place
from agent.clients.docker.output import Line, Output
from agent.diff.container import create_request
from agent.errors import Refused
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, Logging, spec_hash
from tests.contract.engines import CLUSTER, DockerScene
from tests.support.docker_daemon import BARE, DockerDaemon

LINES = 300
COUNTS = f"n=0; while [ $n -lt {LINES} ]; do echo $n; echo $n >&2; n=$((n+1)); done; sleep 1000"


@pytest.fixture
def scene(dockerd: DockerDaemon) -> Iterator[DockerScene]:
    scene = DockerScene(dockerd)
    yield scene
    scene.clean()
    scene.close()


@pytest.fixture
def output(dockerd: DockerDaemon) -> Iterator[Output]:
    with closing(Output(dockerd.url, CLUSTER)) as output:
        yield output


def started(scene: DockerScene, script: str, *, tty: bool = False, logging: Logging | None = None) -> str:
    spec = ContainerSpec(
        image=BARE, command=("sh", "-c", script), tty=tty, logging=logging, stop_grace_period_s=1
    )
    replica = Replica(service="order", slot=1, spec=spec_hash(spec))
    request = create_request(spec, replica, project="prod", cluster=CLUSTER, name="prod-order-1")
    container = scene.engine.create_container(request)
    scene.engine.start(container)
    return container


def whole(lines: list[Line]) -> list[int]:
    return sorted(int(each.content) for each in lines)


@pytest.mark.parametrize("tty", [True, False])
def test_every_line_is_read_once_however_often_the_reading_breaks_off(
    scene: DockerScene, output: Output, tty: bool
) -> None:
    container, place, read, most = started(scene, COUNTS, tty=tty), Place(0), list[Line](), 1
    while len(read) < 2 * LINES:
        most *= 3  # what is read again comes first
        pieces = output.lines(container, place.again(), "all", follow=True)
        for _, some in zip(range(most), pieces, strict=False):
            read += place.new(some)
            if len(read) >= 2 * LINES:
                break
        pieces.close()  # type: ignore[attr-defined]
    assert whole(read) == sorted([*range(LINES)] * 2)


def test_a_replica_is_found_and_restarted_and_what_follows_it_ends_with_it(
    scene: DockerScene, output: Output
) -> None:
    container = started(scene, "echo up; sleep 1000")
    read = list[Line]()

    def follow() -> None:
        for some in output.lines(container, 0, "all", follow=True):
            read.extend(some)

    reader = threading.Thread(target=follow)
    reader.start()
    (found,) = output.replicas()
    assert (found.id, found.name, found.running) == (container, "order-1", True)
    output.restart(container)
    reader.join(20)
    assert not reader.is_alive()
    assert [line.content for some in output.lines(container, 0, "1", follow=False) for line in some] == [
        b"up\n"
    ]
    assert sum(map(len, output.lines(container, 0, "all", follow=False))) == 2
    assert output.replicas()[0].running


def test_a_driver_that_cannot_be_read_is_refused(scene: DockerScene, output: Output) -> None:
    container = started(scene, "sleep 1000", logging=Logging(driver="none"))
    with pytest.raises(Refused, match="does not support reading"):
        list(output.lines(container, 0, "all", follow=True))
