"""Brings Compose's spellings into the one that the readers know, and notes what has no effect here.

A Compose file of another project is a document as far as its words mean the same. What a cluster does not do, and what
changes nothing for a replica, is noted: the document is valid. The rest the readers refuse with the way out.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from agent.model import earlier
from agent.model.intent import DEFAULT_NETWORK
from agent.model.phrases import first_of
from agent.yamldoc import Cursor
from agent.yamldoc.compose import Mapping, Node, Sequence
from agent.yamldoc.edit import (
    Entries,
    child,
    is_null,
    mapping,
    named,
    names_of,
    no_value,
    pairs,
    put,
    scalar,
    sequence,
    text_of,
    with_members,
    without,
)

_OF_NO_VOLUME = frozenset(("z", "Z"))
"""Modes for SELinux; Docker ignores them on a named volume."""
_OF_A_DESKTOP = frozenset(("cached", "delegated", "consistent"))
_RESERVE = "reserve_addresses"
_MOST_NAMED = 5
_PARTS = 3
CONTAINER_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,61}[A-Za-z0-9]"
"""A name in DNS that the engine takes for a container too."""
COMPLETED = "service_completed_successfully"


@dataclass(slots=True)
class Notes:
    """The places that are noted, by sentence."""

    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, place: str, sentence: str) -> None:
        self.places.setdefault(sentence, []).append(place)

    def sentences(self) -> Iterator[str]:
        """Yield each sentence once, with the places that it is about."""
        for sentence, places in self.places.items():
            yield f"{', '.join(first_of(places, _MOST_NAMED, '{} more'))}: {sentence}"


def normalised(root: Cursor, notes: Notes) -> Cursor:
    """Return the document in the readers' spelling, each node at its place in the original."""
    top = root.node
    if not isinstance(top, Mapping):
        return root
    if "version" in top.entries:
        notes.add("version", "has no meaning any more in Compose")
        top = without(top, "version")
    for section, rewrite in _SECTIONS:
        top = with_members(top, section, rewrite)
    if isinstance(cluster := child(top, "x-cluster"), Mapping):
        top = put(top, "x-cluster", _cluster(cluster))
    networks = child(top, "networks")
    for name in names_of(networks):
        if [text_of(child(networks, name, key)) for key in ("driver", "attachable")] == ["bridge", "false"]:
            why = "has no effect: every container can join a bridge network"
            notes.add(f"networks.{name}.attachable", why)
    usual = _usual(networks)
    labels_go = text_of(child(top, "x-cluster", "policy", "deploy_labels")) == "containers"
    change = partial(_service, usual=usual, notes=notes, labels_go=labels_go)
    top = with_members(top, "services", change)
    if isinstance(services := child(top, "services"), Mapping):
        _check_names(root.at("services"))
        top = _with_default(top, _completing(_linked(services, usual, notes), notes))
    return replace(root, node=top)


def _cluster(cluster: Mapping) -> Mapping:
    policy, old = child(cluster, "policy"), earlier.RESERVE_ADDRESSES
    if not isinstance(policy, Mapping) or old not in policy.entries or _RESERVE in policy.entries:
        return cluster
    return put(cluster, "policy", put(without(policy, old), _RESERVE, policy.entries[old][1]))


def _named_outside(_: str, declared: Mapping) -> Mapping:
    """Return `external: {name: x}`, the form of Compose's version 2, as `external: true` and `name: x`."""
    outside = child(declared, "external")
    if not isinstance(outside, Mapping) or outside.entries.keys() != {"name"}:
        return declared
    name = child(outside, "name")
    declared = put(declared, "external", scalar(outside, "true"))
    return declared if name is None or "name" in declared.entries else put(declared, "name", name)


def _network(_: str, declared: Mapping) -> Mapping:
    ipam = child(declared, "ipam")
    if isinstance(ipam, Mapping) and text_of(child(ipam, "driver")) == "default":
        return put(declared, "ipam", without(ipam, "driver"))
    return declared


def _file(_: str, declared: Mapping) -> Mapping:
    """Return a secret or config without its name, which Compose prints although it makes no object of that name."""
    is_named = {"file", "content"} & declared.entries.keys() and text_of(child(declared, "name"))
    return without(declared, "name") if is_named else declared


_SECTIONS: tuple[tuple[str, Callable[[str, Mapping], Mapping]], ...] = (
    ("networks", _named_outside),
    ("volumes", _named_outside),
    ("networks", _network),
    ("secrets", _file),
    ("configs", _file),
)


def _usual(networks: Node | None) -> str:
    """Return the network of services that name none: the only overlay, unless `default` is declared too."""
    declared = networks.entries if isinstance(networks, Mapping) else {}
    overlays = [
        key for key, (_, each) in declared.items() if text_of(child(each, "driver")) in ("", "overlay")
    ]
    return overlays[0] if len(overlays) == 1 and DEFAULT_NETWORK not in declared else DEFAULT_NETWORK


def _with_default(top: Mapping, services: Mapping) -> Mapping:
    """Return the document with these services, and with the network `default` if one is on it and no overlay is."""
    every, networks = [each for _, each in services.entries.values()], child(top, "networks")
    top = put(top, "services", services)
    if networks is None or is_null(networks):
        networks = mapping(services, {})
    if not isinstance(networks, Mapping) or DEFAULT_NETWORK in networks.entries:
        return top
    is_named = any(DEFAULT_NETWORK in names_of(child(each, "networks")) for each in every)
    if not any(map(_is_on_default, every)) or (networks.entries and not is_named):
        return top
    return put(top, "networks", put(networks, DEFAULT_NETWORK, no_value(networks)))


def _is_on_default(service: Node) -> bool:
    if not isinstance(service, Mapping) or "network_mode" in service.entries:
        return False
    networks = child(service, "networks")
    return networks is None or DEFAULT_NETWORK in names_of(networks)


def _check_names(services: Cursor) -> None:
    """Note a fault for a name in DNS that two services would have. In Compose a link's is for one service only."""
    owners: dict[str, str] = {}
    for name in names_of(services.node):
        place = services.at(name, "container_name")
        called = text_of(child(services.node, name, "container_name"))
        if called and owners.setdefault(called, name) != name:
            place.conflict(f"is the container_name of service {owners[called]} too", "give each its own name")
    owners |= {name: name for name in names_of(services.node)}
    for name in owners.copy():
        links = child(services.node, name, "links")
        for number, each in enumerate(links.items if isinstance(links, Sequence) else ()):
            other, colon, alias = text_of(each).partition(":")
            if colon and owners.setdefault(alias, other) != other:
                problem = f"'{alias}' is a name of service {owners[alias]} too"
                remedy = "choose another alias: every service on the network sees it"
                services.at(name, "links", number).conflict(problem, remedy)


# ---- One service


def _service(path: str, service: Mapping, usual: str, notes: Notes, *, labels_go: bool) -> Mapping:
    def note(key: str, sentence: str) -> None:
        notes.add(f"{path}.{key}", sentence)

    for key in ("command", "entrypoint"):
        if is_null(child(service, key)):
            service = without(service, key)
    if isinstance(child(service, "expose"), Sequence):
        note("expose", "has no effect: replicas on a network reach every port of each other")
        service = without(service, "expose")
    service = _counted(service)
    deploy = child(service, "deploy")
    if isinstance(deploy, Mapping):
        service = _deployed(service, deploy, note, labels_go=labels_go)
    service = with_members(service, "depends_on", partial(_dependency, note=note))
    if isinstance(found := child(service, "volumes"), Sequence):
        service = put(service, "volumes", sequence(found, [_mount(each) for each in found.items]))
    if isinstance(found := child(service, "ports"), Sequence):
        service = put(service, "ports", sequence(found, [_port(each, note) for each in found.items]))
    if "container_name" in service.entries:
        service = _called(service, usual, note)
    return service


Note = Callable[[str, str], None]


def _counted(service: Mapping) -> Mapping:
    """Return a service with its number of replicas under `deploy`: `scale`, or 1 if nothing says where it runs."""
    deploy, scale = child(service, "deploy"), child(service, "scale")
    is_global = text_of(child(deploy, "mode")) == "global"
    placed = "x-hosts" in service.entries or child(deploy, "replicas") or is_global
    if scale is not None and text_of(scale) == text_of(child(deploy, "replicas")):
        return without(service, "scale")
    if placed or not (deploy is None or isinstance(deploy, Mapping)):
        return service
    count = scale or scalar(service, "1")
    base = deploy if isinstance(deploy, Mapping) else mapping(count, {})
    return put(without(service, "scale"), "deploy", put(base, "replicas", count))


def _deployed(service: Mapping, deploy: Mapping, note: Note, *, labels_go: bool) -> Mapping:
    if text_of(child(deploy, "endpoint_mode")) in ("vip", "dnsrr"):
        why = "has no effect: the name of a service stands for the addresses of its replicas"
        note("deploy.endpoint_mode", why)
        deploy = without(deploy, "endpoint_mode")
    labels = child(deploy, "labels")
    if isinstance(labels, Mapping | Sequence):
        deploy = without(deploy, "labels")
        both = [pairs(each) for each in (labels, child(service, "labels")) if each is not None]
        if not labels_go:
            why = "has no effect; x-cluster.policy.deploy_labels: containers puts them on containers"
            note("deploy.labels", why)
        elif len(parts := [each.entries for each in both if isinstance(each, Mapping)]) == len(both):
            entries = {key: each for part in parts for key, each in part.items()}
            service = put(service, "labels", mapping(labels, entries))
    return put(service, "deploy", deploy)


def _dependency(path: str, declared: Mapping, note: Note) -> Mapping:
    for key, sentence in (
        ("restart", "has no effect: a replica restarts only when it ends itself"),
        ("required", "has no effect: the dependency is declared"),
    ):
        if (value := text_of(child(declared, key))) in ("true", "false"):
            if value != ("true" if key == "required" else "false"):
                note(f"{path}.{key}", sentence)
            declared = without(declared, key)
    if "condition" in declared.entries:
        return declared
    return put(declared, "condition", scalar(declared, "service_started"))


def _mount(mount: Node) -> Node:
    if isinstance(mount, Mapping):
        selinux = {"selinux"} if text_of(child(mount, "type")) == "volume" else set()
        found = {key: child(mount, key) for key in ("bind", "volume", "tmpfs")}
        other = [
            key for key, each in found.items() if isinstance(each, Mapping) and {*each.entries} <= selinux
        ]
        other += ["consistency"] if text_of(child(mount, "consistency")) else []
        return without(mount, *other)
    parts = text_of(mount).split(":")
    if len(parts) != _PARTS:
        return mount
    drop = _OF_A_DESKTOP if parts[0].startswith(("/", ".", "~")) else _OF_A_DESKTOP | _OF_NO_VOLUME
    modes = [each for each in parts[2].split(",") if each not in drop]
    return scalar(mount, ":".join([*parts[:2], *([",".join(modes)] if modes else [])]))


def _port(port: Node, note: Note) -> Node:
    if text_of(child(port, "mode")) != "ingress" or not isinstance(port, Mapping):
        return port
    note("ports", "mode: ingress is host here: the host of a replica publishes its ports")
    return without(port, "mode")


def _called(service: Mapping, usual: str, note: Note) -> Mapping:
    """Return a service whose `container_name` is a name of it in DNS. One replica, or one on each host, can have it."""
    place, networks = child(service, "container_name"), child(service, "networks")
    hosts, deploy = child(service, "x-hosts"), child(service, "deploy")
    alone = text_of(child(deploy, "replicas")) == "1" or text_of(child(deploy, "mode")) == "global"
    alone |= isinstance(hosts, Sequence) and len(hosts.items) == 1
    if place is None or not alone or not re.fullmatch(CONTAINER_NAME, text_of(place)):
        return service  # a key that is left has its own fault
    if "network_mode" in service.entries:
        note("container_name", "has no effect: it is a name in DNS, and the service is on no network")
        return without(service, "container_name")
    note("container_name", "is a name of the service in DNS; replicas are called <project>-<service>-<slot>")
    networks = networks or sequence(place, [scalar(place, usual)])
    return put(without(service, "container_name"), "networks", _with_alias(networks, place))


def _with_alias(networks: Node, alias: Node) -> Node:
    """Return the networks of a service, each with one more alias."""
    every = named(no_value)(networks)
    if not isinstance(every, Mapping):
        return networks
    entries: Entries = {}
    for name, (key, value) in every.entries.items():
        settings = value if isinstance(value, Mapping) else mapping(alias, {})
        aliases = child(settings, "aliases")
        known = aliases.items if isinstance(aliases, Sequence) else []
        if text_of(alias) not in map(text_of, known):
            settings = put(settings, "aliases", sequence(alias, [*known, alias]))
        entries[name] = (key, settings)
    return replace(every, entries=entries)


def _completing(services: Mapping, notes: Notes) -> Mapping:
    """Return the services with `restart: "no"`, Compose's default, for those whose end others wait for."""
    needs = [child(each, "depends_on") for _, each in services.entries.values()]
    awaited = [(name, child(each, name, "condition")) for each in needs for name in names_of(each)]
    for name in dict.fromkeys(name for name, condition in awaited if text_of(condition) == COMPLETED):
        service = child(services, name)
        policies = child(service, "restart"), child(service, "deploy", "restart_policy")
        if isinstance(service, Mapping) and policies == (None, None):
            services = put(services, name, put(service, "restart", scalar(service, "no")))
            notes.add(f"services.{name}.restart", "is no, Compose's default: others wait until it completes")
    return services


def _linked(services: Mapping, usual: str, notes: Notes) -> Mapping:
    """Return the services without `links`. A link `other:name` gives `other` one more name on its networks."""
    for name in services.entries:
        service = child(services, name)
        links = child(service, "links")
        if not isinstance(service, Mapping) or not isinstance(links, Sequence):
            continue
        notes.add(f"services.{name}.links", "services on a network reach each other by name without it")
        services = put(services, name, without(service, "links"))
        for each in links.items:
            other, _, alias = text_of(each).partition(":")
            target = child(services, other)
            if alias and alias != other and isinstance(target, Mapping):
                networks = child(target, "networks") or sequence(each, [scalar(each, usual)])
                target = put(target, "networks", _with_alias(networks, scalar(each, alias)))
                services = put(services, other, target)
    return services
