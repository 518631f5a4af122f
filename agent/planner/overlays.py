"""Overlay networks: created once by the leader, never changed or removed; on the hosts, networks of their own."""

from agent.model.intent import Intent, NetworkIntent
from agent.model.observed import HostState, NetworkState, Observed
from agent.model.steps import Blocked, BlockedKind, CreateNetwork, CreateOverlay, Plan


def plan_overlays(intent: Intent, observed: Observed) -> Plan:
    """Create the overlays that are missing; report those that exist but are not as declared."""
    host = observed.host
    assert host is not None
    if not host.swarm.is_manager or host.swarm.local != "active" or host.swarm.nodes is None:
        return Plan()
    plan = Plan()
    for wanted in intent.networks:
        if wanted.driver == "overlay":
            plan += _plan_overlay(wanted, host.network(wanted.name))
    return plan


def ready_overlays(intent: Intent, host: HostState) -> tuple[str, ...]:
    """Names of the declared overlays that containers can join."""
    return tuple(
        sorted(
            wanted.name
            for wanted in intent.networks
            if wanted.driver == "overlay"
            and (found := host.network(wanted.name))
            and not overlay_faults(wanted, found)
        )
    )


def overlay_faults(wanted: NetworkIntent, found: NetworkState) -> tuple[str, ...]:
    """How an overlay differs from its declaration. One that was created but never allocated has no driver."""
    if found.driver != "overlay":
        return (f"driver: overlay wanted, {found.driver or 'none (never allocated)'} found",)
    faults = []
    if not found.attachable:
        faults.append("attachable: true wanted, false found")
    if wanted.external:
        return tuple(faults)
    if wanted.subnet and found.subnet != wanted.subnet:
        faults.append(f"subnet: {wanted.subnet} wanted, {found.subnet} found")
    if wanted.gateway and found.gateway != str(wanted.gateway):
        faults.append(f"gateway: {wanted.gateway} wanted, {found.gateway} found")
    return tuple(faults)


def plan_local_network(wanted: NetworkIntent, host: HostState) -> Plan:
    """A bridge network of this host: created when missing and not external, never changed."""
    found = host.network(wanted.name)
    if found is None and wanted.external:
        return _blocked(wanted, "dependency", "declared external, but it does not exist")
    if found is None:
        return Plan((CreateNetwork(network=wanted, reason="declared, and missing on this host"),))
    if wanted.subnet and found.subnet != wanted.subnet and not wanted.external:
        return _blocked(wanted, "foreign", f"subnet: {wanted.subnet} wanted, {found.subnet} found")
    return Plan()


def _plan_overlay(wanted: NetworkIntent, found: NetworkState | None) -> Plan:
    if found is None and wanted.external:
        return _blocked(wanted, "dependency", "declared external, but the swarm has none of that name")
    if found is None:
        return Plan((CreateOverlay(network=wanted, reason="declared, and missing in the swarm"),))
    if faults := overlay_faults(wanted, found):
        return _blocked(wanted, "foreign", f"{'; '.join(faults)}: an existing overlay is not changed")
    return Plan()


def _blocked(wanted: NetworkIntent, kind: BlockedKind, reason: str) -> Plan:
    return Plan(blocked=(Blocked(resource=f"network/{wanted.name}", reason=reason, kind=kind),))
