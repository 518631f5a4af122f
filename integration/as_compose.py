"""What `docker inspect` shows of a container that an agent made, against the one that docker-compose creates.

Both are of the same Compose file, on the same engine. A value that is not the same is a finding, unless `DIFFERENCES`
says why; docs/operate/examples.md has the same rows.
"""

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

DIFFERENCES = {
    "Id": "each container has its own",
    "Name": "the slot of the replica, where docker-compose has the first",
    "Created": "the moment",
    "State.*": "the agent has started the container, docker-compose has created it",
    "ExecIDs": "the health check that runs at the moment",
    "GraphDriver.Data.*": "the layer of each container",
    "*Path": "files of each container",
    "NetworkSettings.Sandbox*": "there from the start on",
    "NetworkSettings.Ports*": "there from the start on; `HostConfig.PortBindings` is equal",
    "NetworkSettings.Networks.NETWORK.*ID": "there from the start on",
    "NetworkSettings.Networks.NETWORK.*Address": "there from the start on",
    "NetworkSettings.Networks.NETWORK.*PrefixLen": "there from the start on",
    "NetworkSettings.Networks.NETWORK.*Gateway": "there from the start on",
    "NetworkSettings.Networks.NETWORK.IPAMConfig*": "the address is chosen before the start, on an overlay",
    "Config.Attach*": "of the client that creates the container; nothing reads it later",
    "Config.Labels.io.swarmkeeper.*": "how an agent knows its containers",
    "Config.Labels.com.docker.compose.*": "how docker-compose knows its containers",
    "HostConfig.Binds": "one of the two lists in which a mount can be asked for; `Mounts` is equal",
    "HostConfig.Mounts": "the other one",
    "Mounts.*.Mode": "the engine's word for which list it was; `RW` is equal",
}  # fmt: skip
"""Place in `docker inspect`, as a pattern, and why it differs. NETWORK is the container's network."""
COMPARED_WITHOUT = {
    "Config.Hostname": "the start of the id, where the file has no `hostname`",
    "NetworkSettings.Networks.NETWORK.Aliases": "`tasks.<service>`, the container's own name, the start of its id",
}
"""Places of which a part differs, and that part. The rest of them is compared."""
PLACEHOLDER = re.compile(r"\\{\\{.*?\\}\\}")
EMPTY: tuple[object, ...] = (None, [], {}, "")
ANONYMOUS = re.compile(r"[0-9a-f]{64}")


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], project: str) -> dict[str, str]:
    """Every value that differs without a listed reason, by its place: what each of the two has, as JSON.

    `project` is what docker-compose was told instead of the name in the file, which ours has.
    """
    name = str(ours["Config"]["Labels"]["io.swarmkeeper.project"])
    found = dict(_values(_comparable(ours)))
    others = dict(_values(_comparable(json.loads(json.dumps(theirs).replace(project, name)))))
    return {
        place: f"{json.dumps(found.get(place))} by the agent, {json.dumps(others.get(place))} by docker-compose"
        for place in sorted({*found, *others})
        if not _is_listed(place) and not _same(found.get(place), others.get(place))
    }


def _is_listed(place: str) -> bool:
    return any(fnmatchcase(place, pattern) for pattern in DIFFERENCES)


def _same(one: object, other: object) -> bool:
    """Whether two values are the same, or one is what a placeholder of the other stands for."""
    if one in EMPTY and other in EMPTY:
        return True
    if isinstance(one, str) and isinstance(other, str):
        return re.fullmatch(PLACEHOLDER.sub(".+", re.escape(other)), one) is not None
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(map(_same, one, other))
    return one == other


def _comparable(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what `COMPARED_WITHOUT` has, and with its one network as NETWORK.

    Variables and mounts are in one order, and anonymous volumes have one name.
    """
    found = json.loads(json.dumps(shown))
    short = found["Id"][:12]
    if found["Config"]["Hostname"] == short:
        found["Config"]["Hostname"] = ""
    for mount in found["Mounts"]:
        for key in ("Name", "Source"):
            if key in mount:
                mount[key] = ANONYMOUS.sub("ANONYMOUS", mount[key])
    found["Mounts"] = {each["Destination"]: each for each in found["Mounts"]}
    found["Config"]["Env"] = sorted(found["Config"]["Env"] or [])
    (network,) = found["NetworkSettings"]["Networks"].values()
    aside = (short, found["Name"].lstrip("/"))
    aliases = {
        each for each in network["Aliases"] or () if each not in aside and not each.startswith("tasks.")
    }
    found["NetworkSettings"]["Networks"] = {"NETWORK": network | {"Aliases": sorted(aliases)}}
    return dict(found)


def _values(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every value by its place; lists are values."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _values(inner, f"{place}.{key}" if place else key)
    else:
        yield place, value
