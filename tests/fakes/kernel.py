"""A kernel in memory: a device and a route for every local network of an engine, and what was done to them by hand."""

from ipaddress import IPv4Interface, IPv4Network

from agent.clients.kernel import LinuxKernel
from agent.model.host_state import LinkState
from agent.model.intent import GWBRIDGE
from tests.fakes.engine import FakeEngine


class FakeKernel(LinuxKernel):
    """A kernel that shows what the engine made, until somebody damages it; a recreated network has a new device."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.foreign_routes: list[tuple[IPv4Network, str]] = []
        self.no_sysctls: set[str] = set()
        self.processes: tuple[str, ...] = ()
        """What processes of the host listen on."""
        self.foreign_addresses: list[tuple[IPv4Interface, str]] = []
        self.alive: dict[str, bool | None] = {}
        """Ids of containers that docker takes for ended: True if processes of them run; None: not known."""
        self.links: dict[str, str | None] = {}
        """Symbolic links of the host; None: a directory that the agent cannot read."""

    def link(self, name: str) -> LinkState | None:
        found = self._engine.nets.local.get(name)
        return self._engine.nets.link(found) if found else None

    def routes(self) -> tuple[tuple[IPv4Network, str], ...]:
        local = self._engine.nets.local.values()
        return (*self.foreign_routes, *((each.subnet, each.name) for each in local if each.subnet))

    def lacks_sysctl(self, name: str) -> bool:
        return name in self.no_sysctls

    def listening(self) -> tuple[str, ...]:
        # In a swarm dockerd listens to the other hosts.
        return (*self.processes, "7946/tcp") if self._engine.nets.membership else self.processes

    def addresses(self) -> tuple[tuple[IPv4Interface, str], ...]:
        found = ((self.link(name), name) for name in self._engine.nets.local)
        local = tuple((link.address, name) for link, name in found if link and link.address)
        own = (IPv4Interface(f"{self._engine.address}/24"), "lan")
        return (own, *self.foreign_addresses, *local)

    def has_processes(self, container: str) -> bool | None:
        return self.alive.get(container, False)

    def real_path(self, path: str) -> str | None:
        for link, target in self.links.items():
            if path == link or path.startswith(f"{link}/"):
                return None if target is None else f"{target.rstrip('/')}{path.removeprefix(link)}" or "/"
        return path

    # ---- what people do

    def delete_address(self) -> None:
        """`ip address del ... dev docker_gwbridge`."""
        self._damage(LinkState(address=None, up=True))

    def change_address(self, address: str) -> None:
        self._damage(LinkState(address=IPv4Interface(address), up=True))

    def set_down(self) -> None:
        """`ip link set docker_gwbridge down`."""
        found = self.link(GWBRIDGE)
        self._damage(LinkState(address=found.address if found else None, up=False))

    def delete_link(self) -> None:
        """`ip link del docker_gwbridge`."""
        self._damage(None)

    def _damage(self, link: LinkState | None) -> None:
        nets = self._engine.nets
        if GWBRIDGE in nets.local:
            nets.damaged[nets.local[GWBRIDGE].id] = link
