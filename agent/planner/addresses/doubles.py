"""Two copies with one address of an overlay: the swarm gives them out, and engines have been seen to give one twice.

That happens when the swarm's leader changes while many containers start (docs/engine-quirks.md). Neither host can see
it, and peers reach now the one and now the other; the leader sees both.
"""

from agent.model.observed import ClusterState
from agent.model.steps import Blocked, Plan

PREDICTED = "(address)"
"""What a prediction has in the place of an address that the swarm will choose: no two of these are one."""

Place = tuple[str, str]
"""(container, host)"""


def plan_doubles(cluster: ClusterState) -> Plan:
    """Say of every running copy but the first with an address that it has somebody else's, and what cures that."""
    holders: dict[tuple[str, str], list[Place]] = {}
    for host in sorted(cluster.present):
        status = cluster.status_of(host)
        for copy in status.copies if status and status.engine_up else ():
            for network, address in copy.addresses if copy.status == "running" else ():
                if address not in ("", PREDICTED) and network in _overlays(cluster):
                    holders.setdefault((network, address), []).append((copy.name, host))
    return Plan(
        blocked=tuple(
            Blocked(
                resource=f"container/{name}", reason=_reason(host, address, network, first), kind="overlap"
            )
            for (network, address), (first, *others) in sorted(holders.items())
            for name, host in others
        )
    )


def _overlays(cluster: ClusterState) -> frozenset[str]:
    return frozenset(cluster.record.networks) if cluster.record else frozenset()


def _reason(host: str, address: str, network: str, first: Place) -> str:
    return (
        f"on {host} it has {address} of {network}, as {first[0]} on {first[1]} has: the swarm has given it out twice; "
        "`docker rm --force` of this container there, and it is made anew with another one"
    )
