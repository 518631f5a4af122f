"""What the lab needs of the machine, said at once and in words before anything is touched."""

import os
import shutil
from pathlib import Path

from integration.lab.errors import LabError
from integration.lab.images import find_busybox

PROGRAMS = {
    "dockerd": "docker.io (or Docker CE)",
    "containerd": "containerd",
    "etcd": "etcd-server",
    "etcdctl": "etcd-client",
    "iptables": "iptables",
    "ebtables-nft": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mkfs.ext4": "e2fsprogs",
    "docker-registry": "docker-registry",
}
UNITS = ("docker.service", "docker.socket", "containerd.service", "etcd.service", "docker-registry.service")
INIT = Path("/lib/systemd/systemd")
PATH = (
    "/usr/sbin:/usr/bin:/sbin:/bin"  # where packages install; what lies in /usr/local is hidden in the hosts
)


def check_machine() -> None:
    """Raise LabError naming everything that is missing for a lab; change nothing."""
    if os.geteuid() != 0:
        raise LabError("the lab boots real systems: it needs root (sudo)")
    missing = [f"{program} (package {package})" for program, package in PROGRAMS.items() if not _has(program)]
    missing += [f"the unit {unit}" for unit in UNITS if not Path("/lib/systemd/system", unit).exists()]
    missing += [] if INIT.exists() else [f"{INIT} (package systemd)"]
    missing += [
        f"the kernel's {name} namespaces" for name in ("time", "cgroup", "pid", "net") if not _knows(name)
    ]
    missing += [] if find_busybox() else ["a static busybox (package busybox-static)"]
    if missing:
        raise LabError("this machine lacks: " + ", ".join(missing))


def _has(program: str) -> bool:
    return shutil.which(program, path=PATH) is not None


def _knows(namespace: str) -> bool:
    return Path("/proc/self/ns", namespace).exists()
