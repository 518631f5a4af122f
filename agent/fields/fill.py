"""Placeholders: what a copy only learns on its host, in Swarm's own notation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from agent.errors import Invalid
from agent.model.spec import ContainerSpec, Pairs

T = TypeVar("T", bound=str | None)

_PLACEHOLDER = re.compile(r"\{\{\s*\.([A-Z][A-Za-z]*\.[A-Z][A-Za-z]*)\s*\}\}")

NAMES = ("Node.Hostname", "Node.ID", "Service.Name", "Task.Slot", "Overlay.IP", "Host.Address")


@dataclass(frozen=True, slots=True, kw_only=True)
class FillContext:
    """What the placeholders of one copy stand for; None: not known (yet)."""

    host: str
    service: str
    number: int
    node_id: str | None = None
    address: str | None = None
    """The host's own address."""


def fill(spec: ContainerSpec, context: FillContext) -> ContainerSpec:
    """`spec` with its placeholders filled in: in environment, command, entrypoint, labels, hostname and healthcheck.

    `{{...}}` of any other name is left as it is: it may be a template of the program in the container. Raises Invalid
    when a placeholder is used whose value is not known.
    """
    values = _values(spec, context)

    def text(raw: str) -> str:
        return _PLACEHOLDER.sub(lambda match: _value(match, values), raw)

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


def _values(spec: ContainerSpec, context: FillContext) -> dict[str, str | None]:
    fixed = spec.networks[0].ipv4_address if len(spec.networks) == 1 else None
    return {
        "Node.Hostname": context.host,
        "Node.ID": context.node_id,
        "Service.Name": context.service,
        "Task.Slot": str(context.number),
        "Overlay.IP": fixed,
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
    "Overlay.IP": "the copy needs exactly one network, with a fixed ipv4_address",
}
