"""The networks of a host in memory: its own, and those of the swarm it is in."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network

from agent.errors import Conflict, Refused
from agent.model.intent import GWBRIDGE, NetworkIntent
from agent.model.observed import NetworkState
from agent.model.spec import Pairs
from tests.fake_swarm import ALREADY, NOT_A_MANAGER, FakeLan, FakeSwarm, Host, Member, network_state

AUTOMATIC_BRIDGE = IPv4Network("172.18.0.0/16")
"""What docker_gwbridge gets when dockerd has to make it itself."""
OVERLAPS = "Pool overlaps with other one on this address space"
_PREDEFINED = ("bridge", "host", "none")


class FakeNetworks:
    """`on` tells the running containers of this host on a network, `running` all of them: id and networks."""

    def __init__(
        self,
        lan: FakeLan,
        host: Host,
        on: Callable[[str], list[str]],
        running: Callable[[], dict[str, list[str]]],
    ) -> None:
        self.local: dict[str, NetworkState] = {}
        self.released: set[tuple[str, str]] = set()
        """(network, endpoint) that was taken off by force."""
        self._lan, self._host, self._on, self._running = lan, host, on, running

    # ---- the swarm

    @property
    def membership(self) -> tuple[FakeSwarm, Member] | None:
        return self._lan.members.get(self._host.address)

    def managed(self) -> FakeSwarm:
        """The swarm this host manages. Refused when it does not, Unreachable without a quorum."""
        if self.membership is None or not self.membership[1].in_raft:
            raise Refused(NOT_A_MANAGER)
        self.membership[0].check_quorum()
        return self.membership[0]

    def check_outside(self) -> None:
        if self.membership is not None:
            raise Conflict(ALREADY)

    def become(self, swarm: FakeSwarm, member: Member) -> None:
        """A member needs docker_gwbridge: dockerd makes it in its own way when there is none."""
        self._lan.members[self._host.address] = (swarm, member)
        if GWBRIDGE not in self.local:
            made = NetworkIntent(key=GWBRIDGE, name=GWBRIDGE, driver="bridge", attachable=False)
            self.local[GWBRIDGE] = network_state(self._lan, made, AUTOMATIC_BRIDGE, str(AUTOMATIC_BRIDGE[1]))

    def leave(self) -> None:
        """`docker swarm leave --force`; docker_gwbridge stays, and among the nodes one that is down."""
        _, member = self._lan.members.pop(self._host.address)
        member.gone = True

    # ---- the networks

    def listed(self) -> dict[str, NetworkState]:
        """What this host lists: a worker has an overlay only while a container of its own is on it."""
        if self.membership is None:
            return dict(self.local)
        swarm, member = self.membership
        seen = {name: each for name, each in swarm.networks.items() if member.in_raft or self._on(name)}
        return {**self.local, **seen}

    def known(self, name: str) -> NetworkState | None:
        """A network a container of this host can be attached to."""
        swarm = self.membership[0].networks if self.membership else {}
        return self.local.get(name) or swarm.get(name)

    def attachable(self, name: str) -> bool:
        return name in _PREDEFINED or self.known(name) is not None

    def create(self, network: NetworkIntent) -> None:
        if (there := self.listed().get(network.name)) is not None:
            if there.driver == network.driver and network.subnet in (None, there.subnet):
                return
            raise Conflict(f"network with name {network.name} already exists")
        if network.driver == "overlay":
            self.managed().add_network(network)
            return
        subnet = network.subnet or AUTOMATIC_BRIDGE
        if any(subnet.overlaps(each.subnet) for each in self.listed().values() if each.subnet):
            raise Refused(OVERLAPS)
        gateway = str(network.gateway or subnet[1])
        self.local[network.name] = network_state(self._lan, network, subnet, gateway)

    def remove(self, network_id: str) -> None:
        for each in list(self.local.values()):
            if network_id in (each.id, each.name):
                if self.endpoints(network_id):
                    raise Conflict(f"error while removing network: network {each.name} has active endpoints")
                del self.local[each.name]
                self.released = {pair for pair in self.released if pair[0] != each.name}

    def endpoints(self, network: str) -> Pairs:
        """(whose, name); a container on overlays alone has its gateway on docker_gwbridge."""
        named = self.named(network) or ""
        found = {(each, each) for each, networks in self._running().items() if named in networks}
        if named == GWBRIDGE and self.membership:
            overlays = self.membership[0].networks.keys()
            found.add(("ingress-sbox", "gateway_ingress-sbox"))
            found |= {
                (each, f"gateway_{each[:12]}")
                for each, networks in self._running().items()
                if networks and overlays >= set(networks)
            }
        found -= {(whose, name) for whose, name in found if (named, name) in self.released}
        return tuple(sorted(found))

    def named(self, network: str) -> str | None:
        """The name of a network of this host, named or by id."""
        return next((each.name for each in self.local.values() if network in (each.id, each.name)), None)

    def free_address(self, name: str) -> str:
        """An address nobody on that network has; empty where it has no subnet."""
        network = self.known(name)
        if network is None or network.subnet is None:
            return ""
        taken = {network.gateway, *self._lan.taken(name)}
        return next(text for text in map(str, network.subnet.hosts()) if text not in taken)

    def relabel(self, name: str, **changes: object) -> None:
        """Change a local network by hand, as removing and making it again would."""
        self.local[name] = replace(self.local[name], **changes)  # type: ignore[arg-type]
