"""A LAN with swarms on it, in memory: what managers agree on, who is a member, what a join needs.

A role that is asked for is taken on at once, or, while the LAN `lags`, when the test calls `settle`.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import NamedTuple, Protocol

from agent.diff.container import CREATION
from agent.errors import Conflict, Missing, Refused, Stale, Unreachable
from agent.model.host_state import GivenOut, NetworkState, NodeState
from agent.model.intent import Availability, NetworkIntent, Role
from agent.model.records import Tokens
from agent.model.spec import Pairs
from agent.planner.dry_run.engine import network_of

LOCKED = (
    "Swarm is encrypted and needs to be unlocked before it can be used. "
    'Please use "docker swarm unlock" to unlock it.'
)
WRONG_KEY = "swarm could not be unlocked: invalid key provided"
NOT_A_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state."
)
ALREADY = (
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
)
A_MANAGER = "You are attempting to leave the swarm on a node that is participating as a manager. "
NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. "
    "It's possible that too few managers are online."
)
EXPIRED = (
    "error while loading TLS certificate in swarm-node.crt: x509: certificate has expired or is not yet valid"
)
LAST_MANAGER = (
    "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm"
)
ENDS_QUORUM = (
    "rpc error: code = FailedPrecondition desc = can't remove member from the raft: "
    "this would result in a loss of quorum"
)
NOT_IN_RAFT = "rpc error: code = NotFound desc = can't find manager in raft memberlist"
NOT_DOWN = "rpc error: code = FailedPrecondition desc = node {} is not down and can't be removed"
NOBODY_LETS_IN = (
    "manager stopped: can't initialize raft node: rpc error: code = Unavailable desc = connection error"
)
OUT_OF_SEQUENCE = (
    "the node was changed at the same time: rpc error: code = Unknown desc = update out of sequence"
)
STILL_A_MANAGER = (
    "rpc error: code = FailedPrecondition desc = node {} is a cluster manager and is a member of the raft cluster. "
    "It must be demoted to worker before removal"
)


class Host(Protocol):
    """What a swarm needs to know of a host: whether anything answers at its address."""

    name: str
    address: str

    @property
    def answers(self) -> bool: ...


@dataclass(eq=False)
class Member:
    """A node: a host in a swarm, or what is left of one that went."""

    node_id: str
    host: Host
    role: Role
    """What is asked of it."""
    in_raft: bool
    """Whether it is a manager now."""
    availability: Availability = "active"
    labels: dict[str, str] = field(default_factory=dict)
    gone: bool = False
    """Its host has left, or was wiped: nothing will answer for this node again."""
    kept: dict[str, dict[str, str]] = field(default_factory=dict)
    """By network: (container id -> address) that its swarm keeps after it has gone, until its record is removed."""
    joined_through: str = ""
    """Address of the manager it would ask to become one, too; empty: any of them."""
    lock: str = ""
    """The key that it will need at its next start: what it was told last."""
    locked: bool = False
    """Its engine was restarted while autolock was on, or before it was told that it is off."""
    cut_out: bool = False
    """It was a manager and demoted while nobody reached it: its engine looks for a raft leader until it is told."""
    expired: bool = False
    """Its certificate is no longer valid: its engine cannot resume it."""
    restarted: bool = False
    """Its engine has started since it became this node."""
    failed: bool = False
    """It should have become a manager, and nobody was there to ask."""
    version: int = 0
    """When it was changed last, as of the last look at it."""
    seen_as: object = None
    """What it was at that version."""

    @property
    def answers(self) -> bool:
        """Whether it answers whoever reaches it."""
        ended = self.gone or self.failed or self.locked or self.expired
        return self.host.answers and not ended


class NodeUpdate(NamedTuple):
    """What is asked of a node."""

    role: Role | None = None
    availability: Availability | None = None
    labels: Pairs = ()
    without: tuple[str, ...] = ()


class FakeSwarm:
    """One swarm: its members, its tokens, its overlays."""

    def __init__(self, lan: "FakeLan", pool: IPv4Network, made_for: str = "") -> None:
        self._lan = lan
        lan.swarms.append(self)
        self.made_for = made_for
        """The cluster whose agent made it, as its label says."""
        self.id = lan.new_id("swarm")
        self.pool = pool
        self.members: list[Member] = []
        self.networks: dict[str, NetworkState] = {}
        self.unlock_key = ""
        """Empty: autolock is off."""
        self.tokens = self._new_tokens()
        self._changes = 0

    def join(self, host: Host, token: str, through: str) -> Member:
        if token not in (self.tokens.worker, self.tokens.manager):
            raise Refused("A valid join token is necessary to join this cluster")
        self.check_quorum(host.address)
        member = self.add(host, "manager" if token == self.tokens.manager else "worker")
        member.joined_through = through
        return member

    def add(self, host: Host, role: Role) -> Member:
        member = Member(self._lan.new_id("node"), host, role, in_raft=role == "manager")
        member.lock = self.unlock_key if member.in_raft else ""
        self.members.append(member)
        return member

    def autolock(self, wanted: bool) -> None:
        """Another key each time that it is turned on, as on a real one."""
        if wanted != bool(self.unlock_key):
            self.unlock_key = self._lan.new_id("SWMKEY-1") if wanted else ""
        for each in self.members:
            each.lock = self.unlock_key if each.in_raft and each.answers else each.lock

    def rotate_unlock_key(self) -> None:
        """`docker swarm unlock-key --rotate`."""
        self.autolock(False)
        self.autolock(True)

    def rotate(self) -> None:
        self.tokens = self._new_tokens()

    def check_quorum(self, asker: str | None = None) -> None:
        """Raise Unreachable when no majority of the managers answer each other, or `asker`, an address, is cut off."""
        side = self._side_with_quorum()
        if side is None or (asker is not None and self._lan.side(asker) != side):
            raise Unreachable(NO_LEADER)

    @property
    def has_quorum(self) -> bool:
        """Whether a majority of the managers answer each other."""
        return self._side_with_quorum() is not None

    def reached(self) -> list[Member]:
        """The members that the managers with the quorum reach; none without one."""
        side = self._side_with_quorum()
        if side is None:
            return []
        return [each for each in self.members if each.answers and self._lan.side(each.host.address) == side]

    def nodes(self) -> tuple[NodeState, ...]:
        self.check_quorum()
        reached = self.reached()
        leader = next(each for each in reached if each.in_raft)
        return tuple(self._node(each, each is leader, each in reached) for each in self.members)

    def is_so(self, node_id: str, wanted: NodeUpdate) -> bool:
        member = self.member(node_id)
        return (member.role, member.availability, member.labels) == _updated(member, wanted)

    def check_version(self, node_id: str, version: int) -> None:
        """Raise Stale when the node has changed since it was at that version."""
        if (now := self._version(self.member(node_id))) != version:
            raise Stale(f"the node has changed since the plan (version {version} then, {now} now)")

    def update_node(self, node_id: str, version: int, wanted: NodeUpdate) -> None:
        member = self.member(node_id)
        if wanted.role == "worker" and member.role == "manager":
            self._check_demotion(member)
        if self._version(member) != version:
            raise Stale(OUT_OF_SEQUENCE)
        member.role, member.availability, member.labels = _updated(member, wanted)
        self._version(member)
        if not self._lan.lags:
            self.settle()

    def settle(self) -> None:
        """Those that are reached take on the role that is asked of them; nobody is voted out below a quorum."""
        for member in self.members:
            if member.role == "manager" and not member.in_raft and self._is_reached(member):
                member.failed = not self._lets_in(member)
                member.in_raft = not member.failed
                member.lock = self.unlock_key
            elif member.role == "worker" and member.in_raft:
                reached = self._is_reached(member) and not member.expired
                member.in_raft = not self.goes_on_without(member)
                member.cut_out = not member.in_raft and not reached

    def goes_on_without(self, member: Member) -> bool:
        """Whether a majority of the other managers is reached; else the engines do not let a manager go."""
        others, reached = [each for each in self._raft() if each is not member], self.reached()
        return 2 * len([each for each in others if each in reached]) > len(others)

    def tell(self, member: Member) -> None:
        """A manager that was demoted while it was away, and is a node still, learns of it when it is reached."""
        if member.cut_out and member in self.members and self._is_reached(member):
            member.cut_out = False

    def remove_node(self, node_id: str) -> None:
        member = next((each for each in self.members if each.node_id == node_id), None)
        if member is None:
            return
        if member.in_raft:
            raise Refused(STILL_A_MANAGER.format(node_id))
        if member in self.reached():
            raise Refused(NOT_DOWN.format(node_id))
        self.members.remove(member)

    def member(self, node_id: str) -> Member:
        """The node of that id. Raises Missing."""
        for each in self.members:
            if each.node_id == node_id:
                return each
        raise Missing(f"node {node_id} not found")

    def _check_demotion(self, member: Member) -> None:
        if [each for each in self.members if each.role == "manager"] == [member]:
            raise Refused(LAST_MANAGER)
        if not member.in_raft:
            raise Unreachable(NOT_IN_RAFT)
        if not self.goes_on_without(member):
            raise Refused(ENDS_QUORUM)

    def _version(self, member: Member) -> int:
        """Of a node as it is now: another one with every change, of what is asked of it or of what it is."""
        asked = (member.role, member.availability, dict(member.labels))
        now = (*asked, member.in_raft, member in self.reached())
        if now != member.seen_as:
            self._changes += 1
            member.version, member.seen_as = self._changes, now
        return member.version

    def _lets_in(self, member: Member) -> bool:
        asked = [each for each in self._raft() if member.joined_through in ("", each.host.address)]
        reached = self.reached()
        return any(each in reached for each in asked)

    def _is_reached(self, member: Member) -> bool:
        """Also one that failed before, whose dockerd has started since."""
        side = self._side_with_quorum()
        there = member.host.answers and not member.gone
        return there and side is not None and self._lan.side(member.host.address) == side

    def _side_with_quorum(self) -> int | None:
        raft = self._raft()
        sides = [self._lan.side(each.host.address) for each in raft if each.answers]
        return next((side for side in sides if 2 * sides.count(side) > len(raft)), None)

    def _raft(self) -> list[Member]:
        return [each for each in self.members if each.in_raft]

    def add_network(self, network: NetworkIntent, *, ours: bool = True) -> None:
        if network.name in self.networks:
            raise Conflict(f"network with name {network.name} already exists")
        subnet = network.subnet or self._free_subnet()
        if any(subnet.overlaps(each.subnet) for each in self.networks.values() if each.subnet):
            raise Refused(f"network {network.name} differed and was removed again: its subnet is in use")
        gateway = str(network.gateway or subnet[1])
        self.networks[network.name] = network_state(self._lan, network, subnet, gateway, ours=ours)

    def remove_network(self, name: str) -> None:
        """Refused while a container of any member is on it."""
        if users := self.users(name):
            network_id = self.networks[name].id
            raise Refused(f"rpc error: network {network_id} is in use by task {users[0][0]}")
        del self.networks[name]

    def users(self, name: str) -> tuple[tuple[str, str], ...]:
        """(container id, node id) of what runs on a network, on every member."""
        on = self._lan.containers_on
        members = ((each.node_id, on.get(each.host.address)) for each in self.members if not each.gone)
        return tuple(
            sorted(
                (found, node)
                for node, told in members
                if told
                for found in told(name, self.networks[name].id)
            )
        )

    def given_out(self, name: str) -> GivenOut:
        """(address, container id, node id) of what runs on a network; a node that is down keeps what it had."""
        found = []
        for each in self.members:
            told = self._lan.addresses_on.get(each.host.address)
            network = self.networks.get(name)
            now = told(name, network.id) if told and network and not each.gone else {}
            for container, address in (each.kept.get(name, {}) if each.gone else now).items():
                found.append((address, container, each.node_id))
        return tuple(sorted(found))

    def _free_subnet(self) -> IPv4Network:
        taken = [each.subnet for each in self.networks.values() if each.subnet]
        return next(each for each in self.pool.subnets(new_prefix=24) if not any(map(each.overlaps, taken)))

    def _node(self, member: Member, leader: bool, reached: bool) -> NodeState:
        return NodeState(
            id=member.node_id,
            hostname=member.host.name,
            role=member.role,
            availability=member.availability,
            state="ready" if reached else "down",
            address=member.host.address,
            leader=leader,
            reachable=reached if member.in_raft else None,
            manager_address=f"{member.host.address}:2377" if member.in_raft else "",
            labels=tuple(sorted(member.labels.items())),
            version=self._version(member),
        )

    def _new_tokens(self) -> Tokens:
        worker, manager = self._lan.new_id("SWMTKN-worker"), self._lan.new_id("SWMTKN-manager")
        return Tokens(swarm_id=self.id, worker=worker, manager=manager)


def _updated(member: Member, wanted: NodeUpdate) -> tuple[Role, Availability, dict[str, str]]:
    kept = {name: value for name, value in member.labels.items() if name not in wanted.without}
    labels = {**kept, **dict(wanted.labels)}
    return wanted.role or member.role, wanted.availability or member.availability, labels


@dataclass
class FakeLan:
    """What hosts share: addresses, and a registry with images."""

    registry: set[str] = field(default_factory=set)
    registry_answers: bool = True
    lags: bool = False
    sides: dict[str, int] = field(default_factory=dict)
    """By address: on which side of a cut through the LAN; 0 when not named. Only hosts of one side reach each other."""
    members: dict[str, tuple[FakeSwarm, Member]] = field(default_factory=dict)
    """By address."""
    swarms: list[FakeSwarm] = field(default_factory=list)
    address_books: list[Callable[[str], set[str]]] = field(default_factory=list)
    """Of each host: the addresses its containers have on a network."""
    containers_on: dict[str, Callable[[str, str], list[str]]] = field(default_factory=dict)
    """By address: the ids of the host's running containers on a network, by its name and its id."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def new_id(self, kind: str) -> str:
        """An id nothing else on this LAN has."""
        return f"{kind}-{next(self._numbers)}"

    addresses_on: dict[str, Callable[[str, str], dict[str, str]]] = field(default_factory=dict)
    """By address of a host: (container id -> address) of the host's running containers on a network."""

    def taken(self, network: str) -> set[str]:
        """Every address that somebody has on that network."""
        gone = [each for swarm in self.swarms for each in swarm.members if each.gone]
        kept = {address for each in gone for address in each.kept.get(network, {}).values()}
        return kept | {address for book in self.address_books for address in book(network)}

    def side(self, address: str) -> int:
        return self.sides.get(address, 0)

    def swarm_at(self, remotes: list[str], asker: str) -> tuple[FakeSwarm, str]:
        """The swarm one of whose managers answers `asker` at one of `remotes`, and there. Raises Unreachable."""
        for each in remotes:
            address = each.rpartition(":")[0]
            swarm, member = self.members.get(address, (None, None))
            near = self.side(address) == self.side(asker)
            if near and swarm and member and member.in_raft and member.answers:
                return swarm, each
        raise Unreachable(f"no manager answers: {', '.join(remotes) or 'none is known'}")


def network_state(
    lan: FakeLan, network: NetworkIntent, subnet: IPv4Network, gateway: str, *, ours: bool = False
) -> NetworkState:
    """A network as the dry run predicts it, with what an engine adds: its id, and the addresses nobody chose."""
    given = lan.new_id("net")
    return replace(
        network_of(network),
        id=given,
        subnet=subnet,
        gateway=gateway,
        attachable=network.attachable and network.driver == "overlay",
        ours=ours,
        labels=(*network.labels, (CREATION, f"of-{given}"))
        if network.driver == "overlay" and ours
        else network.labels,
    )
