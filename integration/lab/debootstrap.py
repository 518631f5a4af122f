"""Making a base's tree: Debian's own debootstrap, into a folder that appears under its name when it is complete.

Packages of sid are installed in the tree after that, by its own apt.
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
BESIDES = (
    "ca-certificates", "docker-cli", "iputils-ping", "openssh-client", "openssh-server", "procps", "python3",
    "systemd-sysv",
)  # fmt: skip
# No host of a lab needs them: they are for tests on the machine itself.
NOT_IN_LABS = ("chromium-headless-shell",)
LOG_END = 800
# Run with the suite as $0 and the tree as $1, then the mirror and the packages. The default release keeps all else at
# the suite; policy-rc.d(8) forbids the packages to start their services. As debootstrap, it takes a mirror that is
# behind: signatures are checked, the date is not.
FROM_SID = """
tree=$1 mirror=$2; shift 2
mount -t proc proc "$tree/proc"
echo "deb $mirror sid main" >"$tree/etc/apt/sources.list.d/sid.list"
printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
chroot "$tree" apt-get update -q -o Acquire::Check-Valid-Until=false
chroot "$tree" apt-get install -qy --no-install-recommends -o "APT::Default-Release=$0" $(printf '%s/sid ' "$@")
rm "$tree/usr/sbin/policy-rc.d"
rm -r "$tree"/var/lib/apt/lists/*
"""


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
    of_sid = f"sid: {' '.join(base.from_sid)}\n" if base.from_sid else ""
    return f"{base.suite}\n{_mirror()}\n{' '.join(_packages(base))}\n{of_sid}"


def _mirror() -> str:
    return os.environ.get("SWARMKEEPER_MIRROR", MIRROR)


def _packages(base: Base) -> list[str]:
    """The packages that are of the base's own suite."""
    lines = (REPOSITORY / "script/packages.txt").read_text().splitlines()
    wanted = {*BESIDES, *(line.split()[0] for line in lines if line and not line.startswith("#"))}
    return sorted(wanted - {*base.from_sid, *NOT_IN_LABS})


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
    program, environment = _find_program()
    # In namespaces of its own: what it mounts goes with it, and nothing of it outlives this process.
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    options = [f"--keyring={KEYRING}", "--variant=minbase", f"--include={','.join(_packages(base))}"]
    commands = [[program, *options, base.suite, str(fresh), _mirror()]]
    if base.from_sid:
        commands.append(["sh", "-ec", FROM_SID, base.suite, str(fresh), _mirror(), *base.from_sid])
    with log.open("w") as file:
        for command in commands:
            done = subprocess.run(
                [*apart, *command], stdout=file, stderr=file, env=os.environ | environment, check=False
            )
            if done.returncode != 0:
                said = log.read_text()[-LOG_END:].strip()
                raise LabError(f"debootstrap of {base.name} failed, see {log}: {said}")
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
