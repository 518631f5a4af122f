"""Shares and limits of CPUs and block devices, beyond a plain number of CPUs."""

from typing import Any

from agent.diff.container.row import Body, Found, as_text, place, plain
from agent.model.spec import BlkioDevice, BlkioLimit, ContainerSpec

_BLKIO: dict[BlkioLimit, tuple[str, str]] = {
    "weight": ("BlkioWeightDevice", "Weight"),
    "read_bps": ("BlkioDeviceReadBps", "Rate"),
    "read_iops": ("BlkioDeviceReadIOps", "Rate"),
    "write_bps": ("BlkioDeviceWriteBps", "Rate"),
    "write_iops": ("BlkioDeviceWriteIOps", "Rate"),
}
"""Limit -> the engine's key in HostConfig, and its name for the number."""


def cpu_set(text: str) -> str:
    """CPUs in the kernel's own form: `3,0-1,2` -> `0-3`. A text that lists no CPUs is returned unchanged."""
    try:
        spans = sorted(map(_span, text.split(",")))
    except ValueError:
        return text
    merged: list[tuple[int, int]] = []
    for low, high in spans:
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in merged)


def _span(part: str) -> tuple[int, int]:
    low, _, high = part.partition("-")
    return int(low), int(high or low)


def _devices(devices: tuple[BlkioDevice, ...]) -> dict[str, int]:
    return {f"{each.limit}.{each.path}": each.value for each in devices}


def _found_devices(found: Found) -> dict[str, int]:
    return {
        f"{limit}.{each['Path']}": each[number]
        for limit, (key, number) in _BLKIO.items()
        for each in found.at(f"HostConfig.{key}") or ()
    }


def _put_devices(spec: ContainerSpec, body: Body) -> None:
    for limit, (key, number) in _BLKIO.items():
        devices = [each for each in spec.blkio_devices if each.limit == limit]
        if devices:
            place(body, f"HostConfig.{key}", [{"Path": each.path, number: each.value} for each in devices])


def _number(value: Any) -> str:
    return as_text(value or None)


ROWS = (
    plain("cpu_shares", "HostConfig.CpuShares", default=0, repair="update", show=_number),
    plain("cpuset", "HostConfig.CpusetCpus", default="", normal=cpu_set, repair="update"),
    plain("cpu_period_us", "HostConfig.CpuPeriod", default=0, repair="update", show=_number, word="cpu_period"),
    plain("cpu_quota_us", "HostConfig.CpuQuota", default=0, repair="update", show=_number, word="cpu_quota"),
    plain(
        "blkio_weight", "HostConfig.BlkioWeight", default=0, repair="update", show=_number, word="blkio_config.weight",
        lossy=True,
    ),
    plain(
        "blkio_devices", "HostConfig.BlkioDevice*", default={}, normal=_devices, word="blkio_config", lossy=True,
        put=_put_devices, found=_found_devices,
    ),
)  # fmt: skip
