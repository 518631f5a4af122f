"""Overlays: creation, and recreation of a managed overlay that is not as declared, as Docker cannot change a network.

A recreation restarts every replica on the overlay, so the operator must allow it in the document. Containers that are
not managed are never restarted. Each part is planned from the observed state, so it can be interrupted at any point:

1. The leader names the overlay in the swarm's record, once there is no obstacle (`to_recreate`).
2. Every host stops its replicas on it and disconnects them (detach for recreate).
3. The leader removes the overlay when it has no users; dockerd refuses that while a host in the swarm has one.
4. The leader creates it like any missing overlay; the hosts connect and start their replicas.

If an obstacle appears before part 3, the leader removes the name from the record, and the replicas return to the
overlay as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.diff import networks
from agent.diff.nodes import LeaderView
from agent.model.host_state import Attached, HostState, NetworkState, describe
from agent.model.intent import Intent, NetworkIntent
from agent.model.leader_steps import CreateOverlay, RemoveOverlay
from agent.model.observed import ClusterState
from agent.model.phrases import short_id
from agent.model.plan import BlockedKind, Plan, blocked_plan, waiting_plan
from agent.model.records import Disruption, SwarmRecord
from agent.model.status import HostStatus, ReplicaReport

# ---- Overlay networks: created once by the leader


def plan_overlays(intent: Intent, observed: LeaderView) -> Plan:
    """Create the missing overlays; block unmanaged overlays that are not as declared."""
    host, record = observed.host, observed.cluster.record
    if host is None or not networks.sees_overlays(host):
        return Plan()
    overlays = (each for each in intent.networks if each.driver == "overlay")
    return sum((_plan_overlay(each, host, record, observed.me) for each in overlays), Plan())


def _plan_overlay(wanted: NetworkIntent, host: HostState, record: SwarmRecord | None, me: str) -> Plan:
    found, resource = networks.found_for(wanted, host, record), f"network/{wanted.name}"
    others = [each for each in networks.strangers(wanted, host, record) if each.scope == "swarm"]
    if found is None and others:
        # Docker refuses a second network of the swarm with this name.
        reason = f"{networks.describe_network(others[0])} has this name: nothing of it is used or changed"
        return blocked_plan(resource, "foreign", f"{reason}; remove it, or declare another name")
    if found is None and wanted.external:
        reason = "declared external, but the swarm has no network of that name"
        return blocked_plan(resource, "dependency", reason)
    kept = [each for each in host.networks if each.left_behind and each.name == wanted.name]
    if found is None and kept and wanted.name in networks.refused_names(host):
        why = f"missing in the swarm, and dockerd of {me} cannot create it: it has kept the earlier overlay"
        remedy = f"run `systemctl restart docker` on {me}"
        return blocked_plan(resource, "foreign", f"{why} {short_id(kept[0].id)}; {remedy}")
    if found is None and record and wanted.name in dict(record.overlay_ids):
        # swarm.py publishes the record first: workers would take the new overlay for an earlier one.
        reason = "missing in the swarm: it is created once the key swarm no longer has its id"
        return waiting_plan(resource, reason)
    if found is None:
        return Plan((CreateOverlay(network=wanted, reason="declared, and missing in the swarm"),))
    wrong = describe(networks.overlay_differences(wanted, found))
    if wrong and not networks.is_ours(wanted, found):
        cause = "the overlay is not managed by this cluster, so it is not changed"
        return blocked_plan(resource, "foreign", f"{wrong}: {cause}")
    return Plan()


# ---- The peers on an overlay: hosts that are not peers cannot resolve or reach each other's containers
#
# For each overlay dockerd lists the hosts whose gossip reached this one. A host that is cut off disappears within 10 s,
# a new one appears within 1 s. The list does not show whether the data path is open (a firewall may drop the overlay's
# UDP port), nor a cut between two hosts that a third host reaches (docs/engine-quirks.md).


def unseen_peers(
    statuses: Mapping[str, HostStatus], intent: Intent, disruption: Disruption
) -> tuple[str, ...]:
    """Return which hosts with running replicas on an overlay the disrupted host does not see, or which do not see it.

    It reports its peers, as does any agent of format 1; without a list a host counts as seeing no host. The others
    report that they lack its address as of the grant: what they report does not count if it has another one now.
    """
    around, unseen = disruption.host, list[str]()
    for overlay in sorted(each.name for each in intent.networks if each.driver == "overlay"):
        on_it = {
            name: status
            for name, status in sorted(statuses.items())
            if any(
                dict(e.addresses).get(overlay) for e in status.replicas if e.status in ("running", "paused")
            )
        }
        if around not in on_it:
            continue
        known = on_it[around].swarm_address == disruption.address
        for name, status in on_it.items():
            mine = [each for each in status.networks if each.name == overlay]
            seen = {peer for each in mine for peer in each.peers}
            wanted = [other for other in on_it if other != name and around in (name, other)]
            missed = [other for other in wanted if on_it[other].swarm_address not in seen]
            if name != around and not status.refreshed and mine:
                missed = missed if known and any(around in each.unseen for each in mine) else []
            if missed:
                unseen.append(f"{name} does not see {', '.join(missed)} on {overlay}")
    return tuple(unseen)


POLICY = "x-cluster.policy.allow_network_recreate"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """A managed overlay that is not as declared, and the difference."""

    found: NetworkState
    why: str

    @property
    def name(self) -> str:
        return self.found.name


def plan_recreations(intent: Intent, observed: LeaderView) -> Plan:
    """Remove the overlays to recreate that have no users; block the others with the obstacle or the missing policy."""
    return sum((_plan_change(each, intent, observed.cluster) for each in _changes(intent, observed)), Plan())


def to_recreate(intent: Intent, observed: LeaderView) -> tuple[str, ...]:
    """Return the overlays from which the hosts must detach their replicas now, sorted."""
    cluster = observed.cluster
    allocated = (each for each in _changes(intent, observed) if each.found.driver)
    allowed = (each for each in allocated if _is_allowed(each, intent, cluster))
    return tuple(sorted(each.name for each in allowed if _obstacle(each, cluster) == Plan()))


def _is_allowed(change: _Change, intent: Intent, cluster: ClusterState) -> bool:
    """Return True if the document allows the recreation, or nothing that runs is lost by it.

    The latter is so if docker has started none of its replicas, as on an overlay with an option that dockerd cannot
    use. To undo that needs no more permission than to do it.
    """
    if intent.policy.allow_network_recreate:
        return True
    specs = cluster.specs.items()
    joining = {each for each, spec in specs if any(one.network == change.name for one in spec.networks)}
    replicas = [
        each
        for status in cluster.statuses.values()
        for each in status.replicas
        if change.name in dict(each.addresses) or each.spec in joining
    ]
    return bool(replicas) and all(each.error and each.status in ("created", "exited") for each in replicas)


def _changes(intent: Intent, observed: LeaderView) -> Iterator[_Change]:
    host = observed.host
    if host is None or not networks.sees_overlays(host):
        return
    for wanted in intent.networks:
        found = networks.found_for(wanted, host, observed.cluster.record)
        if wanted.driver != "overlay" or found is None or not networks.is_ours(wanted, found):
            continue
        if wrong := describe(networks.overlay_differences(wanted, found)):
            yield _Change(found=found, why=wrong)


def _plan_change(change: _Change, intent: Intent, cluster: ClusterState) -> Plan:
    remove = Plan((RemoveOverlay(network=change.name, id=change.found.id, reason=change.why),))
    if not change.found.driver:
        return remove  # never allocated, so it never had a container
    if not _is_allowed(change, intent, cluster):
        return _guarded(change, intent, cluster)
    if (obstacle := _obstacle(change, cluster)) != Plan():
        return obstacle
    if cluster.record is None or change.name not in cluster.record.recreating:
        return Plan()  # swarm.py publishes the record first
    users = _replicas_on(change.name, cluster).items()
    left = [f"{each.name} on {host}" for host, several in users for each in several]
    # A report may be older than Swarm's list of users.
    if left := left or [short_id(what) for what, _ in change.found.users]:
        return _waiting(change, f"recreation waits for its users to detach: {', '.join(left)}")
    return remove


def _guarded(change: _Change, intent: Intent, cluster: ClusterState) -> Plan:
    affected = [
        f"on {host} {', '.join(_with_ports(replica, intent) for replica in replicas)}"
        for host, replicas in _replicas_on(change.name, cluster).items()
    ]
    foreign = _foreign_users(change, cluster)
    what = "; ".join((*affected, *(f"not managed: {each}" for each in foreign))) or "no containers"
    needed = f"to recreate it with all its containers ({what}), set {POLICY}: true"
    return _blocked(change, "guard", needed)


def _obstacle(change: _Change, cluster: ClusterState) -> Plan:
    """Return a plan that blocks the recreation with its obstacle; an empty plan if there is none."""
    if foreign := _foreign_users(change, cluster):
        reason = f"not recreated while unmanaged containers use it: {', '.join(foreign)}"
        return _blocked(change, "foreign", reason)
    disruption = cluster.disruption
    if disruption and disruption.state != "released":
        reason = f"recreation waits until {disruption.host} releases the disruption slot: {disruption.reason}"
        return _waiting(change, reason, disruption.host)
    if missing := _missing_hosts(change, cluster):
        texts = ", ".join(text for _, text in missing)
        return _waiting(change, f"recreation waits for {texts}", missing[0][0])
    return Plan()


def _foreign_users(change: _Change, cluster: ClusterState) -> tuple[str, ...]:
    """Return the unmanaged users of the overlay: by name if an agent reports them, else as Swarm lists them."""
    named = [
        f"{each.name} on {host}"
        for host, status in sorted(cluster.statuses.items())
        for each in status.attached
        if all(each.id != replica.id for replica in status.replicas)
        and change.name in each.networks
        and _is_on_overlay(each, change.name, status)
    ]
    unnamed = [
        f"container {short_id(what)} on node {node}" if node else what
        for what, node in networks.others_on(change.found, cluster)
    ]
    return (*named, *unnamed)


def _is_on_overlay(found: Attached, name: str, status: HostStatus) -> bool:
    """Return False if the container is on a local network of its host that has the name of the overlay."""
    named = [each for each in status.networks if each.name == name]
    network_id = dict(found.network_ids).get(name)
    mine = [each for each in named if network_id in (None, each.id)]
    return any(each.scope == "swarm" for each in mine) or not mine


def _missing_hosts(change: _Change, cluster: ClusterState) -> tuple[tuple[str, str], ...]:
    """Return (host, what it lacks) for the hosts that cannot detach their replicas now, or never reported."""
    silent = (
        (host, f"the first report of {host}")
        for host in sorted(cluster.present)
        if host not in cluster.statuses
    )
    away = []
    for host, replicas in _replicas_on(change.name, cluster).items():
        if host not in cluster.present or not cluster.statuses[host].engine_up:
            what = "dockerd" if host in cluster.present else "agent"
            away.append((host, f"the {what} of {host} ({', '.join(each.name for each in replicas)})"))
    return (*silent, *away)


def _replicas_on(network: str, cluster: ClusterState) -> dict[str, list[ReplicaReport]]:
    """Return the reported replicas on the network, running or not, by host."""
    return {
        host: replicas
        for host, status in sorted(cluster.statuses.items())
        if (replicas := [each for each in status.replicas if network in dict(each.addresses)])
    }


def _with_ports(replica: ReplicaReport, intent: Intent) -> str:
    service = intent.service(replica.service)
    published = [each for each in (service.spec.ports if service else ()) if each.published]
    ports = [f"{each.published}/{each.protocol}" for each in published]
    return f"{replica.name} (publishes {', '.join(ports)})" if ports else replica.name


def _waiting(change: _Change, reason: str, host: str = "") -> Plan:
    return waiting_plan(f"network/{change.name}", f"{change.why}: {reason}", f"host/{host}" if host else "")


def _blocked(change: _Change, kind: BlockedKind, reason: str) -> Plan:
    return blocked_plan(f"network/{change.name}", kind, f"{change.why}: {reason}")
