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
    """Note a fault for each value of `service` with a placeholder that could not be filled in."""
    fixed = len(spec.networks) == 1 and spec.networks[0].ipv4_address is not None
    for key in FILLED_KEYS:
        below = service.at(key)
        if below.path == service.path:
            continue
        for place, text in _scalars(below.hidden() if key == "environment" else below):
            _check(place, text, fixed=fixed)


def _check(place: Cursor, text: str, *, fixed: bool) -> None:
    """Note the first placeholder of `text` that is wrong; `fixed` is whether the copy's address is known."""
    for found in _PLACEHOLDER.finditer(text):
        name, exact = found[1], bool(_EXACT.fullmatch(found[0]))
        if exact and (name in KNOWN or (name == OVERLAY_IP and fixed)):
            continue
        if exact and name == OVERLAY_IP:
            place.fault(
                f"{{{{.{OVERLAY_IP}}}}} needs a fixed address, until addresses are pinned for every copy",
                "give the service one network with an ipv4_address, and one copy",
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
