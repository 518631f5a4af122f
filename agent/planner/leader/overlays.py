"""Overlay networks: created once by the leader (changing one: recreate.py)."""

from agent.diff.networks import is_ours, overlay_faults, sees_overlays
from agent.model.intent import Intent, NetworkIntent
from agent.model.observed import NetworkState, Observed
from agent.model.steps import BlockedKind, CreateOverlay, Plan, untouched


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
    if found is None and wanted.external:
        return _blocked(wanted, "dependency", "declared external, but the swarm has none of that name")
    if found is None:
        return Plan((CreateOverlay(network=wanted, reason="declared, and missing in the swarm"),))
    if not is_ours(wanted, found) and (faults := overlay_faults(wanted, found)):
        why_not = "an existing overlay that no agent of this cluster made is not changed"
        return _blocked(wanted, "foreign", f"{'; '.join(faults)}: {why_not}")
    return Plan()


def _blocked(wanted: NetworkIntent, kind: BlockedKind, reason: str) -> Plan:
    return untouched(f"network/{wanted.name}", kind, reason)
