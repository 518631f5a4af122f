"""What dockerd answers, as what the planner knows. Pure: JSON in, states out."""

from collections.abc import Iterable, Mapping
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Any, cast

from agent.diff.container import CLUSTER
from agent.model import host_state, records
from agent.model.spec import Pairs

_EVERY = ("", "0.0.0.0", "::")  # noqa: S104 - what docker calls every address
_HEAD, _STREAMS, _ZEROS = 8, (0, 1, 2), b"\0\0\0"
_TASK = "com.docker.swarm.task.id"
"""The label that the swarm puts on the containers of its services."""


def pairs(raw: Mapping[str, str] | None) -> Pairs:
    """A mapping of strings in its one form."""
    return tuple(sorted((raw or {}).items()))


def swarm_state(raw: Mapping[str, Any], ours: str) -> host_state.SwarmState:
    """`Swarm` of GET /info; `ours` is the name of the cluster."""
    cluster = raw.get("Cluster") or {}
    managers = {each["NodeID"]: each["Addr"] for each in raw.get("RemoteManagers") or ()}
    return host_state.SwarmState(
        local=cast(host_state.LocalState, raw.get("LocalNodeState") or "inactive"),
        error=raw.get("Error") or "",
        node_id=raw.get("NodeID") or None,
        swarm_id=cluster.get("ID") or None,
        is_manager=bool(raw.get("ControlAvailable")),
        address=raw.get("NodeAddr") or None,
        managers=pairs(managers),
        pool=_pool(cluster.get("DefaultAddrPool") or ()),
        made_here=made_by(cluster, ours),
        autolock=autolocks(cluster) if cluster.get("ID") else None,
    )


def made_by(swarm: Mapping[str, Any], cluster: str) -> bool:
    """Whether a swarm (`Cluster` of GET /info, or GET /swarm) was made by an agent of that cluster."""
    labels = (swarm.get("Spec") or {}).get("Labels") or {}
    return bool(labels.get(CLUSTER) == cluster)


def autolocks(cluster: Mapping[str, Any]) -> bool:
    """Whether a swarm (`Cluster` of GET /info, or GET /swarm) locks its managers."""
    encryption = (cluster.get("Spec") or {}).get("EncryptionConfig") or {}
    return bool(encryption.get("AutoLockManagers"))


def _pool(raw: Iterable[str]) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(each, strict=False) for each in raw if ":" not in each)


def node_state(raw: Mapping[str, Any]) -> host_state.NodeState:
    """One of GET /nodes."""
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
    # A leader may know itself as 0.0.0.0 (moby #32754); its manager address is what it advertises.
    if manager and manager.get("Addr"):
        return str(manager["Addr"]).rpartition(":")[0]
    return str(status.get("Addr", ""))


def network_state(raw: Mapping[str, Any], cluster: str) -> host_state.NetworkState:
    """One of GET /networks, or GET /networks/{id}; ours when it carries the label of `cluster`."""
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
    )


def endpoints(raw: Mapping[str, Any]) -> Pairs:
    """(whose, name) of the endpoints, sorted; a list of networks does not have them, an inspect does."""
    return tuple(sorted((whose, each["Name"]) for whose, each in (raw.get("Containers") or {}).items()))


def published(raw: Mapping[str, Any]) -> str:
    """One of `Ports` of GET /containers/json, with its address where that is not every one."""
    address = raw.get("IP") or ""
    place = "" if address in _EVERY else f"{address}:"
    return f"{place}{raw['PublicPort']}/{raw['Type']}"


def attached(raw: Mapping[str, Any]) -> host_state.Attached:
    """One of GET /containers/json."""
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    ports = {published(each) for each in raw.get("Ports") or () if each.get("PublicPort")}
    return host_state.Attached(
        id=raw["Id"],
        name=listed_name(raw),
        running=raw.get("State") in ("running", "paused"),
        networks=tuple(sorted(networks)),
        ports=tuple(sorted(ports)),
        task=_TASK in (raw.get("Labels") or {}),
    )


def listed_name(raw: Mapping[str, Any]) -> str:
    """The name of one of GET /containers/json."""
    return next(iter(own_names(raw)), str(raw["Id"]))


def own_names(raw: Mapping[str, Any]) -> list[str]:
    """The names of one of GET /containers/json without "/other/alias", which another container's link gives it."""
    return [name.removeprefix("/") for name in raw.get("Names") or () if name.count("/") == 1]


def _ipv4(raw: Mapping[str, Any]) -> tuple[IPv4Network | None, str | None]:
    for each in (raw.get("IPAM") or {}).get("Config") or ():
        try:
            # Engine 20.10 keeps a subnet as it was said: 172.21.0.1/20.
            subnet = IPv4Network(each.get("Subnet", ""), strict=False)
        except (AddressValueError, NetmaskValueError):
            continue
        return subnet, (each.get("Gateway") or "").partition("/")[0] or None
    return None, None


def container_state(
    raw: Mapping[str, Any], replica: records.Replica, differences: tuple[host_state.Difference, ...]
) -> host_state.ContainerState:
    """GET /containers/{id}/json of a container of ours."""
    state = raw.get("State") or {}
    return host_state.ContainerState(
        id=raw["Id"],
        name=raw["Name"].removeprefix("/"),
        replica=replica,
        status=state.get("Status", "created"),
        health=_health(state),
        exit_code=int(state.get("ExitCode") or 0),
        error=state.get("Error") or "",
        started_at=_time(state.get("StartedAt")),
        finished_at=_time(state.get("FinishedAt")),
        restarts=int(raw.get("RestartCount") or 0),
        addresses=_addresses(raw),
        image=raw.get("Image") or "",
        grace_s=(raw.get("Config") or {}).get("StopTimeout"),
        differences=differences,
    )


def busy_state(raw: Mapping[str, Any], replica: records.Replica) -> host_state.ContainerState:
    """One of GET /containers/json, of a container of ours that cannot be inspected now."""
    return host_state.ContainerState(
        id=raw["Id"],
        name=listed_name(raw),
        replica=replica,
        status=raw.get("State") or "created",
        addresses=_addresses(raw),
        locked_by_engine=True,
    )


def _addresses(raw: Mapping[str, Any]) -> Pairs:
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    return pairs({name: (each or {}).get("IPAddress") or "" for name, each in networks.items()})


def _time(raw: str | None) -> str:
    """Empty for what has not happened yet: Go's zero time."""
    return "" if raw is None or raw.startswith("0001-") else raw


def _health(state: Mapping[str, Any]) -> str:
    health = (state.get("Health") or {}).get("Status") or ""
    return "" if health == "none" else health


def lines_of(raw: bytes) -> bytes:
    """What a container wrote, out of its log as GET /containers/{id}/logs has it.

    Without a terminal it comes in frames, each with a head of 8 bytes: which stream, three zeros, and the length.
    """
    written, at = bytearray(), 0
    while at + _HEAD <= len(raw) and raw[at] in _STREAMS and raw[at + 1 : at + 4] == _ZEROS:
        length = int.from_bytes(raw[at + 4 : at + _HEAD], "big")
        written += raw[at + _HEAD : at + _HEAD + length]
        at += _HEAD + length
    return bytes(written) if at else raw
