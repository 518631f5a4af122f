"""Replicas that end soon after each start: how often in a row, what they said last, and how long they are left alone.

Docker waits longer and longer by itself before it restarts a container by its restart policy. What the agent starts
(a service without a policy) it lets wait in the same way. A run of 10 s makes good for all, as with Docker.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from agent.clients.docker import Engine
from agent.errors import SwarmkeeperError
from agent.model.host_state import ContainerState
from agent.model.spec import ContainerSpec, Pairs

# ---- The last words of a container that ended, fit to be shown to everybody who may read a status

LONGEST_LINE = 400
LONGEST = 2000
"""Characters of all lines together: a status is written to etcd."""

_HIDDEN = "***"
_SHORTEST = 8
"""Of a value that may be a secret. What is shorter is a port, a level or a yes, and in too many words."""
_SHORTEST_SECRET = 4
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|cred|auth|dsn", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{\{\s*\.[A-Za-z.]+\s*\}\}")
_IN_URL = re.compile(r"://[^/\s]+@")
"""Up to the last @ before the path: a password may hold one."""
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|.)")


def last_words(raw: bytes, lines: int, environment: Pairs) -> tuple[str, ...]:
    """The last `lines` lines of `raw`, in the end 2000 characters at most, without control characters.

    Each line of a value of its `environment` from 8 characters on, from 4 where the name speaks of a secret, is
    replaced by ***NAME***: any value may be a secret, and by the name one can still tell what is spoken of. So is what
    a URL has before its @, by ***. What else a program writes is its own doing, and shown.
    """
    names = _names(environment)
    shown: list[str] = []
    room = LONGEST
    for line in reversed(raw.decode(errors="replace").splitlines()[-lines:] if lines else []):
        cleaned = _hidden(_clean(line), names)[: min(LONGEST_LINE, room)]
        room -= len(cleaned)
        shown.append(cleaned)
        if not room:
            break
    return tuple(reversed(shown))


def _names(environment: Pairs) -> dict[str, str]:
    """What is to be hidden -> the variable whose value it is, or is a part of; the longest first."""
    names: dict[str, str] = {}
    for name, value in environment:
        shortest = _SHORTEST_SECRET if _SECRET_NAME.search(name) else _SHORTEST
        for piece in _pieces(value):
            if len(piece) >= shortest:
                names.setdefault(piece, name)
    return dict(sorted(names.items(), key=lambda each: len(each[0]), reverse=True))


def _hidden(line: str, names: Mapping[str, str]) -> str:
    # Whole values first: of one that is a URL there may be a secret in the path, too.
    if there := "|".join(re.escape(piece) for piece in names if piece in line):
        line = re.sub(there, lambda found: f"{_HIDDEN}{names[found[0]]}{_HIDDEN}", line)
    return _IN_URL.sub(f"://{_HIDDEN}@", line)


def _pieces(value: str) -> Iterator[str]:
    """What of `value` can stand in a line of output: of what has a placeholder, filled in by now, what is around it."""
    for line in value.splitlines():
        for piece in (line, *_PLACEHOLDER.split(line)):
            yield _clean(piece).strip()


def _clean(line: str) -> str:
    line = _ESCAPE.sub("", line).replace("\t", " ").rstrip()
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)


EARLY_S = 10.0
"""Docker, too, starts again with its waits when a container ran for so long."""
TOLD = 2
"""From so many in a row on it is a loop: one end may be somebody's doing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashSettings:
    """How long a replica is left before the agent starts it again, doubling from the second time on; lines to show."""

    first_s: float = 1.0
    most_s: float = 60.0
    lines: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One container at the last look, and what it has gone through."""

    started_at: str
    finished_at: str
    restarts: int
    since: float
    """When it was first seen started like this."""
    crashes: int = 0
    rests_until: float = 0.0
    output: tuple[str, ...] = ()


class CrashReader:
    """Remembers containers from look to look. `clock` gives monotonic seconds."""

    def __init__(self, engine: Engine, clock: Callable[[], float], settings: CrashSettings) -> None:
        self._engine, self._clock, self._settings = engine, clock, settings
        self._seen: dict[str, _Seen] = {}

    def look(
        self, containers: Iterable[ContainerState], specs: Mapping[str, ContainerSpec]
    ) -> tuple[ContainerState, ...]:
        """The containers with what is known of their crashes. `specs` by hash: their environments hold secrets."""
        now, before = self._clock(), self._seen
        self._seen, told = {}, []
        for each in containers:
            seen = self._look(each, before.get(each.id), specs, now)
            if seen:
                self._seen[each.id] = seen
            told.append(_with(each, seen, now))
        return tuple(told)

    def _look(
        self, found: ContainerState, old: _Seen | None, specs: Mapping[str, ContainerSpec], now: float
    ) -> _Seen | None:
        if found.locked_by_engine:
            return old  # nothing is known of it but that it is there
        same_run = old is not None and old.started_at == found.started_at
        seen = _Seen(
            started_at=found.started_at,
            finished_at=found.finished_at,
            restarts=found.restarts,
            since=old.since if old and same_run else now,
            crashes=old.crashes if old else 0,
            rests_until=old.rests_until if old else 0.0,
            output=old.output if old else (),
        )
        if _has_ended(found, old):
            return self._ended(found, old, seen, specs)
        if found.status == "running" and now - seen.since >= EARLY_S:
            return replace(seen, crashes=0, output=())
        return seen

    def _ended(
        self, found: ContainerState, old: _Seen | None, seen: _Seen, specs: Mapping[str, ContainerSpec]
    ) -> _Seen:
        times = max(1, found.restarts - (old.restarts if old else 0))
        if not (_was_short(found, old) or times > 1):
            return replace(seen, crashes=0, output=())
        crashes = seen.crashes + times
        if crashes < TOLD:
            return replace(seen, crashes=crashes)
        settings = self._settings
        rest_s = min(settings.most_s, settings.first_s * 2.0 ** min(crashes - TOLD, 32))
        return replace(
            seen,
            crashes=crashes,
            rests_until=self._clock() + rest_s,
            output=self._output(found, specs.get(found.replica.spec)),
        )

    def _output(self, found: ContainerState, spec: ContainerSpec | None) -> tuple[str, ...]:
        if not self._settings.lines or spec is None:
            return ()  # without its spec nobody knows what of it is secret
        try:
            raw = self._engine.output(found.id, self._settings.lines)
        except SwarmkeeperError:
            return ()  # its logging driver keeps nothing to be read, or it is gone
        return last_words(raw, self._settings.lines, spec.environment)


def _has_ended(found: ContainerState, old: _Seen | None) -> bool:
    if not found.finished_at:
        return False
    if old is None:
        return found.status != "running"  # one that was restarted before this run of the agent is let be
    return found.finished_at != old.finished_at


def _was_short(found: ContainerState, old: _Seen | None) -> bool:
    """Whether the run that has ended was; of one that runs again the start is known from the last look only."""
    began = old.started_at if found.status == "running" and old else found.started_at
    try:
        ran = datetime.fromisoformat(found.finished_at) - datetime.fromisoformat(began)
    except ValueError:
        return False
    return 0 <= ran.total_seconds() < EARLY_S


def _with(found: ContainerState, seen: _Seen | None, now: float) -> ContainerState:
    if seen is None:
        return found
    restart_backoff_s = 0.0 if found.status == "running" else max(0.0, seen.rests_until - now)
    return replace(found, crashes=seen.crashes, restart_backoff_s=restart_backoff_s, output=seen.output)
