"""Placeholders in Swarm's notation: values of a replica that only its host knows; and its reserved addresses."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from agent.errors import Invalid
from agent.model import Frozen
from agent.model.spec import Attachment, ContainerSpec, Pairs

OVERLAY_IP = "Overlay.IP"
ON_OVERLAY = re.compile(r"Overlay\.([A-Za-z0-9][A-Za-z0-9_.-]{0,126})\.IP")
"""The same of one of several overlays, by its name: in a document that of its section, in a spec Docker's own."""
_PLACEHOLDER = re.compile(rf"\{{\{{\s*\.({ON_OVERLAY.pattern}|[A-Z][A-Za-z]*\.[A-Z][A-Za-z]*)\s*\}}\}}")


class FillContext(Frozen):
    """The values of the placeholders of one replica; None: not known."""

    host: str
    service: str
    slot: int
    node_id: str | None = None
    address: str | None = None
    """The host's own address."""
    reserved: Pairs = ()
    """(overlay, address) of the leader's reservations for this replica."""
    local: frozenset[str] = frozenset()
    """Names of the networks that are no overlays: their addresses are known on this host only."""


def fill(spec: ContainerSpec, context: FillContext) -> ContainerSpec:
    """Return `spec` with the replica's reserved addresses, and with its placeholders filled in.

    Placeholders are allowed in environment, command, entrypoint, labels, hostname and healthcheck. `{{...}}` of any
    other name stays unchanged: it may be a template of the program in the container. Raises Invalid if the value of a
    placeholder is not known.
    """
    if context.reserved:
        networks = tuple(_with_reservation(each, dict(context.reserved)) for each in spec.networks)
        spec = replace(spec, networks=networks)
    values = _values(spec, context)
    return _each_text(spec, lambda raw: _PLACEHOLDER.sub(lambda match: _value(match, values), raw))


def overlays_in(spec: ContainerSpec) -> frozenset[str]:
    """Names of the overlays on which placeholders of `spec` mean the replica's address; empty for its only one."""
    found: set[str] = set()

    def seen(match: re.Match[str]) -> str:
        found.update({match[2]} if match[2] else {""} if match[1] == OVERLAY_IP else ())
        return match[0]

    _each_text(spec, lambda raw: _PLACEHOLDER.sub(seen, raw))
    return frozenset(found)


def with_overlays(spec: ContainerSpec, names: Mapping[str, str]) -> ContainerSpec:
    """Return `spec` with Docker's names of overlays in its placeholders. `names` has them by those of the document."""

    def named(match: re.Match[str]) -> str:
        return f"{{{{.Overlay.{names[match[2]]}.IP}}}}" if match[2] in names else match[0]

    return _each_text(spec, lambda raw: _PLACEHOLDER.sub(named, raw))


def _each_text(spec: ContainerSpec, text: Callable[[str], str]) -> ContainerSpec:
    """Return `spec` with `text` applied to every value that may contain placeholders."""

    def texts(raw: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if raw is None else tuple(map(text, raw))

    def pairs(raw: Pairs) -> Pairs:
        return tuple((key, text(value)) for key, value in raw)

    check = spec.healthcheck
    made: dict[str, Any] = {
        "environment": pairs(spec.environment),
        "labels": pairs(spec.labels),
        "command": texts(spec.command),
        "entrypoint": texts(spec.entrypoint),
        "hostname": None if spec.hostname is None else text(spec.hostname),
        "healthcheck": None if check is None else replace(check, test=texts(check.test)),
    }
    changed = {name: value for name, value in made.items() if value != getattr(spec, name)}
    return replace(spec, **changed) if changed else spec


def _with_reservation(attachment: Attachment, reserved: Mapping[str, str]) -> Attachment:
    if attachment.ipv4_address or attachment.network not in reserved:
        return attachment
    return replace(attachment, reserved=reserved[attachment.network])


def _values(spec: ContainerSpec, context: FillContext) -> dict[str, str | None]:
    overlays = [each for each in spec.networks if each.network not in context.local]
    return {
        **{f"Overlay.{each.network}.IP": each.address for each in overlays},
        "Node.Hostname": context.host,
        "Node.ID": context.node_id,
        "Service.Name": context.service,
        "Task.Slot": str(context.slot),
        OVERLAY_IP: overlays[0].address if len(overlays) == 1 else None,
        "Host.Address": context.address,
    }


def _value(match: re.Match[str], values: Mapping[str, str | None]) -> str:
    name, network = match.groups()
    if name not in values and not network:
        return match[0]
    if (value := values.get(name)) is None:
        why = f"the replica has no fixed or reserved address on {network}" if network else _WHY.get(name)
        raise Invalid(f"{{{{.{name}}}}} has no value here: {why or 'it is not known'}")
    return value


_WHY = {
    "Node.ID": "this host is in no swarm",
    "Host.Address": "the intent does not name this host",
    OVERLAY_IP: "the replica needs exactly one overlay, with a fixed or reserved address",
}
