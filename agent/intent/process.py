"""Reads the settings of a replica's process: command, restart policy, healthcheck, names, namespaces, kernel."""

import re
import shlex
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TypeVar, get_args

from agent.intent import forms
from agent.intent.forms import Field, Section
from agent.intent.values import anything, pairs, text, texts
from agent.model.spec import Healthcheck, Pairs, Restart, RestartName
from agent.yamldoc import Cursor, Fields
from agent.yamldoc.readers import after, boolean, choice, duration, matching, one_or_more, sequence_of

_SHORTEST_S = 0.001
"""Docker's own minimum: moby, daemon/container.go (minimumDuration)."""


@after(duration())
def _start_period(cursor: Cursor, seconds: float) -> float | None:
    """Read a time that may be 0."""
    if 0 < seconds < _SHORTEST_S:
        return cursor.fault(f"{cursor.shown} is too small", "write 0s, or 1ms and more")
    return seconds


def _test(cursor: Cursor) -> tuple[str, ...] | None:
    """Read the command in Docker's form; the container's shell runs plain text. It may contain passwords."""
    cursor = cursor.hidden()
    if not cursor.is_sequence:
        line = text(cursor)
        return None if line is None else ("CMD-SHELL", line)
    test = texts(cursor)
    if not test or test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        problem = "does not begin with NONE, CMD or CMD-SHELL"
        return cursor.fault(problem, "write for example [CMD, curl, -fs, localhost]")
    length = {"NONE": (1, 1), "CMD": (2, len(test)), "CMD-SHELL": (2, 2)}[test[0]]
    if not length[0] <= len(test) <= length[1]:
        arguments = {"NONE": "nothing", "CMD": "a command", "CMD-SHELL": "one command line"}[test[0]]
        remedy = "write for example [CMD, curl, localhost]"
        return cursor.fault(f"{test[0]} must be followed by {arguments}", remedy)
    return test


_positive = duration(_SHORTEST_S)
HEALTH = Section(
    {
        "test": Field(_test, forms.COMMAND),
        "interval": Field(_positive, forms.DURATION, "interval_s"),
        "timeout": Field(_positive, forms.DURATION, "timeout_s"),
        "start_period": Field(_start_period, forms.DURATION, "start_period_s"),
        "retries": Field.integer(1, 1000),
        "disable": Field(boolean, forms.BOOLEAN),
    },
    refused={"start_interval": "is not supported: it requires Docker 25; use interval and start_period"},
)


@after(HEALTH.into(Healthcheck))
def healthcheck(_: Cursor, found: Healthcheck) -> Healthcheck:
    """Read the healthcheck of a replica; times in seconds."""
    return Healthcheck(disable=True) if found.disable or found.test == ("NONE",) else found


W = TypeVar("W", bound=str)

_RESTARTS: dict[str, RestartName] = {each: each for each in get_args(RestartName)}
_RETRIES = re.compile(r"on-failure:(\d{1,6})", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
_GATEWAY = "host-gateway"
_ANOTHERS = ("service:", "container:")
_LONGEST_LINE = 16_384
"""Characters. The time to split a line grows with the square of an argument's length."""
MOST_SPLIT = 500_000
"""Characters of all commands and entrypoints that are lines. Splitting is slow, and the arguments take twenty times
the memory."""
EXTRA_HOSTS = forms.either(forms.list_of(forms.TEXT), forms.mapping_of(forms.TEXT))
RESTART = forms.either(
    {"enum": [*get_args(RestartName), False]}, {"type": "string", "pattern": "^on-failure:[0-9]{1,6}$"}
)
"""It includes false, because in YAML 1.1, which many editors use, a plain `no` is false."""


def unshared(options: tuple[W, ...]) -> Field:
    """Return the key of a namespace with one of `options`. It refuses the namespace of another container."""
    one_of = choice(options)

    def read(cursor: Cursor) -> W | None:
        if (cursor.written or "").startswith(_ANOTHERS):
            problem = "the namespace of another container is not supported"
            return cursor.fault(problem, "use networks: replicas are replaced one by one")
        return one_of(cursor)

    return Field(read, forms.choice(options))


# ---- Signals

_SIGNALS = (
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
)  # fmt: skip
_REAL_TIME = (
    "RTMIN", *(f"RTMIN+{each}" for each in range(1, 16)), *(f"RTMAX-{each}" for each in range(1, 15)), "RTMAX"
)  # fmt: skip
_HIGHEST = 64
_REAL_TIME_REMEDY = "write RTMIN, RTMIN+1 to RTMIN+15, RTMAX-14 to RTMAX-1 or RTMAX"
_SIG = "SIG"


@after(text)
def stop_signal(cursor: Cursor, written: str) -> str | None:
    """Read the name of a signal, with or without SIG, or its number."""
    if written.isascii() and written.isdigit():
        if 1 <= int(written[:10]) <= _HIGHEST and written[0] != "0":
            return written
        problem = f"{cursor.shown} is not the number of a signal"
        return cursor.fault(problem, f"write 1 to {_HIGHEST}, or a name")
    name = written.removeprefix(_SIG)
    if name in _SIGNALS or name in _REAL_TIME:
        return written
    full = f"{_SIG}{name.upper().removeprefix(_SIG)}"
    known = [f"{_SIG}{each}" for each in _SIGNALS]
    remedy = cursor.guess(full, known, "write for example SIGTERM, RTMIN+3 or 15")
    remedy = _REAL_TIME_REMEDY if name.startswith("RT") else remedy
    return cursor.fault(f"{cursor.shown} is not a signal", remedy)


# ---- Commands

texts_or_empty = sequence_of(anything)
"""Reads a list of texts, which may be empty."""


def command(cursor: Cursor) -> tuple[str, ...] | None:
    """Read a command, which may contain passwords: a list, or a line, which is split as a shell and Compose do."""
    cursor = cursor.hidden()
    if cursor.is_sequence:
        return texts_or_empty(cursor)
    line = anything(cursor)
    if line is None:
        return None
    if len(line) > _LONGEST_LINE:
        return cursor.fault(f"is a line of {len(line)} characters", "write it as a list", kind="size")
    try:
        return tuple(shlex.split(line))
    except ValueError as error:
        return cursor.fault(f"cannot be split into arguments: {str(error).lower()}", "write it as a list")


@after(command)
def entrypoint(cursor: Cursor, arguments: tuple[str, ...]) -> tuple[str, ...] | None:
    """Read a command whose first word names a program; an empty one clears the image's."""
    if arguments and not arguments[0]:
        return cursor.fault("names no program", "write [] to clear the image's entrypoint")
    return arguments


def check_lines(services: Cursor) -> bool:
    """Return True if the commands can be split in a short time; note a fault if not."""
    left = MOST_SPLIT
    for _, service in services.entries() if services.is_mapping else ():
        for key in ("command", "entrypoint"):
            # If the key is missing, this is the service itself, a mapping.
            place = service.at(key)
            left -= len(place.written or "")
            if left < 0:
                problem = f"more than {MOST_SPLIT} characters of commands that are lines, aliases expanded"
                place.hidden().fault(problem, "write them as lists", kind="size")
                return False
    return True


@after(text)
def restart(cursor: Cursor, written: str) -> Restart | None:
    if written in _RESTARTS:
        return Restart(name=_RESTARTS[written])
    if found := _RETRIES.fullmatch(written):
        return Restart(name="on-failure", max_retries=int(found[1]))
    problem = f"{cursor.shown} is not one of: {', '.join(_RESTARTS)}, on-failure:3"
    return cursor.fault(problem, cursor.guess(written, _RESTARTS, "write one of them"))


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
            place.fault(f"'{host[:60]}' is not a host name", "write name:address")
        elif not written:
            place.fault("has no address", "write name:address")
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
    return place.fault(f"'{written[:60]}' is not an IP address", "write for example 10.0.0.1")


search_domains = one_or_more(
    matching(r"\.|(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,30}\.?", "a domain", "shop.internal")
)
"""Reads domains. A single dot means none, not even the host's."""
resolver_options = sequence_of(
    matching(r"[A-Za-z][A-Za-z0-9-]{0,40}(?::[0-9]{1,6})?", "an option of resolv.conf", "ndots:1"),
    distinct=True,
)
addresses = one_or_more(after(text)(_address))
"""Reads one or several addresses, in the document's order."""


# ---- Kernel settings: those of the namespaces that a replica has for itself, with values of their form

_IPC = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shm_rmid_forced", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni",
)  # fmt: skip
_UTS = "kernel.domainname"
_HOSTNAME = "kernel.hostname"
_QUEUES, _NETWORK = "fs.mqueue.", "net."
_NAME = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_:@-]+)+", re.ASCII)
_NUMBER = r"-?(?:0x[0-9a-fA-F]{1,16}|[0-9]{1,20})"
_NUMBERS = re.compile(rf"{_NUMBER}(?:[ \t,-]+{_NUMBER}){{0,200}}", re.ASCII)
_NO_NUMBERS = (
    "tcp_congestion_control", "tcp_allowed_congestion_control", "tcp_fastopen_key", "default_qdisc", "stable_secret",
    "path_manager", "scheduler", "cookie_hmac_alg", "rps_default_mask", "flow_limit_cpu_bitmap", "est_cpulist",
)  # fmt: skip
"""Last parts of the names of settings that are not numbers."""
_LOGGERS = ".nf_log."
_SIGNED, _UNSIGNED = 1 << 31, 1 << 64


@after(pairs(without_value=("has no value", "write a value")))
def sysctls(cursor: Cursor, found: Pairs) -> Pairs | None:
    """Read settings by name, in the spelling with dots."""
    good = [_is_good(cursor.at(name), name, value) for name, value in found]
    return found if all(good) else None


def _is_good(place: Cursor, name: str, value: str) -> bool:
    """Return True for a setting of a replica's own namespaces with a possible value; note a fault for another one."""
    if name == _HOSTNAME:
        place.fault(f"'{name}' is not set here", "use hostname")
    elif not (name in (*_IPC, _UTS) or name.startswith((_QUEUES, _NETWORK))):
        own = "a replica has its own net.*, fs.mqueue.* and kernel.shm*, msg*, sem"
        remedy = place.guess(name, (*_IPC, _UTS), f"set it on the host; {own}")
        place.fault(f"'{name[:60]}' is a setting of the whole host", remedy)
    elif not _NAME.fullmatch(name):
        place.fault(f"'{name[:60]}' is not a setting", "write for example net.core.somaxconn")
    elif not value.strip():
        place.fault("is empty, and the kernel ignores that", "write a value, or remove the key")
    elif name == _UTS or _LOGGERS in name or name.rpartition(".")[2] in _NO_NUMBERS:
        return True  # any text
    elif not _NUMBERS.fullmatch(value.strip()):
        place.fault(f"'{value[:60]}' is not a number", f"write the value that sysctl {name} shows on a host")
    elif not all(_fits(each, name) for each in re.findall(r"(?<![0-9])-?[0-9]+", value)):
        place.fault(f"'{value[:60]}' does not fit into a setting of the kernel", "write a smaller number")
    else:
        return True
    return False


def _fits(number: str, name: str) -> bool:
    highest = 2 * _SIGNED if name.startswith(_NETWORK) else _UNSIGNED
    return -_SIGNED <= int(number) < highest


def check_namespaces(fields: Fields, found: Pairs, shared: frozenset[str]) -> None:
    """Note a fault for each setting of a namespace that the replica shares with its host: network, ipc or uts."""
    for name, _ in found:
        namespace = "network" if name.startswith(_NETWORK) else "uts" if name == _UTS else "ipc"
        if namespace in shared:
            key = "network_mode" if namespace == "network" else namespace
            problem = f"'{name}' cannot be set beside {key}: host, because it is the host's own"
            fields.cursor.at("sysctls", name).conflict(problem, "set it on the host")
