"""A host's part in making an overlay anew: its copies leave the old one, and wait for the new one."""

from agent.model.intent import Intent
from agent.model.observed import ContainerState, Observed
from agent.model.steps import DisconnectNetwork, Plan, untouched
from agent.planner.host.stopping import stop
from agent.planner.host.wanted import Wanted


def made_anew(intent: Intent, observed: Observed) -> frozenset[str]:
    """Names of the overlays that copies shall leave now: the leader says so, and the document lets it.

    While etcd is away nobody knows whether that still holds, and a copy is not stopped for it.
    """
    record = observed.cluster.record if observed.cluster else None
    if record is None or observed.stale or not intent.policy.allow_network_recreate:
        return frozenset()
    return frozenset(record.recreating)


def make_way(wanted: Wanted, found: ContainerState | None, anew: frozenset[str]) -> Plan | None:
    """Stop the copy and take it off the overlays that are made `anew`, or let it wait; None: it is on none of them.

    A stopped one is taken off as well: it would go on asking for the overlay that was, by its id.
    """
    attached = sorted({network for network, _ in found.addresses} & anew) if found else []
    if found and attached:
        reason = f"{', '.join(attached)} is made anew"
        off = [
            DisconnectNetwork(name=found.name, id=found.id, network=each, reason=reason) for each in attached
        ]
        return Plan((*stop(found.name, found, wanted.grace_s, reason), *off))
    if waits := sorted({each.network for each in wanted.spec.networks} & anew):
        reason = f"network {', '.join(waits)} is made anew"
        return untouched(wanted.resource, "waiting", reason)
    return None
