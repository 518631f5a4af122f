"""Lines of several streams in the order of their times, and where a stream goes on after a break. No I/O, no clock."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from agent.clients.docker.output import NS, Line

S = TypeVar("S", bound=tuple[Any, ...])

MOST_WAITING = 1 << 16
"""Bytes of one stream that wait, and one piece more."""
_APART_NS = NS
"""A container may store lines of stdout and stderr out of order, by less than this."""


class Place:
    """The place in a stream that is read from `since_ns` on; `cut`: of which only the last lines were asked for.

    After a break the engine sends all lines from an anchor's time on, in the order in which it stored them. As many as
    were read at that time or later are dropped: none is missing or doubled, also where times are equal.
    """

    def __init__(self, since_ns: int, *, cut: bool = False) -> None:
        self._since_ns, self._cut, self.last_ns = since_ns, cut, 0
        self._anchors: deque[list[int]] = deque(maxlen=2)
        """[time from which on, time of the first line, lines read since at the first or later], the earlier first."""
        self._known, self._is_first = 0, False

    def again(self) -> int:
        """Begin to read again; return the time from which on."""
        if not self._anchors:
            return self._since_ns
        at_ns, _, self._known = self._anchors[0]
        self._is_first = True
        return at_ns

    def new(self, lines: Iterable[Line]) -> list[Line]:
        """Return the lines that were not read before the break."""
        return [each for each in lines if self._is_new(each.at_ns)]

    def _is_new(self, at_ns: int) -> bool:
        if self._is_first and at_ns != self._anchors[0][1]:
            self._known = -1  # the engine has deleted that part of the log: times decide
        self._is_first = False
        if self._known > 0 or (self._known < 0 and at_ns <= self.last_ns):
            self._known -= self._known > 0
            return False
        self._known, self.last_ns = 0, max(self.last_ns, at_ns)
        if not self._anchors:
            self._anchors.append([at_ns if self._cut else self._since_ns, at_ns, 0])
        elif at_ns >= self._anchors[-1][1] + _APART_NS:
            self._anchors.append([at_ns, at_ns, 0])
        for each in self._anchors:
            each[2] += at_ns >= each[0]
        return True


@dataclass(slots=True)
class _Stream:
    last_s: float
    lines: deque[Line] = field(default_factory=deque)
    size: int = 0
    is_open: bool = True


class Merge(Generic[S]):
    """Lines that wait for their turn. The earliest one is next.

    An open stream without a line holds up the others until it has been silent for `silent_s`.
    """

    def __init__(self, silent_s: float) -> None:
        self._silent_s = silent_s
        self._streams: dict[S, _Stream] = {}

    @property
    def is_done(self) -> bool:
        """True if no stream is open and no line waits."""
        return not any(each.is_open or each.lines for each in self._streams.values())

    def open(self, source: S, now_s: float) -> None:
        """Begin a stream, or go on with one that was closed."""
        stream = self._streams.setdefault(source, _Stream(now_s))
        stream.is_open, stream.last_s = True, now_s

    def add(self, source: S, lines: Iterable[Line], now_s: float) -> None:
        """Add lines in the order of their stream, which is open."""
        stream = self._streams[source]
        stream.last_s = now_s
        for each in lines:
            stream.lines.append(each)
            stream.size += len(each.content)

    def may_add(self, source: S) -> bool:
        """Return False if the reader of the stream has to wait."""
        return source not in self._streams or self._streams[source].size < MOST_WAITING

    def close(self, source: S) -> None:
        """End a stream; its lines go on waiting."""
        self._streams[source].is_open = False

    def take(self, now_s: float) -> Iterator[tuple[S, Line]]:
        """Yield (stream, line) in the order of time, until a stream holds up the others."""
        self._streams = {at: each for at, each in self._streams.items() if each.is_open or each.lines}
        if any(self._holds(each, now_s) for each in self._streams.values()):
            return
        heads = [(each.lines[0].at_ns, at) for at, each in self._streams.items() if each.lines]
        heapq.heapify(heads)
        while heads:
            source = heads[0][1]
            stream = self._streams[source]
            line = stream.lines.popleft()
            stream.size -= len(line.content)
            yield source, line
            if stream.lines:
                heapq.heapreplace(heads, (stream.lines[0].at_ns, source))
            elif self._holds(stream, now_s):
                return
            else:
                heapq.heappop(heads)

    def _holds(self, stream: _Stream, now_s: float) -> bool:
        return stream.is_open and not stream.lines and now_s - stream.last_s < self._silent_s
