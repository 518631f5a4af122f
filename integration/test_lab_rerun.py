"""What a lab's own error ended is run once more, on a new lab, and the summary shows it."""

import pytest

from integration import rerun
from integration.rerun import KEEP

pytest_plugins = "pytester"

SCENARIO = """
from pathlib import Path

import pytest

from integration.lab.errors import CommandFailed, LabError

EVENTS = Path(__file__).with_name("events")


def note(event):
    '''Write an event down and return how often there was one like it.'''
    with EVENTS.open("a") as file:
        file.write(f"{event} ")
    return EVENTS.read_text().split().count(event)


@pytest.fixture(scope="session")
def lab():
    count = note("up")
    if FAILING == "setup" and count == 1:
        raise LabError("node-231 did not come up")
    yield
    note("down")
    assert FAILING != "down"


def test_before(lab):
    pass


def test_it(lab):
    count = note("test")
    if FAILING in {"call", "down"} and count == 1 or FAILING == "always":
        raise LabError("node-231 is off")
    if FAILING == "command":
        raise CommandFailed("ls ended with 2")
    assert FAILING != "assertion"


def test_after(lab):
    pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> "Run":
    monkeypatch.delenv(KEEP, raising=False)
    return Run(pytester)


class Run:
    """Runs the scenario in a pytest of its own, in the way it is to fail."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester

    def __call__(self, failing: str) -> pytest.RunResult:
        self._pytester.makepyfile(f"FAILING = {failing!r}\n{SCENARIO}")
        return self._pytester.runpytest_inprocess("-p", "no:cacheprovider", plugins=[rerun])

    @property
    def events(self) -> list[str]:
        return (self._pytester.path / "events").read_text().split()


def test_a_lab_that_did_not_come_up_is_brought_up_again(run: Run) -> None:
    result = run("setup")
    assert result.parseoutcomes() == {"passed": 3, "rerun": 1}
    assert result.ret == 0
    assert run.events == ["up", "up", "test", "down"]


def test_a_scenario_is_run_again_on_another_lab_and_the_summary_says_why(run: Run) -> None:
    result = run("call")
    assert result.parseoutcomes() == {"passed": 3, "rerun": 1}
    assert run.events == ["up", "test", "down", "up", "test", "down"]
    result.stdout.re_match_lines(
        [
            r"=+ run again because of the lab's own error =+",
            r".*::test_it \(call\)",
            r".*LabError: node-231 is off",
        ]
    )


def test_the_second_failure_counts(run: Run) -> None:
    result = run("always")
    assert result.parseoutcomes() == {"passed": 2, "failed": 1, "rerun": 1}
    assert result.ret == 1


@pytest.mark.parametrize("failing", ["assertion", "command"])
def test_what_is_tested_is_never_run_again(run: Run, failing: str) -> None:
    result = run(failing)
    assert result.parseoutcomes() == {"passed": 2, "failed": 1}
    assert run.events == ["up", "test", "down"]


def test_a_lab_that_does_not_go_away_is_an_error_and_no_second_run(run: Run) -> None:
    result = run("down")
    outcomes = result.parseoutcomes()
    assert outcomes["errors"] >= 1
    assert run.events.count("test") == 1
    assert result.ret == 1


def test_a_lab_that_is_to_be_kept_is_not_taken_down_for_a_second_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEEP, "1")
    assert run("call").parseoutcomes() == {"passed": 2, "failed": 1}
