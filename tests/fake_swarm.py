"""A LAN with swarms on it, in memory: what managers agree on, who is a member, what a join needs."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Protocol

from agent.errors import Conflict, Refused, Unreachable
from agent.model.intent import NetworkIntent
from agent.model.observed import NetworkState, NodeState
from agent.model.records import Tokens

NOT_A_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state."
)
ALREADY = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)
NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. "
    "It's possible that too few managers are online."
)


class Host(Protocol):
    """What a swarm needs to know of a host: whether anything answers at its address."""

    name: str
    address: str

    @property
    def answers(self) -> bool: ...


@dataclass(eq=False)
class Member:
    """A host in a swarm."""

    node_id: str
    host: Host
    role: str


class FakeSwarm:
    """One swarm: its members, its tokens, its overlays."""

    def __init__(self, lan: "FakeLan", pool: IPv4Network) -> None:
        self._lan = lan
        self.id = lan.new_id("swarm")
        self.pool = pool
        self.members: list[Member] = []
        self.networks: dict[str, NetworkState] = {}
        self.tokens = self._new_tokens()

    def join(self, host: Host, token: str) -> Member:
        if token not in (self.tokens.worker, self.tokens.manager):
            raise Refused("A valid join token is necessary to join this cluster")
        return self.add(host, "manager" if token == self.tokens.manager else "worker")

    def add(self, host: Host, role: str) -> Member:
        member = Member(self._lan.new_id("node"), host, role)
        self.members.append(member)
        return member

    def rotate(self) -> None:
        self.tokens = self._new_tokens()

    def check_quorum(self) -> None:
        """Raise Unreachable when fewer than a majority of the managers answer."""
        managers = [each for each in self.members if each.role == "manager"]
        if 2 * len([each for each in managers if each.host.answers]) <= len(managers):
            raise Unreachable(NO_LEADER)

    def nodes(self) -> tuple[NodeState, ...]:
        self.check_quorum()
        leader = next(each for each in self.members if each.role == "manager" and each.host.answers)
        return tuple(self._node(each, each is leader) for each in self.members)

    def add_network(self, network: NetworkIntent) -> None:
        if network.name in self.networks:
            raise Conflict(f"network with name {network.name} already exists")
        subnet = network.subnet or self._free_subnet()
        if any(subnet.overlaps(each.subnet) for each in self.networks.values() if each.subnet):
            raise Refused(f"network {network.name} came out wrong and was removed again: its subnet is taken")
        gateway = str(network.gateway or subnet[1])
        self.networks[network.name] = network_state(self._lan, network, subnet, gateway)

    def _free_subnet(self) -> IPv4Network:
        taken = [each.subnet for each in self.networks.values() if each.subnet]
        return next(each for each in self.pool.subnets(new_prefix=24) if not any(map(each.overlaps, taken)))

    def _node(self, member: Member, leader: bool) -> NodeState:
        manager = member.role == "manager"
        return NodeState(
            id=member.node_id,
            hostname=member.host.name,
            role="manager" if manager else "worker",
            availability="active",
            state="ready" if member.host.answers else "down",
            address=member.host.address,
            leader=leader,
            reachable=member.host.answers if manager else None,
            manager_address=f"{member.host.address}:2377" if manager else "",
        )

    def _new_tokens(self) -> Tokens:
        worker, manager = self._lan.new_id("SWMTKN-worker"), self._lan.new_id("SWMTKN-manager")
        return Tokens(swarm_id=self.id, worker=worker, manager=manager)


@dataclass
class FakeLan:
    """What hosts share: addresses, and a registry with images."""

    registry: set[str] = field(default_factory=set)
    registry_answers: bool = True
    members: dict[str, tuple[FakeSwarm, Member]] = field(default_factory=dict)
    """By address."""
    address_books: list[Callable[[str], set[str]]] = field(default_factory=list)
    """Of each host: the addresses its containers have on a network."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def new_id(self, kind: str) -> str:
        """An id nothing else on this LAN has."""
        return f"{kind}-{next(self._numbers)}"

    def taken(self, network: str) -> set[str]:
        """Every address that somebody has on that network."""
        return {address for book in self.address_books for address in book(network)}

    def swarm_at(self, remotes: list[str]) -> FakeSwarm:
        """The swarm one of whose managers answers at one of `remotes`. Raises Unreachable when none does."""
        for each in remotes:
            swarm, member = self.members.get(each.rpartition(":")[0], (None, None))
            if swarm and member and member.role == "manager" and member.host.answers:
                return swarm
        raise Unreachable(f"no manager answers: {', '.join(remotes) or 'none is known'}")


def network_state(lan: FakeLan, network: NetworkIntent, subnet: IPv4Network, gateway: str) -> NetworkState:
    """A network as it comes out of its intent."""
    return NetworkState(
        id=lan.new_id("net"),
        name=network.name,
        driver=network.driver,
        scope="swarm" if network.driver == "overlay" else "local",
        subnet=subnet,
        gateway=gateway,
        options=network.options,
        attachable=network.attachable and network.driver == "overlay",
        internal=network.internal,
        labels=network.labels,
    )
