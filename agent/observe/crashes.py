"""Watches replicas that end soon after each start: their crashes in a row, their last output, their backoff.

Docker delays each restart by a restart policy longer than the one before. The agent delays its own starts, of
services without a policy, in the same way. A run of 10 s resets the delay, as in Docker.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from agent.clients.docker import Engine
from agent.diff.replicas import CRASH_LOOP, EARLY_S, ended_early
from agent.errors import SwarmkeeperError
from agent.model.host_state import ContainerState
from agent.model.spec import ContainerSpec, Pairs

# ---- The last output of a container that ended, with secrets masked for the readers of a status

LONGEST_LINE = 400
LONGEST = 2000
"""Characters of all lines together, because the agent writes the status to etcd."""

_CHECK_LINES = 5
_LONGEST_CHECK = 1000
_HIDDEN = "***"
_SHORTEST = 8
"""Characters of a value that is masked. Shorter values are ports, levels or flags, and parts of many words."""
_SHORTEST_SECRET = 4
"""The same for a variable whose name suggests a secret."""
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|cred|auth|dsn", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{\{\s*\.[A-Za-z.]+\s*\}\}")
_IN_URL = re.compile(r"://[^/\s]+@")
"""The user part of a URL, up to the last @ before the path, because a password may contain an @."""
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|.)")


def last_lines(raw: bytes, lines: int, environment: Pairs) -> tuple[str, ...]:
    """Return the last `lines` lines of `raw`, at most 2000 characters, without control characters.

    Each line of an `environment` value of at least 8 characters, or 4 if its name suggests a secret, is replaced by
    ***NAME***: any value may be a secret, and the name still shows which. The user part of a URL is replaced by ***.
    Other output is shown unchanged.
    """
    names = _names(environment)
    shown: list[str] = []
    left = LONGEST
    for line in reversed(raw.decode(errors="replace").splitlines()[-lines:] if lines else []):
        cleaned = _hidden(_clean(line), names)[: min(LONGEST_LINE, left)]
        left -= len(cleaned)
        shown.append(cleaned)
        if not left:
            break
    return tuple(reversed(shown))


def _names(environment: Pairs) -> dict[str, str]:
    """Return the variable's name by the text to mask, which is its value or a part of it; the longest text first."""
    names: dict[str, str] = {}
    for name, value in environment:
        shortest = _SHORTEST_SECRET if _SECRET_NAME.search(name) else _SHORTEST
        for piece in _pieces(value):
            if len(piece) >= shortest:
                names.setdefault(piece, name)
    return dict(sorted(names.items(), key=lambda each: len(each[0]), reverse=True))


def _hidden(line: str, names: Mapping[str, str]) -> str:
    # Whole values first: a value that is a URL may have a secret in its path, too.
    if pattern := "|".join(re.escape(piece) for piece in names if piece in line):
        line = re.sub(pattern, lambda found: f"{_HIDDEN}{names[found[0]]}{_HIDDEN}", line)
    return _IN_URL.sub(f"://{_HIDDEN}@", line)


def _pieces(value: str) -> Iterator[str]:
    """Yield the parts of `value` that can occur in a line: its lines, and the text around their placeholders."""
    for line in value.splitlines():
        for piece in (line, *_PLACEHOLDER.split(line)):
            yield _clean(piece).strip()


def _clean(line: str) -> str:
    line = _ESCAPE.sub("", line).replace("\t", " ").rstrip()
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashSettings:
    """The delay before the agent starts a crashed replica again, which doubles from `first_s` to `most_s`."""

    first_s: float = 1.0
    most_s: float = 60.0
    lines: int = 5
    """Last lines of output to show; 0 shows none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    started_at: str = ""
    finished_at: str = ""
    restarts: int = 0
    since: float
    """Monotonic time of the first look that saw this run."""
    crashes: int = 0
    backoff_until: float = 0.0
    output: tuple[str, ...] = ()


class CrashReader:
    """Remembers containers between looks. `clock` returns monotonic seconds."""

    def __init__(self, engine: Engine, clock: Callable[[], float], settings: CrashSettings) -> None:
        self._engine, self._clock, self._settings = engine, clock, settings
        self._seen: dict[str, _Seen] = {}

    def look(
        self, containers: Iterable[ContainerState], specs: Mapping[str, ContainerSpec]
    ) -> tuple[ContainerState, ...]:
        """Return the containers with their crashes. The environments of `specs`, by hash, contain secrets."""
        now, before = self._clock(), self._seen
        self._seen, looked_at = {}, []
        for each in containers:
            seen = self._look(each, before.get(each.id), specs, now)
            if seen:
                self._seen[each.id] = seen
            looked_at.append(_with(_masked(each, specs.get(each.replica.spec)), seen, now))
        return tuple(looked_at)

    def _look(
        self, found: ContainerState, old: _Seen | None, specs: Mapping[str, ContainerSpec], now: float
    ) -> _Seen | None:
        if found.locked_by_engine:
            return old  # the list of containers shows nothing but its existence
        seen, run = old or _Seen(since=now), (found.started_at, found.finished_at, found.restarts)
        if run != (seen.started_at, seen.finished_at, seen.restarts):
            since = now if seen.started_at != found.started_at else seen.since
            seen = replace(seen, started_at=run[0], finished_at=run[1], restarts=run[2], since=since)
        if _has_ended(found, old) and not found.interrupted:
            return self._ended(found, old, seen, specs)
        if seen.crashes and found.status == "running" and now - seen.since >= EARLY_S:
            return replace(seen, crashes=0, output=())
        return seen

    def _ended(
        self, found: ContainerState, old: _Seen | None, seen: _Seen, specs: Mapping[str, ContainerSpec]
    ) -> _Seen:
        times = max(1, found.restarts - (old.restarts if old else 0))
        # Once the container runs again, only `old` has the start of the run that ended.
        began = old.started_at if found.status == "running" and old else found.started_at
        if times == 1 and not ended_early(began, found.finished_at):
            return replace(seen, crashes=0, output=())
        crashes = seen.crashes + times
        if crashes < CRASH_LOOP:
            return replace(seen, crashes=crashes)
        settings = self._settings
        backoff_s = min(settings.most_s, settings.first_s * 2.0 ** min(crashes - CRASH_LOOP, 32))
        return replace(
            seen,
            crashes=crashes,
            backoff_until=self._clock() + backoff_s,
            output=self._output(found, specs.get(found.replica.spec)),
        )

    def _output(self, found: ContainerState, spec: ContainerSpec | None) -> tuple[str, ...]:
        if not self._settings.lines or spec is None:
            return ()  # without the spec its secrets are unknown
        try:
            raw = self._engine.output(found.id, self._settings.lines)
        except SwarmkeeperError:
            return ()  # its logging driver has no readable output, or the container was removed
        return last_lines(raw, self._settings.lines, spec.environment)


def _has_ended(found: ContainerState, old: _Seen | None) -> bool:
    if not found.finished_at:
        return False
    if old is None:
        return found.status != "running"  # a restart before this run of the agent does not count
    return found.finished_at != old.finished_at


def _masked(found: ContainerState, spec: ContainerSpec | None) -> ContainerState:
    """Return the container with the output of its health check in one line, without secrets."""
    if not found.health_output:
        return found
    if spec is None:
        return replace(found, health_output="")  # without the spec its secrets are unknown
    lines = last_lines(found.health_output.encode(), _CHECK_LINES, spec.environment)
    return replace(found, health_output=" / ".join(filter(None, lines))[:_LONGEST_CHECK])


def _with(found: ContainerState, seen: _Seen | None, now: float) -> ContainerState:
    if seen is None or not (seen.crashes or seen.backoff_until):
        return found
    restart_backoff_s = 0.0 if found.status == "running" else max(0.0, seen.backoff_until - now)
    return replace(found, crashes=seen.crashes, restart_backoff_s=restart_backoff_s, output=seen.output)
