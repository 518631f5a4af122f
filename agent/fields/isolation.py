"""What the process may do and see: privileges, capabilities, namespaces, kernel settings, devices, identity groups."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from agent.fields.row import Found, Unsaid, plain
from agent.model.spec import ContainerSpec, Device, Pairs

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


def _found_options(found: Found) -> frozenset[str]:
    # For a privileged container, and for one in the host's pid or ipc namespace, the engine adds label=disable itself
    # (moby: daemon.generateSecurityOpt).
    added = found.at("HostConfig.Privileged") or "host" in (
        found.at("HostConfig.PidMode"),
        found.at("HostConfig.IpcMode"),
    )
    return _options(found.at("HostConfig.SecurityOpt") or ()) - ({"label=disable"} if added else set())


def _wanted_ipc(spec: ContainerSpec, found: Found) -> Any:
    # private or shareable is for the engine's configuration to choose; anything else was said by somebody.
    return spec.ipc or (
        Unsaid.UNTOLD if found.at("HostConfig.IpcMode") in _SHARED else "private or shareable"
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


ROWS = (
    plain("privileged", "HostConfig.Privileged", unsaid=False, normal=bool),
    plain("cap_add", "HostConfig.CapAdd", unsaid=frozenset(), normal=_capabilities, write=list),
    plain("cap_drop", "HostConfig.CapDrop", unsaid=frozenset(), normal=_capabilities, write=list),
    replace(
        plain("security_opt", "HostConfig.SecurityOpt", unsaid=frozenset(), normal=_options, write=list),
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
    replace(plain("ipc", "HostConfig.IpcMode", unsaid=Unsaid.UNTOLD, read=lambda raw: raw or ""), wanted=_wanted_ipc),
)  # fmt: skip
