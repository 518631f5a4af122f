"""Resource limits, restart policy, logging, and shares of CPUs and block devices."""

from typing import Any

from agent.diff.container.row import AtLeast, Body, Default, Found, as_text, cpus, place, plain, size
from agent.model.spec import BlkioDevice, BlkioLimit, ContainerSpec, Logging, Restart

_UNLIMITED = (None, 0, -1)
_PERIOD_US = 100_000
"""Of the kernel, where none is declared."""


def _raw_restart(policy: Restart) -> dict[str, Any]:
    retries = policy.max_retries if policy.name == "on-failure" else 0
    return {"Name": policy.name, "MaximumRetryCount": retries}


def _read_restart(raw: dict[str, Any] | None) -> str:
    policy = raw or {}
    retries = policy.get("MaximumRetryCount")
    return f"{policy['Name']}:{retries}" if retries else policy.get("Name") or "no"


def _pids(value: int | None) -> int | None:
    """The limit in normal form: None, 0 and -1 mean no limit."""
    return None if value in _UNLIMITED else value


def _wanted_swap(spec: ContainerSpec, found: Found) -> Any:
    if spec.memory_swap_bytes is not None:
        return spec.memory_swap_bytes
    # The engine's own value: as much swap as memory; -1 if the kernel does not account swap.
    chosen = 2 * (spec.memory_limit_bytes or 0)
    theirs = (0, -1, None, 2 * (found.at("HostConfig.Memory") or 0))
    return Default.ENGINE if found.at("HostConfig.MemorySwap") in theirs else chosen


def _wanted_period(spec: ContainerSpec, found: Found) -> Any:
    wanted = spec.cpu_period_us or 0
    return Default.ENGINE if {wanted, found.at("HostConfig.CpuPeriod") or 0} <= {0, _PERIOD_US} else wanted


def _wanted_log(logging: Logging) -> AtLeast:
    driver = {"driver": logging.driver} if logging.driver else {}
    # The engine adds its own default options to the declared ones (moby: daemon.mergeAndVerifyLogConfig).
    return AtLeast({**driver, **{f"options.{key}": value for key, value in logging.options}})


def _read_log(raw: dict[str, Any] | None) -> dict[str, str]:
    found = raw or {}
    options = {f"options.{key}": each for key, each in (found.get("Config") or {}).items()}
    return {"driver": found.get("Type"), **options}


def update_request(spec: ContainerSpec) -> Body:
    """The JSON of POST /containers/{id}/update that repairs every field whose repair is "update".

    The engine cannot remove a memory or CPU limit in place, so a limit that the spec leaves out is not in the JSON.
    It accepts a reservation of -1, but on cgroup v2 that reserves everything (runc writes memory.low = max).
    """
    body: Body = {"HostConfig": {}}
    for row in ROWS:
        if row.repair == "update":
            row.put(spec, body)
    request: Body = {"RestartPolicy": _raw_restart(Restart(name="no")), **body["HostConfig"]}
    request["PidsLimit"] = _pids(spec.pids_limit) or -1
    if spec.memory_limit_bytes:
        # The engine gives a new container as much swap as memory. It refuses a memory limit above the old sum of both.
        request.setdefault("MemorySwap", 2 * spec.memory_limit_bytes)
    return request


# ---- Shares and limits of CPUs and block devices, beyond a plain number of CPUs

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
    plain("memory_limit_bytes", "HostConfig.Memory", default=0, repair="update", show=size, word="memory"),
    plain(
        "memory_reservation_bytes", "HostConfig.MemoryReservation", default=0, repair="update", show=size,
        read=lambda raw: max(raw or 0, 0), word="memory_reservation",
    ),
    plain(
        "memory_swap_bytes", "HostConfig.MemorySwap", default=Default.ENGINE, described="as much swap as memory",
        repair="update", read=lambda raw: raw or 0, wanted=_wanted_swap, word="memswap_limit",
        show=lambda value: "unlimited" if value == -1 else size(value),
    ),
    plain(
        "memory_swappiness", "HostConfig.MemorySwappiness", read=lambda raw: raw, word="mem_swappiness", lossy=True,
    ),
    plain("oom_kill_disable", "HostConfig.OomKillDisable", default=False, normal=bool, lossy=True),
    plain("oom_score_adj", "HostConfig.OomScoreAdj", default=0),
    plain("nano_cpus", "HostConfig.NanoCpus", default=0, repair="update", show=cpus, word="cpus"),
    plain(
        "pids_limit", "HostConfig.PidsLimit", normal=_pids, read=_pids, repair="update", unset="update",
        show=lambda value: as_text(value) if value else "no limit",
    ),
    plain(
        "restart", "HostConfig.RestartPolicy", default="no", write=_raw_restart, read=_read_restart, repair="update",
        unset="update",
    ),
    # dockerd adds its --default-ulimit entries to the container's own.
    plain(
        "ulimits", "HostConfig.Ulimits", default=Default.ENGINE,
        read=lambda raw: {each["Name"]: f"{each['Soft']}:{each['Hard']}" for each in raw or ()},
        write=lambda limits: [{"Name": each.name, "Soft": each.soft, "Hard": each.hard} for each in limits],
        normal=lambda limits: AtLeast({each.name: f"{each.soft}:{each.hard}" for each in limits}),
    ),
    plain(
        "logging", "HostConfig.LogConfig", default=Default.ENGINE, normal=_wanted_log, read=_read_log, secret=True,
        write=lambda logging: {"Type": logging.driver, "Config": dict(logging.options)}, shown=frozenset({"driver"}),
        usual={"driver": "json-file"},
    ),
    plain("cpu_shares", "HostConfig.CpuShares", default=0, repair="update", show=_number),
    plain("cpuset", "HostConfig.CpusetCpus", default="", normal=cpu_set, repair="update"),
    plain(
        "cpu_period_us", "HostConfig.CpuPeriod", default=0, repair="update", show=_number, word="cpu_period",
        wanted=_wanted_period,
    ),
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
