"""Network devices, addresses, routes, ports and paths, read from the kernel without AF_NETLINK or privileges."""

import array
import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network, ip_address
from pathlib import Path

from agent.model.host_state import LinkState

Addresses = tuple[tuple[IPv4Interface, str], ...]
Routes = tuple[tuple[IPv4Network, str], ...]

# linux/sockios.h and linux/if.h
_SIOCGIFCONF, _SIOCGIFFLAGS, _SIOCGIFADDR, _SIOCGIFNETMASK = 0x8912, 0x8913, 0x8915, 0x891B
_IFF_UP = 0x1
_IFREQ = struct.Struct("16s24s")
_ADDRESS = slice(20, 24)
"""The address in an ifreq, after the name (16 bytes), the address family and the port (4)."""
_IFCONF = struct.Struct("iP")
"""Length and address of a buffer of ifreqs. An ifreq is as large as its union: 40 bytes."""
_LONGEST_NAME = 15
_DEFAULT = IPv4Network("0.0.0.0/0")
_LISTENING = {"tcp": "0A", "udp": "07"}
"""States of a listening socket (include/net/tcp_states.h); every UDP socket that is not connected has this state."""
_MOST_ADDRESSES = 1000
_OF_DEVICES = frozenset({"conf", "neigh"})


class LinuxKernel:
    """The network and the paths of this host, in the network namespace of this process."""

    _groups = Path("/sys/fs/cgroup")

    def __init__(self, tables: Path = Path("/proc/self/net"), sysctls: Path = Path("/proc/sys")) -> None:
        self._tables, self._sysctls = tables, sysctls

    def lacks_sysctl(self, name: str) -> bool:
        """Return True if no network namespace can have that sysctl, because the one of this host has none."""
        parts = name.replace("/", ".").split(".")
        # Those of a single device (net.ipv4.conf.eth0, net.ipv6.neigh.eth0) come with the device of the container.
        if parts[0] != "net" or "" in parts or _OF_DEVICES.intersection(parts):
            return False
        with suppress(OSError):
            return self._sysctls.joinpath("net").exists() and not self._sysctls.joinpath(*parts).exists()
        return False

    def link(self, name: str) -> LinkState | None:
        """Return the device of that name; None when it does not exist."""
        if not 0 < len(name.encode()) <= _LONGEST_NAME:
            return None
        ifreq = _IFREQ.pack(name.encode(), b"")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
            flags = _ioctl(handle, _SIOCGIFFLAGS, ifreq)
            if flags is None:
                return None
            address, mask = _ioctl(handle, _SIOCGIFADDR, ifreq), _ioctl(handle, _SIOCGIFNETMASK, ifreq)
        up = bool(int.from_bytes(flags[16:18], "little") & _IFF_UP)
        if address is None or mask is None:
            return LinkState(address=None, up=up)
        return LinkState(address=_interface(address, mask), up=up)

    def addresses(self) -> Addresses:
        """Return (address, device) for every IPv4 address of this host, including devices that are down."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
            found = [(each, _ioctl(handle, _SIOCGIFNETMASK, each)) for each in _every_address(handle)]
        # Without a mask the address has been removed meanwhile.
        return tuple((_interface(each, mask), _name(each)) for each, mask in found if mask is not None)

    def routes(self) -> Routes:
        """Return (destination, device) for the IPv4 routes of the main table but default ones, in kernel order."""
        try:
            lines = (self._tables / "route").read_bytes().splitlines()[1:]
        except FileNotFoundError:
            return ()
        found = (_route(line.split()) for line in lines)
        return tuple(each for each in found if each is not None and each[0] != _DEFAULT)

    def listening(self) -> tuple[str, ...]:
        """Return the ports of listening sockets, sorted: `8080/tcp`, or `10.0.0.1:8080/tcp` on one address only."""
        found = set()
        for protocol, state in _LISTENING.items():
            for table in (protocol, f"{protocol}6"):
                with suppress(FileNotFoundError):
                    lines = (self._tables / table).read_text("ascii").splitlines()[1:]
                    found |= {f"{port}/{protocol}" for port in _listening_ports(lines, state)}
        return tuple(sorted(found))

    def has_processes(self, container: str) -> bool | None:
        """Return True if the control group of a container, by its id, has processes; None: not known."""
        seen = False
        try:
            lines = self._tables.with_name("cgroup").read_text().splitlines()
            mine = max((each.split(":", 2)[-1] for each in lines), key=len, default="/")
            for folder, _, _ in os.walk(self._groups, onerror=_unless_gone):
                # The groups of a whole host have that of this process, too.
                seen = seen or folder.endswith(mine)
                with suppress(FileNotFoundError):
                    if container in folder and Path(folder, "cgroup.procs").read_bytes().strip():
                        return True
        except OSError:
            return None
        return False if seen else None

    def real_path(self, path: str) -> str | None:
        """Return a path without symbolic links; the part that does not exist stays. None: a directory is unreadable."""
        try:
            return os.path.realpath(path, strict=True)
        except FileNotFoundError:
            return os.path.realpath(path)  # a link to something that does not exist is followed, too
        except (OSError, ValueError):  # no path of a host has a NUL character
            return None


Kernel = LinuxKernel
"""The type of every kernel: the tests have one in memory, which overrides all methods."""


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _listening_ports(lines: Iterable[str], state: str) -> Iterator[str]:
    """Yield the local address (2nd column) of the lines of /proc/net/tcp or udp in that state (4th column)."""
    for columns in (line.split() for line in lines):
        with suppress(IndexError, ValueError):
            if columns[3] == state:
                address, _, port = columns[1].partition(":")
                yield _port(bytes.fromhex(address), int(port, 16))


def _port(address: bytes, port: int) -> str:
    # The kernel prints an address in groups of 32 bits, each in the host's byte order.
    groups = (address[at : at + 4][::-1] for at in range(0, len(address), 4))
    found = ip_address(b"".join(groups))
    return str(port) if found.is_unspecified else f"{found}:{port}"


def _ioctl(handle: socket.socket, request: int, ifreq: bytes) -> bytes | None:
    """Return the kernel's answer, an ifreq; None when the device does not exist, or does not have the address."""
    try:
        return fcntl.ioctl(handle, request, ifreq)
    except OSError:
        return None


def _every_address(handle: socket.socket) -> list[bytes]:
    """Return one ifreq for each address; a device can have several or none."""
    buffer = array.array("B", bytes(_IFREQ.size * _MOST_ADDRESSES))
    answer = fcntl.ioctl(handle, _SIOCGIFCONF, _IFCONF.pack(len(buffer), buffer.buffer_info()[0]))
    filled = buffer.tobytes()[: _IFCONF.unpack(answer)[0]]
    return [filled[at : at + _IFREQ.size] for at in range(0, len(filled), _IFREQ.size)]


def _name(ifreq: bytes) -> str:
    """Return the name of the device without the label of an address (`eth0:1`)."""
    return ifreq[:16].partition(b"\0")[0].decode(errors="replace").partition(":")[0]


def _interface(address: bytes, mask: bytes) -> IPv4Interface:
    """Return the address of one ifreq with the mask of another one."""
    return IPv4Interface((IPv4Address(address[_ADDRESS]), str(IPv4Address(mask[_ADDRESS]))))


def _route(columns: list[bytes]) -> tuple[IPv4Network, str] | None:
    """Parse a line of /proc/net/route: Iface, Destination, ..., Mask (8th), addresses in the host's byte order."""
    try:
        # A device name can be any bytes; `addresses` decodes it the same.
        device, destination, mask = columns[0].decode(errors="replace"), columns[1], columns[7]
        network = IPv4Network((_address(destination), str(_address(mask))))
    except (IndexError, ValueError, AddressValueError):
        return None
    return network, device


def _address(text: bytes) -> IPv4Address:
    return IPv4Address(int(text, 16).to_bytes(4, "little"))
