"""An overlay of ours that is declared otherwise than it is. Docker changes no network: it is recreated.

That restarts everything on it, so it needs the operator's word, and what is not ours is never restarted. In this order,
each part planned from what is seen, so that it can stop and go on anywhere:

1. The leader names the overlay in the swarm's record, once nothing is in the way (`to_recreate`).
2. Every host stops its replicas on it and disconnects them (host/making_way.py).
3. When nobody is on it any more the leader removes it; dockerd refuses that while anybody is, wherever in the swarm.
4. It is missing then, and created as any missing one; the hosts connect and start their replicas.

Should something come into the way before the third part, the name goes out of the record again and the replicas come
back on the overlay as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.diff.networks import is_ours, others_on, overlay_faults, sees_overlays
from agent.diff.nodes import etcd_of
from agent.model.host_state import NetworkState
from agent.model.intent import Intent, NetworkIntent
from agent.model.leader_steps import CreateOverlay, RemoveOverlay
from agent.model.observed import ClusterState, Observed
from agent.model.phrases import short_id
from agent.model.plan import BlockedKind, Plan, blocked_plan
from agent.model.status import AttachedReport, HostStatus, ReplicaReport

# ---- Overlay networks: created once by the leader (changing one: recreate.py)


def plan_overlays(intent: Intent, observed: Observed) -> Plan:
    """Create the overlays that are missing; report those of others that are not as declared."""
    host = observed.host
    assert host is not None
    if not sees_overlays(host):
        return Plan()
    plan = Plan()
    for wanted in intent.networks:
        if wanted.driver == "overlay":
            plan += _plan_overlay(wanted, host.network(wanted.name))
    return plan


def _plan_overlay(wanted: NetworkIntent, found: NetworkState | None) -> Plan:
    resource = f"network/{wanted.name}"
    if found is None and wanted.external:
        return blocked_plan(resource, "dependency", "declared external, but the swarm has none of that name")
    if found is None:
        return Plan((CreateOverlay(network=wanted, reason="declared, and missing in the swarm"),))
    if not is_ours(wanted, found) and (faults := overlay_faults(wanted, found)):
        why_not = "an existing overlay that no agent of this cluster made is not changed"
        return blocked_plan(resource, "foreign", f"{'; '.join(faults)}: {why_not}")
    return Plan()


# ----
# Whether the hosts that share an overlay have heard of each other there: without it names and addresses lead
# nowhere.
#
# dockerd tells of an overlay which hosts' gossip about it reached this one. A host that is cut off is missed
# within 10 s, one that comes is known within 1 s. What it does not tell: whether the way of the packets is
# open (a firewall that drops the overlay's UDP port), and a way that is cut between two hosts only, as long
# as a third one reaches both (docs/engine-quirks.md).


def unseen_peers(statuses: Mapping[str, HostStatus], intent: Intent, around: str = "") -> tuple[str, ...]:
    """Who does not see whom, of each two hosts with running replicas on one overlay: both must see the other there.

    With `around` only what is missing between that host and the others counts. Sorted, in words; empty when all see
    each other. A host that did not say whom it sees counts as seeing nobody.
    """
    unseen: list[str] = []
    for overlay in sorted(each.name for each in intent.networks if each.driver == "overlay"):
        on_it = {name: each for name, each in sorted(statuses.items()) if _runs_on(each, overlay)}
        for name, status in on_it.items():
            seen = _peers(status, overlay)
            wanted = [other for other in on_it if other != name and around in ("", name, other)]
            if missed := [other for other in wanted if on_it[other].swarm_address not in seen]:
                unseen.append(f"{name} does not see {', '.join(missed)} on {overlay}")
    return tuple(unseen)


def _runs_on(status: HostStatus, overlay: str) -> bool:
    running = (each for each in status.replicas if each.status in ("running", "paused"))
    return any(dict(each.addresses).get(overlay) for each in running)


def _peers(status: HostStatus, overlay: str) -> frozenset[str]:
    return frozenset(peer for each in status.networks if each.name == overlay for peer in each.peers)


POLICY = "x-cluster.policy.allow_network_recreate"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """An overlay of ours that is not as declared, and why."""

    found: NetworkState
    why: str

    @property
    def name(self) -> str:
        return self.found.name


def plan_recreations(intent: Intent, observed: Observed) -> Plan:
    """The leader's part: remove what nobody is on any more; say what is waited for, or which word is missing."""
    plan = Plan()
    for change in _changes(intent, observed):
        plan += _plan_change(change, intent, etcd_of(observed))
    return plan


def to_recreate(intent: Intent, observed: Observed) -> tuple[str, ...]:
    """Names of the overlays that the hosts shall take their replicas off now, sorted."""
    if not intent.policy.allow_network_recreate:
        return ()
    ready = (
        change.name
        for change in _changes(intent, observed)
        if change.found.driver and _in_the_way(change, etcd_of(observed)) == Plan()
    )
    return tuple(sorted(ready))


def _changes(intent: Intent, observed: Observed) -> Iterator[_Change]:
    host = observed.host
    if host is None or not sees_overlays(host):
        return
    for wanted in intent.networks:
        found = host.network(wanted.name)
        if wanted.driver != "overlay" or found is None or not is_ours(wanted, found):
            continue
        if faults := overlay_faults(wanted, found):
            yield _Change(found=found, why="; ".join(faults))


def _plan_change(change: _Change, intent: Intent, cluster: ClusterState) -> Plan:
    remove = Plan((RemoveOverlay(network=change.name, id=change.found.id, reason=change.why),))
    if not change.found.driver:
        return remove  # never allocated: no container ever got onto it
    if not intent.policy.allow_network_recreate:
        return _guarded(change, intent, cluster)
    if (obstacle := _in_the_way(change, cluster)) != Plan():
        return obstacle
    if cluster.record is None or change.name not in cluster.record.recreating:
        return Plan()  # swarm.py says it to the hosts
    if left := _still_on(change, cluster):
        return _blocked(change, "waiting", f"is recreated; still on it: {', '.join(left)}")
    return remove


def _guarded(change: _Change, intent: Intent, cluster: ClusterState) -> Plan:
    touched = [
        f"on {host} {', '.join(_with_ports(replica, intent) for replica in replicas)}"
        for host, replicas in _replicas_on(change.name, cluster)
    ]
    others = _strangers(change, cluster)
    what = "; ".join((*touched, *(f"not ours: {each}" for each in others))) or "nothing is on it"
    needed = f"to recreate it with all that is on it ({what}) write {POLICY}: true"
    return _blocked(change, "guard", needed)


def _in_the_way(change: _Change, cluster: ClusterState) -> Plan:
    """Why its replicas must not be stopped for it, as something blocked; an empty plan: they may."""
    if others := _strangers(change, cluster):
        return _blocked(
            change, "foreign", f"is not recreated while others than ours are on it: {', '.join(others)}"
        )
    disruption = cluster.disruption
    if disruption and disruption.state != "released":
        return _blocked(
            change,
            "waiting",
            f"is recreated when {disruption.host} has released the disruption slot: {disruption.reason}",
        )
    if away := _away(change, cluster):
        return _blocked(change, "waiting", f"is recreated once these are there: {', '.join(away)}")
    return Plan()


def _strangers(change: _Change, cluster: ClusterState) -> tuple[str, ...]:
    """Who else is on it: by name where an agent tells, else as the swarm knows it."""
    named = [
        f"{each.name} on {host}"
        for host, status in sorted(cluster.statuses.items())
        for each in _foreign(status)
        if change.name in each.networks
    ]
    unnamed = [
        f"container {short_id(what)} on node {node}" if node else what
        for what, node in others_on(change.found, cluster)
    ]
    return (*named, *unnamed)


def _foreign(status: HostStatus) -> Iterator[AttachedReport]:
    ours = {each.id for each in status.replicas}
    return (each for each in status.attached if each.id not in ours)


def _away(change: _Change, cluster: ClusterState) -> tuple[str, ...]:
    """Who would have to take replicas off it and cannot, or has never said whether any are there."""
    silent = (
        f"the first report of {host}" for host in sorted(cluster.present) if host not in cluster.statuses
    )
    away = [
        f"the {'dockerd' if host in cluster.present else 'agent'} of {host} "
        f"({', '.join(each.name for each in replicas)})"
        for host, replicas in _replicas_on(change.name, cluster)
        if host not in cluster.present or not cluster.statuses[host].engine_up
    ]
    return (*silent, *away)


def _still_on(change: _Change, cluster: ClusterState) -> tuple[str, ...]:
    replicas = [
        f"{replica.name} on {host}"
        for host, several in _replicas_on(change.name, cluster)
        for replica in several
    ]
    # A report may be older than what the swarm knows by itself.
    return tuple(replicas) or tuple(short_id(what) for what, _ in change.found.users)


def _replicas_on(network: str, cluster: ClusterState) -> tuple[tuple[str, tuple[ReplicaReport, ...]], ...]:
    """(host, replicas) of the hosts that reported replicas which belong to the network, running or not."""
    found = (
        (host, tuple(each for each in status.replicas if network in dict(each.addresses)))
        for host, status in sorted(cluster.statuses.items())
    )
    return tuple((host, replicas) for host, replicas in found if replicas)


def _with_ports(replica: ReplicaReport, intent: Intent) -> str:
    service = intent.service(replica.service)
    ports = [
        f"{each.published}/{each.protocol}"
        for each in (service.spec.ports if service else ())
        if each.published
    ]
    return f"{replica.name} (publishes {', '.join(ports)})" if ports else replica.name


def _blocked(change: _Change, kind: BlockedKind, reason: str) -> Plan:
    return blocked_plan(f"network/{change.name}", kind, f"{change.why}: {reason}")
