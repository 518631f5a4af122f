"""`logs` over three hosts: in the order of time, without a missing or doubled line when a host dies and returns."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer

from agent.cli import logs
from agent.cli.log_merge import MOST_WAITING, Merge
from agent.cli.logs import Logs, Wish, harmless
from agent.cli.options import since_ns
from agent.cli.reach import Reach
from agent.clients.docker.output import NS, Line, Listed
from agent.errors import Invalid, Missing, Refused, Unreachable
from agent.model.store import Upkeep
from agent.observe.look import Look
from tests.support.cluster_states import HEALTHY, HOSTS, NOW_S, A, B, C

LONG_S = 60


class Engine:
    """A host with containers. Lines that it stored stay when it is down; readers then get an error."""

    def __init__(self) -> None:
        self.changed, self.is_up, self.starts = threading.Condition(), True, 0
        self.stored: dict[str, list[Line]] = {}
        self.listed: dict[str, Listed] = {}
        self.unread: set[str] = set()

    def add(self, name: str, *, running: bool = True, state: str = "Up", container: str = "") -> None:
        container = container or f"id-{name}"
        self.listed[container] = Listed(container, name, name.rpartition("-")[0], running, state)
        self.stored.setdefault(container, [])

    def say(self, at: float, content: str, container: str) -> None:
        with self.changed:
            self.stored[container].append(Line(round(at * NS), f"{content}\n".encode()))
            self.changed.notify_all()

    def power(self, *, on: bool) -> None:
        with self.changed:
            self.is_up = on
            self.starts += on
            self.changed.notify_all()

    def end(self, container: str, state: str) -> None:
        with self.changed:
            self.listed[container] = self.listed[container]._replace(running=False, state=state)
            self.changed.notify_all()

    # -- as Output

    def replicas(self) -> list[Listed]:
        if not self.is_up:
            raise Unreachable("no route to host")
        return list(self.listed.values())

    def lines(self, container: str, since: int, tail: str, *, follow: bool) -> Iterator[list[Line]]:
        if container in self.unread:
            raise Refused("configured logging driver does not support reading")
        if container not in self.stored:
            raise Missing(container)
        start, at = self.starts, 0
        if tail != "all":
            at = max(len(self.stored[container]) - int(tail), 0)
        while True:
            with self.changed:
                while follow and self._is_silent(container, at, start):
                    self.changed.wait(LONG_S)
                if not self.is_up or self.starts != start:
                    raise Unreachable("the connection was lost")
                some, at = self.stored[container][at : at + 50], min(at + 50, len(self.stored[container]))
            if not some:
                return
            yield [each for each in some if each.at_ns >= since]

    def _is_silent(self, container: str, at: int, start: int) -> bool:
        there = len(self.stored[container]) > at or not self.listed[container].running
        return not there and self.is_up and self.starts == start


class Fake:
    """A Reach of three engines, and a standard output that ends the command as Ctrl-C does once it has enough."""

    def __init__(self) -> None:
        self.engines = {name: Engine() for name in HOSTS}
        self.printed = b""
        self.enough: Callable[[str], bool] = lambda _: False
        self.is_terminal = False
        self.buffer = SimpleNamespace(write=self.write, flush=lambda: None)

    def engine(self, host: str, _: object) -> Engine:
        return self.engines[host]

    def fault(self, host: str) -> str:
        return ""

    def write(self, some: bytes) -> None:
        self.printed += some
        if self.enough(self.printed.decode()):
            raise KeyboardInterrupt

    def isatty(self) -> bool:
        return self.is_terminal

    def run(self, *names: str, **options: Any) -> int:
        return Logs(cast(Any, None), cast(Reach, self), Wish(names=names, **options)).run()

    @property
    def lines(self) -> list[str]:
        return self.printed.decode().splitlines()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()
    monkeypatch.setattr(
        "agent.cli.logs.look", lambda _: Look(cluster="prod", state=HEALTHY, upkeep=Upkeep(), read_s=NOW_S)
    )
    monkeypatch.setattr("agent.cli.logs.sys", SimpleNamespace(stdout=fake))
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name in ("_LIST_S", "_RETRY_S", "_LOOK_S"):
        monkeypatch.setattr(logs, name, 0.02)
    return fake


def test_what_is_stored_is_printed_in_the_order_of_time(fake: Fake) -> None:
    for host, name, times in ((A, "web-1", (1, 4)), (B, "web-2", (2, 3)), (C, "billing-1", (2.5,))):
        fake.engines[host].add(name)
        for at in times:
            fake.engines[host].say(at, f"at {at}", f"id-{name}")
    assert fake.run() == 0
    assert fake.lines == [
        "web-1     | at 1", "web-2     | at 2", "billing-1 | at 2.5", "web-2     | at 3", "web-1     | at 4",
    ]  # fmt: skip


def test_names_hosts_tail_and_times_choose(fake: Fake) -> None:
    for host, name in ((A, "web-1"), (B, "web-2"), (B, "order-2"), (C, "web-3")):
        fake.engines[host].add(name)
        for at in (1, 2):
            fake.engines[host].say(at, name, f"id-{name}")
    assert fake.run("web", hosts=[A, B], tail="1", timestamps=True) == 0
    assert fake.lines == [f"web-{each} | 1970-01-01T00:00:02.000000000Z web-{each}" for each in (1, 2)]
    fake.printed = b""
    fake.run("replica/order-2", "web-3")
    assert [each.partition(" ")[0] for each in fake.lines] == ["order-2", "web-3"] * 2


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"names": ["wep"]}, "did you mean web"),
        ({"names": ["node-231"]}, "host/node-231 is a host: name a service or a replica"),
        ({"names": ["billing"], "hosts": [A]}, "'node-231' has no such replica: they are on"),
    ],
)
def test_a_name_of_nothing_is_refused(fake: Fake, options: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        Logs(cast(Any, None), cast(Reach, fake), Wish(**options))


def test_a_replica_without_a_host_is_told(
    fake: Fake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli.logs.replica_rows", lambda *_: ())
    assert fake.run("web") == 0
    assert capsys.readouterr().err == "swarmkeeper: no host has such a replica\n"


def test_the_name_of_another_hosts_container_stays_text(fake: Fake) -> None:
    fake.engines[A].add("\x1b[2J-1")
    fake.engines[A].say(1, "here", "id-\x1b[2J-1")
    fake.run()
    assert fake.lines == ["\\x1b[2J-1 | here"]


def test_a_host_that_cannot_be_reached_is_named_and_the_rest_goes_on(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.engines[A].add("web-1")
    fake.engines[A].say(1, "here", "id-web-1")
    fake.engines[C].power(on=False)
    assert fake.run() == 3
    assert fake.lines == ["web-1     | here"]
    assert capsys.readouterr().err == "swarmkeeper: host node-233 cannot be read: no route to host\n"


def test_a_container_whose_log_cannot_be_read_is_named_once(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.engines[A].add("web-1")
    fake.engines[B].add("web-2")
    fake.engines[A].unread.add("id-web-1")
    fake.engines[B].say(1, "here", "id-web-2")
    fake.enough = lambda printed: "here" in printed
    assert fake.run(follow=True) == 0
    assert capsys.readouterr().err.count("web-1 cannot be read: configured logging driver") == 1


def numbers(lines: list[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        name, _, number = line.partition(" | ")
        found[name.strip()].append(int(number))
    return found


def test_no_line_is_missing_or_doubled_while_a_host_dies_and_returns(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty replicas count as fast as they can; the last host loses its connection again and again."""
    most, over = 600, threading.Event()
    names = {host: [f"web-{10 * number + each}" for each in range(10)] for number, host in enumerate(HOSTS)}
    for host in HOSTS:
        for name in names[host]:
            fake.engines[host].add(name)

    def count(host: str) -> None:
        for number in range(most):
            for name in names[host]:
                fake.engines[host].say(1000 + number // 7, f"{number}", f"id-{name}")

    def break_off() -> None:
        while not over.wait(0.05):
            fake.engines[C].power(on=False)
            over.wait(0.05)
            fake.engines[C].power(on=True)

    fake.enough = lambda printed: printed.count("\n") >= most * 30
    threads = [threading.Thread(target=count, args=(host,)) for host in HOSTS]
    threads.append(threading.Thread(target=break_off, daemon=True))
    for each in threads:
        each.start()
    fake.run(follow=True)
    over.set()
    assert numbers(fake.lines) == {name: list(range(most)) for host in HOSTS for name in names[host]}
    said = capsys.readouterr().err
    assert "host node-233 cannot be read" in said
    assert "node-231" not in said


def test_a_successor_and_a_container_that_ran_shortly_join(fake: Fake) -> None:
    engine = fake.engines[A]
    engine.add("web-1")
    engine.say(1, "first", "id-web-1")

    def enough(printed: str) -> bool:
        if printed.count("\n") == 1:  # its successor, and one that starts, prints and ends between two looks
            engine.end("id-web-1", "Exited (1) 1 second ago")
            engine.add("web-1", container="next")
            engine.say(2, "second", "next")
        elif "second" in printed and "third" not in printed:
            engine.say(3, "third", "id-web-1")
            engine.end("id-web-1", "Exited (1) Less than a second ago")
        return "third" in printed

    fake.enough = enough
    assert fake.run(follow=True) == 0
    assert [each.partition("| ")[2] for each in fake.lines] == ["first", "second", "third"]


def test_a_slow_terminal_makes_the_readers_wait(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read and not printed stays within a bound, however much the replicas have printed."""
    peak = 0
    for host, number in ((A, 1), (B, 2)):
        fake.engines[host].add(f"web-{number}")
        fake.engines[host].stored[f"id-web-{number}"] = [
            Line(each * NS, b"x" * 999 + b"\n") for each in range(2000)
        ]
    taken = Merge.take

    def take(self: Any, now_s: float) -> Any:
        nonlocal peak
        peak = max(peak, *(each.size for each in self._streams.values()), 0)
        return list(taken(self, now_s))[:]

    monkeypatch.setattr(Merge, "take", take)
    assert fake.run() == 0
    assert len(fake.lines) == 4000
    assert 0 < peak <= MOST_WAITING + 50_000


def test_long_lines_are_joined_and_the_last_one_needs_no_end(fake: Fake) -> None:
    fake.engines[A].add("web-1")
    parts = [Line(1, b"a" * 16384), Line(1, b"b\n"), Line(2, b"no end")]
    fake.engines[A].stored["id-web-1"] = parts
    fake.run("web-1")
    assert fake.lines == ["web-1 | " + "a" * 16384 + "b", "web-1 | no end"]


HOSTILE = "a\x1b[2Jb\x1b[31mred\x1b[0m\u202ec\td"


@pytest.mark.parametrize(
    ("is_terminal", "raw", "no_color", "shown"),
    [
        (True, False, "", "\x1b[36mweb-1 |\x1b[0m a\\x1b[2Jb\x1b[31mred\x1b[0m\\u202ec\td\x1b[0m"),
        (True, False, "1", "web-1 | a\\x1b[2Jbred\\u202ec\td"),
        (True, True, "1", f"web-1 | {HOSTILE}"),
        (False, False, "", f"web-1 | {HOSTILE}"),
    ],
)
def test_output_cannot_write_into_the_terminal_unless_asked_to(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, is_terminal: bool, raw: bool, no_color: str, shown: str
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    fake.is_terminal = is_terminal
    fake.engines[A].add("web-1")
    fake.engines[A].say(1, HOSTILE, "id-web-1")
    fake.run("web-1", raw=raw)
    assert fake.printed.decode() == f"{shown}\n"


def test_a_line_of_colours_alone_stays_one() -> None:
    assert harmless("\x1b[1;38:5:9mx", colored=True) == "\x1b[1;38:5:9mx\x1b[0m"
    assert harmless("plain", colored=True) == "plain"


@pytest.mark.parametrize(
    ("value", "at_s"),
    [
        ("90s", 910), ("2m", 880), ("1m30s", 910), ("1h", 0), ("1d", 0),
        ("1970-01-01T00:10:00Z", 600), ("1970-01-01T01:10:00+01:00", 600),
    ],
)  # fmt: skip
def test_since(value: str, at_s: int) -> None:
    assert since_ns(value, 1000) == at_s * NS


@pytest.mark.parametrize("value", ["", "x", "90", "10 m", "1m1h", "-5m", "2026-99-01", "5w"])
def test_since_no_time(value: str) -> None:
    with pytest.raises(typer.BadParameter, match="is neither a duration, as 90s"):
        since_ns(value, 1000)
