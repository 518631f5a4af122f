"""Overlay networks: created once by the leader (changing one: recreate.py); on the hosts, networks of their own."""

from collections.abc import Collection, Iterator

from agent.model.intent import Intent, NetworkIntent
from agent.model.observed import HostState, NetworkState, Observed
from agent.model.steps import BlockedKind, CreateNetwork, CreateOverlay, Plan, untouched

_ENGINES_OWN = frozenset({"com.docker.network.driver.overlay.vxlanid_list"})
"""Options that the swarm adds to every overlay."""


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


def sees_overlays(host: HostState) -> bool:
    """Whether an overlay that this host does not list is missing: a worker, or a swarm without a quorum, hides some."""
    return host.swarm.is_manager and host.swarm.local == "active" and host.swarm.nodes is not None


def ready_overlays(intent: Intent, host: HostState, known: Collection[str]) -> tuple[str, ...]:
    """Names of the declared overlays that containers can join.

    One of ours stays ready when it is declared otherwise later, and so does any other that was ready before (`known`):
    until it is made anew, what is on it goes on, and is started again when it ends.
    """
    return tuple(
        sorted(
            wanted.name
            for wanted in intent.networks
            if wanted.driver == "overlay"
            and (found := host.network(wanted.name))
            and is_usable(found)
            and (wanted.name in known or is_ours(wanted, found) or not overlay_faults(wanted, found))
        )
    )


def is_usable(found: NetworkState) -> bool:
    """Whether a container can be started on it at all. An overlay that was created, never allocated, has no driver."""
    return found.driver == "overlay" and found.attachable


def overlay_faults(wanted: NetworkIntent, found: NetworkState) -> tuple[str, ...]:
    """How an overlay differs from its declaration; empty when it does not."""
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
    if found.internal != wanted.internal:
        faults.append(f"internal: {_word(wanted.internal)} wanted, {_word(found.internal)} found")
    return (*faults, *_option_faults(dict(wanted.options), dict(found.options)))


def _option_faults(wanted: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    for name in sorted({*wanted, *found} - (_ENGINES_OWN - wanted.keys())):
        if wanted.get(name) != found.get(name):
            want, have = (f"'{each[name]}'" if name in each else "nothing" for each in (wanted, found))
            yield f"driver_opts.{name}: {want} wanted, {have} found"


def _word(value: bool) -> str:
    return "true" if value else "false"


def plan_local_network(wanted: NetworkIntent, host: HostState) -> Plan:
    """A bridge network of this host: created when missing and not external, never changed."""
    found = host.network(wanted.name)
    if found is None and wanted.external:
        return _blocked(wanted, "dependency", "declared external, but it does not exist")
    if found is None:
        return Plan((CreateNetwork(network=wanted, reason="declared, and missing on this host"),))
    faults = () if wanted.external else tuple(_local_faults(wanted, found))
    return _blocked(wanted, "foreign", "; ".join(faults)) if faults else Plan()


def _local_faults(wanted: NetworkIntent, found: NetworkState) -> Iterator[str]:
    """How a network of this host differs from its declaration; options that the engine adds are not looked at."""
    if found.driver != wanted.driver:
        yield f"driver: {wanted.driver} wanted, {found.driver} found"
    if wanted.subnet and found.subnet != wanted.subnet:
        yield f"subnet: {wanted.subnet} wanted, {found.subnet} found"
    if wanted.gateway and found.gateway != str(wanted.gateway):
        yield f"gateway: {wanted.gateway} wanted, {found.gateway} found"
    if found.internal != wanted.internal:
        yield f"internal: {_word(wanted.internal)} wanted, {_word(found.internal)} found"
    said = dict(wanted.options)
    yield from _option_faults(said, {name: value for name, value in found.options if name in said})


def _plan_overlay(wanted: NetworkIntent, found: NetworkState | None) -> Plan:
    if found is None and wanted.external:
        return _blocked(wanted, "dependency", "declared external, but the swarm has none of that name")
    if found is None:
        return Plan((CreateOverlay(network=wanted, reason="declared, and missing in the swarm"),))
    if not is_ours(wanted, found) and (faults := overlay_faults(wanted, found)):
        why_not = "an existing overlay that no agent of this cluster made is not changed"
        return _blocked(wanted, "foreign", f"{'; '.join(faults)}: {why_not}")
    return Plan()


def is_ours(wanted: NetworkIntent, found: NetworkState) -> bool:
    """Whether an agent made it: it carries our label, and is not declared to be somebody else's."""
    return found.ours and not wanted.external


def _blocked(wanted: NetworkIntent, kind: BlockedKind, reason: str) -> Plan:
    return untouched(f"network/{wanted.name}", kind, reason)
