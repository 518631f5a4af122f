"""How a network differs from its declaration, who is on it, and who asks for an address there."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from agent.diff.container import uses_overlay_address
from agent.model.host_state import HostState, NetworkState
from agent.model.intent import Intent, NetworkIntent
from agent.model.observed import ClusterState
from agent.model.phrases import differs
from agent.model.spec import ContainerSpec, Pairs

_ENGINES_OWN = frozenset({"com.docker.network.driver.overlay.vxlanid_list"})
"""Options that the swarm adds to every overlay."""


def sees_overlays(host: HostState) -> bool:
    """Whether an overlay that this host does not list is missing: a worker, or a swarm without a quorum, hides some."""
    return host.swarm.is_manager and host.swarm.local == "active" and host.swarm.nodes is not None


def ready_overlays(intent: Intent, host: HostState, known: Collection[str]) -> tuple[str, ...]:
    """Names of the declared overlays that containers can join.

    One of ours stays ready when it is declared otherwise later, and so does any other that was ready before (`known`):
    until it is recreated, what is on it goes on, and is started again when it ends.
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
        return (differs("driver", "overlay", found.driver or "none (never allocated)"),)
    faults = []
    if not found.attachable:
        faults.append(differs("attachable", "true", "false"))
    if wanted.external:
        return tuple(faults)
    faults += _faults(wanted, found)
    return (*faults, *_option_faults(dict(wanted.options), dict(found.options)))


def local_faults(wanted: NetworkIntent, found: NetworkState) -> Iterator[str]:
    """How a network of this host differs from its declaration; options that the engine adds are not looked at."""
    if found.driver != wanted.driver:
        yield differs("driver", wanted.driver, found.driver)
    yield from _faults(wanted, found)
    said = dict(wanted.options)
    yield from _option_faults(said, {name: value for name, value in found.options if name in said})


def _faults(wanted: NetworkIntent, found: NetworkState) -> Iterator[str]:
    if wanted.subnet and found.subnet != wanted.subnet:
        yield differs("subnet", wanted.subnet, found.subnet)
    if wanted.gateway and found.gateway != str(wanted.gateway):
        yield differs("gateway", wanted.gateway, found.gateway)
    if found.internal != wanted.internal:
        yield differs("internal", *(str(each.internal).lower() for each in (wanted, found)))


def _option_faults(wanted: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    for name in sorted({*wanted, *found} - (_ENGINES_OWN - wanted.keys())):
        if wanted.get(name) != found.get(name):
            both = (f"'{each[name]}'" if name in each else "nothing" for each in (wanted, found))
            yield differs(f"driver_opts.{name}", *both)


def is_ours(wanted: NetworkIntent, found: NetworkState) -> bool:
    """Whether an agent made it: it carries our label, and is not declared to be somebody else's."""
    return found.ours and not wanted.external


def others_on(network: NetworkState, cluster: ClusterState) -> Pairs:
    """(what, node id) of what the swarm has on an overlay, and no agent that is there can tell what it is."""
    ours = {replica.id for status in cluster.statuses.values() for replica in status.replicas}
    # On a host with an agent it may have come or gone just now: its next report says which.
    told = {status.node_id for host, status in cluster.statuses.items() if host in cluster.present}
    return tuple((what, node) for what, node in network.users if what not in ours and node not in told)


def asks_for_addresses(intent: Intent) -> frozenset[str]:
    """Names of the overlays on which some replica is to have an address of its own choice or ours."""
    return frozenset(
        network for service in intent.services for network in asks_of(intent, service.spec).overlays
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What a replica wants of overlays."""

    pinned: frozenset[str] = frozenset()
    """Names of those on which it keeps an address that the leader chooses."""
    fixed: tuple[tuple[str, str], ...] = ()
    """(overlay, address) that the document says."""
    unknown: bool = False
    """Its spec cannot be read here: what it has stays."""

    @property
    def overlays(self) -> frozenset[str]:
        return self.pinned | {network for network, _ in self.fixed}


def asks_of(intent: Intent, spec: ContainerSpec) -> Asks:
    local = {each.name for each in intent.networks if each.driver != "overlay"}
    overlays = [each for each in spec.networks if each.network not in local]
    pins = intent.policy.pin_addresses or uses_overlay_address(spec)
    return Asks(
        pinned=frozenset(each.network for each in overlays if pins and not each.ipv4_address),
        fixed=tuple((each.network, each.ipv4_address) for each in overlays if each.ipv4_address),
    )
