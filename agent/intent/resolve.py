"""Replaces a service's names of networks and volumes by Docker's, adds its files, and checks its placeholders."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from agent.diff.container.fill import ON_OVERLAY, OVERLAY_IP, with_overlays
from agent.intent.mounts import Kind, read_uses
from agent.model.intent import DEFAULT_NETWORK, NetworkIntent, ServiceIntent, VolumeIntent
from agent.model.phrases import counted
from agent.model.spec import Attachment, ContainerSpec, Mount
from agent.yamldoc import Cursor
from agent.yamldoc.faultlist import listed, nearest

# ---- Placeholders such as `{{.Node.Hostname}}`: the agent of a replica's host replaces them by their values

KNOWN = ("Node.Hostname", "Node.ID", "Host.Address", "Service.Name", "Task.Slot")
FILLED_KEYS = ("environment", "labels", "command", "entrypoint", "hostname", "healthcheck")
"""Keys whose values may have placeholders. Elsewhere `{{` may begin a template of Docker: logging.options.tag."""

_PLACEHOLDER = re.compile(r"\{\{\s*\.([A-Za-z][A-Za-z0-9_.-]{0,80}+)[^{}]{0,80}+\}\}")
_BEGUN = re.compile(r"\{\{\s*\.[A-Za-z]")
_EXACT = re.compile(r"\{\{\s*\.[A-Za-z0-9_.-]+\s*\}\}")

Overlays = Mapping[str, str]
"""Docker's names of the overlays of a service, by those of the document."""


def _check_placeholders(service: Cursor, overlays: Overlays | None) -> None:
    """Note a fault for each value of `service` with an unknown placeholder, or one without a value.

    `{{.Overlay.IP}}` has one if the service is on one overlay, `{{.Overlay.<network>.IP}}` if it is on that one. None:
    a network has a fault, and no second one follows.
    """
    for key in FILLED_KEYS:
        below = service.at(key)
        if below.path == service.path:
            continue
        for place, text in _scalars(below if key == "hostname" else below.hidden()):
            _check(place, text, overlays)


def _check(place: Cursor, text: str, overlays: Overlays | None) -> None:
    """Note a fault for the first wrong placeholder of `text`."""
    for found in _PLACEHOLDER.finditer(text):
        name, exact = found[1], bool(_EXACT.fullmatch(found[0]))
        on = ON_OVERLAY.fullmatch(name)
        if exact and (name in KNOWN or ((on or name == OVERLAY_IP) and overlays is None)):
            continue
        if exact and (on or name == OVERLAY_IP):
            assert overlays is not None
            if on[1] in overlays if on else len(overlays) == 1:
                continue
            number = counted(len(overlays), "overlay") if overlays else "no overlays"
            problem = f"{{{{.{name}}}}} requires a service on one overlay, and this service is on {number}"
            if on:
                problem = f"{{{{.{name}}}}} requires a service on the overlay '{on[1]}', and this one is not"
            first = next(iter(overlays), "")
            one = "attach the service to " + (f"'{on[1]}'" if on else "one overlay")
            remedy = f"write for example {{{{.Overlay.{first}.IP}}}}" if first else one
            place.conflict(problem, place.guess(on[1], list(overlays), remedy) if on else remedy)
        else:
            offered = {each.lower(): each for each in (*KNOWN, OVERLAY_IP)}
            near = nearest(name, offered)
            remedy = f"did you mean {{{{.{offered[near]}}}}}?" if near else f"use {listed(offered.values())}"
            place.fault(f"{{{{.{name}}}}} is not a placeholder", remedy)
        return
    if _BEGUN.search(_PLACEHOLDER.sub("", text)):
        place.fault("a placeholder has no end", "write }} after its name")


def _scalars(place: Cursor) -> Iterator[tuple[Cursor, str]]:
    if place.written is not None:
        yield place, place.written
    elif place.is_sequence:
        for each in place.items():
            yield from _scalars(each)
    else:
        for _, value in place.entries():
            yield from _scalars(value)


Networks = Mapping[str, NetworkIntent]
Volumes = Mapping[str, VolumeIntent]
Files = Mapping[str, Mount | None]
"""The mount of each secret or config without its target, by its name; None if its declaration has a fault."""


def resolve(
    service: ServiceIntent, cursor: Cursor, networks: Networks, volumes: Volumes, files: Mapping[Kind, Files]
) -> ServiceIntent:
    """Return `service` with Docker's names of its networks and volumes, and with its secrets and configs as mounts.

    The content of the top-level sections is by the names that services use. Note a fault for each name that no section
    declares, and for wrong placeholders.
    """
    joined = _networks(service.spec, cursor, networks)
    mounts = [*_volumes(service.spec, cursor, volumes)]
    for kind, declared in files.items():
        mounts += _files(service.spec, mounts, cursor, kind, declared)
    spec = replace(
        service.spec,
        networks=tuple(sorted(joined, key=lambda each: each.network)),
        volumes=tuple(sorted(mounts, key=lambda each: each.target)),
    )
    on = {each.network for each in spec.networks}
    joinable = ((key, each.name) for key, each in networks.items() if each.driver == "overlay")
    overlays = {key: name for key, name in joinable if name in on}
    is_whole = len(on) >= (len(service.spec.networks) or (0 if service.spec.network_mode else 1))
    _check_placeholders(cursor, overlays if is_whole else None)
    return replace(service, spec=with_overlays(spec, overlays))


def _networks(spec: ContainerSpec, cursor: Cursor, declared: Networks) -> Iterator[Attachment]:
    if not spec.networks and spec.network_mode is None and cursor.is_mapping:
        if (joined := _unasked(cursor, declared)) is not None:
            yield Attachment(network=joined.name)
        return
    for each in spec.networks:
        network = declared.get(each.network)
        if network is None:
            place = cursor.at("networks", each.network)
            remedy = _remedy(place, each.network, declared, "networks")
            place.conflict(f"the network '{each.network}' is not declared", remedy)
        else:
            yield replace(each, network=network.name)


def _unasked(cursor: Cursor, declared: Networks) -> NetworkIntent | None:
    """Return the network of a service without `networks`: `default`, or the only overlay, or None and note a fault."""
    overlays = [each for each in declared.values() if each.driver == "overlay"]
    if DEFAULT_NETWORK in declared:
        return declared[DEFAULT_NETWORK]
    if len(overlays) == 1:
        return overlays[0]
    problem = f"has no networks, and the document declares {len(overlays) or 'no'} overlays"
    return cursor.hidden().conflict(problem, "write networks: [...], or network_mode: none")


def _volumes(spec: ContainerSpec, cursor: Cursor, declared: Volumes) -> Iterator[Mount]:
    for mount in spec.volumes:
        if mount.type != "volume" or mount.source is None:
            yield mount
        elif (volume := declared.get(mount.source)) is not None:
            yield replace(mount, source=volume.name)
        else:
            place = cursor.at("volumes", mount.source)
            remedy = _remedy(place, mount.source, declared, "volumes")
            place.conflict(f"the volume '{mount.source}' is not declared", remedy)


def _files(
    spec: ContainerSpec, mounts: list[Mount], cursor: Cursor, kind: Kind, declared: Files
) -> Iterator[Mount]:
    place = cursor.at(kind)
    if place.path == cursor.path:
        return
    taken = {*(each.target for each in mounts), *dict(spec.tmpfs)}
    for use in read_uses(place, kind):
        if use.name not in declared:
            remedy = _remedy(use.place, use.name, declared, kind)
            use.place.conflict(f"'{use.name}' is not one of the declared {kind}", remedy)
        elif use.target in taken:
            use.place.conflict(f"mounts '{use.target}' a second time", "keep one of them")
        elif (mount := declared[use.name]) is not None:
            yield replace(mount, target=use.target)
        taken.add(use.target)


def _remedy(place: Cursor, name: str, declared: Mapping[str, object], section: str) -> str:
    return place.guess(name, list(declared), f"declare it under the top-level '{section}'")
