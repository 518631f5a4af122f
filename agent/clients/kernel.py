"""The kernel's own view of network devices and routes: what docker cannot see. No AF_NETLINK, no privileges."""

import array
import fcntl
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network, ip_address
from pathlib import Path
from typing import Protocol

from agent.model.host_state import LinkState

Addresses = tuple[tuple[IPv4Interface, str], ...]
Routes = tuple[tuple[IPv4Network, str], ...]

# linux/sockios.h and linux/if.h
_SIOCGIFCONF, _SIOCGIFFLAGS, _SIOCGIFADDR, _SIOCGIFNETMASK = 0x8912, 0x8913, 0x8915, 0x891B
_IFF_UP = 0x1
_IFREQ = struct.Struct("16s24s")
_ADDRESS = slice(20, 24)
"""Of an ifreq: the name (16 bytes), the address family and the port (4), the address."""
_IFCONF = struct.Struct("iP")
"""Length and address of a buffer for ifreqs, of which each takes as much as the union of its members: 40 bytes."""
_LONGEST_NAME = 15
_DEFAULT = IPv4Network("0.0.0.0/0")
_LISTENING = {"tcp": "0A", "udp": "07"}
"""The state of a socket that waits for peers (include/net/tcp_states.h); one of UDP has no other unless connected."""
_MOST_ADDRESSES = 1000


class Kernel(Protocol):
    """What the kernel knows of this host's network."""

    def link(self, name: str) -> LinkState | None:
        """The device of that name; None when there is none."""

    def addresses(self) -> Addresses:
        """(address, device) of every IPv4 address of this host, also of devices that are down."""

    def routes(self) -> Routes:
        """(destination, device) of the main table's IPv4 routes, without default ones, in the kernel's order."""

    def listening(self) -> tuple[str, ...]:
        """What sockets wait for peers on: `8080/tcp`, or `10.0.0.1:8080/tcp` on one address only; sorted."""


class LinuxKernel:
    """The kernel this process runs on, in the network namespace it runs in."""

    def __init__(self, tables: Path = Path("/proc/self/net")) -> None:
        self._tables = tables

    def link(self, name: str) -> LinkState | None:
        if not 0 < len(name.encode()) <= _LONGEST_NAME:
            return None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            flags = _ask(asker, _SIOCGIFFLAGS, name)
            if flags is None:
                return None
            address, mask = _ask(asker, _SIOCGIFADDR, name), _ask(asker, _SIOCGIFNETMASK, name)
        up = bool(int.from_bytes(flags[16:18], "little") & _IFF_UP)
        if address is None or mask is None:
            return LinkState(address=None, up=up)
        return LinkState(address=_interface(address[_ADDRESS], mask[_ADDRESS]), up=up)

    def addresses(self) -> Addresses:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            found = [(_with_mask(asker, each), _name(each)) for each in _every_address(asker)]
        return tuple((address, device) for address, device in found if address is not None)

    def routes(self) -> Routes:
        try:
            lines = (self._tables / "route").read_bytes().splitlines()[1:]
        except FileNotFoundError:
            return ()
        found = (_route(line.split()) for line in lines)
        return tuple(each for each in found if each is not None and each[0] != _DEFAULT)

    def listening(self) -> tuple[str, ...]:
        found = set()
        for protocol, state in _LISTENING.items():
            for table in (protocol, f"{protocol}6"):
                with suppress(FileNotFoundError):
                    lines = (self._tables / table).read_text("ascii").splitlines()[1:]
                    found |= {f"{place}/{protocol}" for place in _waiting(lines, state)}
        return tuple(sorted(found))


def _waiting(lines: Iterable[str], state: str) -> Iterator[str]:
    """Where the sockets of /proc/net/tcp (and its kin) in that state are bound: the 2nd and 4th column."""
    for columns in (line.split() for line in lines):
        with suppress(IndexError, ValueError):
            if columns[3] == state:
                address, _, port = columns[1].partition(":")
                yield _place(bytes.fromhex(address), int(port, 16))


def _place(address: bytes, port: int) -> str:
    # Words of 32 bits in the host's byte order, as many as the address is long.
    words = (address[at : at + 4][::-1] for at in range(0, len(address), 4))
    found = ip_address(b"".join(words))
    return str(port) if found.is_unspecified else f"{found}:{port}"


def _ask(asker: socket.socket, request: int, name: str) -> bytes | None:
    """The ifreq the kernel answers with; None when there is no such device, or it has no address."""
    try:
        return fcntl.ioctl(asker, request, _IFREQ.pack(name.encode(), b""))
    except OSError:
        return None


def _every_address(asker: socket.socket) -> list[bytes]:
    """One ifreq for each address: several of one device, and none of a device without any."""
    room = array.array("B", bytes(_IFREQ.size * _MOST_ADDRESSES))
    answer = fcntl.ioctl(asker, _SIOCGIFCONF, _IFCONF.pack(len(room), room.buffer_info()[0]))
    filled = room.tobytes()[: _IFCONF.unpack(answer)[0]]
    return [filled[at : at + _IFREQ.size] for at in range(0, len(filled), _IFREQ.size)]


def _with_mask(asker: socket.socket, ifreq: bytes) -> IPv4Interface | None:
    """Of several addresses of a device the kernel takes the one that the ifreq names; None: it is gone by now."""
    try:
        mask = fcntl.ioctl(asker, _SIOCGIFNETMASK, ifreq)
    except OSError:
        return None
    return _interface(ifreq[_ADDRESS], mask[_ADDRESS])


def _name(ifreq: bytes) -> str:
    """The device's; a label of one of its addresses (`eth0:1`) is left out."""
    return ifreq[:16].partition(b"\0")[0].decode(errors="replace").partition(":")[0]


def _interface(address: bytes, mask: bytes) -> IPv4Interface:
    return IPv4Interface((IPv4Address(address), str(IPv4Address(mask))))


def _route(columns: list[bytes]) -> tuple[IPv4Network, str] | None:
    """One line of /proc/net/route: Iface, Destination, ..., Mask (the 8th), addresses in the host's byte order."""
    try:
        # A device may have any name; it is read as in `addresses`.
        device, destination, mask = columns[0].decode(errors="replace"), columns[1], columns[7]
        network = IPv4Network((_address(destination), str(_address(mask))))
    except (IndexError, ValueError, AddressValueError):
        return None
    return network, device


def _address(text: bytes) -> IPv4Address:
    return IPv4Address(int(text, 16).to_bytes(4, "little"))
