"""The lab's images, built from `integration/images/` without any docker: a layer is a tar, an image two JSON files.

Built byte for byte the same each time (https://github.com/opencontainers/image-spec, in the form Docker's
registry calls schema 2), so the same folder always has the same digest.
"""

import gzip
import hashlib
import io
import json
import platform
import struct
import subprocess
import tarfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from integration.lab.errors import LabError
from integration.lab.programs import REPOSITORY

FOLDER = REPOSITORY / "integration" / "images"
BASE = "base"  # below every image: busybox and the two programs all services share
SERVICES = ("api", "billing", "console", "order", "terminal")
TAGS = ("1.0.0", "1.0.1")
BUSYBOX = (REPOSITORY / "build/tools/bin/busybox", Path("/bin/busybox"))
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
LONG_AGO = "2024-01-01T00:00:00Z"
PT_INTERP = 3


@dataclass(frozen=True, slots=True)
class Blob:
    """Something a registry stores under the hash of its bytes."""

    media_type: str
    data: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "size": len(self.data), "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Image:
    """An image ready to be pushed as `repository:tag`."""

    repository: str
    tag: str
    config: Blob
    layers: tuple[Blob, ...]

    def manifest(self) -> Blob:
        body = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self.config.descriptor(),
            "layers": [layer.descriptor() for layer in self.layers],
        }
        return Blob(MANIFEST_TYPE, _json(body))


def build(service: str, tag: str, environment: Mapping[str, str] | None = None) -> Image:
    """The image of one service; tags differ only in the version they report, `environment` adds variables."""
    source = FOLDER / service
    if not (source / "image.toml").is_file():
        raise LabError(f"there is no image {service!r} in {FOLDER}")
    port = tomllib.loads((source / "image.toml").read_text())["port"]
    layers = (base_layer(), layer_of(files_of(source)))
    variables = {"PATH": "/bin", "SERVICE": service, "VERSION": tag, "PORT": str(port)} | dict(
        environment or {}
    )
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": LONG_AGO,
        "config": {
            "Entrypoint": ["/bin/serve"],
            "Env": [f"{key}={value}" for key, value in variables.items()],
            "ExposedPorts": {f"{port}/tcp": {}},
        },
        "rootfs": {"type": "layers", "diff_ids": [_diff_id(layer) for layer in layers]},
        "history": [{"created": LONG_AGO, "created_by": name} for name in (BASE, service)],
    }
    return Image(f"somecom/{service}", tag, Blob(CONFIG_TYPE, _json(config)), layers)


def _json(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _diff_id(layer: Blob) -> str:
    return f"sha256:{hashlib.sha256(gzip.decompress(layer.data)).hexdigest()}"


def files_of(source: Path) -> dict[str, bytes]:
    """What a folder puts into its image, by path; the description itself stays out."""
    found = (p for p in sorted(source.rglob("*")) if p.is_file() and p.name != "image.toml")
    return {str(p.relative_to(source)): p.read_bytes() for p in found}


@lru_cache
def base_layer() -> Blob:
    """The layer below the services: busybox, and what they share."""
    busybox = find_busybox()
    if busybox is None:
        raise LabError("the images need a static busybox (package busybox-static)")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    files = {"bin/busybox": busybox.read_bytes(), "etc/passwd": b"root:x:0:0:root:/:/bin/sh\n"}
    links = {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
    return layer_of(files | files_of(FOLDER / BASE), links, ("tmp",))


def find_busybox() -> Path | None:
    """A busybox of this machine that needs no library."""
    found = (p for p in BUSYBOX if p.is_file() and not _asks_for_a_loader(p.read_bytes()))
    return next(found, None)


def _asks_for_a_loader(program: bytes) -> bool:
    """Whether an ELF64 file has a PT_INTERP header, so needs libraries (elf(5))."""
    start, size, count = *struct.unpack_from("<Q", program, 32), *struct.unpack_from("<HH", program, 54)
    return any(struct.unpack_from("<I", program, start + i * size)[0] == PT_INTERP for i in range(count))


def layer_of(
    files: Mapping[str, bytes], links: Mapping[str, str] | None = None, empty: tuple[str, ...] = ()
) -> Blob:
    """A compressed tar of programs and folders, the same bytes on every machine and day."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in _folders(files) + list(empty):
            entry = _entry(path, tarfile.DIRTYPE)
            entry.mode = 0o1777 if path in empty else 0o755
            tar.addfile(entry)
        for path, data in sorted(files.items()):
            entry = _entry(path, tarfile.REGTYPE)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for path, target in sorted((links or {}).items()):
            entry = _entry(path, tarfile.SYMTYPE)
            entry.linkname = target
            tar.addfile(entry)
    return Blob(LAYER_TYPE, gzip.compress(raw.getvalue(), compresslevel=5, mtime=0))


def _entry(path: str, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = kind, 0o755
    return entry


def _folders(files: Mapping[str, bytes]) -> list[str]:
    return sorted({str(parent) for path in files for parent in Path(path).parents} - {"."})
