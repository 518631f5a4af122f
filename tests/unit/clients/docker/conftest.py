"""A dockerd that does as it is told, and a client of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clients.docker import DockerEngine
from tests.unit.clients.docker.stub import StubDockerd

Calls = list[tuple[str, str | None]]


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[StubDockerd]:
    with StubDockerd(tmp_path / "docker.sock").serving() as stub:
        yield stub


@pytest.fixture
def calls() -> Calls:
    """(call, error) of every call observed."""
    return []


@pytest.fixture
def engine(stub: StubDockerd, calls: Calls) -> Iterator[DockerEngine]:
    def observe(call: str, seconds: float, error: str | None) -> None:
        assert seconds >= 0
        calls.append((call, error))

    with contextlib.closing(DockerEngine(stub.url, 1.0, "test", observe)) as engine:
        yield engine
