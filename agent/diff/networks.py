"""The network that stands for a declared one, its differences, the endpoints on it, and the address requests for it.

Docker resolves the name of a network on each host by itself. A local network that has the name of an overlay gets the
containers of its host (docs/engine-quirks.md), so a name alone never identifies a network.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from agent.diff.container import CREATION, overlays_in
from agent.model import Frozen
from agent.model.host_state import Attached, Difference, HostState, NetworkState, Repair
from agent.model.intent import Intent, NetworkIntent
from agent.model.network_options import normalized
from agent.model.observed import ClusterState
from agent.model.phrases import MISUSED, short_id
from agent.model.records import SwarmRecord
from agent.model.spec import ContainerSpec, Pairs

_ENGINES_OWN = frozenset({"com.docker.network.driver.overlay.vxlanid_list"})
"""Options that Swarm adds to every overlay."""


def sees_overlays(host: HostState) -> bool:
    """Return True if this host lists every overlay: a worker, or a manager without a quorum, does not."""
    return host.swarm.is_manager and host.swarm.local == "active" and host.swarm.nodes is not None


_SWARM = "swarm"


def found_for(wanted: NetworkIntent, host: HostState, record: SwarmRecord | None) -> NetworkState | None:
    """Return the network of this host that stands for the declared one; None: the host lists none.

    An overlay is the one whose id the leader recorded. A host that lists every overlay knows a newer one earlier.
    """
    fitting = [each for each in host.networks if _can_be(wanted, each) and not each.left_behind]
    known = _recorded_id(wanted, record)
    if known and not sees_overlays(host):
        fitting = [each for each in fitting if each.id == known]
    return min(fitting, key=lambda each: (each.id != known, not each.ours, each.id), default=None)


def strangers(wanted: NetworkIntent, host: HostState, record: SwarmRecord | None) -> tuple[NetworkState, ...]:
    """Return the networks of others that have the name of a declared overlay on this host.

    An earlier overlay of this cluster is none of them: see `leftovers`.
    """
    if wanted.driver != "overlay":
        return ()
    right = found_for(wanted, host, record)
    return tuple(
        each
        for each in host.networks
        if each.name == wanted.name and each is not right and not (each.ours and _can_be(wanted, each))
    )


def leftovers(wanted: NetworkIntent, host: HostState, record: SwarmRecord | None) -> tuple[NetworkState, ...]:
    """Return the earlier overlays of this name that this host's engine has kept, although the swarm has another one.

    dockerd is still removing such an overlay, or has failed to (docs/engine-quirks.md). Empty while the leader has
    recorded no overlay to use.
    """
    known = _recorded_id(wanted, record)
    if not known or wanted.external:
        return ()
    return tuple(
        each
        for each in host.networks
        if each.id != known
        and each.ours
        and _can_be(wanted, each)
        and (each.left_behind or not sees_overlays(host))
    )


def why_kept(found: NetworkState, host: HostState) -> str:
    """Return why the agent cannot remove such an earlier overlay, with the remedy; empty: it can."""
    kept = f"network {found.name}: dockerd has kept the earlier overlay {short_id(found.id)} on this host"
    effect = "so no replica starts on the overlay here"
    ours = {each.id for each in host.containers}
    if others := [each.name for each in running_on(found, host) if each.id not in ours]:
        commands = ", ".join(f"`docker network disconnect {short_id(found.id)} {each}`" for each in others)
        return f"{kept}, {effect}; disconnect what is not managed: {commands}"
    if CREATION not in dict(found.labels):
        return f"{kept}, {effect}: run `systemctl restart docker` on this host"
    return ""


def running_on(found: NetworkState, host: HostState) -> list[Attached]:
    """Return the running containers of this host on the network, managed or not."""
    running = (each for each in host.attached if each.running and found.name in each.networks)
    return [each for each in running if host.network_of(each, found.name) == found]


def is_of_whole_swarm(
    wanted: NetworkIntent, found: NetworkState, host: HostState, record: SwarmRecord | None
) -> bool:
    """Return True if a network of others has the name in the swarm itself, and not only on this host."""
    return found.scope == _SWARM and sees_overlays(host) and found_for(wanted, host, record) is None


def _can_be(wanted: NetworkIntent, found: NetworkState) -> bool:
    """Return True if the network may stand for the declared one, by its name, its label, its driver and its scope."""
    if found.name != wanted.name or (is_another_clusters(found) and not wanted.external):
        return False
    if wanted.driver != "overlay":
        return found.ours or wanted.external
    # An overlay that was created and never allocated has no driver.
    return found.scope == _SWARM and found.driver in ("overlay", "")


def is_another_clusters(found: NetworkState) -> bool:
    return bool(found.cluster) and not found.ours


def _recorded_id(wanted: NetworkIntent, record: SwarmRecord | None) -> str:
    if wanted.driver != "overlay" or record is None or wanted.name in record.recreating:
        return ""
    return dict(record.overlay_ids).get(wanted.name, "")


def with_confirmed_overlays(cluster: ClusterState, host: HostState) -> ClusterState:
    """Return the state with the overlays in use in the record where the engine does not confirm another one.

    Any host that may lead can write the record, and replicas leave an overlay that it does not name. An engine that
    lists every overlay, or has containers on the recorded one, confirms it. One that left its swarm lists no overlay of
    it. Replicas that the leader places follow the record.
    """
    intent, record, key = cluster.accepted, cluster.record, f"{cluster.root}swarm"
    fixed = {each.name for each in intent.services if each.replicas is None} if intent else set()
    ours = {each.id for each in host.containers if each.replica.service in fixed}
    for name, recorded in record.overlay_ids if record and not sees_overlays(host) else ():
        wanted = intent.network(name) if intent else None
        named = [each for each in host.networks if wanted and _can_be(wanted, each)]
        on = {each.id: each for each in named if each.driver == "overlay" and running_on(each, host)}
        used = min(
            (at for at, each in on.items() if ours & {one.id for one in running_on(each, host)}), default=""
        )
        if record is None or not used or recorded in on:
            continue
        ids = {**dict(record.overlay_ids), name: used}
        record = replace(record, overlay_ids=tuple(sorted(ids.items())))
        stop = f"docker stop $(docker ps -q --filter network={name})"
        reason = (
            f"it gives overlay {name} the id {short_id(recorded)}, and replicas of this host run on {short_id(used)}: "
            "they stay. If `docker network ls` on a manager has only the first id, run "
            f"`systemctl stop swarmkeeper; {stop}; systemctl start swarmkeeper` on this host. If not, {MISUSED}"
        )
        faults = (*cluster.unreadable, (key, reason))
        cluster = replace(cluster, record=record, unreadable=faults, untrusted=cluster.untrusted | {key})
    return cluster


def describe_network(found: NetworkState) -> str:
    """Return the kind and the short id of a network, for a message: its name does not identify it."""
    of = f" of cluster {found.cluster}" if is_another_clusters(found) else ""
    return f"the {found.driver or 'unallocated'} network {short_id(found.id)}{of} ({found.scope})"


def local_names(host: HostState) -> frozenset[str]:
    """Return the names that only local networks of the host have: a worker lists an overlay only while it is in use."""
    swarms = {each.name for each in host.networks if each.scope == _SWARM}
    return frozenset(each.name for each in host.networks if each.scope != _SWARM) - swarms


_CHECKS_NAMES = 25
"""Engines from this version on refuse to create an overlay on a host with a local network of its name."""


def refused_names(host: HostState) -> frozenset[str]:
    """Return the names with which this engine refuses to create an overlay, because it has a network of its own."""
    major = host.engine_version.partition(".")[0]
    if not major.isdigit() or int(major) < _CHECKS_NAMES:
        return frozenset()
    return local_names(host) | {each.name for each in host.networks if each.left_behind}


def ready_overlays(
    intent: Intent, host: HostState, known: Collection[str], record: SwarmRecord | None
) -> tuple[NetworkState, ...]:
    """The declared overlays that containers can join, by name.

    A managed overlay, and any other that was ready before (`known`), stays ready if its declaration changes: until it
    is recreated, its containers run on and are restarted.
    """
    ready = (
        found
        for wanted in intent.networks
        if wanted.driver == "overlay"
        and (found := found_for(wanted, host, record))
        # One that was created but never allocated has no driver.
        and (found.driver, found.attachable) == ("overlay", True)
        and (wanted.name in known or is_ours(wanted, found) or not overlay_differences(wanted, found))
    )
    return tuple(sorted(ready, key=lambda each: each.name))


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
    declared, options = dict(normalized(wanted.options)), dict(normalized(found.options))
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
    # On a host with an agent the endpoint may be new or just removed: that host's next report decides.
    reporting = {status.node_id for host, status in cluster.statuses.items() if host in cluster.present}
    others = [(what, node) for what, node in network.users if node not in reporting]
    statuses = cluster.statuses.values() if others else ()
    ours = {replica.id for status in statuses for replica in status.replicas}
    return tuple((what, node) for what, node in others if what not in ours)


def asks_for_addresses(intent: Intent) -> frozenset[str]:
    """Names of the overlays on which a replica has a fixed or a reserved address."""
    every = (asks_of(intent, each.spec) for each in intent.services)
    return frozenset(network for asks in every for network in asks.overlays)


class Asks(Frozen):
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
    named, every = overlays_in(spec), intent.policy.reserve_addresses
    asked = {each.network for each in overlays if every or named & {"", each.network}}
    fixed = tuple((each.network, each.ipv4_address) for each in overlays if each.ipv4_address)
    return Asks(reserved=frozenset(asked - dict(fixed).keys()), fixed=fixed)
