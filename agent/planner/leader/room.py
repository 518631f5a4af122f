"""Which addresses of an overlay may be pinned."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The addresses of one overlay."""

    network: str
    subnet: IPv4Network | None = None
    """None: not known (now). Then what is pinned stays, and nothing more is."""
    gateway: str = ""
    fixed: frozenset[str] = frozenset()
    """Those that specs ask for by themselves."""

    @property
    def why_none(self) -> str:
        """Why there is none to be pinned, in words."""
        if self.subnet is None:
            return f"which addresses {self.network} has is not known yet"
        return f"no address of {self.subnet} on {self.network} is left to be pinned"

    @property
    def why_not(self) -> str:
        """Why one cannot be kept that does not fit, in words."""
        return f"it is fixed for another, the gateway, or outside of {self.subnet}"

    def fits(self, address: str) -> bool:
        """Whether a copy may keep it."""
        if address in self.fixed or address == self.gateway:
            return False
        try:
            wanted = IPv4Address(address)
        except ValueError:
            return False
        if self.subnet is None:
            return True
        ends = (self.subnet.network_address, self.subnet.broadcast_address)
        return wanted in self.subnet and wanted not in ends

    def addresses(self) -> Iterator[str]:
        """All that may be pinned, the highest first."""
        if self.subnet is None:
            return
        first, last = int(self.subnet.network_address), int(self.subnet.broadcast_address)
        for number in range(last - 1, first, -1):
            address = str(IPv4Address(number))
            if address != self.gateway and address not in self.fixed:
                yield address
