"""How `apply --wait` shows its progress and its end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any, TypeVar, cast

import pytest
from rich.console import Console

import agent.cli.wait
from agent.cli.connect import Connection
from agent.cli.wait import MOST_CAUSES, Outcome, await_goal, check_newest, show_outcome
from agent.conditions import Progress
from agent.errors import Conflict
from agent.model.observed import ClusterState
from tests.unit.conditions.test_goal import GOAL, STATE, condition

T = TypeVar("T")


def step(**lines: str) -> Progress:
    return Progress(done=not lines, failed=(), lines=lines, causes=(), others=())


@dataclass(slots=True)
class Scripted:
    """A connection whose reads are as often as the script has steps; a second passes before each."""

    steps: int
    seconds: list[float] = field(default_factory=lambda: [0.0])

    def wait_for(self, found: Callable[[ClusterState], T | None], _: float) -> T | None:
        for _ in range(self.steps):
            self.seconds.append(self.seconds[-1] + 1)
            if result := found(STATE):
                return result
        return None

    def clock(self) -> float:
        return self.seconds[-1]


def awaited(monkeypatch: pytest.MonkeyPatch, *script: Progress, console: Console | None = None) -> Outcome:
    steps: Iterator[Progress] = iter(script)
    monkeypatch.setattr(agent.cli.wait, "progress_to", lambda *_: next(steps))
    monkeypatch.setattr(agent.cli.wait, "conditions_of", lambda *_, **__: None)
    scripted = Scripted(steps=len(script))
    return await_goal(cast(Connection, scripted), GOAL, 60.0, console=console, clock=scripted.clock)


def test_elsewhere_than_on_a_terminal_each_change_is_one_line_with_its_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (step(a="0 of 2", b="starts\x1b[2J"), step(a="0 of 2"), step(a="1 of 2"), step())
    outcome = awaited(monkeypatch, *script)

    assert outcome == Outcome(result="ready", seconds=4.0)
    assert capsys.readouterr().out.splitlines() == [
        "   1.0 s  a: 0 of 2",
        "   1.0 s  b: starts\\x1b[2J",
        "   2.0 s  b: ready",
        "   3.0 s  a: 1 of 2",
        "   4.0 s  a: ready",
    ]


def test_a_terminal_shows_them_in_place_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = StringIO()
    console = Console(file=shown, force_terminal=True, width=60, height=8)
    lines = {f"service-{number}": "starts " * 20 for number in range(10)}
    awaited(monkeypatch, step(**lines), step(), console=console)

    assert "\x1b[2K" in shown.getvalue()
    assert shown.getvalue().endswith("\x1b[2K")


def test_the_end_of_the_time_has_the_open_part_as_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = awaited(monkeypatch, step(a="1 of 2"))

    assert (outcome.result, outcome.causes) == ("timeout", ("a: 1 of 2",))


def test_a_failure_ends_the_wait_with_its_causes(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = condition("rollout/a", "Blocked", "RolloutPaused", "paused")
    progress = Progress(done=False, failed=(failed,), lines={}, causes=("rollout/a: paused",), others=())
    outcome = awaited(monkeypatch, progress)

    assert (outcome.result, outcome.causes) == ("failed", ("rollout/a: paused",))


def test_ctrl_c_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(agent.cli.wait, "conditions_of", interrupt)
    scripted = Scripted(steps=1)
    outcome = await_goal(cast(Connection, scripted), GOAL, 60.0, clock=scripted.clock)

    assert outcome.result == "interrupted"
    assert show_outcome(outcome, 9).endswith("revision 9 stays applied, and the agents continue")


@pytest.mark.parametrize(
    ("result", "said", "error"),
    [
        ("ready", "Every service that revision 9 changes is ready, after 2.0 s.\n", ""),
        ("converged", "The cluster has converged at revision 9, after 2.0 s.\n", ""),
        ("failed", "", "revision 9 has failed after 2.0 s; the document stays applied"),
    ],
)
def test_the_end_is_said_once(result: Any, said: str, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_outcome(Outcome(result=result, seconds=2.0), 9) == error
    assert capsys.readouterr().out == said


def test_causes_are_bounded_and_apart_from_what_the_revision_does_not_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    causes = tuple(f"order-{number}: exits" for number in range(MOST_CAUSES + 5))
    show_outcome(Outcome(result="failed", seconds=2.0, causes=causes, others=("web: down",)), 9)
    told = capsys.readouterr()

    assert len(told.err.splitlines()) == MOST_CAUSES + 1
    assert told.err.splitlines()[-1] == "... and 5 more: see `swarmkeeper status`"
    assert told.out == "not changed by revision 9, and not ready: web: down\n"


def test_another_document_ends_the_wait() -> None:
    check_newest(STATE, 9)
    with pytest.raises(Conflict, match="revision 9 has replaced it"):
        check_newest(STATE, 8)
    with pytest.raises(Conflict, match="etcd has no document any more"):
        check_newest(replace(STATE, document=None), 9)
