"""`logs`: the output of replicas on all hosts as one stream, in the order of its times."""

import os
import re
import sys
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import typer

from agent.cli.connect import Connection
from agent.cli.describe import named
from agent.cli.exit_codes import UNREACHABLE
from agent.cli.log_merge import MOST_WAITING, Merge, Place
from agent.cli.reach import Reach
from agent.cli.resources import replica_rows
from agent.cli.status import look
from agent.clients.docker.output import NS, Line, Output
from agent.errors import Invalid, Missing, Refused, SwarmkeeperError, Unreachable
from agent.yamldoc.faultlist import listed, printable, quoted

SILENT_S = 0.5
"""With `follow`, the silence of one replica after which the lines of others do not wait for it."""
_WAIT_S, _LIST_S, _RETRY_S, _LOOK_S = 0.1, 1.0, 2.0, 5.0
_FIRST_S = 10.0
"""With `follow`, the longest wait for hosts that do not answer before lines of others are shown."""
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
"""ANSI codes, in the order of compose."""
_STYLE = re.compile(r"(\x1b\[[0-9;:]{0,20}m)")
_PLAIN = "\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options of `logs`. `tail` is a number of lines or `all`."""

    names: Sequence[str] = ()
    hosts: Sequence[str] = ()
    follow: bool = False
    since_ns: int = 0
    tail: str = "all"
    timestamps: bool = False
    raw: bool = False


class _Source(NamedTuple):
    """A container whose lines are shown."""

    name: str
    container: str


@dataclass(slots=True)
class _Stream:
    """The reading of one container. Its thread alone uses `place` and `part`."""

    source: _Source
    place: Place
    tail: str
    state: str = ""
    part: bytes = b""
    broke_off: bool = False
    unreadable: bool = False
    thread: threading.Thread = field(default_factory=threading.Thread)


@dataclass(slots=True)
class _Host:
    listed: bool = False
    fault: str = ""
    streams: dict[str, _Stream] = field(default_factory=dict)


class Logs:
    """Reads each container in a thread of its own, which waits while many of its lines do; the main thread prints."""

    def __init__(self, connection: Connection, reach: Reach, wish: Wish) -> None:
        self._connection, self._reach, self._wish = connection, reach, wish
        self._look = look(connection)
        conditions = self._look.conditions(self._look.read_s)
        chosen = [named(each, conditions) for each in wish.names]
        if wrong := [each for each in chosen if each.kind not in ("service", "replica")]:
            raise Invalid(f"{wrong[0].key} is a {wrong[0].kind}: name a service or a replica")
        self._wanted: Collection[str] = {each.key for each in chosen}
        self._merge: Merge[_Source] = Merge(SILENT_S if wish.follow else float("inf"))
        self._changed, self._over = threading.Condition(), threading.Event()
        self._hosts: dict[str, _Host] = {}
        self._threads: list[threading.Thread] = []
        self._is_terminal = sys.stdout.isatty()
        self._is_colored = self._is_terminal and not os.environ.get("NO_COLOR")
        self._prefixes: dict[str, bytes] = {}
        names = {
            each.condition.name
            for each in conditions.replicas
            if self._is_meant(each.service, each.condition.name)
        }
        self._width = max(map(len, names), default=0)
        for each in sorted(names):
            self._prefix(each)
        self._find_hosts()
        if unknown := [each for each in wish.hosts if each not in self._hosts]:
            on = listed(self._hosts) if self._hosts else "no host"
            raise Invalid(f"{quoted(unknown[0])} has no such replica: they are on {on}")
        if not self._hosts:
            self._say("no host has such a replica", "yellow")

    def run(self) -> int:
        """Print until everything is printed, with `follow` until Ctrl-C; return the exit code."""
        first_s = time.monotonic() + _FIRST_S
        try:
            if self._wish.follow:
                threading.Thread(target=self._keep_looking, daemon=True).start()
            while not self._print_next(first_s):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            self._over.set()
        return UNREACHABLE if any(each.fault for each in self._hosts.values()) else 0

    def _is_meant(self, service: str, replica: str) -> bool:
        return (
            not self._wanted or f"service/{service}" in self._wanted or f"replica/{replica}" in self._wanted
        )

    # ---- The main thread

    def _print_next(self, first_s: float) -> bool:
        """Print what is next, or wait for it; return True at the end."""
        with self._changed:
            is_late = self._wish.follow and time.monotonic() > first_s
            is_ready = is_late or all(each.listed or each.fault for each in self._hosts.values())
            found = [*self._merge.take(time.monotonic())] if is_ready else []
            if found:
                self._changed.notify_all()
            elif (
                not self._wish.follow
                and self._merge.is_done
                and not any(map(threading.Thread.is_alive, self._threads))
            ):
                return True
            else:
                self._changed.wait(_WAIT_S)
        if found:
            sys.stdout.buffer.write(b"".join(self._printed(source.name, line) for source, line in found))
            sys.stdout.buffer.flush()
        return False

    def _printed(self, name: str, line: Line) -> bytes:
        content = line.content.rstrip(b"\r\n")
        if self._is_terminal and not self._wish.raw:
            content = harmless(content.decode(errors="backslashreplace"), colored=self._is_colored).encode()
        if self._wish.timestamps:
            seconds, rest = divmod(line.at_ns, NS)
            at = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z "
            content = at.encode() + content
        return b"%b %b\n" % (self._prefix(name), content)

    def _prefix(self, name: str) -> bytes:
        if name not in self._prefixes:
            color, prefix = (
                _COLOURS[len(self._prefixes) % len(_COLOURS)],
                f"{printable(name):<{self._width}} |",
            )
            self._prefixes[name] = (f"\x1b[{color}m{prefix}{_PLAIN}" if self._is_colored else prefix).encode()
        return self._prefixes[name]

    # ---- The threads of hosts

    def _find_hosts(self) -> None:
        for row in replica_rows(self._look.state, self._look.conditions(self._look.read_s)):
            is_chosen = row.host in (self._wish.hosts or (row.host,)) and self._is_meant(
                row.service, row.name
            )
            if row.host and is_chosen and row.host not in self._hosts:
                with self._changed:
                    host = self._hosts[row.host] = _Host()
                self._threads.append(threading.Thread(target=self._serve, args=(row.host, host), daemon=True))
                self._threads[-1].start()

    def _keep_looking(self) -> None:
        while not self._over.wait(_LOOK_S):
            with suppress(SwarmkeeperError):  # the hosts that are known go on without etcd
                self._look = look(self._connection)
                self._find_hosts()

    def _serve(self, name: str, host: _Host) -> None:
        while not self._over.is_set():
            try:
                engine = self._reach.engine(name, self._look.state)
                self._read_new(host, engine)
                self._note(name, host, "")
                if not self._wish.follow:
                    for stream in host.streams.values():
                        stream.thread.join()
                    if any(stream.broke_off for stream in host.streams.values()):
                        raise Unreachable("its output broke off")
                    return
                self._over.wait(_LIST_S)
            except SwarmkeeperError as error:
                self._note(name, host, self._reach.fault(name) or str(error))
                if not self._wish.follow:
                    return
                self._over.wait(_RETRY_S)

    def _note(self, name: str, host: _Host, fault: str) -> None:
        """Say once that a host cannot be read, and once that it can be again."""
        if fault and not host.fault and not self._over.is_set():
            self._say(
                f"host {name} cannot be read: {fault}{'; it is tried again' if self._wish.follow else ''}",
                "red",
            )
        elif host.fault and not fault:
            self._say(f"host {name} is read again", "green")
        with self._changed:
            host.fault = fault

    def _say(self, message: str, color: str) -> None:
        typer.secho(f"swarmkeeper: {printable(message)}", fg=color, err=True)

    def _read_new(self, host: _Host, engine: Output) -> None:
        """Begin to read the containers that are not read yet, and those that started or broke off since."""
        found = {each.id: each for each in engine.replicas() if self._is_meant(each.service, each.name)}
        is_read = {at: each.thread.is_alive() for at, each in host.streams.items()}
        host.streams = {at: each for at, each in host.streams.items() if at in found or is_read[at]}
        for each in found.values():
            stream = host.streams.get(each.id)
            if stream is None:
                tail = "all" if host.listed else self._wish.tail  # of one that came later, everything is new
                stream = _Stream(
                    _Source(each.name, each.id), Place(self._wish.since_ns, cut=tail != "all"), tail
                )
                host.streams[each.id] = stream
            # One that ran between two looks has another text of docker about its end.
            more = each.running or stream.broke_off or each.state != stream.state
            if more and not is_read.get(each.id) and not stream.unreadable:
                stream.state, stream.broke_off = each.state, False
                with self._changed:
                    self._merge.open(stream.source, time.monotonic())
                stream.thread = threading.Thread(target=self._read, args=(engine, stream), daemon=True)
                stream.thread.start()
        with self._changed:
            host.listed = True

    # ---- The threads of containers

    def _read(self, engine: Output, stream: _Stream) -> None:
        source, start_ns = stream.source, stream.place.again()
        tail = "all" if stream.place.last_ns else stream.tail
        try:
            for some in engine.lines(source.container, start_ns, tail, follow=self._wish.follow):
                self._put(source, whole(stream, stream.place.new(some)))
            if stream.part:  # the program ended within a line
                self._put(source, [Line(stream.place.last_ns, stream.part)])
                stream.part = b""
        except Missing:
            pass  # it was removed
        except Refused as error:
            stream.unreadable = True
            self._say(f"{source.name} cannot be read: {error}", "yellow")
        except SwarmkeeperError:
            stream.broke_off = True
        finally:
            with self._changed:
                self._merge.close(source)
                self._changed.notify_all()

    def _put(self, source: _Source, lines: Sequence[Line]) -> None:
        """Add lines, and wait for room: meanwhile nothing is read, and the engine waits, too."""
        with self._changed:
            self._merge.add(source, lines, time.monotonic())
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._merge.may_add(source) or self._over.is_set())


def whole(stream: _Stream, parts: Sequence[Line]) -> list[Line]:
    """Return the lines that are complete; of one that comes in parts, at most MOST_WAITING bytes are joined."""
    found = []
    for each in parts:
        stream.part += each.content
        if stream.part.endswith(b"\n") or len(stream.part) >= MOST_WAITING:
            found.append(Line(each.at_ns, stream.part))
            stream.part = b""
    return found


def harmless(content: str, *, colored: bool) -> str:
    """Return a line for a terminal: control and invisible characters are escaped, all but tabs and colours."""
    if content.isprintable():
        return content
    pieces = _STYLE.split(content)
    pieces[::2] = ["\t".join(map(printable, each.split("\t"))) for each in pieces[::2]]
    return "".join(pieces) + _PLAIN if colored else "".join(pieces[::2])
