"""Isolation of the process: privileges, capabilities, namespaces, kernel settings, devices, groups."""

from typing import Any

from agent.diff.container.row import AtLeast, Default, Found, plain, unordered
from agent.model.spec import Device, DeviceRequest

_SHARED = frozenset({"", "private", "shareable"})


def _capability(name: str) -> str:
    """A capability in upper case with CAP_: engine 20.10 shows the prefix in any case."""
    text = name.upper()
    return text if text == "ALL" or text.startswith("CAP_") else f"CAP_{text}"


def _option(text: str) -> str:
    """Normal form of an option: `a:b` is the old spelling of `a=b`, and a bare `no-new-privileges` means true."""
    if text == "no-new-privileges":
        return f"{text}=true"
    head, colon, rest = text.partition(":")
    return f"{head}={rest}" if colon and "=" not in head else text


_options = unordered(_option)


def _added_options(found: Found) -> frozenset[str]:
    # The engine adds label=disable to a privileged container, and to one in the host's pid or ipc namespace (moby:
    # daemon.generateSecurityOpt).
    modes = [found.at(f"HostConfig.{each}") for each in ("PidMode", "IpcMode")]
    return frozenset({"label=disable"} if found.at("HostConfig.Privileged") or "host" in modes else ())


def _device(raw: dict[str, str]) -> str:
    permissions = "".join(sorted(raw.get("CgroupPermissions") or "rwm"))
    return f"{raw['PathOnHost']}:{raw['PathInContainer']}:{permissions}"


def _raw_devices(devices: tuple[Device, ...]) -> list[dict[str, str]]:
    return [
        {"PathOnHost": each.source, "PathInContainer": each.target, "CgroupPermissions": each.permissions}
        for each in devices
    ]


def _raw_requests(requests: tuple[DeviceRequest, ...]) -> list[dict[str, Any]]:
    return [
        {
            "Driver": request.driver,
            "Count": request.count,
            "DeviceIDs": list(request.device_ids),
            "Capabilities": [list(request.capabilities)],
            "Options": dict(request.options),
        }
        for request in requests
    ]


def _request(raw: dict[str, Any]) -> str:
    """A request as one line; equal requests give equal lines. Capabilities are alternatives, each a set."""
    what = "|".join(sorted("+".join(sorted(names)) for names in raw.get("Capabilities") or ()))
    options = ",".join(f"{key}={value}" for key, value in sorted((raw.get("Options") or {}).items()))
    named = ",".join(sorted(raw.get("DeviceIDs") or ()))
    count = raw.get("Count") or 0
    which = named or ("all" if count < 0 else str(count))
    return " ".join(filter(None, (what, which, raw.get("Driver"), options)))


def device_rule(text: str) -> str:
    """Normal form of a rule such as `c 1:3 mr`: the letters of its last part have no order."""
    head, _, letters = text.rpartition(" ")
    return f"{head} {''.join(sorted(letters))}"


ROWS = (
    plain("privileged", "HostConfig.Privileged", default=False, normal=bool),
    plain("cap_add", "HostConfig.CapAdd", default=frozenset(), normal=unordered(_capability), write=list),
    plain("cap_drop", "HostConfig.CapDrop", default=frozenset(), normal=unordered(_capability), write=list),
    # A declared option looks the same as one that the engine added.
    plain(
        "security_opt", "HostConfig.SecurityOpt", default=frozenset(), write=list,
        wanted=lambda spec, found: _options(spec.security_opt) - _added_options(found),
        found=lambda found: _options(found.at("HostConfig.SecurityOpt")) - _added_options(found),
    ),
    plain("group_add", "HostConfig.GroupAdd", default=frozenset(), normal=frozenset, write=list),
    plain("sysctls", "HostConfig.Sysctls", default={}, normal=dict, write=dict),
    plain(
        "devices", "HostConfig.Devices", default=frozenset(), write=_raw_devices, read=unordered(_device),
    ),
    # The engine shows null where its configuration decides, and without one there is no init.
    plain("init", "HostConfig.Init", default=False, read=bool),
    plain("pid", "HostConfig.PidMode", default=""),
    # The engine's configuration chooses private or shareable; any other mode was set on purpose.
    plain(
        "ipc", "HostConfig.IpcMode", default=Default.ENGINE, usual="private",
        wanted=lambda spec, found: spec.ipc
        or (Default.ENGINE if found.at("HostConfig.IpcMode") in _SHARED else "private or shareable"),
    ),
    plain("uts", "HostConfig.UTSMode", default=""),
    plain("userns_mode", "HostConfig.UsernsMode", default=""),
    plain("cgroup", "HostConfig.CgroupnsMode", default=Default.ENGINE, usual="private"),
    plain("cgroup_parent", "HostConfig.CgroupParent", default=""),
    plain("runtime", "HostConfig.Runtime", default=Default.ENGINE, usual="runc"),
    # An engine before 24 drops annotations without an error.
    plain(
        "annotations", "HostConfig.Annotations", default=Default.ENGINE, write=dict, lossy=True, secret=True,
        normal=lambda pairs: AtLeast(dict(pairs)), read=lambda raw: raw or {},
    ),
    plain(
        "device_cgroup_rules", "HostConfig.DeviceCgroupRules", default=frozenset(), normal=unordered(device_rule),
        write=list,
    ),
    plain(
        "gpus", "HostConfig.DeviceRequests", default=frozenset(), write=_raw_requests, read=unordered(_request),
    ),
)  # fmt: skip
