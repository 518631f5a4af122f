"""Placeholders in Swarm's notation: values of a replica that only its host knows; and its reserved addresses."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from agent.errors import Invalid
from agent.model import Frozen
from agent.model.spec import Attachment, ContainerSpec, Pairs

_PLACEHOLDER = re.compile(r"\{\{\s*\.([A-Z][A-Za-z]*\.[A-Z][A-Za-z]*)\s*\}\}")

OVERLAY_IP = "Overlay.IP"


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
    networks = tuple(_with_reservation(each, dict(context.reserved)) for each in spec.networks)
    spec = replace(spec, networks=networks)
    values = _values(spec, context)
    return _each_text(spec, lambda raw: _PLACEHOLDER.sub(lambda match: _value(match, values), raw))


def uses_overlay_address(spec: ContainerSpec) -> bool:
    """Return True if `spec` contains the placeholder of the replica's own overlay address."""
    found: set[str] = set()

    def note(raw: str) -> str:
        found.update(_PLACEHOLDER.findall(raw))
        return raw

    _each_text(spec, note)
    return OVERLAY_IP in found


def _each_text(spec: ContainerSpec, text: Callable[[str], str]) -> ContainerSpec:
    """Return `spec` with `text` applied to every value that may contain placeholders."""

    def texts(raw: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if raw is None else tuple(map(text, raw))

    def pairs(raw: Pairs) -> Pairs:
        return tuple((key, text(value)) for key, value in raw)

    check = spec.healthcheck
    return replace(
        spec,
        environment=pairs(spec.environment),
        labels=pairs(spec.labels),
        command=texts(spec.command),
        entrypoint=texts(spec.entrypoint),
        hostname=None if spec.hostname is None else text(spec.hostname),
        healthcheck=None if check is None else replace(check, test=texts(check.test)),
    )


def _with_reservation(attachment: Attachment, reserved: Mapping[str, str]) -> Attachment:
    if attachment.ipv4_address or attachment.network not in reserved:
        return attachment
    return replace(attachment, reserved=reserved[attachment.network])


def _values(spec: ContainerSpec, context: FillContext) -> dict[str, str | None]:
    overlays = [each for each in spec.networks if each.network not in context.local]
    return {
        "Node.Hostname": context.host,
        "Node.ID": context.node_id,
        "Service.Name": context.service,
        "Task.Slot": str(context.slot),
        OVERLAY_IP: overlays[0].address if len(overlays) == 1 else None,
        "Host.Address": context.address,
    }


def _value(match: re.Match[str], values: Mapping[str, str | None]) -> str:
    name = match[1]
    if name not in values:
        return match[0]
    if (value := values[name]) is None:
        raise Invalid(f"{{{{.{name}}}}} has no value here: {_WHY.get(name, 'it is not known')}")
    return value


_WHY = {
    "Node.ID": "this host is in no swarm",
    "Host.Address": "the intent does not name this host",
    OVERLAY_IP: "the replica needs exactly one overlay, with a fixed or reserved address",
}
