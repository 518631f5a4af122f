"""The comparison of two containers finds what differs, and takes no value for equal that is not."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from integration.as_compose import COMPARED_WITHOUT, DIFFERENCES, differences

PAGE = Path(__file__).parents[2] / "docs/operate/examples.md"
OURS: dict[str, Any] = {
    "Id": "1" * 64,
    "Name": "/shop-db-2",
    "Config": {
        "Labels": {"io.swarmkeeper.project": "shop", "team": "a"},
        "Env": ["B=2", "IP=10.0.0.7:80"],
        "Cmd": ["db", "--id=2"],
        "Hostname": "1" * 12,
    },
    "HostConfig": {"Memory": 64, "ExtraHosts": None, "NetworkMode": "shop_default"},
    "Mounts": [
        {"Destination": "/b", "Name": "shop_data", "Mode": "z", "RW": True},
        {"Destination": "/a", "Name": "a" * 64, "Source": f"/v/{'a' * 64}", "RW": True},
    ],
    "NetworkSettings": {
        "Networks": {"shop_default": {"Aliases": ["db", "tasks.db", "1" * 12], "Links": None}}
    },
}
THEIRS: dict[str, Any] = {
    "Id": "2" * 64,
    "Name": "/other-db-1",
    "Config": {
        "Labels": {"com.docker.compose.project": "other", "team": "a"},
        "Env": ["IP={{.Overlay.IP}}:80", "B=2"],
        "Cmd": ["db", "--id={{.Task.Slot}}"],
        "Hostname": "2" * 12,
    },
    "HostConfig": {"Memory": 64, "ExtraHosts": [], "NetworkMode": "other_default"},
    "Mounts": [
        {"Destination": "/a", "Name": "b" * 64, "Source": f"/v/{'b' * 64}", "RW": True},
        {"Destination": "/b", "Name": "other_data", "Mode": "rw", "RW": True},
    ],
    "NetworkSettings": {"Networks": {"other_default": {"Aliases": ["other-db-1", "db"], "Links": None}}},
}
CHANGES: dict[str, tuple[tuple[Any, ...], Any]] = {
    "HostConfig.Memory": (("HostConfig", "Memory"), 65),
    "HostConfig.NetworkMode": (("HostConfig", "NetworkMode"), "bridge"),
    "HostConfig.Init": (("HostConfig", "Init"), True),
    "Config.Labels.team": (("Config", "Labels", "team"), "b"),
    "Config.Env": (("Config", "Env", 0), "IP={{.Overlay.IP}}:81"),
    "Config.Cmd": (("Config", "Cmd", 1), "--other={{.Task.Slot}}"),
    "Config.Hostname": (("Config", "Hostname"), "db"),
    "NetworkSettings.Networks.NETWORK.Aliases": (
        ("NetworkSettings", "Networks", "other_default", "Aliases"),
        ["db", "x"],
    ),
    "Mounts./b.RW": (("Mounts", 1, "RW"), False),
    "NetworkSettings.Networks.NETWORK.Links": (
        ("NetworkSettings", "Networks", "other_default", "Links"),
        ["db:x"],
    ),
}


def test_what_has_a_reason_is_no_difference() -> None:
    assert differences(OURS, THEIRS, "other") == {}


@pytest.mark.parametrize("place", CHANGES)
def test_another_value_is_found(place: str) -> None:
    changed = copy.deepcopy(THEIRS)
    path, value = CHANGES[place]
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert list(differences(OURS, changed, "other")) == [place]


def test_the_page_has_the_same_reasons() -> None:
    rows = dict(re.findall(r"^\| `(\S+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE))
    assert rows == DIFFERENCES | COMPARED_WITHOUT
