"""Starting the lab's own stdlib-only programs: without site packages, so in milliseconds."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from integration.lab.cgroups import Cgroups
from integration.lab.errors import LabError
from integration.lab.kernel import die_with_parent

REPOSITORY = Path(__file__).resolve().parents[2]


def start(module: str, argument: str, log: IO[str], within: tuple[str, ...] = ()) -> None:
    """Run one of this package's programs until it has registered itself in its cgroup and gone to the background.

    `within` is a command to run it under. Raises LabError if it could not register.
    """
    parent = str(os.getpid())
    command = [*within, sys.executable, "-S", "-E", "-m", f"integration.lab.{module}", argument, parent]
    before = os.path.getsize(log.name)  # noqa: PTH202  its name is text
    done = subprocess.run(
        command, check=False, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        said = Path(log.name).read_bytes()[before:].decode(errors="replace").strip() or "it said nothing"
        raise LabError(f"{module} {argument} ended with {done.returncode} (log: {log.name}): {said}")


def register(groups: Cgroups, group: str, parent: int) -> None:
    """In such a program: join the registry and go to the background, in a session of its own.

    Until it is in the registry it dies with the tool that started it. Otherwise a tool killed just then would leave
    an orphan that registers itself after `down` has looked.
    """
    die_with_parent()
    if os.getppid() != parent:  # the tool was dead before it could take this process along
        os._exit(1)
    groups.join(group)
    if os.fork():  # the child does not inherit the wish to die with its parent
        os._exit(0)
    os.setsid()
