"""Environments of programs to compare with: under build/, pinned by version and hash, as a lock file says."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = str(ROOT / ".venv/bin/uv")


def install(venv: Path, lock: Path) -> None:
    """Make the environment unless it is there as the lock file says."""
    mark = venv / "installed"
    if mark.exists() and mark.read_bytes() == lock.read_bytes():
        return
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", "/usr/bin/python3", venv], check=True)
    python = str(venv / "bin/python")
    # --no-deps: the lock names everything, and takes a version of PyYAML that docker-compose does not ask for.
    locked = [UV, "pip", "install", "--quiet", "--no-deps", "--compile-bytecode", "--python", python]
    subprocess.run([*locked, "--require-hashes", "--requirement", lock], check=True)
    mark.write_bytes(lock.read_bytes())
