"""Differences of a network from its declaration, the endpoints on it, and the address requests for it."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from agent.diff.container import uses_overlay_address
from agent.model.host_state import Difference, HostState, NetworkState, Repair
from agent.model.intent import Intent, NetworkIntent
from agent.model.observed import ClusterState
from agent.model.spec import ContainerSpec, Pairs

_ENGINES_OWN = frozenset({"com.docker.network.driver.overlay.vxlanid_list"})
"""Options that Swarm adds to every overlay."""


def sees_overlays(host: HostState) -> bool:
    """Return True if this host lists every overlay: a worker, or a manager without a quorum, does not."""
    return host.swarm.is_manager and host.swarm.local == "active" and host.swarm.nodes is not None


def ready_overlays(intent: Intent, host: HostState, known: Collection[str]) -> tuple[str, ...]:
    """Names of the declared overlays that containers can join.

    A managed overlay, and any other that was ready before (`known`), stays ready if its declaration changes: until it
    is recreated, its containers run on and are restarted.
    """
    return tuple(
        sorted(
            wanted.name
            for wanted in intent.networks
            if wanted.driver == "overlay"
            and (found := host.network(wanted.name))
            and is_usable(found)
            and (wanted.name in known or is_ours(wanted, found) or not overlay_differences(wanted, found))
        )
    )


def is_usable(found: NetworkState) -> bool:
    """Return True if a container can start on the overlay. One that was created but never allocated has no driver."""
    return found.driver == "overlay" and found.attachable


def overlay_differences(wanted: NetworkIntent, found: NetworkState) -> tuple[Difference, ...]:
    """Differences of an overlay from its declaration."""
    if found.driver != "overlay":
        return _as_differences([("driver", "overlay", found.driver or "none (never allocated)")], "replace")
    attachable = () if found.attachable else (("attachable", "true", "false"),)
    rest = () if wanted.external else _fields(wanted, found)
    return _as_differences((*attachable, *rest), "replace")


def local_differences(wanted: NetworkIntent, found: NetworkState) -> tuple[Difference, ...]:
    """Differences of a local network from its declaration, without options that the engine adds."""
    driver = () if found.driver == wanted.driver else (("driver", wanted.driver, found.driver),)
    declared = dict(wanted.options).keys()
    options = tuple((name, value) for name, value in found.options if name in declared)
    return _as_differences((*driver, *_fields(wanted, replace(found, options=options))), "none")


def _fields(wanted: NetworkIntent, found: NetworkState) -> Iterator[tuple[str, object, object]]:
    """Yield each field that differs, with both its values."""
    if wanted.subnet and found.subnet != wanted.subnet:
        yield "subnet", wanted.subnet, found.subnet
    if wanted.gateway and found.gateway != str(wanted.gateway):
        yield "gateway", wanted.gateway, found.gateway
    if found.internal != wanted.internal:
        yield "internal", str(wanted.internal).lower(), str(found.internal).lower()
    declared, options = dict(wanted.options), dict(found.options)
    for name in sorted({*declared, *options} - (_ENGINES_OWN - declared.keys())):
        if declared.get(name) != options.get(name):
            want, have = (f"'{each[name]}'" if name in each else "nothing" for each in (declared, options))
            yield f"driver_opts.{name}", want, have


def _as_differences(fields: Iterable[tuple[str, object, object]], repair: Repair) -> tuple[Difference, ...]:
    return tuple(Difference.of(*each, repair) for each in fields)


def is_ours(wanted: NetworkIntent, found: NetworkState) -> bool:
    """Return True if the network is managed: it has our label and is not declared external."""
    return found.ours and not wanted.external


def others_on(network: NetworkState, cluster: ClusterState) -> Pairs:
    """(endpoint, node id) of the endpoints on an overlay that are no replicas and on no host with an agent."""
    ours = {replica.id for status in cluster.statuses.values() for replica in status.replicas}
    # On a host with an agent the endpoint may be new or just removed: that host's next report decides.
    reporting = {status.node_id for host, status in cluster.statuses.items() if host in cluster.present}
    return tuple((what, node) for what, node in network.users if what not in ours and node not in reporting)


def asks_for_addresses(intent: Intent) -> frozenset[str]:
    """Names of the overlays on which a replica has a fixed or a reserved address."""
    return frozenset(
        network for service in intent.services for network in asks_of(intent, service.spec).overlays
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """The addresses that a replica requests on overlays."""

    reserved: frozenset[str] = frozenset()
    """Overlays on which this replica has a reserved address."""
    fixed: tuple[tuple[str, str], ...] = ()
    """(overlay, address) from the document."""
    unknown: bool = False
    """True if the replica's spec cannot be read here: its reservations stay."""

    @property
    def overlays(self) -> frozenset[str]:
        return self.reserved | {network for network, _ in self.fixed}


def asks_of(intent: Intent, spec: ContainerSpec) -> Asks:
    local = {each.name for each in intent.networks if each.driver != "overlay"}
    overlays = [each for each in spec.networks if each.network not in local]
    reserves = intent.policy.reserve_addresses or uses_overlay_address(spec)
    return Asks(
        reserved=frozenset(each.network for each in overlays if reserves and not each.ipv4_address),
        fixed=tuple((each.network, each.ipv4_address) for each in overlays if each.ipv4_address),
    )
