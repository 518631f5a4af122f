"""Placeholders: `{{.Node.Hostname}}` and others, filled in on the host where a copy runs."""

import re
from collections.abc import Iterator

from agent.yamldoc import Cursor
from agent.yamldoc.nodes import Scalar
from agent.yamldoc.words import listed, nearest

KNOWN = ("Node.Hostname", "Node.ID", "Host.Address", "Service.Name", "Task.Slot")
OVERLAY_IP = "Overlay.IP"
FILLED_KEYS = ("environment", "labels", "command", "entrypoint", "hostname", "healthcheck")
"""Where they are filled in; elsewhere `{{` may be somebody else's template, as in logging.options.tag."""

_PLACEHOLDER = re.compile(r"\{\{\s*\.([A-Za-z][A-Za-z0-9_.]{0,40}+)[^{}]{0,80}+\}\}")
_EXACT = re.compile(r"\{\{\s*\.[A-Za-z.]+\s*\}\}")


def check_placeholders(service: Cursor, overlays: int) -> None:
    """Note a fault for each value of `service` with a placeholder that could not be filled in.

    `overlays` is on how many the service is.
    """
    for key in FILLED_KEYS:
        below = service.at(key)
        if below.path == service.path:
            continue
        for place, text in _scalars(below if key == "hostname" else below.hidden()):
            _check(place, text, overlays)


def _check(place: Cursor, text: str, overlays: int) -> None:
    """Note the first placeholder of `text` that is wrong."""
    for found in _PLACEHOLDER.finditer(text):
        name, exact = found[1], bool(_EXACT.fullmatch(found[0]))
        if exact and (name in KNOWN or (name == OVERLAY_IP and overlays == 1)):
            continue
        if exact and name == OVERLAY_IP:
            place.fault(
                f"{{{{.{OVERLAY_IP}}}}} is the address on the service's overlay, and it is on {overlays or 'none'}",
                "give it one network that is an overlay",
            )
        else:
            offered = {each.lower(): each for each in (*KNOWN, OVERLAY_IP)}
            near = nearest(name, offered)
            remedy = f"did you mean {{{{.{offered[near]}}}}}?" if near else f"{listed(offered.values())} are"
            place.fault(f"{{{{.{name}}}}} is not a placeholder that is offered", remedy)
        return


def _scalars(place: Cursor) -> Iterator[tuple[Cursor, str]]:
    if isinstance(place.node, Scalar):
        yield place, place.node.text
    elif place.is_sequence:
        for each in place.items():
            yield from _scalars(each)
    else:
        for _, value in place.entries():
            yield from _scalars(value)
