"""The known options of Docker's network drivers: the type of each, and one normal form for all spellings of a value."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv4Address
from typing import Literal

from agent.model.spec import Pairs

Kind = Literal["boolean", "present", "mtu", "address", "interface", "prefix", "numbers", "gateway mode"]

BRIDGE = "com.docker.network.bridge."
BRIDGE_NAME = f"{BRIDGE}name"
_ENCRYPTED = "encrypted"
TRUE = ("1", "t", "T", "true", "True", "TRUE")
FALSE = ("0", "f", "F", "false", "False", "FALSE")
"""Spellings of booleans in Go, and so in the engine."""
_LEAST_MTU, _MOST_MTU = 68, 65_535
_LONGEST_DEVICE = 15
_DEVICE = "[A-Za-z0-9][A-Za-z0-9_.-]{{0,{}}}"
_SIMILAR = 0.7
_MODES = ("nat", "nat-unprotected", "routed", "isolated")


@dataclass(frozen=True, slots=True)
class Option:
    """A known option: its kind, and the only driver that reads it; empty: every driver."""

    kind: Kind
    driver: str = ""


OPTIONS: Mapping[str, Option] = {
    BRIDGE_NAME: Option("interface", "bridge"),
    f"{BRIDGE}enable_icc": Option("boolean", "bridge"),
    f"{BRIDGE}enable_ip_masquerade": Option("boolean", "bridge"),
    f"{BRIDGE}inhibit_ipv4": Option("boolean", "bridge"),
    f"{BRIDGE}gateway_mode_ipv4": Option("gateway mode", "bridge"),
    f"{BRIDGE}host_binding_ipv4": Option("address", "bridge"),
    "com.docker.network.container_iface_prefix": Option("prefix", "bridge"),
    "com.docker.network.host_ipv4": Option("address", "bridge"),
    "com.docker.network.driver.mtu": Option("mtu"),
    "com.docker.network.driver.overlay.vxlanid_list": Option("numbers", "overlay"),
    _ENCRYPTED: Option("present", "overlay"),
}


def normal(name: str, value: str) -> str:
    """Return `value` in the form in which equal values of a known option are equal texts; else as it is."""
    known = OPTIONS.get(name)
    if known is None:
        return value
    if known.kind == "boolean" and value in (*TRUE, *FALSE):
        return "true" if value in TRUE else "false"
    if known.kind == "present":
        return ""  # the driver looks for the name alone
    if known.kind in ("mtu", "numbers") and re.fullmatch(r"[0-9]{1,10}", value):
        return str(int(value))
    return value


def normalized(options: Pairs) -> Pairs:
    return tuple((name, normal(name, value)) for name, value in options)


def why_wrong(name: str, value: str) -> tuple[str, str] | None:
    """Return the problem of a value that the driver does not understand, and the remedy; None for any other."""
    known = OPTIONS.get(name)
    if known is None:
        return None
    if known.kind == "present":
        return _why_no_mark(value)
    is_right, wanted, remedy = _FORMS[known.kind]
    return None if is_right(value) else (f"{value[:60]!r} is not {wanted}", remedy)


def _why_no_mark(value: str) -> tuple[str, str] | None:
    if value in FALSE:
        return "encrypts, whatever its value is", "remove the option"
    if value and value not in TRUE:
        return f"{value[:60]!r} is not a value of this option", 'write encrypted: ""'
    return None


def nearest_option(name: str) -> str | None:
    """Return the known option that an unknown `name` resembles; None if it resembles none."""
    last = {each.rpartition(".")[2]: each for each in OPTIONS}
    near = get_close_matches(name.rpartition(".")[2].lower()[:60], last, n=1, cutoff=_SIMILAR)
    return last[near[0]] if near else None


def _is_address(value: str) -> bool:
    try:
        IPv4Address(value)
    except AddressValueError:
        return False
    return True


def _form(pattern: str) -> Callable[[str], bool]:
    return lambda value: bool(re.fullmatch(pattern, value, re.ASCII))


_FORMS: Mapping[Kind, tuple[Callable[[str], bool], str, str]] = {
    "boolean": (_form("|".join((*TRUE, *FALSE))), "true or false", 'write "true" or "false"'),
    "mtu": (
        lambda value: value.isascii() and value.isdigit() and _LEAST_MTU <= int(value[:10]) <= _MOST_MTU,
        "an MTU",
        f"write a number from {_LEAST_MTU} to {_MOST_MTU}",
    ),
    "address": (_is_address, "an IPv4 address", "write an address of the host"),
    "interface": (
        _form(_DEVICE.format(_LONGEST_DEVICE - 1)),
        "the name of a device",
        f"write at most {_LONGEST_DEVICE} letters, digits, - and _",
    ),
    "prefix": (
        _form(_DEVICE.format(_LONGEST_DEVICE - 4)),
        "the beginning of a device's name",
        "write for example eth",
    ),
    "numbers": (_form(r"[0-9]{1,8}(?:,[0-9]{1,8}){0,20}"), "a list of numbers", "write for example 4097"),
    "gateway mode": (_form("|".join(_MODES)), f"one of: {', '.join(_MODES)}", "write for example nat"),
}
"""The check of a value by kind of option, what the value should be, and the remedy."""
