"""For all tests: those of a fault leave what they measured for docs/reliability.md; and silence, for those that ask."""

from collections.abc import Generator, Iterator

import pytest
import structlog

from tests.support import reliability


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    reliability.note(item, report)
    return report


@pytest.fixture(scope="module")
def unlogged() -> Iterator[None]:
    """Nothing is logged: agents in memory have much to say, and nobody reads it."""
    with structlog.testing.capture_logs():
        yield
