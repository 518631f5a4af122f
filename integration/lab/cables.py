"""Cutting and mending what connects a host: the whole cable, or only the way to one other host.

Both are done on the LAN's side, so a host cannot see or undo them, and both outlast its reboots: a cut cable is
remembered beside the host's disk, a cut way is a rule of the bridge that names its ports.
"""

from collections.abc import Iterable

from integration.lab.lan import Lan
from integration.lab.network import CUT
from integration.lab.spec import HostSpec

EBTABLES = "ebtables-nft"  # part of Debian's iptables package, no iptables involved


def cut(lan: Lan, spec: HostSpec) -> None:
    (spec.root / CUT).touch()
    lan.run("ip", "link", "set", spec.name, "down")


def cut_between(lan: Lan, one: str, other: str) -> None:
    """Drop every frame between two hosts, both ways; both still reach everybody else."""
    mend_between(lan, one, [other])
    for source, target in ((one, other), (other, one)):
        lan.run(EBTABLES, "-A", "FORWARD", "-i", source, "-o", target, "-j", "DROP")


def mend_between(lan: Lan, one: str, others: Iterable[str]) -> None:
    for other in others:
        for source, target in ((one, other), (other, one)):
            lan.run(EBTABLES, "-D", "FORWARD", "-i", source, "-o", target, "-j", "DROP", check=False)


def mend(lan: Lan, spec: HostSpec) -> None:
    (spec.root / CUT).unlink(missing_ok=True)
    lan.run("ip", "link", "set", spec.name, "up", check=False)  # a host that is off has no cable
