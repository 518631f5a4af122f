"""One host of the lab: what can be done on it and to it."""

import json
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.lab import cables, disk, docker_socket
from integration.lab.base import find
from integration.lab.boot_failure import SWITCHED_ON, console_end, state_of_units
from integration.lab.cgroups import PAYLOAD, SUPERVISOR, Cgroups
from integration.lab.debootstrap import make
from integration.lab.errors import CommandFailed, LabError
from integration.lab.eventually import eventually
from integration.lab.lan import Lan
from integration.lab.limits import shortages
from integration.lab.programs import start
from integration.lab.reinstall import set_aside
from integration.lab.spec import HostSpec

if TYPE_CHECKING:
    import docker

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_S = 60
ASK_S = 5  # for what a systemd that is well answers at once


class Host:
    """A host by its name. Holds no state of its own: what runs is read from the cgroups each time."""

    def __init__(self, spec: HostSpec, lan: Lan, groups: Cgroups, neighbours: Iterable[str] = ()) -> None:
        self.spec = spec
        self.name = spec.name
        self.address = spec.address
        self._lan = lan
        self._groups = groups
        self._neighbours = tuple(n for n in neighbours if n != spec.name)
        self._payload = f"{spec.group}/{PAYLOAD}"
        self._clients: dict[int, docker.DockerClient] = {}

    def __repr__(self) -> str:
        return f"<{self.name} {self.address}>"

    # -- what it is

    @property
    def pid1(self) -> int:
        """Its systemd, in the machine's numbering. Raises LabError while the host is off."""
        for pid in self._groups.processes(self._payload):
            if _is_init(pid):
                return pid
        raise LabError(f"{self.name} is off")

    @property
    def is_up(self) -> bool:
        """Whether its systemd runs; its services may still be starting."""
        return any(_is_init(pid) for pid in self._groups.processes(self._payload))

    @property
    def console(self) -> Path:
        """Where boot messages go, kept over reboots."""
        return self.spec.root / "console.log"

    @property
    def socket(self) -> Path:
        """Its dockerd's socket, as the machine sees it; another one after each boot."""
        return Path(f"/proc/{self.pid1}/root/run/docker.sock")

    @property
    def docker(self) -> "docker.DockerClient":
        """A client of its dockerd, the same until it boots again. Not to be shared between threads."""
        import docker  # noqa: PLC0415  slow to import, and most commands need none

        pid = self.pid1
        if pid not in self._clients:
            self._clients[pid] = docker.DockerClient(base_url=f"unix://{self.socket}", timeout=60)
        return self._clients[pid]

    # -- working on it

    def exec(
        self,
        *argv: str,
        check: bool = True,
        input: str | None = None,  # noqa: A002  subprocess's word for it
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the host and return what it said; works on a frozen host too.

        Raises LabError if the host is off or `timeout` seconds pass; with `check`, CommandFailed if the program fails.
        """
        done = self._run(argv, (input or "").encode(), timeout)
        result = subprocess.CompletedProcess(
            done.args,
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )
        if check and result.returncode != 0:
            said = f"{result.stdout}{result.stderr}".strip()
            raise CommandFailed(f"{self.name}: {' '.join(argv)} ended with {result.returncode}: {said}")
        return result

    def _run(self, argv: Sequence[str], data: bytes, timeout: float) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [*self.enter_command(), *argv], input=data, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{self.name}: {' '.join(argv)} took more than {timeout:g} s") from error

    def enter_command(self, *variables: str) -> list[str]:
        """The beginning of a command line that runs something in the host, with some variables (`A=b`) more."""
        environment = ["env", "-i", f"PATH={PATH}", "LANG=C.UTF-8", "HOME=/root", *variables]
        # --root: where this tool runs in a chroot, the host's mount namespace still has the machine's own root.
        return ["nsenter", f"--target={self.pid1}", "--all", "--root", "--wd", *environment]

    def systemctl(self, *argv: str, check: bool = True, timeout: float = 120) -> str:
        """Run systemctl in the host and return its output without the last newline."""
        return self.exec("systemctl", *argv, check=check, timeout=timeout).stdout.rstrip("\n")

    def restart_dockerd(self) -> None:
        """Restart dockerd, however often it has started in the last minute: systemd gives up on the fourth."""
        self.systemctl("reset-failed", "docker", check=False)
        self.systemctl("restart", "docker")

    def journal(self, unit: str = "", since: str = "") -> list[dict[str, Any]]:
        """Journal entries of this and earlier boots, oldest first; `since` as journalctl takes it."""
        return [json.loads(line) for line in self._journalctl("json", unit, since).splitlines()]

    def journal_text(self, unit: str = "", since: str = "") -> str:
        """The journal as an operator reads it, with boots and precise times."""
        return self._journalctl("short-precise", unit, since)

    def _journalctl(self, form: str, unit: str, since: str) -> str:
        chosen = [*(["--unit", unit] if unit else []), *(["--since", since] if since else [])]
        return self.exec("journalctl", "--no-pager", "--quiet", "--output", form, *chosen).stdout

    def read(self, path: str) -> str:
        return self.exec("cat", path).stdout

    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        """Write a file in the host, making the directories above it."""
        data = text.encode() if isinstance(text, str) else text
        done = self._run(["install", "-D", f"--mode={mode:o}", "/dev/stdin", path], data, 60)
        if done.returncode != 0:
            raise LabError(f"{self.name}: cannot write {path}: {done.stderr.decode().strip()}")

    def install(self, deb: Path) -> None:
        """Install a Debian package the way an operator does."""
        self.write(f"/var/tmp/{deb.name}", deb.read_bytes())
        self.exec(
            "env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--install", f"/var/tmp/{deb.name}", timeout=300
        )

    # -- its cable

    def cut(self, other: "Host | None" = None) -> None:
        """Pull its network cable, or cut only the way between it and one other host."""
        if other is None:
            cables.cut(self._lan, self.spec)
        else:
            cables.cut_between(self._lan, self.name, other.name)

    def heal(self) -> None:
        """Undo every cut this host is part of."""
        cables.mend(self._lan, self.spec)
        cables.mend_between(self._lan, self.name, self._neighbours)

    # -- its power

    def boot(self) -> None:
        """Switch it on and return when its dockerd answers; if it is on, its services are started that do not run.

        etcd is not waited for: alone, a member does not become ready. Raises LabError as `wait_up`.
        """
        if self.is_up:
            self._start_services()
        self.switch_on()
        self.wait_up()

    def _start_services(self) -> None:
        units = [unit for unit, _ in self.spec.units]
        with suppress(LabError):  # systemd does not answer: `wait_up` tells
            self.systemctl("reset-failed", *units, check=False, timeout=ASK_S)
            self.systemctl("start", "--no-block", *units, check=False, timeout=ASK_S)

    def switch_on(self) -> None:
        """Switch it on without waiting for anything; nothing happens if it is on."""
        if not self.is_up:
            self.off()
            saved = self.spec.save()
            with self.console.open("a") as log:
                log.write(f"{SWITCHED_ON} {datetime.now(UTC):%F %T} UTC\n")
                log.flush()
                start("bootloader", str(saved), log)

    def wait_up(self, within_s: float = BOOT_S) -> None:
        """Return when systemd and dockerd of the host answer, for instance after it rebooted itself.

        Raises LabError when it ends instead, or after that time, with all that is known of the reason.
        """
        deadline = time.monotonic() + within_s
        while not (self.is_up and self._dockerd_answers()):
            if not self._groups.processes(self.name):
                raise LabError(self._why_not_up("all its processes have ended"))
            if time.monotonic() > deadline:
                raise LabError(self._why_not_up(f"dockerd does not answer after {within_s:g} s"))
            time.sleep(0.05)

    def _why_not_up(self, what: str) -> str:
        short = [
            f"this machine has too little left: {said}" for said in shortages(1, self.spec.root, self._groups)
        ]
        parts = (f"{self.name} did not come up: {what}", *short, self.state(), console_end(self.console))
        return "\n".join(part for part in parts if part)

    def state(self) -> str:
        """What its systemd is about, in words; empty for a host that is off."""
        if self.is_up:
            units = [unit for unit, _ in self.spec.units]
            return state_of_units(lambda *argv: self.exec(*argv, check=False, timeout=ASK_S).stdout, units)
        return "systemd was not started yet" if self._groups.processes(self.name) else ""

    def _dockerd_answers(self) -> bool:
        with suppress(LabError):  # switched off or rebooting this very moment
            return docker_socket.answers(self.socket)
        return False

    def off(self) -> None:
        """Cut its power: every process of it dies at once by SIGKILL. The page cache survives (see `lose`)."""
        self._forget_clients()
        with suppress(AssertionError):
            eventually(self._switch_off, 2, f"{self.name} is off")
        self._groups.kill(self.name)  # whatever did not end by itself
        eventually(lambda: not self._groups.processes(self.name), 10, f"all processes of {self.name} ended")
        if self._lan.is_up:
            self._lan.run("ip", "link", "del", self.name, check=False)
        self._groups.remove(self.name)
        disk.wait_detached(self.spec)

    def _switch_off(self) -> bool:
        self._groups.kill(self._payload)
        self._groups.signal(f"{self.spec.group}/{SUPERVISOR}", signal.SIGTERM)
        return not self._groups.processes(self.name)

    def _forget_clients(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def cycle(self) -> None:
        """Power off and on again, as a tripped fuse does."""
        self.off()
        self.boot()

    def lose(self) -> None:
        """Lose power and come back with only what was synced to the disk. Needs a lab with disk images."""
        self.lose_power()
        self.boot()

    def lose_power(self) -> None:
        """Cut its power and leave on its disk only what was synced to it. Needs a lab with disk images."""
        if not self.spec.image_size:
            raise LabError(f"{self.name} has a folder for a disk; make the lab with disk images (disk='2G')")
        self.freeze()
        kept = disk.snapshot(self.spec)  # before the kill: unmounting would write out what must be lost
        self.off()
        disk.restore(self.spec, kept)

    def stop(self) -> None:
        """Shut it down cleanly, as `systemctl poweroff` does."""
        if self.is_up:
            self.exec("systemctl", "poweroff", check=False)
            eventually(lambda: not self._groups.processes(self.name), 120, f"{self.name} shut down")
        self.off()

    def reinstall(self, base: str) -> None:
        """Shut it down and boot it from another base, as after an upgrade of its operating system.

        The disks of dockerd and containerd and what `reinstall.KEPT` names stay; nothing else does, no installed
        package either. Raises LabError for a disk image, which is not open while its host is off.
        """
        if self.spec.image_size:
            raise LabError(f"{self.name} has a disk image; make the lab with folders for disks")
        make(find(base))
        self.stop()
        set_aside(self.spec.root / "disk")
        self.spec = replace(self.spec, base=base)
        self.boot()

    def freeze(self) -> None:
        """Stop every process of the host between two instructions; the kernel goes on answering pings for it."""
        self._groups.freeze(self._payload)

    def thaw(self) -> None:
        self._groups.thaw(self._payload)


def _is_init(pid: int) -> bool:
    """Whether a process is a host's own systemd, and not yet the program that becomes it or one in a container."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    own_levels = len(_own_levels())
    levels = fields.get("NSpid", "").split()
    return fields["Name"] == "systemd" and len(levels) == own_levels + 1 and levels[-1] == "1"


def _own_levels() -> list[str]:
    status = Path("/proc/self/status").read_text()
    return next(line for line in status.splitlines() if line.startswith("NSpid")).split()[1:]
