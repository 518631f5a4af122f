"""For all tests: those of a fault leave what they measured for docs/reliability.md."""

from collections.abc import Generator

import pytest

from tests import reliability


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    reliability.note(item, report)
    return report
