"""Somebody on the LAN who uses the services all the time: each request goes through api, order and billing."""

import http.client
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from integration.lab.lan import Lan

PAUSE_S = 0.1
PATIENCE_S = 2.0
"""A host that has not answered by then is given up, and the next one is asked."""
CHAIN = ["api", "order", "billing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time in which no request was answered, from the beginning of the last good one to that of the next."""

    began: float
    """On the monotonic clock."""
    seconds: float


@dataclass(slots=True)
class Seen:
    """What became of the requests."""

    asked: int = 0
    answered: int = 0
    at_first: int = 0
    """Answered by the first host that was asked."""
    gaps: list[Gap] = field(default_factory=list)
    """Of 1 s and more."""

    @property
    def worst(self) -> Gap | None:
        return max(self.gaps, key=lambda each: each.seconds, default=None)

    def __str__(self) -> str:
        share, first = (100 * n / max(self.asked, 1) for n in (self.answered, self.at_first))
        return (
            f"{self.answered} of {self.asked} requests answered ({share:.2f} %), "
            f"{first:.2f} % by the first host asked"
        )


class Client:
    """Asks one host after the other in turn, and the next one when it does not answer, as a browser does."""

    def __init__(self, lan: Lan, addresses: Iterable[str]) -> None:
        self._lan, self._addresses = lan, list(addresses)
        self.seen = Seen()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="client", daemon=True)
        self._good_at = 0.0

    def __enter__(self) -> Self:
        self._good_at = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._gap_ends(time.monotonic())

    def _run(self) -> None:
        with self._lan.inside():
            while not self._stop.wait(PAUSE_S):
                self._ask(self.seen.asked % len(self._addresses))

    def _ask(self, turn: int) -> None:
        began = time.monotonic()
        self.seen.asked += 1
        for tries, address in enumerate((*self._addresses[turn:], *self._addresses[:turn])):
            if answers(address):
                self._gap_ends(began)
                self._good_at = began
                self.seen.answered += 1
                self.seen.at_first += not tries
                return

    def _gap_ends(self, now: float) -> None:
        if now - self._good_at >= 1:
            self.seen.gaps.append(Gap(began=self._good_at, seconds=now - self._good_at))


def answers(address: str) -> bool:
    """Whether a request to that host goes through all services and back."""
    connection = http.client.HTTPConnection(address, 80, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        said = json.loads(answer.read())
        return answer.status == 200 and chain(said) == CHAIN
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def chain(said: object) -> list[object]:
    """Who has answered, in the order they called each other."""
    names: list[object] = []
    while isinstance(said, dict):
        names.append(said.get("service"))
        said = said.get("called")
    return names
