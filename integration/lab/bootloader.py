"""The program that becomes a host: `python -m integration.lab.bootloader SPEC.json PARENT`.

Three processes, all in the host's cgroup so that nothing has to be remembered elsewhere:
the *supervisor* stays and boots again when the host reboots itself; the *guardian*, one per boot, owns the new
network, time and PID namespaces; its child mounts the host's root and becomes systemd. The guardian reaps that
child, because a dead PID 1 nobody reaps keeps its namespaces for seconds.
"""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from integration.lab import kernel
from integration.lab.cgroups import LAN, PAYLOAD, SUPERVISOR, Cgroups
from integration.lab.disk import attach
from integration.lab.mounts import build_root
from integration.lab.network import cable_script
from integration.lab.programs import register
from integration.lab.rootfs import prepare
from integration.lab.spec import HostSpec

INIT = "/lib/systemd/systemd"
REBOOT, OFF, FAILED = 10, 0, 1  # how a guardian ends
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Child:
    """A forked process that is ended, by the signal given, when this one is asked to end."""

    def __init__(self, end_with: signal.Signals) -> None:
        self.end_with = end_with
        self.pid = 0
        self.ending = False
        signal.signal(signal.SIGTERM, self._on_term)

    def _on_term(self, _number: int, _frame: FrameType | None) -> None:
        self.ending = True
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, self.end_with)

    def fork(self) -> bool:
        """True in the child."""
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            kernel.die_with_parent()
            return True
        if self.ending:
            os.kill(self.pid, self.end_with)
        return False

    def wait(self) -> int:
        """Exit code, or minus the signal's number."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


def supervise(spec: HostSpec) -> int:
    guardian = Child(end_with=signal.SIGTERM)
    while not guardian.ending:
        if guardian.fork():
            guard(spec)
        code = guardian.wait()
        if code < 0:
            _say(spec, f"the guardian of its boot was killed by {signal.Signals(-code).name}")
        if code != REBOOT:
            return code
        _say(spec, "reboots")
    return OFF


def guard(spec: HostSpec) -> NoReturn:
    init = Child(end_with=signal.SIGKILL)
    try:
        groups = Cgroups(spec.lab)
        kernel.unshare(kernel.CLONE_NEWNET)
        _plug_in(spec, groups.processes(LAN)[0])
        kernel.unshare(kernel.CLONE_NEWTIME | kernel.CLONE_NEWPID)  # from here on the first child is PID 1
        _start_clocks_at_zero()
        if init.fork():
            become_init(spec, groups)
        # pid_namespaces(7): reboot(2) in a PID namespace ends its init by SIGHUP, power off by SIGINT.
        code = init.wait()
        if code not in {-signal.SIGHUP, -signal.SIGINT}:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
            _say(spec, f"its init {how}")
        os._exit(REBOOT if code == -signal.SIGHUP else OFF)
    except BaseException as error:
        _say(spec, f"{type(error).__name__}: {error}")
        os._exit(FAILED)  # never return: this is a fork, the stack above belongs to the supervisor


def _say(spec: HostSpec, what: str) -> None:
    """Write a line to the console, which standard error is."""
    print(f"{spec.name}: {what}", file=sys.stderr, flush=True)


def _plug_in(spec: HostSpec, lan: int) -> None:
    """Connect this network namespace to the LAN by a fresh cable, unless the lab holds it cut."""
    on_lan = ["nsenter", f"--net=/proc/{lan}/ns/net"]
    # The cable of the boot before goes with its namespace, but lazily.
    subprocess.run([*on_lan, "ip", "link", "del", spec.name], check=False, stderr=subprocess.DEVNULL)
    scripts = cable_script(spec, guardian=os.getpid())
    for prefix, script in ((on_lan, scripts["lan"]), ([], scripts["host"])):
        subprocess.run([*prefix, "ip", "-batch", "-"], input=script, text=True, check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _start_clocks_at_zero() -> None:
    """Let uptime begin now, so that monotonic clocks go back over a power cycle as on a real machine."""
    seconds = int(float(Path("/proc/uptime").read_text().split()[0]))
    Path("/proc/self/timens_offsets").write_text(f"monotonic -{seconds} 0\nboottime -{seconds} 0\n")


def become_init(spec: HostSpec, groups: Cgroups) -> NoReturn:
    groups.join(f"{spec.group}/{PAYLOAD}")
    namespaces = kernel.CLONE_NEWCGROUP | kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC
    kernel.unshare(namespaces)
    kernel.mount("none", Path("/"), flags=kernel.MS_REC | kernel.MS_PRIVATE)
    disk = attach(spec)
    root = build_root(prepare(spec, disk), disk, groups.hierarchies)
    socket.sethostname(spec.name)
    kernel.become_root(root)
    # Shared, or LoadCredential= shows services an empty directory.
    kernel.mount("none", Path("/"), flags=kernel.MS_REC | kernel.MS_SHARED)
    pure_v2 = all(h.is_v2 for h in groups.hierarchies)
    hybrid = any(h.is_v2 for h in groups.hierarchies)
    arguments = [
        f"systemd.unified_cgroup_hierarchy={int(pure_v2)}",
        f"systemd.legacy_systemd_cgroup_controller={int(not hybrid)}",
        *([] if pure_v2 else ["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]),  # asked for by systemd 256 and later
    ]
    environment = {"container": "swarmkeeper-lab", "PATH": PATH, "LANG": "C.UTF-8"}
    os.execve(INIT, [INIT, "--system", *arguments], environment)


def main(source: Path, parent: int) -> None:
    spec = HostSpec.load(source)
    register(Cgroups(spec.lab), f"{spec.group}/{SUPERVISOR}", parent)
    raise SystemExit(supervise(spec))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
