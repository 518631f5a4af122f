"""`x-hosts`: how many copies of a service each host runs."""

from agent.document import Cursor, Fields
from agent.document.scalars import integer, text
from agent.document.words import listed
from agent.intent import forms

MOST_COPIES = 1000
"""Copies of one service on one host."""

Placement = tuple[tuple[str, int], ...]
FORM = forms.either(forms.list_of(forms.TEXT, 1), forms.mapping_of(forms.integer(0, MOST_COPIES)))


def read_placement(fields: Fields, hosts: Placement, *, everywhere: bool) -> Placement:
    """Return (host, copies) in the document's order; `everywhere`: `hosts`, which is one copy on each of them."""
    place = fields.at("x-hosts")
    if place is None:
        if everywhere:
            return hosts
        example = hosts[0][0] if hosts else "node-1"
        fields.missing("x-hosts", f"say where it runs, for example x-hosts: [{example}]")
        return ()
    if everywhere:
        place.hidden().fault("x-hosts and deploy.mode: global say different things", "keep one of them")
    pairs = _from_mapping(place) if place.is_mapping else _from_list(place)
    return _checked(pairs, dict(hosts))


def _from_mapping(place: Cursor) -> list[tuple[Cursor, int]]:
    count = integer(0, MOST_COPIES)
    found = [(key, count(value)) for key, value in place.entries()]
    if not found:
        place.fault("names no host", "name at least one")
    return [(key, number) for key, number in found if number is not None]


def _from_list(place: Cursor) -> list[tuple[Cursor, int]]:
    found = [(each, 1) for each in place.items()]
    if not found and place.is_sequence:
        place.fault("names no host", "name at least one")
    return found


def _checked(pairs: list[tuple[Cursor, int]], hosts: dict[str, int]) -> Placement:
    found: dict[str, int] = {}
    for place, count in pairs:
        host = text(place)
        if host is None:
            continue
        if host in found:
            place.fault(f"names the host {place.shown} twice", "write host: 2 for two copies on one host")
        elif hosts and host not in hosts:
            known = place.guess(host, hosts) or f"x-cluster.hosts has {listed(hosts)}"
            place.fault(f"{place.shown} is no declared host", known)
        found[host] = count
    return tuple(found.items())
