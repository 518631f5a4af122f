"""Merges several Compose files into one, the later over the earlier.

The rules are those of Compose's specification, chapter Merge: mappings are merged key by key, lists are appended, and
other values are replaced. Commands are replaced whole; of two members of a list for the same thing the later stays.
"""

from collections.abc import Callable
from collections.abc import Mapping as Lookup
from dataclasses import replace
from posixpath import normpath

from agent.yamldoc.compose import Mapping, Node, Scalar, Sequence
from agent.yamldoc.edit import child, is_null, listed, mapping, named, no_value, pairs, scalar, sequence
from agent.yamldoc.faultlist import Faults
from agent.yamldoc.readers import Cursor

_Path = tuple[str, ...]
_ANY = "*"
_Key = Callable[[Node], str]


def merge(base: Mapping, over: Mapping, faults: Faults) -> Mapping:
    """Return `base` with everything of `over`. Notes a fault where the two have values of different kinds."""
    return _mappings(base, over, (), faults)


def _mappings(base: Mapping, over: Mapping, path: _Path, faults: Faults) -> Mapping:
    entries = dict(base.entries)
    for name, (key, value) in over.entries.items():
        earlier = entries.get(name)
        if earlier is None or (name.startswith("x-") and path):
            entries[name] = (key, value)
        else:
            entries[name] = (earlier[0], _values(earlier[1], value, (*path, name), faults))
    return replace(base, entries=entries)


def _values(base: Node, over: Node, path: _Path, faults: Faults) -> Node:
    if any(_matches(path, pattern) for pattern in _REPLACED):
        return over
    if is_null(over):
        return over if any(_matches(path, (*pattern, _ANY)) for pattern in _NULLED) else base
    rule = next((rule for pattern, rule in _RULES.items() if _matches(path, pattern)), None)
    if rule is not None:
        base, over = rule(base), rule(over)
    if is_null(base) or _other_driver(base, over, path):
        return over
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return _mappings(base, over, path, faults)
    if isinstance(base, Sequence) and isinstance(over, Sequence):
        if _matches(path, ("networks", _ANY, "ipam", "config")):
            return _subnets(base, over, path, faults)
        same = next((key for pattern, key in _SAME.items() if _matches(path, pattern)), _text)
        found = {same(each): each for each in (*base.items, *over.items)}
        return replace(base, items=list(found.values()))
    if type(base) is not type(over) and not any(_matches(path, pattern) for pattern in _EITHER):
        here = Cursor(node=over, path=".".join(path), faults=faults)
        where = f"{base.file}, line {base.line}"
        here.fault("has another form than in the file that it overrides", f"write it as in {where}")
    return over


def _matches(path: _Path, pattern: _Path) -> bool:
    parts = zip(pattern, path, strict=False)
    return len(path) == len(pattern) and all(part in (_ANY, name) for part, name in parts)


def _service(*keys: str) -> _Path:
    return ("services", _ANY, *keys)


_REPLACED = (_service("command"), _service("entrypoint"), _service("healthcheck", "test"))
_EITHER = (_service("ulimits", _ANY), ("networks", _ANY, "external"), ("volumes", _ANY, "external"))
"""Values that have two forms, of which the later replaces the earlier."""


def _other_driver(base: Node, over: Node, path: _Path) -> bool:
    """Return True for options of a logging driver that is not the earlier one's."""
    if not _matches(path, _service("logging")):
        return False
    drivers = [_text(found) if (found := child(each, "driver")) else None for each in (base, over)]
    return None not in drivers and drivers[0] != drivers[1]


# ---- Lists that may also be written as mappings: both are brought into one form first


def _lines(node: Node) -> Node:
    """Return a mapping from names to one or more values as a list of `name:value`."""
    if not isinstance(node, Mapping):
        return node
    items = [
        scalar(each, f"{name}:{each.text}")
        for name, (_, value) in node.entries.items()
        for each in (value.items if isinstance(value, Sequence) else [value])
        if isinstance(each, Scalar)
    ]
    return sequence(node, list(items))


def started(place: Scalar) -> Node:
    return mapping(place, {"condition": (scalar(place, "condition"), scalar(place, "service_started"))})


_NULLED = (
    *(_service(key) for key in ("environment", "labels", "annotations", "sysctls")),
    _service("deploy", "labels"),
    ("networks", _ANY, "labels"),
    ("volumes", _ANY, "labels"),
)
"""Names with values, of which a later one without a value takes the earlier's away."""
_RULES: Lookup[_Path, Callable[[Node], Node]] = {
    **dict.fromkeys(_NULLED, pairs),
    _service("depends_on"): named(started),
    _service("networks"): named(no_value),
    _service("extra_hosts"): _lines,
    **{_service(key): listed for key in ("env_file", "dns", "dns_search", "dns_opt", "tmpfs")},
}


# ---- Members of two lists that are about the same thing: the later replaces the earlier in its place


def _subnets(base: Sequence, over: Sequence, path: _Path, faults: Faults) -> Sequence:
    """Return the later subnets, each with what an earlier declaration of the same subnet has."""
    known = {_subnet(each): each for each in base.items}
    merged = [_values(known.get(_subnet(each), each), each, (*path, _ANY), faults) for each in over.items]
    return replace(over, items=merged)


def _subnet(node: Node) -> str:
    return _text(child(node, "subnet") or node)


def _text(node: Node) -> str:
    """Return the text of a scalar, and for anything else one of its own."""
    return node.text if isinstance(node, Scalar) else f"\0{id(node)}"


def _target(default: str) -> _Key:
    """Return the key of a mount: the path in the container; of a name alone, that name below `default`."""

    def key(node: Node) -> str:
        if isinstance(node, Scalar):
            parts = node.text.split(":")
            return normpath(parts[1]) if len(parts) > 1 else normpath(f"{default}{node.text}")
        if target := child(node, "target"):
            return normpath(_text(target))
        return f"{default}{_text(source)}" if (source := child(node, "source")) else _text(node)

    return key


def _port(node: Node) -> str:
    """Return a published port in the short form, without what is usual."""
    usual = {"host_ip": "", "published": "", "target": "", "protocol": "tcp"}
    found = {key: _text(place) if (place := child(node, key)) else other for key, other in usual.items()}
    long = "{host_ip}:{published}:{target}/{protocol}".format_map(found)
    short = node.text if isinstance(node, Scalar) else long
    return short.removeprefix("0.0.0.0:").removeprefix(":").removesuffix("/tcp")


_SAME: Lookup[_Path, _Key] = {
    _service("volumes"): _target(""),
    _service("devices"): _target(""),
    _service("secrets"): _target("/run/secrets/"),
    _service("configs"): _target("/"),
    _service("ports"): _port,
    _service("env_file"): lambda node: _text(path if (path := child(node, "path")) else node),
}
