"""What `inspect` shows of a container made by a create request: the defaults an engine fills in, written down once.

Checked against a real engine by tests/contract/test_fields_on_docker.py, and used by the engine in memory.
"""

import copy
import hashlib
from collections.abc import Mapping
from typing import Any

_SHORT_ID = 12

HOST_DEFAULTS: Mapping[str, Any] = {
    "Annotations": None,
    "Binds": None,
    "BlkioDeviceReadBps": None,
    "BlkioDeviceReadIOps": None,
    "BlkioDeviceWriteBps": None,
    "BlkioDeviceWriteIOps": None,
    "BlkioWeight": 0,
    "BlkioWeightDevice": None,
    "CapAdd": None,
    "CapDrop": None,
    "CgroupParent": "",
    "CgroupnsMode": "private",
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpuShares": 0,
    "CpusetCpus": "",
    "DeviceCgroupRules": None,
    "DeviceRequests": None,
    "Devices": [],
    "Dns": [],
    "DnsOptions": [],
    "DnsSearch": [],
    "ExtraHosts": None,
    "GroupAdd": None,
    "IpcMode": "private",
    "LogConfig": {"Type": "json-file", "Config": {}},
    "Memory": 0,
    "MemoryReservation": 0,
    "MemorySwap": 0,
    "MemorySwappiness": None,
    "NanoCpus": 0,
    "NetworkMode": "default",
    "OomKillDisable": False,
    "OomScoreAdj": 0,
    "PidMode": "",
    "PidsLimit": None,
    "PortBindings": {},
    "Privileged": False,
    "PublishAllPorts": False,
    "ReadonlyRootfs": False,
    "Runtime": "runc",
    "RestartPolicy": {"Name": "", "MaximumRetryCount": 0},
    "SecurityOpt": None,
    "ShmSize": 64 * 2**20,
    "UTSMode": "",
    "Ulimits": None,
    "UsernsMode": "",
    "VolumesFrom": None,
}
CONFIG_DEFAULTS: Mapping[str, Any] = {
    "Cmd": None,
    "Domainname": "",
    "Entrypoint": None,
    "Env": [],
    "Labels": {},
    "OpenStdin": False,
    "Tty": False,
    "User": "",
    "Volumes": None,
    "WorkingDir": "",
}


def inspect_of(
    body: Mapping[str, Any], image: Mapping[str, Any], *, container_id: str, name: str
) -> dict[str, Any]:
    """GET /containers/{id}/json right after POST /containers/create with `body`, for an image of that config."""
    request = copy.deepcopy(dict(body))
    host = {**HOST_DEFAULTS, **request.pop("HostConfig", {})}
    if host["Memory"] and not host["MemorySwap"]:
        host["MemorySwap"] = 2 * host["Memory"]
    endpoints = request.pop("NetworkingConfig", {}).get("EndpointsConfig", {})
    own = [container_id[:_SHORT_ID], *([request["Hostname"]] if request.get("Hostname") else [])]
    networks = _networks(host["NetworkMode"], endpoints, own)
    options = host["SecurityOpt"] or []
    label_is_said = any(each.startswith("label=") for each in options)
    if not label_is_said and (host["Privileged"] or "host" in (host["PidMode"], host["IpcMode"])):
        host["SecurityOpt"] = [*options, "label=disable"]
    return {
        "Id": container_id,
        "Name": f"/{name}",
        "Image": image["Id"],
        "State": {"Status": "created", "ExitCode": 0, "Error": ""},
        "RestartCount": 0,
        "Config": _merged(request, image["Config"], container_id),
        "HostConfig": host,
        "NetworkSettings": {"Networks": networks},
        "Mounts": _volumes(host, request, image["Config"], container_id),
    }


def _volumes(
    host: Mapping[str, Any], said: Mapping[str, Any], image: Mapping[str, Any], container_id: str
) -> list[dict[str, Any]]:
    """The volumes of `Mounts`; one without a name gets one of 64 digits."""
    mounts = [each for each in host.get("Mounts") or () if each["Type"] == "volume"]
    named = {each["Target"]: each.get("Source") or "" for each in mounts}
    taken = {each["Target"] for each in host.get("Mounts") or ()} | {*(host.get("Tmpfs") or {})}
    taken |= {each.split(":")[1] for each in host["Binds"] or ()}
    bare = {*(image.get("Volumes") or ()), *(said.get("Volumes") or ())} - taken
    return [
        {
            "Type": "volume",
            "Name": name or hashlib.sha256(f"{container_id}{target}".encode()).hexdigest(),
            "Destination": target,
        }
        for target, name in sorted({**named, **dict.fromkeys(bare, "")}.items())
    ]


def _merged(said: dict[str, Any], image: Mapping[str, Any], container_id: str) -> dict[str, Any]:
    config = {"Hostname": container_id[:_SHORT_ID], **CONFIG_DEFAULTS, **said}
    if said.get("Cmd") == [] and "Entrypoint" not in said:  # the client sends the image's entrypoint then
        config["Entrypoint"] = image.get("Entrypoint")
    elif not said.get("Entrypoint"):
        config["Cmd"] = said.get("Cmd") or image.get("Cmd")
        config["Entrypoint"] = image.get("Entrypoint")
    elif said["Entrypoint"] == [""]:
        config["Entrypoint"] = None
    for key in ("User", "WorkingDir", "StopSignal"):
        if value := said.get(key) or image.get(key):
            config[key] = value
    named = {each.partition("=")[0] for each in said.get("Env", [])}
    theirs = [each for each in image.get("Env") or [] if each.partition("=")[0] not in named]
    config["Env"] = [*said.get("Env", []), *theirs]
    for key in ("Labels", "ExposedPorts", "Volumes"):
        if merged := {**(image.get(key) or {}), **(said.get(key) or {})}:
            config[key] = merged
    if check := _check(said.get("Healthcheck"), image.get("Healthcheck")):
        config["Healthcheck"] = check
    return config


def _check(said: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**(image or {}), **(said or {})}


def _networks(mode: str, endpoints: Mapping[str, Any], own: list[str]) -> dict[str, Any]:
    if not endpoints:
        return {"bridge" if mode == "default" else mode: {"Aliases": None, "IPAMConfig": None}}
    return {name: attached(endpoint, own) for name, endpoint in endpoints.items()}


def attached(endpoint: Mapping[str, Any], own: list[str]) -> dict[str, Any]:
    """One of `Networks`, as an engine before 25 shows it: with the container's own names among the aliases."""
    return {
        "Aliases": [*(endpoint.get("Aliases") or []), *own],
        "IPAMConfig": endpoint.get("IPAMConfig") or {},
        "IPAddress": "",
    }
