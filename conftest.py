"""For all tests: those of a fault leave what they measured; a worker for each; and silence, for those that ask."""

from collections.abc import Generator, Iterator

import pytest
import structlog
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import Scheduling

from tests.support import reliability
from tests.support.scheduling import OneByOne

settings.register_profile("any machine", deadline=None)
"""No example fails by its duration: on a busy machine that says nothing about the code."""
settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    reliability.note(item, report)
    return report


@pytest.hookimpl(optionalhook=True)  # `-p no:xdist` leaves nobody who would ask
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """One of our own for --dist loadscope."""
    return OneByOne(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="module")
def unlogged() -> Iterator[None]:
    """Nothing is logged: agents in memory have much to say, and nobody reads it."""
    with structlog.testing.capture_logs():
        yield
