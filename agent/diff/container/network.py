"""Field mappings of a container's attachments, published ports and name resolution."""

from collections.abc import Iterable, Mapping
from typing import Any

from agent.diff.container.process import PREFIX
from agent.diff.container.row import Body, FieldMapping, Found, as_text, place, plain
from agent.model.intent import PARKING
from agent.model.phrases import short_id
from agent.model.spec import Attachment, ContainerSpec, Pairs, Port

SERVICE = f"{PREFIX}service"
_ATTACHED = "attached"
_AT_REST = ("created", "exited", "dead")
_SPECIAL = ("host", "none")
_BRIDGE = "bridge"
_ENGINES_OWN = frozenset({"default", "bridge"})
_CHOSEN = "any"


def endpoint(attachment: Attachment, aliases: Iterable[str]) -> dict[str, Any]:
    """Return the JSON of one endpoint: its aliases, and its address if that is fixed or reserved."""
    body: dict[str, Any] = {"Aliases": sorted(aliases)}
    if attachment.address:
        body["IPAMConfig"] = {"IPv4Address": attachment.address}
    return body


def aliases(attachment: Attachment, service: str) -> tuple[str, ...]:
    """Return a replica's names on the network of `attachment`: its service's, `tasks.<service>` and the aliases.

    Swarm answers to `tasks.<service>` with every task of a service, and cluster agents ask for that name.
    """
    return tuple(sorted({service, _tasks(service), *attachment.aliases}))


def _tasks(service: str) -> str:
    return f"tasks.{service}"


def _put_networks(spec: ContainerSpec, body: Body) -> None:
    # An engine before 25 accepts one endpoint at create. The others are connected before the start.
    if spec.networks:
        first = spec.networks[0]
        place(body, "HostConfig.NetworkMode", first.network)
        service = body["Labels"][SERVICE]
        endpoints = {first.network: endpoint(first, aliases(first, service))}
        place(body, "NetworkingConfig.EndpointsConfig", endpoints)


def _wanted_networks(spec: ContainerSpec, found: Found) -> Any:
    if spec.network_mode is not None:
        # If the container has another mode, that is a difference of the field network_mode.
        return {spec.network_mode: _ATTACHED} if spec.network_mode in _attached(found) else {}
    if not spec.networks:
        # Without a declared network, the engine chooses one, whose name depends on the engine: any is as declared.
        return {name: _attachment(found, name) for name in _attached(found) if name in _ENGINES_OWN}
    service, have, own = _service(found), _attached(found), _own_names(found)
    return {
        each.network: _phrase(
            {*aliases(each, service)} - own,
            each.address or _given_address(found, have.get(each.network) or {}),
        )
        for each in spec.networks
    }


def _given_address(found: Found, endpoint: dict[str, Any]) -> str:
    """Return the found address that is no difference where the spec has none: the swarm has allocated it.

    Docker shows it like a fixed one while the container runs. A container at rest shows it only if its start failed
    half-way. That is a difference: each further start would request the same address and fail.
    """
    return "" if found.at("State.Status") in _AT_REST else _fixed_address(endpoint)


def _attached(found: Found) -> dict[str, Any]:
    """Return the container's networks except the parking network, which the steps on docker_gwbridge remove."""
    networks = found.at("NetworkSettings.Networks") or {}
    return {name: each for name, each in networks.items() if name != PARKING}


def _fixed_address(raw: dict[str, Any]) -> str:
    return (raw.get("IPAMConfig") or {}).get("IPv4Address") or ""


def _attachment(found: Found, name: str) -> str:
    raw = _attached(found).get(name) or {}
    if name in {*_SPECIAL, *_ENGINES_OWN}:
        return _ATTACHED
    phrase = _phrase({*(raw.get("Aliases") or ())} - _own_names(found), _fixed_address(raw))
    return f"{phrase}, to a network that is gone" if _is_gone(found, raw) else phrase


def _is_gone(found: Found, endpoint: dict[str, Any]) -> bool:
    """Return True if a start failed because the network was recreated under the same name.

    The endpoint keeps the id of the old network, and no start succeeds until it is disconnected and reconnected.
    """
    network_id = endpoint.get("NetworkID") or ""
    error = str(found.at("State.Error") or "")
    at_rest = found.at("State.Status") in _AT_REST
    return bool(network_id) and at_rest and f"network {network_id} not found" in error


def _own_names(found: Found) -> set[str]:
    """Return the aliases that are no difference, with or without.

    An engine before 25 adds the container's short id and its hostname by itself. A container of an earlier agent lacks
    `tasks.<service>`; it gets that name with its next attachment.
    """
    hostname, service = str(found.at("Config.Hostname") or ""), _service(found)
    return {short_id(str(found.at("Id") or "")), hostname, _tasks(service)}


def _service(found: Found) -> str:
    return str((found.at("Config.Labels") or {}).get(SERVICE, ""))


def _phrase(names: Iterable[str], address: str) -> str:
    phrase = f"{_ATTACHED} as {', '.join(sorted(set(names)))}"
    return f"{phrase} at {address}" if address else phrase


def _mode(found: Found) -> str | None:
    """Return `host`, `none`, `bridge` or `container:...`; None if the mode names a network: that is an attachment."""
    mode = str(found.at("HostConfig.NetworkMode") or "")
    if mode in _ENGINES_OWN:
        return _BRIDGE if _BRIDGE in _attached(found) else None
    return mode if mode in _SPECIAL or mode.startswith("container:") else None


def _wanted_mode(spec: ContainerSpec, found: Found) -> Any:
    if spec.network_mode is None and not spec.networks:
        return None if _mode(found) != _BRIDGE else _BRIDGE  # both are the engine's default
    return spec.network_mode


def _port(published: str, target: str, host_ip: str) -> str:
    return f"{host_ip}:{published or _CHOSEN}->{target}" if host_ip else f"{published or _CHOSEN}->{target}"


def _of_host(port: Port) -> str:
    """Return the engine's `HostPort`: a number, or a range, or nothing for any port that is free."""
    return port.among if port.published is None else str(port.published)


def _target(port: Port) -> str:
    return f"{port.target}/{port.protocol}"


def _found_ports(found: Found) -> frozenset[str]:
    bindings = found.at("HostConfig.PortBindings") or {}
    published = {
        _port(each.get("HostPort") or "", target, each.get("HostIp") or "")
        for target, several in bindings.items()
        for each in several or ()
    }
    every = {"every exposed port, anywhere"} if found.at("HostConfig.PublishAllPorts") else set()
    return frozenset(published | every)


def chosen_ports(inspect: Mapping[str, Any]) -> Pairs:
    """Return (port of the container, port of the host) for each port of the host that the engine chose, sorted."""
    found, chosen = Found(inspect), set[tuple[str, str]]()
    for target, asked in (found.at("HostConfig.PortBindings") or {}).items():
        fixed = {each.get("HostPort") or "" for each in asked or ()}
        for each in (found.at("NetworkSettings.Ports") or {}).get(target) or ():
            if not all(map(str.isdigit, fixed)) and each.get("HostPort") not in fixed:
                chosen.add((target, each["HostPort"]))
    return tuple(sorted(chosen))


def _put_ports(spec: ContainerSpec, body: Body) -> None:
    if not spec.ports:
        return
    bindings: dict[str, list[dict[str, str]]] = {}
    for each in spec.ports:
        binding = {"HostIp": each.host_ip, "HostPort": _of_host(each)}
        bindings.setdefault(_target(each), []).append(binding)
    place(body, "Config.ExposedPorts", {_target(each): {} for each in spec.ports})
    place(body, "HostConfig.PortBindings", bindings)


def _hosts(lines: Iterable[str]) -> frozenset[str]:
    """Return `extra_hosts` in one spelling: `name:address`, not `name=address`, and IPv6 without brackets."""
    return frozenset(each.replace("=", ":", 1).replace("[", "").replace("]", "") for each in lines)


ROWS = (
    FieldMapping(
        field="networks", at="NetworkSettings.Networks", default="the engine's default network", repair="reconnect",
        unset="reconnect", put=_put_networks, wanted=_wanted_networks, named=True,
        found=lambda found: {name: _attachment(found, name) for name in _attached(found)},
    ),
    plain("network_mode", "HostConfig.NetworkMode", wanted=_wanted_mode, found=_mode),
    # Shown as in the document, `80:8080/tcp`: the normal form, part of the shape, has an arrow.
    FieldMapping(
        field="ports", at="HostConfig.PortBindings", default="none published", put=_put_ports, found=_found_ports,
        wanted=lambda spec, _: frozenset(_port(_of_host(each), _target(each), each.host_ip) for each in spec.ports),
        show=lambda ports: as_text(frozenset(each.replace("->", ":") for each in ports)),
    ),
    plain("dns", "HostConfig.Dns", default=(), normal=tuple, write=list, ordered=True),
    plain("dns_search", "HostConfig.DnsSearch", default=(), normal=tuple, write=list, ordered=True),
    plain("dns_opt", "HostConfig.DnsOptions", default=frozenset(), normal=frozenset, write=list),
    plain("extra_hosts", "HostConfig.ExtraHosts", default=frozenset(), normal=_hosts, write=list),
)  # fmt: skip
