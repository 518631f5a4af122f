"""`x-hosts`, or `deploy` in its place: how many copies of a service each host runs, or how many there are at all."""

from dataclasses import replace

from agent.intent import forms
from agent.intent.deploy import Deploy
from agent.model.intent import ANYWHERE, HostIntent, ServiceIntent
from agent.yamldoc.faultlist import listed
from agent.yamldoc.readers import Cursor, Fields, integer, text

MOST_COPIES = 1000
"""Copies of one service on one host."""

Placement = tuple[tuple[str, int], ...]
HOSTS = forms.either(forms.list_of(forms.TEXT, 1), forms.mapping_of(forms.integer(0, MOST_COPIES)))


def read_placement(fields: Fields, hosts: tuple[str, ...], deploy: Deploy) -> Placement:
    """Return (host, copies) in the document's order; nothing where `deploy` says it. `hosts` are the declared ones."""
    place = fields.at("x-hosts")
    if place is None:
        if not deploy.everywhere and deploy.replicas is None:
            example = hosts[0] if hosts else "node-1"
            remedy = f"say where it runs, for example x-hosts: [{example}], or deploy: {{replicas: 1}}"
            fields.missing("x-hosts", remedy)
        return ()
    for key in _said(deploy):
        place.hidden().fault(f"x-hosts and deploy.{key} say different things", "keep one of them")
    return _checked(_counted(place), dict.fromkeys(hosts, 1))


def _said(deploy: Deploy) -> list[str]:
    """What `deploy` says of where copies run."""
    said = {
        "mode: global": deploy.everywhere,
        "replicas": deploy.replicas is not None,
        "placement": deploy.where != ANYWHERE,
    }
    return [key for key, is_said in said.items() if is_said]


def settle_hosts(service: ServiceIntent, cursor: Cursor, hosts: tuple[HostIntent, ...]) -> ServiceIntent:
    """Return `service` with the hosts of mode global; note a fault when its constraints leave none of the `hosts`."""
    unmet = [service.where.unmet(each) for each in hosts]
    if service.where.constraints and hosts and all(unmet):
        told = ", ".join(dict.fromkeys(str(each) for each in unmet))
        problem = f"no declared host meets these constraints: {told}"
        place = cursor.at("deploy", "placement", "constraints").hidden()
        place.fault(problem, "correct them, or the labels in x-cluster.hosts")
    if not service.everywhere:
        return service
    fitting = (each.name for each, why_not in zip(hosts, unmet, strict=True) if not why_not)
    return replace(service, placement=tuple((name, 1) for name in fitting))


def _counted(place: Cursor) -> list[tuple[Cursor, int]]:
    """Return (host, copies), from a mapping or from a list of hosts that run one each."""
    count = integer(0, MOST_COPIES)
    found = (
        [(key, count(value)) for key, value in place.entries()]
        if place.is_mapping
        else [(each, 1) for each in place.items()]
    )
    if not found and (place.is_mapping or place.is_sequence):
        place.fault("names no host", "name at least one")
    return [(key, number) for key, number in found if number is not None]


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
