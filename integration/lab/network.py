"""Addresses and cables. The LAN is a bridge in a network namespace of the lab, without any way out of it.

The range is fixed: it is the one of the scenario. Several labs use it at once, each in its own namespace.
"""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from integration.lab.spec import HostSpec

RANGE = IPv4Network("10.159.62.0/24")
CLIENT = IPv4Address(
    "10.159.62.1"
)  # where curl, Prometheus and the tests sit; also the hosts' (dead end) gateway
BRIDGE = "lan"
CUT = "cut"  # a file beside the host's disk: its cable stays down, over reboots too


def label(lab: str, end: str) -> str:
    """The alias each of a lab's links carries, by which a leaked one would be recognised."""
    return f"swarmkeeper-lab/{lab}/{end}"


def hardware_address(address: str) -> str:
    """A host's own MAC. It stays over reboots as a network card does, or its peers would call the old one for 30 s."""
    return "02:00:" + IPv4Address(address).packed.hex(":")


def lan_script(lab: str) -> str:
    """`ip -batch` commands that build the LAN in an empty network namespace."""
    return f"""\
link set lo up
link add {BRIDGE} type bridge
link set {BRIDGE} alias {label(lab, BRIDGE)}
addr add {CLIENT}/{RANGE.prefixlen} dev {BRIDGE}
link set {BRIDGE} up
"""


def cable_script(spec: HostSpec, guardian: int) -> dict[str, str]:
    """`ip -batch` commands that connect the guardian's namespace by a new cable: the LAN's side, then the host's."""
    state = "down" if (Path(spec.disk) / CUT).exists() else "up"
    lan = f"""\
link add {spec.name} type veth peer name eth0 netns {guardian}
link set {spec.name} alias {label(spec.lab, spec.name)}
link set {spec.name} master {BRIDGE} {state}
"""
    host = f"""\
link set lo up
link set eth0 alias {label(spec.lab, spec.name)} address {hardware_address(spec.address)}
addr add {spec.address}/{RANGE.prefixlen} dev eth0
link set eth0 up
route add default via {CLIENT}
"""
    return {"lan": lan, "host": host}
