"""Reads published ports, in Compose's short and long forms."""

import re
from ipaddress import AddressValueError, IPv4Address
from typing import Literal, get_args

from agent.intent import forms
from agent.intent.forms import Field, Section
from agent.intent.values import text
from agent.model.spec import Port, Protocol
from agent.yamldoc.readers import Cursor, address, choice, derived, integer

PortMode = Literal["host", "ingress"]
_PROTOCOLS: dict[str, Protocol] = {each: each for each in get_args(Protocol)}
_HIGHEST = 65535
_MOST = 200
_RANGE = r"\d{1,5}(?:-\d{1,5})?"
_SHORT = re.compile(
    rf"(?:(?:(?P<ip>[0-9.]+):)?(?P<published>{_RANGE})?:)?(?P<target>{_RANGE})(?:/(?P<protocol>tcp|udp|sctp))?",
    re.ASCII,
)
_SHORT_REMEDY = 'write "8080:80", "127.0.0.1:8080:80" or "5353:53/udp"'


def ports(cursor: Cursor) -> tuple[Port, ...] | None:
    """Read a list of ports, sorted. Each port of the host may be published once."""
    found: dict[tuple[int | None, str], list[Port]] = {}
    count = 0
    for place in cursor.items():
        for port in _long(place) if place.is_mapping else _short(place):
            published = found.setdefault((port.published, port.protocol), [])
            if port in published or any(clash(port, other) for other in published):
                what = f"port {port.published}/{port.protocol} of the host" if port.published else "the same"
                place.conflict(f"publishes {what} twice", "keep one of them")
            else:
                published.append(port)
                count += 1
        if count > _MOST:
            place.fault(f"publishes more than {_MOST} ports", "publish fewer, or use network_mode: host")
            break
    return tuple(sorted((port for ports in found.values() for port in ports), key=_order))


def _order(port: Port) -> tuple[int, int, str, str, str]:
    return port.target, port.published or 0, port.protocol, port.host_ip, port.among


def clash(one: Port, other: Port) -> bool:
    """Return True if one host cannot publish both. A port without an address is published on every address.

    A port that the engine chooses clashes with none: it takes one that is free.
    """
    if one.published is None or (one.published, one.protocol) != (other.published, other.protocol):
        return False
    return one.host_ip == other.host_ip or not one.host_ip or not other.host_ip


def _short(place: Cursor) -> list[Port]:
    written = text(place)
    if written is None:
        return []
    found = _SHORT.fullmatch(written)
    if found is None:
        ip = written.rpartition(":")[0].rpartition(":")[0]
        remedy = f"'{ip[:60]}' is not an IPv4 address of the host; {_SHORT_REMEDY}" if ip else _SHORT_REMEDY
        place.fault(f"{place.shown} is not a port", remedy)
        return []
    host_ip, target = _host_ip(place, found["ip"] or ""), _range(place, found["target"])
    published = _range(place, found["published"]) if found["published"] else range(1, 1)
    if not target or (found["published"] and not published):
        return []
    protocol = _PROTOCOLS[found["protocol"] or "tcp"]
    if not published:
        return [Port(target=each, protocol=protocol, host_ip=host_ip) for each in target]
    if len(target) == 1 < len(published):
        return [Port(target=target[0], protocol=protocol, host_ip=host_ip, among=_among(published))]
    if len(published) != len(target):
        problem = "the two ranges differ in length"
        place.conflict(problem, "write as many ports of the host as of the container")
        return []
    return [
        Port(target=inner, published=outer, protocol=protocol, host_ip=host_ip)
        for inner, outer in zip(target, published, strict=True)
    ]


def _among(ports: range) -> str:
    return f"{ports[0]}-{ports[-1]}"


def _range(place: Cursor, written: str) -> range:
    first, _, last = written.partition("-")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= _HIGHEST:
        problem = f"'{written}' is not a range of ports"
        place.fault(problem, "write ports from 1 to 65535, the lower one first")
    elif high - low >= _MOST:
        problem = f"'{written}' is a range of more than {_MOST} ports"
        place.fault(problem, "publish fewer, or use network_mode: host")
    else:
        return range(low, high + 1)
    return range(1, 1)


def _host_ip(place: Cursor, written: str) -> str:
    try:
        return "" if written in ("", "0.0.0.0") else str(IPv4Address(written))  # noqa: S104  compared, not bound
    except AddressValueError:
        place.fault(f"'{written}' is not an IPv4 address", _SHORT_REMEDY)
        return ""


_port = integer(1, _HIGHEST)


def _published(place: Cursor) -> dict[str, object]:
    """Read a port of the host, or a range of which the engine chooses one."""
    if not re.fullmatch(r"\d{1,5}-\d{1,5}", place.written or "", re.ASCII):
        return {"published": _port(place)}
    ports = _range(place, place.written or "")
    return {"among": _among(ports)} if len(ports) > 1 else {"published": ports[0] if ports else None}


LONG = Section(
    {
        "target": Field.integer(1, _HIGHEST),
        "published": Field(_published, forms.either(forms.integer(1, _HIGHEST), forms.TEXT), None),
        "protocol": Field.choice(get_args(Protocol)),
        "host_ip": Field(
            derived(address, lambda found: "" if found == IPv4Address(0) else str(found)), forms.ADDRESS
        ),
        "mode": Field(choice(get_args(PortMode)), forms.choice(get_args(PortMode))),
    },
    {"target": "write the port of the container"},
    {
        "name": "is not supported: Docker has no names for ports; remove it",
        "app_protocol": "is not supported: Docker does not read the traffic of a port; remove it",
    },
)
PORTS = forms.list_of(forms.either(forms.TEXT, LONG.form))


def _long(place: Cursor) -> list[Port]:
    _, found = LONG.read(place)
    found.pop("mode", None)
    return [Port(**found)] if LONG.required.keys() <= found.keys() else []
