"""One service: the table of its keys, and how they become a ServiceIntent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.document import Cursor, Fields, Reader
from agent.document.scalars import boolean, duration, integer, matching, one_or_more, size
from agent.intent.attachments import attachments
from agent.intent.dependencies import depends_on
from agent.intent.deploy import Deploy, read_deploy
from agent.intent.gpus import gpus
from agent.intent.health import healthcheck
from agent.intent.image import image, pull_policy
from agent.intent.limits import (
    capabilities,
    cgroup_rules,
    cpus,
    devices,
    memory,
    memory_and_swap,
    pids,
    reservation,
    ulimits,
)
from agent.intent.mounts import mounts, tmpfs
from agent.intent.placeholders import check_placeholders
from agent.intent.placement import Placement, read_placement
from agent.intent.ports import ports
from agent.intent.process import (
    CGROUP_NAMESPACE,
    IPC,
    NETWORK_MODE,
    PID,
    USER_NAMESPACE,
    UTS,
    addresses,
    extra_hosts,
    logging,
    restart,
    texts_or_empty,
    words,
)
from agent.intent.refused import SERVICE_REFUSED
from agent.intent.together import check_together
from agent.intent.usage import blkio_config, cpu_period, cpu_quota, cpu_shares, cpuset
from agent.intent.values import absolute, distinct_texts, pairs, text
from agent.model.intent import ServiceIntent
from agent.model.spec import ContainerSpec


@dataclass(frozen=True, slots=True)
class Field:
    """How a key of the document becomes a field of ContainerSpec; without one, it reads several by their names."""

    attribute: str | None
    read: Reader[Any]


_FROM_AGENT = ("has no value", 'it would be taken from the agent\'s environment: write one, or "" for none')
_label = matching(r"(?:[A-Za-z0-9._-]|\{\{\s?\.[A-Za-z.]{1,40}\s?\}\}){1,63}", "a name that a host can have")
_signal = matching(r"(?:SIG)?[A-Z][A-Z0-9+-]{1,15}|[1-9][0-9]?", "a signal, such as SIGTERM")
_user = matching(
    r"[A-Za-z0-9_.-]{1,64}(?::[A-Za-z0-9_.-]{1,64})?", "a user: name or number, and :group if wanted"
)

_cgroup = matching(
    r"/?[A-Za-z0-9_.@:-]{1,200}(?:/[A-Za-z0-9_.@:-]{1,200}){0,10}", "a cgroup, such as /jobs or jobs.slice"
)
_runtime = matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}", "a runtime that the engine knows, such as runc")

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
    "uts": Field("uts", UTS),
    "userns_mode": Field("userns_mode", USER_NAMESPACE),
    "cgroup": Field("cgroup", CGROUP_NAMESPACE),
    "cgroup_parent": Field("cgroup_parent", _cgroup),
    "runtime": Field("runtime", _runtime),
    "annotations": Field("annotations", pairs()),
    "device_cgroup_rules": Field("device_cgroup_rules", cgroup_rules),
    "gpus": Field("gpus", gpus),
    "memswap_limit": Field("memory_swap_bytes", memory_and_swap),
    "mem_swappiness": Field("memory_swappiness", integer(0, 100)),
    "oom_kill_disable": Field("oom_kill_disable", boolean),
    "oom_score_adj": Field("oom_score_adj", integer(-1000, 1000)),
    "cpu_shares": Field("cpu_shares", cpu_shares),
    "cpuset": Field("cpuset", cpuset),
    "cpu_period": Field("cpu_period_us", cpu_period),
    "cpu_quota": Field("cpu_quota_us", cpu_quota),
    "blkio_config": Field(None, blkio_config),
}
"""Every key that describes a copy. A new one is one line here and one in docs/intent-reference.md."""

OTHER_KEYS = ("x-hosts", "deploy", "depends_on", "pull_policy", "secrets", "configs")
_UNREADABLE = "unreadable"
"""Stands for an image that was refused already, so that reading can go on to the other faults."""


def read_service(name: str, cursor: Cursor, hosts: Placement) -> ServiceIntent:
    """Read one service; `hosts` has one copy on each declared host. Networks and volumes keep the document's names.

    Its secrets and configs are read by resolve.py, which knows the files.
    """
    fields = cursor.fields((*FIELDS, *OTHER_KEYS), SERVICE_REFUSED, extensions=True)
    place = fields.at("deploy")
    deploy = read_deploy(place) if place else Deploy()
    spec = _read_spec(fields, deploy.spec)
    check_placeholders(cursor, spec)
    check_together(fields, spec)
    return ServiceIntent(
        name=name,
        spec=spec,
        placement=read_placement(fields, hosts, everywhere=deploy.everywhere),
        update=deploy.update,
        rollback=deploy.rollback,
        pull=fields.read("pull_policy", pull_policy, "missing"),
        depends_on=fields.read("depends_on", depends_on, ()),
    )


def _read_spec(fields: Fields, in_deploy: Mapping[str, Any]) -> ContainerSpec:
    said: dict[str, Any] = dict(in_deploy)
    if "image" not in fields:
        fields.missing("image", "say what the copies run")
    for key in fields:
        field = FIELDS.get(key)
        value = None if field is None else fields.read(key, field.read)
        if field is None or value is None:
            continue
        place = fields.at(key)
        if field.attribute in in_deploy and place:
            place.fault(f"'{key}' is said in deploy too", "keep one of them")
        said |= value if field.attribute is None else {field.attribute: value}
    return ContainerSpec(**{"image": _UNREADABLE, **said})
