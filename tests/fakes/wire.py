"""The socket between the agent and an engine in memory: calls are remembered, may fail, and make events."""

import functools
import queue
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar, cast

from agent.clients.docker import EngineEvents
from agent.errors import SwarmkeeperError, Unreachable

P = ParamSpec("P")
R = TypeVar("R")
W = TypeVar("W", bound="FakeWire")


class FakeEvents(EngineEvents):
    """What happens in an engine in memory."""

    def __init__(self) -> None:
        self._hints: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()

    def __next__(self) -> str:
        hint = self._hints.get()
        if hint is None:
            raise StopIteration
        if isinstance(hint, BaseException):
            raise hint
        return hint

    def put(self, hint: str | BaseException) -> None:
        self._hints.put(hint)

    def close(self) -> None:
        self._hints.put(None)


class FakeWire:
    """`answers = False` is a dockerd that is down; what `failures` has under a method's name is raised by it, once."""

    def __init__(self) -> None:
        self.answers = True
        self.calls: list[str] = []
        """Names of the methods called, in order."""
        self.failures: dict[str, SwarmkeeperError] = {}
        self.lock = threading.RLock()
        self._listeners: list[FakeEvents] = []

    def events(self) -> FakeEvents:
        with self.lock:
            if not self.answers:
                raise Unreachable("dockerd does not answer: connection refused")
            self._listeners.append(FakeEvents())
            return self._listeners[-1]

    def happens(self, hint: str) -> None:
        """Tell whoever listens."""
        for each in self._listeners:
            each.put(hint)

    def go_down(self) -> None:
        """dockerd dies: nothing answers, and the streams of events end."""
        with self.lock:
            self.answers = False
            for each in self._listeners:
                each.put(Unreachable("dockerd ended the stream of events"))
            self._listeners.clear()

    def close(self) -> None:
        for each in self._listeners:
            each.close()


def call(hint: str = "") -> Callable[[Callable[Concatenate[W, P], R]], Callable[Concatenate[W, P], R]]:
    """A call over the wire, one at a time; `hint` is the event it makes when it succeeds."""

    def decorate(method: Callable[Concatenate[W, P], R]) -> Callable[Concatenate[W, P], R]:
        @functools.wraps(method)
        def called(self: W, *args: P.args, **kwargs: P.kwargs) -> R:
            with self.lock:
                self.calls.append(method.__name__)
                if not self.answers:
                    raise Unreachable("dockerd does not answer: connection refused")
                if failure := self.failures.pop(method.__name__, None):
                    raise failure
                result = method(self, *args, **kwargs)
            if hint:
                self.happens(hint)
            return result

        return cast(Callable[Concatenate[W, P], R], called)

    return decorate
