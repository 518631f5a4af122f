"""Placeholders: what a replica only learns on its host, in Swarm's own notation; and the addresses pinned for it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from agent.errors import Invalid
from agent.model.spec import Attachment, ContainerSpec, Pairs

_PLACEHOLDER = re.compile(r"\{\{\s*\.([A-Z][A-Za-z]*\.[A-Z][A-Za-z]*)\s*\}\}")

OVERLAY_IP = "Overlay.IP"


@dataclass(frozen=True, slots=True, kw_only=True)
class FillContext:
    """What the placeholders of one replica stand for; None: not known (yet)."""

    host: str
    service: str
    slot: int
    node_id: str | None = None
    address: str | None = None
    """The host's own address."""
    pinned: Pairs = ()
    """(overlay, address) as the leader has pinned them."""
    local: frozenset[str] = frozenset()
    """Names of the networks that are no overlays: an address there is known on this host only."""


def fill(spec: ContainerSpec, context: FillContext) -> ContainerSpec:
    """`spec` for one replica: with its pinned addresses, and with its placeholders filled in.

    They may be in environment, command, entrypoint, labels, hostname and healthcheck. `{{...}}` of any other name is
    left as it is: it may be a template of the program in the container. Raises Invalid when a placeholder is used
    whose value is not known.
    """
    spec = replace(spec, networks=tuple(_pinned(each, dict(context.pinned)) for each in spec.networks))
    values = _values(spec, context)
    return _each_text(spec, lambda raw: _PLACEHOLDER.sub(lambda match: _value(match, values), raw))


def uses_overlay_address(spec: ContainerSpec) -> bool:
    """Whether some value of `spec` has the placeholder of the replica's own overlay address."""
    found: set[str] = set()

    def note(raw: str) -> str:
        found.update(_PLACEHOLDER.findall(raw))
        return raw

    _each_text(spec, note)
    return OVERLAY_IP in found


def _each_text(spec: ContainerSpec, text: Callable[[str], str]) -> ContainerSpec:
    """`spec` with every value that may hold placeholders as `text` makes it."""

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


def _pinned(attachment: Attachment, pins: Mapping[str, str]) -> Attachment:
    if attachment.ipv4_address or attachment.network not in pins:
        return attachment
    return replace(attachment, reserved=pins[attachment.network])


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
    OVERLAY_IP: "the replica needs exactly one overlay, with an address that is fixed or pinned",
}
