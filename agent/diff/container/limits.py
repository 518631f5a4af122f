"""Resource limits, restart policy and logging."""

from dataclasses import replace
from typing import Any

from agent.diff.container.row import (
    AtLeast,
    Body,
    Default,
    FieldMapping,
    Found,
    as_text,
    cpus,
    place,
    plain,
    size,
)
from agent.model.spec import ContainerSpec, Restart, Ulimit

_UNLIMITED = (None, 0, -1)
_UNLIMITED_SWAP = -1


def _restart(policy: Restart) -> str:
    retries = policy.max_retries if policy.name == "on-failure" else 0
    return f"{policy.name}:{retries}" if retries else policy.name


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


def _show_swap(value: int | None) -> str:
    return "unlimited" if value == _UNLIMITED_SWAP else size(value)


def _ulimits(limits: tuple[Ulimit, ...]) -> dict[str, str]:
    return {each.name: f"{each.soft}:{each.hard}" for each in limits}


def _raw_ulimits(limits: tuple[Ulimit, ...]) -> list[dict[str, Any]]:
    return [{"Name": each.name, "Soft": each.soft, "Hard": each.hard} for each in limits]


def _found_ulimits(found: Found) -> dict[str, str]:
    return {each["Name"]: f"{each['Soft']}:{each['Hard']}" for each in found.at("HostConfig.Ulimits") or ()}


def _put_ulimits(spec: ContainerSpec, body: Body) -> None:
    if spec.ulimits:
        place(body, "HostConfig.Ulimits", _raw_ulimits(spec.ulimits))


def _wanted_log(spec: ContainerSpec, _found: Found) -> Any:
    if spec.logging is None:
        return Default.ENGINE
    driver = {"driver": spec.logging.driver} if spec.logging.driver else {}
    # The engine adds its own default options to the declared ones (moby: daemon.mergeAndVerifyLogConfig).
    return AtLeast({**driver, **{f"options.{key}": value for key, value in spec.logging.options}})


def _found_log(found: Found) -> dict[str, str]:
    raw = found.at("HostConfig.LogConfig") or {}
    return {
        "driver": raw.get("Type"),
        **{f"options.{key}": each for key, each in (raw.get("Config") or {}).items()},
    }


def _put_log(spec: ContainerSpec, body: Body) -> None:
    if spec.logging is not None:
        raw = {"Type": spec.logging.driver, "Config": dict(spec.logging.options)}
        place(body, "HostConfig.LogConfig", raw)


def update_request(spec: ContainerSpec) -> Body:
    """The JSON of POST /containers/{id}/update that repairs every field whose repair is "update".

    The engine cannot remove a memory or CPU limit in place, so a limit that the spec leaves out is not in the JSON.
    It accepts a reservation of -1, but on cgroup v2 that reserves everything (runc writes memory.low = max).
    """
    body: Body = {
        "RestartPolicy": _raw_restart(spec.restart or Restart(name="no")),
        "PidsLimit": _pids(spec.pids_limit) or -1,
    }
    if spec.memory_limit_bytes:
        # The engine gives a new container as much swap as memory. It refuses a memory limit above the old sum of both.
        swap = spec.memory_swap_bytes or 2 * spec.memory_limit_bytes
        body |= {"Memory": spec.memory_limit_bytes, "MemorySwap": swap}
    values = {
        "MemoryReservation": spec.memory_reservation_bytes,
        "NanoCpus": spec.nano_cpus,
        "CpuShares": spec.cpu_shares,
        "CpuPeriod": spec.cpu_period_us,
        "CpuQuota": spec.cpu_quota_us,
        "CpusetCpus": spec.cpuset,
        "BlkioWeight": spec.blkio_weight,
    }
    return body | {key: value for key, value in values.items() if value}


ROWS = (
    plain("memory_limit_bytes", "HostConfig.Memory", default=0, repair="update", show=size, word="memory"),
    plain(
        "memory_reservation_bytes", "HostConfig.MemoryReservation", default=0, repair="update", show=size,
        read=lambda raw: max(raw or 0, 0), word="memory_reservation",
    ),
    replace(
        plain(
            "memory_swap_bytes", "HostConfig.MemorySwap", default=Default.ENGINE, repair="update", show=_show_swap,
            read=lambda raw: raw or 0, word="memswap_limit",
        ),
        wanted=_wanted_swap, default="as much swap as memory",
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
        "restart", "HostConfig.RestartPolicy", default="no", normal=_restart, write=_raw_restart, read=_read_restart,
        repair="update", unset="update",
    ),
    FieldMapping(
        field="ulimits", at="HostConfig.Ulimits", default=Default.ENGINE.value, put=_put_ulimits, found=_found_ulimits,
        # dockerd adds its --default-ulimit entries to the container's own.
        wanted=lambda spec, _found: AtLeast(_ulimits(spec.ulimits)),
    ),
    FieldMapping(
        field="logging", at="HostConfig.LogConfig", default=Default.ENGINE.value, put=_put_log, wanted=_wanted_log,
        found=_found_log, secret=True, shown=frozenset({"driver"}),
    ),
)  # fmt: skip
