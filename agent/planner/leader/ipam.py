"""Which address each copy keeps on an overlay. The leader chooses, and writes it into the assignment.

A copy asks for one where the policy or its spec says so. Whatever it has it keeps, whichever container and host it is
on. What it runs with when that begins, is taken over: so nothing is restarted for it. Else it gets the highest address
that nobody has: the swarm gives out the others from the lowest on, so the two do not meet for as long as the subnet has
room (docs/engine-quirks.md).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from agent.diff.networks import Asks, asks_of, sees_overlays
from agent.model.host_state import HostState
from agent.model.intent import Intent
from agent.model.plan import ClusterState
from agent.model.records import Assignment, Copy
from agent.model.spec import ContainerSpec, Key, spec_hash
from agent.planner.leader.address_users import Holders

# ---- Which addresses of an overlay may be pinned


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


Assignments = Mapping[str, Assignment]


class Pinned(NamedTuple):
    """The assignments with the addresses in them."""

    assignments: dict[str, Assignment]
    given_up: Mapping[tuple[Key, str], str]
    """Copy and overlay -> the address that it had there, and why it could not keep that, in words."""


def pin_addresses(
    intent: Intent, wanted: Assignments, current: Assignments, cluster: ClusterState, host: HostState | None
) -> Pinned:
    """`wanted` with the address of every copy that keeps its own, and with what a copy has to wait for.

    `host` is the leader's own; None while its dockerd does not answer. Deterministic. No two copies get one address.
    """
    asked = {
        (name, copy.key): _asks(intent, copy, cluster)
        for name, each in sorted(wanted.items())
        for copy in each.copies
    }
    before = {copy.key: copy for _, each in sorted(current.items()) for copy in each.copies}
    pins: dict[Key, dict[str, str]] = {}
    held: dict[Key, str] = {}
    given_up: dict[tuple[Key, str], str] = {}
    for network in sorted({network for asks in asked.values() for network in asks.overlays}):
        scene = _Scene(
            network=network,
            room=_room(intent, network, cluster, host),
            holders=Holders(network, cluster, host),
            where={key: name for (name, key), asks in asked.items() if network in asks.pinned},
            had={key: dict(copy.addresses).get(network, "") for key, copy in before.items()},
        )
        for key, address in scene.chosen().items():
            pins.setdefault(key, {})[network] = address
            if (had := scene.had.get(key)) and had != address:
                given_up[key, network] = f"{had} ({scene.why_lost(key, had)})"
        for (name, key), asks in asked.items():
            if why := scene.why_held(name, key, asks, pins.get(key, {}).get(network, "")):
                held.setdefault(key, why)

    def pinned(name: str, copy: Copy) -> Copy:
        key = copy.key
        kept = dict(before[key].addresses) if key in before and asked[name, key].unknown else {}
        addresses = {**kept, **pins.get(key, {})}
        return replace(copy, addresses=tuple(sorted(addresses.items())), held=copy.held or held.get(key, ""))

    assignments = {
        name: replace(each, copies=tuple(pinned(name, copy) for copy in each.copies))
        for name, each in wanted.items()
    }
    return Pinned(assignments, given_up)


def _asks(intent: Intent, copy: Copy, cluster: ClusterState) -> Asks:
    spec = _spec(intent, copy, cluster)
    return Asks(unknown=True) if spec is None else asks_of(intent, spec)


def _spec(intent: Intent, copy: Copy, cluster: ClusterState) -> ContainerSpec | None:
    service = intent.service(copy.service)
    if service and spec_hash(service.spec) == copy.spec:
        return service.spec
    return cluster.specs.get(copy.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """One overlay, and who asks for an address on it."""

    network: str
    room: Room
    holders: Holders
    where: Mapping[Key, str]
    """Key of each copy that asks for a pinned one -> the host it is assigned to."""
    had: Mapping[Key, str]
    """What each copy has had so far; empty: nothing."""

    def chosen(self) -> dict[Key, str]:
        """The address of every copy that asks for one, where there is room."""
        given: dict[str, Key] = {}
        for key in sorted(self.where):
            self._give(given, key, self.had.get(key, ""))
        left = [key for key in sorted(self.where) if key not in given.values()]
        for key in left:
            self._give(given, key, self.holders.runs_with(key, self.where[key]))
        left = [key for key in left if key not in given.values()]
        free = self._free(frozenset(given)) if left else iter(())
        given |= dict(zip(free, left, strict=False))
        return {key: address for address, key in given.items()}

    def why_held(self, host: str, key: Key, asks: Asks, pinned: str) -> str:
        """Why the copy must not start on `host` yet, in words; empty when it may."""
        if self.network in asks.pinned and not pinned:
            return self.room.why_none
        address = dict(asks.fixed).get(self.network) or (pinned if self.network in asks.pinned else "")
        holder = self.holders.in_the_way(address, key, host) if address else ""
        return f"{address} on {self.network} is held by {holder}" if holder else ""

    def why_lost(self, key: Key, had: str) -> str:
        """Why a copy cannot keep the address that it had, in words."""
        if not self.room.fits(had):
            return self.room.why_not
        holder = self.holders.taken_from(had, key, self.where[key])
        return f"it is held by {holder}" if holder else "another copy had it first"

    def _give(self, given: dict[str, Key], key: Key, address: str) -> None:
        fits = bool(address) and self.room.fits(address)
        if fits and address not in given and not self.holders.taken_from(address, key, self.where[key]):
            given[address] = key

    def _free(self, given: frozenset[str]) -> Iterator[str]:
        # What a copy has had is kept free for it also while it cannot be given: its container may still run with it.
        taken = {*given, *self.holders.addresses}
        return (each for each in self.room.addresses() if each not in taken)


def _room(intent: Intent, network: str, cluster: ClusterState, host: HostState | None) -> Room:
    declared = intent.network(network)
    fixed = frozenset(
        each.ipv4_address
        for spec in (*(service.spec for service in intent.services), *cluster.specs.values())
        for each in spec.networks
        if each.network == network and each.ipv4_address
    )
    if host is not None and sees_overlays(host):
        found = host.network(network)
        if found and found.driver and found.subnet:
            gateway = found.gateway or ""
            return Room(network=network, subnet=found.subnet, gateway=gateway, fixed=fixed)
        if found:
            return Room(network=network, fixed=fixed)  # not allocated
    elif cluster.record and cluster.record.swarm_id:
        return Room(network=network, fixed=fixed)  # it may be there, as declared or not
    if declared is None or declared.subnet is None:
        return Room(network=network, fixed=fixed)
    gateway = str(declared.gateway or "")
    return Room(network=network, subnet=declared.subnet, gateway=gateway, fixed=fixed)
