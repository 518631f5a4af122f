"""What an agent says of itself for as long as it is there: which run of it, in which boot of which machine."""

import time
from pathlib import Path

from agent import __version__
from agent.errors import Invalid
from agent.model.records import Presence, decode, encode
from agent.timestamps import timestamp


def presence(instance: str) -> bytes:
    """The value of the presence key from now on, for the run of the agent called `instance`."""
    return encode(
        Presence(
            instance=instance,
            boot_id=boot_id(),
            version=__version__,
            since=timestamp(time.time()),
            machine_id=machine_id(),
        )
    )


def left_here(value: bytes) -> bool:
    """Whether this presence was put by an earlier agent of this boot, so that nobody else waits for it."""
    try:
        return decode(Presence, value).boot_id == boot_id()
    except Invalid:
        return False


def boot_id() -> str:
    """The kernel's name for this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def machine_id() -> str:
    """The name of the machine, machine-id(5); empty where it has none."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""
