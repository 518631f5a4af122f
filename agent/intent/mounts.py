"""Reads the mounts of a replica: volumes in Compose's short and long forms, tmpfs, files of secrets and configs."""

import re
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from agent.diff.container.storage import PROPAGATIONS
from agent.intent import forms
from agent.intent.values import absolute, absolute_path, name, text
from agent.model.spec import Mount, MountType, Pairs, Relabel
from agent.yamldoc import Cursor, Fields, Reader
from agent.yamldoc.readers import after, boolean, choice, size

_LABELS: dict[str, Relabel] = {each: each for each in get_args(Relabel)}
_TYPE: Reader[MountType] = choice(get_args(MountType))
BIND = forms.Section(
    {
        "propagation": forms.choice(PROPAGATIONS),
        "create_host_path": forms.BOOLEAN,
        "selinux": forms.choice(_LABELS),
    },
    refused={"recursive": "is not supported: it requires Docker 25"},
)
VOLUME = forms.Section(
    {"nocopy": forms.BOOLEAN},
    refused={
        "subpath": "is not supported: it requires Docker 26",
        "labels": "is not supported: declare the labels under the top-level 'volumes'",
    },
)
TMPFS = forms.Section({"size": forms.SIZE, "mode": forms.TEXT})
MOUNT = forms.Section(
    {
        "type": forms.choice(get_args(MountType)),
        "source": forms.TEXT,
        "target": forms.ABSOLUTE,
        "read_only": forms.BOOLEAN,
        "bind": BIND.form,
        "volume": VOLUME.form,
        "tmpfs": TMPFS.form,
    },
    ("type", "target"),
    {"consistency": "has no effect on Linux", "image": "is not supported: it requires Docker 28"},
)
MOUNTS = forms.list_of(forms.either(forms.TEXT, MOUNT.form))

_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}", re.ASCII)
_SHORT_REMEDY = 'write "name:/in/container", "/on/host:/in/container" or the same with ":ro"'


def mounts(cursor: Cursor) -> tuple[Mount, ...] | None:
    """Read a list of mounts, sorted by target. Each target may occur once."""
    found: dict[str, Mount] = {}
    for place in cursor.items():
        mount = _long(place) if place.is_mapping else _short(place)
        if mount is None:
            continue
        if mount.target in found:
            place.conflict(f"mounts '{mount.target}' a second time", "keep one of them")
        found[mount.target] = mount
    return tuple(found[target] for target in sorted(found))


@after(text)
def _short(place: Cursor, written: str) -> Mount | None:
    parts = written.split(":")
    if len(parts) == 1:
        target = target_of(place, written)
        return None if target is None else Mount(type="volume", target=target)
    source, path, modes = parts[0], parts[1], parts[2].split(",") if len(parts) == 3 else []  # noqa: PLR2004
    if len(parts) > 3 or not path.startswith("/"):  # noqa: PLR2004
        place.fault(f"{place.shown} is not a mount", _SHORT_REMEDY)
        return None
    mount = _from_to(place, source, path)
    for mode in modes:
        mount = mount and _with_mode(place, mount, mode)
    return mount


def _from_to(place: Cursor, source: str, path: str) -> Mount | None:
    target = target_of(place, path, source)
    if source.startswith("/"):
        on_host = absolute_path(place, source)
        if target is None or on_host is None:
            return None
        return Mount(type="bind", source=on_host, target=target, create_host_path=True)
    if source.startswith((".", "~")):
        problem = f"'{source[:60]}' is a relative path, and the document has no folder on a host"
        place.fault(problem, "write an absolute path")
        return None
    if not _VOLUME.fullmatch(source):
        place.fault(f"'{source[:60]}' is neither a path nor the name of a volume", _SHORT_REMEDY)
        return None
    return None if target is None else Mount(type="volume", source=source, target=target)


def _with_mode(place: Cursor, mount: Mount, mode: str) -> Mount | None:
    if mode in ("ro", "rw"):
        return replace(mount, read_only=mode == "ro")
    if mode == "nocopy" and mount.type == "volume":
        return replace(mount, nocopy=True)
    if mode in PROPAGATIONS and mount.type == "bind":
        return replace(mount, propagation=mode)
    if mode in _LABELS and mount.type == "bind":
        return replace(mount, relabel=_LABELS[mode])
    place.fault(f"'{mode[:60]}' is not a mode of a {mount.type} mount", "write ro or rw")
    return None


def _long(place: Cursor) -> Mount | None:
    fields = MOUNT.read(place)
    kind: MountType | None = fields.require("type", _TYPE, "write bind, volume or tmpfs")
    # If the key is missing, `at` returns the mount itself, a mapping.
    on_host = (place.at("source").written or "") if kind == "bind" else ""
    read_target = after(text)(lambda place, path: target_of(place, path, on_host))
    target = fields.require("target", read_target, "write the path in the container")
    if kind is None or target is None:
        return None
    for other in {"bind", "volume", "tmpfs"} - {kind}:
        if (stray := fields.at(other)) is not None:
            stray.conflict(f"belongs to a mount of type {other}, and this mount has type {kind}", "remove it")
    read_only = fields.read("read_only", boolean, False)
    detail = {"bind": _bind, "volume": _volume, "tmpfs": _tmpfs}[kind](fields)
    return None if detail is None else Mount(type=kind, target=target, read_only=read_only, **detail)


def _bind(fields: Fields) -> dict[str, Any] | None:
    source = fields.require("source", absolute, "write the path on the host")
    inner = BIND.within(fields, "bind")
    if source is None:
        return None
    relabel = inner.read("selinux", choice(get_args(Relabel)))
    create = inner.read("create_host_path", boolean, True)
    if relabel and (not create or ":" in source):
        problem = "selinux requires create_host_path: true and a source without ':'"
        inner.cursor.at("selinux").conflict(problem, "change them, or remove selinux")
    return {
        "source": source,
        "propagation": inner.read("propagation", choice(PROPAGATIONS)),
        "create_host_path": create,
        "relabel": relabel,
    }


def _volume(fields: Fields) -> dict[str, Any]:
    nocopy = VOLUME.within(fields, "volume").read("nocopy", boolean, False)
    return {"source": fields.read("source", text), "nocopy": nocopy}


def _tmpfs(fields: Fields) -> dict[str, Any]:
    if (source := fields.at("source")) is not None:
        source.conflict("a tmpfs has no source", "remove it")
    inner = TMPFS.within(fields, "tmpfs")
    return {"tmpfs_size_bytes": inner.read("size", size(1)), "tmpfs_mode": inner.read("mode", _mode)}


@after(text)
def _mode(cursor: Cursor, written: str) -> int | None:
    """Read permissions such as `0o755`. It refuses `0755`, which is octal in YAML 1.1 and decimal in 1.2."""
    if not re.fullmatch(r"0o[0-7]{3,4}", written):
        cursor.fault(f"{cursor.shown} is not a mode in octal", "write for example 0o755")
    elif mode := int(written.removeprefix("0o"), 8):
        return mode
    else:
        # The API omits a 0, so that the agent could not compare it.
        cursor.fault("Docker ignores a mode of 0", "remove it, or write for example 0o700")
    return None


# ---- Secrets and configs: files on the hosts, mounted read-only into the replicas that name them

Kind = Literal["secrets", "configs"]

_FILES_ONLY = "is not supported: use file: with a file on the hosts"
_AS_IT_IS = "is not supported: the file is mounted as it is on the host; change it there"
FILE = forms.Section(
    {"file": forms.ABSOLUTE},
    ("file",),
    {
        "content": f"{_FILES_ONLY}; etcd stores the document in plain text",
        "driver": _FILES_ONLY,
        "driver_opts": _FILES_ONLY,
        "environment": f"{_FILES_ONLY}; the agent's environment is not read",
        "external": _FILES_ONLY,
        "labels": "is not supported: a file has no labels",
        "name": "is not needed: the agent creates no object of this name in Docker",
        "template_driver": _FILES_ONLY,
    },
)
USE = forms.Section(
    {"source": forms.NAME, "target": forms.TEXT},
    ("source",),
    dict.fromkeys(("uid", "gid", "mode"), _AS_IT_IS),
)
USES = forms.list_of(forms.either(forms.NAME, USE.form))

_SECRETS = "/run/secrets/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A file that a service uses: its name in the document, and its path in the replicas."""

    name: str
    target: str
    place: Cursor


def read_file(cursor: Cursor) -> str | None:
    """Read a top-level secret or config: the path of its file on every host with a replica that uses it."""
    fields = FILE.read(cursor)
    return fields.require("file", absolute, "write the absolute path of the file on the hosts")


def read_uses(cursor: Cursor, kind: Kind) -> tuple[Use, ...]:
    """Read `secrets` or `configs` of a service: names, or mappings with a source and a target."""
    found = [_long_use(place, kind) if place.is_mapping else _use(place, kind) for place in cursor.items()]
    return tuple(each for each in found if each)


def _use(place: Cursor, kind: Kind) -> Use | None:
    source = name(place)
    return None if source is None else Use(name=source, target=_usual(source, kind), place=place)


def _long_use(place: Cursor, kind: Kind) -> Use | None:
    fields = USE.read(place)
    source = fields.require("source", name, f"name one of the top-level {kind}")
    written = fields.at("target")
    if source is None:
        return None
    target = _usual(source, kind) if written is None else _use_target(written, kind)
    return None if target is None else Use(name=source, target=target, place=place)


def _usual(source: str, kind: Kind) -> str:
    return f"{_SECRETS}{source}" if kind == "secrets" else f"/{source}"


def _use_target(place: Cursor, kind: Kind) -> str | None:
    """Read the path of the file in the replica. For a secret it may be a name below /run/secrets."""
    written = text(place)
    if written is not None and kind == "secrets" and "/" not in written:
        source = name(place)
        return None if source is None else f"{_SECRETS}{source}"
    return None if written is None else target_of(place, written)


# ---- The places where something can be mounted

_PROC, _DEV = "/proc", "/dev"
_OVER_PROC = frozenset(
    f"{_PROC}/{each}"
    for each in (
        "cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "net/dev",
        "sys/kernel/ns_last_pid", "sys/crypto/fips_enabled",
    )
)  # fmt: skip
"""Files that runc lets a mount cover, for lxcfs and the like."""
_IN_SYS = re.compile(r"/sys/(block|bus|class|dev|devices|firmware|fs|hypervisor|kernel|module|power)(/.*)?")
"""Directories of /sys, in which the kernel lets nobody create another."""


def target_of(place: Cursor, path: str, source: str = "") -> str | None:
    """Return the path in the container without superfluous slashes; None, with a fault, where nothing can be mounted.

    `source` is the path on the host of a bind: a host's own /proc and /dev can be mounted there.
    """
    target = absolute_path(place, path)
    if target is None:
        return None
    if target == "/":
        place.fault("mounts over the container's root", "name a directory below it")
    elif _is_below(target, _PROC) and not _is_below(source, _PROC) and target not in _OVER_PROC:
        problem = f"mounts '{target[:60]}', and no container starts without its own {_PROC}"
        place.fault(problem, "name another directory")
    elif target.startswith("/sys/") and not _IN_SYS.fullmatch(target):
        place.fault(f"mounts '{target[:60]}', and nobody can create that in /sys", "name another directory")
    elif target == _DEV and source != _DEV:
        problem = f"mounts over {_DEV}, and no container starts without its devices"
        place.fault(problem, "name a directory below it")
    else:
        return target
    return None


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")


# ---- `tmpfs`: file systems in memory, with the mount options that the engine takes

_FLAGS = (
    "rw", "ro", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "mand", "nomand",
    "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
    "unbindable", "runbindable", *PROPAGATIONS, "defaults",
)  # fmt: skip
"""Flags that moby takes (pkg/mount), without `remount`, `bind` and `rbind`, with which no tmpfs can be mounted."""
_NUMBER_OF = (r"[0-9]{1,15}[kKmMgG]?", "a number, such as 64k")
_ID = (r"[0-9]{1,10}", "a number")
_VALUES = {
    "size": (r"[0-9]{1,15}[kKmMgGtTpP]?|[0-9]{1,3}%", "a size, such as 64m or 10%"),
    "mode": (r"0?[0-7]{1,4}", "a mode in octal, such as 1777"),
    "uid": _ID,
    "gid": _ID,
    "nr_inodes": _NUMBER_OF,
    "nr_blocks": _NUMBER_OF,
    "mpol": (r"default|local|interleave|prefer", "default, local, interleave or prefer"),
}
_HIGHEST_ID = 4_294_967_294
_EXAMPLE = "write for example /run:size=64m"


def tmpfs(cursor: Cursor) -> Pairs | None:
    """Read one or several `path[:options]`, sorted by path."""
    found: dict[str, str] = {}
    for place, written in _written(cursor):
        path, _, options = written.partition(":")
        target = target_of(place, path)
        if ":" in written and not _are_options(place, options):
            continue
        if target in found:
            place.conflict(f"mounts '{target}' a second time", "keep one of them")
        elif target is not None:
            found[target] = options
    return tuple(sorted(found.items()))


def _written(cursor: Cursor) -> list[tuple[Cursor, str]]:
    places = cursor.items() if cursor.is_sequence else [cursor]
    return [(place, written) for place in places if (written := text(place)) is not None]


def _are_options(place: Cursor, options: str) -> bool:
    """Return True for options that the engine takes; note a fault for the first other one."""
    seen: set[str] = set()
    for each in options.split(","):
        name, equals, value = each.partition("=")
        form, described = _VALUES.get(name, ("", ""))
        if name in seen:
            place.fault(f"gives '{name}' twice", "keep one of them")
        elif form and not re.fullmatch(form, value, re.ASCII):
            example = {"size": "64m", "mode": "1777", "mpol": "local"}.get(name, "1000")
            problem = f"'{each[:60]}': {name} is not {described}"
            place.fault(problem, f"write for example {name}={example}")
        elif name in ("uid", "gid") and int(value) > _HIGHEST_ID:
            place.fault(f"'{each[:60]}' is too large", f"the maximum is {_HIGHEST_ID}")
        elif not form and (equals or each not in _FLAGS):
            problem = f"{place.shown} has options that tmpfs does not know"
            place.fault(problem, place.guess(name, [*_VALUES, *_FLAGS]) or _EXAMPLE)
        else:
            seen.add(name)
            continue
        return False
    return True
