"""One service: the table of its keys, and how they become a ServiceIntent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from agent.intent import forms
from agent.intent.checks import check_together, depends_on
from agent.intent.deploy import Deploy, read_deploy
from agent.intent.forms import Form
from agent.intent.limits import (
    DEVICES,
    ULIMITS,
    capabilities,
    cgroup_rules,
    cpus,
    devices,
    gpus,
    memory,
    memory_and_swap,
    pids,
    reservation,
    ulimits,
)
from agent.intent.limits import FORM as GPUS
from agent.intent.mounts import MOUNTS, mounts, tmpfs
from agent.intent.networks import FORM as ATTACHMENTS
from agent.intent.networks import attachments
from agent.intent.placement import read_placement
from agent.intent.ports import FORM as PORTS
from agent.intent.ports import ports
from agent.intent.process import (
    CGROUP_NAMESPACE,
    EXTRA_HOSTS,
    IPC,
    LOGGING,
    NETWORK_MODE,
    PID,
    RESTART,
    USER_NAMESPACE,
    UTS,
    addresses,
    extra_hosts,
    healthcheck,
    logging,
    restart,
    texts_or_empty,
    words,
)
from agent.intent.process import FORM as HEALTH
from agent.intent.refused import SERVICE_REFUSED
from agent.intent.usage import BLKIO, blkio_config, cpu_period, cpu_quota, cpu_shares, cpuset
from agent.intent.values import absolute, distinct_texts, pairs, text
from agent.model.intent import Pull, ServiceIntent
from agent.model.spec import CgroupNamespace, ContainerSpec, Ipc, NetworkMode, Pid, UserNamespace, Uts
from agent.yamldoc import Cursor, Fields, Reader
from agent.yamldoc.scalars import boolean, duration, integer, matching, one_or_more, size

# ---- Image references


# The grammar of https://github.com/distribution/reference (reference.go), IPv4 and names only.
_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_PART}(?:\.{_PART})*(?::[0-9]{{1,5}})?/)?"
_WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = rf"{_DOMAIN}{_WORD}(?:/{_WORD})*"
_TAG = r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
_DIGEST = r"(?:@sha256:[a-f0-9]{64})?"
_REFERENCE = re.compile(_NAME + _TAG + _DIGEST, re.ASCII)
_LONGEST = 511

PULLS: dict[str, Pull] = {
    "always": "always",
    "missing": "missing",
    "if_not_present": "missing",
    "never": "never",
    "daily": "daily",
    "weekly": "weekly",
}


def image(cursor: Cursor) -> str | None:
    """Read an image reference: `[registry[:port]/]name[:tag][@sha256:digest]`."""
    value = text(cursor)
    if value is None or (len(value) <= _LONGEST and _REFERENCE.fullmatch(value)):
        return value
    remedy = "write for example 10.0.0.1:5000/team/name:1.0.0"
    lower = value.lower()
    if len(value) <= _LONGEST and _REFERENCE.fullmatch(lower):
        remedy = f"names are lower case: did you mean '{lower}'?"
    cursor.fault(f"{cursor.shown} is not an image reference", remedy)
    return None


def pull_policy(cursor: Cursor) -> Pull | None:
    """Read when an image is fetched."""
    written = text(cursor)
    if written is None or written in PULLS:
        return None if written is None else PULLS[written]
    if written.startswith("every_"):
        cursor.fault(f"{cursor.shown} is not offered", "write daily or weekly")
    elif written == "build":
        cursor.fault("'build' is not offered: push an image to a registry and name it")
    else:
        cursor.fault(f"{cursor.shown} is not one of: {', '.join(PULLS)}", cursor.guess(written, PULLS))
    return None


@dataclass(frozen=True, slots=True)
class Field:
    """How a key of the document becomes a field of ContainerSpec; without one, it reads several by their names."""

    attribute: str | None
    read: Reader[Any]
    form: Form
    """What it may look like, for editors."""


_FROM_AGENT = ("has no value", 'it would be taken from the agent\'s environment: write one, or "" for none')
_label = matching(
    r"(?![.-])(?:[A-Za-z0-9._-]|\{\{\s?\.[A-Za-z.]{1,40}\s?\}\}){1,63}", "a name that a host can have"
)
_signal = matching(r"(?:SIG)?[A-Z][A-Z0-9+-]{1,15}|[1-9][0-9]?", "a signal, such as SIGTERM")
_user = matching(
    r"[A-Za-z0-9_.-]{1,64}(?::[A-Za-z0-9_.-]{1,64})?", "a user: name or number, and :group if wanted"
)

_cgroup = matching(
    r"/?[A-Za-z0-9_.@:-]{1,200}(?:/[A-Za-z0-9_.@:-]{1,200}){0,10}", "a cgroup, such as /jobs or jobs.slice"
)
_runtime = matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}", "a runtime that the engine knows, such as runc")

FIELDS: dict[str, Field] = {
    "image": Field("image", image, forms.TEXT),
    "command": Field("command", words, forms.WORDS),
    "entrypoint": Field("entrypoint", words, forms.WORDS),
    "environment": Field("environment", pairs(without_value=_FROM_AGENT, secret=True), forms.PAIRS),
    "labels": Field("labels", pairs(secret=True), forms.PAIRS),
    "ports": Field("ports", ports, PORTS),
    "volumes": Field("volumes", mounts, MOUNTS),
    "networks": Field("networks", attachments, ATTACHMENTS),
    "network_mode": Field("network_mode", NETWORK_MODE, forms.choice(get_args(NetworkMode))),
    "restart": Field("restart", restart, RESTART),
    "healthcheck": Field("healthcheck", healthcheck, HEALTH),
    "stop_signal": Field("stop_signal", _signal, forms.TEXT),
    "stop_grace_period": Field("stop_grace_period_s", duration(), forms.DURATION),
    "user": Field("user", _user, forms.TEXT),
    "group_add": Field("group_add", distinct_texts, forms.TEXTS),
    "working_dir": Field("working_dir", absolute, forms.ABSOLUTE),
    "hostname": Field("hostname", _label, forms.TEXT),
    "domainname": Field("domainname", _label, forms.TEXT),
    "read_only": Field("read_only", boolean, forms.BOOLEAN),
    "privileged": Field("privileged", boolean, forms.BOOLEAN),
    "init": Field("init", boolean, forms.BOOLEAN),
    "tty": Field("tty", boolean, forms.BOOLEAN),
    "stdin_open": Field("stdin_open", boolean, forms.BOOLEAN),
    "cap_add": Field("cap_add", capabilities, forms.TEXTS),
    "cap_drop": Field("cap_drop", capabilities, forms.TEXTS),
    "security_opt": Field("security_opt", distinct_texts, forms.TEXTS),
    "ulimits": Field("ulimits", ulimits, ULIMITS),
    "sysctls": Field("sysctls", pairs(without_value=("has no value", "write one")), forms.PAIRS),
    "shm_size": Field("shm_size_bytes", size(1), forms.SIZE),
    "tmpfs": Field("tmpfs", tmpfs, forms.one_or_more(forms.TEXT)),
    "dns": Field("dns", addresses, forms.one_or_more(forms.TEXT)),
    "dns_search": Field("dns_search", one_or_more(text), forms.one_or_more(forms.TEXT)),
    "dns_opt": Field("dns_opt", texts_or_empty, forms.list_of(forms.SCALAR)),
    "extra_hosts": Field("extra_hosts", extra_hosts, EXTRA_HOSTS),
    "logging": Field("logging", logging, LOGGING),
    "devices": Field("devices", devices, DEVICES),
    "mem_limit": Field("memory_limit_bytes", memory, forms.SIZE),
    "mem_reservation": Field("memory_reservation_bytes", reservation, forms.SIZE),
    "cpus": Field("nano_cpus", cpus, forms.number(0.001, 10_000)),
    "pids_limit": Field("pids_limit", pids, forms.integer(-1, 1 << 22)),
    "pid": Field("pid", PID, forms.choice(get_args(Pid))),
    "ipc": Field("ipc", IPC, forms.choice(get_args(Ipc))),
    "uts": Field("uts", UTS, forms.choice(get_args(Uts))),
    "userns_mode": Field("userns_mode", USER_NAMESPACE, forms.choice(get_args(UserNamespace))),
    "cgroup": Field("cgroup", CGROUP_NAMESPACE, forms.choice(get_args(CgroupNamespace))),
    "cgroup_parent": Field("cgroup_parent", _cgroup, forms.TEXT),
    "runtime": Field("runtime", _runtime, forms.TEXT),
    "annotations": Field("annotations", pairs(secret=True), forms.PAIRS),
    "device_cgroup_rules": Field("device_cgroup_rules", cgroup_rules, forms.TEXTS),
    "gpus": Field("gpus", gpus, GPUS),
    "memswap_limit": Field(
        "memory_swap_bytes", memory_and_swap, forms.either({"enum": [-1, "-1"]}, forms.SIZE)
    ),
    "mem_swappiness": Field("memory_swappiness", integer(0, 100), forms.integer(0, 100)),
    "oom_kill_disable": Field("oom_kill_disable", boolean, forms.BOOLEAN),
    "oom_score_adj": Field("oom_score_adj", integer(-1000, 1000), forms.integer(-1000, 1000)),
    "cpu_shares": Field("cpu_shares", cpu_shares, forms.integer(2, 262_144)),
    "cpuset": Field("cpuset", cpuset, forms.TEXT),
    "cpu_period": Field("cpu_period_us", cpu_period, forms.MICROSECONDS),
    "cpu_quota": Field("cpu_quota_us", cpu_quota, forms.MICROSECONDS),
    "blkio_config": Field(None, blkio_config, BLKIO),
}
"""Every key that describes a copy. A new one is one line here and one in docs/intent-reference.md."""

OTHER_KEYS = ("x-hosts", "deploy", "depends_on", "pull_policy", "secrets", "configs")
_UNREADABLE = "unreadable"
"""Stands for an image that was refused already, so that reading can go on to the other faults."""


def read_service(name: str, cursor: Cursor, hosts: tuple[str, ...]) -> ServiceIntent:
    """Read one service; `hosts` are the declared ones. Networks and volumes keep the document's names.

    Its secrets and configs are read by resolve.py, which knows the files; and its placeholders are checked there.
    """
    fields = cursor.fields((*FIELDS, *OTHER_KEYS), SERVICE_REFUSED, extensions=True)
    place = fields.at("deploy")
    deploy = read_deploy(place) if place else Deploy()
    spec = _read_spec(fields, deploy.spec)
    check_together(fields, spec)
    return ServiceIntent(
        name=name,
        spec=spec,
        placement=read_placement(fields, hosts, deploy),
        replicas=deploy.replicas,
        everywhere=deploy.everywhere,
        where=deploy.where,
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
