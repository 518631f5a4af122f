"""Starting the lab's own stdlib-only programs: without site packages, so in milliseconds."""

import subprocess
import sys
from pathlib import Path
from typing import IO

from integration.lab.errors import LabError

REPOSITORY = Path(__file__).resolve().parents[2]


def start(module: str, argument: str, log: IO[str], within: tuple[str, ...] = ()) -> None:
    """Run one of this package's programs until it has registered itself in its cgroup and gone to the background.

    `within` is a command to run it under. Raises LabError if it could not register.
    """
    command = [*within, sys.executable, "-S", "-E", "-m", f"integration.lab.{module}", argument]
    done = subprocess.run(
        command, check=False, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        raise LabError(f"{module} {argument} ended with {done.returncode}; why is in {log.name}")
