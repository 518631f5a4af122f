"""Working in a base without booting it: `script/lab inside debian-13 script/test tests`.

The process gets the base for its root, with this machine's network, devices, /tmp and this repository at its own place.
`.venv` and `build` are the base's own (`build/<base>/` outside), so every script works there as it does here. Whatever
else is written is gone with the process.
"""

import os
import subprocess
from pathlib import Path
from typing import NoReturn

from integration.lab import kernel
from integration.lab.base import Base
from integration.lab.debootstrap import make, scratch_of
from integration.lab.programs import REPOSITORY

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHARED = ("/proc", "/sys", "/dev", "/tmp", "/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt")


def own_build(base: Base) -> Path:
    """What is `build` inside a base, as it is seen outside."""
    return REPOSITORY / "build" if base.is_machine else REPOSITORY / "build" / base.name


def run(base: Base, command: list[str]) -> NoReturn:
    """Become a command in the base. Raises LabError if there is no such base."""
    if not base.is_machine:
        make(base)
        _enter(base)
    os.chdir(REPOSITORY)
    os.execvpe(command[0], command, os.environ | {"PATH": PATH})


def _enter(base: Base) -> None:
    own = own_build(base)
    (own / "venv").mkdir(parents=True, exist_ok=True)
    scratch = scratch_of(base)
    scratch.mkdir(exist_ok=True)
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", Path("/"), flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", scratch, "tmpfs")
    root, upper, work = (scratch / name for name in ("root", "upper", "work"))
    for folder in (root, upper, work):
        folder.mkdir()
    kernel.mount("root", root, "overlay", options=f"lowerdir={base.root},upperdir={upper},workdir={work}")
    for path in SHARED:
        _show(Path(path), root)
    _show(REPOSITORY, root)
    if (history := _history()) and not history.is_relative_to(REPOSITORY):
        _show(history, root)
    _show(own, root, REPOSITORY / "build")
    _show(own / "venv", root, REPOSITORY / ".venv")
    kernel.become_root(root)


def _history() -> Path | None:
    """The folder of git's own, which lies elsewhere when this checkout is a second one (git-worktree(1))."""
    command = ["git", "rev-parse", "--path-format=absolute", "--git-common-dir"]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def _show(source: Path, root: Path, place: Path | None = None) -> None:
    """Bind something of the machine into the new root, at the same place unless told otherwise."""
    target = root / (place or source).relative_to("/")
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.touch()
    kernel.mount(str(source), target, flags=kernel.MS_BIND | kernel.MS_REC)
