"""Requests to a service on an overlay while its containers are replaced, as clients make them that keep nothing.

Each request asks the engine's resolver for the name, connects to one of the addresses, and reads one page. If that
fails, it tries the other addresses, or the one virtual address again. Both outcomes are counted.
"""

import ctypes
import itertools
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RESOLVER = ("127.0.0.11", 53)
PORT = 8080
CLIENTS, PERIOD_S = 4, 0.05
"""Threads, and seconds from the beginning of a request to that of the next one of its thread."""
TIMEOUT_S = 1.0
_A = 1
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; `at_s` is its beginning on the monotonic clock."""

    at_s: float
    seconds: float
    first: bool
    """True if the first address answered."""
    answered: bool
    """True if any of them did."""
    why: str = ""
    """Why the first one did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    requests: int
    failed: int
    """Requests that the first address did not answer."""
    lost: int
    """Requests that no address answered."""
    slowest_s: float

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.failed} not answered by the first address, {self.lost} by none, "
            f"slowest {self.slowest_s:.2f} s"
        )


def count(requests: Sequence[Request], began_s: float, ended_s: float) -> Count:
    """Count the requests that began between two moments."""
    found = [each for each in requests if began_s <= each.at_s < ended_s]
    return Count(
        requests=len(found),
        failed=sum(not each.first for each in found),
        lost=sum(not each.answered for each in found),
        slowest_s=max((each.seconds for each in found), default=0.0),
    )


class Traffic:
    """What the clients have seen so far."""

    def __init__(self, network: Path, name: str) -> None:
        self._network, self._name = network, name
        self._stop = threading.Event()
        self._requests: list[Request] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    @property
    def requests(self) -> tuple[Request, ...]:
        return tuple(self._requests)

    def start(self) -> None:
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def _run(self) -> None:
        enter(self._network)
        while not self._stop.is_set():
            began_s = time.monotonic()
            self._requests.append(_request(self._name, began_s))
            self._stop.wait(max(0.0, began_s + PERIOD_S - time.monotonic()))


@contextmanager
def traffic(network: Path, name: str) -> Iterator[Traffic]:
    """Let clients in the network namespace `network` ask the service `name` all the time."""
    found = Traffic(network, name)
    found.start()
    try:
        yield found
    finally:
        found.stop()


def enter(network: Path) -> None:
    """Move this thread to a network namespace. os.setns needs Python 3.12."""
    with network.open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"{network}: {os.strerror(ctypes.get_errno())}")


def _request(name: str, began_s: float) -> Request:
    why = ""
    try:
        found = _resolve(name)
        random.shuffle(found)
        # A virtual address is one: the second attempt goes there again.
        for number, address in enumerate(found if len(found) > 1 else found * 2):
            try:
                _get(address)
            except OSError as error:
                why = why or f"{type(error).__name__}: {error}"
                continue
            seconds = time.monotonic() - began_s
            return Request(at_s=began_s, seconds=seconds, first=number == 0, answered=True, why=why)
        why = why or "the resolver knows no address"
    except OSError as error:
        why = f"the resolver: {error}"
    return Request(at_s=began_s, seconds=time.monotonic() - began_s, first=False, answered=False, why=why)


def _get(address: str) -> None:
    """Read the page of a server. Raises OSError if that fails, also if it ends too early."""
    with socket.create_connection((address, PORT), TIMEOUT_S) as wire:
        wire.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = b""
        while more := wire.recv(4096):
            page += more
    if not page.startswith(b"HTTP/1.") or b" 200 " not in page.partition(b"\r\n")[0]:
        raise OSError(f"{address} answered {page[:40]!r}")


_numbers = itertools.count(1)


def _resolve(name: str) -> list[str]:
    """Return the addresses of a name, none if the resolver does not know it. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.settimeout(TIMEOUT_S)
        wire.sendto(question(name, next(_numbers) & 0xFFFF), RESOLVER)
        return addresses(wire.recv(4096))


def question(name: str, number: int) -> bytes:
    """Return a DNS query for the IPv4 addresses of a name (RFC 1035, 4.1)."""
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", _A, 1)


def addresses(answer: bytes) -> list[str]:
    """Return the IPv4 addresses of an answer to `question`."""
    (number,) = struct.unpack_from("!H", answer, 6)
    at = answer.index(b"\0", 12) + 5
    found = []
    for _ in range(number):
        at = at + 2 if answer[at] >= 0xC0 else answer.index(b"\0", at) + 1  # a pointer, or the name itself
        kind, _, _, size = struct.unpack_from("!HHIH", answer, at)
        at += 10
        if kind == _A:
            found.append(socket.inet_ntoa(answer[at : at + size]))
        at += size
    return found
