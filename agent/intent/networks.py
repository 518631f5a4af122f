"""Reads the top-level `networks` and `volumes`, and the networks of a service."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network
from typing import Any, get_args

from agent.intent import forms
from agent.intent.forms import Field, Section
from agent.intent.values import name, pairs
from agent.model import network_options
from agent.model.intent import GWBRIDGE, LOCAL_DRIVER, NetworkDriver, NetworkIntent, VolumeIntent
from agent.model.spec import Attachment, Pairs
from agent.yamldoc import Cursor, Fields, readers
from agent.yamldoc.faultlist import listed
from agent.yamldoc.readers import address, after, boolean, derived, matching, sequence_of

# ---- Networks of a service, by the names the document gives them

_NEW = "is not supported: it requires Docker 28; remove it"
alias = matching(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", "a DNS name of letters, digits, . _ and -", "cache-1"
)

ATTACHMENT = Section(
    {
        "aliases": Field(
            derived(sequence_of(alias, distinct=True), lambda found: tuple(sorted(found))),
            forms.list_of(forms.TEXT),
        ),
        "ipv4_address": Field(derived(address, str), forms.ADDRESS),
    },
    refused={
        "ipv6_address": "is not supported: the overlays have IPv4 only; remove it, or use ipv4_address",
        "link_local_ips": "is not supported: overlays have no link-local addresses; remove it",
        "mac_address": "is not supported: two replicas with one MAC address interrupt each other's traffic; remove it",
        "driver_opts": "is not supported; declare them under the top-level 'networks'",
        "gw_priority": _NEW,
        "interface_name": _NEW,
        "priority": "is not supported: a replica joins its networks in the order of their names; remove it",
    },
)
ATTACHMENTS = forms.either(
    forms.list_of(forms.NAME), forms.mapping_of(forms.either(ATTACHMENT.form, forms.NOTHING))
)


def attachments(cursor: Cursor) -> tuple[Attachment, ...] | None:
    """Read a list of networks, or a mapping from network to its settings; sorted by network."""
    if cursor.is_sequence:
        names = sequence_of(name, distinct=True)(cursor) or ()
        return tuple(Attachment(network=each) for each in sorted(names))
    found = [_attachment(key, place) for key, place in cursor.entries()]
    return tuple(sorted((each for each in found if each), key=lambda each: each.network))


def _attachment(key: Cursor, place: Cursor) -> Attachment | None:
    network = name(key)
    if network is None or place.is_null:
        return None if network is None else Attachment(network=network)
    return ATTACHMENT.into(partial(Attachment, network=network))(place)


RESERVED = ("host", "none", "bridge", "ingress", GWBRIDGE)

_OTHERS = "has no effect on an external network or volume"


@after(readers.text)
def usable_network(cursor: Cursor, written: str) -> IPv4Network | None:
    """Read an IPv4 network from /8 to /29, without host bits, whose addresses hosts can have."""
    try:
        found = IPv4Network(written, strict=False)
    except ValueError:
        return cursor.fault(f"{cursor.shown} is not an IPv4 network", "write for example 10.10.0.0/16")
    if written != str(found):
        return cursor.fault(f"{cursor.shown} is not an IPv4 network", f"did you mean {found}?")
    if not 8 <= found.prefixlen <= 29:  # noqa: PLR2004
        problem = f"a network cannot have the prefix /{found.prefixlen}"
        return cursor.fault(problem, "choose one from /8 to /29")
    if found.is_loopback or found.is_multicast or found.is_link_local or found.is_unspecified:
        problem = f"{found} is reserved for other purposes"
        return cursor.fault(problem, "choose a private network, such as 10.10.0.0/16")
    return found


def with_gateway(fields: Fields, found: dict[str, Any]) -> dict[str, Any]:
    """Return the values with the gateway of their subnet: the declared one, or the first address, as Docker does."""
    subnet, gateway, place = found.get("subnet"), found.get("gateway"), fields.cursor.at("gateway")
    if subnet is None:
        return found
    if gateway is None:
        return {**found, "gateway": subnet.network_address + 1}
    if gateway not in subnet:
        place.conflict(f"the gateway {gateway} is outside its subnet {subnet}", "choose an address inside")
    elif gateway in (subnet.network_address, subnet.broadcast_address):
        problem = f"the gateway {gateway} is the first or last address of {subnet}"
        place.conflict(problem, "choose one in between")
    return found


SUBNET = Section(
    {"subnet": Field(usable_network, forms.NETWORK), "gateway": Field(address, forms.ADDRESS)},
    {"subnet": "write for example 10.10.0.0/16"},
    {
        "ip_range": "is not supported: Docker assigns addresses of the whole subnet; choose a smaller subnet",
        "aux_addresses": "is not supported; use addresses outside the subnet for anything but replicas",
    },
)


def _subnet(cursor: Cursor) -> dict[str, Any]:
    return with_gateway(*SUBNET.read(cursor))


@after(sequence_of(_subnet, not_empty=True))
def _only_subnet(cursor: Cursor, found: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    if len(found) > 1:
        cursor.fault("has more than one subnet", "declare one subnet")
    return found[0] if found else {}


_IPAM = Section(
    {
        "config": Field(_only_subnet, {**forms.list_of(SUBNET.form, 1), "maxItems": 1}, None),
        "driver": Field.respelled(
            forms.choice(("default",)), "is not supported: Docker's default IPAM driver assigns the addresses"
        ),
    },
    refused={"options": "is not supported: Docker's default IPAM driver has no options; remove it"},
)
_DOCKER0 = "docker0"
_DEFAULT_BRIDGE = f"{network_options.BRIDGE}default_bridge"


@after(pairs())
def driver_options(cursor: Cursor, found: Pairs) -> Pairs | None:
    """Read options of a network driver. Known ones are checked, and brought into their normal form."""
    wrong = [(each, why) for each, value in found if (why := network_options.why_wrong(each, value))]
    reserved = "is the option of Docker's own bridge", "remove it"
    wrong += [(each, reserved) for each, _ in found if each == _DEFAULT_BRIDGE]
    for option, why in wrong:
        cursor.at(option).fault(*why)
    return None if wrong else network_options.normalized(found)


EXTERNAL = forms.either(forms.BOOLEAN, {"type": "object", "properties": {"name": forms.NAME}})
NETWORK = Section(
    {
        "name": Field(name, forms.NAME),
        "driver": Field.choice(get_args(NetworkDriver)),
        "attachable": Field(boolean, forms.BOOLEAN),
        "ipam": Field(_IPAM.into(dict), _IPAM.form, None),
        "driver_opts": Field(driver_options, forms.PAIRS, "options"),
        "external": Field(boolean, EXTERNAL),
        "internal": Field(boolean, forms.BOOLEAN),
        "labels": Field(pairs(), forms.PAIRS),
    },
    refused={
        "enable_ipv6": "is not supported: Swarmkeeper uses IPv4 only; remove it",
        "enable_ipv4": "is not needed: every network has IPv4; remove it",
    },
)


def read_network(key: str, cursor: Cursor, project: str) -> NetworkIntent:
    """Read one network. Its default name is `<project>_<key>`, as in Compose; its default driver is overlay."""
    usual = NetworkIntent(key=key, name=f"{project}_{key}", driver="overlay")
    if cursor.is_null:
        _check_name(usual.name, cursor)
        return usual
    found = _as_external(key, *NETWORK.read(cursor), "driver")
    attachable = found.pop("attachable", True)
    network = replace(usual, **found)
    _check_name(network.name, cursor.at("name"))
    if not attachable and network.driver == "overlay":
        problem = "containers cannot join an overlay that is not attachable"
        cursor.at("attachable").conflict(problem, "write attachable: true, or remove the key")
    if dict(network.options).get(network_options.BRIDGE_NAME) in (GWBRIDGE, _DOCKER0):
        problem = "names the device of Docker's own bridge"
        cursor.at("driver_opts").fault(problem, "choose another name")
    return network


def _check_name(docker_name: str, cursor: Cursor) -> None:
    if docker_name in RESERVED:
        cursor.fault(f"'{docker_name}' is Docker's own network", "choose another name")


_SHORTEST_VOLUME = 2
_volume_driver = matching(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,254}", "the name of a volume driver", "local")
VOLUME = Section(
    {
        "name": Field(name, forms.NAME),
        "driver": Field(_volume_driver, forms.TEXT),
        "driver_opts": Field(pairs(secret=True), forms.PAIRS, "options"),
        "external": Field(boolean, EXTERNAL),
        "labels": Field(pairs(), forms.PAIRS),
    }
)


def read_volume(key: str, cursor: Cursor, project: str) -> VolumeIntent:
    """Read one volume. Its default name is `<project>_<key>`, as in Compose."""
    usual = VolumeIntent(key=key, name=f"{project}_{key}")
    if cursor.is_null:
        return usual
    volume = replace(usual, **_as_external(key, *VOLUME.read(cursor)))
    if volume.driver == LOCAL_DRIVER:
        _check_local(cursor.at("driver_opts").hidden(), dict(volume.options))
    if len(volume.name) < _SHORTEST_VOLUME:
        cursor.at("name").fault(f"'{volume.name}' is too short for a volume", "write at least two characters")
    return volume


_LOCAL: Mapping[str, tuple[str, ...]] = {
    "type": ("device",),
    "device": ("type",),
    "o": ("device", "type"),
    "size": (),
}
"""The options of the driver local, each with those that it needs: moby, volume/local."""


def _check_local(place: Cursor, options: Mapping[str, str]) -> None:
    """Note a fault for options with which the driver `local` makes no volume."""
    for option in options:
        if option not in _LOCAL:
            problem = f"the driver local has no option '{option[:60]}'"
            place.at(option).fault(problem, place.guess(option, _LOCAL, f"use {listed(_LOCAL)}"))
            return
    needed = [each for option in options for each in _LOCAL[option] if not options.get(each)]
    if needed:
        problem = f"the driver local needs the option '{needed[0]}' too"
        place.fault(problem, "write type, device and o, as for mount(8)")


def _as_external(key: str, fields: Fields, found: dict[str, Any], *more: str) -> dict[str, Any]:
    """Return the values, with `key` as the name of an external network or volume.

    Note a fault for each key but its name and `more`.
    """
    if not found.get("external"):
        return found
    for each in fields:
        if each not in ("name", "external", *more):
            fields.cursor.at(each).hidden().conflict(_OTHERS, "remove it")
    return {"name": key, **found}
