"""A client of ZooKeeper in the few requests that a registry of Dubbo needs, for one thread.

The protocol is that of ZooKeeper's own clients: a length, a header and records of big-endian numbers and strings
(zookeeper.jute in its sources). A broken connection goes on with the same session; `Expired` tells when that is over.
"""

import random
import select
import socket
import struct
import time
from contextlib import suppress

CREATE, DELETE, GET_CHILDREN, PING, CLOSE = 1, 2, 8, 11, -11
NO_NODE, NODE_EXISTS = -101, -110
PING_XID, EVENT_XID = -2, -1
EPHEMERAL = 1
ANYONE = struct.pack(">ii", 1, 31)  # one entry: every permission


class Refused(Exception):
    """An error of the server; `code` as in KeeperException."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ZooKeeper answers {code}")
        self.code = code


class Expired(Exception):
    """The session is over, and its ephemeral nodes are gone."""


def text(value: str) -> bytes:
    """A string of the protocol."""
    data = value.encode()
    return struct.pack(">i", len(data)) + data


class ZooKeeper:
    """One session. `connect` begins it or goes on with it."""

    def __init__(self, host: str, port: int, session_s: float = 6.0) -> None:
        self.host, self.port, self.session_s = host, port, session_s
        self.session, self.password, self.zxid = 0, bytes(16), 0
        self.sock: socket.socket | None = None
        self.xid, self.changed, self.heard = 0, False, 0.0

    def connect(self) -> None:
        """Connect to one of the servers. Raises OSError if none answers, Expired if the session is over."""
        self.drop()
        found = socket.getaddrinfo(self.host, self.port, socket.AF_INET, socket.SOCK_STREAM)
        addresses = sorted({(str(each[4][0]), self.port) for each in found})
        random.shuffle(addresses)
        failure = OSError(f"{self.host} has no address")
        for address in addresses:
            try:
                self.sock = socket.create_connection(address, timeout=2)
                self._begin()
            except OSError as error:
                failure = error
                self.drop()
            else:
                self.changed = True  # what happened meanwhile was not heard of
                return
        raise failure

    def _begin(self) -> None:
        timeout_ms = int(self.session_s * 1000)
        self._send(struct.pack(">iqiq", 0, self.zxid, timeout_ms, self.session) + struct.pack(">i", 16)
                   + self.password + b"\0")  # fmt: skip
        answer = self._receive()
        _, granted_ms, session = struct.unpack_from(">iiq", answer)
        if session == 0 or granted_ms <= 0:
            self.session, self.password = 0, bytes(16)
            raise Expired
        size = struct.unpack_from(">i", answer, 16)[0]
        self.session, self.password, self.session_s = session, answer[20 : 20 + size], granted_ms / 1000
        self.heard = time.monotonic()

    def drop(self) -> None:
        """Close the connection; the session goes on for its time."""
        if self.sock is not None:
            self.sock.close()
        self.sock = None

    def close(self) -> None:
        """End the session: its ephemeral nodes go at once."""
        if self.sock is not None:
            with suppress(OSError):
                self._ask(CLOSE, b"")
        self.drop()

    def create(self, path: str, *, ephemeral: bool = False) -> None:
        """Create a node without data. Raises Refused(NODE_EXISTS) if it is there."""
        body = text(path) + text("") + ANYONE + text("world") + text("anyone")
        self._ask(CREATE, body + struct.pack(">i", EPHEMERAL if ephemeral else 0))

    def delete(self, path: str) -> None:
        """Remove a node of any version."""
        self._ask(DELETE, text(path) + struct.pack(">i", -1))

    def ensure(self, path: str) -> None:
        """Create a path of lasting nodes, as far as it is not there."""
        parts = path.strip("/").split("/")
        for end in range(1, len(parts) + 1):
            try:
                self.create("/" + "/".join(parts[:end]))
            except Refused as error:
                if error.code != NODE_EXISTS:
                    raise

    def own(self, path: str) -> None:
        """Create an ephemeral node of this session. One that an earlier session left is replaced, as Dubbo does."""
        try:
            self.create(path, ephemeral=True)
        except Refused as error:
            if error.code != NODE_EXISTS:
                raise
            self.delete(path)
            self.create(path, ephemeral=True)

    def children(self, path: str) -> list[str]:
        """Names of the nodes below, and a watch on them: `wait` then says that they changed."""
        self.changed = False
        answer = self._ask(GET_CHILDREN, text(path) + b"\1")
        count, offset = struct.unpack_from(">i", answer)[0], 4
        names = []
        for _ in range(count):
            size = struct.unpack_from(">i", answer, offset)[0]
            names.append(answer[offset + 4 : offset + 4 + size].decode())
            offset += 4 + size
        return names

    def wait(self, seconds: float) -> bool:
        """Keep the session for so long, or until a watch tells of a change: then True. Raises OSError if it breaks."""
        until = time.monotonic() + seconds
        while not self.changed:
            left = until - time.monotonic()
            if left <= 0:
                return False
            if self.sock is None:
                raise OSError("not connected")
            if select.select([self.sock], [], [], min(left, self.session_s / 3))[0]:
                self._take(self._receive())
            if time.monotonic() - self.heard > self.session_s * 2 / 3:
                raise OSError("ZooKeeper does not answer")
            self._send(struct.pack(">ii", PING_XID, PING))
        self.changed = False
        return True

    def _ask(self, kind: int, body: bytes) -> bytes:
        self.xid += 1
        self._send(struct.pack(">ii", self.xid, kind) + body)
        while True:
            answer = self._receive()
            xid, code = self._take(answer)
            if xid == self.xid:
                if code:
                    raise Refused(code)
                return answer[16:]

    def _take(self, answer: bytes) -> tuple[int, int]:
        """Note what every answer brings, and that something changed."""
        xid, zxid, code = struct.unpack_from(">iqi", answer)
        self.heard = time.monotonic()
        if zxid > 0:
            self.zxid = zxid
        if xid == EVENT_XID:
            self.changed = True
        return xid, code

    def _send(self, data: bytes) -> None:
        if self.sock is None:
            raise OSError("not connected")
        self.sock.sendall(struct.pack(">i", len(data)) + data)

    def _receive(self) -> bytes:
        size = struct.unpack(">i", self._exactly(4))[0]
        return self._exactly(size)

    def _exactly(self, count: int) -> bytes:
        if self.sock is None:
            raise OSError("not connected")
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise OSError("ZooKeeper closed the connection")
            data += more
        return data
