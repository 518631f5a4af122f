"""A host's root: a base (this machine's distribution, or a tree of another) with nothing of any owner in it.

The root is an overlay with the base below and the host's own disk above. What belongs to the machine's owner is
hidden by *opaque* directories in the upper layer (Documentation/filesystems/overlayfs.rst): they show nothing of
what lies below and keep, over reboots, what the host writes. So only the packages are shared: no unit the owner
enabled, no configuration of docker, etcd or the network, no home, no state. A tree has no owner; of it only the
choice of units is replaced.
"""

import os
import shutil
import stat
import uuid
from pathlib import Path

from integration.lab.base import Base, find
from integration.lab.kernel import MS_NODEV, MS_NOSUID, mount
from integration.lab.reinstall import put_back
from integration.lab.spec import HostSpec

SEPARATE = (
    "/usr",
    "/var",
    "/var/lib",
)  # often file systems of their own, which an overlay of / does not cover
EMPTY = {"boot", "home", "media", "mnt", "opt", "root", "srv"}  # hier(7)
SYSTEM = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys", "usr", "var"}
VOLATILE = {"run": "755", "tmp": "1777"}
# Folders of /var/lib that lie on the disk itself: overlay mounts of dockerd and containerd want no overlay below them.
PLAIN = {"docker": 0o710, "containerd": 0o711}
PACKAGE_STATE = {"apt", "dpkg", "pam", "python", "ucf"}
OWNERS_ETC = (
    *("docker", "containerd", "etcd", "swarmkeeper", "prometheus", "cni", "ssh"),
    *("network", "netplan", "NetworkManager", "sysctl.d", "modules-load.d", "tmpfiles.d"),
    *("cron.d", "cron.hourly", "cron.daily", "cron.weekly", "cron.monthly"),
    *(f"rc{level}.d" for level in "0123456S"),
)
# Whether packages may start and stop services: container images forbid it.
POLICY = "/usr/sbin/policy-rc.d"
# Static units that would reach for the machine's kernel or hardware.
MASKED = (
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount", "dev-hugepages.mount"),
    *("systemd-modules-load.service", "proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service"),
    *("systemd-udevd.service", "systemd-udev-trigger.service", "systemd-networkd.service"),
)
GENERATORS = ("/usr/lib/systemd/system-generators", "/lib/systemd/system-generators")


class Layers:
    """The overlays of one host and where in their upper directories a path of the host lies."""

    def __init__(self, disk: Path, base: Base) -> None:
        self.disk, self.base = disk, base
        self.points = ["/", *(p for p in SEPARATE if base.is_machine and Path(p).is_mount())]

    def upper(self, path: str) -> Path:
        """Where the host's own version of an absolute path is stored."""
        point = max((p for p in self.points if Path(path).is_relative_to(p)), key=len)
        return self._store(point, "upper") / Path(path).relative_to(point)

    def _store(self, point: str, part: str) -> Path:
        return self.disk / part / (point.strip("/").replace("/", "-") or "root")

    def make(self) -> None:
        for point in self.points:
            for part in ("upper", "work"):
                self._store(point, part).mkdir(parents=True, exist_ok=True)

    def mount(self, target: Path) -> None:
        for point in self.points:
            upper, work = self._store(point, "upper"), self._store(point, "work")
            options = f"lowerdir={self.base.path(point)},upperdir={upper},workdir={work}"
            mount("root", target / point.strip("/"), "overlay", options=options)

    # -- writing, before anything is mounted

    def directory(self, path: str) -> Path:
        """The upper side of a directory, made with the owner and mode the distribution gave it."""
        target = self.upper(path)
        if not target.is_dir():
            if path != "/":
                self.directory(os.path.dirname(path))  # noqa: PTH120  (text paths throughout: they are the host's)
            target.mkdir(exist_ok=True)
            below = self.base.path(path)
            if below.is_dir():
                known = below.stat()
                os.chown(target, known.st_uid, known.st_gid)
                target.chmod(stat.S_IMODE(known.st_mode))
        return target

    def empty(self, path: str) -> None:
        """Let the host find an empty directory where the base has its own."""
        below = self.base.path(path)
        if below.is_dir() and not below.is_symlink():
            os.setxattr(self.directory(path), "trusted.overlay.opaque", b"y")

    def hide(self, path: str) -> None:
        """Let the host find nothing where the machine has something."""
        os.mknod(self.directory(os.path.dirname(path)) / Path(path).name, stat.S_IFCHR)  # noqa: PTH120

    def write(self, path: str, text: str) -> None:
        (self.directory(os.path.dirname(path)) / Path(path).name).write_text(text)  # noqa: PTH120

    def link(self, path: str, to: str) -> None:
        place = self.directory(os.path.dirname(path)) / Path(path).name  # noqa: PTH120
        place.unlink(missing_ok=True)
        place.symlink_to(to)


def prepare(spec: HostSpec, disk: Path) -> Layers:
    """Lay out the upper side of a host's root on its disk, once; a disk half laid out is laid out again."""
    layers = Layers(disk, find(spec.base))
    done = disk / "prepared"
    if not done.exists():
        shutil.rmtree(disk / "upper", ignore_errors=True)
        layers.make()
        if layers.base.is_machine:
            _hide_the_owner(layers)
        _name_the_host(layers, spec)
        _choose_units(layers, spec)
        for path, text in spec.files.items():
            layers.write(path, text)
        put_back(disk, layers.base)
        for name, mode in PLAIN.items():
            (disk / name).mkdir(mode=mode, exist_ok=True)
        done.touch()
    return layers


def _hide_the_owner(layers: Layers) -> None:
    for entry in os.scandir("/"):
        if entry.name in EMPTY:
            layers.empty(f"/{entry.name}")
        elif entry.name not in SYSTEM | VOLATILE.keys() and not entry.is_symlink():
            layers.hide(f"/{entry.name}")
    for name in OWNERS_ETC:
        layers.empty(f"/etc/{name}")
    for entry in os.scandir("/var"):
        if entry.name not in {"lib", "cache"}:
            layers.empty(f"/var/{entry.name}")
    for entry in os.scandir("/var/lib"):
        if entry.name not in PACKAGE_STATE:
            layers.empty(f"/var/lib/{entry.name}")
    layers.empty("/usr/local")
    if Path(POLICY).exists():
        layers.hide(POLICY)


def _name_the_host(layers: Layers, spec: HostSpec) -> None:
    layers.write("/etc/hostname", f"{spec.name}\n")
    layers.write("/etc/machine-id", f"{uuid.uuid4().hex}\n")
    layers.write("/etc/fstab", "")
    layers.directory("/var/log/journal")  # there: the journal is kept over reboots
    # Empty, not unreachable: a nameserver that does not answer stalls grpc's resolver for seconds.
    layers.write("/etc/resolv.conf", "")


def _choose_units(layers: Layers, spec: HostSpec) -> None:
    units = "/etc/systemd/system"
    layers.empty("/etc/systemd")  # installing a package enables its units
    layers.link(f"{units}/default.target", "/lib/systemd/system/multi-user.target")
    for unit in MASKED:
        layers.link(f"{units}/{unit}", "/dev/null")
    for unit, target in spec.units:
        layers.link(f"{units}/{target}.wants/{unit}", f"/lib/systemd/system/{unit}")
    # Generators turn the machine's fstab, init scripts and cloud settings into units: none of these is the
    # host's.
    for directory in GENERATORS:
        if layers.base.path(directory).is_dir():
            for generator in os.scandir(layers.base.path(directory)):
                layers.link(f"/etc/systemd/system-generators/{generator.name}", "/dev/null")


def mount_volatile(root: Path) -> None:
    for name, mode in VOLATILE.items():
        mount("tmpfs", root / name, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")
