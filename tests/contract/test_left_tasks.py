"""A real containerd that has kept a task of an ended container, which docker cannot start: its replica goes on."""

import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from agent.diff import replicas
from tests.contract.engines import DockerScene
from tests.contract.one_host import OneHost
from tests.support.docker_daemon import RICH, DockerDaemon
from tests.support.left_task import leave_task

NAME = "prod-db-1"
SERVICE = {"db": {"image": RICH, "command": ["sleep 1000"], "network_mode": "none", "user": "0"}}


@pytest.fixture
def host(dockerd: DockerDaemon, tmp_path: Path) -> Iterator[OneHost]:
    """A replica of an image with a volume, which has a file in it, and of which containerd has kept an empty task."""
    scene, made = DockerScene(dockerd), OneHost(dockerd, tmp_path)
    made.put(SERVICE)
    made.settle()
    made.inside(NAME, "echo kept > /data/file")
    socket = dockerd.directory / "exec/containerd/containerd.sock"
    leave_task(made.inspected(NAME)["Id"], socket, partial(os.kill, dockerd.pid))
    yield made
    scene.clean()
    scene.close()
    made.close()


def test_a_replica_with_an_empty_task_is_recreated_with_its_volume(host: OneHost) -> None:
    before = host.inspected(NAME)["Id"]
    with mock.patch.object(replicas, "LEFT_S", math.inf):
        for _ in range(10):
            host.turn()
        assert host.inspected(NAME)["Id"] == before, "it is started again, for a while"
        assert f"task {before}: already exists" in host.inspected(NAME)["State"]["Error"]

    with mock.patch.object(replicas, "LEFT_S", -math.inf):  # the agent's time of day is not the engine's
        host.settle()

    assert host.containers() == [NAME]
    assert host.inspected(NAME)["Id"] != before
    assert host.inspected(NAME)["State"]["Running"]
    assert host.inside(NAME, "cat /data/file") == "kept\n"
    assert {each.reason for each in host.steps if each.verb == "create"} >= {
        f"{replicas.EMPTY_TASK}; it keeps its volume at /data"
    }
