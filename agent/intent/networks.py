"""Reads the top-level `networks` and `volumes`, and the networks of a service."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import get_args

from agent.intent import forms
from agent.intent.values import name, pairs
from agent.model import network_options
from agent.model.intent import GWBRIDGE, LOCAL_DRIVER, NetworkDriver, NetworkIntent, VolumeIntent
from agent.model.spec import Attachment, Pairs
from agent.yamldoc import Cursor, Fields, readers
from agent.yamldoc.readers import address, after, boolean, choice, derived, matching, sequence_of

# ---- Networks of a service, by the names the document gives them

_NEW = "is not supported: it requires Docker 28"
ATTACHMENT = forms.Section(
    {"aliases": forms.list_of(forms.TEXT), "ipv4_address": forms.ADDRESS},
    refused={
        "ipv6_address": "is not supported: the overlays have IPv4 only",
        "link_local_ips": "is not supported: overlays have no link-local addresses",
        "mac_address": "is not supported: two replicas with one MAC address interrupt each other's traffic",
        "driver_opts": "is not supported: declare them under the top-level 'networks'",
        "gw_priority": _NEW,
        "interface_name": _NEW,
        "priority": "is not supported: a replica joins its networks in the order of their names",
    },
)
ATTACHMENTS = forms.either(
    forms.list_of(forms.NAME), forms.mapping_of(forms.either(ATTACHMENT.form, forms.NOTHING))
)

alias = matching(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", "a valid DNS name")


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
    fields = ATTACHMENT.read(place)
    aliases = fields.read("aliases", sequence_of(alias, distinct=True), ())
    fixed = fields.read("ipv4_address", derived(address, str))
    return Attachment(network=network, aliases=tuple(sorted(aliases)), ipv4_address=fixed)


RESERVED = ("host", "none", "bridge", "ingress", GWBRIDGE)

_OTHERS = "has no effect on an external network or volume"
SUBNET = forms.Section(
    {"subnet": forms.NETWORK, "gateway": forms.ADDRESS},
    ("subnet",),
    {
        "ip_range": "is not supported: Docker assigns addresses of the whole subnet; choose a smaller subnet",
        "aux_addresses": "is not supported: use addresses outside the subnet for anything but replicas",
    },
)
_IPAM = forms.Section(
    {"config": {**forms.list_of(SUBNET.form, 1), "maxItems": 1}},
    refused={
        "driver": "is not supported: Docker's default IPAM driver assigns the addresses",
        "options": "is not supported: Docker's default IPAM driver has no options",
    },
)
NETWORK = forms.Section(
    {
        "name": forms.NAME,
        "driver": forms.choice(get_args(NetworkDriver)),
        "attachable": forms.BOOLEAN,
        "ipam": _IPAM.form,
        "driver_opts": forms.PAIRS,
        "external": forms.BOOLEAN,
        "internal": forms.BOOLEAN,
        "labels": forms.PAIRS,
    },
    refused={
        "enable_ipv6": "is not supported: Swarmkeeper uses IPv4 only",
        "enable_ipv4": "is not needed: every network has IPv4",
    },
)
VOLUME = forms.Section(
    {
        "name": forms.NAME,
        "driver": forms.TEXT,
        "driver_opts": forms.PAIRS,
        "external": forms.BOOLEAN,
        "labels": forms.PAIRS,
    }
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


def read_network(key: str, cursor: Cursor, project: str) -> NetworkIntent:
    """Read one network. Its default name is `<project>_<key>`, as in Compose; its default driver is overlay."""
    if cursor.is_null:
        _check_name(f"{project}_{key}", cursor)
        return NetworkIntent(key=key, name=f"{project}_{key}", driver="overlay")
    fields = NETWORK.read(cursor)
    external = _external(fields, "driver")
    driver: NetworkDriver = fields.read("driver", choice(get_args(NetworkDriver)), "overlay")
    docker_name = fields.read("name", name, key if external else f"{project}_{key}")
    _check_name(docker_name, cursor.at("name"))
    if fields.read("attachable", boolean) is False and driver == "overlay":
        problem = "containers cannot join an overlay that is not attachable"
        cursor.at("attachable").conflict(problem, "write attachable: true, or remove the key")
    subnet, gateway = fields.read("ipam", _ipam, (None, None))
    options = fields.read("driver_opts", driver_options, ())
    if dict(options).get(network_options.BRIDGE_NAME) in (GWBRIDGE, _DOCKER0):
        problem = "names the device of Docker's own bridge"
        cursor.at("driver_opts").fault(problem, "choose another name")
    return NetworkIntent(
        key=key,
        name=docker_name,
        driver=driver,
        subnet=subnet,
        gateway=gateway,
        options=options,
        external=external,
        internal=fields.read("internal", boolean, False),
        labels=fields.read("labels", pairs(), ()),
    )


def _check_name(docker_name: str, cursor: Cursor) -> None:
    if docker_name in RESERVED:
        cursor.fault(f"'{docker_name}' is Docker's own network", "choose another name")


def read_volume(key: str, cursor: Cursor, project: str) -> VolumeIntent:
    """Read one volume. Its default name is `<project>_<key>`, as in Compose."""
    if cursor.is_null:
        return VolumeIntent(key=key, name=f"{project}_{key}")
    fields = VOLUME.read(cursor)
    external = _external(fields)
    driver = fields.read("driver", _volume_driver, LOCAL_DRIVER)
    options = fields.read("driver_opts", pairs(secret=True), ())
    if driver == LOCAL_DRIVER:
        _check_local(cursor.at("driver_opts").hidden(), dict(options))
    named = fields.read("name", name, key if external else f"{project}_{key}")
    if len(named) < _SHORTEST_VOLUME:
        cursor.at("name").fault(f"'{named}' is too short for a volume", "Docker wants two characters")
    return VolumeIntent(
        key=key,
        name=named,
        driver=driver,
        options=options,
        external=external,
        labels=fields.read("labels", pairs(), ()),
    )


_SHORTEST_VOLUME = 2
_volume_driver = matching(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,254}", "the name of a volume driver, such as local")
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
            place.at(option).fault(problem, place.guess(option, _LOCAL))
            return
    needed = [each for option in options for each in _LOCAL[option] if not options.get(each)]
    if needed:
        problem = f"the driver local needs the option '{needed[0]}' too"
        place.fault(problem, "write type, device and o, as for mount(8)")


def _external(fields: Fields, *more: str) -> bool:
    """Return True for an external network or volume, and note a fault for each key but its name and `more`."""
    external = fields.read("external", boolean, False)
    for key in fields if external else ():
        if key not in ("name", "external", *more):
            fields.cursor.at(key).hidden().conflict(_OTHERS, "remove it")
    return external


def read_gateway(place: Cursor | None, subnet: IPv4Network | None) -> IPv4Address | None:
    """Return the gateway of `subnet`: the declared one, or the first address, as Docker chooses it."""
    gateway = None if place is None else address(place)
    if subnet is None or gateway is None or place is None:
        return gateway if subnet is None else gateway or subnet.network_address + 1
    if gateway not in subnet:
        place.conflict(f"the gateway {gateway} is outside its subnet {subnet}", "choose an address inside")
    elif gateway in (subnet.network_address, subnet.broadcast_address):
        problem = f"the gateway {gateway} is the first or last address of {subnet}"
        place.conflict(problem, "choose one in between")
    return gateway


def _ipam(cursor: Cursor) -> tuple[IPv4Network | None, IPv4Address | None]:
    place = _IPAM.read(cursor).at("config")
    found = None if place is None else sequence_of(_subnet, at_least=1)(place)
    if found and len(found) > 1 and place:
        place.fault("has more than one subnet", "declare one subnet")
    return found[0] if found else (None, None)


def _subnet(cursor: Cursor) -> tuple[IPv4Network | None, IPv4Address | None]:
    fields = SUBNET.read(cursor)
    subnet = fields.require("subnet", usable_network, "write for example 10.10.0.0/16")
    return subnet, read_gateway(fields.at("gateway"), subnet)


@after(readers.text)
def usable_network(cursor: Cursor, written: str) -> IPv4Network | None:
    """Read an IPv4 network from /8 to /29, without host bits, whose addresses hosts can have."""
    try:
        found = IPv4Network(written, strict=False)
    except ValueError:
        cursor.fault(f"{cursor.shown} is not an IPv4 network", "write for example 10.10.0.0/16")
        return None
    if written != str(found):
        cursor.fault(f"{cursor.shown} is not an IPv4 network", f"did you mean {found}?")
    elif not 8 <= found.prefixlen <= 29:  # noqa: PLR2004
        cursor.fault(f"a network cannot have the prefix /{found.prefixlen}", "choose one from /8 to /29")
    elif found.is_loopback or found.is_multicast or found.is_link_local or found.is_unspecified:
        problem = f"{found} is reserved for other purposes"
        cursor.fault(problem, "choose a private network, such as 10.10.0.0/16")
    else:
        return found
    return None
