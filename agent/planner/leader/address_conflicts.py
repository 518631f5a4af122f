"""Two replicas with one address of an overlay.

The swarm gives them out, and engines have been seen to give one address to two.

That happens when the swarm's leader changes while many containers start (docs/engine-quirks.md). Neither host can see
it, and peers reach now the one and now the other; the leader sees both, and has all but one of them recreated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from agent.model.observed import ClusterState
from agent.model.plan import Blocked, Plan
from agent.model.records import Assignment
from agent.model.status import ReplicaReport

PREDICTED = "(address)"
"""What a prediction has in the place of an address that the swarm will choose: no two of these are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    """A replica that runs on a host whose agent is there, and asks for its address or was given it."""

    host: str
    replica: ReplicaReport
    asks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Conflict:
    """A replica with an address that `first` has as well."""

    network: str
    address: str
    holder: _Holder
    first: _Holder

    @property
    def why(self) -> str:
        first = f"{self.first.replica.name} on {self.first.host}"
        return f"it has {self.address} of {self.network}, as {first} has: the swarm gave the same address to both"


def plan_address_conflicts(cluster: ClusterState) -> Plan:
    """Say of every running replica but one with an address that it has somebody else's, and what becomes of it."""
    return Plan(
        blocked=tuple(
            Blocked(resource=f"container/{each.holder.replica.name}", reason=_said(each), kind="overlap")
            for each in _conflicts(cluster)
        )
    )


def with_recreations(wanted: Mapping[str, Assignment], cluster: ClusterState) -> dict[str, Assignment]:
    """`wanted`, in which a replica whose address somebody else has names the container that is to be recreated.

    Not one that asks for just that address: it would ask again, and get it from nobody.
    """
    recreations = {
        (each.holder.host, *each.holder.replica.key): (each.holder.replica.id, each.why)
        for each in _conflicts(cluster)
        if not each.holder.asks
    }
    return {
        host: replace(
            assignment,
            replicas=tuple(
                replace(replica, recreate=(recreations[key],))
                if (key := (host, *replica.key)) in recreations
                else replica
                for replica in assignment.replicas
            ),
        )
        for host, assignment in wanted.items()
    }


def _conflicts(cluster: ClusterState) -> Iterable[_Conflict]:
    """In the order of the addresses. The one that asks for the address keeps it, else the one that had it first."""
    overlays = frozenset(cluster.record.networks) if cluster.record else frozenset()
    holders: dict[tuple[str, str], list[_Holder]] = {}
    for host in sorted(cluster.present):
        status = cluster.status_of(host)
        for replica in status.replicas if status and status.engine_up else ():
            for network, address in replica.addresses if replica.status == "running" else ():
                if address not in ("", PREDICTED) and network in overlays:
                    asks = _asks(cluster, replica, network)
                    holders.setdefault((network, address), []).append(
                        _Holder(host=host, replica=replica, asks=asks)
                    )
    for (network, address), each in sorted(holders.items()):
        first, *others = sorted(
            each, key=lambda one: (not one.asks, one.replica.started_at, one.replica.name)
        )
        for other in others:
            yield _Conflict(network=network, address=address, holder=other, first=first)


def _asks(cluster: ClusterState, replica: ReplicaReport, network: str) -> bool:
    """Whether it has the address by a pin or by its spec; one whose spec is not known may."""
    spec = cluster.specs.get(replica.spec)
    fixed = spec is None or any(each.network == network and each.ipv4_address for each in spec.networks)
    return fixed or network in dict(replica.pinned)


def _said(conflict: _Conflict) -> str:
    where, what = f"on {conflict.holder.host} {conflict.why}", "it is recreated with another one"
    if conflict.holder.asks:
        what = "both ask for it; `docker rm --force` the one of them that may be recreated"
    return f"{where}; {what}"
