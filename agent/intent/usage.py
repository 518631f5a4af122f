"""How much of the CPUs and of the block devices a copy may use, beyond a plain number of CPUs."""

import re
from typing import Any

from agent.diff.container.usage import cpu_set
from agent.intent import forms
from agent.intent.forms import Section
from agent.intent.values import absolute
from agent.model.spec import BlkioDevice, BlkioLimit
from agent.yamldoc import Cursor, Fields, Reader
from agent.yamldoc.compose import Scalar
from agent.yamldoc.scalars import duration, integer, matching, size

_MICRO = 1_000_000
_HIGHEST_CPU = 8191
"""The kernel's own bound: NR_CPUS of x86."""
_SHORTEST_US = 1000
_LONGEST_PERIOD_US = 1_000_000
_LONGEST_QUOTA_US = 1_000_000_000

cpu_shares = integer(2, 262_144)
weight = integer(10, 1000)
_set = matching(r"\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?){0,200}", "a list of CPUs, such as 0-3,6")

_DEVICE_KEYS: dict[str, tuple[BlkioLimit, str, Reader[int]]] = {
    "weight_device": ("weight", "weight", weight),
    "device_read_bps": ("read_bps", "rate", size(1)),
    "device_read_iops": ("read_iops", "rate", integer(1, 1 << 31)),
    "device_write_bps": ("write_bps", "rate", size(1)),
    "device_write_iops": ("write_iops", "rate", integer(1, 1 << 31)),
}
_RATES = {
    key: Section(
        {"path": forms.ABSOLUTE, number: forms.integer(10, 1000) if number == "weight" else forms.SIZE},
        ("path", number),
    )
    for key, (_, number, _reader) in _DEVICE_KEYS.items()
}
BLKIO = Section(
    {
        "weight": forms.integer(10, 1000),
        **{key: forms.list_of(section.form) for key, section in _RATES.items()},
    }
)


def cpuset(cursor: Cursor) -> str | None:
    """Read a list of CPUs, in the kernel's own form: `0,1,2,6` -> `0-2,6`."""
    written = _set(cursor)
    if written is None:
        return None
    spans = [[int(each) for each in part.split("-")] for part in written.split(",")]
    if any(span[0] > span[-1] or span[-1] > _HIGHEST_CPU for span in spans):
        cursor.fault(
            f"{cursor.shown} is not a list of CPUs", f"they go from 0 to {_HIGHEST_CPU}, the lower one first"
        )
        return None
    return cpu_set(written)


def _microseconds(longest: int) -> Reader[int]:
    """Make a reader of microseconds: a whole number of them, or a time with a unit."""
    number, time = integer(_SHORTEST_US, longest), duration(_SHORTEST_US / _MICRO, longest / _MICRO)

    def read(cursor: Cursor) -> int | None:
        if isinstance(cursor.node, Scalar) and re.fullmatch(r"\d+", cursor.node.text):
            return number(cursor)
        seconds = time(cursor)
        return None if seconds is None else round(seconds * _MICRO)

    return read


cpu_period = _microseconds(_LONGEST_PERIOD_US)
cpu_quota = _microseconds(_LONGEST_QUOTA_US)


def blkio_config(cursor: Cursor) -> dict[str, Any] | None:
    """Read the limits on block devices, as the two fields of ContainerSpec they become."""
    fields = BLKIO.read(cursor)
    limits = [each for key in _DEVICE_KEYS for each in _limits(fields, key)]
    return {
        "blkio_weight": fields.read("weight", weight),
        "blkio_devices": tuple(sorted(limits, key=lambda each: (each.limit, each.path))),
    }


def _limits(fields: Fields, key: str) -> list[BlkioDevice]:
    place = fields.at(key)
    found: dict[str, BlkioDevice] = {}
    for each in place.items() if place else ():
        limit, number, reader = _DEVICE_KEYS[key]
        inner = _RATES[key].read(each)
        path = inner.require("path", absolute, "say which device, such as /dev/sda")
        value = inner.require(number, reader, "say how much")
        if path in found:
            each.fault(f"limits '{path}' a second time", "keep one of them")
        elif path is not None and value is not None:
            found[path] = BlkioDevice(limit=limit, path=path, value=value)
    return list(found.values())
