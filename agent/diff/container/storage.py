"""Mounts, tmpfs, shm_size and read_only. Volumes that the image declares are not compared, so never drift."""

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any, get_args

from agent.diff.container.row import Body, Default, FieldMapping, Found, place, plain, size
from agent.model.phrases import short_id
from agent.model.spec import ContainerSpec, Mount, Pairs, Relabel

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_LABELS: tuple[Relabel, ...] = get_args(Relabel)
_MODE_OF_TMPFS = 0o1777
"""Of the engine, where none is declared."""
_FACTORS = {"b": 1, "k": 2**10, "m": 2**20, "g": 2**30}


_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
"""Docker's name of an anonymous volume."""


def is_anonymous(volume: str) -> bool:
    """Return True if Docker chose the name of the volume: nobody declared it."""
    return bool(_ANONYMOUS.fullmatch(volume))


def carried_volumes(spec: ContainerSpec, of_image: Collection[str], before: Pairs) -> Pairs:
    """Return those of the replica's anonymous volumes (path, name) that a new container of `spec` mounts again.

    The spec has an anonymous volume at the path, or the image (`of_image`) declares one where the spec mounts nothing.
    """
    declared = {each.target: each for each in spec.volumes}
    taken = declared.keys() | dict(spec.tmpfs).keys()
    bare = {path for path, each in declared.items() if each.type == "volume" and not each.source}
    return tuple(each for each in before if each[0] in bare or (each[0] in of_image and each[0] not in taken))


def with_carried(spec: ContainerSpec, carried: Pairs) -> ContainerSpec:
    """Return the spec with these volumes mounted, instead of the anonymous ones that it has at their paths."""
    names, declared = dict(carried), {each.target for each in spec.volumes}
    named = (replace(each, source=each.source or names.get(each.target)) for each in spec.volumes)
    more = (Mount(type="volume", target=path, source=name) for path, name in carried if path not in declared)
    return replace(spec, volumes=(*named, *more)) if carried else spec


def _bound_by_text(mount: Mount) -> bool:
    """Return True if a bind must go into `Binds`: only there does every engine create the host path and relabel it."""
    needs_text = mount.create_host_path or mount.relabel
    return mount.type == "bind" and bool(needs_text) and ":" not in f"{mount.source}{mount.target}"


def _bind_text(mount: Mount) -> str:
    given = ("ro" if mount.read_only else "", mount.relabel or "", mount.propagation or "")
    options = [each for each in given if each]
    return ":".join([str(mount.source), mount.target, *([",".join(options)] if options else [])])


CONFIGS = "configs"
"""The folder of the files with the contents of configs, below the state directory of a host."""
_CONFIG = re.compile(rf"/(?:.*/)?{CONFIGS}/([0-9a-f]{{64}})")


def _source(mount: Mount) -> str:
    """Return the source; for a content that no host has placed yet, one that is compared as those of every host."""
    return mount.source or (f"/{CONFIGS}/{mount.content_hash}" if mount.content_hash else "")


def _raw_mount(mount: Mount) -> dict[str, Any]:
    raw: dict[str, Any] = {"Type": mount.type, "Target": mount.target, "ReadOnly": mount.read_only}
    if source := _source(mount):
        raw["Source"] = source
    if mount.propagation:
        raw["BindOptions"] = {"Propagation": mount.propagation}
    if mount.nocopy:
        raw["VolumeOptions"] = {"NoCopy": True}
    sizes = {"SizeBytes": mount.tmpfs_size_bytes, "Mode": mount.tmpfs_mode}
    if given := {key: value for key, value in sizes.items() if value is not None}:
        raw["TmpfsOptions"] = given
    return raw


def _put_volumes(spec: ContainerSpec, body: Body) -> None:
    if texts := [_bind_text(each) for each in spec.volumes if _bound_by_text(each)]:
        place(body, "HostConfig.Binds", texts)
    if mounts := [_raw_mount(each) for each in spec.volumes if not _bound_by_text(each)]:
        place(body, "HostConfig.Mounts", mounts)


def _phrase(mount: Mount) -> str:
    """Return the line of text by which mounts are compared: equal mounts have equal lines."""
    options = [
        "ro" if mount.read_only else "",
        mount.propagation if mount.propagation and mount.propagation != "rprivate" else "",
        mount.relabel or "",
        "nocopy" if mount.nocopy else "",
        f"size={mount.tmpfs_size_bytes}" if mount.tmpfs_size_bytes else "",
        f"mode={mount.tmpfs_mode:o}" if mount.tmpfs_mode not in (None, _MODE_OF_TMPFS) else "",
    ]
    source = _source(mount) or ("anonymous" if mount.type == "volume" else "")
    if mount.type == "bind" and (config := _CONFIG.fullmatch(source)):
        source = f"config {short_id(config[1])}"
    text = ",".join(each for each in options if each)
    return f"{mount.type} {source}:{mount.target}" + (f" ({text})" if text else "")


def _of_raw(raw: dict[str, Any]) -> Mount:
    tmpfs = raw.get("TmpfsOptions") or {}
    return Mount(
        type=raw["Type"],
        target=raw["Target"],
        source=raw.get("Source") or None,
        read_only=bool(raw.get("ReadOnly")),
        propagation=(raw.get("BindOptions") or {}).get("Propagation") or None,
        nocopy=bool((raw.get("VolumeOptions") or {}).get("NoCopy")),
        tmpfs_size_bytes=tmpfs.get("SizeBytes") or None,
        tmpfs_mode=tmpfs.get("Mode"),
    )


def _of_text(text: str) -> Mount:
    """Parse an entry of `Binds`, source:target[:options]. A source that does not begin with / names a volume."""
    source, target, options = (*text.split(":", 2), "")[:3]
    given = set(options.split(","))
    return Mount(
        type="bind" if source.startswith("/") else "volume",
        target=target,
        source=source,
        read_only="ro" in given,
        propagation=next((each for each in PROPAGATIONS if each in given), None),
        relabel=next((each for each in _LABELS if each in given), None),
        nocopy="nocopy" in given,
    )


def _anonymous(found: Found) -> set[str]:
    """Return targets of anonymous volumes (`docker run -v /path`) that the image, if known, does not declare."""
    if found.image is None:
        return set()
    return set(found.at("Config.Volumes") or ()) - set(found.image_at("Config.Volumes") or ())


def _wanted_volumes(spec: ContainerSpec, found: Found) -> frozenset[str]:
    """Return the lines of the mounts of the spec, and of the carried volumes that only the image declares."""
    mounts = [_of_raw(each) for each in found.at("HostConfig.Mounts") or ()]
    volumes = (each for each in mounts if each.type == "volume")
    carried = {each.target: each for each in volumes if is_anonymous(each.source or "")}
    bare = {each.target for each in spec.volumes if each.type == "volume" and not each.source}
    # A carried volume has the name that the container shows.
    named = {target: carried[target].source for target in bare & carried.keys()}
    declared = [replace(each, source=named.get(each.target, each.source)) for each in spec.volumes]
    of_image = carried.keys() if found.image is None else found.image_at("Config.Volumes") or {}
    others = carried.keys() - {each.target for each in spec.volumes}
    more = [carried[target] for target in others if target in of_image]
    return frozenset(map(_phrase, (*declared, *more)))


def _found_volumes(found: Found) -> frozenset[str]:
    mounts = [_of_raw(each) for each in found.at("HostConfig.Mounts") or ()]
    texts = [_of_text(each) for each in found.at("HostConfig.Binds") or ()]
    taken = {each.target for each in (*mounts, *texts)}
    bare = [Mount(type="volume", target=each) for each in _anonymous(found) - taken]
    borrowed = {f"volumes of container {each}" for each in found.at("HostConfig.VolumesFrom") or ()}
    return frozenset(map(_phrase, (*mounts, *texts, *bare))) | borrowed


def _tmpfs_option(text: str) -> str:
    key, _, value = text.partition("=")
    factor = _FACTORS.get(value[-1:].lower())
    if key != "size" or factor is None or not value[:-1].isdigit():
        return text
    return f"{key}={int(value[:-1]) * factor}"


def _tmpfs(value: Pairs | dict[str, str]) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else value
    return {path: ",".join(sorted(map(_tmpfs_option, filter(None, text.split(","))))) for path, text in pairs}


ROWS = (
    FieldMapping(
        field="volumes", at="HostConfig.Mounts, HostConfig.Binds", default="the image's", put=_put_volumes,
        wanted=_wanted_volumes, found=_found_volumes,
    ),
    plain("tmpfs", "HostConfig.Tmpfs", default={}, normal=_tmpfs, write=dict),
    plain(
        "shm_size_bytes", "HostConfig.ShmSize", default=Default.ENGINE, read=lambda raw: raw, show=size,
        word="shm_size", usual=64 << 20,
    ),
    plain("read_only", "HostConfig.ReadonlyRootfs", default=False, normal=bool),
)  # fmt: skip
