"""Reads the mounts of a replica: volumes in Compose's short and long forms, tmpfs, files of secrets and configs."""

import re
from dataclasses import replace
from typing import Any, Literal, get_args

from agent.diff.container.storage import PROPAGATIONS
from agent.intent import forms
from agent.intent.forms import Field, Section
from agent.intent.values import absolute, absolute_path, anything, name, text
from agent.model import Frozen
from agent.model.spec import LARGEST_CONTENT, Mount, MountType, Pairs, Relabel
from agent.yamldoc.readers import Cursor, Fields, after, boolean, size

_LABELS: dict[str, Relabel] = {each: each for each in get_args(Relabel)}
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
        return place.fault(f"{place.shown} is not a mount", _SHORT_REMEDY)
    mount = _from_to(place, source, path)
    if len(kinds := [_KINDS.get(each, each) for each in modes]) > len(set(kinds)):
        return place.fault(f"{place.shown} has two modes of one kind", "keep one of them")
    for mode in modes:
        mount = mount and _with_mode(place, mount, mode)
    return mount


_KINDS = {
    **dict.fromkeys(("ro", "rw"), "access"),
    **dict.fromkeys(PROPAGATIONS, "propagation"),
    **dict.fromkeys(_LABELS, "label"),
}


def _from_to(place: Cursor, source: str, path: str) -> Mount | None:
    target = target_of(place, path, source)
    if source.startswith("/"):
        on_host = absolute_path(place, source)
        if target is None or on_host is None:
            return None
        return Mount(type="bind", source=on_host, target=target, create_host_path=True)
    if source.startswith((".", "~")):
        problem = f"'{source[:60]}' is a relative path, and the document has no folder on a host"
        return place.fault(problem, "write an absolute path")
    if not _VOLUME.fullmatch(source):
        problem = f"'{source[:60]}' is neither a path nor the name of a volume, of two characters or more"
        return place.fault(problem, _SHORT_REMEDY)
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
    return place.fault(f"'{mode[:60]}' is not a mode of a {mount.type} mount", "write ro or rw")


@after(text)
def _mode(cursor: Cursor, written: str) -> int | None:
    """Read permissions such as `0o755`. It refuses `0755`, which is octal in YAML 1.1 and decimal in 1.2."""
    if not re.fullmatch(r"0o[0-7]{3,4}", written):
        return cursor.fault(f"{cursor.shown} is not a mode in octal", "write for example 0o755")
    if mode := int(written.removeprefix("0o"), 8):
        return mode
    # The API omits a 0, so that the agent could not compare it.
    return cursor.fault("Docker ignores a mode of 0", "remove it, or write for example 0o700")


BIND = Section(
    {
        "propagation": Field.choice(PROPAGATIONS),
        "create_host_path": Field(boolean, forms.BOOLEAN),
        "selinux": Field.choice(get_args(Relabel), "relabel"),
    },
    refused={"recursive": "is not supported: it requires Docker 25; remove it"},
)
VOLUME = Section(
    {"nocopy": Field(boolean, forms.BOOLEAN)},
    refused={
        "subpath": "is not supported: it requires Docker 26; remove it",
        "labels": "is not supported; declare the labels under the top-level 'volumes'",
    },
)
TMPFS = Section(
    {"size": Field(size(1), forms.SIZE, "tmpfs_size_bytes"), "mode": Field(_mode, forms.TEXT, "tmpfs_mode")}
)
MOUNT = Section(
    {
        "type": Field.choice(get_args(MountType)),
        "source": Field(None, forms.TEXT),
        "target": Field(None, forms.ABSOLUTE),
        "read_only": Field(boolean, forms.BOOLEAN),
        "bind": Field(None, BIND.form),
        "volume": Field(None, VOLUME.form),
        "tmpfs": Field(None, TMPFS.form),
        "consistency": Field.respelled(forms.TEXT, "must be text"),
    },
    {"type": "write bind, volume or tmpfs", "target": "write the path in the container"},
    {"image": "is not supported: it requires Docker 28; remove it"},
)
MOUNTS = forms.list_of(forms.either(forms.TEXT, MOUNT.form))


def _long(place: Cursor) -> Mount | None:
    fields, found = MOUNT.read(place)
    kind: MountType | None = found.get("type")
    # If the key is missing, `at` returns the mount itself, a mapping.
    on_host = (place.at("source").written or "") if kind == "bind" else ""
    target = fields.read("target", after(text)(lambda place, path: target_of(place, path, on_host)))
    if kind is None or target is None:
        return None
    for other in {"bind", "volume", "tmpfs"} - {kind}:
        if (stray := fields.at(other)) is not None:
            stray.conflict(f"belongs to a mount of type {other}, and this mount has type {kind}", "remove it")
    detail = {"bind": _bind, "volume": _volume, "tmpfs": _tmpfs}[kind](fields)
    return None if detail is None else Mount(target=target, **found, **detail)


def _bind(fields: Fields) -> dict[str, Any] | None:
    source = fields.require("source", absolute, "write the path on the host")
    inner = fields.read("bind", BIND.into(dict[str, Any])) or {}
    if source is None:
        return None
    found = {"source": source, "create_host_path": True, **inner}
    if "relabel" in found and (not found["create_host_path"] or ":" in source):
        problem = "selinux requires create_host_path: true and a source without ':'"
        fields.cursor.at("bind", "selinux").conflict(problem, "change them, or remove selinux")
    return found


def _volume(fields: Fields) -> dict[str, Any]:
    return {"source": fields.read("source", text), **(fields.read("volume", VOLUME.into(dict)) or {})}


def _tmpfs(fields: Fields) -> dict[str, Any]:
    if (source := fields.at("source")) is not None:
        source.conflict("a tmpfs has no source", "remove it")
    return fields.read("tmpfs", TMPFS.into(dict[str, Any])) or {}


# ---- Secrets and configs: files on the hosts or contents, mounted read-only into the replicas that name them

Kind = Literal["secrets", "configs"]

_FILES_ONLY = "use file: with a file on the hosts"
_AS_IT_IS = (
    "is not supported: a file keeps its owner and mode of the host, and every account can read a content;"
    " remove the key"
)


@after(anything)
def _content(cursor: Cursor, written: str) -> str | None:
    if (size := len(written.encode())) > LARGEST_CONTENT:
        remedy = f"the maximum is {LARGEST_CONTENT}: use file: with a file on the hosts"
        return cursor.hidden().fault(f"has {size} bytes", remedy, kind="size")
    return written


FILE = Section(
    {"file": Field(absolute, forms.ABSOLUTE, "source"), "name": Field.respelled(forms.NAME, "must be text")},
    refused={
        "content": f"is not supported: etcd stores the document in plain text; {_FILES_ONLY}",
        "environment": f"is not supported: the agent's environment is not read; {_FILES_ONLY}",
        "labels": "is not supported: a file has no labels; remove it",
        **dict.fromkeys(
            ("driver", "driver_opts", "external", "template_driver"), f"is not supported; {_FILES_ONLY}"
        ),
    },
)
CONFIG = Section(
    {**FILE.known, "content": Field(_content, forms.SCALAR)},
    refused={key: why for key, why in FILE.refused.items() if key != "content"},
)


def read_file(cursor: Cursor, kind: Kind) -> Mount | None:
    """Read a top-level secret or config: a mount of its file or content, without the target that each use has."""
    fields, found = (CONFIG if kind == "configs" else FILE).read(cursor)
    if (content := fields.at("content")) and "file" in fields:
        return content.hidden().conflict("stands beside 'file'", "keep one of them")
    if content is None and "file" not in fields:
        fields.missing("file", "write the absolute path of the file on the hosts", "content")
    return Mount(type="bind", target="", read_only=True, **found) if found else None


_SECRETS = "/run/secrets/"


class Use(Frozen):
    """A file that a service uses: its name in the document, and its path in the replicas."""

    name: str
    target: str
    place: Cursor


def read_uses(cursor: Cursor, kind: Kind) -> tuple[Use, ...]:
    """Read `secrets` or `configs` of a service: names, or mappings with a source and a target."""
    return tuple(use for place in cursor.items() if (use := _use(place, kind)))


def _usual(source: str, kind: Kind) -> str:
    return f"{_SECRETS}{source}" if kind == "secrets" else f"/{source}"


def _use_target(place: Cursor, kind: Kind) -> str | None:
    """Read the path of the file in the replica. For a secret it may be a name below /run/secrets."""
    written = text(place)
    if written is not None and kind == "secrets" and "/" not in written:
        source = name(place)
        return None if source is None else f"{_SECRETS}{source}"
    return None if written is None else target_of(place, written)


def _uses(kind: Kind) -> Section:
    return Section(
        {"source": Field(name, forms.NAME), "target": Field(None, forms.TEXT)},
        {"source": f"name one of the top-level {kind}"},
        dict.fromkeys(("uid", "gid", "mode"), _AS_IT_IS),
    )


USE = _uses("secrets")
USES = forms.list_of(forms.either(forms.NAME, USE.form))


def _use(place: Cursor, kind: Kind) -> Use | None:
    written: Cursor | None = None
    if place.is_mapping:
        fields, found = _uses(kind).read(place)
        source, written = found.get("source"), fields.at("target")
    else:
        source = name(place)
    if source is None:
        return None
    target = _usual(source, kind) if written is None else _use_target(written, kind)
    return None if target is None else Use(name=source, target=target, place=place)


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
        return place.fault("mounts over the container's root", "name a directory below it")
    if _is_below(target, _PROC) and not _is_below(source, _PROC) and target not in _OVER_PROC:
        problem = f"mounts '{target[:60]}', and no container starts without its own {_PROC}"
        return place.fault(problem, "name another directory")
    if target.startswith("/sys/") and not _IN_SYS.fullmatch(target):
        problem = f"mounts '{target[:60]}', and nobody can create that in /sys"
        return place.fault(problem, "name another directory")
    if target == _DEV and source != _DEV:
        problem = f"mounts over {_DEV}, and no container starts without its devices"
        return place.fault(problem, "name a directory below it")
    return target


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
    for place in cursor.items() if cursor.is_sequence else [cursor]:
        if (written := text(place)) is None:
            continue
        path, _, options = written.partition(":")
        target = target_of(place, path)
        if ":" in written and not _are_options(place, options):
            continue
        if target in found:
            place.conflict(f"mounts '{target}' a second time", "keep one of them")
        elif target is not None:
            found[target] = options
    return tuple(sorted(found.items()))


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
            place.fault(problem, place.guess(name, [*_VALUES, *_FLAGS], _EXAMPLE))
        else:
            seen.add(name)
            continue
        return False
    return True
