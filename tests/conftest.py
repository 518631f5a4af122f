"""Daemons that several test modules share."""

from collections.abc import Iterator

import pytest

from tests.docker_daemon import DockerDaemon, running


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerDaemon]:
    """A real engine of the test session's own; only root can have one."""
    with running(DockerDaemon(tmp_path_factory.mktemp("dockerd"))) as daemon:
        yield daemon
