"""One service: the table of its keys, and how they become a ServiceIntent."""

import sys
from dataclasses import dataclass
from typing import Any

from agent.document import Cursor, Fields, Reader
from agent.document.scalars import boolean, duration, matching, one_or_more, size
from agent.intent.attachments import attachments
from agent.intent.dependencies import depends_on
from agent.intent.deploy import read_deploy
from agent.intent.health import healthcheck
from agent.intent.image import image
from agent.intent.limits import capabilities, cpus, devices, memory, pids, reservation, ulimits
from agent.intent.mounts import mounts, tmpfs
from agent.intent.placeholders import check_placeholders
from agent.intent.placement import Placement, read_placement
from agent.intent.ports import ports
from agent.intent.process import (
    IPC,
    NETWORK_MODE,
    PID,
    addresses,
    extra_hosts,
    logging,
    restart,
    texts_or_empty,
    words,
)
from agent.intent.refused import SERVICE_REFUSED
from agent.intent.values import absolute, distinct_texts, pairs, text
from agent.model.intent import ServiceIntent, Update
from agent.model.spec import ContainerSpec


@dataclass(frozen=True, slots=True)
class Field:
    """How a key of the document becomes a field of ContainerSpec."""

    attribute: str
    read: Reader[Any]


_FROM_AGENT = ("has no value", 'it would be taken from the agent\'s environment: write one, or "" for none')
_label = matching(r"(?:[A-Za-z0-9._-]|\{\{\s?\.[A-Za-z.]{1,40}\s?\}\}){1,63}", "a name that a host can have")
_signal = matching(r"(?:SIG)?[A-Z][A-Z0-9+-]{1,15}|[1-9][0-9]?", "a signal, such as SIGTERM")
_user = matching(
    r"[A-Za-z0-9_.-]{1,64}(?::[A-Za-z0-9_.-]{1,64})?", "a user: name or number, and :group if wanted"
)

FIELDS: dict[str, Field] = {
    "image": Field("image", image),
    "command": Field("command", words),
    "entrypoint": Field("entrypoint", words),
    "environment": Field("environment", pairs(without_value=_FROM_AGENT, secret=True)),
    "labels": Field("labels", pairs()),
    "ports": Field("ports", ports),
    "volumes": Field("volumes", mounts),
    "networks": Field("networks", attachments),
    "network_mode": Field("network_mode", NETWORK_MODE),
    "restart": Field("restart", restart),
    "healthcheck": Field("healthcheck", healthcheck),
    "stop_signal": Field("stop_signal", _signal),
    "stop_grace_period": Field("stop_grace_period_s", duration()),
    "user": Field("user", _user),
    "group_add": Field("group_add", distinct_texts),
    "working_dir": Field("working_dir", absolute),
    "hostname": Field("hostname", _label),
    "domainname": Field("domainname", _label),
    "read_only": Field("read_only", boolean),
    "privileged": Field("privileged", boolean),
    "init": Field("init", boolean),
    "tty": Field("tty", boolean),
    "stdin_open": Field("stdin_open", boolean),
    "cap_add": Field("cap_add", capabilities),
    "cap_drop": Field("cap_drop", capabilities),
    "security_opt": Field("security_opt", distinct_texts),
    "ulimits": Field("ulimits", ulimits),
    "sysctls": Field("sysctls", pairs(without_value=("has no value", "write one"))),
    "shm_size": Field("shm_size_bytes", size(1)),
    "tmpfs": Field("tmpfs", tmpfs),
    "dns": Field("dns", addresses),
    "dns_search": Field("dns_search", one_or_more(text)),
    "dns_opt": Field("dns_opt", texts_or_empty),
    "extra_hosts": Field("extra_hosts", extra_hosts),
    "logging": Field("logging", logging),
    "devices": Field("devices", devices),
    "mem_limit": Field("memory_limit_bytes", memory),
    "mem_reservation": Field("memory_reservation_bytes", reservation),
    "cpus": Field("nano_cpus", cpus),
    "pids_limit": Field("pids_limit", pids),
    "pid": Field("pid", PID),
    "ipc": Field("ipc", IPC),
}
"""Every key that describes a copy. A new one is one line here and one in docs/intent-reference.md."""

OTHER_KEYS = ("x-hosts", "deploy", "depends_on")
_UNREADABLE = "unreadable"
"""Stands for an image that was refused already, so that reading can go on to the other faults."""


def read_service(name: str, cursor: Cursor, hosts: Placement) -> ServiceIntent:
    """Read one service; `hosts` has one copy on each declared host. Networks and volumes keep the document's names."""
    fields = cursor.fields((*FIELDS, *OTHER_KEYS), SERVICE_REFUSED, extensions=True)
    deploy = fields.at("deploy")
    update, everywhere, limits = read_deploy(deploy) if deploy else (Update(), False, {})
    spec = _read_spec(fields, limits)
    check_placeholders(cursor, spec)
    return ServiceIntent(
        name=name,
        spec=spec,
        placement=read_placement(fields, hosts, everywhere=everywhere),
        update=update,
        depends_on=fields.read("depends_on", depends_on, ()),
    )


def _read_spec(fields: Fields, limits: dict[str, Any]) -> ContainerSpec:
    said: dict[str, Any] = dict(limits)
    if "image" not in fields:
        fields.missing("image", "say what the copies run")
    for key in fields:
        field = FIELDS.get(key)
        value = None if field is None else fields.read(key, field.read)
        if field is None or value is None:
            continue
        place = fields.at(key)
        if field.attribute in limits and place:
            place.fault(f"'{key}' is said in deploy.resources too", "keep one of them")
        said[field.attribute] = value
    spec = ContainerSpec(**{"image": _UNREADABLE, **said})
    _check_network_mode(fields, spec)
    if (spec.memory_limit_bytes or sys.maxsize) < (spec.memory_reservation_bytes or 0):
        fields.cursor.hidden().fault("reserves more memory than its limit", "lower the reservation")
    return spec


def _check_network_mode(fields: Fields, spec: ContainerSpec) -> None:
    place = fields.at("network_mode")
    if place is None or spec.network_mode is None:
        return
    for key, said in (("networks", spec.networks), ("ports", spec.ports)):
        if said:
            place.fault(f"network_mode: {spec.network_mode} leaves no room for '{key}'", "keep one of them")
