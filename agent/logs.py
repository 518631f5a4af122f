"""Sets up the log, on standard error: for the journal, for a terminal, or as JSON.

A warning that repeats is folded. The last processor masks join tokens and unlock keys in every line, including those
of libraries.
"""

import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
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


def configure(
    level: str,
    format: str,  # noqa: A002 - the option's name
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Set up the log of the whole process.

    `level` is debug, info, warning, error or critical; `format` is journal (no time: the journal has one), console,
    json, or auto: console on a terminal, else journal. `stream` defaults to standard error; `clock` gives the seconds
    between repeated lines. Raises ValueError for another level or format.
    """
    stream = stream or sys.stderr
    if level not in PRIORITIES:
        raise ValueError(f"log level {level!r} is none of {', '.join(PRIORITIES)}")
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            Repeats(clock),
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


# ---- Lines that repeat: at once, after 1 and 5 minutes, then every 15 minutes with their number

_STEPS_S = (60.0, 300.0)
_EVERY_S = 900.0
_MOST_VARIANTS = 200
_MOST_SUBJECTS = 1000
_VARYING = frozenset({"level", "attempts", "again_in_s", "seconds", "valid_s", "ttl_s", "exception"})
"""Fields that do not make a line another one."""
_EXACT = frozenset({"revision", "faults", "first", "fault"})
"""Fields whose numbers do."""
_NUMBERS = re.compile(r"\b[0-9a-f]{12,64}\b|\d+(?:\.\d+)?")


@dataclass(slots=True)
class _Repeated:
    """A warning that is repeated: its event and resource are the subject, its other fields the variant."""

    since: float
    shown: float
    last: float
    times: int = 0
    """Since it was last shown."""
    total: int = 0
    variants: set[str] = field(default_factory=set)
    ended: bool = False
    """True if its end was shown after it was."""

    def is_due(self, now: float) -> bool:
        next_s = next((each for each in _STEPS_S if self.since + each > self.shown), 0.0)
        return now >= (self.since + next_s if next_s else self.shown + _EVERY_S)

    def is_over(self, now: float) -> bool:
        """Return True if another occurrence is a new failure: of one that comes and goes, once a minute."""
        return now - self.last > _EVERY_S or (self.ended and now - self.shown >= _STEPS_S[0])


class Repeats:
    """Drops a warning or error that differs from an earlier one only in numbers, until its next time is due.

    A line with another cause is another variant of its subject, and shown at once. A line with `recovers`, the event of
    a warning about the same `resource`, ends it and says after how long; it is dropped if the warning was. A line with
    `succeeds` is never dropped, and the warning is new the next time: for warnings that come once and not each time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._subjects: dict[tuple[str, str], _Repeated] = {}

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        resource = str(event.get("resource", ""))
        recovers, succeeds = event.pop("recovers", None), event.pop("succeeds", None)
        with self._lock:
            if ended := recovers or succeeds:
                return self._ended((str(ended), resource), event, drop=bool(recovers))
            if PRIORITIES.get(event.get("level", ""), 6) > PRIORITIES["warning"]:
                return event
            return self._failed((str(event.get("event", "")), resource), event)

    def _ended(self, subject: tuple[str, str], event: EventDict, *, drop: bool) -> EventDict:
        known = self._subjects.get(subject) if drop else self._subjects.pop(subject, None)
        if known and not known.ended:
            known.ended = True
            event.update(after=_duration(self._clock() - known.since), failures=known.total)
        elif known and known.times and drop:
            raise structlog.DropEvent
        return event

    def _failed(self, subject: tuple[str, str], event: EventDict) -> EventDict:
        now, variant = self._clock(), _variant(event)
        known = self._subjects.pop(subject, None)
        if known is None or known.is_over(now):
            known = _Repeated(since=now, shown=now, last=now)
        # The last one seen is at the end: what has not been seen for longest is forgotten first.
        self._subjects[subject] = known
        if len(self._subjects) > _MOST_SUBJECTS:
            del self._subjects[next(iter(self._subjects))]
        known.last, known.times, known.total = now, known.times + 1, known.total + 1
        new = variant not in known.variants and len(known.variants) < _MOST_VARIANTS
        if new:
            known.variants.add(variant)
        elif known.ended or not known.is_due(now):
            raise structlog.DropEvent
        if known.times > 1 and not new:
            event["repeated"] = f"{known.times} times in {_duration(now - known.shown)}"
        if not new or known.total == 1:
            known.shown, known.times = now, 0
        known.ended = False
        return event


def _variant(event: EventDict) -> str:
    """Return the cause in a line without its numbers; of a traceback the last line, which names the error."""
    texts = {key: str(value) for key, value in event.items() if key not in _VARYING}
    cause = {key: text if key in _EXACT else _NUMBERS.sub("#", text) for key, text in texts.items()}
    last = str(event.get("exception", "")).rstrip().rpartition("\n")[2]
    return f"{sorted(cause.items())} {_NUMBERS.sub('#', last)}"


def _duration(seconds: float) -> str:
    """Return a duration in its two largest units: `2 m 10 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} m" if minutes else "", f"{rest} s" if rest else ""]
    return " ".join([part for part in parts if part][:2]) or "0 s"


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
