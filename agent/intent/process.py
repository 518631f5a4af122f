"""How the process of a replica is started, named, logged and ended."""

import re
import shlex
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TypeVar, get_args

from agent.intent import forms
from agent.intent.values import anything, pairs, text, texts
from agent.model.spec import Healthcheck, Logging, Restart, RestartName
from agent.yamldoc import Cursor, Reader
from agent.yamldoc.readers import after, boolean, choice, duration, integer, one_or_more, sequence_of

_SHORTEST_S = 0.001
"""Docker's own: moby, daemon/container.go (minimumDuration)."""
HEALTH = forms.Section(
    {
        "test": forms.WORDS,
        **dict.fromkeys(("interval", "timeout", "start_period"), forms.DURATION),
        "retries": forms.integer(1, 1000),
        "disable": forms.BOOLEAN,
    },
    refused={
        "start_interval": "is not offered: engines before 25 do not know it; interval and start_period are there"
    },
)
_positive = duration(_SHORTEST_S)


def healthcheck(cursor: Cursor) -> Healthcheck | None:
    """Read how a replica's health is found out; times in seconds."""
    fields = HEALTH.read(cursor)
    test = fields.read("test", _test)
    if fields.read("disable", boolean, False) or test == ("NONE",):
        return Healthcheck(disable=True)
    return Healthcheck(
        test=test,
        interval_s=fields.read("interval", _positive),
        timeout_s=fields.read("timeout", _positive),
        start_period_s=fields.read("start_period", duration()),
        retries=fields.read("retries", integer(1, 1000)),
    )


def _test(cursor: Cursor) -> tuple[str, ...] | None:
    """Read the command in Docker's form; plain text goes to the container's shell. It may hold passwords."""
    cursor = cursor.hidden()
    if not cursor.is_sequence:
        line = text(cursor)
        return None if line is None else ("CMD-SHELL", line)
    words = texts(cursor)
    if not words or words[0] not in ("NONE", "CMD", "CMD-SHELL"):
        problem = "does not begin with NONE, CMD or CMD-SHELL"
        cursor.fault(problem, "write for example [CMD, curl, -fs, localhost]")
        return None
    length = {"NONE": (1, 1), "CMD": (2, len(words)), "CMD-SHELL": (2, 2)}[words[0]]
    if not length[0] <= len(words) <= length[1]:
        cursor.fault(f"{words[0]} wants {'nothing' if words[0] == 'NONE' else 'a command'} behind it")
        return None
    return words


W = TypeVar("W", bound=str)

_RESTARTS: dict[str, RestartName] = {each: each for each in get_args(RestartName)}
_RETRIES = re.compile(r"on-failure:(\d{1,6})", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
_GATEWAY = "host-gateway"
_ANOTHERS = ("service:", "container:")
_LONGEST_LINE = 16_384
"""Splitting takes time that grows with the square of a word's length."""
MOST_SPLIT = 500_000
"""Characters of all commands and entrypoints that are lines: splitting one takes long, and its words take twenty times
the memory."""
LOGGING = forms.Section({"driver": forms.SCALAR, "options": forms.PAIRS})
EXTRA_HOSTS = forms.either(forms.list_of(forms.TEXT), forms.mapping_of(forms.TEXT))
RESTART = forms.either(
    {"enum": [*get_args(RestartName), False]}, {"type": "string", "pattern": "^on-failure:[0-9]{1,6}$"}
)
"""YAML 1.1, which many an editor reads, takes a plain `no` for false."""


def unshared(options: tuple[W, ...]) -> Reader[W]:
    """Make a reader of one of a few words for a namespace, which says why another container's is refused."""
    one_of = choice(options)

    def read(cursor: Cursor) -> W | None:
        if (cursor.written or "").startswith(_ANOTHERS):
            problem = "the namespace of another container is not offered"
            cursor.fault(problem, "replicas are replaced one by one: use networks")
            return None
        return one_of(cursor)

    return read


texts_or_empty = sequence_of(anything)
"""Reads a list of texts, which may be empty."""


def words(cursor: Cursor) -> tuple[str, ...] | None:
    """Read a command: a list of words, or a line that is split as a shell does (Compose does so too).

    It may hold passwords.
    """
    cursor = cursor.hidden()
    if cursor.is_sequence:
        return texts_or_empty(cursor)
    line = anything(cursor)
    if line is None:
        return None
    if len(line) > _LONGEST_LINE:
        cursor.fault(f"is a line of {len(line)} characters", "write it as a list")
        return None
    try:
        return tuple(shlex.split(line))
    except ValueError as error:
        cursor.fault(f"cannot be split into words: {str(error).lower()}", "write it as a list")
        return None


def check_lines(services: Cursor) -> bool:
    """Whether the services can be read in a bearable time; notes a fault when not."""
    left = MOST_SPLIT
    for _, service in services.entries() if services.is_mapping else ():
        for key in ("command", "entrypoint"):
            # Where the key is missing this is the service itself, a mapping.
            place = service.at(key)
            left -= len(place.written or "")
            if left < 0:
                problem = f"more than {MOST_SPLIT} characters of commands that are lines, aliases expanded"
                place.hidden().fault(problem, "write them as lists")
                return False
    return True


@after(text)
def restart(cursor: Cursor, written: str) -> Restart | None:
    """Read what the engine does when the process ends."""
    if written in _RESTARTS:
        return Restart(name=_RESTARTS[written])
    if found := _RETRIES.fullmatch(written):
        return Restart(name="on-failure", max_retries=int(found[1]))
    problem = f"{cursor.shown} is not one of: {', '.join(_RESTARTS)}, on-failure:3"
    cursor.fault(problem, cursor.guess(written, _RESTARTS))
    return None


def logging(cursor: Cursor) -> Logging | None:
    """Read where the output goes. Options may hold tokens: they are kept out of faults."""
    fields = LOGGING.read(cursor)
    return Logging(
        driver=fields.read("driver", text, ""), options=fields.read("options", pairs(secret=True), ())
    )


def extra_hosts(cursor: Cursor) -> tuple[str, ...] | None:
    """Read names and addresses as `name:address`, from a list of `name:address` or a mapping; sorted."""
    if cursor.is_mapping:
        split = [(place, text(key) or "", anything(place) or "") for key, place in cursor.entries()]
    else:
        lines = [(place, line) for place in cursor.items() if (line := text(place)) is not None]
        parts = [(place, line.partition("=" if "=" in line else ":")) for place, line in lines]
        split = [(place, host, written) for place, (host, _, written) in parts]
    found = set[str]()
    for place, host, written in split:
        if not _HOST.fullmatch(host):
            place.fault(f"'{host[:60]}' is not a host's name", "write name:address")
        elif not written:
            place.fault("gives no address", "write name:address")
        elif written == _GATEWAY:
            found.add(f"{host}:{written}")
        elif (address := _address(place, written)) is not None:
            found.add(f"{host}:{address}")
    return tuple(sorted(found))


def _address(place: Cursor, written: str) -> str | None:
    for kind in (IPv4Address, IPv6Address):
        try:
            return str(kind(written))
        except AddressValueError:
            continue
    place.fault(f"'{written[:60]}' is not an IP address")
    return None


addresses = one_or_more(after(text)(_address))
"""Reads one or several addresses, in the order written."""
