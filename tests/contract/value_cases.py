"""Values that a document should not have, for every key: zero, out of set, out of range, of a wrong type, hostile.

Values are YAML. A key is a path of the JSON Schema for editors: `*` is any name, `[]` any member of a list.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from agent.intent import json_schema
from tests.contract import value_lists

Kind = Literal["zero", "out of set", "out of range", "wrong type", "hostile"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_EVERYWHERE: Mapping[Kind, tuple[str, ...]] = {
    "zero": ('""', "[]", "{}", "0", "false", "", "[{}]", '[""]'),
    "out of set": ("nope", "[nope]", "{nope: 1}", "-1", "~user"),
    "out of range": ("-2147483649", "4294967296", "18446744073709551616", "1e400", "999999999h"),
    "wrong type": ("[[a]]", "{a: {b: [c]}}", "2001-12-14", "[{a: b}]", "true", "1.5"),
    "hostile": (
        '"\\u202e; reboot #"', '"../../etc/shadow"', '"a\\nb: c"', '"$$(id)"', '"--privileged"', '"\\e[2J"',
        '"{{.Nope}}"', "x' OR 1=1", '["a\\nb=c", "--x"]', "{../x: 1}",
    ),
}  # fmt: skip
BASE: Mapping[str, Any] = {
    "name": "values",
    "x-cluster": {
        "version": "1",
        "hosts": {"h": {"address": "10.99.0.1", "role": "manager"}},
        "gwbridge": {"subnet": "172.21.0.0/20"},
    },
    "networks": {"net": {"driver": "bridge", "ipam": {"config": [{"subnet": "10.20.0.0/24"}]}}},
    "volumes": {"data": {}},
    "secrets": {"token": {"file": "/etc/hostname"}},
    "configs": {"app": {"file": "/etc/hostname"}},
    "services": {
        "web": {"image": "rich:1", "x-hosts": "[h]", "network_mode": "none"},
        "db": {"image": "rich:1", "x-hosts": "[h]", "network_mode": "none"},
    },
}
_NAMES = {
    "x-cluster.hosts": "h", "networks": "net", "volumes": "data", "secrets": "token", "configs": "app",
    "services": "web", "services.*.networks": "net", "services.*.ulimits": "nofile", "services.*.depends_on": "db",
}  # fmt: skip
_WEB = "services.*"
_RATES = {"path": "/dev/null", "rate": "1000"}
_MOUNT = f"{_WEB}.volumes.[]"
_BESIDE: Mapping[str, Mapping[str, str]] = {
    "x-cluster.policy.handover": {"at": "'2026-11-30T17:00:00Z'", "to": "h"},
    "networks.*.ipam.config.[]": {"subnet": "10.20.0.0/24"},
    f"{_WEB}.ports.[]": {"target": "80", "published": "8080"},
    f"{_MOUNT}": {"type": "bind", "source": "/etc", "target": "/t"},
    f"{_MOUNT}.volume": {"type": "volume", "source": "data", "target": "/t"},
    f"{_MOUNT}.tmpfs": {"type": "tmpfs", "target": "/t"},
    f"{_WEB}.healthcheck": {"test": "[CMD, /bin/true]"},
    f"{_WEB}.ulimits.*": {"soft": "64", "hard": "1024"},
    f"{_WEB}.logging": {"driver": "json-file"},
    f"{_WEB}.devices.[]": {"source": "/dev/zero"},
    f"{_WEB}.deploy": {"replicas": "1"},
    f"{_WEB}.deploy.resources.reservations.devices.[]": {"capabilities": "[gpu]"},
    f"{_WEB}.secrets.[]": {"source": "token"},
    f"{_WEB}.configs.[]": {"source": "app"},
    f"{_WEB}.blkio_config.device_read_bps.[]": _RATES,
    f"{_WEB}.blkio_config.device_read_iops.[]": _RATES,
    f"{_WEB}.blkio_config.device_write_bps.[]": _RATES,
    f"{_WEB}.blkio_config.device_write_iops.[]": _RATES,
    f"{_WEB}.blkio_config.weight_device.[]": {"path": "/dev/null", "weight": "100"},
}
"""Other keys that a mapping needs, by the path of the mapping."""
_NOT_BESIDE = {
    f"{_WEB}.networks": "network_mode",
    f"{_WEB}.ports": "network_mode",
    f"{_WEB}.network_mode": "network_mode",
    f"{_WEB}.deploy": "x-hosts",
}
"""Keys of the service that cannot stand beside a key."""


RESPELLED = frozenset(
    (
        "version",
        "x-cluster.policy.deploy_labels",
        *("networks.*.external.name", "networks.*.ipam.driver", "volumes.*.external.name"),
        *("configs.*.name", "secrets.*.name"),
        *(f"{_WEB}.{each}" for each in ("container_name", "expose", "links", "scale")),
        *(f"{_WEB}.depends_on.*.{each}" for each in ("required", "restart")),
        *(f"{_WEB}.deploy.{each}" for each in ("endpoint_mode", "labels")),
        f"{_MOUNT}.consistency",
    )
)
"""Other spellings of Compose, and keys without effect. tests/unit/intent/test_vocabulary.py tries them."""


def keys() -> tuple[str, ...]:
    """Return every key of the document that has a reader of its own."""
    return tuple(each for each in dict.fromkeys(_keys(json_schema(), ())) if each not in RESPELLED)


def _keys(form: Any, path: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(form, dict):
        return
    for key, inner in form.get("properties", {}).items():
        if inner.get("not") != {}:
            yield ".".join((*path, key))
            yield from _keys(inner, (*path, key))
    yield from _keys(form.get("additionalProperties"), (*path, "*"))
    yield from _keys(form.get("items"), (*path, "[]"))
    for inner in form.get("anyOf", ()):
        yield from _keys(inner, path)


def values_of(key: str) -> tuple[tuple[Kind, str], ...]:
    """Return the values that a key is tried with, each with its kind."""
    own = value_lists.OWN.get(key, ())
    found: list[tuple[Kind, str]] = [(kind, each) for kind in KINDS for each in _EVERYWHERE[kind]]
    return (*found, *(("out of set", each) for each in own))


def document(key: str, written: str | None) -> str:
    """Return a document in which `key` has this value; without the key if it is None."""
    root: Any = copy.deepcopy(BASE)
    for prefix, taken in _NOT_BESIDE.items():
        if _is_at(key, prefix):
            del root["services"]["web"][taken]
    if _is_at(key, f"{_WEB}.ports"):
        root["services"]["web"]["networks"] = "[net]"
    if key == "configs.*.content":
        del root["configs"]["app"]["file"]
    *parents, last = key.split(".")
    here = root
    for number, step in enumerate(parents):
        here = _below(here, key, ".".join(parents[: number + 1]), step)
    name = _NAMES[".".join(parents)] if last == "*" else last
    here.pop(name, None)
    if written is not None:
        here[name] = written
    return "".join(f"{name}: {_flow(each)}\n" for name, each in root.items())


def _is_at(key: str, prefix: str) -> bool:
    return f"{key}.".startswith(f"{prefix}.")


def _below(here: Any, key: str, path: str, step: str) -> Any:
    """Return the mapping or list at `path`, on the way to `key`; make it if it is not there."""
    if step == "[]":
        if not here:
            more = next(
                (inner for inner in (f"{_MOUNT}.volume", f"{_MOUNT}.tmpfs") if _is_at(key, inner)), path
            )
            here.append(dict(_BESIDE.get(more if path == _MOUNT else path, {})))
        return here[0]
    name = _NAMES[path.removesuffix(".*")] if step == "*" else step
    if not isinstance(here.get(name), dict | list):
        is_list = _is_at(key, f"{path}.[]")
        here[name] = (
            [] if is_list else dict(_BESIDE.get(path, {}) if not path.startswith(f"{_MOUNT}.") else {})
        )
    return here[name]


def _flow(node: Any) -> str:
    if isinstance(node, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in node.items()) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(_flow, node)) + "]"
    return str(node)
