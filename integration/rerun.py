"""A pytest plugin: a scenario that ended with the lab's own error is run once more, on a lab that is brought up again.

Own lines and not pytest-rerunfailures: that keeps fixtures that were set up well, so a scenario would be run again on
the session's lab as the error left it. Here every fixture, of the session too, is torn down before the second run. An
assertion, and a program that failed in a host, say something of what is tested: they are never run again.
"""

import os
from collections.abc import Generator
from typing import Any, cast

import pytest
from _pytest.runner import runtestprotocol

from integration.lab.errors import CommandFailed, LabError

KEEP = "SWARMKEEPER_KEEP"
"""Set: a session leaves its lab up, to look into with script/lab; so nothing is run again on it."""
RERUN = "rerun"
FAILURES = pytest.StashKey[list[bool]]()
"""Of each phase of a test that failed: whether the lab's own error ended it."""


def is_labs_own(call: pytest.CallInfo[Any]) -> bool:
    """Whether the lab's own error ended the setup or the call of a test."""
    error = call.excinfo.value if call.excinfo else None
    own = isinstance(error, LabError) and not isinstance(error, CommandFailed)
    return own and call.when in {"setup", "call"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash.setdefault(FAILURES, []).append(is_labs_own(call))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    failures = item.stash.get(FAILURES, [])
    if failures and all(failures) and not os.environ.get(KEEP):
        for report in reports:
            if report.failed:
                report.outcome = cast(Any, RERUN)
                hook.pytest_runtest_logreport(report=report)
        reports = _run_again(item, nextitem)
    for report in reports:
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _run_again(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Tear down what the first run has left for later tests, and run the test on new fixtures."""
    state = item.session._setupstate  # noqa: SLF001  the hook for it would end pytest's own plugins a second time
    teardown = pytest.CallInfo.from_call(lambda: state.teardown_exact(None), "teardown")
    if teardown.excinfo:  # the lab did not go away, so there is no other to run on
        return [pytest.TestReport.from_item_and_call(item, teardown)]
    return runtestprotocol(item, log=False, nextitem=nextitem)


def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    return (RERUN, "R", ("RERUN", {"yellow": True})) if report.outcome == cast(Any, RERUN) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell of each scenario that was run again, and why: one that passed then has still failed once."""
    again = terminalreporter.getreports(RERUN)
    if again:
        terminalreporter.section("run again because of the lab's own error", yellow=True)
        for report in again:
            terminalreporter.line(f"{report.nodeid} ({report.when})")
            for line in report.longreprtext.splitlines():
                if line.startswith("E "):
                    terminalreporter.line(f"    {line[1:].strip()}")
