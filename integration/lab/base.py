"""What a host's root is laid over: this machine's own distribution, or a tree of another release of Debian.

A tree is made once per machine (`integration.lab.debootstrap`), used by every lab, and never written to.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from integration.lab.errors import LabError

CHOSEN = "SWARMKEEPER_BASE"  # the base of labs that name none
STORE = "SWARMKEEPER_LAB_BASES"


@dataclass(frozen=True, slots=True)
class Base:
    """A distribution. `suite` is Debian's word for a release; the machine's own distribution has none here."""

    name: str
    suite: str = ""
    from_sid: tuple[str, ...] = ()
    """Packages that are sid's, the release in which Debian has what is new first."""

    @property
    def is_machine(self) -> bool:
        return not self.suite

    @property
    def root(self) -> Path:
        """Where its `/` is on this machine."""
        return Path("/") if self.is_machine else store() / self.name

    def path(self, absolute: str) -> Path:
        """Where a path of the distribution lies on this machine."""
        return self.root / absolute.lstrip("/")


MACHINE = Base("machine")
DEBIAN_13 = Base("debian-13", "trixie")
# A base is part of the name of a lab, which has at most 30 characters.
DOCKER_SID = Base("docker-sid", "trixie", ("containerd", "docker-cli", "docker.io", "runc"))
BASES = (MACHINE, DEBIAN_13, DOCKER_SID)


def store() -> Path:
    """Where the trees of all bases lie."""
    return Path(os.environ.get(STORE, "/var/cache/swarmkeeper-lab"))


def find(name: str = "") -> Base:
    """The base of that name, or the one chosen by SWARMKEEPER_BASE. Raises LabError when there is none such."""
    wanted = name or os.environ.get(CHOSEN) or MACHINE.name
    for base in BASES:
        if base.name == wanted:
            return base
    raise LabError(f"there is no base {wanted!r}; bases: {', '.join(base.name for base in BASES)}")


def users(base: Base) -> int:
    """How many processes of this machine have the base's tree below their root."""
    sign = f"lowerdir={base.root},"
    count = 0
    for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
        with suppress(OSError):  # the process ended
            count += sign in mounts.read_text()
    return count
