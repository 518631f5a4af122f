"""Isolation of the process: privileges, capabilities, namespaces, kernel settings, devices, groups."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from agent.diff.container.row import AtLeast, Default, Found, plain
from agent.model.spec import ContainerSpec, Device, DeviceRequest, Pairs

_SHARED = frozenset({"", "private", "shareable"})


def _capability(name: str) -> str:
    text = name.upper()
    return text if text == "ALL" or text.startswith("CAP_") else f"CAP_{text}"


def _capabilities(names: Iterable[str]) -> frozenset[str]:
    """Capabilities in upper case with CAP_: engine 20.10 shows the prefix in any case."""
    return frozenset(map(_capability, names))


def _option(text: str) -> str:
    """Normal form of an option: `a:b` is the old spelling of `a=b`, and a bare `no-new-privileges` means true."""
    if text == "no-new-privileges":
        return f"{text}=true"
    head, colon, rest = text.partition(":")
    return f"{head}={rest}" if colon and "=" not in head else text


def _options(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_option, texts))


def _added_options(found: Found) -> frozenset[str]:
    # The engine adds label=disable to a privileged container, and to one in the host's pid or ipc namespace (moby:
    # daemon.generateSecurityOpt).
    added = found.at("HostConfig.Privileged") or "host" in (
        found.at("HostConfig.PidMode"),
        found.at("HostConfig.IpcMode"),
    )
    return frozenset({"label=disable"} if added else ())


def _wanted_options(spec: ContainerSpec, found: Found) -> frozenset[str]:
    # A declared option looks the same as one that the engine added.
    return _options(spec.security_opt) - _added_options(found)


def _found_options(found: Found) -> frozenset[str]:
    return _options(found.at("HostConfig.SecurityOpt") or ()) - _added_options(found)


def _wanted_ipc(spec: ContainerSpec, found: Found) -> Any:
    # The engine's configuration chooses private or shareable; any other mode was set on purpose.
    return spec.ipc or (
        Default.ENGINE if found.at("HostConfig.IpcMode") in _SHARED else "private or shareable"
    )


def _device(each: dict[str, str]) -> str:
    permissions = "".join(sorted(each.get("CgroupPermissions") or "rwm"))
    return f"{each['PathOnHost']}:{each['PathInContainer']}:{permissions}"


def _raw_device(device: Device) -> dict[str, str]:
    return {
        "PathOnHost": device.source,
        "PathInContainer": device.target,
        "CgroupPermissions": device.permissions,
    }


def _raw_devices(devices: tuple[Device, ...]) -> list[dict[str, str]]:
    return [_raw_device(each) for each in devices]


def _devices(raw: Any) -> frozenset[str]:
    return frozenset(_device(each) for each in raw or ())


def _mapping(pairs: Pairs) -> dict[str, str]:
    return dict(pairs)


def _raw_requests(requests: tuple[DeviceRequest, ...]) -> list[dict[str, Any]]:
    return [
        {
            "Driver": each.driver,
            "Count": each.count,
            "DeviceIDs": list(each.device_ids),
            "Capabilities": [list(each.capabilities)],
            "Options": dict(each.options),
        }
        for each in requests
    ]


def _request(raw: dict[str, Any]) -> str:
    """A request as one line; equal requests give equal lines. Capabilities are alternatives, each a set."""
    what = "|".join(sorted("+".join(sorted(each)) for each in raw.get("Capabilities") or ()))
    options = ",".join(f"{key}={value}" for key, value in sorted((raw.get("Options") or {}).items()))
    named = ",".join(sorted(raw.get("DeviceIDs") or ()))
    count = raw.get("Count") or 0
    which = named or ("all" if count < 0 else str(count))
    return " ".join(each for each in (what, which, raw.get("Driver") or "", options) if each)


def _requests(raw: Any) -> frozenset[str]:
    return frozenset(map(_request, raw or ()))


def _rule(text: str) -> str:
    """Normal form of a rule such as `c 1:3 mr`: the letters of its last part have no order."""
    head, _, letters = text.rpartition(" ")
    return f"{head} {''.join(sorted(letters))}"


def _rules(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_rule, texts))


def _wanted_annotations(spec: ContainerSpec, _found: Found) -> Any:
    return AtLeast(dict(spec.annotations))


ROWS = (
    plain("privileged", "HostConfig.Privileged", default=False, normal=bool),
    plain("cap_add", "HostConfig.CapAdd", default=frozenset(), normal=_capabilities, write=list),
    plain("cap_drop", "HostConfig.CapDrop", default=frozenset(), normal=_capabilities, write=list),
    replace(
        plain("security_opt", "HostConfig.SecurityOpt", default=frozenset(), normal=_options, write=list),
        wanted=_wanted_options,
        found=_found_options,
    ),
    plain("group_add", "HostConfig.GroupAdd", default=frozenset(), normal=frozenset, write=list),
    plain("sysctls", "HostConfig.Sysctls", default={}, normal=_mapping, write=_mapping),
    plain(
        "devices", "HostConfig.Devices", default=frozenset(),
        normal=lambda value: _devices(_raw_devices(value)), write=_raw_devices, read=_devices,
    ),
    plain("init", "HostConfig.Init", read=lambda raw: raw),
    plain("pid", "HostConfig.PidMode", default="", read=lambda raw: raw or ""),
    replace(plain("ipc", "HostConfig.IpcMode", default=Default.ENGINE, read=lambda raw: raw or ""), wanted=_wanted_ipc),
    plain("uts", "HostConfig.UTSMode", default="", read=lambda raw: raw or ""),
    plain("userns_mode", "HostConfig.UsernsMode", default="", read=lambda raw: raw or ""),
    plain("cgroup", "HostConfig.CgroupnsMode", default=Default.ENGINE, read=lambda raw: raw or ""),
    plain("cgroup_parent", "HostConfig.CgroupParent", default="", read=lambda raw: raw or ""),
    plain("runtime", "HostConfig.Runtime", default=Default.ENGINE, read=lambda raw: raw or ""),
    replace(
        # An engine before 24 drops annotations without an error.
        plain(
            "annotations", "HostConfig.Annotations", default=Default.ENGINE, write=_mapping, read=lambda raw: raw or {},
            lossy=True, secret=True,
        ),
        wanted=_wanted_annotations,
    ),
    plain("device_cgroup_rules", "HostConfig.DeviceCgroupRules", default=frozenset(), normal=_rules, write=list),
    plain(
        "gpus", "HostConfig.DeviceRequests", default=frozenset(),
        normal=lambda value: _requests(_raw_requests(value)), write=_raw_requests, read=_requests,
    ),
)  # fmt: skip
