"""What happens in the engine, as it happens: one stream, opened anew when it was quiet for long."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import requests

from agent.clients.docker.transport import Quiet, Transport
from agent.errors import Unreachable

_QUIET_S = 300.0
"""After so long without an event the stream is opened anew; a dockerd that hangs does not answer that."""

_FILTERS = json.dumps(
    {
        "type": ["container", "network", "image", "volume", "node", "daemon"],
        "event": [
            "create", "start", "die", "stop", "pause", "unpause", "destroy", "rename", "update", "health_status", "oom",
            "connect", "disconnect", "remove", "delete", "untag", "tag", "pull", "load", "import", "reload",
        ],
    }
)  # fmt: skip


class DockerEvents:
    """An open stream of events. Iterate in one thread; `close` from any."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._closed = False
        self._waiting = False
        """Somebody is in `__next__`, and closes the stream when he leaves it."""
        self._heard_ns = time.time_ns()
        """Time of the last event heard, by the engine's clock: a new stream goes on from there."""
        self._response = self._open()
        self._events = self._transport.parts(self._response)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        with self._lock:
            self._waiting = True
        try:
            hint = self._next_hint()
        except Unreachable:
            if not self._closed:
                self._response.close()
                raise
            hint = None
        finally:
            self._leave()
        if hint is None:
            raise StopIteration
        return hint

    def close(self) -> None:
        with self._lock:
            self._closed = True
            _unblock(self._response)
            if not self._waiting:
                self._response.close()

    def _leave(self) -> None:
        with self._lock:
            self._waiting = False
            if self._closed:
                self._response.close()

    def _next_hint(self) -> str | None:
        """The next event, through as many streams as it takes; None when closed."""
        while not self._closed:
            try:
                event = next(self._events, None)
            except Quiet:
                self._go_on(self._open())
                continue
            if event is None:
                raise Unreachable("dockerd ended the stream of events")
            self._heard_ns = int(event.get("timeNano") or self._heard_ns) + 1
            return _hint(event)
        return None

    def _open(self) -> requests.Response:
        since = f"{self._heard_ns // 10**9}.{self._heard_ns % 10**9:09d}"
        params = {"filters": _FILTERS, "since": since}
        return self._transport.open("events", "GET", "/events", params=params, stall_s=_QUIET_S)

    def _go_on(self, response: requests.Response) -> None:
        with self._lock:
            self._response.close()
            self._response = response
            self._events = self._transport.parts(response)
            if self._closed:
                _unblock(response)


def _unblock(response: requests.Response) -> None:
    """End a read that another thread waits in; closing alone would not."""
    try:
        response.raw.shutdown()
    except (OSError, RuntimeError, ValueError):
        return  # it is at its end already


def _hint(event: Mapping[str, Any]) -> str:
    actor = event.get("Actor") or {}
    name = (actor.get("Attributes") or {}).get("name") or actor.get("ID", "")
    return f"{event.get('Type', '')} {event.get('Action', '')} {name}".strip()
