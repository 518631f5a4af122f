"""`python knock.py ADDRESS:PORT...`: ask each port over and over, tell at the end how long it did not answer.

A new TCP connection and a request every 20 ms to each port, whether or not the one before has been answered: a port
that swallows packets shall not keep the next try waiting. When standard input ends, one line of JSON per port.
"""

import asyncio
import json
import socket
import struct
import sys
import time
from bisect import bisect
from itertools import pairwise

EVERY_S = 0.02
"""Each request is a process more on a host: twice as many take from nine ports the time in which they would answer."""
PATIENCE_S = 0.3
"""A request answered later than this counts as not answered; the kernel repeats a lost SYN only after 1 s."""
NOTABLE_S = 0.05
REQUEST = b"GET /nothing HTTP/1.0\r\n\r\n"
"""Any answer will do, and 404 costs the least: the lab's services run a shell for everything that is there."""
AT_ONCE = struct.pack("ii", 1, 0)  # close by RST: no TIME_WAIT here, no old connection remembered there


class Port:
    """One port and what became of the requests to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        address, _, number = name.rpartition(":")
        self._place = (address, int(number))
        self._asked = 0
        self._answered: list[float] = []
        self._refused: list[float] = []
        self._first = time.monotonic()

    async def ask(self) -> None:
        """One request; noted by the moment it was begun if an answer came in time."""
        began = time.monotonic()
        self._asked += 1
        try:
            await asyncio.wait_for(self._ask(), PATIENCE_S)
            self._answered.append(began)
        except TimeoutError:
            return  # nobody, or somebody slow: only what is refused tells for certain
        except OSError:
            self._refused.append(began)

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            await loop.sock_connect(connection, self._place)
            await loop.sock_sendall(connection, REQUEST)
            if not await loop.sock_recv(connection, 1):
                raise ConnectionError("closed without an answer")

    def told(self) -> dict[str, object]:
        """What to say of it: seconds between successful requests that follow each other, and when by the wall clock."""
        to_wall = time.time() - time.monotonic()
        moments = sorted([self._first, *self._answered, time.monotonic() - PATIENCE_S])
        gaps = [(round(after - before, 3), before) for before, after in pairwise(moments)]
        longest = max((gap for gap, _ in gaps), default=0.0)
        notable = [[gap, round(at + to_wall, 3)] for gap, at in gaps if gap >= NOTABLE_S]
        return {
            "name": self.name,
            "asked": self._asked,
            "answered": len(self._answered),
            "longest_s": longest,
            "gaps": notable,
            "refused": [[since + to_wall, until + to_wall] for since, until in self._refusals()],
        }

    def _refusals(self) -> list[tuple[float, float]]:
        """First and last of the refused requests that had no answered one between them."""
        answered, found = sorted(self._answered), list[tuple[float, float]]()
        for at in sorted(self._refused):
            last = found[-1] if found else None
            if last and bisect(answered, last[1]) == bisect(answered, at):
                found[-1] = (last[0], at)
            else:
                found.append((at, at))
        return found


async def ask_all(ports: list[Port], ended: asyncio.Event) -> None:
    """Every EVERY_S each port once, spread evenly, until `ended`."""
    running: set[asyncio.Task[None]] = set()
    start, turn = time.monotonic(), 0
    while not ended.is_set():
        task = asyncio.create_task(ports[turn % len(ports)].ask())
        running.add(task)
        task.add_done_callback(running.discard)
        turn += 1
        await asyncio.sleep(max(0.0, start + turn * EVERY_S / len(ports) - time.monotonic()))
    await asyncio.gather(*running)


async def main(names: list[str]) -> None:
    ports, ended = [Port(name) for name in names], asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, ended.set)
    await ask_all(ports, ended)
    for port in ports:
        print(json.dumps(port.told()))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
