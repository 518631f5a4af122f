"""Networks of others that have the name of a declared overlay on this host: named, never used, changed or removed.

Docker attaches a container by the name of the network, and a network of the host comes before an overlay of the swarm.
So no replica starts on the overlay while another network has its name, and a replica that is on such a network leaves
it. Replicas that are on the overlay itself run on: their endpoints have its id (docs/engine-quirks.md).

An earlier overlay of this cluster that only this host's engine still has is a case of its own: no replica starts
either, a replica that is on it leaves it, and then the agent removes it.
"""

from agent.diff.container import CREATION
from agent.diff.networks import (
    describe_network,
    is_of_whole_swarm,
    leftovers,
    running_on,
    strangers,
    why_kept,
)
from agent.model import steps
from agent.model.host_state import ContainerState, HostState, NetworkState
from agent.model.intent import Intent
from agent.model.observed import ClusterState, HostView
from agent.model.phrases import short_id
from agent.model.plan import Plan, blocked_plan
from agent.planner.host.wanted import Wanted, stop


def plan_strangers(intent: Intent, observed: HostView) -> Plan:
    """Report each network of others that has the name of a declared overlay on this host."""
    cluster, host, plan = observed.cluster, observed.host, Plan()
    for wanted in intent.networks:
        for found in () if observed.stale else leftovers(wanted, host, cluster.record):
            plan += _plan_leftover(found, host, observed.me)
    for found in strange_networks(intent, host, cluster).values():
        declared = intent.network(found.name)
        if declared and is_of_whole_swarm(declared, found, host, cluster.record):
            continue  # the leader reports it
        reason = (
            f"network {found.name}: on this host {describe_network(found)} has this name, so no replica starts on the "
            f"overlay here; remove it (`docker network rm {short_id(found.id)}`) or declare another name"
        )
        plan += blocked_plan(f"host/{observed.me}", "foreign", reason)
    return plan


def _plan_leftover(found: NetworkState, host: HostState, me: str) -> Plan:
    """Plan to remove an earlier overlay, once the replicas have left it; block what the agent must not remove."""
    if reason := why_kept(found, host):
        return blocked_plan(f"host/{me}", "foreign", reason)
    if running_on(found, host):
        return Plan()
    reason = "the swarm has another overlay of that name, and dockerd starts no container on it meanwhile"
    creation = dict(found.labels)[CREATION]
    return Plan((steps.RemoveLeftover(network=found.name, id=found.id, creation=creation, reason=reason),))


def strange_networks(intent: Intent, host: HostState, cluster: ClusterState) -> dict[str, NetworkState]:
    """Return the networks of others that have the name of a declared overlay, by id."""
    found = (each for wanted in intent.networks for each in strangers(wanted, host, cluster.record))
    return {each.id: each for each in found}


def networks_to_leave(intent: Intent, host: HostState, cluster: ClusterState) -> dict[str, NetworkState]:
    """Return the networks that have the name of a declared overlay and are not it, by id."""
    kept = (each for wanted in intent.networks for each in leftovers(wanted, host, cluster.record))
    return {**strange_networks(intent, host, cluster), **{each.id: each for each in kept}}


def leave_strangers(
    wanted: Wanted, found: ContainerState | None, strange: dict[str, NetworkState]
) -> Plan | None:
    """Plan to stop the replica and to disconnect it from networks that are not the overlay; None: it is on none."""
    ids = [network_id for _, network_id in found.network_ids] if found else []
    on = [strange[each] for each in ids if each in strange]
    if found is None or not on:
        return None
    reason = f"it is on {describe_network(on[0])}, which is not the overlay {on[0].name}"
    end = stop(found.name, found, wanted.grace_s, reason)
    common = {"name": found.name, "id": found.id, "reason": reason}
    leave = (steps.DisconnectNetwork(network=each.name, network_id=each.id, **common) for each in on)
    return Plan((*end, *leave))
