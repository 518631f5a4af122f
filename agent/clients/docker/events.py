"""The events of dockerd: one stream, reopened after a long silence."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import requests

from agent.clients.docker.transport import Quiet, Transport
from agent.errors import Unreachable

_QUIET_S = 300.0
"""The stream is reopened after this time without an event, which fails if dockerd hangs."""

_FILTERS = json.dumps(
    {
        "type": ["container", "network", "image", "volume", "node", "daemon"],
        "event": [
            "create", "start", "die", "stop", "pause", "unpause", "destroy", "rename", "update", "health_status", "oom",
            "connect", "disconnect", "remove", "delete", "untag", "tag", "pull", "load", "import", "reload",
        ],
    }
)  # fmt: skip


class EngineEvents:
    """An open stream of events, each a short text such as `container die prod-order-1`.

    The containers that they name count as changed. Iterate in one thread; `close` from any.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport, self._changed = transport, transport.changed
        self._lock = threading.Lock()
        self._closed = False
        self._waiting = False
        """True while a thread is in `__next__`; that thread closes the stream."""
        self._last_event_ns = time.time_ns()
        """Time of the last event by the engine's clock; a new stream continues from it."""
        self._response = self._open()
        self._events = self._transport.parts(self._response)
        self._changed.note_any(listening=True)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Wait for the next event. Raises StopIteration after `close`, Unreachable when dockerd stops or hangs."""
        with self._lock:
            self._waiting = True
        hint = None
        try:
            hint = self._next_hint()
        except Unreachable:
            if not self._closed:
                self._response.close()
                raise
        finally:
            with self._lock:
                self._waiting = False
                if self._closed:
                    self._response.close()
            if hint is None:
                self._changed.note_any(listening=False)
        if hint is None:
            raise StopIteration
        return hint

    def close(self) -> None:
        """End the iteration, even while another thread waits in it."""
        with self._lock:
            self._closed = True
            self._changed.note_any(listening=False)
            _unblock(self._response)
            if not self._waiting:
                self._response.close()

    def _next_hint(self) -> str | None:
        """Return the next event, reopening the stream as needed; None when closed."""
        while not self._closed:
            try:
                event = next(self._events, None)
            except Quiet:
                self._continue_with(self._open())
                continue
            if event is None:
                raise Unreachable("dockerd ended the stream of events")
            self._last_event_ns = int(event.get("timeNano") or self._last_event_ns) + 1
            return self._hint(event)
        return None

    def _hint(self, event: Mapping[str, Any]) -> str:
        kind, actor = event.get("Type", ""), event.get("Actor") or {}
        attributes = actor.get("Attributes") or {}
        named = actor.get("ID") if kind == "container" else attributes.get("container")
        self._changed.note(named or "")
        return f"{kind} {event.get('Action', '')} {attributes.get('name') or actor.get('ID', '')}".strip()

    def _open(self) -> requests.Response:
        since = f"{self._last_event_ns // 10**9}.{self._last_event_ns % 10**9:09d}"
        params = {"filters": _FILTERS, "since": since}
        return self._transport.open("events", "GET", "/events", params=params, stall_s=_QUIET_S)

    def _continue_with(self, response: requests.Response) -> None:
        with self._lock:
            self._response.close()
            self._response = response
            self._events = self._transport.parts(response)
            if self._closed:
                _unblock(response)


def _unblock(response: requests.Response) -> None:
    """End a read in another thread, which closing alone does not end."""
    try:
        response.raw.shutdown()
    except (OSError, RuntimeError, ValueError):
        return  # the stream has ended already
