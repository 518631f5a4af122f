"""Another distribution on a host's disk: what an upgrade of the operating system leaves of it, and what it does not.

dockerd's and containerd's disks stay as they are; what KEPT names is set aside and laid into the new root
before it boots for the first time. A real upgrade keeps more (accounts, configuration): here the lab writes that again.
"""

import os
import shutil
from pathlib import Path

from integration.lab.base import Base

KEPT = {
    "/etc/machine-id": "root",
    "/var/lib/etcd": "etcd",
    "/var/lib/docker-registry": "docker-registry",
    "/var/lib/swarmkeeper": "root",  # systemd gives it to the agent's account, which comes with the package
}
"""What is kept, by path, and the account it belongs to."""


def set_aside(disk: Path) -> None:
    """Leave on a host's disk only what the next distribution on it shall find."""
    aside = disk / "kept"
    for path in KEPT:
        found = disk / "upper/root" / path.lstrip("/")
        if found.exists():
            (aside / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(found, aside / path.lstrip("/"))
    (disk / "prepared").unlink(missing_ok=True)
    for part in ("upper", "work"):
        shutil.rmtree(disk / part, ignore_errors=True)


def put_back(disk: Path, base: Base) -> None:
    """Lay what was set aside into a root that is being prepared; may be repeated."""
    for path, account in KEPT.items():
        kept = disk / "kept" / path.lstrip("/")
        if not kept.exists():
            continue
        target = disk / "upper/root" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if kept.is_dir():
            shutil.copytree(kept, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(kept, target)
        _give(target, *_ids(base, account))


def _ids(base: Base, account: str) -> tuple[int, int]:
    """User and group of an account as the base numbers them."""
    lines = base.path("/etc/passwd").read_text().splitlines()
    user, group = next(line.split(":")[2:4] for line in lines if line.startswith(f"{account}:"))
    return int(user), int(group)


def _give(place: Path, user: int, group: int) -> None:
    for each in (place, *place.rglob("*")):
        os.lchown(each, user, group)
