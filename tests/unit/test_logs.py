import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import structlog

from agent import logs

TOKEN = "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def written(format: str, *, level: str = "info", stream: StringIO | None = None) -> StringIO:  # noqa: A002
    """Where the log goes from now on."""
    stream = stream or StringIO()
    logs.configure(level, format, stream)
    return stream


def test_a_line_for_the_journal_is_level_event_and_pairs() -> None:
    out = written("journal")

    structlog.get_logger().warning(
        "blocked", resource="network/docker_gwbridge", reason="subnet differs", tries=3
    )

    assert (
        out.getvalue() == 'warning blocked resource=network/docker_gwbridge reason="subnet differs" tries=3\n'
    )


def test_a_line_for_the_journal_has_no_time_since_the_journal_has_one() -> None:
    out = written("journal")

    structlog.get_logger().info("pass")

    assert out.getvalue() == "info pass\n"


def test_in_the_journal_every_line_carries_its_priority(tmp_path: Path) -> None:
    program = """
import structlog
from agent import logs
logs.configure("debug", "auto")
log = structlog.get_logger()
log.debug("d"), log.info("i"), log.warning("w"), log.error("e")
try:
    raise ValueError("unforeseen")
except ValueError:
    log.exception("fault")
"""
    journal = tmp_path / "journal"
    with journal.open("w") as stderr:
        found = os.fstat(stderr.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        subprocess.run([sys.executable, "-c", program], stderr=stderr, env=environment, check=True)

    lines = journal.read_text().splitlines()
    assert lines[:5] == ["<7>debug d", "<6>info i", "<4>warning w", "<3>error e", "<3>error fault"]
    assert len(lines) > 6
    assert all(line.startswith("<3>") for line in lines[5:])
    assert lines[-1] == "<3>ValueError: unforeseen"


def test_a_redirected_log_carries_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    with (tmp_path / "log").open("w+") as stream:
        logs.configure("info", "auto", stream)
        structlog.get_logger().info("pass")
        stream.seek(0)

        assert stream.read() == "info pass\n"


def test_a_terminal_gets_times_and_colours() -> None:
    out = written("auto", stream=Terminal())

    structlog.get_logger().warning("blocked", resource="swarm")

    assert re.fullmatch(r"\033\[33m\d\d:\d\d:\d\d warning blocked resource=swarm\033\[0m\n", out.getvalue())


def test_what_is_no_terminal_gets_no_colours() -> None:
    out = written("console")

    structlog.get_logger().error("failed")

    assert re.fullmatch(r"\d\d:\d\d:\d\d error failed\n", out.getvalue())


def test_a_person_may_ask_for_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = written("console", stream=Terminal())

    structlog.get_logger().error("failed")

    assert "\033" not in out.getvalue()


def test_json_is_one_object_per_line() -> None:
    out = written("json")

    structlog.get_logger().info("create", resource="container/a", seconds=0.5, what=Path("/x"))

    line = json.loads(out.getvalue())
    assert (line["level"], line["event"], line["seconds"], line["what"]) == ("info", "create", 0.5, "/x")
    assert line["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_not_written() -> None:
    out = written("journal", level="warning")

    structlog.get_logger().info("pass")
    structlog.get_logger().warning("blocked")

    assert out.getvalue() == "warning blocked\n"


@pytest.mark.parametrize("format", ["journal", "console", "json"])
def test_tokens_and_keys_are_masked_wherever_they_stand(format: str) -> None:  # noqa: A002
    out = written(format)
    log = structlog.get_logger()

    log.info(f"join with {TOKEN}", token=TOKEN, nested={"token": [TOKEN]})
    log.info("unlock", key="SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8")
    try:
        raise ValueError(TOKEN)
    except ValueError:
        log.exception("join")

    assert "3pu6hszjas" not in out.getvalue()
    assert "7c37Cc86" not in out.getvalue()
    assert out.getvalue().count("SWM***") >= 5


def test_words_of_others_cannot_forge_a_line() -> None:
    out = written("journal")

    structlog.get_logger().warning("failed\n<3>error forged", error="no\ninfo forged \x1b[31m")

    assert out.getvalue() == ('warning failed\\n<3>error forged error="no\\ninfo forged \\u001b[31m"\n')


OBEYED = "\x1b[2J \x9b2J \x85 \u2028 \u202e \x7f"
ESCAPED = "\\u001b[2J \\u009b2J \\u0085 \\u2028 \\u202e \\u007f"


@pytest.mark.parametrize("format", ["journal", "console", "json"])
def test_no_terminal_obeys_the_words_of_others_and_letters_stay(format: str) -> None:  # noqa: A002
    out = written(format)
    log = structlog.get_logger()

    log.warning(f"für {OBEYED}", reason=f"naïve 日本 {OBEYED}")
    (line,) = out.getvalue().removesuffix("\n").split("\n")
    assert f"für {ESCAPED}" in line
    assert f"naïve 日本 {ESCAPED}" in line
    try:
        raise ValueError(OBEYED)
    except ValueError:
        log.exception("pass")

    assert out.getvalue().replace("\n", "").isprintable()


def test_json_says_what_was_said() -> None:
    out = written("json")

    structlog.get_logger().warning("failed", reason=OBEYED + "\U000e0001")

    assert json.loads(out.getvalue())["reason"] == OBEYED + "\U000e0001"


def test_libraries_are_heard_from_warning_on_in_the_same_form() -> None:
    out = written("journal", level="debug")

    logging.getLogger("urllib3.connectionpool").info("Starting new connection")
    logging.getLogger("urllib3.connectionpool").warning("Retrying (%s) after %s", "2", TOKEN)

    assert out.getvalue() == "warning Retrying (2) after SWM*** logger=urllib3.connectionpool\n"


@pytest.mark.parametrize(("level", "format"), [("loud", "journal"), ("info", "xml")])
def test_a_level_or_format_that_is_none_is_refused(level: str, format: str) -> None:  # noqa: A002
    with pytest.raises(ValueError, match="is none of"):
        logs.configure(level, format)


class Failing(StringIO):
    """Standard error on a full disk, or to a journald that is gone."""

    fault: Exception | None = None

    def write(self, text: str) -> int:
        if self.fault:
            raise self.fault
        return super().write(text)

    def flush(self) -> None:
        if self.fault:
            raise self.fault


@pytest.mark.parametrize(
    "fault",
    [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("I/O operation on closed file")],
)
def test_a_log_that_cannot_be_written_harms_nobody_who_logs(fault: Exception) -> None:
    out = Failing()
    written("journal", stream=out)
    out.fault = fault
    structlog.get_logger().error("lost")
    logging.getLogger("docker").warning("lost")
    out.fault = None
    structlog.get_logger().info("told")
    assert out.getvalue() == "info told\n"
