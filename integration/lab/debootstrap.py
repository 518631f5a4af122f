"""Making a base's tree: Debian's own debootstrap, into a folder that appears under its name when it is complete.

A file in the tree lists what it was made of. When that is no longer what is wanted, the tree is made again, unless
hosts run on it.
"""

import os
import shutil
import subprocess
from pathlib import Path

from integration.lab import route
from integration.lab.base import Base, store, users
from integration.lab.errors import LabError
from integration.lab.programs import REPOSITORY

MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RECIPE = "/etc/swarmkeeper-lab"
TOOLS = REPOSITORY / "build/tools"
# Beside script/packages.txt: what every machine has anyway, and what is a package of its own since Debian 13 (docker).
BESIDES = ("ca-certificates", "docker-cli", "iputils-ping", "procps", "python3", "systemd-sysv")
LOG_END = 800


def make(base: Base) -> None:
    """Have the base's tree there, complete; takes minutes and the network only when it is not. Raises LabError."""
    if base.is_machine or _is_as_wanted(base):
        return
    with route.locked(f"base.{base.name}"):  # no lab has a dot in its name
        if _is_as_wanted(base):  # another process made it meanwhile
            return
        _refuse_if_used(base)
        _debootstrap(base)


def remove(base: Base) -> None:
    """Remove the base's tree and what a killed `make` left of one. Raises LabError if a host runs on it."""
    if base.is_machine:
        raise LabError("this machine's own distribution stays")
    with route.locked(f"base.{base.name}"):
        _refuse_if_used(base)
        for place in (base.root, _unfinished(base), _log(base), scratch_of(base)):
            _delete(place)


def is_made(base: Base) -> bool:
    return base.root.is_dir()


def recipe(base: Base) -> str:
    """What the tree is made of, as it is written into it."""
    return f"{base.suite}\n{os.environ.get('SWARMKEEPER_MIRROR', MIRROR)}\n{' '.join(_packages())}\n"


def _packages() -> list[str]:
    lines = (REPOSITORY / "script/packages.txt").read_text().splitlines()
    return sorted({*BESIDES, *(line.split()[0] for line in lines if line and not line.startswith("#"))})


def _is_as_wanted(base: Base) -> bool:
    written = base.path(RECIPE)
    return written.is_file() and written.read_text() == recipe(base)


def _refuse_if_used(base: Base) -> None:
    if count := users(base):
        raise LabError(f"{count} processes run on the base {base.name} in {base.root}: take their labs down")


def _debootstrap(base: Base) -> None:
    fresh, log = _unfinished(base), _log(base)
    store().mkdir(parents=True, exist_ok=True)
    _delete(fresh)
    suite, mirror, packages = recipe(base).splitlines()
    program, environment = _find_program()
    # In namespaces of its own: what it mounts goes with it, and nothing of it outlives this process.
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    options = [f"--keyring={KEYRING}", "--variant=minbase", f"--include={packages.replace(' ', ',')}"]
    with log.open("w") as file:
        done = subprocess.run(
            [*apart, program, *options, suite, str(fresh), mirror],
            stdout=file, stderr=file, env=os.environ | environment, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        raise LabError(f"debootstrap of {base.name} failed, see {log}: {log.read_text()[-LOG_END:].strip()}")
    for package in (fresh / "var/cache/apt/archives").glob("*.deb"):
        package.unlink()
    (fresh / RECIPE.lstrip("/")).write_text(recipe(base))
    _delete(base.root)
    fresh.rename(base.root)


def _find_program() -> tuple[str, dict[str, str]]:
    """The program of this machine or, where it is not installed, unpacked beside the repository's other tools."""
    if found := shutil.which("debootstrap"):
        return found, {}
    unpacked = TOOLS / "usr/share/debootstrap"
    if not unpacked.is_dir():
        TOOLS.mkdir(parents=True, exist_ok=True)
        script = "apt-get download -qq debootstrap && dpkg-deb -x debootstrap_*.deb ."
        done = subprocess.run(["sh", "-c", script], cwd=TOOLS, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"this machine lacks debootstrap, and it cannot be had: {done.stderr.strip()}")
    return str(TOOLS / "usr/sbin/debootstrap"), {"DEBOOTSTRAP_DIR": str(unpacked)}


def scratch_of(base: Base) -> Path:
    """A folder to mount things on, for who works in the base without booting it."""
    return base.root.with_suffix(".inside")


def _unfinished(base: Base) -> Path:
    return base.root.with_suffix(".new")


def _log(base: Base) -> Path:
    return base.root.with_suffix(".log")


def _delete(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
