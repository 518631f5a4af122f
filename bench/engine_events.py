"""What the engines say happened to containers, and when, by the clock all hosts of a lab share."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import docker

from integration.lab.host import Host

WORDS = ("start", "die")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A container started or died. `at_ns` is the engine's wall clock, as time.time_ns() counts."""

    host: str
    container: str
    id: str
    word: str
    at_ns: int
    labels: Mapping[str, str] = field(default_factory=dict)


class Listener:
    """Everything the engines of some hosts tell from now on, in the order it arrived."""

    def __init__(self, hosts: Iterable[Host]) -> None:
        self._arrived = threading.Condition()
        self._events: list[Event] = []
        self._broken = ""
        self._streams = [self._listen(host) for host in hosts]

    def _listen(self, host: Host) -> Any:
        client = docker.DockerClient(base_url=f"unix://{host.socket}", timeout=60)
        stream = client.events(decode=True, filters={"type": "container", "event": list(WORDS)})
        threading.Thread(target=self._collect, args=(host.name, stream), daemon=True).start()
        return stream

    def _collect(self, host: str, stream: Any) -> None:
        for told in stream:
            with self._arrived:
                self._events.append(_event(host, told))
                self._arrived.notify_all()

    def wait_for(self, found: Callable[[list[Event]], int | None], within_s: float, what: str) -> int:
        """Return what `found` makes of the events so far, as soon as that is not None.

        Raises TimeoutError with the events heard, `within_s` seconds from now at the latest.
        """
        with self._arrived:
            answer = self._arrived.wait_for(lambda: found(self._events) is not None, within_s)
            moment = found(self._events) if answer else None
            if moment is None:
                heard = ", ".join(f"{each.host} {each.container} {each.word}" for each in self._events)
                raise TimeoutError(f"not within {within_s:g} s: {what}; heard: {heard or 'nothing'}")
            return moment

    def close(self) -> None:
        for stream in self._streams:
            stream.close()


def _event(host: str, told: Mapping[str, Any]) -> Event:
    attributes = told["Actor"]["Attributes"]
    return Event(
        host=host,
        container=attributes["name"],
        id=told["Actor"]["ID"],
        word=told["Action"],
        at_ns=told["timeNano"],
        labels=attributes,
    )


@contextmanager
def listening(hosts: Iterable[Host]) -> Iterator[Listener]:
    """A listener that is connected to every engine before the block begins."""
    listener = Listener(hosts)
    try:
        yield listener
    finally:
        listener.close()


def all_running(events: Iterable[Event], wanted: Mapping[str, frozenset[str]]) -> int | None:
    """The first moment at which every wanted container (names by host) ran, or None if there was none."""
    missing = {(host, name) for host, names in wanted.items() for name in names}
    for event in sorted(events, key=lambda each: each.at_ns):
        key = (event.host, event.container)
        if event.word == "start":
            missing.discard(key)
        elif event.container in wanted.get(event.host, ()):
            missing.add(key)
        if not missing:
            return event.at_ns
    return None
