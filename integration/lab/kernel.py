"""The system calls Python 3.11 does not offer: namespaces, mounts, the root of a process.

Numbers are the kernel's (linux/sched.h, linux/mount.h, linux/prctl.h); they are the same on every architecture.
"""

import ctypes
import os
import signal
from pathlib import Path

CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWCGROUP = 0x80, 0x20000, 0x2000000
CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x4000000, 0x8000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 0x1000, 0x4000, 0x40000, 0x100000
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int | bytes | None) -> None:
    prepared = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    if getattr(libc, name)(*prepared) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Move this process (for PID and time: its future children) into new namespaces."""
    _call("unshare", flags)


def enter(namespace: int, kind: int) -> None:
    """Move the calling thread into the namespace behind an open file descriptor."""
    _call("setns", namespace, kind)


def die_with_parent() -> None:
    """Have the kernel kill this process the moment its parent is gone."""
    _call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def mount(source: str, target: Path, fstype: str = "", flags: int = 0, options: str = "") -> None:
    _call("mount", source.encode(), bytes(target), fstype.encode() or None, flags, options.encode() or None)


def bind(source: Path, target: Path) -> None:
    mount(str(source), target, flags=MS_BIND)


def make_read_only(target: Path) -> None:
    """Seal one bind mount; what is mounted below it keeps its own mode."""
    mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)


def become_root(new_root: Path) -> None:
    """Make `new_root` the root of this mount namespace and let go of the old one."""
    os.chdir(new_root)
    _call("pivot_root", b".", b".")  # pivot_root(2): the old root ends up stacked on top of the new one
    _call("umount2", b".", MNT_DETACH)
    os.chdir("/")
