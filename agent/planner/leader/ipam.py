"""Address reservations on overlays: the leader chooses an address for a replica and writes it into the assignment.

The policy or the spec of a replica asks for a reservation. The replica keeps its reserved address on every host and in
every container. The first reservation is the address that the replica runs with, so that nothing restarts. Otherwise
it is the highest free address: Swarm assigns from the lowest address upwards, so the two ranges meet only when the
subnet is full (docs/engine-quirks.md).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import NamedTuple

from agent.diff.networks import Asks, asks_of, found_for, sees_overlays
from agent.diff.nodes import why_absent
from agent.diff.replicas import AGAIN, STOPPABLE, is_about_an_address
from agent.model.host_state import Attached, HostState, NetworkState
from agent.model.intent import Intent, NetworkIntent
from agent.model.observed import ClusterState
from agent.model.phrases import short_id
from agent.model.records import Assignment, Replica, StartObstacle
from agent.model.spec import Key, Pairs
from agent.model.status import HostStatus, ReplicaReport
from agent.planner.leader.address_conflicts import first_of_cycles, with_replicas

# ---- The users of the addresses of an overlay, from the hosts' reports and from Swarm's list of endpoints
#
# A report and Swarm's list are never from the same moment. A container that Swarm lists and no report names is
# uncertain: it may be a managed one that has just started or ended. An uncertain user neither takes an address from a
# replica nor frees one. Exception: if two starts of a replica failed, the uncertain user of its address is the cause.
# One may fail for an address that is free a moment later.
#
# Each host itself has an address on the overlay, which only that host reports, and only while a container is there. If
# dockerd refuses a reserved address twice as in use, that is taken for the cause too.


_SERVICE = "service "
_LEFT = "the swarm frees the address when the record of that node is removed"
_AWAY = "the swarm keeps the address until that host is back or its node is removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _User:
    """A user of an address: a container or a service."""

    text: str
    key: Key | None = None
    """Service and slot of a managed replica; None: not managed, or uncertain."""
    host: str = ""
    """Empty: the node belongs to no host that reports."""
    reachable: bool = True
    """True if the host reports its containers now."""
    certain: bool = True
    """False if no report names the container."""
    left: bool = False
    """True if the node is a previous one of `host`: the swarm frees the address when the record of that node goes."""


class _Reports:
    """The users that the hosts report: read once for all overlays."""

    def __init__(self, cluster: ClusterState) -> None:
        self.known: dict[tuple[str, str], _User] = {}
        self.on: defaultdict[str, list[tuple[str, _User]]] = defaultdict(list)
        self.failed: set[tuple[str, Key | None]] = set()
        self.kept: dict[tuple[str, Key, str], str] = {}
        """Host, replica and overlay -> its reserved address there while it runs with it, whatever its assignment has.
        Its host lets it keep that one."""
        for name, status in sorted(cluster.statuses.items()):
            reachable = not why_absent(name, cluster)
            for net in filter(attrgetter("own_address"), status.networks):
                own = _User(text=f"{name}'s own endpoint on {net.name}", host=name, reachable=reachable)
                self.on[net.name].append((net.own_address, own))
            self.known |= {(name, each.id): _reported(each, name, cluster) for each in status.attached}
            for each in status.replicas:
                user = self.known[name, each.id] = _reported(each, name, cluster)
                # A dockerd that was killed still shows the addresses of containers that ended with it.
                if each.status in STOPPABLE:
                    for network, address in filter(itemgetter(1), each.addresses):
                        self.on[network].append((address, user))
                        if reachable and (network, address) in each.reserved:
                            self.kept[name, each.key, network] = address
                elif reachable and each.error and _failed_again(each, status):
                    self.failed.add((name, each.key))
                    why = f"an endpoint of {name} itself: its dockerd refused the address as in use, twice"
                    for network, address in _refused(each):
                        self.on[network].append((address, _User(text=why, host=name)))


class AddressUsers:
    """All users of one overlay, `seen` on the leader's `host`. None: it lists none, or its dockerd does not answer."""

    def __init__(
        self,
        network: str,
        cluster: ClusterState,
        reports: _Reports,
        host: HostState | None,
        seen: NetworkState | None,
        previous: Mapping[str, str],
    ) -> None:
        self._cluster, self._failed = cluster, reports.failed
        self._by_address: defaultdict[str, list[_User]] = defaultdict(list)
        self.live: dict[tuple[str, Key], str] = {}
        """(host, replica) -> the address that it has there now."""
        given_out = seen.address_users if seen else None
        for address, user in reports.on[network]:
            if user.key and user.reachable:
                self.live[user.host, user.key] = address
            # Swarm's list is more recent than the report of an unreachable host.
            if user.reachable or given_out is None:
                self._by_address[address].append(user)
        nodes = {status.node_id: name for name, status in cluster.statuses.items() if status.node_id}
        listed = {each.id for each in (host.swarm.nodes if host else None) or ()}
        for address, what, node in given_out or ():
            on = nodes.get(node, "")
            if node not in nodes and (node in previous or (listed and node and node not in listed)):
                user = self._of_previous_node(what, previous.get(node, ""), node)
            else:
                user = self._given_out(what, reports.known.get((on, what)), on, node)
            self._by_address[address].append(user)

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(self._by_address)

    def why_taken(self, address: str, key: Key, host: str) -> str:
        """Describe the user that prevents the replica, assigned to `host`, from keeping the address; empty: none.

        The replica's own container on another reachable host will free the address, and does not count. A previous node
        of `host`, or of a host that is another node by now, goes as well.
        """
        others = self.others(address, key, host)
        return next((each.text for each in others if not self._goes(each, key, host)), "")

    def _goes(self, user: _User, key: Key, host: str) -> bool:
        """Return True if the user will free the address without another host's help."""
        if not user.left:
            return user.key == key and user.reachable
        if user.host in ("", host):
            return True
        return (
            not why_absent(user.host, self._cluster) and self._cluster.statuses[user.host].state == "active"
        )

    def others(self, address: str, key: Key, host: str) -> Iterator[_User]:
        """Yield the present users of an address that is reserved for the replica on `host`."""
        for each in self._by_address.get(address, ()):
            if each.left:
                other = True
            elif each.certain:
                other = (each.host, each.key) != (host, key)
            elif each.reachable:
                other = (host, key) in self._failed
            else:
                other = each.host != host
            if other:
                yield each

    def _given_out(self, what: str, named: _User | None, host: str, node: str) -> _User:
        if what.startswith(_SERVICE):
            return _User(text=f"the {what}")
        if named:
            return named
        reachable, remedy = not why_absent(host, self._cluster), _AWAY
        if reachable:
            remedy = f"{host} has no such container; restart dockerd on {host} to free the address"
        text = f"container {short_id(what)} on {host or f'node {node}'}: {remedy}"
        return _User(text=text, host=host, reachable=reachable, certain=False)

    def _of_previous_node(self, what: str, host: str, node: str) -> _User:
        on = f"{host}'s previous node {short_id(node)}" if host else f"the removed node {short_id(node)}"
        text = f"container {short_id(what)} on {on}: {_LEFT}"
        return _User(text=text, host=host, reachable=False, certain=False, left=True)


def _failed_again(found: ReplicaReport, status: HostStatus) -> bool:
    """Return True if not only the first start of a container failed that has an error now."""
    own = f"container/{found.name}-"
    attempts = (each.attempts for each in status.blocked if own.startswith(f"{each.resource}-"))
    return found.name.endswith(AGAIN) or max(attempts, default=0) > 1


def _refused(found: ReplicaReport) -> Pairs:
    """Return (overlay, address) of the reserved addresses one of which dockerd refused; none for another error."""
    changed = {each.subject for each in found.differences}  # the container asks for an earlier address there
    refused = found.reserved if is_about_an_address(found.error) else ()
    return tuple(each for each in refused if each[0] not in changed)


def _reported(found: Attached | ReplicaReport, host: str, cluster: ClusterState) -> _User:
    """Return a container in the report of `host` as a user."""
    reachable, key = not why_absent(host, cluster), found.key if isinstance(found, ReplicaReport) else None
    text = f"{found.name} on {host}" if reachable else f"{found.name} on {host}: {_AWAY}"
    return _User(text=text, key=key, host=host, reachable=reachable)


# ---- The address pool: the addresses of an overlay that may be reserved


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPool:
    subnet: IPv4Network | None = None
    """None: unknown at the moment. Existing reservations stay, and no new ones are made."""
    gateway: str = ""
    fixed: frozenset[str] = frozenset()
    """Addresses that specs fix (`ipv4_address`)."""

    def fits(self, address: str) -> bool:
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
        """Yield all addresses that may be reserved, the highest first."""
        if self.subnet is None:
            return
        first, last = int(self.subnet.network_address), int(self.subnet.broadcast_address)
        for number in range(last - 1, first, -1):
            address = str(IPv4Address(number))
            if address != self.gateway and address not in self.fixed:
                yield address


Assignments = Mapping[str, Assignment]


class Reserved(NamedTuple):
    assignments: dict[str, Assignment]
    given_up: Mapping[tuple[Key, str], str]
    """Replica and overlay -> the previous address, and why the replica could not keep it."""


def reserve_addresses(
    intent: Intent,
    wanted: Assignments,
    current: Assignments,
    cluster: ClusterState,
    host: HostState | None,
    previous: Mapping[str, str] = MappingProxyType({}),
) -> Reserved:
    """Return `wanted` with all reservations, and with the reason (`held`) for each replica that must wait for one.

    `host` is the leader's own; None while its dockerd does not answer. `previous`: node id -> host, of the nodes that
    their hosts have left. Deterministic. No two replicas get one address.
    """
    if not (asked := _asked(intent, wanted, cluster)):
        return Reserved(dict(wanted), {})
    before = {replica.key: replica for _, each in sorted(current.items()) for replica in each.replicas}
    reserved: dict[Key, dict[str, str]] = {}
    obstacles: dict[Key, StartObstacle] = {}
    given_up: dict[tuple[Key, str], str] = {}
    on = _by_overlay(asked)
    reports, had = _Reports(cluster), {key: dict(each.addresses) for key, each in before.items()}
    for network in sorted(on):
        declared = intent.network(network)
        seen = found_for(declared, host, cluster.record) if declared and host else None
        overlay = _Overlay(
            network=network,
            pool=_pool(intent, network, cluster, host, seen),
            users=AddressUsers(network, cluster, reports, host, seen, previous),
            where={key: name for name, key, asks in on[network] if network in asks.reserved},
            had={
                key: reports.kept.get((name, key, network)) or had.get(key, {}).get(network, "")
                for name, key, _ in on[network]
            },
        )
        for key, address in overlay.chosen().items():
            reserved.setdefault(key, {})[network] = address
            if (lost := overlay.had.get(key)) and lost != address:
                given_up[key, network] = f"{lost} ({overlay.why_lost(key, lost)})"
        for name, key, asks in on[network]:
            found = overlay.held(name, key, asks, reserved.get(key, {}).get(network, ""))
            if found.why:
                obstacles.setdefault(key, found)

    first = first_of_cycles(obstacles)

    def with_addresses(name: str, replica: Replica) -> Replica:
        key = replica.key
        kept = had.get(key, {}) if asked[name, key].unknown else {}
        addresses = {**kept, **reserved.get(key, {})}
        if addresses:
            replica = replace(replica, addresses=tuple(sorted(addresses.items())))
        if replica.held or key not in obstacles:
            return replica
        why, on, fault = obstacles[key]
        return replace(replica, held=why, waits_on=on, held_by_fault=fault, stops_first=key in first)

    return Reserved(with_replicas(wanted, with_addresses), given_up)


def _asked(intent: Intent, wanted: Assignments, cluster: ClusterState) -> dict[tuple[str, Key], Asks]:
    """Return what each replica asks for, by its host and key; empty if none asks for an address."""
    specs = frozenset[tuple[str, str]]().union(*(each.specs for each in wanted.values()))
    asks = {each: _asks(intent, *each, cluster) for each in specs}
    if not any(each.overlays or each.unknown for each in asks.values()):
        return {}
    return {
        (name, replica.key): asks[replica.service, replica.spec]
        for name, each in sorted(wanted.items())
        for replica in each.replicas
    }


def _by_overlay(asked: Mapping[tuple[str, Key], Asks]) -> Mapping[str, list[tuple[str, Key, Asks]]]:
    """Return overlay -> (host, replica, what it asks for)."""
    on: defaultdict[str, list[tuple[str, Key, Asks]]] = defaultdict(list)
    for (name, key), asks in asked.items():
        for network in asks.overlays:
            on[network].append((name, key, asks))
    return on


def _asks(intent: Intent, name: str, digest: str, cluster: ClusterState) -> Asks:
    service, spec = intent.service(name), cluster.specs.get(digest)
    if service and service.spec_hash == digest:
        spec = service.spec
    return Asks(unknown=True) if spec is None else asks_of(intent, spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Overlay:
    """One overlay, and the replicas that ask for a reservation on it."""

    network: str
    pool: AddressPool
    users: AddressUsers
    where: Mapping[Key, str]
    """Key of each replica that asks for a reservation -> the host it is assigned to."""
    had: Mapping[Key, str]
    """Key -> the previous reservation; empty: none."""

    def chosen(self) -> dict[Key, str]:
        """Return a reservation for each replica that asks for one, as far as the pool lasts."""
        given: dict[str, Key] = {}
        for key in sorted(self.where):
            self._give(given, key, self.had.get(key, ""))
        for key in sorted(self.where.keys() - {*given.values()}):
            self._give(given, key, self.users.live.get((self.where[key], key), ""))
        left = sorted(self.where.keys() - {*given.values()})
        # A previous reservation that cannot be kept stays out of the pool: the replica's container may still use it.
        taken = {*given, *self.users.addresses}
        free = (each for each in self.pool.addresses() if each not in taken)
        given |= dict(zip(free, left, strict=False))
        return {key: address for address, key in given.items()}

    def held(self, host: str, key: Key, asks: Asks, reserved: str) -> StartObstacle:
        """Return why the replica must not start on `host` yet; without a reason it may."""
        if self.network in asks.reserved and not reserved:
            why, subnet = f"the subnet of {self.network} is not known yet", self.pool.subnet
            if subnet:
                why = f"{self.network} has no free address in {subnet} to reserve"
            return StartObstacle(why, f"network/{self.network}", fault=subnet is not None)
        address = dict(asks.fixed).get(self.network) or (reserved if self.network in asks.reserved else "")
        user = next(self.users.others(address, key, host), None) if address else None
        if user is None:
            return StartObstacle()
        why = f"{address} on {self.network} is used by {user.text}"
        if user.host and (user.key == key or not user.reachable):
            return StartObstacle(why, f"host/{user.host}")
        if user.key is None:
            return StartObstacle(why, fault=True)
        service, slot = user.key
        return StartObstacle(why, f"replica/{service}-{slot}")

    def why_lost(self, key: Key, had: str) -> str:
        """Return why a replica cannot keep its previous address."""
        if not self.pool.fits(had):
            return f"it is fixed for another replica, is the gateway, or is outside {self.pool.subnet}"
        user = self.users.why_taken(had, key, self.where[key])
        return f"it is used by {user}" if user else "it was reserved for another replica first"

    def _give(self, given: dict[str, Key], key: Key, address: str) -> None:
        fits = bool(address) and self.pool.fits(address)
        if fits and address not in given and not self.users.why_taken(address, key, self.where[key]):
            given[address] = key


def _pool(
    intent: Intent, network: str, cluster: ClusterState, host: HostState | None, found: NetworkState | None
) -> AddressPool:
    fixed = frozenset(
        each.ipv4_address
        for spec in (*(service.spec for service in intent.services), *cluster.specs.values())
        for each in spec.networks
        if each.network == network and each.ipv4_address
    )
    known: NetworkState | NetworkIntent | None = intent.network(network)
    if host is not None and sees_overlays(host):
        if found:
            known = found if found.driver else None  # else the swarm has not allocated it
    elif cluster.record and cluster.record.swarm_id:
        known = None  # the overlay may exist, as declared or not
    if known is None or known.subnet is None:
        return AddressPool(fixed=fixed)
    return AddressPool(subnet=known.subnet, gateway=str(known.gateway or ""), fixed=fixed)
