"""What several test modules share: a daemon, and silence."""

import os
from collections.abc import Iterator

import pytest
import structlog

from tests.docker_daemon import DockerDaemon, load_images, running

_ON_DOCKER = [
    "contract/test_fields_on_docker.py",
    "contract/test_fields_over_time.py",
    "contract/test_pull.py",
]
collect_ignore = [] if os.geteuid() == 0 else _ON_DOCKER
"""Only root can have a dockerd of its own."""


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerDaemon]:
    """A real engine of the test session's own."""
    with running(DockerDaemon(tmp_path_factory.mktemp("dockerd"))) as daemon:
        load_images(daemon)
        yield daemon


@pytest.fixture(scope="module")
def unlogged() -> Iterator[None]:
    """Nothing is logged: agents in memory have much to say, and nobody reads it."""
    with structlog.testing.capture_logs():
        yield
