"""Networks of a service, by the names the document gives them."""

from agent.intent import forms
from agent.intent.values import name
from agent.model.spec import Attachment
from agent.yamldoc import Cursor
from agent.yamldoc.scalars import address, matching, sequence_of

KEYS = ("aliases", "ipv4_address")
_NEW = "is not offered: engines before 28 do not know it"
_REFUSED = {
    "ipv6_address": "is not offered: overlays here are IPv4",
    "link_local_ips": "is not offered: overlays have none",
    "mac_address": "is not offered: two copies with one address disturb each other",
    "driver_opts": "is not offered: give them to the network itself",
    "gw_priority": _NEW,
    "interface_name": _NEW,
    "priority": "is not offered: networks are joined in the order of their names",
}

_FORM = forms.section(
    forms.of(KEYS, {"aliases": forms.list_of(forms.TEXT), "ipv4_address": forms.ADDRESS}), refused=_REFUSED
)
FORM = forms.either(forms.list_of(forms.NAME), forms.mapping_of(forms.either(_FORM, forms.NOTHING)))

alias = matching(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", "a name that DNS can answer for")


def attachments(cursor: Cursor) -> tuple[Attachment, ...] | None:
    """Read a list of networks, or a mapping that says more about each; sorted by network."""
    if cursor.is_sequence:
        names = sequence_of(name, distinct=True)(cursor) or ()
        return tuple(Attachment(network=each) for each in sorted(names))
    found = [_attachment(key, place) for key, place in cursor.entries()]
    return tuple(sorted((each for each in found if each), key=lambda each: each.network))


def _attachment(key: Cursor, place: Cursor) -> Attachment | None:
    network = name(key)
    if network is None or place.is_null:
        return None if network is None else Attachment(network=network)
    fields = place.fields(KEYS, _REFUSED, extensions=True)
    aliases = fields.read("aliases", sequence_of(alias, distinct=True), ())
    fixed = fields.read("ipv4_address", address)
    return Attachment(
        network=network, aliases=tuple(sorted(aliases)), ipv4_address=None if fixed is None else str(fixed)
    )
