"""What the lab needs of the machine and of the hosts' base, said at once and in words before anything is touched."""

import os
from pathlib import Path

from integration.lab.base import MACHINE, Base
from integration.lab.errors import LabError
from integration.lab.images import find_busybox

TOOLS = {"ip": "iproute2", "nsenter": "util-linux", "mkfs.ext4": "e2fsprogs"}
PROGRAMS = {
    "dockerd": "docker.io (or Docker CE)",
    "containerd": "containerd",
    "etcd": "etcd-server",
    "etcdctl": "etcd-client",
    "iptables": "iptables",
    "ebtables-nft": "iptables",
    "ip": "iproute2",
    "docker-registry": "docker-registry",
}
UNITS = ("docker.service", "docker.socket", "containerd.service", "etcd.service", "docker-registry.service")
INIT = "/lib/systemd/systemd"
# Where packages install; what lies in /usr/local is hidden in the hosts.
PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")


def check_machine(base: Base) -> None:
    """Raise LabError naming everything that is missing for a lab of such hosts; change nothing."""
    if os.geteuid() != 0:
        raise LabError("the lab boots real systems: it needs root (sudo)")
    missing = _lacking(MACHINE, TOOLS)
    missing += [
        f"the kernel's {name} namespaces" for name in ("time", "cgroup", "pid", "net") if not _knows(name)
    ]
    missing += [] if find_busybox() else ["a static busybox (package busybox-static)"]
    if missing:
        raise LabError("this machine lacks: " + ", ".join(missing))
    missing = _lacking(base, PROGRAMS)
    missing += [f"the unit {unit}" for unit in UNITS if not _has(base, f"/lib/systemd/system/{unit}")]
    missing += [] if _has(base, INIT) else [f"{INIT} (package systemd)"]
    if missing:
        raise LabError(f"the base {base.name} lacks: " + ", ".join(missing))


def _lacking(base: Base, programs: dict[str, str]) -> list[str]:
    return [
        f"{program} (package {package})"
        for program, package in programs.items()
        if not any(_has(base, f"{folder}/{program}") for folder in PATH)
    ]


def _has(base: Base, path: str) -> bool:
    # A link counts as it stands: an absolute one of another tree leads nowhere here.
    return os.path.lexists(base.path(path))


def _knows(namespace: str) -> bool:
    return Path("/proc/self/ns", namespace).exists()
