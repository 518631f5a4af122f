"""Images of real programs: Debian's packages, unpacked into one layer without a docker and without their scripts.

The folder of an image (below integration/stacks) has what we add to the packages, and an image.toml: the names it is
pushed under, its packages, its configuration as the registry has it, and perhaps another folder of `files`.
Layers of packages are kept on this machine beside the trees of the bases, by what they are made of: the download and
the unpacking happen once.
"""

import gzip
import hashlib
import json
import os
import platform
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

from integration.lab import route
from integration.lab.base import store
from integration.lab.errors import LabError
from integration.lab.images import (
    ARCHITECTURES,
    CONFIG_TYPE,
    LAYER_TYPE,
    LONG_AGO,
    Blob,
    Image,
    base_layer,
    files_of,
    layer_of,
)
from integration.lab.programs import REPOSITORY

FOLDER = REPOSITORY / "integration" / "stacks"
ALWAYS = ("busybox-static", "libc6")
"""Besides what an image asks for: a shell, and what every program is linked to."""
LEFT_OUT = (
    "usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*", "usr/share/i18n/*",
    "usr/share/bash-completion/*", "usr/share/lintian/*", "usr/share/icons/*", "usr/lib/systemd/*", "lib/systemd/*",
    "var/cache/*", "usr/lib/*/gconv/*", "usr/lib/*/perl*", "usr/share/perl*", "usr/bin/perl*", "usr/*bin/dpkg*",
    "usr/share/zoneinfo/*",
)  # fmt: skip
MERGED = ("bin", "lib", "lib64", "sbin")
"""Links into /usr, as every Debian has them."""
FORM = "1"
"""Of the layers that are kept: another one makes them again."""
ERROR_END = 800


def build(name: str, tag: str = "", environment: Mapping[str, str] | None = None) -> list[Image]:
    """Return an image under each of its names, or under its first with another `tag` and `environment` as well.

    Raises LabError if there is no such image, or apt or dpkg fails.
    """
    folder = FOLDER / name
    if not (folder / "image.toml").is_file():
        raise LabError(f"there is no image {name!r} in {FOLDER}")
    asked = tomllib.loads((folder / "image.toml").read_text())
    packages = tuple(sorted(asked.get("packages", ())))
    layers = (
        packages_layer(packages, tuple(asked.get("leave_out", ()))) if packages else base_layer(),
        layer_of(files_of(folder) | (files_of(FOLDER / asked["files"]) if "files" in asked else {})),
    )
    config = dict(asked["config"])
    variables = dict(each.split("=", 1) for each in config.get("Env", ())) | dict(environment or {})
    config["Env"] = [f"{key}={value}" for key, value in variables.items()]
    body = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": LONG_AGO,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [_diff_id(layer) for layer in layers]},
        "history": [{"created": LONG_AGO, "created_by": each} for each in ("packages", name)],
    }
    blob = Blob(CONFIG_TYPE, json.dumps(body, separators=(",", ":")).encode())
    found = [each.rpartition(":")[::2] for each in asked["names"]]
    if tag:
        found = [(found[0][0], tag)]
    return [Image(repository, each, blob, layers) for repository, each in found]


@lru_cache
def packages_layer(packages: tuple[str, ...], left_out: tuple[str, ...] = ()) -> Blob:
    """The layer with these packages and all they depend on; from the store, if it was made before."""
    made_of = json.dumps([FORM, platform.machine(), _release(), packages, left_out, LEFT_OUT, ALWAYS])
    kept = store() / "images" / f"{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.tar.gz"
    if not kept.exists():
        with route.locked("images"):  # another process may have made it meanwhile
            if not kept.exists():
                _make(kept, packages, left_out)
    return Blob(LAYER_TYPE, kept.read_bytes())


@lru_cache
def _diff_id(layer: Blob) -> str:
    return f"sha256:{hashlib.sha256(gzip.decompress(layer.data)).hexdigest()}"


def _release() -> str:
    return Path("/etc/debian_version").read_text().partition(".")[0].strip()


def _make(kept: Path, packages: tuple[str, ...], left_out: tuple[str, ...]) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        archives, tree, fresh = Path(scratch, "archives"), Path(scratch, "tree"), Path(scratch, "layer")
        (archives / "partial").mkdir(parents=True)
        _download(archives, (*packages, *ALWAYS))
        _unpack(archives, tree)
        _link_applets(tree)
        _pack(tree, (*LEFT_OUT, *left_out), fresh)
        fresh.rename(kept)  # complete under its name, or not there


def _download(archives: Path, packages: tuple[str, ...]) -> None:
    """Fetch packages and what they depend on, as apt would for a machine without any; it checks the signatures."""
    options = ("Dir::State::status=/dev/null", f"Dir::Cache::archives={archives}", "Debug::NoLocking=1",
               "APT::Sandbox::User=root")  # fmt: skip
    flags = [part for option in options for part in ("-o", option)]
    _run("apt-get", "-qq", "-y", *flags, "--download-only", "--no-install-recommends", "install", *packages)


def _unpack(archives: Path, tree: Path) -> None:
    for name in MERGED:
        (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
    for package in sorted(archives.glob("*.deb")):
        _run("sh", "-c", 'dpkg-deb --fsys-tarfile "$0" | tar -x --keep-directory-symlink -C "$1"', str(package),
             str(tree))  # fmt: skip


def _link_applets(tree: Path) -> None:
    """Give busybox's programs their names, where no package has one of that name."""
    for applet in _run(str(tree / "bin/busybox"), "--list").split():
        places = [tree / "usr" / folder / applet for folder in ("bin", "sbin")]
        if not any(place.exists() or place.is_symlink() for place in places):
            places[0].symlink_to("busybox")


def _pack(tree: Path, left_out: tuple[str, ...], to: Path) -> None:
    """Write the tree as a layer of files of root's, all from the same day."""

    def as_it_goes_in(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if any(fnmatch(entry.name.removeprefix("./"), pattern) for pattern in left_out):
            return None
        entry.mtime = entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    with gzip.open(to, "wb", compresslevel=5) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for path in sorted(tree.iterdir()):
            tar.add(path, path.name, filter=as_it_goes_in)


def _run(*argv: str) -> str:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise LabError(f"{argv[0]} ended with {done.returncode}: {done.stderr[-ERROR_END:].strip()}")
    return done.stdout
