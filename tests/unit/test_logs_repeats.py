"""Warnings that repeat: what is written of an outage, minute by minute, and that another cause is never held back."""

import logging
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
import structlog

from agent import logs
from tests.fakes.store import FakeClock

AWAY = "session: etcd does not answer"


class Log:
    """The log of a process on a fake clock; `minutes` has (minute, line) of each line."""

    def __init__(self) -> None:
        self.clock, self._out = FakeClock(), StringIO()
        self._began = self.clock.now
        logs.configure("info", "journal", self._out, clock=self.clock)
        self.logger = structlog.get_logger()
        self.lines: list[tuple[float, str]] = []

    def during(self, minutes: float, every_s: float, happens: Callable[[], object]) -> None:
        for _ in range(round(minutes * 60 / every_s)):
            happens()
            self.take()
            self.clock.advance(every_s)

    def take(self) -> list[str]:
        new = self._out.getvalue().splitlines()
        self._out.seek(0)
        self._out.truncate()
        self.lines += [(round((self.clock.now - self._began) / 60, 1), line) for line in new]
        return new

    def away(self, error: str = "connection refused", **more: object) -> None:
        self.logger.warning(AWAY, error=error, **more)


@pytest.fixture
def log() -> Iterator[Log]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Log()
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_that_repeats_comes_at_once_after_1_and_5_minutes_and_every_15(log: Log) -> None:
    log.during(60, 5, log.away)

    assert [minute for minute, _ in log.lines] == [0, 1, 5, 20, 35, 50]
    assert log.lines[0][1] == f'warning "{AWAY}" error="connection refused"'.replace('"', "", 2)
    assert log.lines[1][1].endswith('repeated="12 times in 1 m"')
    assert log.lines[2][1].endswith('repeated="48 times in 4 m"')
    assert log.lines[3][1].endswith('repeated="180 times in 15 m"')


def test_every_occurrence_is_in_a_number_or_in_a_line(log: Log) -> None:
    log.during(51, 5, log.away)

    counted = [int(line.partition('repeated="')[2].split()[0]) for _, line in log.lines[1:]]
    assert 1 + sum(counted) + 11 == 51 * 12  # the last minute is not due yet


def test_numbers_attempts_times_and_ids_make_no_other_line(log: Log) -> None:
    numbers = iter(range(1000))

    def fails() -> None:
        n = next(numbers)
        log.away(
            f"dial tcp 10.0.0.{n % 250}:{n}: i/o timeout, lease {n + 2**60:x}", attempts=n, valid_s=n / 10
        )

    log.during(0.9, 1, fails)

    assert len(log.lines) == 1


def test_another_cause_comes_at_once_and_does_not_start_the_wait_again(log: Log) -> None:
    log.during(0.5, 5, log.away)
    log.during(0.5, 5, lambda: log.away("permission denied"))

    def both() -> None:
        log.away()
        log.away("permission denied")

    log.during(30, 5, both)

    assert [minute for minute, _ in log.lines] == [0, 0.5, 1, 5, 20]


def test_two_resources_are_two_lines(log: Log) -> None:
    for name in ("web-1", "web-2"):
        log.logger.warning("blocked", resource=f"container/{name}", reason="no space left")
        log.logger.warning(f"failed: start container/{name}", error="no space left")

    assert len(log.take()) == 4


def test_two_revisions_of_a_refused_document_are_two_lines(log: Log) -> None:
    for revision in (7, 8):
        log.logger.warning("intent refused", revision=revision, first="unknown key")

    assert len(log.take()) == 2


def test_all_faults_of_a_document_are_told(log: Log) -> None:
    for number in range(150):
        log.logger.warning(
            "intent fault", revision=7, fault=f"services.{chr(97 + number % 26) * (number + 1)}"
        )

    assert len(log.take()) == 150


def test_the_end_is_told_once_with_its_duration(log: Log) -> None:
    log.during(130 / 60, 10, log.away)
    log.logger.info("etcd answers again", recovers=AWAY)
    log.logger.info("etcd answers again", recovers=AWAY)

    assert log.take()[0] == 'info etcd answers again after="2 m 10 s" failures=13'


def test_a_minute_after_it_was_told_a_failure_that_had_ended_is_new(log: Log) -> None:
    log.away()
    log.logger.info("etcd answers again", recovers=AWAY)
    log.clock.advance(60)
    log.take()

    log.away()

    assert log.take() == [f'warning {AWAY} error="connection refused"']


def test_a_failure_that_comes_and_goes_is_told_once_a_minute_with_its_end(log: Log) -> None:
    def flaps() -> None:
        log.away()
        log.logger.info("etcd answers again", recovers=AWAY)

    log.during(30, 5, flaps)

    assert len(log.lines) == 60
    assert [line.split()[0] for _, line in log.lines] == ["warning", "info"] * 30


def test_a_failure_that_stays_after_it_came_and_went_is_told_within_a_minute(log: Log) -> None:
    log.away()
    log.logger.info("etcd answers again", recovers=AWAY)
    log.during(30, 5, log.away)

    assert [minute for minute, line in log.lines if "warning" in line][:4] == [0, 1, 2, 6]


def test_the_end_of_what_was_not_told_is_not_told_either(log: Log) -> None:
    for _ in range(3):
        log.away()
        log.logger.info("etcd answers again", recovers=AWAY)
        log.clock.advance(1)

    assert len(log.take()) == 2


def test_a_failure_long_after_the_last_one_is_new(log: Log) -> None:
    log.during(2, 5, log.away)
    log.clock.advance(3600)

    log.away()

    assert "repeated" not in log.take()[0]


def test_different_exceptions_are_different_lines(log: Log) -> None:
    def fail(error: Exception) -> None:
        try:
            raise error
        except Exception:
            log.logger.exception("pass failed")

    for error in (ValueError("one"), ValueError("one"), KeyError("two")):
        fail(error)

    assert sum("pass failed" in line for line in log.take()) == 2


def test_lines_that_tell_of_work_are_never_dropped(log: Log) -> None:
    for _ in range(5):
        log.logger.info(
            "start container/web-1", reason="exited with 1", succeeds="failed: start container/web-1"
        )

    assert len(log.take()) == 5


def test_a_step_that_fails_again_after_it_succeeded_is_told_again(log: Log) -> None:
    for _ in range(3):
        log.logger.warning("failed: start container/web-1", error="no such network")
        log.logger.info("start container/web-1", succeeds="failed: start container/web-1")

    assert [line.split()[0] for line in log.take()] == ["warning", "info"] * 3


def test_what_is_remembered_is_bounded(log: Log) -> None:
    for number in range(3000):
        log.logger.warning(f"failed: start container/x-{number}", error="e" * number)
        log.away("e" * number + "f")

    folds = next(each for each in structlog.get_config()["processors"] if isinstance(each, logs.Repeats))
    assert len(folds._subjects) <= 1000
    assert all(len(each.variants) <= 200 for each in folds._subjects.values())
