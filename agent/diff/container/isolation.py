"""What the process may do and see: privileges, capabilities, namespaces, kernel settings, devices, identity groups."""

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
    """Upper case with CAP_: engine 20.10 shows them with the prefix however they were said."""
    return frozenset(map(_capability, names))


def _option(text: str) -> str:
    """`a:b` is the old spelling of `a=b`, and a bare `no-new-privileges` says true."""
    if text == "no-new-privileges":
        return f"{text}=true"
    head, colon, rest = text.partition(":")
    return f"{head}={rest}" if colon and "=" not in head else text


def _options(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_option, texts))


def _added_options(found: Found) -> frozenset[str]:
    # For a privileged container, and for one in the host's pid or ipc namespace, the engine adds label=disable itself
    # (moby: daemon.generateSecurityOpt).
    added = found.at("HostConfig.Privileged") or "host" in (
        found.at("HostConfig.PidMode"),
        found.at("HostConfig.IpcMode"),
    )
    return frozenset({"label=disable"} if added else ())


def _wanted_options(spec: ContainerSpec, found: Found) -> frozenset[str]:
    # Said or added: it cannot be told which.
    return _options(spec.security_opt) - _added_options(found)


def _found_options(found: Found) -> frozenset[str]:
    return _options(found.at("HostConfig.SecurityOpt") or ()) - _added_options(found)


def _wanted_ipc(spec: ContainerSpec, found: Found) -> Any:
    # private or shareable is for the engine's configuration to choose; anything else was said by somebody.
    return spec.ipc or (
        Default.UNTOLD if found.at("HostConfig.IpcMode") in _SHARED else "private or shareable"
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
    """A request in one line that is equal for equal ones; capabilities are alternatives of several together."""
    what = "|".join(sorted("+".join(sorted(each)) for each in raw.get("Capabilities") or ()))
    options = ",".join(f"{key}={value}" for key, value in sorted((raw.get("Options") or {}).items()))
    named = ",".join(sorted(raw.get("DeviceIDs") or ()))
    count = raw.get("Count") or 0
    which = named or ("all" if count < 0 else str(count))
    return " ".join(each for each in (what, which, raw.get("Driver") or "", options) if each)


def _requests(raw: Any) -> frozenset[str]:
    return frozenset(map(_request, raw or ()))


def _rule(text: str) -> str:
    """`c 1:3 mr`: the letters of the last word may come in any order."""
    head, _, letters = text.rpartition(" ")
    return f"{head} {''.join(sorted(letters))}"


def _rules(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_rule, texts))


def _wanted_annotations(spec: ContainerSpec, _found: Found) -> Any:
    return AtLeast(dict(spec.annotations))


ROWS = (
    plain("privileged", "HostConfig.Privileged", unsaid=False, normal=bool),
    plain("cap_add", "HostConfig.CapAdd", unsaid=frozenset(), normal=_capabilities, write=list),
    plain("cap_drop", "HostConfig.CapDrop", unsaid=frozenset(), normal=_capabilities, write=list),
    replace(
        plain("security_opt", "HostConfig.SecurityOpt", unsaid=frozenset(), normal=_options, write=list),
        wanted=_wanted_options,
        found=_found_options,
    ),
    plain("group_add", "HostConfig.GroupAdd", unsaid=frozenset(), normal=frozenset, write=list),
    plain("sysctls", "HostConfig.Sysctls", unsaid={}, normal=_mapping, write=_mapping),
    plain(
        "devices", "HostConfig.Devices", unsaid=frozenset(),
        normal=lambda value: _devices(_raw_devices(value)), write=_raw_devices, read=_devices,
    ),
    plain("init", "HostConfig.Init", read=lambda raw: raw),
    plain("pid", "HostConfig.PidMode", unsaid="", read=lambda raw: raw or ""),
    replace(plain("ipc", "HostConfig.IpcMode", unsaid=Default.UNTOLD, read=lambda raw: raw or ""), wanted=_wanted_ipc),
    plain("uts", "HostConfig.UTSMode", unsaid="", read=lambda raw: raw or ""),
    plain("userns_mode", "HostConfig.UsernsMode", unsaid="", read=lambda raw: raw or ""),
    plain("cgroup", "HostConfig.CgroupnsMode", unsaid=Default.UNTOLD, read=lambda raw: raw or ""),
    plain("cgroup_parent", "HostConfig.CgroupParent", unsaid="", read=lambda raw: raw or ""),
    plain("runtime", "HostConfig.Runtime", unsaid=Default.UNTOLD, read=lambda raw: raw or ""),
    replace(
        # An engine before 24 does not know them, and drops them without a word.
        plain(
            "annotations", "HostConfig.Annotations", unsaid=Default.UNTOLD, write=_mapping, read=lambda raw: raw or {},
            lossy=True, secret=True,
        ),
        wanted=_wanted_annotations,
    ),
    plain("device_cgroup_rules", "HostConfig.DeviceCgroupRules", unsaid=frozenset(), normal=_rules, write=list),
    plain(
        "gpus", "HostConfig.DeviceRequests", unsaid=frozenset(),
        normal=lambda value: _requests(_raw_requests(value)), write=_raw_requests, read=_requests,
    ),
)  # fmt: skip
