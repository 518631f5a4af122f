"""Placeholders: `{{.Node.Hostname}}` and others, filled in on the host where a copy runs."""

import re
from collections.abc import Iterator

from agent.document import Cursor
from agent.document.nodes import Scalar
from agent.document.words import listed, nearest
from agent.model.spec import ContainerSpec

KNOWN = ("Node.Hostname", "Service.Name", "Task.Slot")
OVERLAY_IP = "Overlay.IP"
FILLED_KEYS = ("environment", "labels", "command", "entrypoint", "hostname", "healthcheck")
"""Where they are filled in; elsewhere `{{` may be somebody else's template, as in logging.options.tag."""

_PLACEHOLDER = re.compile(r"\{\{\s*\.([A-Za-z][A-Za-z0-9_.]{0,40})[^{}]{0,80}\}\}")
_EXACT = re.compile(r"\{\{\s*\.[A-Za-z.]+\s*\}\}")


def check_placeholders(service: Cursor, spec: ContainerSpec) -> None:
    """Note a fault for each placeholder in `service` that could not be filled in."""
    fixed = len(spec.networks) == 1 and spec.networks[0].ipv4_address is not None
    for key in FILLED_KEYS:
        below = service.at(key)
        if below.path == service.path:
            continue
        place = below.hidden() if key == "environment" else below
        for scalar, name, exact in _placeholders(place):
            if name == OVERLAY_IP and exact and not fixed:
                scalar.fault(
                    f"{{{{.{OVERLAY_IP}}}}} needs a fixed address, until addresses are pinned for every copy",
                    "give the service one network with an ipv4_address, and one copy",
                )
            elif not exact or name not in (*KNOWN, OVERLAY_IP):
                _refuse(scalar, name)


def _refuse(place: Cursor, name: str) -> None:
    offered = {each.lower(): each for each in (*KNOWN, OVERLAY_IP)}
    near = nearest(name, offered)
    remedy = f"did you mean {{{{.{offered[near]}}}}}?" if near else f"{listed(offered.values())} are"
    place.fault(f"{{{{.{name}}}}} is not a placeholder that is offered", remedy)


def _placeholders(place: Cursor) -> Iterator[tuple[Cursor, str, bool]]:
    """Yield the scalar, the placeholder's name, and whether it is written in the one form that is filled in."""
    if isinstance(place.node, Scalar):
        for found in _PLACEHOLDER.finditer(place.node.text):
            yield place, found[1], bool(_EXACT.fullmatch(found[0]))
    elif place.is_sequence:
        for each in place.items():
            yield from _placeholders(each)
    else:
        for _, value in place.entries():
            yield from _placeholders(value)
