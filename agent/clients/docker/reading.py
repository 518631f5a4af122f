"""Conversion of dockerd's answers into observed states. Pure: JSON in, states out."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Any, NamedTuple, cast

from agent.diff.capacity import normal
from agent.diff.container import CLUSTER, SHAPE, chosen_ports, is_anonymous
from agent.model import host_state, intent, records
from agent.model.phrases import cut
from agent.model.spec import Pairs

MOST_READ = 1 << 16
"""Bytes of an error answer, and of one line of a stream, that are read."""
_EVERY = ("", "0.0.0.0", "::")  # noqa: S104 - how docker writes "every address"
_HEADER, _STREAMS, _PADDING = 8, (0, 1, 2), b"\0\0\0"
_TASK = "com.docker.swarm.task.id"
"""The label on the containers of swarm services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """The engine and its membership in a swarm, without the list of nodes."""

    version: str
    name: str
    live_restore: bool
    swarm: host_state.SwarmState
    no_swarm: str = ""
    """The reason why the engine refuses every swarm; empty: it does not, or does not say."""
    root: str = ""
    """The engine's data directory on its host."""
    machine: intent.Machine = intent.NO_MACHINE
    runtimes: frozenset[str] = frozenset()
    """Names of the runtimes that the engine was configured with; empty: not known."""
    storage: str = ""
    """The storage driver, as `overlay2`; empty: not known."""
    cgroup: str = ""
    """Version and driver of control groups, as `cgroup 2, systemd`; empty: not known."""


class Containers(NamedTuple):
    """All containers of the engine, running or not; `ours` are the managed ones."""

    ours: tuple[host_state.ContainerState, ...]
    foreign_names: Pairs
    """(name, id) of unmanaged containers, sorted."""
    attached: tuple[host_state.Attached, ...] = ()
    """All containers with their networks, by name."""
    mounted: frozenset[str] = frozenset()
    """The last part of each path of the host that a container mounts."""


class OverlayPeers(NamedTuple):
    """An overlay as this host sees it; empty while none of its containers is there."""

    peers: tuple[str, ...] = ()
    """Addresses of the hosts on the overlay that gossip has reported, this host included, sorted."""
    own_address: str = ""
    """Address of this host's own endpoint on the overlay."""
    duplicates: tuple[str, ...] = ()
    """Addresses that two endpoints have, as the engines announce them to each other, sorted. Empty: also not asked."""


def pairs(raw: Mapping[str, str] | None) -> Pairs:
    return tuple(sorted((raw or {}).items()))


def swarm_state(raw: Mapping[str, Any], ours: str) -> host_state.SwarmState:
    """Convert `Swarm` of GET /info; `ours` is the name of the cluster."""
    cluster = raw.get("Cluster") or {}
    managers = {each["NodeID"]: each["Addr"] for each in raw.get("RemoteManagers") or ()}
    pool = cluster.get("DefaultAddrPool") or ()
    return host_state.SwarmState(
        local=cast(host_state.LocalState, raw.get("LocalNodeState") or "inactive"),
        error=cut(raw.get("Error") or ""),
        node_id=raw.get("NodeID") or None,
        swarm_id=cluster.get("ID") or None,
        is_manager=bool(raw.get("ControlAvailable")),
        address=raw.get("NodeAddr") or None,
        managers=pairs(managers),
        pool=tuple(IPv4Network(each, strict=False) for each in pool if ":" not in each),
        made_here=made_for(cluster) == ours,
        cluster=made_for(cluster),
        autolock=autolocks(cluster) if cluster.get("ID") else None,
    )


def machine(raw: Mapping[str, Any]) -> intent.Machine:
    """Convert GET /info."""
    platform = normal(f"{raw['OSType']}/{raw['Architecture']}") if raw.get("Architecture") else ""
    return intent.Machine(
        platform=platform, cpus=int(raw.get("NCPU") or 0), memory_bytes=int(raw.get("MemTotal") or 0)
    )


def made_for(swarm: Mapping[str, Any]) -> str:
    """Return the cluster whose agent created the swarm (`Cluster` of GET /info, or GET /swarm); empty: none did."""
    return str(((swarm.get("Spec") or {}).get("Labels") or {}).get(CLUSTER) or "")


def autolocks(cluster: Mapping[str, Any]) -> bool:
    """Return True if autolock is on in the swarm (`Cluster` of GET /info, or GET /swarm)."""
    encryption = (cluster.get("Spec") or {}).get("EncryptionConfig") or {}
    return bool(encryption.get("AutoLockManagers"))


def node_state(raw: Mapping[str, Any]) -> host_state.NodeState:
    """Convert an entry of GET /nodes."""
    spec, status, manager = raw.get("Spec") or {}, raw.get("Status") or {}, raw.get("ManagerStatus")
    return host_state.NodeState(
        id=raw["ID"],
        hostname=(raw.get("Description") or {}).get("Hostname", ""),
        role=spec.get("Role", "worker"),
        availability=spec.get("Availability", "active"),
        state=status.get("State", "unknown"),
        address=_node_address(status, manager),
        leader=bool(manager and manager.get("Leader")),
        reachable=None if manager is None else manager.get("Reachability") == "reachable",
        manager_address=(manager or {}).get("Addr", ""),
        labels=pairs(spec.get("Labels")),
        version=raw["Version"]["Index"],
    )


def _node_address(status: Mapping[str, Any], manager: Mapping[str, Any] | None) -> str:
    # A raft leader may list itself as 0.0.0.0 (moby #32754); its manager address is the advertised one.
    if manager and manager.get("Addr"):
        return str(manager["Addr"]).rpartition(":")[0]
    return str(status.get("Addr", ""))


def network_states(raws: Collection[Mapping[str, Any]], cluster: str) -> tuple[host_state.NetworkState, ...]:
    """Convert GET /networks. An overlay that a manager lists and its swarm does not have is a local network.

    dockerd reads such an overlay from its own store, and only a network from there has a map of containers. One of this
    cluster is an earlier one that dockerd has left behind.
    """
    found = tuple(network_state(each, cluster) for each in raws)
    stored = {each["Id"] for each in raws if each.get("Containers") is not None}
    if all(each.scope != "swarm" or each.id in stored for each in found):
        return found  # a worker, or a manager without a quorum, lists only its own
    return tuple(
        each
        if each.scope != "swarm" or each.id not in stored
        else replace(each, left_behind=True)
        if each.ours
        else replace(each, scope="local")
        for each in found
    )


def network_state(raw: Mapping[str, Any], cluster: str) -> host_state.NetworkState:
    """Convert an entry of GET /networks, or GET /networks/{id}; the label of `cluster` marks a managed network."""
    subnet, gateway = _ipv4(raw)
    return host_state.NetworkState(
        id=raw["Id"],
        name=raw["Name"],
        driver=raw.get("Driver") or "",
        scope=raw.get("Scope") or "",
        subnet=subnet,
        gateway=gateway,
        options=pairs(raw.get("Options")),
        attachable=bool(raw.get("Attachable")),
        internal=bool(raw.get("Internal")),
        labels=pairs(raw.get("Labels")),
        endpoints=endpoints(raw),
        ours=(raw.get("Labels") or {}).get(CLUSTER) == cluster,
        cluster=(raw.get("Labels") or {}).get(CLUSTER) or "",
    )


def volume_state(raw: Mapping[str, Any], ours: str) -> host_state.VolumeState:
    """Convert an entry of GET /volumes; `ours` is the name of the cluster."""
    of_cluster = (raw.get("Labels") or {}).get(CLUSTER) or ""
    return host_state.VolumeState(
        name=raw["Name"],
        driver=raw.get("Driver") or "local",
        options=pairs(raw.get("Options")),
        labels=pairs(raw.get("Labels")),
        of_cluster="" if of_cluster == ours else of_cluster,
    )


def endpoints(raw: Mapping[str, Any]) -> Pairs:
    """Return (owner, name) of the endpoints, sorted; only an inspect of a network has them."""
    return tuple(sorted((owner, each["Name"]) for owner, each in (raw.get("Containers") or {}).items()))


def published(raw: Mapping[str, Any]) -> str:
    """Format an entry of `Ports` of GET /containers/json; the address is left out if it means every address."""
    address = raw.get("IP") or ""
    place = "" if address in _EVERY else f"{address}:"
    return f"{place}{raw['PublicPort']}/{raw['Type']}"


def attached(raw: Mapping[str, Any]) -> host_state.Attached:
    """Convert an entry of GET /containers/json."""
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    ports = {published(each) for each in raw.get("Ports") or () if each.get("PublicPort")}
    return host_state.Attached(
        id=raw["Id"],
        name=listed_name(raw),
        running=raw.get("State") in ("running", "paused"),
        networks=tuple(sorted(networks)),
        network_ids=_network_ids(raw),
        ports=tuple(sorted(ports)),
        task=_TASK in (raw.get("Labels") or {}),
    )


def listed_name(raw: Mapping[str, Any]) -> str:
    """Return the name of an entry of GET /containers/json, or its id."""
    return next(iter(own_names(raw)), str(raw["Id"]))


def own_names(raw: Mapping[str, Any]) -> list[str]:
    """Return the names of an entry of GET /containers/json without "/other/alias", a link of another container."""
    return [name.removeprefix("/") for name in raw.get("Names") or () if name.count("/") == 1]


def _ipv4(raw: Mapping[str, Any]) -> tuple[IPv4Network | None, str | None]:
    for each in (raw.get("IPAM") or {}).get("Config") or ():
        try:
            # Engine 20.10 stores a subnet as it was written: 172.21.0.1/20.
            subnet = IPv4Network(each.get("Subnet", ""), strict=False)
        except (AddressValueError, NetmaskValueError):
            continue
        return subnet, (each.get("Gateway") or "").partition("/")[0] or None
    return None, None


def container_state(
    raw: Mapping[str, Any], replica: records.Replica, differences: tuple[host_state.Difference, ...]
) -> host_state.ContainerState:
    """Convert GET /containers/{id}/json of a managed container."""
    state = raw.get("State") or {}
    return host_state.ContainerState(
        id=raw["Id"],
        name=raw["Name"].removeprefix("/"),
        replica=replica,
        status=state.get("Status", "created"),
        health=_health(state),
        health_output=_health_output(state),
        exit_code=int(state.get("ExitCode") or 0),
        error=cut(state.get("Error") or ""),
        started_at=_time(state.get("StartedAt")),
        finished_at=_time(state.get("FinishedAt")),
        restarts=int(raw.get("RestartCount") or 0),
        addresses=_addresses(raw),
        network_ids=_network_ids(raw),
        ports=chosen_ports(raw),
        image=raw.get("Image") or "",
        shape=((raw.get("Config") or {}).get("Labels") or {}).get(SHAPE, ""),
        volumes=anonymous_volumes(raw),
        grace_s=(raw.get("Config") or {}).get("StopTimeout"),
        differences=differences,
    )


def anonymous_volumes(raw: Mapping[str, Any]) -> Pairs:
    """Return (path in the container, name) of the anonymous volumes of GET /containers/{id}/json."""
    mounts = (each for each in raw.get("Mounts") or () if each.get("Type") == "volume")
    return tuple(sorted((each["Destination"], each["Name"]) for each in mounts if is_anonymous(each["Name"])))


def locked_state(raw: Mapping[str, Any], replica: records.Replica) -> host_state.ContainerState:
    """Convert an entry of GET /containers/json for a managed container that cannot be inspected now."""
    return host_state.ContainerState(
        id=raw["Id"],
        name=listed_name(raw),
        replica=replica,
        status=raw.get("State") or "created",
        addresses=_addresses(raw),
        network_ids=_network_ids(raw),
        locked_by_engine=True,
    )


def _addresses(raw: Mapping[str, Any]) -> Pairs:
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    return pairs({name: (each or {}).get("IPAddress") or "" for name, each in networks.items()})


def _network_ids(raw: Mapping[str, Any]) -> Pairs:
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    return pairs({name: found for name, each in networks.items() if (found := (each or {}).get("NetworkID"))})


def _time(raw: str | None) -> str:
    """Return the time; empty for Go's zero time, an event that has not happened."""
    return "" if raw is None or raw.startswith("0001-") else raw


def _health(state: Mapping[str, Any]) -> str:
    health = (state.get("Health") or {}).get("Status") or ""
    return "" if health == "none" else health


def _health_output(state: Mapping[str, Any]) -> str:
    """Return the output of the last check of an unhealthy container, as written."""
    if _health(state) != "unhealthy":
        return ""
    checks = (state.get("Health") or {}).get("Log") or ()
    return str(checks[-1].get("Output") or "") if checks else ""


def lines_of(raw: bytes) -> bytes:
    """Return the output of a container from GET /containers/{id}/logs.

    Without a terminal the log has frames with a header of 8 bytes: the stream, three zero bytes and the length.
    """
    written, at = bytearray(), 0
    while at + _HEADER <= len(raw) and raw[at] in _STREAMS and raw[at + 1 : at + 4] == _PADDING:
        length = int.from_bytes(raw[at + 4 : at + _HEADER], "big")
        written += raw[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length
    return bytes(written) if at else raw


def text_of(raw: bytes, name: str) -> str:
    """Return the text `name` of a JSON object of which only the beginning was read; empty if that has none."""
    found = re.search(rb'"%b"\s*:\s*"((?:[^"\\]+|\\u[0-9a-fA-F]{4}|\\[^u])*)' % name.encode(), raw)
    if found is None:
        return ""
    return str(json.loads(f'"{found[1].decode(errors="ignore")}"', strict=False))


def lines(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield (line, number of its bytes that were left out) of a stream; a line has at most MOST_READ bytes."""
    line, unread = bytearray(), 0
    for piece in pieces:
        first, *rest = piece.split(b"\n")
        for number, part in enumerate((first, *rest)):
            if number:
                if line.strip():
                    yield bytes(line), unread
                line, unread = bytearray(), 0
            kept = part[: MOST_READ - len(line)]
            line += kept
            unread += len(part) - len(kept)
    if line.strip():
        yield bytes(line), unread


def beginning(line: bytes, unread: int) -> Mapping[str, Any]:
    """Return what is known of a JSON value of a stream that is too long to be read: its error, if it has one."""
    error = text_of(line, "message") or text_of(line, "error")
    return {"error": cut(error, MOST_READ, unread=unread)} if error else {}
