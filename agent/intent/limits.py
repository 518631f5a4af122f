"""Reads limits and rights of a replica: CPUs, memory, ulimits, capabilities, devices, GPUs, block devices."""

import re
from functools import partial
from itertools import chain
from typing import Any

from agent.diff.container.isolation import device_rule
from agent.diff.container.limits import cpu_set
from agent.intent import forms
from agent.intent.forms import Field, Section
from agent.intent.mounts import target_of
from agent.intent.values import absolute, absolute_path, distinct_texts, pairs, text
from agent.model.spec import BlkioDevice, BlkioLimit, Device, DeviceRequest, Ulimit
from agent.yamldoc import Cursor, Reader
from agent.yamldoc.compose import whole_number
from agent.yamldoc.faultlist import listed
from agent.yamldoc.readers import after, derived, duration, integer, matching, number, sequence_of, size

# ---- Requests for devices from a driver of the engine: `gpus`, and `devices` of Swarm's reservations

ALL = "all"
_ALL_OF_THEM = -1
_count = integer(1, 1000)


def _how_many(place: Cursor) -> int | None:
    if place.written in (ALL, str(_ALL_OF_THEM)):
        return _ALL_OF_THEM
    return _count(place)


REQUEST = Section(
    {
        "driver": Field(text, forms.TEXT),
        "count": Field(_how_many, forms.either(forms.choice([ALL]), forms.integer(1, 1000))),
        "device_ids": Field(distinct_texts, forms.TEXTS),
        "capabilities": Field(distinct_texts, forms.TEXTS),
        "options": Field(pairs(), forms.PAIRS),
    }
)
GPUS = forms.either(forms.choice([ALL]), forms.list_of(REQUEST.form))


def gpus(cursor: Cursor) -> tuple[DeviceRequest, ...] | None:
    """Read `all`, or a list of requests for GPUs."""
    if cursor.written == ALL:
        return (DeviceRequest(),)
    return tuple(_request(place, "gpu") for place in cursor.items())


def _request(place: Cursor, capability: str | None) -> DeviceRequest:
    fields, found = REQUEST.read(place)
    if capability is None and "capabilities" not in fields:
        fields.missing("capabilities", "write for example [gpu]")
    named = found.get("device_ids")
    if named and "count" in fields:
        place.at("count").conflict("'count' and 'device_ids' contradict each other", "keep one of them")
    found["count"] = 0 if named else found.get("count", _ALL_OF_THEM)
    found["capabilities"] = tuple(sorted({*found.get("capabilities", ()), *filter(None, [capability])}))
    return DeviceRequest(**found)


reserved_devices = sequence_of(partial(_request, capability=None))
"""Reads a list of requests for devices with the declared capabilities."""

NANO = 1_000_000_000
_LEAST_MEMORY = 6 << 20
"""Bytes. Docker's own minimum: moby, daemon/daemon_unix.go (linuxMinMemory)."""
_MOST = 1 << 40

memory = size(_LEAST_MEMORY)
pids = integer(-1, 1 << 22)


_ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip
_BOUNDS = {"nofile": (12, 2_147_483_584), "cpu": (1, _MOST)}
"""Fewer open files are not enough to start a process, and no kernel allows more (fs.nr_open). Others: any number."""
_rule = matching(r"[abc] (?:\d{1,9}|\*):(?:\d{1,9}|\*) [rwm]{1,3}", "a rule for devices", "c 1:3 mr")
_permissions = matching(r"[rwm]{1,3}", "one or more of r, w and m", "rw")
_DEVICE = re.compile(r"(/[^:]+)(?::(/[^:]+))?(?::([rwm]{1,3}))?")


cpus = derived(number(0.01, 10_000), lambda value: round(value * NANO))
"""Reads a number of CPUs, such as 1.5, in billionths of a CPU."""
cgroup_rules = derived(
    sequence_of(_rule, distinct=True), lambda found: tuple(sorted({*map(device_rule, found)}))
)
"""Reads rules such as `c 1:3 mr`; rules and their letters are sorted."""


def ulimits(cursor: Cursor) -> tuple[Ulimit, ...] | None:
    """Read limits by name, each a number or `soft` and `hard`; sorted by name."""
    found = [_ulimit(key, place) for key, place in cursor.entries()]
    return tuple(sorted((each for each in found if each), key=lambda each: each.name))


def _value(limit: str) -> Reader[int]:
    number = integer(*_BOUNDS.get(limit, (-1, _MOST)))

    def read(cursor: Cursor) -> int | None:
        if limit == "nofile" and cursor.written == "-1":
            problem = "no kernel allows an unlimited number of open files"
            return cursor.fault(problem, "write a number, such as 1048576")
        return number(cursor)

    return read


@after(text)
def _limit_name(key: Cursor, written: str) -> str | None:
    if written in _ULIMITS:
        return written
    remedy = key.guess(written, _ULIMITS, f"use {listed(_ULIMITS)}")
    return key.hidden().fault(f"'{written[:60]}' is not a limit of a process", remedy)


def _bounds(limit: str) -> Section:
    value = Field(_value(limit), forms.integer(-1, _MOST))
    both = ("soft", "hard")
    return Section(dict.fromkeys(both, value), dict.fromkeys(both, "give both, soft and hard"))


ULIMITS = forms.mapping_of(forms.either(forms.integer(-1, _MOST), _bounds("").form))


def _ulimit(key: Cursor, place: Cursor) -> Ulimit | None:
    limit = _limit_name(key)
    if limit is None or not place.is_mapping:
        both = None if limit is None else _value(limit)(place)
        return None if limit is None or both is None else Ulimit(name=limit, soft=both, hard=both)
    found = _bounds(limit).into(partial(Ulimit, name=limit))(place)
    if found and found.hard != -1 and (found.soft > found.hard or found.soft == -1):
        place.conflict("the soft limit is above the hard limit", "lower the soft limit")
    return found


def memory_and_swap(cursor: Cursor) -> int | None:
    """Read the bytes of memory and swap together; -1 is unlimited swap."""
    if whole_number(cursor.written or "") == -1:
        return -1
    return memory(cursor)


DEVICE = Section(
    {
        "source": Field(absolute, forms.ABSOLUTE),
        "target": Field(after(text)(target_of), forms.ABSOLUTE),
        "permissions": Field(_permissions, forms.TEXT),
    },
    {"source": "write the path of the device on the host"},
)
DEVICES = forms.list_of(forms.either(forms.TEXT, DEVICE.form))
_long_device = DEVICE.into(lambda source, **more: Device(**{"source": source, "target": source, **more}))


def devices(cursor: Cursor) -> tuple[Device, ...] | None:
    """Read `source[:target[:rwm]]`, or the same as a mapping; sorted by target."""
    found = [_long_device(place) if place.is_mapping else _device(place) for place in cursor.items()]
    return tuple(sorted((each for each in found if each), key=lambda each: each.target))


@after(text)
def _device(place: Cursor, written: str) -> Device | None:
    found = _DEVICE.fullmatch(written)
    if found is None:
        problem = f"{place.shown} is not a device"
        return place.fault(problem, 'write for example "/dev/ttyUSB0:/dev/ttyUSB0:rw"')
    source, target = absolute_path(place, found[1]), target_of(place, found[2] or found[1])
    if source is None or target is None:
        return None
    return Device(source=source, target=target, permissions=found[3] or "rwm")


# ---- Shares, sets and quotas of CPUs, and limits of block devices

_MICRO = 1_000_000
_HIGHEST_CPU = 8191
"""The kernel's own bound: NR_CPUS of x86."""
_SHORTEST_US = 1000
_LONGEST_PERIOD_US = 1_000_000
_LONGEST_QUOTA_US = 1_000_000_000

cpu_shares = integer(2, 262_144)
_set = matching(r"\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?){0,200}", "a list of CPUs", "0-3,6")


@after(_set)
def cpuset(cursor: Cursor, written: str) -> str | None:
    """Read a list of CPUs into the kernel's form: `0,1,2,6` -> `0-2,6`."""
    spans = [[int(each) for each in part.split("-")] for part in written.split(",")]
    if any(span[0] > span[-1] or span[-1] > _HIGHEST_CPU for span in spans):
        problem = f"{cursor.shown} is not a list of CPUs"
        return cursor.fault(problem, f"write ranges within 0-{_HIGHEST_CPU}, the lower number first")
    return cpu_set(written)


def _microseconds(longest: int) -> Reader[int]:
    """Return a reader of microseconds: a whole number, or a time with a unit."""
    number, time = integer(_SHORTEST_US, longest), duration(_SHORTEST_US / _MICRO, longest / _MICRO)

    def read(cursor: Cursor) -> int | None:
        if re.fullmatch(r"\d+", cursor.written or ""):
            return number(cursor)
        seconds = time(cursor)
        return None if seconds is None else round(seconds * _MICRO)

    return read


cpu_period = _microseconds(_LONGEST_PERIOD_US)
cpu_quota = _microseconds(_LONGEST_QUOTA_US)


def _limits(limit: BlkioLimit, number: str, value: Field) -> Field:
    """Return the key with limits of that kind, each with the path of its device and a `number`."""
    section = Section(
        {"path": Field(absolute, forms.ABSOLUTE), number: value},
        {"path": "write the path of a device, such as /dev/sda", number: f"write the {number}"},
    )

    def read(cursor: Cursor) -> tuple[BlkioDevice, ...]:
        found: dict[str, BlkioDevice] = {}
        for each in cursor.items():
            _, inner = section.read(each)
            path = inner.get("path", "")
            if path in found:
                each.conflict(f"limits '{path}' a second time", "keep one of them")
            elif len(inner) == len(section.known):
                found[path] = BlkioDevice(limit=limit, **inner)
        return tuple(found.values())

    return Field(read, forms.list_of(section.form))


_RATE = Field(size(1), forms.SIZE, "value")
_OPERATIONS = Field.integer(1, 1 << 31, "value")
BLKIO = Section(
    {
        "weight": Field.integer(10, 1000, "blkio_weight"),
        "weight_device": _limits("weight", "weight", Field.integer(10, 1000, "value")),
        "device_read_bps": _limits("read_bps", "rate", _RATE),
        "device_read_iops": _limits("read_iops", "rate", _OPERATIONS),
        "device_write_bps": _limits("write_bps", "rate", _RATE),
        "device_write_iops": _limits("write_iops", "rate", _OPERATIONS),
    }
)


def blkio_config(cursor: Cursor) -> dict[str, Any] | None:
    """Read the limits of block devices into two fields of ContainerSpec."""
    _, found = BLKIO.read(cursor)
    of_all = {"blkio_weight": found.pop("blkio_weight", None)}
    devices = sorted(chain(*found.values()), key=lambda each: (each.limit, each.path))
    return {**of_all, "blkio_devices": tuple(devices)}
