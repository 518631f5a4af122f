"""The LAN as its clients see it: run a program there, or step in with one thread."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration.lab import kernel
from integration.lab.cgroups import CLIENTS, LAN, Cgroups
from integration.lab.errors import CommandFailed, LabError
from integration.lab.eventually import eventually
from integration.lab.network import BRIDGE, CLIENT
from integration.lab.programs import start


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server answered, whatever the status."""

    status: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Lan:
    """The network namespace in which the hosts' cables end. Programs there have the address 10.159.62.1."""

    address = str(CLIENT)

    def __init__(self, groups: Cgroups) -> None:
        self._groups = groups

    @property
    def is_up(self) -> bool:
        return bool(self._groups.processes(LAN))

    @property
    def pid(self) -> int:
        """The process holding the namespace, in the machine's numbering. Raises LabError while the lab is down."""
        holder = self._groups.processes(LAN)
        if not holder:
            raise LabError(f"lab {self._groups.lab} is not up")
        return holder[0]

    def up(self, log: Path) -> None:
        """Make the LAN unless it is there."""
        if not self.is_up:
            with log.open("a") as file:
                start("lan_holder", self._groups.lab, file, self._scope())
        eventually(self._is_built, 10, f"the LAN is there (see {log})")

    def _is_built(self) -> bool:
        return "UP" in self.run("ip", "-br", "link", "show", BRIDGE, check=False).stdout

    def _scope(self) -> tuple[str, ...]:
        if not self._groups.needs_scope:
            return ()
        options = ("--quiet", "--scope", "--collect", "--slice=system.slice", "--property=Delegate=yes")
        return ("systemd-run", *options, f"--unit={self._groups.scope}")

    def enter_command(self) -> list[str]:
        """The beginning of a command line that runs something on the LAN."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net"]

    def run(
        self,
        *argv: str,
        check: bool = True,
        input: str | None = None,  # noqa: A002  subprocess's word for it
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on the LAN and return what it said; `timeout` in seconds.

        Raises LabError if the lab is down or, with `check`, CommandFailed if the program fails: with all it said.
        """
        done = subprocess.run(
            [*self.enter_command(), *argv],
            input=input or "",
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            said = f"{done.stdout}{done.stderr}".strip()
            raise CommandFailed(f"{' '.join(argv)} on the LAN ended with {done.returncode}: {said}")
        return done

    def popen(self, *argv: str, **options: Any) -> subprocess.Popen[str]:
        """Start a program on the LAN. It is the lab's: `down` ends it, whoever started it."""
        join = 'mkdir -p "$0" && echo 0 >"$0/cgroup.procs" && exec "$@"'
        group = str(self._groups.path(self._groups.registry, CLIENTS))
        return subprocess.Popen(["sh", "-c", join, group, *self.enter_command(), *argv], text=True, **options)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move the calling thread, and programs and threads it starts meanwhile, onto the LAN.

        A socket stays where it was made, so a connection opened inside goes on working outside.
        """
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        lan = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            kernel.enter(lan, kernel.CLONE_NEWNET)
            try:
                yield
            finally:
                kernel.enter(home, kernel.CLONE_NEWNET)
        finally:
            os.close(lan)
            os.close(home)

    def http_get(self, url: str, timeout: float = 5) -> HttpAnswer:
        """Fetch a URL from the LAN; any status is an answer. Raises OSError if nothing answers in `timeout` s."""
        return self.http(urllib.request.Request(url), timeout)

    def http(self, request: urllib.request.Request, timeout: float = 5) -> HttpAnswer:
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({})
        )  # no proxy of the machine's owner
        with self.inside():
            try:
                with direct.open(request, timeout=timeout) as answer:
                    return HttpAnswer(answer.status, answer.read().decode())
            except urllib.error.HTTPError as error:
                with error:
                    return HttpAnswer(error.code, error.read().decode())
