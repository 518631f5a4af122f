"""The program that holds a lab's LAN: `python -m integration.lab.lan_holder LAB PARENT`.

A network namespace lives as long as a process in it; this is that process. Killing it takes the bridge, all
cables and every address of the lab away at once.
"""

import signal
import subprocess
import sys
from pathlib import Path

from integration.lab import kernel
from integration.lab.cgroups import LAN, Cgroups
from integration.lab.network import lan_script
from integration.lab.programs import register


def main(lab: str, parent: int) -> None:
    register(Cgroups(lab), LAN, parent)
    kernel.unshare(kernel.CLONE_NEWNET)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("0")
    subprocess.run(["ip", "-batch", "-"], input=lan_script(lab), text=True, check=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
