"""Which address each replica keeps on an overlay. The leader chooses, and writes it into the assignment.

A replica asks for one where the policy or its spec says so. Whatever it has it keeps, whichever container and host it
is on. What it runs with when that begins, is taken over: so nothing is restarted for it. Else it gets the highest
address that nobody has: the swarm gives out the others from the lowest on, so the two do not meet for as long as the
subnet has room (docs/engine-quirks.md).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from agent.diff.networks import Asks, asks_of, sees_overlays
from agent.diff.replicas import STOPPABLE
from agent.model.host_state import HostState
from agent.model.intent import Intent
from agent.model.observed import ClusterState
from agent.model.phrases import short_id
from agent.model.records import Assignment, Replica
from agent.model.spec import ContainerSpec, Key, spec_hash

# ---- Who has which address on an overlay, by what the hosts report of their replicas and what the swarm has given out
#
# A report and the swarm's list are never of one moment. So a container that the swarm knows and no report names is in
# doubt: it may be one of our own that has just started, or has just ended. In doubt nobody loses an address, and
# nobody is given one; unless a replica could not be started: then whoever has its address is the one who keeps it from
# it.


_SERVICE = "service "
_AWAY = "the swarm keeps it until that is back, or its node is removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    """Somebody who has an address."""

    words: str
    key: Key | None = None
    """Of a replica of ours; None: not one of ours, or in doubt."""
    host: str = ""
    """Empty: not one of the hosts that report."""
    there: bool = True
    """Whether its host says now what it has."""
    certain: bool = True
    """Whether it is known what it is."""


class AddressUsers:
    """Everybody on one overlay. `host` is the leader's own; None while its dockerd does not answer."""

    def __init__(self, network: str, cluster: ClusterState, host: HostState | None) -> None:
        self._cluster, self._network = cluster, network
        self._by_address: dict[str, list[_Holder]] = {}
        self._live: dict[tuple[str, Key], str] = {}
        self._failed: set[tuple[str, Key]] = set()
        seen = host.network(network) if host else None
        given_out = seen.address_users if seen else None
        for name in sorted(cluster.statuses):
            self._look(name, only_now=given_out is not None)
        nodes = {status.node_id: name for name, status in cluster.statuses.items() if status.node_id}
        known = _named(cluster)
        for address, what, node in given_out or ():
            on = nodes.get(node, "")
            self._add(address, self._given_out(what, known.get((on, what)), on, node))

    @property
    def addresses(self) -> frozenset[str]:
        """All that somebody has, as far as is known."""
        return frozenset(self._by_address)

    def runs_with(self, key: Key, host: str) -> str:
        """The address that a replica has on `host` now; empty when none is reported."""
        return self._live.get((host, key), "")

    def taken_from(self, address: str, key: Key, host: str) -> str:
        """Who has an address so that the replica, assigned to `host`, cannot keep it, in words; empty: nobody.

        Its own container on another host that is there lets go of it, and is waited for.
        """
        others = self._others(address, key, host)
        return next((each.words for each in others if not (each.key == key and each.there)), "")

    def in_the_way(self, address: str, key: Key, host: str) -> str:
        """Who has an address now that the replica shall have on `host`, in words; empty: nobody."""
        return next((each.words for each in self._others(address, key, host)), "")

    def _others(self, address: str, key: Key, host: str) -> Iterator[_Holder]:
        for each in self._by_address.get(address, ()):
            if each.certain:
                other = (each.host, each.key) != (host, key)
            elif each.there:
                other = (host, key) in self._failed
            else:
                other = each.host != host
            if other:
                yield each

    def _look(self, name: str, *, only_now: bool) -> None:
        """Of a host that cannot say anything now, the swarm knows better what it still has."""
        there = _is_there(self._cluster, name)
        for each in self._cluster.statuses[name].replicas:
            # A dockerd that was killed goes on showing the addresses of those that ended with it.
            up = each.status in STOPPABLE
            address = dict(each.addresses).get(self._network, "") if up else ""
            if there and each.error and not up:
                self._failed.add((name, each.key))
            if address and there:
                self._live[name, each.key] = address
            if address and (there or not only_now):
                words = _words(each.name, name, there=there)
                self._add(address, _Holder(words=words, key=each.key, host=name, there=there))

    def _given_out(self, what: str, named: _Holder | None, host: str, node: str) -> _Holder:
        if what.startswith(_SERVICE):
            return _Holder(words=f"the {what}")
        if named:
            return named
        words, there = (
            f"container {short_id(what)} on {host or f'node {node}'}",
            _is_there(self._cluster, host),
        )
        remedy = f"{host} knows none of that id, and a restart of dockerd there frees it" if there else _AWAY
        return _Holder(words=f"{words}: {remedy}", host=host, there=there, certain=False)

    def _add(self, address: str, holder: _Holder) -> None:
        self._by_address.setdefault(address, []).append(holder)


def _is_there(cluster: ClusterState, name: str) -> bool:
    status = cluster.status_of(name)
    return status is not None and status.engine_up


def _words(container: str, host: str, *, there: bool) -> str:
    return f"{container} on {host}" if there else f"{container} on {host}: {_AWAY}"


def _named(cluster: ClusterState) -> dict[tuple[str, str], _Holder]:
    """Everybody that a host has reported, by host and id."""
    found = {}
    for name, status in sorted(cluster.statuses.items()):
        there = _is_there(cluster, name)
        for other in status.attached:
            words = _words(other.name, name, there=there)
            found[name, other.id] = _Holder(words=words, host=name, there=there)
        for each in status.replicas:
            words = _words(each.name, name, there=there)
            found[name, each.id] = _Holder(words=words, key=each.key, host=name, there=there)
    return found


# ---- Which addresses of an overlay may be pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPool:
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
        """Whether a replica may keep it."""
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
    """Replica and overlay -> the address that it had there, and why it could not keep that, in words."""


def pin_addresses(
    intent: Intent, wanted: Assignments, current: Assignments, cluster: ClusterState, host: HostState | None
) -> Pinned:
    """`wanted` with the address of every replica that keeps its own, and with what a replica has to wait for.

    `host` is the leader's own; None while its dockerd does not answer. Deterministic. No two replicas get one address.
    """
    asked = {
        (name, replica.key): _asks(intent, replica, cluster)
        for name, each in sorted(wanted.items())
        for replica in each.replicas
    }
    before = {replica.key: replica for _, each in sorted(current.items()) for replica in each.replicas}
    pins: dict[Key, dict[str, str]] = {}
    held: dict[Key, str] = {}
    given_up: dict[tuple[Key, str], str] = {}
    for network in sorted({network for asks in asked.values() for network in asks.overlays}):
        scene = _Scene(
            network=network,
            room=_room(intent, network, cluster, host),
            holders=AddressUsers(network, cluster, host),
            where={key: name for (name, key), asks in asked.items() if network in asks.pinned},
            had={key: dict(replica.addresses).get(network, "") for key, replica in before.items()},
        )
        for key, address in scene.chosen().items():
            pins.setdefault(key, {})[network] = address
            if (had := scene.had.get(key)) and had != address:
                given_up[key, network] = f"{had} ({scene.why_lost(key, had)})"
        for (name, key), asks in asked.items():
            if why := scene.why_held(name, key, asks, pins.get(key, {}).get(network, "")):
                held.setdefault(key, why)

    def pinned(name: str, replica: Replica) -> Replica:
        key = replica.key
        kept = dict(before[key].addresses) if key in before and asked[name, key].unknown else {}
        addresses = {**kept, **pins.get(key, {})}
        return replace(
            replica, addresses=tuple(sorted(addresses.items())), held=replica.held or held.get(key, "")
        )

    assignments = {
        name: replace(each, replicas=tuple(pinned(name, replica) for replica in each.replicas))
        for name, each in wanted.items()
    }
    return Pinned(assignments, given_up)


def _asks(intent: Intent, replica: Replica, cluster: ClusterState) -> Asks:
    spec = _spec(intent, replica, cluster)
    return Asks(unknown=True) if spec is None else asks_of(intent, spec)


def _spec(intent: Intent, replica: Replica, cluster: ClusterState) -> ContainerSpec | None:
    service = intent.service(replica.service)
    if service and spec_hash(service.spec) == replica.spec:
        return service.spec
    return cluster.specs.get(replica.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """One overlay, and who asks for an address on it."""

    network: str
    room: AddressPool
    holders: AddressUsers
    where: Mapping[Key, str]
    """Key of each replica that asks for a pinned one -> the host it is assigned to."""
    had: Mapping[Key, str]
    """What each replica has had so far; empty: nothing."""

    def chosen(self) -> dict[Key, str]:
        """The address of every replica that asks for one, where there is room."""
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
        """Why the replica must not start on `host` yet, in words; empty when it may."""
        if self.network in asks.pinned and not pinned:
            return self.room.why_none
        address = dict(asks.fixed).get(self.network) or (pinned if self.network in asks.pinned else "")
        holder = self.holders.in_the_way(address, key, host) if address else ""
        return f"{address} on {self.network} is held by {holder}" if holder else ""

    def why_lost(self, key: Key, had: str) -> str:
        """Why a replica cannot keep the address that it had, in words."""
        if not self.room.fits(had):
            return self.room.why_not
        holder = self.holders.taken_from(had, key, self.where[key])
        return f"it is held by {holder}" if holder else "another replica had it first"

    def _give(self, given: dict[str, Key], key: Key, address: str) -> None:
        fits = bool(address) and self.room.fits(address)
        if fits and address not in given and not self.holders.taken_from(address, key, self.where[key]):
            given[address] = key

    def _free(self, given: frozenset[str]) -> Iterator[str]:
        # What a replica has had is kept free for it also while it cannot be given: its container may still run with it.
        taken = {*given, *self.holders.addresses}
        return (each for each in self.room.addresses() if each not in taken)


def _room(intent: Intent, network: str, cluster: ClusterState, host: HostState | None) -> AddressPool:
    declared = intent.network(network)
    fixed = frozenset(
        each.ipv4_address
        for spec in (*(service.spec for service in intent.services), *cluster.specs.values())
        for each in spec.networks
        if each.network == network and each.ipv4_address
    )
    unknown = AddressPool(network=network, fixed=fixed)
    if host is not None and sees_overlays(host):
        if found := host.network(network):
            allocated = found.driver and found.subnet
            return (
                replace(unknown, subnet=found.subnet, gateway=found.gateway or "") if allocated else unknown
            )
    elif cluster.record and cluster.record.swarm_id:
        return unknown  # it may be there, as declared or not
    if declared is None or declared.subnet is None:
        return unknown
    return replace(unknown, subnet=declared.subnet, gateway=str(declared.gateway or ""))
