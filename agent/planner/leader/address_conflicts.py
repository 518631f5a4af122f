"""Duplicate addresses: two replicas with one address of an overlay.

Swarm can assign one address twice when the raft leader changes while many containers start (docs/engine-quirks.md).
Neither host can detect it, and peers reach either replica at random. The leader sees both reports, and orders all but
one of the replicas to be recreated.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from agent.model.observed import ClusterState
from agent.model.plan import Plan, blocked_plan
from agent.model.records import Assignment, Replica, StartObstacle
from agent.model.spec import Key
from agent.model.status import ReplicaReport

PREDICTED = "(address)"
"""Placeholder of a dry run for an address that Swarm will choose. It never counts as a duplicate address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _User:
    """A running replica with an address, on a host with presence."""

    host: str
    replica: ReplicaReport
    asks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Conflict:
    """A replica (`user`) with the address of another one (`first`), which keeps it."""

    network: str
    address: str
    user: _User
    first: _User

    @property
    def why(self) -> str:
        first = f"{self.first.replica.name} on {self.first.host}"
        return f"it has {self.address} of {self.network}, as {first} has: duplicate address assigned by Swarm"

    @property
    def remedy(self) -> str:
        what = "this container is recreated with another address"
        if self.user.asks:
            what = "both ask for it; `docker rm --force` the one that may be recreated"
        return f"on {self.user.host} {self.why}; {what}"


def plan_address_conflicts(cluster: ClusterState) -> Plan:
    """Block each running replica that has another replica's address, with the remedy as reason."""
    plan = Plan()
    for each in _conflicts(cluster):
        plan += blocked_plan(f"container/{each.user.replica.name}", "overlap", each.remedy)
    return plan


def with_recreations(wanted: Mapping[str, Assignment], cluster: ClusterState) -> dict[str, Assignment]:
    """Return `wanted` with the container to recreate for each replica that has another replica's address.

    A replica that asks for that address is left out: its new container would ask for the same address again.
    """
    conflicts = {
        (each.user.host, *each.user.replica.key): (each.user.replica.id, each.why)
        for each in _conflicts(cluster)
        if not each.user.asks
    }
    if not conflicts:
        return dict(wanted)

    def recreated(host: str, replica: Replica) -> Replica:
        found = conflicts.get((host, *replica.key))
        return replace(replica, recreate=(found,)) if found else replica

    return with_replicas(wanted, recreated)


def with_replicas(
    assignments: Mapping[str, Assignment], change: Callable[[str, Replica], Replica]
) -> dict[str, Assignment]:
    """Return the assignments after `change` on (host, replica) of each replica."""
    changed = {
        host: tuple(change(host, replica) for replica in each.replicas) for host, each in assignments.items()
    }
    return {
        host: each if changed[host] == each.replicas else replace(each, replicas=changed[host])
        for host, each in assignments.items()
    }


def _conflicts(cluster: ClusterState) -> Iterable[_Conflict]:
    """Yield the conflicts by address. The replica that asks for the address keeps it, else the one started first."""
    overlays = frozenset(cluster.record.networks) if cluster.record else frozenset()
    if not (shared := _shared(cluster)):
        return
    users: defaultdict[tuple[str, str], list[_User]] = defaultdict(list)
    for host in sorted(cluster.present):
        status = cluster.status_of(host)
        for replica in status.replicas if status and status.engine_up else ():
            for network, address in shared.intersection(
                replica.addresses if replica.status == "running" else ()
            ):
                if network in overlays:
                    asks = _asks(cluster, replica, network)
                    users[network, address].append(_User(host=host, replica=replica, asks=asks))
    for (network, address), each in sorted(users.items()):
        each.sort(key=lambda one: (not one.asks, one.replica.started_at, one.replica.name))
        first, *others = each
        for other in others:
            yield _Conflict(network=network, address=address, user=other, first=first)


def _shared(cluster: ClusterState) -> frozenset[tuple[str, str]]:
    """Return the (network, address) that several running replicas report."""
    statuses = filter(None, map(cluster.status_of, cluster.present))
    found = [*chain.from_iterable(each.running_at for each in statuses if each.engine_up)]
    if len(found) == len({*found}):
        return frozenset()
    counts = Counter(found)
    return frozenset(pair for pair in counts if counts[pair] > 1 and pair[1] != PREDICTED)


def _asks(cluster: ClusterState, replica: ReplicaReport, network: str) -> bool:
    """Return True if the replica asks for its address by reservation or spec, or if its spec is unknown."""
    spec = cluster.specs.get(replica.spec)
    fixed = spec is None or any(each.network == network and each.ipv4_address for each in spec.networks)
    return fixed or network in dict(replica.reserved)


# ---- Replicas that wait for each other


def first_of_cycles(obstacles: Mapping[Key, StartObstacle]) -> frozenset[Key]:
    """Return the first replica of each set whose members wait for each other's addresses: one of them must stop."""
    names = {f"replica/{service}-{slot}": (service, slot) for service, slot in obstacles}
    found = set()
    for key in obstacles:
        cycle, at = [key], names.get(obstacles[key].on)
        while at is not None and at not in cycle:
            cycle.append(at)
            at = names.get(obstacles[at].on)
        if at == key:
            found.add(min(cycle))
    return frozenset(found)
