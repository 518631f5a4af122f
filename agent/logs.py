"""Sets up the log, on standard error: for the journal, for a terminal, or as JSON.

The last processor masks join tokens and unlock keys in every line, including those of libraries.
"""

import json
import logging
import os
import re
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Syslog priority by level. It begins a line as `<6>`: sd-daemon(3)."""
_COLOURS = {"debug": "\033[2m", "warning": "\033[33m", "error": "\033[31m", "critical": "\033[1;31m"}
_PLAIN = "\033[0m"
_SECRET = re.compile(r"SWM(?:TKN|KEY)-[\w+/=-]+")
_BARE = re.compile(r"[\w./:@%+,\-\[\]]+")
"""A value that needs no quotes."""


def configure(level: str, format: str, stream: TextIO | None = None) -> None:  # noqa: A002 - the option's name
    """Set up the log of the whole process.

    `level` is debug, info, warning, error or critical; `format` is journal (no time: the journal has one), console,
    json, or auto: console on a terminal, else journal. `stream` defaults to standard error. Raises ValueError for
    another level or format.
    """
    stream = stream or sys.stderr
    if level not in PRIORITIES:
        raise ValueError(f"log level {level!r} is none of {', '.join(PRIORITIES)}")
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            *_renderers(format, stream),
            lambda _, __, text: masked(str(text)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _FailSafeStream(stream))),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler()]
    root.setLevel(logging.WARNING)


def masked(text: str) -> str:
    """Return `text` with every join token and unlock key masked."""
    return _SECRET.sub("SWM***", text) if "SWM" in text else text


def _renderers(format: str, stream: TextIO) -> tuple[Processor, ...]:  # noqa: A002
    if format == "auto":
        format = "console" if stream.isatty() else "journal"  # noqa: A001
    match format:
        case "journal":
            return (_prioritised,) if _is_journal(stream) else (_lines,)
        case "console":
            time = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
            return (time, _coloured if stream.isatty() and "NO_COLOR" not in os.environ else _lines)
        case "json":
            time = structlog.processors.TimeStamper(fmt="iso")
            as_json = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
            return (time, as_json, lambda _, __, text: _on_one_line(text))
    raise ValueError(f"log format {format!r} is none of auto, journal, console, json")


def _is_journal(stream: TextIO) -> bool:
    """Return True if `stream` is the journal. JOURNAL_STREAM has its device and inode: systemd.exec(5)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _FailSafeStream:
    """Drops lines that the stream cannot write, because of a full disk or a crashed journald.

    Threads log their last error; a log that raises would end them without one.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class _LibraryHandler(logging.Handler):
    """Sends the records that libraries log through the standard library to the same log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        write = getattr(structlog.get_logger(), level if level in PRIORITIES else "warning")
        write(record.getMessage(), logger=record.name, exc_info=record.exc_info)


# structlog's text renderers neither stop a value from forging a line nor begin each line with its priority.


def _lines(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return `time level event key=value`, with a traceback below. The journal adds the time itself."""
    traceback = event.pop("exception", "")
    parts = [event.pop(key) for key in ("timestamp", "level") if key in event]
    parts += [_on_one_line(str(event.pop("event", "")))]
    parts += [f"{key}={_value(value)}" for key, value in event.items()]
    return "\n".join([" ".join(parts), *map(_on_one_line, traceback.splitlines())])


def _prioritised(logger: WrappedLogger, method: str, event: EventDict) -> str:
    # The journal makes an entry of each line, so each line needs the priority.
    prefix = f"<{PRIORITIES.get(event['level'], 6)}>"
    return "\n".join(prefix + line for line in _lines(logger, method, event).split("\n"))


def _coloured(logger: WrappedLogger, method: str, event: EventDict) -> str:
    colour, text = _COLOURS.get(event["level"]), _lines(logger, method, event)
    return f"{colour}{text}{_PLAIN}" if colour else text


def _value(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else _on_one_line(json.dumps(text, ensure_ascii=False))


def _on_one_line(text: str) -> str:
    """Return `text` with line breaks, control and invisible characters escaped as in JSON.

    Text from outside could otherwise forge lines or control a terminal. Letters of every language stay.
    """
    return (
        text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    )
