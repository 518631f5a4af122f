"""The replicas of one engine for the operator's commands: read their output, restart one, run a container once."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from agent.clients.docker.errors import unless
from agent.clients.docker.reading import lines_of, own_names
from agent.clients.docker.transport import Part, Transport, quoted
from agent.diff.container import CLUSTER, identity, is_called_so
from agent.errors import Missing, Unreachable

NS = 1_000_000_000
_HEADER, _MOST_BYTES = 8, 1 << 22
_MOST_OUTPUT = 1 << 16
"""Bytes of the output of a container that runs once."""
_NO_LIMIT_S = 1e6
"""A container may print nothing for days; a lost connection ends the stream otherwise."""
_SLOW_S, _GRACE_S = 60.0, 10


class Line(NamedTuple):
    """A line as the engine stored it, with its line end; of one over 16 KiB a part."""

    at_ns: int
    """Since the epoch, by the clock of its host."""
    content: bytes


class Listed(NamedTuple):
    """A container of a replica. `state` is docker's text, as `Up 5 minutes`."""

    id: str
    name: str
    service: str
    running: bool
    state: str


class Output(Part):
    """The replicas of `cluster` on the engine at `url`, a unix socket. The methods raise as those of an engine."""

    def __init__(self, url: str, cluster: str, timeout_s: float = 30.0) -> None:
        super().__init__(Transport(url, timeout_s), cluster)
        self.url, self.close = url, self._transport.close

    def replicas(self) -> list[Listed]:
        """Return their containers, the newest first. An image may have the labels of a replica, but not the name."""
        found, params = [], {"all": "1", "filters": f'{{"label": ["{CLUSTER}={self._cluster}"]}}'}
        for each in self._ask("containers", "GET", "/containers/json", params=params):
            labels = each.get("Labels") or {}
            if (replica := identity(labels)) and is_called_so(labels, own_names(each)):
                state, name = f"{each.get('State')} {each.get('Status')}", f"{replica.service}-{replica.slot}"
                running = each.get("State") in ("running", "paused")
                found.append(Listed(each["Id"], name, replica.service, running, state))
        return found

    def lines(self, container: str, since_ns: int, tail: str, *, follow: bool) -> Iterator[list[Line]]:
        """Yield the lines from a time on, several at a time and in the engine's order; `tail`: a number, or `all`.

        With `follow` it ends when the container stops. Refused if the log driver cannot be read.
        """
        path, since = f"/containers/{quoted(container)}", f"{since_ns // NS}.{since_ns % NS:09d}"
        params = {
            "stdout": 1,
            "stderr": 1,
            "timestamps": 1,
            "follow": int(follow),
            "tail": tail,
            "since": since,
        }
        split = _by_line if self._config(container).get("Tty") else _by_frame
        stall_s = _NO_LIMIT_S if follow else self._transport.timeout_s
        opened = self._transport.open("container_logs", "GET", f"{path}/logs", params=params, stall_s=stall_s)
        with opened as response:
            unread = bytearray()
            for piece in self._transport.pieces(response):
                unread += piece
                if len(unread) > _MOST_BYTES:
                    raise Unreachable(f"dockerd sent a line of over {_MOST_BYTES} bytes")
                yield [line_of(each) for each in split(unread)]

    def restart(self, container: str) -> None:
        """Stop the container with its own grace period, and start it again."""
        timeout_s = (self._config(container).get("StopTimeout") or _GRACE_S) + _SLOW_S
        self._ask(
            "container_restart", "POST", f"/containers/{quoted(container)}/restart", timeout_s=timeout_s
        )

    def run_once(self, image: str, network: str, script: str, *arguments: str, timeout_s: float) -> str:
        """Run a script for `sh -c` in an unmanaged container on a network; return its output of at most 64 KiB.

        The container is removed when it ends, also if this process does not live to see that. Quiet when nothing
        arrives for `timeout_s`.
        """
        body = {
            "Image": image,
            "Entrypoint": ["sh", "-c", script, "sh"],
            "Cmd": arguments,
            "HostConfig": {"NetworkMode": network, "AutoRemove": True, "LogConfig": {"Type": "json-file"}},
        }
        created = self._ask("container_create", "POST", "/containers/create", body=body, timeout_s=_SLOW_S)
        path, params = f"/containers/{quoted(created['Id'])}", {"stdout": 1, "stderr": 1, "follow": 1}
        try:
            self._ask("container_start", "POST", f"{path}/start", timeout_s=_SLOW_S)
            opened = self._transport.open(
                "container_logs", "GET", f"{path}/logs", params=params, stall_s=timeout_s
            )
            with opened as response:
                return lines_of(self._transport.content(response, _MOST_OUTPUT)).decode(errors="replace")
        finally:
            with suppress(Missing), unless("is already in progress"):
                self._ask("container_remove", "DELETE", path, params={"force": 1})

    def _config(self, container: str) -> dict[str, Any]:
        found: Any = self._ask("container_inspect", "GET", f"/containers/{quoted(container)}/json")
        return dict(found.get("Config") or {})


def _by_frame(unread: bytearray) -> Iterable[bytes]:
    """Take the complete lines of a log without a terminal: each has a header of 8 bytes that ends with its length."""
    found, at = [], 0
    while len(unread) - at >= _HEADER:
        end = at + _HEADER + int.from_bytes(unread[at + 4 : at + _HEADER], "big")
        if end > len(unread):
            break
        found.append(bytes(unread[at + _HEADER : end]))
        at = end
    del unread[:at]
    return found


def _by_line(unread: bytearray) -> Iterable[bytes]:
    """Take the complete lines of the log of a container with a terminal."""
    end = unread.rfind(b"\n") + 1
    found = bytes(unread[:end]).split(b"\n")[:-1]  # a carriage return, as of a progress bar, ends no line
    del unread[:end]
    return [each + b"\n" for each in found]


def line_of(raw: bytes) -> Line:
    """Return the line after its time in RFC 3339 with nine decimals. Raises Unreachable without one."""
    stamp, _, content = raw.partition(b" ")
    try:
        return Line(_second(stamp[:19], stamp[29:]) * NS + int(stamp[20:29]), content)
    except ValueError as error:
        raise Unreachable(f"dockerd sent a line without its time: {raw[:40]!r}") from error


@lru_cache(maxsize=64)
def _second(time: bytes, zone: bytes) -> int:
    return int(datetime.fromisoformat((time + zone).decode()).timestamp())
