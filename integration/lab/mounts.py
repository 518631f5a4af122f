"""The mounts of a host: its root, and the views of the kernel it may have.

A host may set its own network's knobs and its own cgroups' limits. Everything else of the kernel it shares with
the machine is read-only, or systemd's boot would write the machine's settings (sysctl, kernel log, sysrq).
"""

import os
import stat
import uuid
from pathlib import Path

from integration.lab.cgroups import Hierarchy
from integration.lab.kernel import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, bind, make_read_only, mount
from integration.lab.rootfs import PLAIN, Layers, mount_volatile

SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC
DEVICES = {
    "null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9),
    "tty": (5, 0), "fuse": (10, 229), "net/tun": (10, 200),
}  # fmt: skip  # Documentation/admin-guide/devices.txt
DEV_LINKS = {
    "ptmx": "pts/ptmx", "fd": "/proc/self/fd",
    "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2",
}  # fmt: skip


def build_root(layers: Layers, disk: Path, hierarchies: tuple[Hierarchy, ...]) -> Path:
    """Mount a complete root in the caller's mount namespace and return where."""
    root = disk / "root"
    root.mkdir(exist_ok=True)
    layers.mount(root)
    mount_volatile(root)
    for name in PLAIN:
        (root / "var/lib" / name).mkdir(exist_ok=True)
        bind(disk / name, root / "var/lib" / name)
    _mount_proc(root / "proc", disk)
    mount("sysfs", root / "sys", "sysfs", SAFE | MS_RDONLY)
    _mount_cgroups(root / "sys/fs/cgroup", hierarchies)
    _mount_dev(root / "dev")
    return root


def _mount_proc(proc: Path, disk: Path) -> None:
    mount("proc", proc, "proc", SAFE)
    bind(proc / "sys", proc / "sys")
    bind(proc / "sys/net", proc / "sys/net")
    make_read_only(proc / "sys")
    for name in ("sysrq-trigger", "kmsg"):
        if (proc / name).exists():
            bind(Path("/dev/null"), proc / name)
    boot_id = disk / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n")
    bind(boot_id, proc / "sys/kernel/random/boot_id")


def _mount_cgroups(target: Path, hierarchies: tuple[Hierarchy, ...]) -> None:
    """The same trees as on the machine, each rooted at the host's own group."""
    if all(h.is_v2 for h in hierarchies):
        mount("cgroup2", target, "cgroup2", SAFE)
        return
    mount("tmpfs", target, "tmpfs", SAFE, "mode=755")
    for hierarchy in hierarchies:
        place = target / hierarchy.mount.name
        place.mkdir()
        if hierarchy.is_v2:
            mount("cgroup2", place, "cgroup2", SAFE)
        else:
            named = hierarchy.options.startswith("name=")
            mount("cgroup", place, "cgroup", SAFE, f"{'none,' if named else ''}{hierarchy.options}")
            for alias in hierarchy.options.split(","):
                if not named and alias != place.name:
                    (target / alias).symlink_to(place.name)


def _mount_dev(dev: Path) -> None:
    mount("dev", dev, "tmpfs", MS_NOSUID, "mode=755")
    for name in ("pts", "shm", "mqueue", "net"):
        (dev / name).mkdir()
    for name, (major, minor) in DEVICES.items():
        os.mknod(dev / name, stat.S_IFCHR, os.makedev(major, minor))
        (dev / name).chmod(0o666)
    for name, target in DEV_LINKS.items():
        (dev / name).symlink_to(target)
    mount("devpts", dev / "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=666,mode=620,gid=5")
    mount("shm", dev / "shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
